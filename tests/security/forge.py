"""The keys of the security cases, and tokens that no library would make."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.minting import b64, ec_key, mint, rsa_key, sign

_HEADER_WITH = '{"alg":"RS256","x":%s}'
HS_SECRET = "kJ4v9QzT2mX7bW1cR8yL5nP3sD6fG0hA-cases"
ISSUER, AUDIENCE = "https://idp.example.test", "https://api.example.test"

# name in the cases -> (kid in the key set, members of the JWK beside the key itself)
PUBLISHED: dict[str, tuple[str, dict[str, Any]]] = {
    "rsa1": ("rsa-1", {"alg": "RS256", "use": "sig"}),
    "ec1": ("ec-1", {"alg": "ES256", "use": "sig"}),
    "rsaenc": ("rsa-enc", {"use": "enc"}),
    "rsa512only": ("rsa-512only", {"alg": "RS512"}),
    "rsakeyops": ("rsa-keyops", {"key_ops": ["encrypt"]}),
    "ec384": ("ec-384", {}),
    "rsa512": ("rsa-512bit", {}),
}


class SmallRsa:
    """A 512-bit RSA key, which anybody can factor; no library signs with one any more."""

    def __init__(self) -> None:
        p, q = _next_prime(2**255 + 1), _next_prime(2**255 + 2**200)
        self.n, self.e = p * q, 65537
        self._d = pow(self.e, -1, (p - 1) * (q - 1))

    def sign(self, data: bytes, *_: object) -> bytes:
        """Return an RSASSA-PKCS1-v1_5 signature with SHA-256 (RFC 8017 section 8.2)."""
        info = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(data).digest()
        block = b"\0\1" + b"\xff" * (64 - 3 - len(info)) + b"\0" + info
        return pow(int.from_bytes(block, "big"), self._d, self.n).to_bytes(64, "big")


def _next_prime(number: int) -> int:
    number |= 1
    while any(number % small == 0 for small in (3, 5, 7, 11, 13)) or pow(2, number - 1, number) != 1:
        number += 2
    return number


@cache
def key_named(name: str) -> Any:
    """Return the private key of a name; `evil` and `other` ones are published nowhere or elsewhere."""
    match name:
        case "hs":
            return HS_SECRET.encode()
        case "ec1":
            return ec_key("ec1")
        case "ec384":
            return ec.generate_private_key(ec.SECP384R1())
        case "rsa512":
            return SmallRsa()
        case _:
            return rsa_key(name)


def key_set(*names: str) -> list[dict[str, Any]]:
    """Return the JWKS members of these keys."""
    return [_jwk(name) for name in names]


def _jwk(name: str) -> dict[str, Any]:
    key = key_named(name)
    kid, members = PUBLISHED.get(name, (name, {}))
    if isinstance(key, ec.EllipticCurvePrivateKey):
        numbers = key.public_key().public_numbers()
        size = (key.curve.key_size + 7) // 8
        curve = {"secp256r1": "P-256", "secp384r1": "P-384"}[key.curve.name]
        point = {"x": b64(numbers.x.to_bytes(size, "big")), "y": b64(numbers.y.to_bytes(size, "big"))}
        return {"kty": "EC", "kid": kid, "crv": curve, **point, **members}
    public = key if isinstance(key, SmallRsa) else key.public_key().public_numbers()
    return {"kty": "RSA", "kid": kid, "n": _number(public.n), "e": _number(public.e), **members}


def _number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def token_for(spec: dict[str, Any], now: float) -> str:
    """Return the token that a case describes: `make` names one put together by hand, else key, alg, claims, header."""
    if "make" in spec:
        return _handmade(spec["make"], now)
    name = spec["key"]
    key = key_named(name)
    algorithm = spec.get("alg", "RS256")
    header = {"alg": algorithm, **spec.get("header", {})}
    header = {member: None if value == "<absent>" else value for member, value in header.items()}
    if spec.get("alg", "") is None:
        # alg: null, signed as if it said RS256
        raw = json.dumps({"alg": None, "kid": "rsa-1"}).encode()
        return mint(_claims(spec, now), key, "RS256", header=raw)
    kid = {"hs": None, "evil": "rsa-1"}.get(name, PUBLISHED.get(name, (name, {}))[0])
    sign_as = "ES256" if name == "ec384" else algorithm
    return mint(_claims(spec, now), key, sign_as, kid=kid, header=header)


def _claims(spec: dict[str, Any], now: float) -> dict[str, Any]:
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "user-1",
        "email": "alice@example.com",
        "email_verified": True,
        "iat": int(now) - 10,
        "exp": int(now) + 300,
    }
    claims |= spec.get("claims", {})
    return {name: _computed(value, now) for name, value in claims.items() if value != "<absent>"}


def _computed(value: Any, now: float) -> Any:
    found = re.fullmatch(r'("?)now([+-]\d+)"?', value) if isinstance(value, str) else None
    if found is None:
        return value
    moment = int(now) + int(found[2])
    return str(moment) if found[1] else moment


def _handmade(kind: str, now: float) -> str:
    claims = _claims({}, now)
    payload = json.dumps(claims).encode()
    good = mint(claims, key_named("rsa1"), "RS256", kid="rsa-1")
    head, body, signature = good.split(".")
    evil = key_named("evil")
    public_pem = (
        key_named("rsa1")
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    match kind:
        case "alg-none":
            return f"{b64(json.dumps({'alg': 'none', 'typ': 'JWT'}))}.{body}."
        case "hmac-with-pem":
            return mint(claims, public_pem, "HS256", kid="rsa-1")
        case "hmac-with-jwk":
            return mint(claims, json.dumps(_jwk("rsa1")).encode(), "HS256", kid="rsa-1")
        case "hmac-empty":
            return mint(claims, b"", "HS256")
        case "embedded-jwk":
            jwk = {**_jwk("evil"), "kid": "rsa-1"}
            return mint(claims, evil, "RS256", kid="rsa-1", header={"jwk": jwk})
        case "embedded-jku":
            return mint(claims, evil, "RS256", kid="rsa-1", header={"jku": "http://127.0.0.1:9/jwks"})
        case "b64-false":
            header = json.dumps({"alg": "RS256", "kid": "rsa-1", "b64": False, "crit": ["b64"]})
            signed = f"{b64(header)}.".encode() + payload
            return f"{b64(header)}.{body}.{b64(sign(signed, key_named('rsa1'), 'RS256'))}"
        case "detached":
            return f"{head}..{signature}"
        case "five-parts":
            return ".".join([b64(json.dumps({"alg": "RSA-OAEP", "enc": "A128GCM"}))] + [b64("x" * 16)] * 4)
        case "standard-alphabet":
            raw = base64.urlsafe_b64decode(signature + "==")
            return f"{head}.{body}.{base64.b64encode(raw).decode().rstrip('=')}+/"
        case "space-inside":
            return f"{head}.{body} .{signature}"
        case "two-parts":
            return f"{head}.{body}"
        case "empty-signature":
            return f"{head}.{body}."
        case "flipped-bit":
            raw = bytearray(base64.urlsafe_b64decode(signature + "=="))
            raw[-1] ^= 1
            return f"{head}.{body}.{b64(bytes(raw))}"
        case "swapped-payload":
            return f"{head}.{b64(json.dumps({**claims, 'sub': 'root'}))}.{signature}"
        case "nan-exp":
            return mint(payload.replace(str(claims["exp"]).encode(), b"NaN"), key_named("rsa1"), "RS256", kid="rsa-1")
        case "deep-header":
            nested = "[" * 2500 + "]" * 2500
            return f"{b64(_HEADER_WITH % nested)}.{body}.{signature}"
        case "long-integer":
            return f"{b64(_HEADER_WITH % ('9' * 5000))}.{body}.{signature}"
        case "dots":
            return "." * 7000
        case "list-header":
            return f"{b64(json.dumps(['RS256']))}.{body}.{signature}"
        case "zip":
            header = {"zip": "DEF"}
            return mint(zlib.compress(payload), key_named("rsa1"), "RS256", kid="rsa-1", header=header)
        case "bad-utf8":
            return mint(b'{"iss":"\xff\xfe"}', key_named("rsa1"), "RS256", kid="rsa-1")
        case "array-payload":
            return mint(b"[]", key_named("rsa1"), "RS256", kid="rsa-1")
        case "long-token":
            return mint({**claims, "pad": "p" * 16384}, evil, "RS256", kid="rsa-1")
        case "long-kid":
            return mint(claims, evil, "RS256", kid="k" * 4096)
        case "zero-ec":
            header = b64(json.dumps({"alg": "ES256", "kid": "ec-1"}))
            return f"{header}.{body}.{b64(bytes(64))}"
        case "der-ec":
            signed = f"{b64(json.dumps({'alg': 'ES256', 'kid': 'ec-1'}))}.{body}"
            return f"{signed}.{b64(key_named('ec1').sign(signed.encode(), ec.ECDSA(hashes.SHA256())))}"
        case "zero-rsa":
            return f"{head}.{body}.{b64(bytes(256))}"
    raise ValueError(kind)
