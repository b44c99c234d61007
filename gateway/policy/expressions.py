"""`when:` expressions in CEL, compiled and type-checked when the file is read.

Google's engine (the one that Envoy evaluates): unknown names and wrong types are refused with their place,
regular expressions are RE2, so no expression can be made slow.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cel_expr_python import cel

from gateway.policy.model import Principal, RequestHead
from gateway.policy.paths import Path

_TEXT, _TEXTS = cel.Type.STRING, cel.Type.List(cel.Type.STRING)

# Names with a dot are variables of their own, so that a misspelt `user.emial` is refused when the file is read.
VARIABLES: Mapping[str, Any] = {
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
    "request.method": _TEXT,
    "request.path": _TEXT,
    "request.host": _TEXT,
    "request.headers": cel.Type.Map(cel.Type.STRING, cel.Type.STRING),
    "request.ip": _TEXT,
    "request.time": cel.Type.TIMESTAMP,
}
_ROOTS = frozenset(name.partition(".")[0] for name in VARIABLES)
_PLACE = re.compile(r"ERROR: <input>:(\d+):(\d+): ([^\n]*)")


class ExpressionError(ValueError):
    """An expression that cannot be used. `line` and `column` count from 1 within its text."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


@dataclass(slots=True)  # made for every request: see `decision`
class Facts:
    """What rules may ask about: the caller, the request, and what the route's captures stood for.

    `now` is Unix seconds.
    """

    principal: Principal
    head: RequestHead
    path: Path
    captures: Mapping[str, str]
    now: float


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

    Raises `ExpressionError` for a syntax error, an unknown name, a wrong type, or a result that is no boolean.
    """
    variables = dict(VARIABLES)
    for name in captures:
        if name in _ROOTS:
            raise ExpressionError(f"the capture {{{name}}} hides the variable `{name}`: give it another name")
        variables[name] = cel.Type.STRING
    try:
        program = cel.NewEnv(variables=variables).compile(text)
    except Exception as problem:  # the binding raises RuntimeError, ValueError and TypeError without a common class
        raise _positioned(str(problem)) from None
    if program.return_type() not in (cel.Type.BOOL, cel.Type.DYN):
        raise ExpressionError(f"the expression gives {program.return_type().name()}, expected bool")
    names = frozenset(name for name in variables if re.search(rf"\b{re.escape(name)}\b", text))
    return Expression(text, program, names)


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
            return facts.head.headers.first("host") or ""
        case "headers":
            headers = facts.head.headers
            return {name: ", ".join(headers.all(name)) for name in {line[0].lower() for line in headers.lines}}
        case "ip":
            return facts.head.client_ip
        case _:
            return datetime.datetime.fromtimestamp(facts.now, datetime.UTC)
