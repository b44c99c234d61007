"""Wycheproof's and the RFCs' vectors through our own reading of tokens and keys and our own check of signatures.

Every expected result is held. Where our policy is stricter, or an RFC leaves the choice, the vector is named below with
the reason; a vector that stands there without need fails its test.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.policy.denied import Denied
from gateway.policy.jwk import KeySetError, read_key_set, secret_key
from gateway.policy.reasons import Reason
from gateway.policy.secrets import check_secret
from gateway.policy.token import Token, parse_jws, parse_token
from gateway.policy.verify import check_signature
from tests.minting import b64
from tests.security.conftest import Report

FOLDER = Path(__file__).with_name("vectors")
_PRIVATE = ("d", "p", "q", "dp", "dq", "qi")  # of the groups that hold a pair: what an issuer publishes has none of it

# (file, tcId): why we refuse what the vector calls valid.
_EMPTY_PAYLOAD = "a JWT has claims: P-JOSE wants three non-empty parts"
_WEAK_SECRET = "the secret is one character repeated (P-KEYSIZE)"
_OTHER_ALGORITHM = "the key's `alg` is another one, or one that does not exist (P-ALG, RFC 7517 section 4.4)"
_LENIENT = "a character outside base64url is not skipped (P-JOSE, RFC 7515 section 2)"
STRICTER = {
    **dict.fromkeys([("json_web_signature", number) for number in (259, 264, 268, 272, 320, 325)], _EMPTY_PAYLOAD),
    **dict.fromkeys([("json_web_signature", number) for number in (346, 347, 350, 351)], _OTHER_ALGORITHM),
    **dict.fromkeys([("json_web_signature", number) for number in (357, 358, 359, 376, 377)], _WEAK_SECRET),
    **dict.fromkeys([("json_web_signature", number) for number in (372, 373)], _LENIENT),
    **dict.fromkeys(
        [("json_web_key", 2), ("json_web_crypto", 48)],
        "secrets of a key set are never used (P-KEYSET, RFC 7517 section 9.3)",
    ),
}
# What PyJWT alone takes though the vector calls it invalid, as measured: ours must refuse each.
PYJWT_TAKES = {
    "json_web_signature": (353, 354, 355, 356, 367, 370),
    "json_web_key": (1, 4, 7, 8, 10, 11, 12, 21),
}


def read(name: str) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Return (file, key, test) of every vector of a file."""
    groups = json.loads((FOLDER / f"{name}.json").read_text())
    return [(name, group["key"], test) for group in groups for test in group["tests"]]


JOSE = [vector for name in ("json_web_signature", "json_web_key", "json_web_crypto") for vector in read(name)]
PRIMITIVES = [vector for name in ("es256", "ed25519", "rs256") for vector in read(name)]


def accepts(text: str, key: dict[str, Any]) -> bool:
    """Return whether we would take a JWS for one of this key or key set."""
    try:
        token, _ = parse_jws(text)
        keys = key.get("keys", [key])
        if len(keys) == 1 and keys[0]["kty"] == "oct":
            found = _secret_of(keys[0], token)
        else:
            public = [{name: value for name, value in one.items() if name not in _PRIVATE} for one in keys]
            found = read_key_set(json.dumps({"keys": public}).encode()).find(token.kid, token.algorithm)
        if found is None:
            return False
        check_signature(token, found)
    except (Denied, KeySetError):
        return False
    return True


def _secret_of(jwk: dict[str, Any], token: Token) -> Any:
    """Return a secret as the file would give it. `use` and `key_ops` have no place there: they are looked at here."""
    secret = base64.urlsafe_b64decode(jwk["k"] + "=" * (-len(jwk["k"]) % 4))
    algorithm = jwk.get("alg", token.algorithm)
    is_for_signing = jwk.get("use", "sig") == "sig" and "verify" in jwk.get("key_ops", ["verify"])
    if not is_for_signing or algorithm not in ("HS256", "HS384", "HS512") or check_secret(secret, {algorithm}):
        return None
    return secret_key(secret, {algorithm})


def _name(vector: tuple[str, dict[str, Any], dict[str, Any]]) -> str:
    return f"{vector[0]}-{vector[2]['tcId']}"


def _text(test: dict[str, Any]) -> str:
    """Return what a caller would send: the compact form, or JSON where the vector is in that."""
    found = test.get("jws", test.get("jwe"))
    return found if isinstance(found, str) else json.dumps(found)


COMPACT = [vector for vector in JOSE if _text(vector[2]).count(".") == 2 and "jws" in vector[2]]
NOT_COMPACT = [vector for vector in JOSE if vector not in COMPACT]


@pytest.mark.parametrize("vector", COMPACT, ids=_name)
def test_jose_vector(vector: tuple[str, dict[str, Any], dict[str, Any]]) -> None:
    name, key, test = vector
    identity = (name, test["tcId"])
    expected = test["result"] == "valid"
    if identity in STRICTER:
        assert expected, "this is no exception any more"
        expected = False
    assert accepts(test["jws"], key) is expected, test["comment"]


@pytest.mark.parametrize("vector", NOT_COMPACT, ids=_name)
def test_what_is_no_compact_jws_is_refused(vector: tuple[str, dict[str, Any], dict[str, Any]]) -> None:
    # JWE, valid or not, and other serialisations.
    with pytest.raises(Denied):
        parse_jws(_text(vector[2]))


@pytest.mark.parametrize("vector", PRIMITIVES, ids=_name)
def test_primitive_vector(vector: tuple[str, dict[str, Any], dict[str, Any]]) -> None:
    name, jwk, test = vector
    algorithm = {"es256": "ES256", "ed25519": "EdDSA", "rs256": "RS256"}[name]
    members = {member: value for member, value in jwk.items() if member not in ("kid", "alg")}
    try:
        key = read_key_set(json.dumps({"keys": [members]}).encode()).find(None, algorithm)
        assert key is not None
        token = Token({}, {}, bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"]), algorithm, None)
        check_signature(token, key)
        is_accepted = True
    except (Denied, KeySetError):
        is_accepted = False
    # `acceptable`: correct, but with something old or weak about it; either answer is right.
    assert test["result"] == "acceptable" or is_accepted is (test["result"] == "valid"), test["comment"]


@pytest.mark.parametrize("vector", json.loads((FOLDER / "rfc.json").read_text())["vectors"], ids=lambda v: v["id"])
def test_rfc_example(vector: dict[str, Any]) -> None:
    is_valid = vector["signature"] == "valid" and "b64" not in vector["note"]
    if vector["jwk"] is None or vector["alg"] == "none":
        assert not is_valid
        with pytest.raises(Denied):
            check_signature(parse_token(vector["jws"]), secret_key(b"x" * 32, {"HS256"}))
        return
    assert accepts(vector["jws"], vector["jwk"]) is is_valid


@pytest.mark.parametrize(("name", "number"), [(name, number) for name in PYJWT_TAKES for number in PYJWT_TAKES[name]])
def test_what_pyjwt_alone_would_take_is_refused(name: str, number: int) -> None:
    ((_, key, test),) = [vector for vector in read(name) if vector[2]["tcId"] == number]
    assert test["result"] == "invalid"
    assert not accepts(test["jws"], key)


def test_exceptions_are_of_vectors_that_exist(report: Report) -> None:
    known = {(name, test["tcId"]) for name, _, test in JOSE}
    assert set(STRICTER) <= known
    total = len(JOSE) + len(PRIMITIVES)
    invalid = sum(test["result"] == "invalid" for _, _, test in JOSE + PRIMITIVES)
    report(f"{total} Wycheproof vectors held: {invalid} must be refused, {len(STRICTER)} more are by policy")


def test_signature_step_is_the_one_that_is_asked() -> None:
    """A control: the harness refuses nothing by itself."""
    key = {"kty": "oct", "k": b64(b"kJ4v9QzT2mX7bW1cR8yL5nP3sD6fG0hA"), "alg": "HS256"}
    header = b64('{"alg":"HS256"}')
    signed = f"{header}.{b64('foo')}"
    good = b64(hmac.new(b"kJ4v9QzT2mX7bW1cR8yL5nP3sD6fG0hA", signed.encode(), hashlib.sha256).digest())
    assert accepts(f"{signed}.{good}", key)
    with pytest.raises(Denied) as refusal:
        check_signature(parse_jws(f"{signed}.AAAA")[0], _secret_of(key, parse_jws(f"{signed}.{good}")[0]))
    assert refusal.value.reason is Reason.SIGNATURE_INVALID
