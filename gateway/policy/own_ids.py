"""Ids that say whose they are: what a client calls its messages and runs, brought into its owner's own space.

Mastra keeps messages and runs by their id alone. Whoever may choose an id may choose another's. So each id that a
client chose is replaced by one that only its owner is given: `nonce + tag(owner, nonce)`, in hexadecimal. It needs no
key and no memory: anybody can work out an id of another's, but nobody is let use it, in no replica and after no
restart. An id that is its owner's stays as it is, so a history that is sent again is still recognised.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

# 128 bits each. Two texts of one owner meet once in 2^64 of them; an owner who looks for the id of another finds one
# in 2^128 tries, however he names himself, since the nonce is in the tag.
_BYTES: Final = 16
_OWN: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_NONCE_TAG: Final = b"mastra-auth-gateway id nonce 1\0"
_OWNER_TAG: Final = b"mastra-auth-gateway id owner 1\0"


def own_id(owner: str, text: str) -> str:
    """Return the id that stands for a text in an owner's space, the same each time; one that is the owner's stays."""
    return text if is_own_id(owner, text) else _with_tag(owner, _digest(_NONCE_TAG, owner, text.encode(*_ANY)))


def new_id(owner: str, nonce: bytes) -> str:
    """Return an id of an owner's that nobody chose, from 16 random bytes. Raises `ValueError` for another number."""
    if len(nonce) != _BYTES:
        raise ValueError(f"a nonce has {_BYTES} bytes, not {len(nonce)}")
    return _with_tag(owner, nonce)


def is_own_id(owner: str, id: str) -> bool:
    """Return if an id was made for this owner, by any gateway. One id has one spelling."""
    return _OWN.fullmatch(id) is not None and _with_tag(owner, bytes.fromhex(id[: 2 * _BYTES])) == id


_ANY: Final = ("utf-8", "surrogatepass")  # JSON may hold half a pair: another text than any other


def _with_tag(owner: str, nonce: bytes) -> str:
    return (nonce + _digest(_OWNER_TAG, owner, nonce)).hex()


def _digest(purpose: bytes, owner: str, rest: bytes) -> bytes:
    # The owner's length stands before it: no owner and text can be cut in another place.
    named = owner.encode(*_ANY)
    return hashlib.sha256(b"%b%d:%b%b" % (purpose, len(named), named, rest)).digest()[:_BYTES]
