"""Kinds of Clerk's tokens: one key signs them all, so that nothing else may let one pass for another."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from gateway.policy.clerk import kind_of
from gateway.policy.denied import Denied
from gateway.policy.providers import ClerkKind, Provider
from gateway.policy.reasons import Reason
from gateway.policy.token import Token, parse_token
from gateway.policy.verify import check_claims
from tests.minting import NOW, claims_of, mint

SESSION, TEMPLATE, MACHINE, UNSAID = "cl_B7d4PD111AAA", "cl_B7d4PD222AAA", "cl_B7d4PD333AAA", "cl_I7d4PD111III"
CLERK = Provider("people", "clerk", frozenset({"RS256"}), types=frozenset({"jwt", "at+jwt"}))
USER, ROBOT = "user_1", "mch_1"
KINDS: list[tuple[dict[str, Any], str, ClerkKind | None]] = [
    ({}, USER, "session"),
    ({"typ": None}, USER, "session"),
    ({"cat": SESSION}, USER, "session"),
    ({"cat": UNSAID}, USER, "session"),
    ({"cat": TEMPLATE}, USER, "template"),
    ({"typ": "at+jwt"}, USER, "oauth"),
    ({"typ": "AT+JWT", "cat": UNSAID}, USER, "oauth"),
    ({"typ": "application/at+jwt", "cat": MACHINE}, USER, "oauth"),
    ({"typ": "at+jwt", "cat": "cl_new"}, USER, "oauth"),
    ({}, ROBOT, "machine"),
    ({"cat": MACHINE}, ROBOT, "machine"),
    ({"cat": UNSAID}, ROBOT, "machine"),
    # What contradicts itself, or is unknown, is of no kind.
    ({"cat": MACHINE}, USER, None),
    ({"cat": SESSION}, ROBOT, None),
    ({"cat": TEMPLATE}, ROBOT, None),
    ({"cat": "cl_new"}, USER, None),
    ({"cat": "cl_new"}, ROBOT, None),
    ({"cat": "cl_b7d4pd111aaa"}, USER, None),
    ({"cat": ""}, USER, None),
    ({"cat": [SESSION]}, USER, None),
    ({"typ": "at+jwt", "cat": SESSION}, USER, None),
    ({"typ": "at+jwt", "cat": TEMPLATE}, USER, None),
    ({"typ": "at+jwt"}, ROBOT, None),
    ({"typ": "at+jwt", "cat": MACHINE}, ROBOT, None),
]
ALL: tuple[ClerkKind, ...] = ("session", "template", "oauth", "machine")


def token_of(header: dict[str, Any], subject: str, **claims: Any) -> Token:
    return parse_token(mint(claims_of(sub=subject, **claims), header=header))


@pytest.mark.parametrize(("header", "subject", "kind"), KINDS)
def test_kind_of_a_token(header: dict[str, Any], subject: str, kind: ClerkKind | None) -> None:
    assert kind_of(token_of(header, subject), CLERK) == kind


@pytest.mark.parametrize(("header", "subject", "kind"), KINDS)
@pytest.mark.parametrize("accepted", [one for n in (1, 2, 4) for one in itertools.combinations(ALL, n)], ids="-".join)
def test_only_kinds_that_are_accepted_count(
    header: dict[str, Any], subject: str, kind: ClerkKind | None, accepted: tuple[ClerkKind, ...]
) -> None:
    provider = replace(CLERK, clerk_kinds=frozenset(accepted))
    token = token_of(header, subject)
    if kind in accepted:
        check_claims(token, provider, NOW)
        return
    with pytest.raises(Denied) as no:
        check_claims(token, provider, NOW)
    assert no.value.reason is Reason.TOKEN_KIND_REFUSED


def test_machine_is_known_by_sub_whatever_else_names_the_caller() -> None:
    named = replace(CLERK, subject_claim="email")
    with pytest.raises(Denied, match="machine"):
        check_claims(token_of({}, ROBOT, email="a@b.test"), named, NOW)


@pytest.mark.parametrize(
    ("header", "subject", "party", "passes"),
    [
        ({"typ": "at+jwt"}, USER, ..., True),
        ({}, ROBOT, ..., True),
        ({}, USER, ..., False),
        ({"cat": TEMPLATE}, USER, ..., False),
        ({"typ": "at+jwt"}, USER, "https://evil.test", False),
        ({}, ROBOT, "https://evil.test", False),
        ({"typ": "at+jwt"}, USER, "https://app.test", True),
        ({}, USER, "https://app.test", True),
    ],
)
def test_only_what_is_made_for_pages_must_name_one(
    header: dict[str, Any], subject: str, party: object, passes: bool
) -> None:
    provider = replace(CLERK, clerk_kinds=frozenset(ALL), authorized_parties=frozenset({"https://app.test"}))
    token = token_of(header, subject, azp=party)
    if passes:
        check_claims(token, provider, NOW)
        return
    with pytest.raises(Denied) as no:
        check_claims(token, provider, NOW)
    assert no.value.reason is Reason.AUTHORIZED_PARTY_MISMATCH


@pytest.mark.parametrize(
    ("header", "subject", "said"),
    [
        ({"cat": TEMPLATE}, USER, f"cat is '{TEMPLATE}' (template), accepted: session"),
        ({"typ": "at+jwt"}, USER, "no cat, typ is 'at+jwt', accepted: session"),
        ({"typ": "at+jwt", "cat": MACHINE}, USER, f"cat is '{MACHINE}' (machine), typ is 'at+jwt', accepted: session"),
        ({}, ROBOT, "the subject is a machine (mch_), accepted: session"),
    ],
)
def test_refusal_says_what_the_token_is(header: dict[str, Any], subject: str, said: str) -> None:
    with pytest.raises(Denied) as no:
        check_claims(token_of(header, subject), CLERK, NOW)
    assert no.value.detail == said
