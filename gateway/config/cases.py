"""`tests:` requests with the decision that is expected of each, beside the rules or in a file of their own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from gateway.config.addresses import HEADER_NAME
from gateway.config.document import ConfigError, Node, Place, Problem, Source
from gateway.config.json_values import JsonObject
from gateway.config.lists import ListOf, MappingOf
from gateway.config.model import ALLOW, DENY, Case
from gateway.config.parse import decode, parse
from gateway.config.readers import Mistake, Scalar, Schema, moment, text
from gateway.config.reading import Reading, Unreadable, attempt, nearest
from gateway.config.records import Field, Record
from gateway.policy.reasons import Reason

_CODES = frozenset(reason.code for reason in Reason)
_REQUEST = re.compile(r"([A-Z]+) +(/\S*)")


def _request(written: str) -> tuple[str, str]:
    found = _REQUEST.fullmatch(written)
    if found is None:
        raise Mistake
    return found[1], found[2]


def _expected(written: str) -> str:
    if written not in (ALLOW, DENY) and written not in _CODES:
        raise Mistake(nearest(written, [ALLOW, DENY, *sorted(_CODES)]).strip())
    return written


def _code(written: str) -> str:
    if written not in _CODES:
        raise Mistake(nearest(written, sorted(_CODES)).strip())
    return written


def _header_name(name: str) -> None:
    try:
        HEADER_NAME.parse(name)
    except Mistake as mistake:
        raise Mistake(f"found a name {mistake}, expected {HEADER_NAME.expected}") from None


NAME = Field("name", text("what the case shows"), "what the case shows", "the request")
REQUEST = Field(
    "request",
    Scalar("a method and a path, such as GET /api/agents", _request),
    "the method and the path",
    is_required=True,
)
EXPECT = Field(
    "expect",
    Scalar("allow, deny, or a code such as access_denied", _expected),
    "`allow`, `deny`, or the code",
    is_required=True,
)
CLAIMS = Field(
    "claims",
    JsonObject(),
    "what the token says; what its provider's tokens always have is filled in; null removes",
    "no token",
)
PROVIDER = Field(
    "provider", text("a provider's name"), "whose token it is", "the one of its `iss`, or the route's first"
)
KEY = Field("key", text("the name of a key"), "the key of a machine, by its name, in place of claims", "none")
HEADERS = Field(
    "headers", MappingOf(text("a header's value"), _header_name, "headers by name"), "further headers of the request"
)
IP = Field("ip", text("an address"), "who is connected: the client, or one of `trusted_proxies`", "127.0.0.1")
AT = Field("at", moment(), "when it is asked", "now")
WOULD_DENY = Field(
    "would_deny", Scalar("a code such as access_denied", _code), "the code that `enforce: false` lets pass", "not asked"
)
BODY = Field("body", JsonObject(), "the body of the request, where `own` reads it", "none")
OWNER = Field("owner", text("whose it is"), "whose the things are that `own` looks up", "the caller's")
SENT = Field("sent", JsonObject(), "the body that goes up, as `own` makes it", "not asked")
CASE_RECORD = Record(
    "a case", (NAME, REQUEST, PROVIDER, CLAIMS, KEY, HEADERS, IP, AT, BODY, OWNER, EXPECT, WOULD_DENY, SENT)
)


class CaseReader:
    """Reads one case."""

    def read(self, node: Node, reading: Reading) -> Case:
        """Return the case. Raises `Unreadable`."""
        values = CASE_RECORD.read(node, reading)
        if values.broken:
            raise Unreadable
        if KEY in values and CLAIMS in values:
            reading.refuse_at(values.key_place(KEY), "found 'key' beside 'claims', expected one of them")
        method, target = values.need(REQUEST)
        headers = values.get(HEADERS) or {}
        return Case(
            name=values.get(NAME, f"{method} {target}"),
            method=method,
            target=target,
            expect=values.need(EXPECT),
            where=f"{reading.source.file}:{node.place.line}:{node.place.column}",
            provider=values.get(PROVIDER),
            claims=values.get(CLAIMS),
            key=values.get(KEY),
            headers=tuple((name, value) for name, value in headers.items() if value is not None),
            ip=values.get(IP, "127.0.0.1"),
            at=values.get(AT),
            would_deny=values.get(WOULD_DENY),
            body=values.get(BODY),
            owner=values.get(OWNER),
            sent=values.get(SENT),
        )

    def schema(self) -> Schema:
        """Return the schema of a case."""
        return CASE_RECORD.schema()


TESTS = Field(
    "tests",
    ListOf(CaseReader(), "cases", allow_empty=True),
    "requests with the decision that is expected of each, for `gateway test`",
)
_CASE_FILE = Record("a file of cases", (TESTS,))


def load_cases(path: Path, environment: Mapping[str, str]) -> tuple[Case, ...]:
    """Return the cases of a file of its own, whose only key is `tests`. Raises `ConfigError`."""
    try:
        data = path.read_bytes()
    except OSError as problem:
        said = f"the file cannot be read: {problem.strerror or type(problem).__name__}"
        raise ConfigError([Problem(str(path), 0, 0, "", said)]) from None
    written = decode(str(path), data)
    reading = Reading(Source(str(path), written), environment, path.parent)
    cases = attempt(_read, written, reading)
    if cases is None or not reading.is_clean:
        raise reading.error()
    return cases


def _read(written: str, reading: Reading) -> tuple[Case, ...]:
    values = _CASE_FILE.read(parse(written, reading), reading)
    if TESTS not in values:
        reading.add(Place(1, 1, ""), "'tests' is missing, expected a list of cases")
        raise Unreadable
    return values.need(TESTS)
