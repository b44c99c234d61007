"""Which shared secrets are refused when the file is read."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.secrets import check_secret
from tests.keyserver import private_key, to_jwk

PUBLIC = private_key("rsa-1").public_key()


@pytest.mark.parametrize(
    "secret",
    [
        pytest.param("supersecretdevkeythatishs256safe!", id="mastra-guide"),
        pytest.param("kJ4v9QzT2mX7bW1cR8yL5nP3sD6fG0hA", id="random-letters"),
        pytest.param("8f14e45fceea167a5a36dedd4bea2543", id="random-hex"),
        pytest.param("31415926535897932384626433832795", id="digits"),
        pytest.param("0123456789abcdef" * 2, id="made-up-for-a-test"),
        pytest.param("this is a test secret of at least 32 bytes", id="words-of-placeholders"),
        pytest.param("correct horse battery staple and more of it", id="passphrase"),
        pytest.param("{not json but thirty-two bytes..}", id="brace"),
        pytest.param('{"salt": "kJ4v9QzT2mX7bW1cR8yL5nP3"}', id="json-but-no-key"),
        pytest.param("[" * 5 + "kJ4v9QzT2mX7bW1cR8yL5nP3sD6fG0hA", id="list-brackets"),
        pytest.param('{"a":' + "[" * 100_000 + "kJ4v9QzT2mX7b" * 30_000, id="deep-json"),
        pytest.param("kJ4v9QzT2mX7bW1cRkJ4v9QzT2mX7bW1cR", id="long-block-twice"),
    ],
)
def test_a_fair_secret_is_accepted(secret: str) -> None:
    assert check_secret(secret.encode()) is None


@pytest.mark.parametrize(
    ("secret", "found"),
    [
        pytest.param(b"", "found 0 bytes", id="empty"),
        pytest.param(b"secret", "found 6 bytes", id="short"),
        pytest.param(b"kJ4v9QzT2mX7bW1cR8yL5nP3sD6fG0h", "found 31 bytes", id="31-bytes"),  # RFC 7518 section 3.2
        pytest.param(b"a" * 32, "one character repeated", id="one-character"),
        pytest.param(b"\0" * 64, "one character repeated", id="zeros"),
        pytest.param(b"changeme" * 4, "placeholder", id="changeme-four-times"),
        pytest.param(b"supersecret" * 3, "placeholder", id="supersecret-three-times"),
        pytest.param(b"your-256-bit-secret" * 2, "placeholder", id="jwt.io-old-twice"),
        pytest.param(b"a-string-secret-at-least-256-bits-long", "placeholder", id="jwt.io"),
        pytest.param(
            b"a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long", "placeholder", id="jwt.io-hs512"
        ),
        pytest.param(b"CHANGE_THIS_TO_A_LONG_RANDOM_STRING", "placeholder", id="change-this"),
        pytest.param(b"your-super-secret-jwt-token-with-at-least-32-characters-long", "placeholder", id="supabase"),
        pytest.param(b"please change me in production!!", "placeholder", id="please-change-me"),
        # CVE-2016-5431, CVE-2022-29217: what everybody may read cannot be a secret.
        pytest.param(PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), "PEM", id="pem-public-key"),
        pytest.param(b"\n  -----BEGIN CERTIFICATE-----\nMIIB", "PEM", id="certificate-short"),
        pytest.param(PUBLIC.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH), "SSH", id="ssh-public-key"),
        pytest.param(b"ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAI", "SSH", id="ssh-ec-key"),
        pytest.param(json.dumps(to_jwk(private_key("rsa-1"), "k")).encode(), "JWK", id="jwk"),
        pytest.param(b' {"keys": []} ', "JWK", id="jwks"),
    ],
)
def test_a_guessable_secret_is_refused_with_what_was_found(secret: bytes, found: str) -> None:
    message = check_secret(secret)
    assert message is not None and found in message and "expected" in message


@pytest.mark.parametrize(("algorithm", "least"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_a_secret_is_as_long_as_the_hash(algorithm: str, least: int) -> None:
    secret = bytes(range(least))
    assert check_secret(secret, [algorithm, "HS256"]) is None
    assert f"expected at least {least}" in str(check_secret(secret[1:], [algorithm, "HS256"]))


@given(st.randoms(use_true_random=True))
def test_random_bytes_are_accepted(random) -> None:  # type: ignore[no-untyped-def]  # hypothesis names no type
    raw = random.randbytes(32)
    assert check_secret(raw) is None
    assert check_secret(raw.hex().encode()) is None


def test_the_message_holds_nothing_of_the_secret() -> None:
    assert "hunter" not in str(check_secret(b"hunter2"))
