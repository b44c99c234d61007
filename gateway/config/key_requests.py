"""How public keys are asked for: `jwks:`, with the way out and the credentials, which are secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from gateway.config.addresses import HEADER_NAME, origin_of, split_url
from gateway.config.document import Fields, Node, kind_of
from gateway.config.readers import Mistake, Schema, duration, size, text_of
from gateway.config.reading import Reading, Unreadable
from gateway.config.records import Field, Record
from gateway.policy.fields import HOP_BY_HOP, Names
from gateway.policy.providers import Proxy

# What a request is made of; another value would make it another request, or none.
_OURS: Final = Names((*HOP_BY_HOP, "host", "content-length", "accept-encoding", "expect", "cookie"))
_MAX_HEADER_BYTES: Final = 8192


@dataclass(frozen=True, slots=True)
class _ProxyUrl:
    """The address of a forward proxy; a user and a password may stand in it, and are shown nowhere."""

    expected = "an address such as http://proxy.corp.example:3128"

    def read(self, node: Node, reading: Reading) -> Proxy:
        value = text_of(node, reading, self.expected)
        found = re.fullmatch(r"([a-zA-Z][a-zA-Z0-9+.-]*)://(?:([^/?#]*)@)?([^/?#@]+)/?", value.text)
        try:
            if found is None:
                raise Mistake("something that is no address of a proxy")
            if found[1].lower() != "http":
                raise Mistake(f"a proxy with another scheme than http ({found[1][:16]})")
            url = origin_of(split_url(f"http://{found[3]}"))
        except Mistake as mistake:
            said = str(mistake) if found is None or found[1].lower() != "http" else f"an address {mistake.unquoted}"
            hint = "(what goes through it to https addresses is encrypted up to the key server)"
            reading.refuse(value, f"found {said}, expected {self.expected} {hint}")
        user, colon, password = (found[2] or "").partition(":")
        if found[2] and not unquote(user):
            reading.refuse(value, f"found a password without a user, expected {self.expected}")
        if urlsplit(url).port is None:
            reading.refuse(value, "found a proxy without a port, expected http://HOST:PORT")
        return Proxy(url, unquote(user) if found[2] else None, unquote(password) if colon else "")

    def schema(self) -> Schema:
        return {"type": "string"}


@dataclass(frozen=True, slots=True)
class _TokenFile:
    """The path of a file whose token is replaced from time to time: it is looked at for each fetch, and not watched."""

    def read(self, node: Node, reading: Reading) -> str:
        path, _ = reading.mounted(text_of(node, reading, "the path of a file with a token"), is_watched=False)
        return str(path.absolute())

    def schema(self) -> Schema:
        return {"type": "string"}


@dataclass(frozen=True, slots=True)
class _RequestHeaders:
    """A mapping from header names to values that are secrets."""

    def read(self, node: Node, reading: Reading) -> tuple[tuple[str, str], ...]:
        if not isinstance(node, Fields) or not node.entries:
            reading.refuse(node, f'found {kind_of(node)}, expected headers: {{Authorization: "${{KEY_SERVER_TOKEN}}"}}')
        headers: dict[str, tuple[str, str]] = {}
        is_broken = False
        for entry in node.entries:
            try:
                name = HEADER_NAME.read(entry.key, reading)
                if name.lower() in _OURS:
                    reading.refuse(
                        entry.key, f"{name} is the gateway's own to set, expected a header like Authorization"
                    )
                if name.lower() in headers:
                    reading.refuse(entry.key, f"found {name} twice, expected it once")
                value = text_of(entry.value, reading, "the header's value").text
                if not (value.isascii() and value.isprintable()) or len(value) > _MAX_HEADER_BYTES:
                    reading.refuse(entry.value, "found a value with a character that no header has, expected ASCII")
                headers[name.lower()] = name, value.strip()
            except Unreadable:
                is_broken = True
        if is_broken:
            raise Unreadable
        return tuple(headers.values())

    def schema(self) -> Schema:
        return {"type": "object", "minProperties": 1, "additionalProperties": {"type": "string"}}


KEYS_TTL = Field("ttl", duration(), "how long fetched keys count as fresh", "10m")
STALE = Field(
    "stale_if_error", duration(allow_zero=True), "how long old keys serve after that while fetching fails", "1h"
)
TIMEOUT = Field("timeout", duration(at_most_seconds=120), "for one fetch in all", "5s")
COOLDOWN = Field(
    "cooldown",
    duration(),
    "between two fetches because of an unknown key id or a failure; if one was asked for meanwhile, keys are fetched"
    " when it ends",
    "30s",
)
MAX_SIZE = Field("max_size", size(1024, 64 * 1024 * 1024), "of the answer", "1MiB")
PROXY = Field("proxy", _ProxyUrl(), "the HTTP proxy by which key servers are reached; the environment names none")
TOKEN_FILE = Field("token_file", _TokenFile(), "a file with a token for the key server, read anew for each fetch")
REQUEST_HEADERS = Field(
    "headers", _RequestHeaders(), "headers for the key server, such as a credential; they are secrets"
)
JWKS_RECORD = Record("jwks", (KEYS_TTL, STALE, TIMEOUT, COOLDOWN, MAX_SIZE, PROXY, TOKEN_FILE, REQUEST_HEADERS))
JWKS = Field("jwks", JWKS_RECORD, "how the public keys are fetched and kept")
