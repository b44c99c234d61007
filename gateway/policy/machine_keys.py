"""Keys for machines: what one looks like, and what is known of each. A key itself is kept nowhere, only its digest.

`gwk_` and 48 characters of base64url: 32 random bytes and their CRC-32. The beginning lets those who search for
credentials in code and logs find one, and tells it from a JWS at once, of which none begins so: it would be no JSON.
The checksum tells a mistyped key from one that is unknown, and a text that somebody thought of from one that was drawn.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from gateway.policy.model import Principal

PREFIX: Final = "gwk_"
RANDOM_BYTES: Final = 32
_CHARACTERS: Final = 48  # of 36 bytes, so that none is left over: a key has one spelling
_CHECK_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class MachineKey:
    """One line of a file of keys: whose it is, and until when (Unix seconds, to the second; None: for ever).

    `digest` is the SHA-256 of the whole key. It is that of 256 random bits, so it needs no salt and no slow hash.
    """

    name: str
    digest: bytes
    subject: str
    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """A key and whom it speaks for."""

    key: MachineKey
    principal: Principal


def new_key(random: bytes) -> str:
    """Return the key that is made of `RANDOM_BYTES` random bytes."""
    check = binascii.crc32(random).to_bytes(_CHECK_BYTES, "big")
    return PREFIX + urlsafe_b64encode(random + check).decode()


def digest_of(key: str) -> bytes:
    """Return what is kept of a key: `printf %s KEY | sha256sum` gives the same."""
    return sha256(key.encode()).digest()


def is_key(text: str) -> bool:
    """True for what is meant as a key: it begins like one."""
    return text.startswith(PREFIX)


def fault_of(text: str) -> str | None:
    """Return why a text can be nobody's key, without a look at any; None if it may be one."""
    if not text.startswith(PREFIX):
        return f"no key of a machine, which begins with {PREFIX}"
    body = text[len(PREFIX) :]
    if len(body) != _CHARACTERS:
        return f"a key of {len(body)} characters behind {PREFIX}, expected {_CHARACTERS}: was it cut?"
    try:
        data = urlsafe_b64decode(body)
    except ValueError:  # binascii.Error and UnicodeEncodeError are such
        data = b""
    random, check = data[:RANDOM_BYTES], data[RANDOM_BYTES:]
    if urlsafe_b64encode(data).decode() != body or binascii.crc32(random).to_bytes(_CHECK_BYTES, "big") != check:
        return "a key whose checksum is wrong: it was mistyped, or changed on the way"
    return None


def machines_of(provider: str, keys: Iterable[MachineKey]) -> Mapping[bytes, Machine]:
    """Return the keys of a provider, by their digests, each with its principal, which is made once."""
    return {key.digest: Machine(key, _principal(provider, key)) for key in keys}


def _principal(provider: str, key: MachineKey) -> Principal:
    # The file says all that there is: a key without roles has none, which is known. An email it cannot have.
    claims: dict[str, Any] = {"sub": key.subject, "client_id": key.name}
    if key.roles:
        claims["roles"] = list(key.roles)
    if key.groups:
        claims["groups"] = list(key.groups)
    if key.scopes:
        claims["scope"] = " ".join(key.scopes)
    if key.expires_at is not None:
        claims["exp"] = key.expires_at
    principal = Principal(
        provider=provider,
        subject=key.subject,
        issuer=None,
        claims=claims,
        expires_at=key.expires_at,
        client=key.name,
        roles=key.roles,
        groups=key.groups,
        scopes=key.scopes,
        permissions=(),
        kind="service",
        mastra_roles=key.roles,
    )
    principal.credential = "key"
    return principal
