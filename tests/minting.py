"""Tokens for tests, good and bad, put together by hand so that no library refuses to make a bad one."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.secrecy import keep_secret

SECRET = b"kJ4v9QzT2mX7bW1cR8yL5nP3sD6fG0hA-tests"
OTHER_SECRET = b"Zx81-another-Secret-0f-the-tests-QQ"
NOW = 1_800_000_000.0
# The exp of a token that a module makes while it is collected: a whole run takes longer than most tokens live.
FAR = int(time.time()) + 86_400

keep_secret(SECRET.decode())
keep_secret(OTHER_SECRET.decode())
_HASHES: dict[str, Callable[[], hashes.HashAlgorithm]] = {
    "256": hashes.SHA256,
    "384": hashes.SHA384,
    "512": hashes.SHA512,
}


def b64(data: bytes | str) -> str:
    """Return unpadded base64url."""
    return urlsafe_b64encode(data.encode() if isinstance(data, str) else data).rstrip(b"=").decode()


def mint(
    claims: dict[str, Any] | bytes,
    key: Any = SECRET,
    algorithm: str = "HS256",
    *,
    kid: Any = None,
    header: dict[str, Any] | bytes | None = None,
) -> str:
    """Return a compact JWS. `header` members replace ours (None removes one); bytes are taken as they are."""
    members: dict[str, Any] = {"alg": algorithm, "typ": "JWT"}
    if kid is not None:
        members["kid"] = kid
    if isinstance(header, dict):
        members |= header
    head = header if isinstance(header, bytes) else json.dumps({k: v for k, v in members.items() if v is not None})
    payload = claims if isinstance(claims, bytes) else json.dumps(claims)
    signing_input = f"{b64(head)}.{b64(payload)}"
    return keep_secret(f"{signing_input}.{b64(sign(signing_input.encode(), key, algorithm))}")


def sign(data: bytes, key: Any, algorithm: str) -> bytes:
    """Return the JWS signature of `data` (RFC 7518 section 3)."""
    digest = _HASHES.get(algorithm[2:], hashes.SHA256)()
    match algorithm[:2]:
        case "HS":
            return hmac.new(key, data, getattr(hashlib, digest.name)).digest()
        case "RS":
            return bytes(key.sign(data, padding.PKCS1v15(), digest))
        case "PS":
            return bytes(key.sign(data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest))
        case "ES":
            r, s = decode_dss_signature(key.sign(data, ec.ECDSA(digest)))
            size = (key.curve.key_size + 7) // 8
            return r.to_bytes(size, "big") + s.to_bytes(size, "big")
        case "Ed":
            return bytes(key.sign(data))
    return b"\0"


@cache
def rsa_key(name: str = "first", bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return the RSA key of a name; the same one for the whole run, since making one takes a while."""
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key(name: str = "first") -> ec.EllipticCurvePrivateKey:
    """Return the P-256 key of a name."""
    return ec.generate_private_key(ec.SECP256R1())


@cache
def ed_key(name: str = "first") -> ed25519.Ed25519PrivateKey:
    """Return the Ed25519 key of a name."""
    return ed25519.Ed25519PrivateKey.generate()


def claims_of(**changes: Any) -> dict[str, Any]:
    """Return the claims of an ordinary token at `NOW`; a change to `...` removes one."""
    claims: dict[str, Any] = {
        "iss": "https://idp.example.test",
        "aud": "https://api.example.test",
        "sub": "user-1",
        "email": "alice@example.com",
        "email_verified": True,
        "iat": NOW - 10,
        "exp": NOW + 300,
    }
    claims |= changes
    return {name: value for name, value in claims.items() if value is not ...}
