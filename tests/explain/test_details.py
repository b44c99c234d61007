"""What the log says of a refused request: found and expected, in words that somebody can act on at night."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from gateway.policy.credentials import check_origin, find_credential
from gateway.policy.denied import Denied, MethodNotAllowed
from gateway.policy.jwk import Key, KeySetError, read_key_set, secret_key
from gateway.policy.model import Headers, RequestHead
from gateway.policy.origins import Origins
from gateway.policy.paths import split_target
from gateway.policy.providers import BEARER, Provider, TokenSource
from gateway.policy.routes import Policy, Route
from gateway.policy.token import parse_token
from gateway.policy.upstreams import Upstream
from gateway.policy.verify import check_claims, check_signature, pick_provider
from tests.minting import NOW, SECRET, b64, claims_of, ec_key, mint, rsa_key
from tests.policy.test_jwk import encode, roca_modulus, rsa
from tests.policy.test_verify import AUTH0, CLERK, OIDC, SHARED

HS = frozenset({"HS256"})
X = b64(json.dumps({"alg": "x"}))
NESTED = b64('{"a":' + "[" * 65 + "]" * 65 + "}")


def detail(call: Any) -> str:
    with pytest.raises(Denied) as refusal:
        call()
    return refusal.value.detail


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("api", "the target does not begin with '/'"),
        ("/a b", "the target holds a character outside printable ASCII"),
        ("/a#b", "the target holds a fragment"),
        ("/a//b", "the path has an empty segment"),
        ("//", "the path has an empty segment"),
        ("/a%2", "a '%' is not followed by two hexadecimal digits"),
        ("/%ff", "an escape is not UTF-8"),
        ("/a%5cb", "the path holds a backslash"),
        ("/a/%2e%2e/b", "the path has a segment that is empty or of dots"),
        ("/a%01b", "the path holds a control character"),
        ("/a%2525252541", "the path is percent-encoded many times over"),
    ],
)
def test_of_a_target(target: str, expected: str) -> None:
    assert detail(lambda: split_target(target)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", "1 part, a JWT has three"),
        ("a.b", "2 parts, a JWT has three"),
        ("a.b.c.d", "4 parts, a JWT has three"),
        ("a.b.c.d.e", "five parts: an encrypted token (JWE), which is not read here"),
        ("a.b.c.d.e.f", "more than five parts, a JWT has three"),
        ("a.b.c.d.e.f.g", "more than five parts, a JWT has three"),
        ("a+.e30.AAAA", "the header is not strict base64url without padding"),
        ("e30.a+.AAAA", "the header's alg is missing or no string"),
        (f"{X}.a+.AAAA", "the payload is not strict base64url without padding"),
        (f"{X}.e30.A+", "the signature is not strict base64url without padding"),
        (f"{b64('{')}.e30.AAAA", "the header is not strict UTF-8 JSON"),
        (f"{b64('[]')}.e30.AAAA", "the header is JSON, but no object"),
        (f"{X}.{b64('{')}.AAAA", "the payload is not strict UTF-8 JSON"),
        (f"{X}.{b64('[]')}.AAAA", "the payload is JSON, but no object"),
        (f"{X}.{NESTED}.AAAA", "the payload is not strict UTF-8 JSON"),
    ],
)
def test_of_a_tokens_form(text: str, expected: str) -> None:
    assert detail(lambda: parse_token(text)) == expected


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        ({"alg": None}, "the header's alg is missing or no string"),
        ({"kid": 1}, "the header's kid is no string"),
        ({"crit": []}, "the header has crit"),
        ({"zip": "DEF"}, "the header has zip: compressed tokens are not inflated"),
        ({"b64": False}, "the header has b64: RFC 7797 section 7 forbids it in a JWT"),
        ({"enc": "x"}, "the header has enc: an encrypted token, which is not read here"),
        ({"cty": "JWT"}, "the header's cty says that another token is nested inside"),
        ({"cty": 1}, "the header's cty says that another token is nested inside"),
    ],
)
def test_of_a_tokens_header(member: dict[str, Any], expected: str) -> None:
    header = json.dumps({"alg": "HS256", **member})
    assert detail(lambda: parse_token(f"{b64(header)}.e30.AAAA")) == expected


@pytest.mark.parametrize(
    ("provider", "header", "claims", "expected"),
    [
        (OIDC, {"typ": "logout+jwt"}, {}, "typ is 'logout+jwt', expected at+jwt or jwt"),
        (OIDC, {"typ": ["JWT"]}, {}, "typ is ['JWT'], expected at+jwt or jwt"),
        (OIDC, {"typ": {"a": 1}}, {}, "typ is dict, expected at+jwt or jwt"),
        (OIDC, {"typ": "x" * 200}, {}, f"typ is '{'x' * 99}, expected at+jwt or jwt"),
        (OIDC, {}, {"exp": ...}, "exp is missing"),
        (
            replace(OIDC, kind="jwt"),
            {},
            {"exp": ...},
            "exp is missing (`expiry: optional` on the provider lets such tokens in)",
        ),
        (OIDC, {}, {"exp": NOW - 60}, "expired 60 s ago"),
        (OIDC, {}, {"nbf": NOW + 60}, "valid in 60 s"),
        (OIDC, {}, {"iat": NOW + 60}, "issued 60 s in the future: do the clocks differ?"),
        (OIDC, {}, {"exp": "x"}, "exp is no number"),
        (OIDC, {}, {"exp": 10**399}, "exp is no date"),
        (OIDC, {}, {"aud": ...}, "aud is missing, expected https://api.example.test"),
        (OIDC, {}, {"aud": ["a", 1]}, "aud is ['a', 1], expected https://api.example.test"),
        (replace(OIDC, audiences=frozenset({"b", "a"})), {}, {"aud": "c"}, "aud is 'c', expected a or b"),
        (AUTH0, {}, {"cnf": {"jkt": "x"}}, "the token is bound to a key (cnf has 'jkt') and was sent as Bearer"),
        (CLERK, {"cat": "x"}, {}, "cat is 'x' (unknown), accepted: session"),
        (CLERK, {"cat": "cl_B7d4PD222AAA"}, {}, "cat is 'cl_B7d4PD222AAA' (template), accepted: session"),
        (
            replace(CLERK, clerk_kinds=frozenset({"session", "template"})),
            {"cat": None},
            {},
            "cat is missing (unknown), accepted: session, template",
        ),
        (CLERK, {}, {"sub": "mch_1"}, "the subject is a machine (mch_), accepted: session"),
        (CLERK, {}, {"sts": "pending"}, "sts is pending"),
        (CLERK, {}, {"azp": "https://evil.test"}, "azp is 'https://evil.test', expected https://app.example.com"),
        (CLERK, {}, {}, "azp is missing, expected https://app.example.com"),
        (
            replace(CLERK, authorized_parties=frozenset({"https://b.test", "https://a.test"})),
            {},
            {"azp": 1},
            "azp is 1, expected a text",
        ),
    ],
)
def test_of_a_claim(provider: Provider, header: dict[str, Any], claims: dict[str, Any], expected: str) -> None:
    raw = json.dumps({"alg": "HS256", **header}).encode()
    token = parse_token(mint(claims_of(**claims), header=raw))
    assert detail(lambda: check_claims(token, provider, NOW)) == expected


def test_of_a_provider() -> None:
    other = replace(OIDC, issuers=frozenset({"https://a.test"}), algorithms=frozenset({"ES256", "RS256"}))
    token = parse_token(mint(claims_of(iss="https://evil.test")))
    expected = "iss is 'https://evil.test', the route expects https://a.test or https://idp.example.test"
    assert detail(lambda: pick_provider(token, (OIDC, other))) == expected
    token = parse_token(mint(claims_of(iss="https://a.test")))
    assert detail(lambda: pick_provider(token, (OIDC, other))) == "alg is 'HS256', expected ES256, RS256"
    nothing = parse_token(mint(claims_of(iss=...)))
    assert detail(lambda: pick_provider(nothing, (OIDC,))).startswith("iss is missing, the route expects ")
    assert pick_provider(nothing, (OIDC, SHARED)) is SHARED


def test_of_a_signature() -> None:
    token = parse_token(mint(claims_of(), SECRET))
    wrong = secret_key(b"z" * 31 + b"y", HS)
    assert detail(lambda: check_signature(token, wrong)) == "the signature does not verify"
    unfit = Key("k", frozenset({"RS256"}), rsa_key().public_key(), "t")
    assert detail(lambda: check_signature(token, unfit)) == "alg is 'HS256', the key is not for it"
    twisted = Key("k", HS, ec_key().public_key(), "t")
    assert detail(lambda: check_signature(token, twisted)) == "verification failed with TypeError"


def head(*lines: tuple[str, str], method: str = "POST") -> RequestHead:
    return RequestHead(method, "/api", Headers(lines), "192.0.2.1", "https")


def test_of_a_credential() -> None:
    query = TokenSource("query", "t")

    def found(*lines: tuple[str, str], query_text: str = "") -> str:
        return detail(lambda: find_credential(head(*lines), query_text, (BEARER, query)))

    twice = (("Authorization", "Bearer a"), ("Authorization", "Bearer b"))
    assert found(*twice) == "more than one Authorization header"
    assert found(twice[0], query_text="?t=b") == "2 credentials in one request"
    assert found(("Authorization", "Bearer")) == "Authorization is not 'Bearer' and one token"
    large = "a" * 16385
    assert found(("Authorization", f"Bearer {large}")) == "a token of 16385 characters, at most 16384 are read"
    assert found(("Authorization", "Bearer a!b")) == "the token holds a character that no token has"


def test_of_an_origin() -> None:
    way = "a cookie counts only with the gateway's own or a listed one"
    host = ("Host", "gw.test")
    assert detail(lambda: check_origin(head(host), Origins())) == f"no Origin header; {way}"
    evil = ("Origin", "https://evil.test/" + "x" * 200)
    shown = repr(evil[1][:100])
    assert detail(lambda: check_origin(head(host, evil), Origins())) == f"Origin {shown}; {way}"


def test_of_a_method() -> None:
    assert MethodNotAllowed(("GET", "POST")).detail == "the path takes GET, POST"


@pytest.mark.parametrize(
    ("jwk", "expected"),
    [
        ({"kty": "RSA", "use": "enc"}, "a key whose `use` is not `sig`"),
        ({"kty": "RSA", "key_ops": ["sign"]}, "a key whose `key_ops` lacks `verify`"),
        ({"kty": "oct", "k": "AAAA"}, "a key whose `kty` is none of RSA, EC, OKP"),
        ({"kty": "RSA", "d": "AAAA"}, "a private key, which anybody who can read it may sign with"),
        ({"kty": "RSA", "kid": "a\nb"}, "a `kid` that is no printable string"),
        ({"kty": "RSA", "n": "AQAB", "e": "AQAB"}, "an RSA key of 17 bits, 2048 to 16384 and odd expected"),
        ({"kty": "EC", "crv": "P-192"}, "an EC key whose `crv` is none of P-256, P-384, P-521"),
        ({"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"}, "an EC key whose `x` and `y` are not 32 bytes each"),
        (
            {"kty": "EC", "crv": "P-256", "x": b64(bytes(32)), "y": b64(bytes(32))},
            "an EC point that is not on its curve",
        ),
        ({"kty": "OKP", "crv": "X25519", "x": b64(bytes(32))}, "an OKP key whose `crv` is not Ed25519"),
        ({"kty": "OKP", "crv": "Ed25519", "x": b64(bytes(31))}, "an Ed25519 point that is not on its curve"),
        ({"kty": "RSA", "n": "!", "e": "AQAB"}, "a key whose `n` is not base64url"),
        ({"kty": "RSA", "n": "AR", "e": "AQAB"}, "a key whose `n` is not canonical base64url"),
        ("x", "a key that is no object with distinct names"),
    ],
)
def test_of_a_key(jwk: Any, expected: str) -> None:
    with pytest.raises(KeySetError) as refusal:
        read_key_set(json.dumps({"keys": [jwk]}).encode())
    assert str(refusal.value) == f"found no usable key among 1, expected at least one ({expected})"


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("[]", "found JSON that is no object with distinct names, expected a JWKS: an object with `keys`"),
        ("{}", "found a JSON object without a list `keys`, expected a JWKS"),
        ("[" * 100_000, "found JSON that is nested too deeply, expected a JWKS"),
        ("{", "found 1 bytes that are not UTF-8 JSON, expected a JWKS"),
        ('{"keys":[NaN]}', "found 14 bytes that are not UTF-8 JSON, expected a JWKS"),
        (
            '{"keys":[1,{"kty":"oct"}]}',
            "found no usable key among 2, expected at least one "
            "(a key that is no object with distinct names; a key whose `kty` is none of RSA, EC, OKP)",
        ),
    ],
)
def test_of_a_key_set(document: str, expected: str) -> None:
    with pytest.raises(KeySetError) as refusal:
        read_key_set(document.encode())
    assert str(refusal.value) == expected


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"alg": "ES256"}, "a key whose `alg` does not fit its `kty`"),
        ({"e": "AQ"}, "an RSA exponent that is even, below 3 or over 64 bits"),
        ({"n": encode(roca_modulus())}, "an RSA key that can be factored (ROCA, CVE-2017-15361)"),
    ],
)
def test_of_an_rsa_key(members: dict[str, Any], expected: str) -> None:
    with pytest.raises(KeySetError, match=re.escape(f"({expected})")):
        read_key_set(json.dumps({"keys": [rsa(**members)]}).encode())


def test_of_a_subject() -> None:
    def of(subject: object) -> str:
        return detail(lambda: check_claims(parse_token(mint(claims_of(sub=subject))), OIDC, NOW))

    assert of(True) == of("") == "sub is missing, empty or neither a string nor an integer"
    assert of(-1) == "sub is -1, expected a text or an integer from 0 to 9007199254740991"
    assert of("a\nb") == "sub holds a control character or half a character"


def test_of_a_route() -> None:
    policy = Policy([Route("/api", ("api",), Upstream("u", "http://127.0.0.1:1"), public=True)])

    def of(target: str) -> str:
        return detail(lambda: policy.match(split_target(target)[0], "GET"))

    assert of("/x") == "no route covers the path"
    assert of("/API") == "a segment is spelt almost like a route's, but not the same"
    assert of("/api/a%2Fb") == "the path holds %2F (`encoded_slash: keep` on the upstream lets it pass)"
