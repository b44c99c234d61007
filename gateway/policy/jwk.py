"""Keys that verify signatures: one `Key` per secret or usable member of a JWKS (RFC 7517)."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

# Another name of an algorithm, and the one that is used inside. RFC 9864 section 2.2: it says the curve, where `EdDSA`
# may also mean Ed448, which is no key of ours.
SAME_ALGORITHM: Final = {"Ed25519": "EdDSA"}
_SYMMETRIC: Final = frozenset({"HS256", "HS384", "HS512"})
_RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVES: Final[dict[object, tuple[ec.EllipticCurve, str]]] = {
    "P-256": (ec.SECP256R1(), "ES256"),
    "P-384": (ec.SECP384R1(), "ES384"),
    "P-521": (ec.SECP521R1(), "ES512"),
}
# RFC 7518 section 3.3 asks for 2048 bits or more. The upper bounds are OpenSSL's own: a key server must
# not be able to make one verification last for seconds.
_MIN_RSA_BITS, _MAX_RSA_BITS, _MAX_EXPONENT_BITS = 2048, 16384, 64
_MIN_RSA_EXPONENT: Final = 3
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+")
_ED25519_PRIME: Final = 2**255 - 19
_ED25519_D: Final = -121665 * pow(121666, -1, _ED25519_PRIME) % _ED25519_PRIME
# Moduli of Infineon's broken generator are powers of 65537 modulo every small prime: CVE-2017-15361 (ROCA).
_ROCA_PRIMES: Final = [p for p in range(3, 168, 2) if all(p % d for d in range(3, p, 2))]
_ROCA_RESIDUES: Final = {p: frozenset(pow(65537, power, p) for power in range(p)) for p in _ROCA_PRIMES}
_MAX_FAULTS_NAMED: Final = 5
_CERTIFICATE: Final = "-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """A key ready to verify with, for the algorithms in `algorithms` only.

    Compared by identity: a verified token stays cached only while the very key that verified it is in use.
    `material` is what PyJWT's algorithm object takes; `thumbprint` tells whether a refetched key is the same.
    """

    kid: str | None
    algorithms: frozenset[str]
    material: Any
    thumbprint: str

    def __repr__(self) -> str:
        return f"Key(kid={self.kid!r})"


class KeySetError(ValueError):
    """A document that is no key set to verify with. The message never quotes the document at length."""


class UnusableKeyError(ValueError):
    """One key of a set that must not verify, and why."""


@dataclass(frozen=True, slots=True, eq=False)
class KeySet:
    """The usable keys of one JWKS. `unusable` says of others, by their `kid`, why they are left out."""

    keys: tuple[Key, ...]
    unusable: Mapping[str, str] = field(default_factory=dict, repr=False)
    _fitting: dict[tuple[str | None, str], Key | None] = field(init=False, repr=False)
    _kids: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Only `find` below is on the path of a request, so the work is done here, once per fetch.
        fitting: dict[tuple[str | None, str], Key | None] = {}
        for key in self.keys:
            for algorithm in key.algorithms:
                # None stands for a token without kid, which fits every key; two keys that fit are none.
                for question in {(key.kid, algorithm), (None, algorithm)}:
                    fitting[question] = key if question not in fitting else None
        object.__setattr__(self, "_fitting", fitting)
        object.__setattr__(self, "_kids", frozenset(key.kid for key in self.keys if key.kid is not None))

    @property
    def kids(self) -> frozenset[str]:
        """The key ids of the set."""
        return self._kids

    def find(self, kid: str | None, algorithm: str) -> Key | None:
        """Return the key that fits, if there is exactly one.

        A kid selects exactly: neither a key with another kid nor one without is tried. Keys that share a
        kid count as long as one alone fits the algorithm (RFC 7517 section 4.5).
        """
        return self._fitting.get((kid, algorithm))

    def reuse(self, old: KeySet | None) -> KeySet:
        """Return this set with the very `Key` objects of `old` wherever nothing about a key has changed.

        Verified tokens are cached by the identity of their key, and a routine refetch must not empty that cache.
        """
        if old is None:
            return self
        known = {(key.kid, key.thumbprint, key.algorithms): key for key in old.keys}
        keys = tuple(known.get((key.kid, key.thumbprint, key.algorithms), key) for key in self.keys)
        return KeySet(keys, self.unusable)


def read_key_set(document: bytes, max_keys: int = 1000) -> KeySet:
    """Return the usable keys of a JWKS document; keys that must not verify are left out (RFC 7517 section 5).

    Raises `KeySetError` if it is no JWKS, has more than `max_keys` keys, or none of them is usable.
    """
    members = _read_json(document)
    if not isinstance(members, dict):
        raise KeySetError("found JSON that is no object with distinct names, expected a JWKS: an object with `keys`")
    entries = members.get("keys")
    if members and all(isinstance(value, str) and _CERTIFICATE in value for value in members.values()):
        raise KeySetError(
            "found a map of key ids to X.509 certificates (PEM), expected a JWKS; Google and Firebase publish the same "
            "keys as one: https://www.googleapis.com/service_accounts/v1/jwk/ACCOUNT in place of "
            ".../robot/v1/metadata/x509/ACCOUNT, and https://www.googleapis.com/oauth2/v3/certs of .../v1/certs"
        )
    if not isinstance(entries, list):
        raise KeySetError("found a JSON object without a list `keys`, expected a JWKS")
    if len(entries) > max_keys:
        raise KeySetError(f"found {len(entries)} keys, expected at most {max_keys}")
    keys: dict[tuple[str | None, str, frozenset[str]], Key] = {}
    faults: list[str] = []
    unusable: dict[str, str] = {}
    for entry in entries:
        try:
            key = read_key(entry)
        # One strange key must not cost the good ones; the last two are what the cryptography library raises.
        except (UnusableKeyError, UnsupportedAlgorithm, ValueError) as error:
            faults.append(str(error))
            if isinstance(entry, dict) and isinstance(kid := entry.get("kid"), str):
                unusable.setdefault(kid, str(error))
        else:
            keys.setdefault((key.kid, key.thumbprint, key.algorithms), key)
    if not keys:
        raise KeySetError(_describe_faults(faults))
    return KeySet(tuple(keys.values()), unusable)


def secret_key(secret: bytes, algorithms: Iterable[str]) -> Key:
    """Return the key of a shared secret. Raises ValueError for an algorithm other than HS256, HS384, HS512."""
    names = frozenset(algorithms)
    if not names or not names <= _SYMMETRIC:
        # A secret next to RS256 is what key confusion needs (RFC 8725 section 3.1, CVE-2016-5431).
        raise ValueError(f"found algorithms {sorted(names)}, expected some of {sorted(_SYMMETRIC)} for a secret")
    return Key(None, names, secret, _thumbprint(kty="oct", k=_encode(secret)))


def _read_json(document: bytes) -> Any:
    try:
        # Decoded here, because json.loads would guess UTF-16 and UTF-32 from bytes (RFC 8259 section 8.1).
        text = document.decode("utf-8")
        return json.loads(text, object_pairs_hook=_read_members, parse_constant=_refuse_constant)
    except RecursionError:
        raise KeySetError("found JSON that is nested too deeply, expected a JWKS") from None
    except ValueError:  # not UTF-8, not JSON, NaN, a number of thousands of digits (CVE-2020-10735)
        raise KeySetError(f"found {len(document)} bytes that are not UTF-8 JSON, expected a JWKS") from None


def _read_members(pairs: list[tuple[str, Any]]) -> dict[str, Any] | None:
    # Two readers could take different ones of two equal names (RFC 8259 section 4): such an object is none.
    members = dict(pairs)
    return members if len(members) == len(pairs) else None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")  # Python's json would take it: RFC 8259 section 6


def _describe_faults(faults: list[str]) -> str:
    named = list(dict.fromkeys(faults))[:_MAX_FAULTS_NAMED]
    return f"found no usable key among {len(faults)}, expected at least one" + (f" ({'; '.join(named)})" * bool(named))


def read_key(jwk: Any) -> Key:
    """Return the key of a JWK. Raises `UnusableKeyError` or another ValueError, or `UnsupportedAlgorithm`."""
    if not isinstance(jwk, dict):
        raise UnusableKeyError("a key that is no object with distinct names")
    kid = jwk.get("kid")
    if "kid" in jwk and not (isinstance(kid, str) and kid.isprintable()):
        # Lone surrogates and control characters would end in logs and in /status.
        raise UnusableKeyError("a `kid` that is no printable string")
    if "use" in jwk and jwk["use"] != "sig":  # RFC 7517 section 4.2
        raise UnusableKeyError("a key whose `use` is not `sig`")
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:  # RFC 7517 section 4.3
        raise UnusableKeyError("a key whose `key_ops` lacks `verify`")
    kty = jwk.get("kty")
    read = _READERS.get(kty) if isinstance(kty, str) else None
    if read is None:
        # `oct` too: a secret that is published is none (RFC 7517 section 9.3).
        raise UnusableKeyError("a key whose `kty` is none of RSA, EC, OKP")
    if "d" in jwk:
        raise UnusableKeyError("a private key, which anybody who can read it may sign with")
    algorithms, material, thumbprint = read(jwk)
    if "alg" in jwk:  # RFC 7517 section 4.4
        said = SAME_ALGORITHM.get(jwk["alg"], jwk["alg"]) if isinstance(jwk["alg"], str) else None
        algorithms = frozenset(name for name in algorithms if name == said)
    if not algorithms:
        raise UnusableKeyError("a key whose `alg` does not fit its `kty`")
    return Key(kid, algorithms, material, thumbprint)


def _read_rsa(jwk: dict[str, Any]) -> tuple[frozenset[str], Any, str]:
    n = int.from_bytes(_decode(jwk, "n"), "big")
    e = int.from_bytes(_decode(jwk, "e"), "big")
    if not _MIN_RSA_BITS <= n.bit_length() <= _MAX_RSA_BITS or n % 2 == 0:
        raise UnusableKeyError(
            f"an RSA key of {n.bit_length()} bits, {_MIN_RSA_BITS} to {_MAX_RSA_BITS} and odd expected"
        )
    if e < _MIN_RSA_EXPONENT or e % 2 == 0 or e.bit_length() > _MAX_EXPONENT_BITS:
        raise UnusableKeyError("an RSA exponent that is even, below 3 or over 64 bits")
    if all(n % prime in residues for prime, residues in _ROCA_RESIDUES.items()):
        raise UnusableKeyError("an RSA key that can be factored (ROCA, CVE-2017-15361)")
    # Encoded anew: some servers put a zero byte in front (RFC 7518 section 6.3.1.1).
    thumbprint = _thumbprint(kty="RSA", n=_encode(_to_bytes(n)), e=_encode(_to_bytes(e)))
    return _RSA, rsa.RSAPublicNumbers(e, n).public_key(), thumbprint


def _read_ec(jwk: dict[str, Any]) -> tuple[frozenset[str], Any, str]:
    crv = jwk.get("crv")
    if not isinstance(crv, str) or crv not in _CURVES:
        raise UnusableKeyError("an EC key whose `crv` is none of P-256, P-384, P-521")
    curve, algorithm = _CURVES[crv]
    x, y = _decode(jwk, "x"), _decode(jwk, "y")
    length = (curve.key_size + 7) // 8
    if len(x) != length or len(y) != length:  # RFC 7518 section 6.2.1.2
        raise UnusableKeyError(f"an EC key whose `x` and `y` are not {length} bytes each")
    numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), curve)
    try:
        material = numbers.public_key()
    except ValueError:
        raise UnusableKeyError("an EC point that is not on its curve") from None
    return frozenset({algorithm}), material, _thumbprint(kty="EC", crv=crv, x=_encode(x), y=_encode(y))


def _read_okp(jwk: dict[str, Any]) -> tuple[frozenset[str], Any, str]:
    if jwk.get("crv") != "Ed25519":  # Ed448 would come in under the same algorithm name
        raise UnusableKeyError("an OKP key whose `crv` is not Ed25519")
    x = _decode(jwk, "x")
    if len(x) != 32 or not _is_on_ed25519(x):
        raise UnusableKeyError("an Ed25519 point that is not on its curve")
    material = ed25519.Ed25519PublicKey.from_public_bytes(x)
    return frozenset({"EdDSA"}), material, _thumbprint(kty="OKP", crv="Ed25519", x=_encode(x))


_READERS: Final[dict[str, Callable[[dict[str, Any]], tuple[frozenset[str], Any, str]]]] = {
    "RSA": _read_rsa,
    "EC": _read_ec,
    "OKP": _read_okp,
}


def _is_on_ed25519(point: bytes) -> bool:
    """Return whether an encoded point is one of the curve, and of no small order: under such a key anybody can sign."""
    # OpenSSL looks at the point only when it verifies. Here: does y have an x (RFC 8032 section 5.1.3)?
    y = int.from_bytes(point, "little") % 2**255
    x_squared = (y * y - 1) * pow(_ED25519_D * y * y + 1, -1, _ED25519_PRIME) % _ED25519_PRIME
    has_x = y < _ED25519_PRIME and pow(x_squared, (_ED25519_PRIME - 1) // 2, _ED25519_PRIME) == 1
    # x = 0 is of order 1 or 2, y = 0 of order 4; twice a point of order 8 has y = 0.
    is_of_order_8 = (_ED25519_D * y**4 + 2 * y * y - 1) % _ED25519_PRIME == 0
    return has_x and y != 0 and not is_of_order_8


def _decode(jwk: dict[str, Any], name: str) -> bytes:
    value = jwk.get(name)
    if not isinstance(value, str) or not _BASE64URL.fullmatch(value) or len(value) % 4 == 1:
        raise UnusableKeyError(f"a key whose `{name}` is not base64url")
    decoded = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
    if _encode(decoded) != value:
        raise UnusableKeyError(f"a key whose `{name}` is not canonical base64url")
    return decoded


def _encode(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode("ascii")


def _to_bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _thumbprint(**members: str) -> str:
    # RFC 7638 section 3: the required members only, sorted by name, without spaces.
    text = json.dumps(members, sort_keys=True, separators=(",", ":"))
    return _encode(hashlib.sha256(text.encode("ascii")).digest())
