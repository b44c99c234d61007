"""Which keys of a JWKS may verify, and which one a token gets."""

from __future__ import annotations

import base64
import hashlib
import json
from math import prod
from typing import Any

import jwt
import pytest

from gateway.policy.jwk import Key, KeySet, KeySetError, read_key_set, secret_key
from tests.keyserver import private_key, to_jwk

RSA_ALGORITHMS = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
ED25519_PRIME = 2**255 - 19


def rsa(kid: str | None = "r", **members: Any) -> dict[str, Any]:
    return to_jwk(private_key("rsa-1"), kid, **members)


def ec(kid: str | None = "e", crv: str = "P-256", **members: Any) -> dict[str, Any]:
    return to_jwk(private_key(f"test-{crv}", crv), kid, **members)


def ed(kid: str | None = "d", **members: Any) -> dict[str, Any]:
    return to_jwk(private_key("ed-1", "Ed25519"), kid, **members)


GOOD = rsa("good", n=to_jwk(private_key("rsa-2"))["n"])


def encode(number: int, length: int | None = None) -> str:
    raw = number.to_bytes(length or (number.bit_length() + 7) // 8 or 1, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=="), "big")


def read(*keys: Any) -> KeySet:
    return read_key_set(json.dumps({"keys": list(keys)}).encode())


def refused_text(document: bytes, max_keys: int = 1000) -> str:
    with pytest.raises(KeySetError) as caught:
        read_key_set(document, max_keys)
    return str(caught.value)


@pytest.mark.parametrize(
    ("jwk", "algorithms"),
    [
        pytest.param(rsa(), RSA_ALGORITHMS, id="rsa"),
        pytest.param(rsa(use="sig", key_ops=["verify"]), RSA_ALGORITHMS, id="rsa-for-signatures"),
        pytest.param(rsa(key_ops=["sign", "verify"]), RSA_ALGORITHMS, id="rsa-among-other-operations"),
        pytest.param(rsa(alg="RS256"), {"RS256"}, id="alg-narrows-rsa"),
        pytest.param(rsa(alg="PS512"), {"PS512"}, id="alg-narrows-to-pss"),
        pytest.param(rsa(None), RSA_ALGORITHMS, id="no-kid"),
        pytest.param(rsa(""), RSA_ALGORITHMS, id="empty-kid"),
        pytest.param(rsa(x5c=["MII"], x5u="https://evil.test", unknown=1), RSA_ALGORITHMS, id="other-members-ignored"),
        pytest.param(rsa(n=encode(decode(rsa()["n"]), 257)), RSA_ALGORITHMS, id="modulus-with-a-zero-byte-in-front"),
        pytest.param(rsa(e=encode(3)), RSA_ALGORITHMS, id="smallest-exponent"),
        pytest.param(ec(), {"ES256"}, id="p256"),
        pytest.param(ec(crv="P-384"), {"ES384"}, id="p384"),
        pytest.param(ec(crv="P-521"), {"ES512"}, id="p521"),
        pytest.param(ec(alg="ES256"), {"ES256"}, id="p256-with-alg"),
        pytest.param(ed(), {"EdDSA"}, id="ed25519"),
        pytest.param(ed(x="11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"), {"EdDSA"}, id="ed25519-even-x"),
        pytest.param(ed(x="11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHUZo"), {"EdDSA"}, id="ed25519-odd-x"),
        pytest.param(ed(alg="EdDSA"), {"EdDSA"}, id="ed25519-with-alg"),
        pytest.param(ed(alg="Ed25519"), {"EdDSA"}, id="ed25519-with-its-own-alg"),  # RFC 9864 section 2.2
    ],
)
def test_a_key_verifies_for_the_algorithms_of_its_type(jwk: dict[str, Any], algorithms: set[str]) -> None:
    (key,) = read(jwk).keys
    assert key.algorithms == algorithms
    assert key.kid == jwk.get("kid")


def off_curve_ed25519() -> str:
    d = -121665 * pow(121666, -1, ED25519_PRIME)
    for y in range(2, 50):
        x_squared = (y * y - 1) * pow(d * y * y + 1, -1, ED25519_PRIME)
        if pow(x_squared, (ED25519_PRIME - 1) // 2, ED25519_PRIME) != 1:
            return base64.urlsafe_b64encode(y.to_bytes(32, "little")).rstrip(b"=").decode()
    raise AssertionError("half of all y have no x")


def little(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(32, "little")).rstrip(b"=").decode()


def roca_modulus() -> int:
    # CVE-2017-15361: p = k * M + 65537^a mod M, M the product of the first primes (Nemec et al., CCS 2017).
    m = prod(p for p in range(2, 168) if all(p % d for d in range(2, p)))
    p, q = (k * m + pow(65537, a, m) for k, a in ((2**806 + 1, 1234567), (2**807 + 9, 7654321)))
    return p * q


# P-KEYSIZE, P-KEYSET, P-ALG. Each stands beside a good key, which must go on working.
UNUSABLE = [
    pytest.param("a string", "no object", id="not-an-object"),
    pytest.param(None, "no object", id="null"),
    pytest.param({}, "`kty`", id="empty"),
    pytest.param({"kty": "LWE", "kid": "x"}, "`kty`", id="unknown-kty"),
    pytest.param({**rsa(), "kty": ["RSA"]}, "`kty`", id="kty-list"),
    # RFC 7517 section 9.3: whoever reads the set could sign.
    pytest.param({"kty": "oct", "k": "A" * 43, "alg": "HS256", "kid": "o"}, "`kty`", id="oct"),
    pytest.param(rsa(1), "`kid`", id="kid-number"),  # type: ignore[arg-type]  # what a server may send
    pytest.param({**rsa(), "kid": None}, "`kid`", id="kid-null"),
    pytest.param(rsa("\ud800"), "`kid`", id="kid-lone-surrogate"),
    pytest.param(rsa("a\nb"), "`kid`", id="kid-line-break"),
    pytest.param(rsa(use="enc"), "`use`", id="use-enc"),
    pytest.param({**rsa(), "use": None}, "`use`", id="use-null"),
    pytest.param(rsa(use=["sig"]), "`use`", id="use-list"),
    pytest.param(rsa(key_ops=["encrypt"]), "`key_ops`", id="key-ops-encrypt"),
    pytest.param(rsa(key_ops=[]), "`key_ops`", id="key-ops-empty"),
    pytest.param(rsa(key_ops="verify"), "`key_ops`", id="key-ops-string"),
    pytest.param({**rsa(), "key_ops": None}, "`key_ops`", id="key-ops-null"),
    pytest.param(rsa(d="AQAB"), "private", id="private-key"),
    # CVE-2022-29217: the algorithm follows from the type of the key, whatever the JWK says.
    pytest.param(rsa(alg="HS256"), "`alg`", id="rsa-alg-hs256"),
    pytest.param(rsa(alg="none"), "`alg`", id="rsa-alg-none"),
    pytest.param(rsa(alg="ES256"), "`alg`", id="rsa-alg-ec"),
    pytest.param(rsa(alg="RSA-OAEP"), "`alg`", id="rsa-alg-encryption"),
    pytest.param(rsa(alg=["RS256"]), "`alg`", id="alg-list"),
    pytest.param({**rsa(), "alg": None}, "`alg`", id="alg-null"),
    # Wycheproof json_web_key, mismatchedAlgAndCurve.
    pytest.param(ec(alg="ES384"), "`alg`", id="p256-alg-es384"),
    # RFC 7518 section 3.3; Wycheproof rejects1024bitRsaKey, rejectsPublicExponent1.
    pytest.param(to_jwk(private_key("small", "RSA1024"), "s"), "1024 bits", id="rsa-1024"),
    pytest.param(rsa(n=encode(2**2047 - 1)), "2047 bits", id="rsa-2047"),
    pytest.param(rsa(n=encode(2**16385 - 1)), "16385 bits", id="rsa-16385"),
    pytest.param(rsa(n=encode(2**2048 - 2)), "odd", id="rsa-even-modulus"),
    pytest.param(rsa(e=encode(1)), "exponent", id="rsa-e1"),
    pytest.param(rsa(e=encode(2)), "exponent", id="rsa-e2"),
    pytest.param(rsa(e=encode(65536)), "exponent", id="rsa-even-exponent"),
    pytest.param(rsa(e=encode(2**64 + 1)), "exponent", id="rsa-huge-exponent"),
    pytest.param(rsa(n=encode(roca_modulus())), "ROCA", id="rsa-roca"),
    pytest.param(rsa(n=None), "`n`", id="rsa-no-modulus"),
    pytest.param(rsa(n=5), "`n`", id="rsa-modulus-number"),
    pytest.param(rsa(n=""), "`n`", id="rsa-modulus-empty"),
    pytest.param(rsa(n="AAAAA"), "`n`", id="rsa-modulus-length"),
    pytest.param(rsa(e="AQ+B"), "`e`", id="rsa-exponent-plain-base64"),
    pytest.param(rsa(e="AQAB\n"), "`e`", id="rsa-exponent-line-break"),
    pytest.param(rsa(e="Aw=="), "`e`", id="rsa-exponent-padded"),
    pytest.param(rsa(e="Ax"), "canonical", id="rsa-exponent-trailing-bits"),
    # CVE-2022-21449 and invalid-curve attacks: RFC 8725 section 3.4.
    pytest.param(ec(x=encode(1, 32), y=encode(1, 32)), "not on its curve", id="ec-off-curve"),
    pytest.param(ec(x=encode(0, 32), y=encode(0, 32)), "not on its curve", id="ec-zero"),
    pytest.param({**ec(), "crv": "P-384"}, "48 bytes", id="ec-other-curve"),
    pytest.param(ec(x=encode(1)), "32 bytes", id="ec-short"),
    pytest.param(ec(y=encode(1)), "32 bytes", id="ec-short-y"),
    pytest.param({**ec(), "crv": "secp256k1"}, "`crv`", id="ec-secp256k1"),
    pytest.param({**ec(), "crv": ["P-256"]}, "`crv`", id="ec-crv-list"),
    pytest.param({**ed(), "crv": "Ed448"}, "Ed25519", id="ed448"),
    pytest.param({**ed(), "crv": "Ed448", "alg": "Ed25519"}, "Ed25519", id="ed448-that-says-ed25519"),
    pytest.param({**ed(), "alg": "Ed448"}, "`alg`", id="ed25519-for-ed448"),
    pytest.param({**ed(), "alg": "ed25519"}, "`alg`", id="ed25519-in-small-letters"),
    pytest.param({**ed(), "alg": ["EdDSA"]}, "`alg`", id="alg-in-a-list"),
    pytest.param({**ed(), "alg": None}, "`alg`", id="alg-null"),
    pytest.param({**ed(), "crv": "X25519"}, "Ed25519", id="x25519"),
    pytest.param(ed(x=encode(1, 31)), "not on its curve", id="ed-short"),
    pytest.param(ed(x=off_curve_ed25519()), "not on its curve", id="ed-off-curve"),
    pytest.param(ed(x=little(1)), "not on its curve", id="ed-neutral-element"),
    pytest.param(ed(x=little(ED25519_PRIME - 1)), "not on its curve", id="ed-order-two"),
    pytest.param(ed(x=little(ED25519_PRIME + 3)), "not on its curve", id="ed-not-reduced"),
]


@pytest.mark.parametrize(("jwk", "fault"), UNUSABLE)
def test_an_unusable_key_is_left_out_and_named_when_it_is_alone(jwk: Any, fault: str) -> None:
    (left,) = read(jwk, GOOD).keys
    assert left.kid == "good"
    message = refused_text(json.dumps({"keys": [jwk]}).encode())
    assert fault in message
    assert "no usable key among 1" in message


def test_the_roca_modulus_of_the_table_has_a_fair_size() -> None:
    assert 2048 <= roca_modulus().bit_length() <= 2100 and roca_modulus() % 2 == 1


@pytest.mark.parametrize(
    ("document", "found"),
    [
        pytest.param(b"", "not UTF-8 JSON", id="empty"),
        pytest.param(b"<html>Sign in</html>", "not UTF-8 JSON", id="html"),
        pytest.param(b'{"keys":[]}\xff', "not UTF-8 JSON", id="bad-utf8"),
        pytest.param('{"keys":[]}'.encode("utf-16"), "not UTF-8 JSON", id="utf16"),
        pytest.param(b'\xef\xbb\xbf{"keys":[]}', "not UTF-8 JSON", id="byte-order-mark"),
        pytest.param(b'{"keys":[],"x":NaN}', "not UTF-8 JSON", id="nan"),
        pytest.param(b'{"keys":[],"x":-Infinity}', "not UTF-8 JSON", id="infinity"),
        pytest.param(b'{"keys":[],"x":' + b"9" * 5000 + b"}", "not UTF-8 JSON", id="huge-integer"),  # CVE-2020-10735
        pytest.param(b"[" * 100_000, "nested too deeply", id="deep"),  # CVE-2025-53864
        pytest.param(b"[]", "no object", id="list"),
        pytest.param(b"null", "no object", id="null"),
        pytest.param(b'{"keys":[1],"keys":[2]}', "no object with distinct names", id="duplicate-keys"),
        pytest.param(b"{}", "without a list `keys`", id="no-keys"),
        pytest.param(b'{"keys":{}}', "without a list `keys`", id="keys-object"),
        pytest.param(b'{"keys":[]}', "no usable key among 0, expected at least one", id="no-key"),
    ],
)
def test_what_is_no_key_set_is_refused_with_what_was_found(document: bytes, found: str) -> None:
    assert found in refused_text(document)


def test_a_key_with_a_name_twice_is_left_out() -> None:
    # Two readers could see two different keys: RFC 8259 section 4, RFC 7517 section 4.
    twice = json.dumps(rsa("twice"))[:-1] + ', "kid": "other"}'
    document = f'{{"keys": [{twice}, {json.dumps(GOOD)}]}}'.encode()
    assert read_key_set(document).kids == {"good"}


def test_more_keys_than_allowed_are_refused() -> None:
    document = json.dumps({"keys": [GOOD, rsa(), ec()]}).encode()
    assert len(read_key_set(document, 3).keys) == 3
    assert refused_text(document, 2) == "found 3 keys, expected at most 2"


def test_an_error_names_a_few_faults_and_nothing_of_the_document() -> None:
    document = json.dumps({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "hush"}] * 50}).encode()
    message = refused_text(document)
    assert message.count("`kty`") == 1
    assert "hush" not in message and "c2VjcmV0" not in message


def test_a_kid_selects_exactly() -> None:
    keys = read(rsa("a"), rsa("b", n=GOOD["n"]), rsa(None, n=to_jwk(private_key("rsa-3"))["n"]))
    assert keys.find("a", "RS256") is keys.keys[0]
    assert keys.find("b", "RS256") is keys.keys[1]
    # Neither another key nor the one without an id: P-KEYSET.
    assert keys.find("c", "RS256") is None
    assert keys.find("A", "RS256") is None
    assert keys.kids == {"a", "b"}


@pytest.mark.parametrize("algorithm", ["ES256", "HS256", "none", "", "EdDSA", "rs256"])
def test_a_key_is_not_found_for_an_algorithm_that_does_not_fit(algorithm: str) -> None:
    assert read(rsa("a")).find("a", algorithm) is None
    assert read(rsa("a")).find(None, algorithm) is None


def test_the_alg_of_a_jwk_binds() -> None:
    keys = read(rsa("a", alg="RS512"))
    assert keys.find("a", "RS256") is None
    assert keys.find("a", "RS512") is keys.keys[0]


def test_of_two_keys_with_one_kid_only_one_that_alone_fits_is_found() -> None:
    # RFC 7517 section 4.5 allows one kid for keys of different types; Wycheproof DuplicateKid for the rest.
    keys = read(rsa("k"), ec("k"), rsa("two"), GOOD | {"kid": "two"})
    assert keys.find("k", "RS256") is keys.keys[0]
    assert keys.find("k", "ES256") is keys.keys[1]
    assert keys.find("two", "RS256") is None


def test_of_three_keys_with_one_kid_none_is_found() -> None:
    # An odd number must not bring a key back.
    third = rsa("two", n=to_jwk(private_key("rsa-3"))["n"])
    assert read(rsa("two"), GOOD | {"kid": "two"}, third).find("two", "RS256") is None


def test_the_same_key_listed_twice_is_one() -> None:
    keys = read(rsa("a"), rsa("a", use="sig"))
    assert keys.find("a", "RS256") is keys.keys[0]


def test_without_kid_exactly_one_key_must_fit() -> None:
    keys = read(rsa("a"), ec("b"))
    assert keys.find(None, "RS256") is keys.keys[0]
    assert keys.find(None, "ES256") is keys.keys[1]
    assert keys.find(None, "EdDSA") is None
    assert read(rsa("a"), GOOD).find(None, "RS256") is None
    assert read(rsa(None)).find(None, "RS256") is not None
    assert read(rsa(None), GOOD).find(None, "RS256") is None


def test_two_keys_without_kid_are_told_apart_by_algorithm() -> None:
    keys = read(rsa(None), ec(None))
    assert keys.find(None, "RS256") is keys.keys[0]
    assert keys.find(None, "ES256") is keys.keys[1]


@pytest.mark.parametrize(
    ("name", "kind", "algorithm"),
    [
        ("rsa-1", "RSA", "RS256"),
        ("rsa-1", "RSA", "PS384"),
        ("test-P-256", "P-256", "ES256"),
        ("test-P-384", "P-384", "ES384"),
        ("test-P-521", "P-521", "ES512"),
        ("ed-1", "Ed25519", "EdDSA"),
    ],
)
def test_the_material_verifies_with_pyjwt(name: str, kind: str, algorithm: str) -> None:
    private = private_key(name, kind)
    key = read(to_jwk(private, "k")).find("k", algorithm)
    assert key is not None
    verifier = jwt.algorithms.get_default_algorithms()[algorithm]
    signature = verifier.sign(b"message", private)
    assert verifier.verify(b"message", key.material, signature)
    assert not verifier.verify(b"another", key.material, signature)


def test_thumbprints_are_those_of_the_rfcs() -> None:
    rfc7638 = {
        "kty": "RSA",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZC"
        "iFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9"
        "c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF"
        "44-csFCur-kEgU8awapJzKnqDKgw",
        "e": "AQAB",
        "alg": "RS256",
        "kid": "2011-04-29",
    }
    rfc8037 = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert [key.thumbprint for key in read(rfc7638, rfc8037).keys] == [
        "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",  # RFC 7638 section 3.1
        "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",  # RFC 8037 appendix A.3
    ]


def test_a_thumbprint_ignores_zero_bytes_in_front() -> None:
    padded = rsa(n=encode(decode(rsa()["n"]), 257))
    assert read(padded).keys[0].thumbprint == read(rsa()).keys[0].thumbprint


def test_an_unchanged_key_stays_the_same_object_after_a_refetch() -> None:
    old = read(rsa("a"), ec("b"), ed("c"))
    new = read(rsa("a", x5t="another"), ec("renamed"), ed("c", alg="EdDSA"), GOOD).reuse(old)
    assert new.find("a", "RS256") is old.find("a", "RS256")
    assert new.find("renamed", "ES256") is not old.find("b", "ES256")
    assert new.find("c", "EdDSA") is old.find("c", "EdDSA")  # an alg that says what was so anyway
    assert new.find("b", "ES256") is None
    assert new.find("good", "RS256") is not None


def test_a_key_whose_material_or_algorithms_change_is_a_new_object() -> None:
    old = read(rsa("a"), rsa("b", n=GOOD["n"]))
    new = read(rsa("a", alg="RS256"), rsa("b", n=to_jwk(private_key("rsa-3"))["n"])).reuse(old)
    assert new.find("a", "RS256") is not old.find("a", "RS256")
    assert new.find("b", "RS256") is not old.find("b", "RS256")


def test_a_first_set_has_nothing_to_reuse() -> None:
    keys = read(rsa("a"))
    assert keys.reuse(None) is keys


def test_a_secret_is_a_key_for_hmac_only() -> None:
    key = secret_key(b"s" * 32, ["HS256", "HS512"])
    assert (key.kid, key.algorithms, key.material) == (None, frozenset({"HS256", "HS512"}), b"s" * 32)
    assert key.thumbprint == secret_key(b"s" * 32, ["HS256"]).thumbprint != secret_key(b"t" * 32, ["HS256"]).thumbprint


@pytest.mark.parametrize("algorithms", [["RS256"], ["HS256", "RS256"], ["none"], []])
def test_a_secret_with_another_algorithm_is_refused(algorithms: list[str]) -> None:
    # RFC 8725 section 3.1, CVE-2016-5431: no secret where a public key could stand.
    with pytest.raises(ValueError, match="expected some of"):
        secret_key(b"s" * 32, algorithms)


def test_no_repr_shows_key_material() -> None:
    key: Key = secret_key(b"hush" * 8, ["HS256"])
    assert repr(key) == "Key(kid=None)"
    assert repr(read(rsa("a"))) == "KeySet(keys=(Key(kid='a'),))"


@pytest.mark.parametrize(("first", "second"), [("P-256", "P-384"), ("one", "two")])
def test_another_curve_key_under_the_same_kid_is_a_new_key(first: str, second: str) -> None:
    # A key that was replaced must not live on in the place of the new one.
    def named(name: str) -> dict[str, Any]:
        return ec("k", name) if name.startswith("P-") else to_jwk(private_key(f"ec-{name}", "P-256"), "k")

    old = read(named(first))
    new = read(named(second)).reuse(old)
    assert new.keys[0] is not old.keys[0]
    assert new.keys[0].thumbprint != old.keys[0].thumbprint
    assert read(named(first)).reuse(old).keys[0] is old.keys[0]


def test_the_thumbprint_of_a_curve_key_is_that_of_rfc_7638() -> None:
    key = ec("k")
    members = {name: key[name] for name in ("crv", "kty", "x", "y")}
    text = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    expected = base64.urlsafe_b64encode(hashlib.sha256(text).digest()).rstrip(b"=").decode()
    assert read(key).keys[0].thumbprint == expected


def test_the_thumbprint_of_a_secret_is_that_of_rfc_7638() -> None:
    text = b'{"k":"' + base64.urlsafe_b64encode(b"s" * 33) + b'","kty":"oct"}'
    expected = base64.urlsafe_b64encode(hashlib.sha256(text).digest()).rstrip(b"=").decode()
    assert secret_key(b"s" * 33, ["HS256", "HS384", "HS512"]).thumbprint == expected


def test_sizes_at_their_bounds_are_used_and_beyond_them_not() -> None:
    modulus = 2**16383 + 2**9000 + 1
    assert read(rsa(n=encode(modulus), e=encode(3))).keys
    assert read(rsa(e=encode(2**63 + 1))).keys
    for members in ({"n": encode(modulus * 2 + 1)}, {"e": encode(2**64 + 1)}, {"e": encode(1)}):
        with pytest.raises(KeySetError):
            read(rsa(**members))


def test_a_thousand_keys_are_read_and_one_more_is_not() -> None:
    keys = [rsa(f"k{number}") for number in range(1001)]
    assert len(read(*keys[:1000]).keys) == 1000
    with pytest.raises(KeySetError):
        read(*keys)


@pytest.mark.parametrize(
    "point",
    [
        # Of order 4, 1, 2 and 8 (the list of libsodium's crypto_core_ed25519_is_valid_point): any signature verifies
        # for one message in eight or more.
        "00" * 32,
        "01" + "00" * 31,
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        # The prime and one more: second spellings of 0 and 1.
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        # No point at all.
        "02" + "00" * 31,
    ],
)
def test_a_point_that_is_none_or_signs_for_anybody_is_no_key(point: str) -> None:
    with pytest.raises(KeySetError):
        read({"kty": "OKP", "crv": "Ed25519", "x": base64.urlsafe_b64encode(bytes.fromhex(point)).decode().rstrip("=")})


def test_a_point_on_the_curve_is_a_key() -> None:
    assert read(ed()).keys


def test_key_that_is_left_out_is_remembered_with_its_reason() -> None:
    good, encryption = rsa("good"), {**rsa("enc"), "use": "enc"}
    found = read_key_set(json.dumps({"keys": [good, encryption, "x", {**rsa("y"), "kid": 1}]}).encode())
    assert found.kids == {"good"}
    assert found.unusable == {"enc": "a key whose `use` is not `sig`"}
    assert found.reuse(found).unusable == found.unusable
