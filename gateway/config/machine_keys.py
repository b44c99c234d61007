"""`keys_file:` the keys of machines, in a file of their own: read with the configuration, and watched as it is.

A mistake is told with its place in that file, and keeps what was before, as any mistake does.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Final

from gateway.config.digest import canonical
from gateway.config.document import ConfigError, Fields, Node, Source, Text, kind_of
from gateway.config.lists import check_name, some
from gateway.config.parse import decode, parse
from gateway.config.readers import Mistake, Schema, moment, text, text_of
from gateway.config.reading import Reading, Unreadable, attempt, start_of
from gateway.config.records import Field, Record
from gateway.policy.machine_keys import PREFIX, MachineKey

_LINE: Final = "worker: {hash: ..., subject: worker}"
_MAKE: Final = "`gateway key NAME` prints a new key, once, and its line"
_DIGEST: Final = re.compile(r"[0-9A-Fa-f]{64}")
_HEX: Final = re.compile(r"[0-9A-Fa-f]+")


class _Hash:
    """The SHA-256 of a key. What stands there instead is not shown: it may be the key itself."""

    def read(self, node: Node, reading: Reading) -> bytes:
        expected = "the SHA-256 of the key, 64 characters of hex"
        reading.hide(node)
        written = text_of(node, reading, expected).text
        if PREFIX in written:
            reading.refuse_at(node.place, *_in_the_clear("as its hash"))
        if not _DIGEST.fullmatch(written):
            found = f"{len(written)} characters" if _HEX.fullmatch(written) else "something else"
            reading.refuse_at(node.place, f"found {found}, expected {expected} ({_MAKE})")
        return bytes.fromhex(written)

    def schema(self) -> Schema:
        return {"type": "string", "pattern": "^[0-9A-Fa-f]{64}$"}


HASH = Field("hash", _Hash(), "the SHA-256 of the key, in hex", is_required=True)
SUBJECT = Field("subject", text("a subject"), "whom it speaks for", "its name")
ROLES = Field("roles", some(text("a role"), "roles"), "the caller's roles", "none")
GROUPS = Field("groups", some(text("a group"), "groups"), "the caller's groups", "none")
SCOPES = Field("scopes", some(text("a scope"), "scopes"), "the caller's scopes", "none")
EXPIRES = Field("expires", moment(), "when it ends, to the second; a day alone ends as it begins, in UTC", "never")
_NO_KEY = "no file holds a key itself, only its `hash`"
KEY_RECORD = Record(
    "a key of a machine",
    (HASH, SUBJECT, ROLES, GROUPS, SCOPES, EXPIRES),
    {"key": _NO_KEY, "token": _NO_KEY, "secret": _NO_KEY, "email": "a machine has no email that anybody verified"},
)


class KeysFileReader:
    """The path of a file of keys, and what is in it."""

    def read(self, node: Node, reading: Reading) -> tuple[MachineKey, ...]:
        path, content = reading.mounted(text_of(node, reading, "the path of a file of keys"))
        try:
            written = decode(str(path), content)
        except ConfigError as problem:
            reading.refuse(node, problem.problems[0].message)
        inner = reading.of_file(Source(str(path), written))
        keys = attempt(_keys, written, inner)
        reading.adopt(inner)
        if keys is None:
            raise Unreadable
        if not keys:
            reading.warn(node.place, f"{path.name} has no keys: nobody passes by one ({_MAKE})")
        return keys

    def schema(self) -> Schema:
        return {"type": "string"}


def _keys(written: str, reading: Reading) -> tuple[MachineKey, ...]:
    if all(not line.strip() or line.lstrip().startswith("#") for line in reading.source.lines):
        return ()  # all were taken back, which must count
    root = parse(written, reading, f"lines such as {_LINE}")
    reading.judged_by.append(canonical(root))
    found: list[MachineKey | None] = []
    for entry in root.entries:
        found.append(attempt(_key, entry.key, entry.value, reading))
    keys = [key for key in found if key is not None]
    _refuse_twins(keys, root, reading)
    if len(keys) < len(root.entries) or not reading.is_clean:
        raise Unreadable
    return tuple(keys)


def _key(name: Text, node: Node, reading: Reading) -> MachineKey:
    if PREFIX in name.text:
        reading.refuse_at(start_of(node), *_in_the_clear("as the name of a line"))
    try:
        check_name(name.text)
    except Mistake as mistake:
        reading.refuse_at(name.place, str(mistake))
    if isinstance(node, Text):
        reading.hide(node)
        if PREFIX in node.text:
            reading.refuse_at(node.place, *_in_the_clear("in place of its line"))
        reading.refuse_at(start_of(node), f"found a single value, expected a line such as {_LINE} ({_MAKE})")
    if not isinstance(node, Fields):
        reading.refuse(node, f"found {kind_of(node)}, expected a line such as {_LINE}")
    for entry in node.entries:
        if entry.key.text not in {field.name for field in KEY_RECORD.fields}:
            reading.hide(entry.value)
    values = KEY_RECORD.read(node, reading)
    if values.broken or HASH not in values:
        raise Unreadable
    expires_at = values.get(EXPIRES)
    if expires_at is not None and expires_at <= time.time():
        reading.warn(values.node(EXPIRES).place, f"the key '{name.text}' has expired, and counts no more")
    return MachineKey(
        name=name.text,
        digest=values.need(HASH),
        subject=values.get(SUBJECT, name.text),
        roles=values.get(ROLES, ()),
        groups=values.get(GROUPS, ()),
        scopes=values.get(SCOPES, ()),
        expires_at=expires_at,
    )


def _refuse_twins(keys: Sequence[MachineKey], root: Fields, reading: Reading) -> None:
    """One key under two names would be two callers, of whom the file does not say which."""
    first: dict[bytes, str] = {}
    for key in keys:
        other = first.setdefault(key.digest, key.name)
        if other != key.name:
            node = root.get(key.name)
            where = node.get(HASH.name) if isinstance(node, Fields) else None
            if where is not None:
                reading.add(where.place, f"found the key of '{other}' once more, expected one name for each key")


def _in_the_clear(where: str) -> tuple[str, str]:
    """Return what is said of a key that stands in a file: whoever can read it may call as that machine."""
    return (
        f"found a key itself {where}, in the clear, expected the SHA-256 of it",
        f"it is known to whoever read this file: make a new one ({_MAKE})",
    )


KEYS_FILE_READER = KeysFileReader()
