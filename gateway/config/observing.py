"""The keys about seeing what happens: the log, who may look at the status page, traces."""

from __future__ import annotations

import importlib.util
import re
from typing import cast

from gateway.config.document import Node
from gateway.config.lists import ListOf
from gateway.config.model import Log, LogFormat
from gateway.config.readers import Mistake, Scalar, Schema, one_of
from gateway.config.reading import Reading, Unreadable
from gateway.config.records import Field, Record
from gateway.config.secrets import SECRET, SECRET_FILE

_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")

FORMAT = Field("format", one_of("json", "text"), "`json` for machines, `text` for people", "json")
SUBJECT_SECRET = Field(
    "subject_secret", SECRET, "what subjects are hashed with, at least 32 bytes", "made once and kept"
)
SUBJECT_SECRET_FILE = Field("subject_secret_file", SECRET_FILE, "the same, from a mounted file")
LOG_RECORD = Record("log", (FORMAT, SUBJECT_SECRET, SUBJECT_SECRET_FILE))


class _LogReader:
    """How requests are logged."""

    def read(self, node: Node, reading: Reading) -> Log:
        values = LOG_RECORD.read(node, reading)
        if SUBJECT_SECRET in values and SUBJECT_SECRET_FILE in values:
            reading.refuse_at(
                values.key_place(SUBJECT_SECRET), "found subject_secret and subject_secret_file, expected one of them"
            )
        if values.broken:
            raise Unreadable
        secret = values.get(SUBJECT_SECRET) or values.get(SUBJECT_SECRET_FILE)
        return Log(cast(LogFormat, values.get(FORMAT, "json")), secret)

    def schema(self) -> Schema:
        return LOG_RECORD.schema()


def _host(written: str) -> str:
    name = written.lower().removesuffix(".")
    if not _HOST.fullmatch(name) or ".." in name:
        raise Mistake("which is no name of a host (without scheme, port and path)")
    return name


def _traces(written: str) -> str:
    chosen = one_of("pass", "opentelemetry").parse(written)
    if chosen == "opentelemetry" and importlib.util.find_spec("opentelemetry") is None:
        raise Mistake("which needs another package (pip install 'mastra-auth-gateway[opentelemetry]')")
    return chosen


LOG = Field("log", _LogReader(), "how requests are logged")
ADMIN_HOSTS = Field(
    "admin_hosts",
    ListOf(Scalar("a host's name such as gateway.corp.example", _host), "hosts' names", or_one=True, allow_empty=True),
    "public names under which the status page may be opened, besides addresses, `localhost` and names without a dot",
    "[]",
)
TRACES = Field(
    "traces",
    Scalar("pass or opentelemetry", _traces, {"enum": ["pass", "opentelemetry"]}),
    "`pass` hands W3C trace headers on; `opentelemetry` adds spans of its own",
    "pass",
)
OBSERVING_FIELDS = (LOG, ADMIN_HOSTS, TRACES)
