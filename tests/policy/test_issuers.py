"""Issuers that hold a claim: which tokens are theirs, and what a token may not do with its claims."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.issuer_names import ISSUER
from gateway.policy.issuers import IssuerTemplate
from gateway.policy.providers import KeySource, Provider, key_source_of

TENANT = "11111111-2222-4333-8444-555555555555"


def template(text: str = "https://login.example/{tid}/v2.0") -> IssuerTemplate:
    found = ISSUER.parse(text)
    assert isinstance(found, IssuerTemplate)
    return found


def test_token_of_a_tenant_is_the_templates() -> None:
    assert template().fault(f"https://login.example/{TENANT}/v2.0", {"tid": TENANT}) is None


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({}, "tid is missing"),
        ({"tid": None}, "tid is missing"),
        ({"tid": 5}, "tid is no text"),
        ({"tid": True}, "tid is no text"),
        ({"tid": [TENANT]}, "tid is no text"),
        ({"tid": {"a": TENANT}}, "tid is no text"),
        ({"tid": "another"}, f"tid is 'another', and iss has '{TENANT}' in its place"),
        ({"tid": TENANT.upper() + "x"}, "tid is"),
        ({"tid": ""}, "tid is ''"),
        ({"Tid": TENANT}, "tid is missing"),
    ],
)
def test_claim_must_be_there_and_agree_with_the_issuer(claims: dict[str, Any], said: str) -> None:
    fault = template().fault(f"https://login.example/{TENANT}/v2.0", claims)
    assert fault is not None and said in fault


HOSTILE = [
    "", ".", "..", "...", "x/y", "/", "../v2.0", "x%2Fy", "%2e%2e", "x%00", "x\x00", "x\n", "x\r\ny", "x y", "x\ty",
    "x?y", "x#y", "@evil.test", "u:p@evil.test", "x:80", "x\\y", "\\..\\", "x;y", "x=y", "x&y", "x+y", "x*", "{tid}",
    "\uff58", "\u00e9", "\u202e", "x\u2028", "\u2024\u2024", "\uff0e\uff0e", "x\uff0fy", "\u0661", "[::1]", "x" * 129,
    "x|y", "x^y", "x`y", "x'y", 'x"y', "<x>", "!x", "$x", "(x)", "x,y",
]  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_claim_that_is_more_than_one_segment_makes_no_issuer(value: str) -> None:
    # What a token claims becomes a part of an address that we ask: SSRF (CWE-918), path traversal (CWE-22).
    one = template()
    issuer = f"https://login.example/{value}/v2.0"
    assert one.fault(issuer, {"tid": value}) is not None
    assert not one.may_be(issuer)


@pytest.mark.parametrize(
    "issuer",
    [
        f"http://login.example/{TENANT}/v2.0",
        f"https://login.example:443/{TENANT}/v2.0",
        f"https://LOGIN.example/{TENANT}/v2.0",
        f"https://login.example.evil.test/{TENANT}/v2.0",
        f"https://login.example@evil.test/{TENANT}/v2.0",
        f"https://login.example/{TENANT}/v2.0/",
        f"https://login.example//{TENANT}/v2.0",
        f"https://login.example/x/{TENANT}/v2.0",
        f"https://login.example/{TENANT}/v2.0?x",
        f"https://login.example/{TENANT}/v2.0#x",
        f" https://login.example/{TENANT}/v2.0",
        f"{TENANT}",
        "https://login.example/{tid}/v2.0",
        "",
    ],
)
def test_issuer_of_another_form_is_none(issuer: str) -> None:
    assert template().fault(issuer, {"tid": TENANT}) is not None


@given(st.text(), st.text())
def test_issuer_that_counts_is_the_template_with_its_claim_and_nothing_else(issuer: str, tid: str) -> None:
    for written in (issuer, f"https://login.example/{tid}/v2.0", f"https://login.example/{issuer}/v2.0"):
        if template().fault(written, {"tid": tid}) is None:
            assert written == f"https://login.example/{tid}/v2.0"
            assert tid.isascii() and not set(tid) & set("/\\?#@%:;{} \r\n") and tid.strip(".")


def test_every_claim_of_a_template_must_agree() -> None:
    one = template("https://login.example/{org}/x/{/t/id}")
    claims = {"org": "o", "t": {"id": "t1"}}
    assert one.fault("https://login.example/o/x/t1", claims) is None
    assert one.fault("https://login.example/o/x/t2", claims) is not None
    assert one.fault("https://login.example/p/x/t1", claims) is not None
    assert one.filled({"org": "o", "/t/id": "t1"}) == "https://login.example/o/x/t1"


def test_claim_may_be_named_twice() -> None:
    one = template("https://login.example/{tid}/{tid}")
    assert one.fault("https://login.example/a/a", {"tid": "a"}) is None
    assert one.fault("https://login.example/a/b", {"tid": "a"}) is not None


# Whose keys.


def provider(**settings: Any) -> Provider:
    return Provider("p", "oidc", frozenset({"RS256"}), **settings)


def test_each_issuer_has_its_own_keys_and_none_has_anothers() -> None:
    a, b = KeySource("https://a.example", None), KeySource("https://b.example", None)
    pattern = KeySource(None, None, max_issuers=5, ca_file="/ca.pem")
    found = provider(
        issuer_sources=(a, b, pattern), issuers=frozenset({"https://a.example", "https://b.example"}),
        issuer_templates=(template(),),
    )  # fmt: skip
    assert key_source_of(found, "https://a.example") is a
    assert key_source_of(found, "https://b.example") is b
    one, other = (key_source_of(found, f"https://login.example/{tenant}/v2.0") for tenant in ("t1", "t2"))
    assert one is not None and other is not None and one != other
    assert (one.issuer, one.ca_file, one.pattern, one.max_issuers) == (
        "https://login.example/t1/v2.0", "/ca.pem", pattern, 0,
    )  # fmt: skip
    assert key_source_of(found, "https://login.example/t1/v2.0") == one, "the same keys the next time"


def test_one_address_of_keys_is_for_all_issuers() -> None:
    shared = KeySource(None, "https://k.example/keys")
    found = provider(key_source=shared, issuer_templates=(template(),), issuers=frozenset())
    assert key_source_of(found, "https://login.example/t1/v2.0") is shared


def test_no_source_for_what_is_no_text() -> None:
    found = provider(issuer_sources=(KeySource(None, None, max_issuers=5),), issuers=frozenset())
    assert all(key_source_of(found, issuer) is None for issuer in (None, 5, ["https://a.example"]))
    assert not found.takes_issuer(["https://a.example"], {})
