"""Sign a token with a shared secret, for tests and demos."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping
from typing import Any

_DIGESTS = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}


def mint_token(claims: Mapping[str, Any], secret: bytes, algorithm: str = "HS256") -> str:
    """Return a compact JWS of the claims, signed with the secret (RFC 7515 section 3.1, RFC 7518 section 3.2)."""
    signing_input = f"{_encode_json({'alg': algorithm, 'typ': 'JWT'})}.{_encode_json(claims)}"
    return f"{signing_input}.{_encode(hmac.digest(secret, signing_input.encode(), _DIGESTS[algorithm]))}"


def _encode_json(value: Mapping[str, Any]) -> str:
    return _encode(json.dumps(value, separators=(",", ":")).encode())


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
