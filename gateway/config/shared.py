"""`shared:` the Redis that workers and replicas count in together."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast
from urllib.parse import unquote, urlsplit

from gateway.config.addresses import host_of
from gateway.config.document import Node
from gateway.config.model import Shared
from gateway.config.readers import Mistake, Scalar, Schema, duration, one_of
from gateway.config.reading import Reading, Unreadable
from gateway.config.records import Field, Record, Values
from gateway.config.secrets import CERTIFICATE_FILE, SECRET, SECRET_FILE

_DEFAULT_PORT = 6379
_IN_PASSWORDS = "a character in its password that is written %2F for /, %40 for @, %3A for : or %25 for % there"
_DEFAULT_TIMEOUT_SECONDS, _MAX_TIMEOUT_SECONDS = 0.05, 5.0


@dataclass(frozen=True, slots=True)
class _Place:
    """What the address of a store says."""

    host: str
    port: int
    database: int
    has_tls: bool
    username: str | None
    password: str | None


def read_store_url(text: str) -> _Place:
    """Return the parts of `redis://` or `rediss://[user:password@]host[:port][/number]`. Raises `Mistake`.

    No message quotes any of it: a password is in it, most often.
    """
    if re.search(r"[\x00-\x20\x7f\\]", text):
        raise Mistake("with a space, backslash or control character")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise Mistake(f"with a host or port that cannot be, or {_IN_PASSWORDS}") from None
    if parts.scheme not in ("redis", "rediss"):
        raise Mistake("with another scheme than redis and rediss")
    if parts.query or parts.fragment or text.endswith(("?", "#")):
        # The library would take settings from it, such as the one that switches off the check of certificates.
        raise Mistake("with a query or fragment")
    if not parts.hostname or port == 0 or parts.netloc.endswith(":"):
        raise Mistake("without a host" if not parts.hostname else "with a port that cannot be")
    if parts.netloc.count("@") > 1:
        raise Mistake(f"with more than one @, or {_IN_PASSWORDS}")
    database = parts.path.strip("/") or "0"
    if not re.fullmatch(r"/?[0-9]{0,6}", parts.path):
        raise Mistake("with something else than the number of a database behind the host")
    if parts.username and parts.password is None:
        raise Mistake("with a user and no password (a password alone stands behind a colon)")
    return _Place(
        host_of(parts.hostname),
        port or _DEFAULT_PORT,
        int(database),
        parts.scheme == "rediss",
        unquote(parts.username) if parts.username else None,
        unquote(parts.password) if parts.password else None,
    )


URL = Field(
    "url",
    Scalar("an address such as redis://redis:6379/0, or rediss:// with TLS", read_store_url),
    "its address: `redis://` or, with TLS, `rediss://`; a password is in it, best by a variable",
    is_required=True,
)
TIMEOUT = Field("timeout", duration(at_most_seconds=_MAX_TIMEOUT_SECONDS), "how long a request may wait for it", "50ms")
IF_DOWN = Field(
    "if_down",
    one_of("local", "refuse"),
    "what happens while it cannot be asked: `local`: each process counts for itself; `refuse`: 429 `budget_unknown`",
    "local",
)
CA_FILE = Field("ca_file", CERTIFICATE_FILE, "authorities to believe about its certificate", "those of the system")
KEYED_BY = Field(
    "secret", SECRET, "what callers are hashed with in it, at least 32 bytes, the same for all replicas",
    "made of log.subject_secret or else of url",
)  # fmt: skip
KEYED_BY_FILE = Field("secret_file", SECRET_FILE, "the same, from a mounted file")
SHARED_RECORD = Record("shared", (URL, TIMEOUT, IF_DOWN, CA_FILE, KEYED_BY, KEYED_BY_FILE))


class _SharedReader:
    """The store, and how it is asked."""

    def read(self, node: Node, reading: Reading) -> Shared:
        values = SHARED_RECORD.read(node, reading)
        place = values.need(URL)
        if KEYED_BY in values and KEYED_BY_FILE in values:
            reading.refuse_at(values.key_place(KEYED_BY), "found secret and secret_file, expected one of them")
        if CA_FILE in values and not place.has_tls:
            said = (
                "found 'ca_file' with an address of redis://, expected rediss://: without TLS there is no certificate"
            )
            reading.refuse_at(values.key_place(CA_FILE), said)
        if values.broken:
            raise Unreadable
        return Shared(
            place.host, place.port, place.database, place.has_tls, place.username, place.password,
            timeout_seconds=values.get(TIMEOUT, _DEFAULT_TIMEOUT_SECONDS),
            if_down=cast(Literal["local", "refuse"], values.get(IF_DOWN, "local")),
            ca_file=values.get(CA_FILE),
            secret=_secret(values),
        )  # fmt: skip

    def schema(self) -> Schema:
        return SHARED_RECORD.schema()


def _secret(values: Values) -> bytes | None:
    return values.get(KEYED_BY) or values.get(KEYED_BY_FILE)


SHARED = Field(
    "shared", _SharedReader(), "a Redis that workers and replicas count in together; without it each process for itself"
)
