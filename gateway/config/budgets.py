"""`budgets:` how much each caller may use up, and which of them a route asks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from gateway.config.claim_names import CLAIM_NAME
from gateway.config.document import Items, Node
from gateway.config.lists import MappingOf, check_name
from gateway.config.readers import Mistake, Scalar, Schema, duration, integer, text_of
from gateway.config.reading import Reading, Unreadable, attempt_each, nearest
from gateway.config.records import Field, Record
from gateway.policy.budgets import CLAIM, Budget, Rate
from gateway.policy.providers import PRESETS, Provider

_PER = ("subject", "organization", "client", "provider", "ip")
# The claims of a client: an issuer writes them, whichever of them a provider reads.
_CLIENT = {*PRESETS["oidc"].client_claims, "aud"}
_MAX_COUNT, _MAX_STREAMS = 1_000_000, 100_000
_MIN_SECONDS, _MAX_SECONDS = 1.0, 31 * 86400.0
_DURATION = duration(at_most_seconds=_MAX_SECONDS)


def _per(written: str) -> str:
    if written.startswith(CLAIM):
        CLAIM_NAME.parse(written.removeprefix(CLAIM))
        return written
    if written not in _PER:
        raise Mistake(nearest(written, _PER).strip())
    return written


def _rate(written: str) -> Rate:
    found = re.fullmatch(r"([0-9]{1,9})/(.*)", written)
    if found is None:
        hint = f"(did you mean '{written}/1m'?)" if re.fullmatch(r"[0-9]{1,9}", written) else ""
        raise Mistake(hint)
    try:
        seconds = _DURATION.parse(found[2])
    except Mistake as mistake:
        raise Mistake(f"with a time {mistake}".rstrip()) from None
    if seconds < _MIN_SECONDS:
        raise Mistake("with a time of less than a second")
    if not 1 <= int(found[1]) <= _MAX_COUNT:
        raise Mistake(f"with a number that is not between 1 and {_MAX_COUNT}")
    return Rate(int(found[1]), seconds)


RATE = Scalar(
    "a number and a time such as 60/1m", _rate, {"type": "string", "pattern": r"^[0-9]+/[0-9]+(\.[0-9]+)?(s|m|h)$"}
)
PER = Field(
    "per",
    Scalar("subject, organization, client, provider, ip or claim:NAME", _per),
    "who is counted as one: `subject`, `organization`, `client`, `provider`, `ip` (of IPv6: one /64) or `claim:NAME`",
    is_required=True,
)
STREAMS = Field(
    "streams",
    integer(1, _MAX_STREAMS),
    "how many requests may be under way at once, but for GET and HEAD that ask for no stream",
)
REQUESTS = Field("requests", RATE, "how many requests within any time of this length")
FAILURES = Field(
    "failures",
    RATE,
    "with `per: ip` alone: how many 401 answers; then whatever comes from there is 429, on every route",
)
BUDGET_RECORD = Record("budgets", (PER, STREAMS, REQUESTS, FAILURES))


class _BudgetReader:
    """One budget, without its name."""

    def read(self, node: Node, reading: Reading) -> Budget:
        values = BUDGET_RECORD.read(node, reading)
        if values.broken:
            raise Unreadable
        per = values.need(PER)
        if not any(field in values for field in (STREAMS, REQUESTS, FAILURES)):
            reading.refuse_at(values.place, "found nothing that is counted, expected 'streams: 3' or 'requests: 60/1m'")
        if FAILURES in values and per != "ip":
            said = f"found 'failures' per {per}, expected 'per: ip': nobody is known who failed"
            reading.refuse_at(values.key_place(FAILURES), said)
        if FAILURES in values and (STREAMS in values or REQUESTS in values):
            other = "streams" if STREAMS in values else "requests"
            said = f"found 'failures' beside '{other}', expected a budget of its own: it counts on every route"
            reading.refuse_at(values.key_place(FAILURES), said)
        return Budget("", per, values.get(STREAMS), values.get(REQUESTS), values.get(FAILURES))

    def schema(self) -> Schema:
        return BUDGET_RECORD.schema()


BUDGETS: Field[Mapping[str, Budget | None]] = Field(
    "budgets",
    MappingOf(_BudgetReader(), check_name, "budgets by name"),
    "how much each caller may use up, by name",
)


@dataclass(slots=True)
class Budgets:
    """The budgets of a file by name, and which of them routes use. None: one with a mistake, or all of them are."""

    known: Mapping[str, Budget | None] | None = None
    used: set[str] = field(default_factory=set)

    def of_route(self, node: Node, reading: Reading, *, is_open: bool) -> tuple[Budget, ...]:
        """Return the budgets that a route names. `is_open`: nobody has to say there who he is. Raises `Unreadable`."""
        members = node.members if isinstance(node, Items) else (node,)
        if not members:
            reading.refuse(node, "found an empty list, expected the name of a budget")
        found = attempt_each(self._named, members, reading, is_open=is_open)
        for number, one in enumerate(found):
            if one in found[:number]:
                reading.refuse(members[number], f"found the budget '{one.name}' twice in one list")
        return found

    def _named(self, node: Node, reading: Reading, *, is_open: bool) -> Budget:
        name = text_of(node, reading, "the name of a budget")
        if self.known is None:
            raise Unreadable
        if name.text not in self.known:
            names = f"the budgets are {', '.join(self.known)}" if self.known else "there are no 'budgets:' in the file"
            reading.refuse(node, f"unknown budget {name.shown}{nearest(name.text, self.known)}", names)
        self.used.add(name.text)
        found = self.known[name.text]
        if found is None:
            raise Unreadable
        if found.failures is not None:
            reading.refuse(node, f"found '{found.name}', which counts failures on every route by itself: leave it out")
        if is_open and found.per != "ip":
            hint = "expected a budget with 'per: ip'"
            reading.refuse(
                node, f"found '{found.name}' per {found.per} on a route where nobody has to say who he is, {hint}"
            )
        return found


def budgets_of(
    found: Mapping[str, Budget | None] | None, providers: Iterable[Provider | None]
) -> dict[str, Budget | None]:
    """Return the budgets of a file with their names, and whose issuers say who is who."""
    pinned = [one for one in providers if one is not None and (one.issuers is not None or one.issuer_templates)]
    names = frozenset(one.name for one in pinned)
    return {
        name: replace(one, name=name, pinned=names, named_by=_named_by(one.per, pinned)) if one else None
        for name, one in (found or {}).items()
    }


def _named_by(per: str, providers: Iterable[Provider]) -> dict[str, str]:
    """Return the claim in which each provider finds who is counted, of those that look into none of the usual."""
    match per:
        case "subject":
            return {one.name: one.subject_claim for one in providers if one.subject_claim != "sub"}
        case "organization":
            claims = {one.name: one.organization_claim or "org_id" for one in providers}
            return {name: claim for name, claim in claims.items() if claim != "org_id"}
        case "client":
            return {one.name: " ".join(one.client_claims) for one in providers if {*one.client_claims} - _CLIENT}
    return {}
