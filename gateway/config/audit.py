"""Who did what, apart from the log: `audit:`."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final, cast

from gateway.config.claim_names import CLAIM_NAME
from gateway.config.document import Node, Text
from gateway.config.lists import ListOf
from gateway.config.model import AUDIT_EVENTS, AUDITED, Audit, AuditEvent
from gateway.config.readers import Schema, one_of, text_of
from gateway.config.reading import Reading, Unreadable
from gateway.config.records import Field, Record, Values

_MAX_CLAIMS: Final = 16
_WAY_OUT: Final = "logrotate renames and makes anew: the gateway follows the name"
_NAMES_PERSONS: Final = ("sub", "email")


def why_no_file(path: Path) -> str | None:
    """Return what stands at a path where it is no regular file; None where it is one, or nothing is there."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return None
    if stat.S_ISREG(mode):
        return None
    kinds = ((stat.S_ISLNK, "a symbolic link"), (stat.S_ISDIR, "a directory"), (stat.S_ISFIFO, "a FIFO"))
    return next((words for test, words in kinds if test(mode)), "a device or socket")


class _FileReader:
    """The path of the file; what cannot be one is refused, what only cannot be written here is warned of."""

    def read(self, node: Node, reading: Reading) -> Path:
        written = text_of(node, reading, "the path of a file")
        path = reading.path_of(written)
        what = why_no_file(path)
        if what is not None:
            reading.refuse(node, f"found {what}, expected a regular file, or none yet", _WAY_OUT)
        if not path.parent.is_dir():
            reading.warn(node.place, "the folder of the audit file is not there: `serve` does not start without it")
        elif not os.access(path if path.exists() else path.parent, os.W_OK):
            reading.warn(node.place, "the audit file cannot be written by who reads this: `serve` would not start")
        return path

    def schema(self) -> Schema:
        return {"type": "string"}


FILE = Field("file", _FileReader(), "one JSON object per line is appended here", is_required=True)
SUBJECT = Field(
    "subject",
    one_of("plain", "hash"),
    "how callers are named: by their subject, or by the digest of it that the log has",
    "plain",
)
CLAIMS = Field(
    "claims",
    ListOf(CLAIM_NAME, "claims' names", or_one=True),
    "claims that stand in each line, by the names they have in the token or as facts; an email only if it counts",
    "[]",
)
EVENTS = Field(
    "events",
    ListOf(one_of(*AUDIT_EVENTS), "events", or_one=True),
    "what gives a line: refusals, what `enforce: false` let pass, allowed requests that may write or that only read",
    "[deny, would_deny, write]",
)
ON_FAILURE = Field(
    "on_failure",
    one_of("count", "refuse"),
    "when a line cannot be written: count it and let pass, or refuse what would pass without one (503)",
    "count",
)
AUDIT_RECORD = Record("audit", (FILE, SUBJECT, CLAIMS, EVENTS, ON_FAILURE))


class _AuditReader:
    """What is written for whom, and what if it cannot be."""

    def read(self, node: Node, reading: Reading) -> Audit:
        values = AUDIT_RECORD.read(node, reading)
        claims = values.get(CLAIMS, ())
        if len(claims) > _MAX_CLAIMS:
            reading.refuse(values.node(CLAIMS), f"found {len(claims)} claims, expected at most {_MAX_CLAIMS}")
        _warn_of_names(values, claims, reading)
        if values.broken or FILE not in values:
            raise Unreadable
        events = cast("tuple[AuditEvent, ...]", values.get(EVENTS, AUDITED))
        place = cast(Text, values.node(FILE)).place
        return Audit(
            values.need(FILE),
            is_hashed=values.get(SUBJECT) == "hash",
            claims=claims,
            events=tuple(one for one in AUDIT_EVENTS if one in events),
            refuses=values.get(ON_FAILURE) == "refuse",
            where=f"{reading.source.file}:{place.line}:{place.column}: {place.path}",
        )

    def schema(self) -> Schema:
        return AUDIT_RECORD.schema()


def _warn_of_names(values: Values, claims: tuple[str, ...], reading: Reading) -> None:
    named = [name for name in claims if name in _NAMES_PERSONS]
    if values.get(SUBJECT) == "hash" and named:
        said = f"'subject: hash' hides who it was, and the claim {named[0]} says it in the clear"
        reading.warn(values.node(CLAIMS).place, said)


AUDIT = Field("audit", _AuditReader(), "who did what: one line per decision, apart from the log")
