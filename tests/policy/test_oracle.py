"""Our check of a token against PyJWT's own `decode`: thousands of tokens, and never is ours the laxer one.

Our check looks at claims first, reads each part once, and asks PyJWT only for the signature. What it refuses beyond
PyJWT must be one of the reasons for which we are stricter on purpose. What it takes beyond PyJWT is one thing: a
subject that is an integer.
"""

from __future__ import annotations

import datetime
import json
import random
from typing import Any

import jwt
import pytest

from gateway.policy.claims import principal_of
from gateway.policy.denied import Denied
from gateway.policy.jwk import Key, secret_key
from gateway.policy.providers import Provider
from gateway.policy.reasons import Reason
from gateway.policy.token import parse_token
from gateway.policy.verify import check_claims, check_signature, pick_provider
from tests.minting import OTHER_SECRET, SECRET, b64, ec_key, mint, rsa_key
from tests.security.test_vectors import COMPACT, accepts

NOW = 1_800_000_000
ISSUER, AUDIENCE = "https://issuer.test", "https://api.test"
LEEWAY = 5.0
PAIRS: dict[str, tuple[Any, Any]] = {
    "HS256": (SECRET, SECRET),
    "RS256": (rsa_key(), rsa_key().public_key()),
    "ES256": (ec_key(), ec_key().public_key()),
}
OTHERS: dict[str, Any] = {"HS256": OTHER_SECRET, "RS256": rsa_key("evil"), "ES256": ec_key("evil")}

# For these we refuse what PyJWT takes, each with a row in docs/security.md or docs/reference/answers.md.
STRICTER = {
    Reason.TOKEN_KIND_REFUSED,  # typ: RFC 8725 section 3.11
    Reason.TOKEN_UNSUPPORTED,  # crit, zip, cty
    Reason.TOKEN_MALFORMED,  # base64url and JSON in one spelling only: RFC 7515 section 2
    Reason.CLAIM_INVALID,  # a subject is asked for, and dates are numbers: RFC 7519 section 2
}


def provider_of(algorithm: str) -> Provider:
    secrets = (secret_key(SECRET, {"HS256"}),) if algorithm == "HS256" else ()
    return Provider(
        "issuer", "oidc", frozenset({algorithm}), issuers=frozenset({ISSUER}), audiences=frozenset({AUDIENCE}),
        secrets=secrets, leeway_seconds=LEEWAY,
    )  # fmt: skip


def ours(token: str, algorithm: str) -> Reason | None:
    """Return why we refuse a token; None if it counts."""
    provider = provider_of(algorithm)
    key = provider.secrets[0] if provider.secrets else Key(None, frozenset({algorithm}), PAIRS[algorithm][1], "t")
    try:
        parsed = parse_token(token)
        assert pick_provider(parsed, (provider,)) is provider
        check_claims(parsed, provider, NOW)
        check_signature(parsed, key)
        principal_of(parsed.claims, provider)
    except Denied as no:
        return no.reason
    return None


def theirs(token: str, algorithm: str) -> str | None:
    """Return why PyJWT refuses it; None if it takes it."""
    try:
        jwt.decode(
            token, PAIRS[algorithm][1], [algorithm], audience=AUDIENCE, issuer=ISSUER, leeway=LEEWAY,
            options={"require": ["exp", "iss", "aud"]},
        )  # fmt: skip
    except (jwt.PyJWTError, ValueError, TypeError) as no:  # it lets some of these through for claims of a wrong type
        return type(no).__name__
    return None


# What each may hold: the first is as it should be, and is chosen most often.
CLAIMS: dict[str, list[Any]] = {
    "exp": [NOW + 60, NOW - 4, NOW - 60, NOW - 5, ..., str(NOW + 60), True, None, NOW + 0.5, 10**20, -1],
    "nbf": [..., NOW - 60, NOW + 4, NOW + 60, "x", None],
    "iat": [..., NOW - 60, NOW + 4, NOW + 60, "x"],
    "iss": [ISSUER, ISSUER + "/", "", ..., None, [ISSUER], 5],
    "aud": [AUDIENCE, [AUDIENCE], [AUDIENCE, "x"], ["x"], "x", [], ..., None, 5, [5]],
    "sub": ["user-1", ..., "", 5, None],
}
HEADERS: list[dict[str, Any]] = [
    {}, {"typ": "at+jwt"}, {"typ": "logout+jwt"}, {"crit": ["x"]}, {"kid": 5}, {"typ": None}, {"cty": "JWT"}
]  # fmt: skip


def one_of(chance: random.Random, values: list[Any]) -> Any:
    return values[0] if chance.random() < 0.85 else chance.choice(values)


def token_by(chance: random.Random, algorithm: str) -> str:
    """Return a token that is good, or wrong in a few ways."""
    claims = {name: value for name, values in CLAIMS.items() if (value := one_of(chance, values)) is not ...}
    signed_by = one_of(chance, [algorithm, *PAIRS])
    keys = PAIRS if chance.random() < 0.85 else OTHERS
    key = keys[signed_by][0] if keys is PAIRS else keys[signed_by]
    token = mint(claims, key, signed_by, header=one_of(chance, HEADERS))
    head, payload, signature = token.split(".")
    match chance.randrange(14):
        case 0:
            place = chance.randrange(len(signature))
            signature = signature[:place] + chance.choice("AZaz09-_") + signature[place + 1 :]
        case 1:
            payload = b64(json.dumps(claims | {"sub": "evil"}))
        case 2:
            signature = chance.choice(["", signature[:-1], signature + "A", signature + "=", signature * 2])
        case 3:
            head = b64(json.dumps({"alg": chance.choice(["none", "None", "HS512", "", "RS512", 5]), "typ": "JWT"}))
    return f"{head}.{payload}.{signature}"


@pytest.mark.parametrize("algorithm", PAIRS)
def test_ours_is_never_laxer_than_pyjwt(algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.datetime.fromtimestamp(NOW, tz)

    monkeypatch.setattr("jwt.api_jwt.datetime", Clock)
    chance = random.Random(algorithm)  # noqa: S311  # no secret
    seen = {"both": 0, "neither": 0, "stricter": 0}
    for _ in range(1500):
        token = token_by(chance, algorithm)
        mine, its = ours(token, algorithm), theirs(token, algorithm)
        if mine is None and its == "InvalidSubjectError":
            # On purpose: issuers that keep numbers write numbers, and `42` is the subject "42".
            assert type(parse_token(token).claims["sub"]) is int
        elif mine is None:
            assert its is None, f"we take what PyJWT refuses ({its}): {token}"
            seen["both"] += 1
        elif its is not None:
            seen["neither"] += 1
        else:
            assert mine in STRICTER, f"we refuse ({mine.code}) what PyJWT takes: {token}"
            seen["stricter"] += 1
    assert min(seen.values()) > 10, seen


def test_no_vector_counts_that_pyjwt_refuses() -> None:
    tried = 0
    for _, key, test in COMPACT:
        keys = key.get("keys", [key])
        if not accepts(test["jws"], key):
            continue
        tried += 1
        verified = []
        for one in keys:
            try:
                found = jwt.PyJWK(
                    one, algorithm=one.get("alg", test["jws"] and jwt.get_unverified_header(test["jws"])["alg"])
                )
                jwt.api_jws.PyJWS().decode(test["jws"], found, algorithms=[found.algorithm_name])
                verified.append(one)
            except (jwt.PyJWTError, ValueError, TypeError):
                continue
        assert verified, test["comment"]
    assert tried > 20
