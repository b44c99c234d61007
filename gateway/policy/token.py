"""Take a compact JWS apart, strictly. What comes out is untrusted until `verify` has seen the signature."""

from __future__ import annotations

import binascii
import json
import math
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NoReturn

from gateway.policy.denied import Denied
from gateway.policy.jwk import SAME_ALGORITHM
from gateway.policy.reasons import Reason

_BASE64URL_BYTES: Final = (string.ascii_letters + string.digits + "-_").encode()
# Of all other bytes, `+`, `/` and `=` as well, it makes one that strict base64 refuses.
_TO_BASE64: Final = bytes(byte if byte in _BASE64URL_BYTES else 0 for byte in range(256)).translate(
    bytes.maketrans(b"-_", b"+/")
)
_PADDING: Final = (b"", b"", b"==", b"=")  # by length modulo 4
# The only bits of the last character that carry data, by length modulo 4: others must be 0, or one
# signature has many spellings (RFC 4648 section 3.5) and a cache or a revocation list can be walked round.
_LAST_OF_2: Final = frozenset("AQgw")
_LAST_OF_3: Final = frozenset("AEIMQUYcgkosw048")
_MAX_INTEGER_DIGITS: Final = 400
_MAX_REMEMBERED_HEADER: Final = 512
_MAX_DEPTH: Final = 64  # of nested arrays and objects: no honest claim comes near
# A string that does not end goes up to the end of the text: searched for again from each quote in it, it would cost the
# square of its length.
_STRING_OR_BRACKET: Final = re.compile(r'"(?:[^"\\]+|\\.)*+"?|[\[\]{}]', re.DOTALL)


@dataclass(slots=True, init=False)  # made for every token that was not seen before: see `decision`
class Token:
    """The parts of a compact JWS (RFC 7515 section 3.1), decoded and not yet believed."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signing_input: bytes
    signature: bytes
    algorithm: str
    kid: str | None

    def __init__(
        self,
        header: Mapping[str, Any],
        claims: Mapping[str, Any],
        signing_input: bytes,
        signature: bytes,
        algorithm: str,
        kid: str | None,
    ) -> None:
        self.header, self.claims, self.signing_input = header, claims, signing_input
        self.signature, self.algorithm, self.kid = signature, algorithm, kid

    def __repr__(self) -> str:
        return f"Token(algorithm={self.algorithm!r})"


def parse_token(text: str) -> Token:
    """Return the parts of a token.

    Three non-empty parts of strict base64url, header and payload strict UTF-8 JSON objects (RFC 8725
    section 3.7). Raises `Denied` (TOKEN_MALFORMED, TOKEN_UNSUPPORTED).
    """
    token, payload = parse_jws(text)
    token.claims = _json_object(payload, "payload")
    return token


def parse_jws(text: str) -> tuple[Token, bytes]:
    """Return the parts of a compact JWS whose payload may be anything, and that payload; `claims` is empty.

    Raises `Denied` (TOKEN_MALFORMED, TOKEN_UNSUPPORTED).
    """
    parts = text.split(".", 5)
    if len(parts) == 5:
        # A decrypted token is not a verified one: CVE-2026-29000.
        raise Denied(Reason.TOKEN_UNSUPPORTED, "five parts: an encrypted token (JWE), which is not read here")
    if len(parts) != 3:
        found = "more than five parts" if len(parts) > 5 else f"{len(parts)} part{'s' if len(parts) > 1 else ''}"
        raise Denied(Reason.TOKEN_MALFORMED, f"{found}, a JWT has three")
    read = _read_header if len(parts[0]) <= _MAX_REMEMBERED_HEADER else _read_header.__wrapped__
    header, algorithm, kid = read(parts[0])
    payload, signature = _decode(parts[1], "payload"), _decode(parts[2], "signature")
    return Token(header, {}, f"{parts[0]}.{parts[1]}".encode(), signature, algorithm, kid), payload


@lru_cache(maxsize=128)
def _read_header(part: str) -> tuple[Mapping[str, Any], str, str | None]:
    """Return a token's header, its `alg` and its `kid`. Issuers use few; nothing in them is secret."""
    header = _json_object(_decode(part, "header"), "header")
    return header, *_check_header(header)


def _check_header(header: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return `alg` and `kid`. `jku`, `x5u`, `x5c` and `jwk` are never looked at: RFC 8725 section 3.10."""
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str):
        raise Denied(Reason.TOKEN_MALFORMED, "the header's alg is missing or no string")
    if not isinstance(header.get("kid", ""), str):  # a member that is there and null is no string either
        raise Denied(Reason.TOKEN_MALFORMED, "the header's kid is no string")
    if "crit" in header:
        # RFC 7515 section 4.1.11: what is critical and not understood makes a token invalid; we understand none.
        raise Denied(Reason.TOKEN_UNSUPPORTED, "the header has crit")
    if "zip" in header:
        raise Denied(Reason.TOKEN_UNSUPPORTED, "the header has zip: compressed tokens are not inflated")
    if "b64" in header:
        raise Denied(Reason.TOKEN_UNSUPPORTED, "the header has b64: RFC 7797 section 7 forbids it in a JWT")
    if "enc" in header:
        raise Denied(Reason.TOKEN_UNSUPPORTED, "the header has enc: an encrypted token, which is not read here")
    content = header.get("cty", "")
    if not isinstance(content, str) or content.lower() in ("jwt", "application/jwt"):
        raise Denied(Reason.TOKEN_UNSUPPORTED, "the header's cty says that another token is nested inside")
    return SAME_ALGORITHM.get(algorithm, algorithm), kid


def _decode(part: str, what: str) -> bytes:
    remainder = len(part) % 4
    is_canonical = (
        part != ""
        and remainder != 1
        and (remainder != 2 or part[-1] in _LAST_OF_2)
        and (remainder != 3 or part[-1] in _LAST_OF_3)
    )
    try:
        data = part.encode("ascii").translate(_TO_BASE64) + _PADDING[remainder]
        decoded = binascii.a2b_base64(data, strict_mode=True) if is_canonical else None
    except ValueError:  # UnicodeEncodeError and binascii.Error are such
        decoded = None
    if decoded is None:
        raise Denied(Reason.TOKEN_MALFORMED, f"the {what} is not strict base64url without padding")
    return decoded


def _json_object(data: bytes, what: str) -> dict[str, Any]:
    try:
        # Decoded here, since json.loads(bytes) guesses UTF-16 and UTF-32 as well: RFC 8725 section 3.7.
        text = data.decode("utf-8", "strict")
        _check_depth(text)
        value = _read_json(text)
    except (ValueError, RecursionError):
        raise Denied(Reason.TOKEN_MALFORMED, f"the {what} is not strict UTF-8 JSON") from None
    if not isinstance(value, dict):
        raise Denied(Reason.TOKEN_MALFORMED, f"the {what} is JSON, but no object")
    return value


def _read_json(text: str) -> Any:
    if text[:1] == "{":  # no issuer puts anything around it: two searches for white space less
        value, end = _DECODER.raw_decode(text)
        if end == len(text):
            return value
    return _DECODER.decode(text)


def _check_depth(text: str) -> None:
    # Python's own limit differs by release (3.13 reads thousands of levels), and what is read here is read again by
    # CEL, whose engine recurses natively: CVE-2025-53864.
    if text.count("[") + text.count("{") <= _MAX_DEPTH:
        return
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        if match[0] in "[{":
            depth += 1
            if depth > _MAX_DEPTH:
                raise ValueError("nested too deep")
        elif match[0] in "]}":
            depth -= 1


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity are not JSON: RFC 8259 section 6


def _bounded_int(digits: str) -> int | float:
    if len(digits) > _MAX_INTEGER_DIGITS:
        raise ValueError("too many digits")  # CVE-2020-10735
    return int(digits) if digits != "-0" else -0.0  # of integers there is one zero: a subject must not be two of them


def _finite_float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError("out of range")  # 1e999 would be "never expires"
    return value


# Made once: `json.loads` with these would make one for every token.
_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=_bounded_int, parse_float=_finite_float)
