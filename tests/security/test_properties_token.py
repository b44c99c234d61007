"""For all bytes as a token: a refusal that says who may not, or the one good token. Never an exception.

What a good token is, is written down here a second time, by hand and without the gateway's parsers.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import string
from collections import Counter
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.policy.decision import Allow, Decision, Deny, decide
from gateway.policy.jwk import Key, KeySet, read_key_set, secret_key
from gateway.policy.key_lookup import Keys, NoKey
from gateway.policy.model import Headers, RequestHead
from gateway.policy.providers import KeySource, Provider
from gateway.policy.routes import Policy, Route
from gateway.policy.rules import Authenticated, EmailDomain
from gateway.policy.upstreams import Upstream
from tests.keyserver import private_key, to_jwk
from tests.minting import NOW, SECRET, b64, mint, sign
from tests.security.conftest import Report

PROPERTIES = settings(settings.get_profile("properties"), max_examples=1000)
ISSUER, AUDIENCE = "https://idp.example.test", "https://api.example.test"
SOURCE = KeySource(ISSUER, f"{ISSUER}/jwks")
HS256 = frozenset({"HS256"})
SHARED = Provider("jobs", "jwt", HS256, secrets=(secret_key(SECRET, HS256),))
PARTNERS = Provider(
    "partners",
    "oidc",
    frozenset({"RS256", "ES256"}),
    key_source=SOURCE,
    issuers=frozenset({ISSUER}),
    audiences=frozenset({AUDIENCE}),
)
KEYS: KeySet = read_key_set(
    json.dumps({"keys": [to_jwk(private_key("rsa-1"), "r"), to_jwk(private_key("ec-1", "P-256"), "e")]}).encode()
)
UPSTREAM = Upstream("default", "http://127.0.0.1:1")
POLICY = Policy(
    [
        Route("/api", ("api",), UPSTREAM, providers=(SHARED, PARTNERS), allow=(Authenticated(),)),
        Route("/mail", ("mail",), UPSTREAM, providers=(SHARED,), allow=(EmailDomain(frozenset({"example.com"})),)),
    ]
)
CLAIMS = {"sub": "u", "iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 60, "email": "a@example.com"}
GOOD = (
    mint(CLAIMS),
    mint(CLAIMS, private_key("rsa-1"), "RS256", kid="r"),
    mint(CLAIMS, private_key("ec-1", "P-256"), "ES256", kid="e"),
)


class Published(Keys):
    """A key store that has its keys and never fetches."""

    def find(self, source: KeySource, kid: str | None, algorithm: str, now: float) -> Key | NoKey:
        return KEYS.find(kid, algorithm) or NoKey(fetch_may_help=False, is_outage=False)


def decided(token: str, path: str = "/api") -> Decision:
    head = RequestHead(
        "GET", path, Headers([("Host", "h"), ("Authorization", f"Bearer {token}")]), "192.0.2.1", "https"
    )
    return decide(POLICY, Published(), head, NOW)


def as_text(raw: bytes) -> str:
    """Return a header's value as the HTTP parser gives it."""
    return raw.decode("utf-8", "surrogateescape")


def is_refusal(decision: Decision) -> bool:
    return isinstance(decision, Deny) and decision.reason.status in (400, 401, 403)


def test_good_tokens_are_let_in() -> None:
    assert [type(decided(token)) for token in GOOD] == [Allow, Allow, Allow]


@pytest.mark.parametrize("good", GOOD, ids=["HS256", "RS256", "ES256"])
@pytest.mark.parametrize("part", [0, 1, 2])
def test_no_part_of_a_good_token_ends_in_another_letter(good: str, part: int) -> None:
    """Bits of the last letter that carry nothing could be spelt in several ways (RFC 4648 section 3.5)."""
    for letter in f"{string.ascii_letters}{string.digits}-_":
        parts = good.split(".")
        parts[part] = parts[part][:-1] + letter
        assert is_refusal(decided(".".join(parts))) or ".".join(parts) == good


LETTERS = st.sampled_from("AQgwEIMUYcko0489_-.=+/~ ,\t\n\x00\u00e9\u0131\udcff{}\"'")


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A good token with characters changed, cut, doubled or moved, and parts of another one."""
    token = draw(st.sampled_from(GOOD))
    for _ in range(draw(st.integers(1, 3))):
        first, second = sorted((draw(st.integers(0, len(token))), draw(st.integers(0, len(token)))))
        second = min(second, first + draw(st.integers(0, 4)))
        match draw(st.sampled_from(["replace", "insert", "cut", "double", "case", "parts", "flip"])):
            case "replace":
                token = token[:first] + draw(LETTERS) + token[first + 1 :]
            case "insert":
                token = token[:first] + draw(st.text(LETTERS, max_size=3)) + token[first:]
            case "cut":
                token = token[:first] + token[second:]
            case "double":
                token = token[:second] + token[first:]
            case "case":
                token = token[:first] + token[first:second].swapcase() + token[second:]
            case "parts":
                parts = [*token.split("."), *draw(st.sampled_from(GOOD)).split("."), ""]
                token = ".".join(draw(st.lists(st.sampled_from(parts), min_size=1, max_size=6)))
            case "flip" if first < len(token):
                token = token[:first] + chr(ord(token[first]) ^ 1 << draw(st.integers(0, 6))) + token[first + 1 :]
    return token


@PROPERTIES
@given(st.one_of(mutated(), mutated(), st.binary(max_size=80).map(as_text), st.text(LETTERS, max_size=60)))
@example("")
@example("." * 20_000)
@example(GOOD[0] + "=")
@example(GOOD[0].replace(".", ".."))
def test_only_the_good_token_itself_is_let_in(token: str) -> None:
    for path in ("/api", "/mail"):
        decision = decided(token, path)
        # White space around a header's value is no part of it.
        assert is_refusal(decision) or (isinstance(decision, Allow) and token.strip(" \t") in GOOD)


def plainly(raw: bytes) -> bytes:
    return raw


def as_utf_16(raw: bytes) -> bytes:
    return raw.decode("latin-1").encode("utf-16")


NUMBERS = st.one_of(
    st.integers(), st.floats(), st.sampled_from([NOW - 6, NOW - 5, NOW, NOW + 5, NOW + 6, 0, -1, 1e308, 2**53, 10**400])
)
STRINGS = st.one_of(
    st.text(max_size=8), st.sampled_from(["u", ISSUER, AUDIENCE, "JWT", "HS256", "none", "a@example.com"])
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, STRINGS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(STRINGS, inner, max_size=3)),
    max_leaves=6,
)
HEADER_NAMES = ("alg", "typ", "kid", "crit", "zip", "b64", "enc", "cty", "jku", "jwk", "x5c", "cat")
DATES = ("exp", "nbf", "iat")
CLAIM_NAMES = (
    "sub",
    "iss",
    "aud",
    *DATES,
    "email",
    "email_verified",
    "azp",
    "sts",
    "cnf",
    "scope",
    "roles",
)


def changed(good: dict[str, Any], names: tuple[str, ...]) -> st.SearchStrategy[bytes]:
    """Objects that are the good one but for a few members."""
    other = st.sampled_from(names).flatmap(
        lambda name: st.tuples(st.just(name), st.one_of(NUMBERS, JSON) if name in DATES else JSON)
    )
    return st.tuples(st.lists(other, max_size=2), st.sets(st.sampled_from(names), max_size=1)).map(
        lambda pair: written({name: value for name, value in (good | dict(pair[0])).items() if name not in pair[1]})
    )


def written(value: Any) -> bytes:
    return json.dumps(value).encode()


ODD = st.one_of(JSON.map(written), st.binary(max_size=20))
HEADERS = st.one_of(st.just(b'{"alg":"HS256"}'), changed({"alg": "HS256"}, HEADER_NAMES), ODD)
PAYLOADS = st.one_of(changed(CLAIMS, DATES), changed(CLAIMS, CLAIM_NAMES), ODD)
ENCODINGS = st.sampled_from([plainly, plainly, plainly, plainly, as_utf_16])


def is_sound(token: str) -> bool:
    """Return whether an HS256 token is one that the policy of this file lets in."""
    header, payload, signature = token.split(".")
    made = hmac.new(SECRET, f"{header}.{payload}".encode(), hashlib.sha256).digest()
    members, claims = (strict(base64.urlsafe_b64decode(part + "==")) for part in (header, payload))
    return (
        b64(made) == signature
        and members["alg"] == "HS256"
        and str(members.get("typ", "jwt")).lower().removeprefix("application/") in ("jwt", "at+jwt")
        and not {"crit", "zip", "b64", "enc"} & members.keys()
        and isinstance(claims["sub"], str)
        and claims["sub"] != ""
        and is_number(claims["exp"])
        and claims["exp"] + 5 > NOW
        and all(is_number(claims[name]) and claims[name] - 5 <= NOW for name in ("nbf", "iat") if name in claims)
    )


def strict(raw: bytes) -> Any:
    """Return JSON as RFC 8259 has it: UTF-8, no NaN, no Infinity, no number that a double cannot hold."""
    value = json.loads(raw.decode("utf-8"))
    json.dumps(value, allow_nan=False)
    return value


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < math.inf


@pytest.mark.slow
def test_whatever_is_signed_is_let_in_only_if_it_is_sound(report: Report) -> None:
    seen: Counter[bool] = Counter()

    @PROPERTIES
    @given(HEADERS, PAYLOADS, ENCODINGS)
    @example(b'{"alg":"HS256"}', b'{"sub":"u","exp":1e999}', plainly)
    @example(b'{"alg":"HS256"}', b'{"sub":"u","exp":' + b"9" * 5000 + b"}", plainly)
    @example(b'{"alg":"HS256"}', b'{"sub":"u","exp":9e9,"x":' + b"[" * 3000 + b"]" * 3000 + b"}", plainly)
    @example(b'{"alg":"HS256"}', b'{"sub":"u","exp":9e9,"x":1e999}', plainly)
    @example(b'{"alg":"HS256"}', b'{"sub":"u","exp":9e9,"x":[NaN]}', plainly)
    @example(b'{"alg":"HS256"}', b'{"sub":"u","exp":9e9,"nbf":true}', plainly)
    @example(b'{"alg":"HS256"}', b'{"sub":"u","exp":1799999995}', plainly)  # with the leeway of 5 s, just over
    @example(b'{"alg":"HS256","alg":"none"}', b'{"sub":"u","exp":9e9}', plainly)
    @example(b'{"alg":"HS256"}', b'{"sub":"\\ud800","exp":9e9}', plainly)
    def holds(header: bytes, payload: bytes, encoding: Any) -> None:
        signing_input = f"{b64(encoding(header))}.{b64(encoding(payload))}"
        token = f"{signing_input}.{b64(sign(signing_input.encode(), SECRET, 'HS256'))}"
        decision = decided(token)
        assert is_refusal(decision) or isinstance(decision, Allow)
        if isinstance(decision, Allow):
            assert is_sound(token)
            assert decision.principal is not None and decision.principal.provider == "jobs"
        seen[isinstance(decision, Allow)] += 1

    holds()
    assert seen[True] > 20
    report(f"{seen.total()} signed tokens with random contents: {seen[False]} refused, {seen[True]} sound and let in")
