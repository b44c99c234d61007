"""How each engine asks whether a request may pass: where its question tells of the client's request. Pure.

Source: the engines' manuals, and what each was seen to send: docs/decisions/0017.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal
from urllib.parse import quote

from gateway.http1.arrivals import read_head
from gateway.http1.fields import TOKEN_CHARACTER
from gateway.http1.request import RequestRead, Requests
from gateway.policy.addresses import UNKNOWN, canonical_address
from gateway.policy.denied import Denied
from gateway.policy.reasons import Reason

BASE: Final = "/authz/"
PRINTED: Final = "~"  # behind the engine's name: unreserved in a path, and no syntax of any engine
NOTHING_PRINTED: Final = "-"
PEER: Final = "X-Gateway-Peer"
TARGET: Final = "X-Gateway-Target"
UPSTREAM: Final = "X-Gateway-Upstream"
REMOVE: Final = "X-Gateway-Remove"
STATUS: Final = "X-Gateway-Status"
BODY: Final = "X-Gateway-Body"
_METHOD_SHAPE: Final = re.compile(TOKEN_CHARACTER + rb"+")
_TARGET_SHAPE: Final = re.compile(rb"[^\x00-\x20\x7f]+")
_PATH_OF_UNREADABLE: Final = re.compile(rb"[A-Za-z]{1,16} /authz/([a-z]{1,16})(?![A-Za-z0-9-])")
_HOST_LINE: Final = re.compile(rb"(?i)\r\nhost:[^\r\n]*")


@dataclass(frozen=True, slots=True)
class Dialect:
    """One way to ask. Names of fields are in lower case.

    `method` and `target` name the fields with the client's; empty: the question's own, the target behind the path.
    `host` names the field with the client's host. `peer` names the field with who was connected; empty: the last
    of `X-Forwarded-For` is. `sends` says how much of the target an engine takes from the answer. `removes` names the
    answer's field from which it takes names to remove, and `takes_over` which of the answer's own it makes the
    request's before it does. `any_2xx_is_yes`: no other answer may be one. `only_401_and_403`: it knows no other
    refusal.
    """

    name: str
    method: str
    target: str
    host: str
    peer: str
    sends: Literal["whole", "path", "none"]
    removes: str
    takes_over: frozenset[str]
    any_2xx_is_yes: bool
    only_401_and_403: bool


_ORIGINAL: Final = ("x-original-method", "x-original-uri")
_NOTHING: Final[frozenset[str]] = frozenset()
NGINX: Final = Dialect("nginx", *_ORIGINAL, "", "", "whole", "", _NOTHING, any_2xx_is_yes=True, only_401_and_403=True)
HAPROXY: Final = Dialect(
    "haproxy", *_ORIGINAL, "", "", "whole", REMOVE, _NOTHING,
    any_2xx_is_yes=False, only_401_and_403=False,
)  # fmt: skip
FORWARD: Final = Dialect(
    "forward", "x-forwarded-method", "x-forwarded-uri", "x-forwarded-host", "", "none", "", _NOTHING,
    any_2xx_is_yes=True, only_401_and_403=False,
)  # fmt: skip
ENVOY: Final = Dialect(
    "envoy", "", "", "", PEER.lower(), "path", "X-Envoy-Auth-Headers-To-Remove",
    frozenset({TARGET.lower(), UPSTREAM.lower()}),
    any_2xx_is_yes=False, only_401_and_403=False,
)  # fmt: skip
DIALECTS: Final = {one.name: one for one in (NGINX, HAPROXY, FORWARD, ENVOY)}
_ENVOY_PATH: Final = f"{BASE}{ENVOY.name}"
# What a question says besides, also of the client; the first three are its own lines, too.
_ALSO_CLIENTS: Final = ("x-forwarded-proto", "sec-websocket-key", "upgrade")
_SAID: Final = (*_ALSO_CLIENTS, "content-length", "transfer-encoding", "x-forwarded-for", PEER.lower())


def _fields_of(dialect: Dialect) -> re.Pattern[bytes]:
    names = "|".join((*_SAID, *(name for name in (dialect.method, dialect.target, dialect.host) if name)))
    # Spaces are taken off in Python: a lazy value before them takes a square of their number (CWE-1333).
    return re.compile(rf"(?i)\r\n({names}):([^\r\n]*)".encode())


_FIELDS: Final = {name: _fields_of(dialect) for name, dialect in DIALECTS.items()}
_MAX_REMEMBERED, _MAX_ADDRESS_BYTES = 1024, 64


def dialect_of(target: str) -> Dialect | None:
    """Return the dialect that a question's target stands for."""
    path = target.partition("?")[0]
    if target.startswith(_ENVOY_PATH):
        return ENVOY
    return DIALECTS.get(path.removeprefix(BASE).partition(PRINTED)[0]) if path.startswith(BASE) else None


def printed_in(dialect: Dialect, target: str) -> str:
    """Return which names of the file the engine's configuration was printed with, as `asking_at` wrote them.

    They stand in the path, where an engine writes what no client can. Empty: it does not say so.
    """
    rest = target[len(BASE) + len(dialect.name) :]
    if not rest.startswith(PRINTED):
        return ""
    return rest[len(PRINTED) :].partition("?" if dialect.target else "/")[0]


def asking_at(dialect: Dialect, names: Sequence[str]) -> str:
    """Return the path at which an engine asks whose configuration is printed with these names of the file."""
    return f"{BASE}{dialect.name}{PRINTED}{','.join(quote(name, safe='') for name in names) or NOTHING_PRINTED}"


def asked_at(head: bytes) -> str:
    """Return the path at which a question is asked whose head cannot be read, as far as it says; else `-`."""
    found = _PATH_OF_UNREADABLE.match(head)
    return f"{BASE}{found[1].decode()}" if found is not None else "-"


def client_request(
    dialect: Dialect, question: RequestRead, requests: Requests, max_bytes: int, *, is_fast: bool
) -> RequestRead:
    """Return the client's request that a question is about: its head, written again, is read as the proxy reads heads.

    Raises `Denied` (QUESTION_MALFORMED), and `BrokenRequest` for a request that the proxy would not read either.
    """
    if question.length_bytes:
        raise _malformed("it has a body")
    said, rest = taken_apart(dialect, question.headers.raw)
    method, target = question.method.encode(), _behind_path(question.target)
    if dialect.method:
        method, target = _one(said, dialect.method), _one(said, dialect.target)
    if not target:
        raise _malformed(f"nothing follows {_ENVOY_PATH}")
    if not _METHOD_SHAPE.fullmatch(method) or not _TARGET_SHAPE.fullmatch(target):
        raise Denied(Reason.REQUEST_MALFORMED, "the method or the target is none")
    peer, before = _peer(dialect, said)
    if dialect.host and (host := said.get(dialect.host)) is not None:
        if len(host) > 1:
            raise _malformed(f"{dialect.host} is there twice")
        rest = b"\r\nHost: %b%b" % (host[0], _HOST_LINE.sub(b"", rest))
    if before is not None:
        rest += b"\r\nX-Forwarded-For: " + before
    if "sec-websocket-key" in said and "upgrade" not in said and method == b"GET":
        rest += b"\r\nConnection: Upgrade\r\nUpgrade: websocket"  # an engine that passes these on takes them away here
    head = b"%b %b HTTP/1.1%b\r\n\r\n" % (method, target, rest)
    request = read_head(requests, head, peer, _scheme(said), max_bytes, is_fast=is_fast)
    if request is None:
        raise _malformed("the client's head does not end where it should")
    request.is_http_1_0 = question.is_http_1_0  # of the connection that the answer goes to
    return request


def _behind_path(target: str) -> bytes:
    rest = target.removeprefix(_ENVOY_PATH)
    if rest.startswith(PRINTED):
        _, slash, rest = rest.partition("/")
        rest = slash + rest
    return rest.encode()


def taken_apart(dialect: Dialect, raw: bytes) -> tuple[dict[str, list[bytes]], bytes]:
    """Return what the engine says, by its fields, and the client's own lines, as far as the engine passes them on."""
    said: dict[str, list[bytes]] = {}
    kept: list[bytes] = []
    at = 0
    for found in _FIELDS[dialect.name].finditer(raw):
        name = found[1].decode().lower()
        said.setdefault(name, []).append(found[2].strip(b" \t"))
        if name not in _ALSO_CLIENTS:
            kept.append(raw[at : found.start()])
            at = found.end()
    kept.append(raw[at:])
    return said, b"".join(kept)


def _peer(dialect: Dialect, said: Mapping[str, Sequence[bytes]]) -> tuple[str, bytes | None]:
    """Return who was connected to the engine, and the `X-Forwarded-For` that he sent, which may be empty, or None."""
    values = said.get("x-forwarded-for", ())
    chain = b", ".join(values)
    if dialect.peer:
        told = said.get(dialect.peer, ())
        if len(told) > 1:
            raise _malformed(f"{dialect.peer} is there twice")
        return _address(told[0]) if told else UNKNOWN, chain if values else None
    before, comma, last = chain.rpartition(b",")
    return _address(last.strip(b" \t")), before.strip(b" \t") if comma else None


def _address(written: bytes) -> str:
    return _remembered_address(written) if len(written) <= _MAX_ADDRESS_BYTES else UNKNOWN


@lru_cache(_MAX_REMEMBERED)
def _remembered_address(written: bytes) -> str:
    return canonical_address(written.decode("utf-8", "replace"))


def _scheme(said: Mapping[str, Sequence[bytes]]) -> str:
    told = said.get("x-forwarded-proto", ())
    return "https" if len(told) == 1 and told[0].lower() == b"https" else "http"


def _one(said: Mapping[str, Sequence[bytes]], name: str) -> bytes:
    values = said.get(name, ())
    if len(values) != 1:
        raise _malformed(f"{name} is {'missing' if not values else 'there twice'}")
    if not values[0]:
        raise _malformed(f"{name} is empty")
    return values[0]


def _malformed(why: str) -> Denied:
    return Denied(Reason.QUESTION_MALFORMED, why)
