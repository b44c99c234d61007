"""`revoked_file:` what counts no more, in a file of its own, which is read again by itself as soon as it changes.

A mistake is told with its place in that file. Whom an entry names is shown in no message: it is somebody's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from gateway.config.document import ConfigError, Fields, Items, Node, Problem, Source, Text, kind_of
from gateway.config.parse import decode, parse
from gateway.config.readers import Mistake, Scalar, Schema, moment, text, text_of
from gateway.config.reading import ReadFile, Reading, Unreadable, attempt, attempt_each, nearest
from gateway.config.records import Field, Record
from gateway.policy.providers import Provider
from gateway.policy.revocation import Revocation, RevocationList

_LIST: Final = "revoked: [{sub: ...}, {sid: ...}, {jti: ...}, {before: 2026-11-21T05:00:00Z}]"
_GONE: Final = "make it: an empty file revokes nothing"
_JWS: Final = re.compile(r"[\w-]{10,}\.[\w-]{10,}\.[\w-]*")


def _id(what: str) -> Scalar[str]:
    def parse_id(written: str) -> str:
        if _JWS.fullmatch(written):
            raise Mistake("a whole token")
        return text(what).parse(written)

    return Scalar(what, parse_id)


class _Hidden:
    """A value that no message shows."""

    def __init__(self, inner: Scalar[str]) -> None:
        self._inner = inner

    def read(self, node: Node, reading: Reading) -> str:
        reading.hide(node)
        written = text_of(node, reading, self._inner.expected)
        try:
            return self._inner.parse(written.text)
        except Mistake as mistake:
            reading.refuse(node, f"found {str(mistake) or 'something else'}, expected {self._inner.expected}")

    def schema(self) -> Schema:
        return self._inner.schema()


SUB = Field("sub", _Hidden(_id("a subject")), "whose tokens, keys and sessions: the subject, or the claim `sub`")
SID = Field("sid", _Hidden(_id("the id of a session")), "which session: the claim `sid`")
JTI = Field("jti", _Hidden(_id("the id of a token")), "which token: the claim `jti`")
BEFORE = Field("before", moment(), "only what was issued before this moment; of a session, what began before it")
PROVIDER = Field("provider", text("the name of a provider"), "only what this provider issued", "any")
ENTRY_RECORD = Record(
    "a revocation",
    (SUB, SID, JTI, BEFORE, PROVIDER),
    {
        "token": "no file holds a token itself, only its `jti`",
        "subject": "the claim is `sub`",
        "email": "an email may be given to another: `sub` is the person",
        "iss": "`provider` names an issuer as the configuration does",
    },
)
_NAMES: Final = frozenset(field.name for field in ENTRY_RECORD.fields)


class _EntriesReader:
    """All entries: each is read, whatever is wrong with others. To revoke something twice is no mistake."""

    def read(self, node: Node, reading: Reading) -> list[tuple[Node, Revocation]]:
        if not isinstance(node, Items):
            reading.refuse(node, f"found {kind_of(node)}, expected a list: {_LIST}")
        return list(attempt_each(_read_entry, node.members, reading))

    def schema(self) -> Schema:
        return {"type": "array", "items": ENTRY_RECORD.schema()}


def _read_entry(node: Node, reading: Reading) -> tuple[Node, Revocation]:
    """Return one entry, as far as it can be read without the configuration."""
    if isinstance(node, Text):
        reading.hide(node)
        reading.refuse_at(node.place, "found a single value, expected one of {sub: ...}, {sid: ...}, {jti: ...}")
    if isinstance(node, Fields):
        for entry in node.entries:
            if entry.key.text not in _NAMES:
                reading.hide(entry.value)
    values = ENTRY_RECORD.read(node, reading)
    if values.broken:
        raise Unreadable
    if not any(field in values for field in (SUB, SID, JTI, BEFORE)):
        reading.refuse(node, "found nobody, expected 'sub', 'sid', 'jti' or 'before'")
    where = f"{Path(reading.source.file).name}:{node.place.line}"
    return node, Revocation(
        where, values.get(PROVIDER), values.get(SUB), values.get(SID), values.get(JTI), values.get(BEFORE)
    )


REVOKED = Field("revoked", _EntriesReader(), "what counts no more", is_required=True)
_FILE_RECORD = Record("the file of revocations", (REVOKED,))


def read_revoked(
    path: Path, content: bytes, providers: Mapping[str, Provider | None], reading: Reading
) -> RevocationList:
    """Return what a file revokes. Raises `Unreadable`, with each mistake at its place in `reading`, and `ConfigError`
    for what is no text.
    """
    written = decode(str(path), content)
    inner = reading.of_file(Source(str(path), written))
    lines = inner.source.lines
    inner.source.mask((0, 0), (len(lines) - 1, len(lines[-1])))  # a place is enough: whose name may stand anywhere
    found = attempt(_read, written, inner, providers)
    reading.adopt(inner)
    if found is None:
        raise Unreadable
    keyed = frozenset(name for name, one in providers.items() if one is not None and one.kind == "keys")
    return RevocationList(found, keyed)


def load_revoked(path: Path, providers: Iterable[Provider], read_file: ReadFile = Path.read_bytes) -> RevocationList:
    """Return what the file revokes at this moment, for a configuration in force. Raises `ConfigError`."""
    try:
        content = read_file(path)
    except OSError as problem:
        said = f"the file cannot be read: {problem.strerror or type(problem).__name__}"
        raise ConfigError([Problem(str(path), 0, 0, "", said)]) from None
    reading = Reading(Source(str(path), ""), {}, path.parent, read_file)
    found = attempt(read_revoked, path, content, {one.name: one for one in providers}, reading)
    if found is None or not reading.is_clean:
        raise reading.error()
    return found


def _read(written: str, reading: Reading, providers: Mapping[str, Provider | None]) -> list[Revocation]:
    if all(not line.strip() or line.lstrip().startswith("#") for line in reading.source.lines):
        return []  # all was taken back, which must count
    values = _FILE_RECORD.read(parse(written, reading, _LIST), reading)
    entries = values.need(REVOKED)
    for node, one in entries:
        if one.provider is None:
            if one.subject is not None and len(providers) > 1:
                reading.warn(
                    node.place,
                    "names no provider: of every provider whoever is called so is refused (`provider: NAME`)",
                )
        elif one.provider not in providers:
            where = node.get(PROVIDER.name) if isinstance(node, Fields) else None
            names = f"the providers are {', '.join(providers)}"
            place = node.place if where is None else where.place
            reading.add(place, f"unknown provider '{one.provider}'{nearest(one.provider, providers)}", names)
    if values.broken or not reading.is_clean:
        raise Unreadable
    return [one for _, one in entries]


class RevokedFileReader:
    """The path of the file; what is in it is read when the providers are known."""

    def read(self, node: Node, reading: Reading) -> Text:
        return text_of(node, reading, "the path of a file such as revoked.yaml")

    def schema(self) -> Schema:
        return {"type": "string"}


REVOKED_FILE = Field(
    "revoked_file",
    RevokedFileReader(),
    "a file with what counts no more (`sub`, `sid`, `jti`, `before`); read again as soon as it changes",
)


def read_revoked_file(
    node: Text, providers: Mapping[str, Provider | None], reading: Reading
) -> tuple[Path, RevocationList]:
    """Return the path and what is revoked there. Raises `Unreadable`.

    It is watched on its own: a mistake elsewhere must not keep a list old.
    """
    path, content = reading.mounted(node, is_watched=False, if_gone=_GONE)
    try:
        return path, read_revoked(path, content, providers, reading)
    except ConfigError as problem:
        reading.refuse(node, problem.problems[0].message)
