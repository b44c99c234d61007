"""What an engine is answered: a yes that says what to send, or the proxy's refusal in a form that the engine knows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from gateway.http1.fields import CRLF, STATUS_LINES, written
from gateway.http1.request import RequestRead
from gateway.policy.decision import Allow
from gateway.policy.denied import Denied
from gateway.policy.onward import Line, lines_onward
from gateway.policy.reasons import Reason
from gateway.proxy.dialects import BODY, STATUS, TARGET, UPSTREAM, Dialect
from gateway.proxy.runtime import Runtime
from gateway.proxy.told import Told

_ALWAYS: Final = frozenset({"x-forwarded-for", "x-forwarded-proto", "x-request-id"})
_YES: Final = STATUS_LINES[200] + b"Content-Length: 0\r\n"
_NAME_OF_LINE: Final = re.compile(rb"([^:\r\n]+):[^\n]*\n")
_MAX_REMEMBERED: Final = 64  # ways to answer one kind of head
_LENGTH_LINE: Final = re.compile(rb"(?i)^content-length:[^\r\n]*\r\n", re.MULTILINE)


def yes(
    dialect: Dialect, names: Told, runtime: Runtime, allow: Allow, request: RequestRead, request_id: str, now: float,
    trace: Sequence[Line] = (),
) -> bytes:  # fmt: skip
    """Return the head of the 200 that lets a request pass: where it goes, and the fields that are to be set or to go.

    `names` are those of the engine that asks. `now` is Unix seconds. Raises `Denied`: IDENTITY_UNSAFE, ENGINE_LIMITED
    where the engine could not do so.
    """
    upstream = allow.route.upstream
    if not request.is_fast:  # our own grammar reads no Upgrade
        _refuse_other_upgrade(request)
    identity = runtime.identity_bytes(upstream, allow.principal, now)
    seen = names.seen(request.headers.raw)
    unnamed: Sequence[str] = seen.unnamed
    is_plain = seen.is_plain and request.bearer is not None  # most heads: nothing else depends on values
    if is_plain and request.bearer is not None:
        goes_on = request.bearer and not allow.withheld.authorization
        told = b"Authorization: Bearer %b\r\n" % request.bearer.encode("ascii") if goes_on else b""
    else:
        told, unnamed = _of_client(names, runtime, allow, request)
    if trace:
        told += written(trace)
    if allow.said:
        told += written(allow.said)
    if dialect.removes:
        said = identity + told
        said_names = (dialect.name.encode(), *_NAME_OF_LINE.findall(said))
        removals = seen.removals.get(said_names) if is_plain else None
        if removals is None:
            answered = _ALWAYS.union(dialect.takes_over, (name.decode().lower() for name in said_names[1:]))
            removals = f"{dialect.removes}: {names.removals(answered, unnamed)}\r\n".encode("ascii")
            if is_plain and len(seen.removals) < _MAX_REMEMBERED:
                seen.removals[said_names] = removals
        told += removals
    elif unnamed:
        raise Denied(Reason.ENGINE_LIMITED, f"the engine cannot remove {unnamed[0][:64]}, which has to go")
    target = _target(dialect, allow, request)
    ours = (
        f"X-Forwarded-For: {request.forwarded_for or request.client_ip}\r\nX-Forwarded-Proto: {request.scheme}\r\n"
        f"X-Request-Id: {request_id}\r\n{UPSTREAM}: {upstream.name}\r\n"
    )
    if target:
        ours += f"{TARGET}: {target}\r\n"
    cors = b"" if runtime.config.cors is None else runtime.cors_bytes(request.headers) + b"Vary: Origin\r\n"
    return b"".join((_YES, identity, told, ours.encode("ascii"), cors))


def for_401_and_403(head: bytes, body: bytes, status: int) -> bytes:
    """Return a refusal's head for an engine that knows no other: the true status and the body stand in fields.

    `head` is that of the proxy, without its end.
    """
    lines = _LENGTH_LINE.sub(b"", head.partition(CRLF)[2])
    start = STATUS_LINES[401 if status == 401 else 403]
    said = f"{STATUS}: {status}\r\n".encode()
    if body:
        said += b"%b: %b\r\n" % (BODY.encode(), body)
    return b"%b%b%bContent-Length: %d\r\n" % (start, lines, said, len(body))


def _of_client(names: Told, runtime: Runtime, allow: Allow, request: RequestRead) -> tuple[bytes, list[str]]:
    """Return the client's told fields that go on, each once, and the names that have to go and that nobody knows."""
    told: dict[str, str] = {}
    kept: set[str] = set()
    for name, value in lines_onward(request, runtime.header_rules, allow.withheld):
        lower = name.lower()
        kept.add(lower)
        plain = names.spelling.get(lower)
        if plain is not None:
            before = told.get(plain)
            told[plain] = value if before is None else f"{before}{'; ' if lower == 'cookie' else ', '}{value}"
    gone = dict.fromkeys(name for name, _ in request.headers.lines if name.lower() not in kept)
    return written(list(told.items())), [name for name in gone if names.must_be_named(name)]


def _target(dialect: Dialect, allow: Allow, request: RequestRead) -> str:
    """Return the part of the target that the engine takes; raises `Denied` where it would send another one."""
    if dialect.sends == "whole":
        return allow.target
    path, mark, query = allow.target.partition("?")
    _, asked_mark, asked_query = request.target.partition("?")
    if (mark, query) != (asked_mark, asked_query):
        raise Denied(Reason.ENGINE_LIMITED, "the engine sends the query as it came, and a token stands in it")
    if dialect.sends == "none" and allow.target != request.target:
        raise Denied(Reason.ENGINE_LIMITED, "the engine sends the target as it came, and it was judged in another form")
    return path if dialect.sends == "path" else ""


def _refuse_other_upgrade(request: RequestRead) -> None:
    """Refuse what an engine may send as an Upgrade, and the gateway does not: all but one word in one handshake."""
    upgrades = request.headers.all("upgrade")
    if upgrades and (len(upgrades) > 1 or not request.is_websocket):
        raise Denied(Reason.ENGINE_LIMITED, "an Upgrade that is no single handshake of a WebSocket would go up")
