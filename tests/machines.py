"""Keys of machines in tests: one of each name, and the line that a file has of it. No log may hold one."""

from __future__ import annotations

from hashlib import sha256

from gateway.policy.machine_keys import digest_of, new_key
from tests.secrecy import keep_secret


def key_named(name: str) -> str:
    """Return the key of a name, the same each time."""
    return keep_secret(new_key(sha256(f"tests:{name}".encode()).digest()))


def line_of(name: str, *members: str) -> str:
    """Return a line of a file of keys."""
    return f"{name}: {{{', '.join((f'hash: {digest_of(key_named(name)).hex()}', *members))}}}\n"
