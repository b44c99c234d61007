"""Public keys in files beside the configuration: a JWKS, or PEM. They are watched as it is, and read with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.config.document import Node, Text, printable
from gateway.config.readers import Schema, text_of
from gateway.config.reading import Reading
from gateway.policy.jwk import Key, KeySet, KeySetError, read_key_set
from gateway.policy.pem import read_pem_keys

# A thousand keys, each with the certificate of its own.
_MAX_BYTES: Final = 4 * 1024 * 1024
# RFC 7518 sections 6.2.2, 6.3.2 and 6.4.1: what only the owner of a key has.
_PRIVATE_MEMBERS: Final = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")


@dataclass(frozen=True, slots=True)
class KeyFile:
    """What was read from a file of keys, and its path."""

    path: str
    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class _KeyFile:
    """The path of a file of public keys."""

    expected: str
    keys_of: Callable[[bytes], tuple[Key, ...]]  # raises KeySetError

    def read(self, node: Node, reading: Reading) -> KeyFile:
        name = text_of(node, reading, f"the path of {self.expected}")
        path, content = reading.mounted(name, _MAX_BYTES)
        try:
            keys = self.keys_of(content)
        except KeySetError as problem:
            self._refuse(name, path.name, str(problem), reading)
        reading.judged_by.append(content)
        return KeyFile(str(path), keys)

    def schema(self) -> Schema:
        return {"type": "string"}

    def _refuse(self, node: Text, name: str, problem: str, reading: Reading) -> None:
        reading.refuse(node, f"{printable(name)}: {problem}")


def _keys_of_jwks(content: bytes) -> tuple[Key, ...]:
    if b"-----BEGIN " in content[:4096]:
        raise KeySetError("found PEM, expected a JWKS: {\"keys\": [...]} ('public_key_files' takes PEM)")
    _refuse_private_keys(content)
    return read_key_set(content).keys


def _refuse_private_keys(content: bytes) -> None:
    try:
        document = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        return  # what it is instead is said by who reads it
    entries = document.get("keys") if isinstance(document, dict) else None
    numbered = enumerate(entries) if isinstance(entries, list) else ()
    found = [(f"keys[{number}]", entry) for number, entry in numbered]
    for where, entry in (*found, ("", document)):
        if not isinstance(entry, dict):
            continue
        member = next((name for name in _PRIVATE_MEMBERS if name in entry), None)
        is_secret = entry.get("kty") == "oct"
        if member is not None or is_secret:
            place = ".".join(part for part in (where, member or "kty") if part)
            what = "a shared secret ('type: jwt' takes one)" if is_secret else "a private key"
            raise KeySetError(
                f"{place}: found {what}, which anybody who can read it may sign with, expected public members only "
                "(kty, kid, use, alg, n, e, crv, x, y)"
            )


def _keys_of_pem(content: bytes) -> tuple[Key, ...]:
    if content.lstrip()[:1] in (b"{", b"["):
        _refuse_private_keys(content)
        raise KeySetError("found JSON, expected PEM: -----BEGIN PUBLIC KEY----- ('jwks_file' takes a JWKS)")
    return read_pem_keys(content)


def key_set_of(files: tuple[KeyFile, ...]) -> KeySet:
    """Return the keys of several files as one set, each key once."""
    return KeySet(tuple({(key.kid, key.thumbprint): key for file in files for key in file.keys}.values()))


JWKS_FILE_READER = _KeyFile("a JWKS file", _keys_of_jwks)
PEM_FILE_READER = _KeyFile("a PEM file with a public key", _keys_of_pem)
