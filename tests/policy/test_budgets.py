"""Who is counted as one, and what clients are told of what is left."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest

from gateway.policy.addresses import UNKNOWN
from gateway.policy.budgets import Budget, Claim, Left, Rate, Verdict, counted, key_of, over_budget, told
from gateway.policy.denied import Denied
from gateway.policy.model import Principal
from gateway.policy.reasons import Reason

KEY = b"k" * 32
PINNED = frozenset({"staff", "people"})


def _budget(per: str = "subject", name: str = "b", **limits: Any) -> Budget:
    return Budget(name, per, **{"streams": 1, "pinned": PINNED, **limits})


def _principal(
    subject: str = "ann", provider: str = "staff", issuer: str | None = "https://a/", **told: Any
) -> Principal:
    return Principal(provider, subject, issuer, told.pop("claims", {}), **told)


def _key(budget: Budget, principal: Principal | None, ip: str = "192.0.2.1") -> bytes:
    return key_of(budget, KEY, principal, ip)


DIFFERENT = {
    "another subject": (_budget(), _principal("bob")),
    "the subject in capitals": (_budget(), _principal("Ann")),
    "with a space": (_budget(), _principal("ann ")),
    "another issuer of the same provider": (_budget(), _principal(issuer="https://b/")),
    "a provider that checks no issuer, and a token that says it has one": (_budget(), _principal(provider="jobs")),
    "a provider whose name is an issuer": (_budget(), _principal(provider="https://a/", issuer=None)),
    "another budget": (_budget(name="c"), _principal()),
    "a provider that reads another claim of the same issuer": (_budget(named_by={"staff": "nickname"}), _principal()),
    "an organization of that name": (_budget("organization"), _principal("x", organization="ann")),
    "a client of that name": (_budget("client"), _principal("x", client="ann")),
    "a claim of that name": (_budget("claim:sub"), _principal("x", claims={"sub": "ann"})),
    "an organization that holds the parts of another key": (
        _budget("organization"), _principal("x", organization="10:https://a/3:ann"),
    ),
    "parts that join to the same text": (_budget(), _principal("nn", issuer="https://a/a")),
    "the provider": (_budget("provider"), _principal()),
    "the address": (_budget("ip"), _principal()),
}  # fmt: skip


def test_callers_who_are_not_one_never_have_one_key() -> None:
    keys = {"ann": _key(_budget(), _principal())} | {name: _key(*pair) for name, pair in DIFFERENT.items()}
    for (one, first), (other, second) in combinations(keys.items(), 2):
        assert first != second, (one, other)


def test_one_person_with_tokens_of_two_providers_of_one_issuer_is_one() -> None:
    assert _key(_budget(), _principal(provider="staff")) == _key(_budget(), _principal(provider="people"))


def test_keys_hold_nothing_that_could_be_read_and_differ_by_secret() -> None:
    one = key_of(_budget(), KEY, _principal("ann@example.com"), "192.0.2.1")
    assert len(one) == 16 and b"ann" not in one
    assert one != key_of(_budget(), b"j" * 32, _principal("ann@example.com"), "192.0.2.1")


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (1, 1.0, True), (1, "1", False), (True, "True", False), (True, 1, False), ("a", "A", False), (0, False, False),
        (1e3, 1000, True), ("n1", 1, False),
    ],
)  # fmt: skip
def test_values_of_claims_are_one_if_they_are_in_json(one: object, other: object, is_same: bool) -> None:
    keys = [_key(_budget("claim:team"), _principal(claims={"team": value})) for value in (one, other)]
    assert (keys[0] == keys[1]) is is_same


@pytest.mark.parametrize(
    ("budget", "principal", "ip"),
    [
        (_budget("organization"), _principal(), "192.0.2.1"),
        (_budget("organization"), _principal(organization=""), "192.0.2.1"),
        (_budget("client"), _principal(), "192.0.2.1"),
        (_budget("claim:team"), _principal(), "192.0.2.1"),
        (_budget("claim:team"), _principal(claims={"team": ""}), "192.0.2.1"),
        (_budget("claim:team"), _principal(claims={"team": ["a"]}), "192.0.2.1"),
        (_budget("claim:team"), _principal(claims={"team": None}), "192.0.2.1"),
        (_budget("subject"), None, "192.0.2.1"),
        (_budget("ip"), None, UNKNOWN),
        (_budget("ip"), None, ""),
    ],
)
def test_who_has_nothing_to_be_counted_by_is_refused_not_counted_with_others(
    budget: Budget, principal: Principal | None, ip: str
) -> None:
    with pytest.raises(Denied) as no:
        counted(budget, principal, ip)
    assert no.value.reason is Reason.BUDGET_UNCOUNTED


def test_an_ipv6_subscriber_is_one_and_mapped_addresses_are_ipv4() -> None:
    budget = _budget("ip")
    assert _key(budget, None, "2001:db8::1") == _key(budget, None, "2001:db8::ffff:1")
    assert _key(budget, None, "2001:db8::1") != _key(budget, None, "2001:db8:0:1::1")
    assert _key(budget, None, "::ffff:192.0.2.1") == _key(budget, None, "192.0.2.1")


def test_what_is_left_is_told_as_structured_fields() -> None:
    budget = Budget("people", "subject", streams=3, requests=Rate(60, 60.0))
    claims = [Claim(budget, b"", 3, budget.requests)]
    lines = told(claims, Verdict([Left(12, 4.2, 1)]))
    assert lines == (
        b'RateLimit-Policy: "people";q=60;w=60, "people-streams";q=3;qu="concurrent-requests"\r\n'
        b'RateLimit: "people";r=12;t=5, "people-streams";r=1\r\n'
    )
    refused = over_budget(claims, Verdict([Left(0, 4.2, 1)], 0, "requests", 4.2))
    assert refused.lines.startswith(b"Retry-After: 5\r\nRateLimit-Policy: ")
    assert refused.detail == "the budget 'people' per subject: 60/1m requests"
