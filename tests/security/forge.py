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
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519

from tests.minting import b64, ec_key, ed_key, rsa_key, sign

HS_SECRET = "kJ4v9QzT2mX7bW1cR8yL5nP3sD6fG0hA-cases"
# Of 50 bytes, so that it has padding, and characters that differ in base64url.
ENCODED_SECRET = base64.b64encode(bytes(range(200, 250))).decode()
ISSUER, AUDIENCE = "https://idp.example.test", "https://api.example.test"
ABSENT = "<absent>"

# name in the cases -> (kid in the key set, members of the JWK beside the key itself)
PUBLISHED: dict[str, tuple[str, dict[str, Any]]] = {
    "rsa1": ("rsa-1", {"alg": "RS256", "use": "sig"}),
    "rsa2": ("rsa-2", {}),
    "ec1": ("ec-1", {"alg": "ES256", "use": "sig"}),
    "ed1": ("ed-1", {"use": "sig"}),
    "ed1named": ("ed-1-named", {"alg": "Ed25519"}),
    "ed448": ("ed-448", {"use": "sig"}),
    "ed448lying": ("ed-448-lying", {"alg": "Ed25519"}),
    "rsaenc": ("rsa-enc", {"use": "enc"}),
    "rsa512only": ("rsa-512only", {"alg": "RS512"}),
    "rsakeyops": ("rsa-keyops", {"key_ops": ["encrypt"]}),
    "ec384": ("ec-384", {}),
    "rsa512": ("rsa-512bit", {}),
    "rsa1024": ("rsa-1024", {}),
    "rsae1": ("rsa-e1", {}),
    "oct1": ("oct-1", {}),
}
_SIZES = {"ec384": ec.SECP384R1, "ec521": ec.SECP521R1}
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521", "secp256k1": "secp256k1"}


class WeakRsa:
    """An RSA key that no library signs with any more: 512 bits, which anybody can factor, or an exponent of 1."""

    def __init__(self, bits: int, e: int = 65537) -> None:
        base = 3 * 2 ** (bits // 2 - 2)
        p, q = _next_prime(base + 1), _next_prime(base + 2 ** (bits // 2 - 56))
        self.n, self.e, self._size = p * q, e, bits // 8
        self._d = pow(e, -1, (p - 1) * (q - 1))

    def sign(self, data: bytes, *_: object) -> bytes:
        """Return an RSASSA-PKCS1-v1_5 signature with SHA-256 (RFC 8017 section 8.2)."""
        info = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(data).digest()
        block = b"\0\1" + b"\xff" * (self._size - 3 - len(info)) + b"\0" + info
        return pow(int.from_bytes(block, "big"), self._d, self.n).to_bytes(self._size, "big")


def _next_prime(number: int) -> int:
    number |= 1
    while any(number % small == 0 for small in (3, 5, 7, 11, 13)) or pow(2, number - 1, number) != 1:
        number += 2
    return number


@cache
def key_named(name: str) -> Any:
    """Return the private key of a name. Names that `PUBLISHED` does not hold are keys of strangers."""
    match name:
        case "hs":
            return HS_SECRET.encode()
        case "oct1":
            return b"oct-1-is-published-so-it-is-no-secret"
        case "ed1" | "ed1named":
            return ed_key(name)
        case "ed448" | "ed448lying":
            return ed448.Ed448PrivateKey.generate()
        case "ec384" | "ec521":
            return ec.generate_private_key(_SIZES[name]())
        case "k1":
            return ec.generate_private_key(ec.SECP256K1())
        case "rsa512":
            return WeakRsa(512)
        case "rsae1":
            return WeakRsa(2048, e=1)
        case "rsa1024":
            return rsa_key(name, 1024)
    return ec_key(name) if name.startswith("ec") else rsa_key(name)


def kid_of(name: str) -> str | None:
    """Return the kid that a key's tokens carry; a forger claims to be rsa-1."""
    return {"hs": None, "evil": "rsa-1"}.get(name, PUBLISHED.get(name, (name, {}))[0])


def jwk(name: str, **members: Any) -> dict[str, Any]:
    """Return the public JWK of a key. `members` replace ours; `<absent>` takes one out."""
    key = key_named(name)
    kid, own = PUBLISHED.get(name, (name, {}))
    made = {**_public(key), "kid": kid, **own, **members}
    return {member: value for member, value in made.items() if value != ABSENT}


def _public(key: Any) -> dict[str, Any]:
    if isinstance(key, bytes):
        return {"kty": "oct", "k": b64(key)}
    if isinstance(key, ed25519.Ed25519PrivateKey):
        raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return {"kty": "OKP", "crv": "Ed25519", "x": b64(raw)}
    if isinstance(key, ed448.Ed448PrivateKey):
        return {"kty": "OKP", "crv": "Ed448", "x": b64(key.public_key().public_bytes_raw())}
    if isinstance(key, ec.EllipticCurvePrivateKey):
        point = key.public_key().public_numbers()
        size = (key.curve.key_size + 7) // 8
        x, y = (b64(number.to_bytes(size, "big")) for number in (point.x, point.y))
        return {"kty": "EC", "crv": _CURVES[key.curve.name], "x": x, "y": y}
    public = key if isinstance(key, WeakRsa) else key.public_key().public_numbers()
    return {"kty": "RSA", "n": number(public.n), "e": number(public.e)}


def number(value: int) -> str:
    """Return a number as a JWK holds it (RFC 7518 section 2, Base64urlUInt)."""
    return b64(value.to_bytes((value.bit_length() + 7) // 8 or 1, "big"))


def token_for(spec: dict[str, Any], now: float) -> str:
    """Return the token that a case describes.

    `key` (rsa1), `alg` (what the header says), `sign_as` (how it is signed), `kid`, `header` (members, `<absent>`
    removes one), `header_text` and `payload_text` (in place of the JSON, each character one byte), `claims`, `secret`
    (text, or the name of a form of rsa1's public key), `signature` (what is done to it), `form` (how the parts are put
    together: `{head}.{body}.{signature}`).
    """
    name = spec.get("key", "rsa1")
    key = _secret(spec["secret"]) if "secret" in spec else key_named(name)
    natural = _algorithm(key)
    algorithm = spec.get("alg", natural)
    header: dict[str, Any] = {"alg": algorithm, "typ": "JWT", "kid": spec.get("kid", kid_of(name))}
    if header["kid"] is None and "kid" not in spec:
        del header["kid"]
    header |= spec.get("header", {})
    header = {member: _public_part(value) for member, value in header.items() if value != ABSENT}
    head = b64(_text(spec["header_text"], now) if "header_text" in spec else json.dumps(header).encode())
    body = b64(_payload(spec, now))
    raw = sign(f"{head}.{body}".encode(), key, spec.get("sign_as", algorithm if _fits(algorithm, natural) else natural))
    parts = {"head": head, "body": body, "signature": _changed(raw, spec.get("signature", "as it is"), head, body)}
    if spec.get("signed_bytes") == "unencoded payload":
        parts["signature"] = b64(sign(head.encode() + b"." + _payload(spec, now), key, natural))
    return re.sub(r"\{(\w+)\}", lambda found: parts[found[1]], spec.get("form", "{head}.{body}.{signature}"))


def _payload(spec: dict[str, Any], now: float) -> bytes:
    if "payload_text" not in spec:
        return json.dumps(_claims(spec, now), ensure_ascii=spec.get("ascii", True)).encode("utf-8", "surrogatepass")
    payload = _text(spec["payload_text"], now)
    if "encoding" in spec:
        return payload.decode("latin-1").encode(spec["encoding"])
    return zlib.compress(payload) if spec.get("deflated") else payload


def _text(text: str, now: float) -> bytes:
    """Return a text as bytes, with `CLAIMS` replaced by the members of a good payload."""
    good = json.dumps(_claims({}, now))[1:-1]
    return text.replace("CLAIMS", good).encode("latin-1")


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
    return {name: _computed(value, now) for name, value in claims.items() if value != ABSENT}


def _computed(value: Any, now: float) -> Any:
    found = re.fullmatch(r'("?)now([+-][\d.]+)"?', value) if isinstance(value, str) else None
    if found is None:
        return value
    moment = int(now) + (float(found[2]) if "." in found[2] else int(found[2]))
    return str(moment) if found[1] else moment


def _algorithm(key: Any) -> str:
    if isinstance(key, bytes):
        return "HS256"
    if isinstance(key, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)):
        return "EdDSA"
    return "ES256" if isinstance(key, ec.EllipticCurvePrivateKey) else "RS256"


def _fits(algorithm: Any, natural: str) -> bool:
    return isinstance(algorithm, str) and algorithm[:2] == natural[:2] and algorithm[2:] in ("256", "384", "512")


def _secret(form: str) -> bytes:
    """Return a form of a public key, or of a secret, which a confused verifier takes for the secret (CVE-2016-5431)."""
    encoded = ENCODED_SECRET.encode()
    public = key_named("rsa1").public_key()
    info, pem = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.Encoding.PEM
    forms: dict[str, bytes] = {
        "pem": public.public_bytes(pem, info),
        "pem without its last line break": public.public_bytes(pem, info).strip(),
        "pem in one line": public.public_bytes(pem, info).replace(b"\n", b""),
        "pkcs1 pem": public.public_bytes(pem, serialization.PublicFormat.PKCS1),
        "der": public.public_bytes(serialization.Encoding.DER, info),
        "jwk": json.dumps(jwk("rsa1")).encode(),
        "n": jwk("rsa1")["n"].encode(),
        "kid": b"rsa-1",
        "issuer": ISSUER.encode(),
        "raw Ed25519 key": key_named("ed1").public_key().public_bytes_raw(),
        "decoded": base64.b64decode(encoded),
        "encoded": encoded,
        "encoded for urls": base64.urlsafe_b64encode(base64.b64decode(encoded)),
        "encoded without padding": encoded.rstrip(b"="),
        "encoded twice": base64.b64encode(encoded),
        "encoded, and a line end": encoded + b"\n",
        "decoded, and cut": base64.b64decode(encoded)[:48],
    }
    return forms.get(form, form.encode())


def _public_part(value: Any) -> Any:
    """Return a header member, `jwk of NAME` replaced by that key's public JWK under the kid of the honest one."""
    if isinstance(value, str) and value.startswith("jwk of "):
        return jwk(value.removeprefix("jwk of "), kid="rsa-1")
    return value


def _changed(raw: bytes, change: str, head: str, body: str) -> str:
    """Return a signature, or what an attacker makes of it."""
    match change.split(" "):
        case ["as", "it", "is"]:
            return b64(raw)
        case ["bit", index]:
            flipped = bytearray(raw)
            flipped[int(index)] ^= 1
            return b64(bytes(flipped))
        case ["zeros", size]:
            return b64(bytes(int(size)))
        case ["ones", size]:
            return b64(b"\xff" * int(size))
        case ["cut", size]:
            return b64(raw[: int(size)])
        case ["behind", text]:
            return b64(raw + text.encode())
        case ["before", text]:
            return b64(text.encode() + raw)
        case ["loose", "bits"]:  # the last character's unused bits set: one signature, two spellings
            text = b64(raw)
            alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
            return text[:-1] + alphabet[alphabet.index(text[-1]) | 1]
        case ["standard", "alphabet"]:
            return base64.b64encode(raw).decode().rstrip("=").replace("A", "+", 1).replace("B", "/", 1)
        case ["hexadecimal"]:
            return raw.hex()
        case ["der"]:
            return b64(key_named("ec1").sign(f"{head}.{body}".encode(), ec.ECDSA(hashes.SHA256())))
        case ["s", "plus", "order"]:
            order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
            s = int.from_bytes(raw[32:], "big") + order
            return b64(raw[:32] + s.to_bytes(33, "big"))
        case ["order", "order"]:
            return b64(bytes.fromhex("FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551" * 2))
        case ["number", "one"]:
            return b64((1).to_bytes(len(raw), "big"))
        case ["modulus"]:
            return b64(key_named("rsa1").public_key().public_numbers().n.to_bytes(256, "big"))
        case ["plus", "modulus"]:
            n = key_named("rsa1").public_key().public_numbers().n
            return b64((int.from_bytes(raw, "big") + n).to_bytes(257, "big"))
        case ["unpadded", "digest"]:
            return b64(hashlib.sha256(f"{head}.{body}".encode()).digest())
    raise ValueError(change)
