"""`own:` what the things of an upstream belong to, and what of that a route says otherwise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, cast

from gateway.config.claim_names import check_claim_name
from gateway.config.document import Fields, Node, Text, kind_of
from gateway.config.lists import MappingOf
from gateway.config.readers import BOOLEAN, Mistake, Scalar, Schema, one_of
from gateway.config.reading import Reading, Unreadable
from gateway.config.records import Field, Record, Values
from gateway.config.targets import RULE_PATH, read_prefix
from gateway.policy.ownership import ANY, LIKE, By, Like, Ownership
from gateway.policy.routes import Capture

_NOBODY: Final = ("nobody", "")
_CLAIM: Final = "claim:"
_Whose = tuple[By, str]  # and the claim's name


def _read_by(written: str) -> _Whose:
    if written in ("subject", "organization", "nobody"):
        return cast(By, written), ""
    if not written.startswith(_CLAIM):
        raise Mistake
    return "claim", check_claim_name(written.removeprefix(_CLAIM))


def _check_path(written: str) -> None:
    try:
        if not read_prefix(written):
            raise Mistake("that is '/', which stands for no route")
    except Mistake as mistake:
        raise Mistake(f"found a path {mistake}") from None


_BY = Scalar(
    "subject, organization, claim:NAME or nobody", _read_by, {"pattern": "^(subject|organization|nobody|claim:.+)$"}
)
BY = Field(
    "by",
    _BY,
    "what a caller's things belong to: the subject, the organization, or a claim; `nobody`: nothing has an owner, and "
    "a request is about what its path names (an agent, a tool), whatever its query and body say",
    "subject",
)
LIKE_FIELD = Field(
    "like",
    MappingOf(one_of(*LIKE), _check_path, "paths, each with what it is treated as: {/my-chat: generate}"),
    "routes that your team added to Mastra, and what each is treated as: `generate` (a `chatRoute`), `network`, "
    "`workflow`, `none` (nobody's things are there) or `close`; `{name}` stands for one segment",
)
PREFIX = Field("prefix", RULE_PATH, "where Mastra's routes are: its `server.apiPrefix`", "/api")
APART = Field(
    "apart",
    BOOLEAN,
    "`false`: the same subject (or organization) of two issuers is the same; else who issued it is a part of the owner",
    "true",
)
OWN_RECORD = Record("own", (BY, LIKE_FIELD, PREFIX, APART))
OWN_OF_ROUTE_RECORD = Record(
    "own of a route",
    (BY, LIKE_FIELD),
    {"prefix": "which is said at the upstream", "apart": "which is said at the upstream"},
)


class _OwnReader:
    """What an upstream says."""

    def read(self, node: Node, reading: Reading) -> Ownership:
        values = OWN_RECORD.read(node, reading)
        _check_nobodys(values, reading, LIKE_FIELD, APART)
        ownership = _with(Ownership(), values)
        return replace(
            ownership,
            prefix=values.get(PREFIX, ownership.prefix),
            apart=values.get(APART, ownership.apart),
        )

    def schema(self) -> Schema:
        return OWN_RECORD.schema()


@dataclass(frozen=True, slots=True)
class OwnOfRoute:
    """What a route says: nothing at all of the upstream's counts there, or some of it is otherwise."""

    values: Values | None

    def of(self, ownership: Ownership) -> Ownership | None:
        """Return what counts on the route. Raises `Unreadable`."""
        return None if self.values is None else _with(ownership, self.values)


class _OwnOfRouteReader:
    def read(self, node: Node, reading: Reading) -> OwnOfRoute:
        if isinstance(node, Fields):
            values = OWN_OF_ROUTE_RECORD.read(node, reading)
            _check_nobodys(values, reading, LIKE_FIELD)
            return OwnOfRoute(values)
        if isinstance(node, Text) and node.text == "false":
            return OwnOfRoute(None)
        found = f"'{node.text}'" if isinstance(node, Text) else kind_of(node)
        reading.refuse(node, f"found {found}, expected 'false', or what is otherwise here: {{by: ..., like: ...}}")

    def schema(self) -> Schema:
        return {"anyOf": [{"const": False}, OWN_OF_ROUTE_RECORD.schema()]}


OWN = Field(
    "own", _OwnReader(), "callers have to do with their own threads, runs and traces alone: what these belong to"
)
OWN_OF_ROUTE = Field(
    "own",
    _OwnOfRouteReader(),
    "`false`: callers here, operators most often, have to do with everybody's things; or `by` and `like` as at the "
    "upstream",
)


def _check_nobodys(values: Values, reading: Reading, *fields: Field[Any]) -> None:
    """Refuse what says more of owners where nothing has one."""
    if values.get(BY, None) == _NOBODY:
        for field in fields:
            if values.get(field) is not None:
                said = f"found '{field.name}' beside 'by: nobody': where nothing has an owner it says nothing"
                reading.refuse_at(values.key_place(field), said)


def _with(ownership: Ownership, values: Values) -> Ownership:
    if values.broken:
        raise Unreadable
    by, claim = values.get(BY, (ownership.by, ownership.claim))
    like: dict[str, Any] = values.get(LIKE_FIELD, {})
    if None in like.values():
        raise Unreadable
    try:
        own = tuple((_pattern(path), cast(Like, word)) for path, word in like.items())
    except Mistake:
        raise Unreadable from None  # it was complained about
    return replace(ownership, by=by, claim=claim, like=(*own, *ownership.like))


def _pattern(written: str) -> tuple[str, ...]:
    return tuple(ANY if isinstance(one, Capture) else one for one in read_prefix(written))
