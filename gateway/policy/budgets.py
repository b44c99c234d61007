"""Budgets: how much a caller may use up, who counts as one caller, and what a client is told of what is left.

Draft `draft-ietf-httpapi-ratelimit-headers-10`: `RateLimit-Policy` and `RateLimit`, structured fields (RFC 9651).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.policy.addresses import UNKNOWN, network_of
from gateway.policy.claim_names import read_claim
from gateway.policy.denied import Denied
from gateway.policy.model import Principal
from gateway.policy.reasons import Reason
from gateway.policy.words import duration_of

CLAIM: Final = "claim:"  # how a claim is named in `per`, its name behind it
KEY_BYTES: Final = 16
# Up to this many requests each has its own moment. Of more those that came within this part of a window are one.
EXACT_COUNT: Final = 1000


@dataclass(frozen=True, slots=True)
class Rate:
    """So many within any time of this length."""

    count: int
    seconds: float

    @property
    def granule_seconds(self) -> float:
        """How exactly moments are kept: 0 where each is. They are rounded up, so that never more pass than `count`."""
        return 0.0 if self.count <= EXACT_COUNT else self.seconds / EXACT_COUNT

    def __str__(self) -> str:
        return f"{self.count}/{duration_of(self.seconds)}"


@dataclass(frozen=True, slots=True)
class Budget:
    """What each caller may use up. `per`: subject, organization, client, provider, ip, or `claim:` and a name.

    `pinned` are the providers of the file that take tokens of issuers which it names, so that these say who is who.
    `named_by` has the claim in which one of them finds that, where it is none of the usual.
    """

    name: str
    per: str
    streams: int | None = None  # under way at once
    requests: Rate | None = None
    failures: Rate | None = None  # 401 answers, of an address
    pinned: frozenset[str] = frozenset()
    named_by: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def place(self) -> str:
        """How the log calls it where it refuses, as `allow[0]` is called."""
        return f"budgets.{self.name}"


@dataclass(frozen=True, slots=True)
class Claim:
    """What one request asks of one budget: the key of who is counted, without anything that could be read of him."""

    budget: Budget
    key: bytes
    streams: int | None
    requests: Rate | None


@dataclass(slots=True, init=False)  # made for every request that is counted
class Left:
    """What is left of one claim: requests, and seconds until one of those that count no longer does; streams."""

    requests: int
    reset_seconds: float
    streams: int

    def __init__(self, requests: int = 0, reset_seconds: float = 0.0, streams: int = 0) -> None:
        self.requests, self.reset_seconds, self.streams = requests, reset_seconds, streams


@dataclass(slots=True, init=False)  # likewise
class Verdict:
    """What a store says to a request. `refused` is the number of the claim that has nothing left, None: it may pass.

    `what`: streams or requests. `wait_seconds`: until it would have some again, where that is known.
    """

    left: list[Left]
    refused: int | None
    what: str
    wait_seconds: float

    def __init__(self, left: list[Left], refused: int | None = None, what: str = "", wait_seconds: float = 0.0) -> None:
        self.left, self.refused, self.what, self.wait_seconds = left, refused, what, wait_seconds


class OverBudget(Denied):
    """A budget has nothing left. `lines` are those of the answer, `Retry-After` among them; `budget` None: all have."""

    def __init__(self, reason: Reason, detail: str, lines: bytes, budget: Budget | None = None) -> None:
        super().__init__(reason, detail)
        self.lines = lines
        self.rule = None if budget is None else budget.place


def claims_of(
    budgets: Sequence[Budget], secret: bytes, principal: Principal | None, client_ip: str
) -> tuple[Claim, ...]:
    """Return what a request asks of the budgets of its route. Raises `Denied` (BUDGET_UNCOUNTED)."""
    return tuple([
        Claim(one, key_of(one, secret, principal, client_ip), one.streams, one.requests) for one in budgets
    ])  # fmt: skip


def key_of(budget: Budget, secret: bytes, principal: Principal | None, client_ip: str) -> bytes:
    """Return the key of who is counted: a keyed BLAKE2b (RFC 7693). Raises `Denied` (BUDGET_UNCOUNTED).

    Each part has its length before it, so that no two lists of parts are the same bytes.
    """
    parts = [part.encode("utf-8", "surrogatepass") for part in (budget.name, *counted(budget, principal, client_ip))]
    whole = b"".join([b"%d:%b" % (len(part), part) for part in parts])
    return hashlib.blake2b(whole, key=secret, digest_size=KEY_BYTES).digest()


def counted(budget: Budget, principal: Principal | None, client_ip: str) -> tuple[str, ...]:
    """Return who is counted, in parts. Raises `Denied` (BUDGET_UNCOUNTED) where a caller is nobody to this budget.

    A subject is one of its issuer (OpenID Connect Core section 2): the same person with tokens of two providers that
    name the same issuer is one, and a provider that checks no issuer cannot spend what is another's. Nor can one that
    reads another claim, in which people may write what they like: a nickname is not the `sub` of who is called so.
    """
    per = budget.per
    if per == "ip":
        network = network_of(client_ip)
        if network == UNKNOWN:
            raise _uncounted(budget, "counts addresses, and this one is unknown")
        return per, network
    if principal is None:
        raise _uncounted(budget, f"counts per {per}, and nobody is known")
    if per == "provider":
        return per, principal.provider
    value = _value_of(per, principal)
    if value is None:
        raise _uncounted(budget, f"counts per {per}, and the token names none")
    if principal.issuer is not None and principal.provider in budget.pinned:
        claim = budget.named_by.get(principal.provider)
        return (per, "issuer", principal.issuer, value, *(() if claim is None else (claim,)))
    return per, "provider", principal.provider, value


def _uncounted(budget: Budget, why: str) -> Denied:
    denied = Denied(Reason.BUDGET_UNCOUNTED, f"the budget '{budget.name}' {why}")
    denied.rule = budget.place
    return denied


def _value_of(per: str, principal: Principal) -> str | None:
    if per == "subject":
        return principal.subject
    if per == "organization":
        return principal.organization or None
    if per == "client":
        return principal.client or None
    return _written(read_claim(principal.claims, per.removeprefix(CLAIM)))


def _written(value: object) -> str | None:
    """Return a claim's value as text, with its JSON type before it; None for what is no single value, or an empty one.

    A number is the same however an issuer wrote it (RFC 8259 section 6).
    """
    if isinstance(value, bool):
        return f"b{value}"
    if isinstance(value, str):
        return f"s{value}" if value else None
    if isinstance(value, int):
        return f"n{value}"
    if isinstance(value, float):
        return f"n{int(value)}" if value.is_integer() else f"n{value!r}"
    return None


def told(claims: Sequence[Claim], verdict: Verdict) -> bytes:
    """Return the lines that say what is left of each budget, and until when, as they are written in a head."""
    policies: list[str] = []
    left: list[str] = []
    for claim, one in zip(claims, verdict.left, strict=True):
        name = claim.budget.name
        rate = claim.requests
        if rate is not None:
            policies.append(f'"{name}";q={rate.count};w={math.ceil(rate.seconds)}')
            left.append(f'"{name}";r={max(0, one.requests)};t={math.ceil(min(one.reset_seconds, rate.seconds))}')
        if claim.streams is not None:
            policies.append(f'"{name}-streams";q={claim.streams};qu="concurrent-requests"')
            left.append(f'"{name}-streams";r={max(0, one.streams)}')
    return f"RateLimit-Policy: {', '.join(policies)}\r\nRateLimit: {', '.join(left)}\r\n".encode("ascii")


def over_budget(claims: Sequence[Claim], verdict: Verdict) -> OverBudget:
    """Return the refusal of a request for which a budget has nothing left."""
    number = verdict.refused or 0
    claim = claims[number]
    limit = f"{claim.streams} streams at once" if verdict.what == "streams" else f"{claim.requests} requests"
    detail = f"the budget '{claim.budget.name}' per {claim.budget.per}: {limit}"
    lines = retry_line(verdict.wait_seconds) + told(claims, verdict)
    return OverBudget(Reason.BUDGET_EXCEEDED, detail, lines, claim.budget)


def retry_line(seconds: float) -> bytes:
    """Return `Retry-After` (RFC 9110 section 10.2.3) in whole seconds, at least one."""
    return b"Retry-After: %d\r\n" % max(1, math.ceil(seconds))
