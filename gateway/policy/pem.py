"""Public keys in PEM (RFC 7468), held to what a key of a JWKS is held to."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from gateway.policy.jwk import Key, KeySetError, read_key

_BLOCK: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----[^-]*-----END \1-----")
_BEGIN: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----")
_PUBLIC: Final = frozenset(
    {b"PUBLIC KEY", b"RSA PUBLIC KEY", b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE"}
)


def read_pem_keys(document: bytes) -> tuple[Key, ...]:
    """Return the public keys of a PEM file, in its order; of a certificate its key, whatever its dates say.

    The id of each is its thumbprint (RFC 7638), for people: no token has to name it. Raises `KeySetError`, also for a
    private key, which must not lie about.
    """
    for begin in _BEGIN.finditer(document):
        if b"PRIVATE KEY" in begin[1]:
            line = document.count(b"\n", 0, begin.start()) + 1
            raise KeySetError(
                f"line {line}: found a private key, which anybody who can read it may sign with, expected the public "
                "one (openssl pkey -in KEY.pem -pubout)"
            )
    keys: dict[str, Key] = {}
    for block in _BLOCK.finditer(document):
        if block[1] in _PUBLIC:
            line = document.count(b"\n", 0, block.start()) + 1
            try:
                key = _key_of(block[0], block[1])
            except (UnsupportedAlgorithm, ValueError) as problem:
                raise KeySetError(f"line {line}: found {problem or type(problem).__name__}, expected a key") from None
            keys.setdefault(key.thumbprint, key)
    if not keys:
        raise KeySetError("found no public key, expected PEM: -----BEGIN PUBLIC KEY-----, or a certificate")
    return tuple(keys.values())


def _key_of(block: bytes, label: bytes) -> Key:
    try:
        public: Any = (
            x509.load_pem_x509_certificate(block.replace(label, b"CERTIFICATE")).public_key()
            if b"CERTIFICATE" in label
            else load_pem_public_key(block)
        )
    except ValueError:
        raise ValueError("a block that cannot be read") from None
    key = read_key(_jwk_of(public))
    return replace(key, kid=key.thumbprint)


def _jwk_of(public: Any) -> dict[str, str]:
    if isinstance(public, rsa.RSAPublicKey):
        rsa_numbers = public.public_numbers()
        return {"kty": "RSA", "n": _encode(rsa_numbers.n), "e": _encode(rsa_numbers.e)}
    if isinstance(public, ec.EllipticCurvePublicKey):
        numbers, length = public.public_numbers(), (public.key_size + 7) // 8
        crv = f"P-{public.key_size}" if public.curve.name.startswith("secp") else public.curve.name
        crv = crv if public.curve.name.endswith("r1") else public.curve.name  # secp256k1 is another curve
        return {"kty": "EC", "crv": crv, "x": _encode(numbers.x, length), "y": _encode(numbers.y, length)}
    if isinstance(public, ed25519.Ed25519PublicKey):
        raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        return {"kty": "OKP", "crv": "Ed25519", "x": base64.urlsafe_b64encode(raw).rstrip(b"=").decode()}
    raise ValueError("a key of another kind than RSA, EC and Ed25519")


def _encode(number: int, length: int = 0) -> str:
    written = number.to_bytes(length or (number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(written).rstrip(b"=").decode()
