"""What an upstream is told about the caller, and that it can read it back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.denied import Denied
from gateway.policy.model import Principal
from gateway.policy.reasons import Reason
from gateway.policy.upstreams import FACTS, SIGNED_ISSUER, Fact, Identity
from gateway.proxy.identity import TokenSigner, identity_lines, signed_token

NOW = 1_800_000_000.4
SECRET = b"kJ4v9QzT2mX7bW1cR8yL5nP3sD6fG0hA-tests"
SOMEBODY = Principal(
    provider="staff",
    subject="auth0|1",
    issuer="https://idp.example.test/",
    claims={"sub": "auth0|1", "email": "raw@example.com", "https://example.com/plan": "pro", "none": None},
    expires_at=NOW + 300,
    email="alice@example.com",
    organization="org_1",
    client="app",
    roles=("admin", "dev"),
    groups=("a,b", "c%"),
    scopes=("read:x", "write:x"),
    permissions=(),
    kind="agent",
    actor="agent-7",
)


def lines_of(claim: Any) -> list[tuple[str, str]]:
    identity = Identity(headers=(("X-Fact", Fact("c", is_claim=True)),))
    return identity_lines(identity, replace(SOMEBODY, claims={"c": claim}))


def value_of(claim: Any) -> str:
    [(name, value)] = lines_of(claim)
    assert name == "X-Fact"
    return value


FACT_VALUES = {
    "subject": "auth0|1",
    "email": "alice@example.com",
    "provider": "staff",
    "issuer": "https://idp.example.test/",
    "roles": "admin,dev",
    "groups": "a%2Cb,c%25",
    "scopes": "read:x,write:x",
    "permissions": "",
    "organization": "org_1",
    "client": "app",
    "kind": "agent",
    "actor": "agent-7",
}


@pytest.mark.parametrize("name", FACTS)
def test_fact_becomes_a_header(name: str) -> None:
    assert identity_lines(Identity(headers=(("X-Fact", Fact(name)),)), SOMEBODY) == [("X-Fact", FACT_VALUES[name])]


@pytest.mark.parametrize("name", sorted(set(FACTS) - {"subject", "provider", "kind"}))
def test_fact_that_the_token_does_not_state_gives_no_header(name: str) -> None:
    bare = Principal("staff", "u", None, {"email": "unverified@example.com"})
    assert identity_lines(Identity(headers=(("X-Fact", Fact(name)),)), bare) == []


def test_email_is_told_under_no_name_as_long_as_rules_cannot_read_it() -> None:
    hidden = Principal("staff", "u", None, {"mail": "a@b.test.", "user": {"mail": "x"}}, email_name="mail")
    identity = Identity(
        headers=(("X-Mail", Fact("mail", is_claim=True)), ("X-Other", Fact("/user/mail", is_claim=True)))
    )
    assert identity_lines(identity, hidden) == [("X-Other", "x")]
    signed = opened(signed_token(replace(SIGNING, claims=("email", "mail", "/user/mail")), hidden, NOW))
    assert signed["mail"] == "x" and "email" not in signed, "a pointer's claim has the name of its last member"


def test_claim_is_found_by_its_literal_name() -> None:
    identity = Identity(
        headers=(
            ("X-Auth-Subject", Fact("subject")),
            ("X-Auth-Plan", Fact("https://example.com/plan", is_claim=True)),
            ("X-Auth-Absent", Fact("absent", is_claim=True)),
            ("X-Auth-Null", Fact("none", is_claim=True)),
        )
    )
    assert identity_lines(identity, SOMEBODY) == [("X-Auth-Subject", "auth0|1"), ("X-Auth-Plan", "pro")]


def test_nobody_has_no_identity() -> None:
    assert identity_lines(Identity(headers=(("X-Fact", Fact("subject")),)), None) == []


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        pytest.param("alice+x@example.com", "alice+x@example.com", id="visible-ascii"),
        pytest.param("".join(map(chr, range(0x21, 0x7F))), None, id="all-visible-ascii"),
        pytest.param("a b  c", "a b  c", id="inner-spaces"),
        pytest.param(" a b ", "%20a b%20", id="spaces-at-the-ends"),
        pytest.param("  ", "%20%20", id="only-spaces"),
        pytest.param("", "", id="empty"),
        pytest.param("100%41", "100%2541", id="percent"),
        pytest.param("Zoë", "Zo%C3%AB", id="latin"),
        pytest.param("日本😀", "%E6%97%A5%E6%9C%AC%F0%9F%98%80", id="beyond-the-basic-plane"),
        pytest.param("a\tb\x1b\x7f\x85\u2028", "a%09b%1B%7F%C2%85%E2%80%A8", id="controls"),
        pytest.param("a,b", "a,b", id="comma-in-one-string"),
        pytest.param(True, "true", id="true"),
        pytest.param(False, "false", id="false"),
        pytest.param(0, "0", id="zero"),
        pytest.param(-1.5, "-1.5", id="number"),
        pytest.param(2**70, str(2**70), id="big-number"),
        pytest.param(["a", "b,c", " d", "é"], "a,b%2Cc,%20d,%C3%A9", id="list"),
        pytest.param([], "", id="empty-list"),
        pytest.param(["", ""], ",", id="two-empty-members"),
        pytest.param([1, "a"], '[1,"a"]', id="mixed-list"),
        pytest.param({"a": "é ", "b": [1, None]}, '{"a":"%C3%A9 ","b":[1,null]}', id="object"),
        pytest.param({"a": "\\n"}, '{"a":"\\\\n"}', id="object-with-a-backslash-before-n"),
    ],
)
def test_value_goes_through_without_loss(claim: Any, value: str | None) -> None:
    if value is None:
        value = claim.replace("%", "%25")
    assert value_of(claim) == value


@pytest.mark.parametrize(
    "claim",
    [
        # Response and request splitting (CWE-113); C strings end at NUL; half a character has no UTF-8.
        pytest.param("a\r\nX-Admin: true", id="crlf"),
        pytest.param("a\nb", id="lf"),
        pytest.param("a\rb", id="cr"),
        pytest.param("a\0b", id="nul"),
        pytest.param("\ud800", id="lone-surrogate"),
        pytest.param(["a", "b\n"], id="in-a-list"),
        pytest.param({"a": ["\r"]}, id="in-an-object"),
        pytest.param({"a": "\\\n"}, id="in-an-object-after-a-backslash"),
        pytest.param({"\0": 1}, id="in-a-name"),
        pytest.param({"a": "\udfff"}, id="surrogate-in-an-object"),
        pytest.param([""], id="one-empty-member-that-reads-like-no-member"),
        pytest.param(float("nan"), id="nan"),
    ],
)
def test_value_that_would_be_lost_or_split_the_head_is_refused(claim: Any) -> None:
    with pytest.raises(Denied) as refusal:
        lines_of(claim)
    assert refusal.value.reason is Reason.IDENTITY_UNSAFE
    assert refusal.value.detail == "X-Fact cannot hold its value without loss"


def test_value_nested_beyond_all_bounds_is_refused() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(Denied, match="identity_unsafe"):
        lines_of(deep)


CLEAN = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]))


@given(CLEAN)
def test_every_string_can_be_read_back_from_visible_ascii(text: str) -> None:
    value = value_of(text)
    assert value.isascii() and value.isprintable() and value == value.strip()
    assert unquote(value, errors="strict") == text


@given(st.lists(CLEAN.filter(bool)))
def test_every_list_can_be_read_back(members: list[str]) -> None:
    value = value_of(members)
    assert [unquote(member, errors="strict") for member in value.split(",") if member] == members


SIGNING = Identity(
    "sign",
    SECRET,
    60.0,
    (
        "sub",
        "email",
        "org",
        "roles",
        "groups",
        "scope",
        "permissions",
        "client",
        "provider",
        "kind",
        "actor",
        "https://example.com/plan",
    ),
)


def opened(token: str) -> dict[str, Any]:
    options: Any = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(token, SECRET, algorithms=["HS256"], options=options)
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}
    return dict(claims)


def test_signed_token_holds_the_claims_that_the_file_lists() -> None:
    assert opened(signed_token(SIGNING, SOMEBODY, NOW)) == {
        "sub": "auth0|1",
        "email": "alice@example.com",
        "org": "org_1",
        "roles": ["admin", "dev"],
        "groups": ["a,b", "c%"],
        "scope": "read:x write:x",
        "permissions": [],
        "client": "app",
        "provider": "staff",
        "kind": "agent",
        "actor": "agent-7",
        "https://example.com/plan": "pro",
        "iss": SIGNED_ISSUER,
        "iat": 1_800_000_000,
        "exp": 1_800_000_061,
    }


def test_signed_token_leaves_out_what_is_not_known() -> None:
    # An email that is not verified is among the claims, and must not get through by that name.
    bare = Principal("staff", "u", None, {"email": "raw@example.com", "roles": "admin", "scope": 1, "none": None})
    identity = replace(SIGNING, claims=(*SIGNING.claims, "none", "absent"))
    assert set(opened(signed_token(identity, bare, NOW))) == {"sub", "provider", "kind", "iss", "iat", "exp"}


def test_listed_claims_cannot_replace_what_is_ours_to_say() -> None:
    identity = replace(SIGNING, claims=("iss", "exp", "iat", "sub", "nbf"))
    principal = replace(SOMEBODY, claims={"iss": "evil", "exp": 9e9, "iat": 1, "sub": "other", "nbf": 5})
    assert opened(signed_token(identity, principal, NOW)) == {
        "iss": SIGNED_ISSUER,
        "exp": 1_800_000_061,
        "iat": 1_800_000_000,
        "sub": "auth0|1",
        "nbf": 5,
    }


@pytest.mark.parametrize(
    ("expires_at", "expiry"),
    [
        pytest.param(None, 1_800_000_061, id="never"),
        pytest.param(NOW + 3600, 1_800_000_061, id="later"),
        pytest.param(NOW + 10, 1_800_000_011, id="sooner"),
        pytest.param(NOW, 1_800_000_061, id="now-within-leeway"),
        pytest.param(NOW - 3, 1_800_000_061, id="over-but-within-leeway"),
    ],
)
def test_signed_token_does_not_outlive_the_callers(expires_at: float | None, expiry: int) -> None:
    assert opened(signed_token(SIGNING, replace(SOMEBODY, expires_at=expires_at), NOW))["exp"] == expiry


def test_signed_token_carries_half_a_character_escaped() -> None:
    identity = replace(SIGNING, claims=("c",))
    token = signed_token(identity, replace(SOMEBODY, claims={"c": "\ud800"}), NOW)
    payload = jwt.utils.base64url_decode(token.split(".")[1])
    assert json.loads(payload)["c"] == "\ud800"


def test_claims_that_cannot_be_written_are_refused() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(Denied) as refusal:
        signed_token(replace(SIGNING, claims=("c",)), replace(SOMEBODY, claims={"c": deep}), NOW)
    assert refusal.value.reason is Reason.IDENTITY_UNSAFE


def test_signer_gives_the_same_token_for_half_its_life() -> None:
    signer = TokenSigner(SIGNING)
    first = signer.token_for(SOMEBODY, NOW)
    assert signer.token_for(SOMEBODY, NOW + 29.9) == first
    second = signer.token_for(SOMEBODY, NOW + 30)
    assert second != first and opened(second)["iat"] == 1_800_000_030


def test_signer_renews_in_time_for_a_caller_whose_token_ends_soon() -> None:
    signer = TokenSigner(SIGNING)
    soon = replace(SOMEBODY, expires_at=NOW + 10)
    first = signer.token_for(soon, NOW)
    assert signer.token_for(soon, NOW + 4.9) == first
    assert signer.token_for(soon, NOW + 5.1) != first  # signed again, with another `iat`


def test_signer_never_gives_one_principal_the_token_of_another() -> None:
    signer = TokenSigner(SIGNING)
    for number in range(200):  # each object may get the `id` of one that is gone
        principal = replace(SOMEBODY, subject=f"user-{number}")
        assert opened(signer.token_for(principal, NOW))["sub"] == f"user-{number}"


def test_signer_is_bounded() -> None:
    signer = TokenSigner(SIGNING, max_entries=2)
    somebodies = [replace(SOMEBODY, subject=f"user-{number}") for number in range(3)]
    for principal in somebodies:
        signer.token_for(principal, NOW)
    assert len(signer._entries) == 2
    assert opened(signer.token_for(somebodies[0], NOW + 1))["iat"] == 1_800_000_001  # forgotten, signed again
