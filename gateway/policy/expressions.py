"""`when:` expressions in CEL, compiled and type-checked when the file is read.

Google's engine (the one that Envoy evaluates): unknown names and wrong types are refused with their place,
regular expressions are RE2, so no expression can be made slow.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cel_expr_python import cel

from gateway.policy.addresses import read_address
from gateway.policy.fields import HeaderRules, fold
from gateway.policy.model import Principal, RequestHead
from gateway.policy.onward import NOTHING, Withheld, lines_onward
from gateway.policy.paths import Path

_TEXT, _TEXTS = cel.Type.STRING, cel.Type.List(cel.Type.STRING)

# Names with a dot are variables of their own, so that a misspelt `user.emial` is refused when the file is read.
VARIABLES: Final[Mapping[str, Any]] = {
    "claims": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
    "user.subject": _TEXT,
    "user.email": _TEXT,
    "user.provider": _TEXT,
    "user.issuer": _TEXT,
    "user.roles": _TEXTS,
    "user.groups": _TEXTS,
    "user.scopes": _TEXTS,
    "user.permissions": _TEXTS,
    "user.organization": _TEXT,
    "user.client": _TEXT,
    "user.kind": _TEXT,
    "user.actor": _TEXT,
    "request.method": _TEXT,
    "request.path": _TEXT,
    "request.host": _TEXT,
    "request.headers": cel.Type.Map(cel.Type.STRING, cel.Type.STRING),
    "request.ip": _TEXT,
    "request.time": cel.Type.TIMESTAMP,
}
_ROOTS: Final = frozenset(name.partition(".")[0] for name in VARIABLES)
_NO_RULES: Final = HeaderRules()
_FIRST_COUNTS: Final = frozenset(
    {
        "age", "authorization", "content-length", "content-type", "etag", "expires", "from", "host",
        "if-modified-since", "if-unmodified-since", "last-modified", "location", "max-forwards",
        "proxy-authorization", "referer", "retry-after", "server", "user-agent",
    }
)  # fmt: skip
# Source: the grammar of CEL, "string and bytes values".
_LITERAL: Final = re.compile(
    r"""[rR](?:\"{3}.*?\"{3}|'{3}.*?'{3}|"[^"\n]*"|'[^'\n]*')"""
    r"""|"{3}(?:\\.|[^\\])*?"{3}|'{3}(?:\\.|[^\\])*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|//[^\n]*""",
    re.DOTALL,
)
_MATCHES: Final = re.compile(r"\bmatches\s*\(")
_NO_LITERAL: Final = "the pattern of matches() is no literal: write it out, as in matches('^a')"
_ONE_LITERAL: Final = re.compile(r"[rR]?'+")
_PLACE: Final = re.compile(r"ERROR: <input>:(\d+):(\d+): ([^\n]*)")


class ExpressionError(ValueError):
    """An expression that cannot be used. `line` and `column` count from 1 within its text."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


@dataclass(slots=True, init=False)  # made for every request: see `decision`
class Facts:
    """What rules may ask about: the caller, the request as it goes on, and what the route's captures stood for.

    `now` is Unix seconds. `rules` and `withheld` say which lines of the head go on.
    """

    principal: Principal
    head: RequestHead
    path: Path
    captures: Mapping[str, str]
    now: float
    rules: HeaderRules
    withheld: Withheld

    def __init__(
        self,
        principal: Principal,
        head: RequestHead,
        path: Path,
        captures: Mapping[str, str],
        now: float,
        rules: HeaderRules = _NO_RULES,
        withheld: Withheld = NOTHING,
    ) -> None:
        self.principal, self.head, self.path, self.captures = principal, head, path, captures
        self.now, self.rules, self.withheld = now, rules, withheld


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression. Evaluating it never raises."""

    text: str
    _program: Any
    names: frozenset[str]  # the variables that it mentions

    def holds(self, facts: Facts) -> bool | None:
        """Return its value, or None if it has none: a missing claim, a wrong type, any error inside."""
        try:
            result = self._program.eval(data=self.values(facts))
            value = result.value() if result.type() == cel.Type.BOOL else None
        except Exception:  # the engine raises RuntimeError for a lone surrogate in a claim, and may for more: no value
            return None
        return value if isinstance(value, bool) else None

    def values(self, facts: Facts) -> dict[str, Any]:
        """Return the values of the names it mentions. What a token does not say is left out: an error in CEL."""
        found = {name: _value(facts, name) for name in self.names}
        return {name: value for name, value in found.items() if value is not None}


def compile_expression(text: str, captures: Iterable[str] = ()) -> Expression:
    """Return a compiled expression over `VARIABLES` and the route's captures.

    Raises `ExpressionError` for a syntax error, an unknown name, a wrong type, a result that is no boolean, or a
    regular expression that is no literal.
    """
    variables = dict(VARIABLES)
    for name in captures:
        if name in _ROOTS:
            raise ExpressionError(f"the capture {{{name}}} hides the variable `{name}`: give it another name")
        variables[name] = cel.Type.STRING
    _check_patterns(text)
    try:
        program = cel.NewEnv(variables=variables).compile(text)
    except Exception as problem:  # the binding raises RuntimeError, ValueError and TypeError without a common class
        raise _positioned(str(problem)) from None
    if program.return_type() not in (cel.Type.BOOL, cel.Type.DYN):
        raise ExpressionError(f"the expression gives {program.return_type().name()}, expected bool")
    names = frozenset(name for name in variables if re.search(rf"\b{re.escape(name)}\b", text))
    return Expression(text, program, names)


def _check_patterns(text: str) -> None:
    """Refuse `matches` with anything but one literal as its pattern.

    A pattern out of a token or header is compiled anew for each request, however large whoever wrote it made it
    (CWE-1333), and says what it likes: `.*` fits all.
    """
    bare = _LITERAL.sub(lambda found: (" " if found[0].startswith("//") else "'") * len(found[0]), text)
    for call in _MATCHES.finditer(bare):
        last = _last_argument(bare, call.end())
        if not _ONE_LITERAL.fullmatch(last):
            line, column = bare.count("\n", 0, call.start()) + 1, call.start() - bare.rfind("\n", 0, call.start())
            raise ExpressionError(_NO_LITERAL, line, column)


def _last_argument(bare: str, at: int) -> str:
    """Return the last argument of a call whose arguments begin at a place, in a text without literals."""
    depth, begin = 0, at
    for place in range(at, len(bare)):
        character = bare[place]
        if character in "([{":
            depth += 1
        elif character in ")]}" and depth:
            depth -= 1
        elif character == ")":
            return bare[begin:place].strip()
        elif character == "," and not depth:
            begin = place + 1
    return ""  # it does not end: the compiler says so better


def _positioned(message: str) -> ExpressionError:
    match = _PLACE.search(message)
    if match is None:
        return ExpressionError(message.partition("\n")[0])
    words = match[3].replace(" (in container '')", "").removesuffix(" [INVALID_ARGUMENT]")
    return ExpressionError(words, int(match[1]), int(match[2]))


def _value(facts: Facts, name: str) -> Any:
    root, _, field = name.partition(".")
    match root:
        case "claims":
            return dict(facts.principal.claims)
        case "user":
            value = getattr(facts.principal, field)
            if field == "email" and value is not None:  # in one spelling, as conditions compare it
                local, _, domain = value.rpartition("@")
                value = f"{local}@{domain.lower()}"
            return list(value) if isinstance(value, tuple) else value
        case "request":
            return _request_value(facts, field)
        case _:
            return facts.captures.get(name)


def _request_value(facts: Facts, field: str) -> Any:
    match field:
        case "method":
            return facts.head.method
        case "path":
            return facts.path.text
        case "host":
            return _host(facts.head.headers.first("host"))
        case "headers":
            return _headers_onward(facts)
        case "ip":
            return None if read_address(facts.head.client_ip) is None else facts.head.client_ip
        case _:
            return datetime.datetime.fromtimestamp(facts.now, datetime.UTC)


def _host(written: str | None) -> str | None:
    """Return the host in one spelling: lower case, no closing dot; with its port, as it came. None: there is none."""
    if not written:
        return None
    name, colon, port = written.lower().partition(":") if not written.startswith("[") else (written.lower(), "", "")
    return name.removesuffix(".") + colon + port


def _headers_onward(facts: Facts) -> dict[str, str] | None:
    """Return the fields that go on, by name in lower case; None if servers read them in two ways: then it is undecided.

    Of two lines of some names Node takes the first (http.IncomingMessage, "message.headers"); of two names that fold
    alike a CGI server makes one.
    """
    values: dict[str, list[str]] = {}
    for name, value in lines_onward(facts.head, facts.rules, facts.withheld):
        values.setdefault(name.lower(), []).append(value)
    if len({fold(name) for name in values}) < len(values):
        return None
    if any(len(several) > 1 and name in _FIRST_COUNTS for name, several in values.items()):
        return None
    return {name: ("; " if name == "cookie" else ", ").join(several) for name, several in values.items()}
