"""Heads as they are written, for upstreams and for clients: from lines that were read already wherever that can be."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from gateway.config.model import Cors
from gateway.http1.fields import CRLF, STATUS_LINES, written
from gateway.http1.request import CHUNKED_LENGTH, ORDINARY_METHODS, REFUSED_METHODS, RequestRead
from gateway.http1.response import ResponseRead
from gateway.policy.cookies import sets_one_of
from gateway.policy.decision import Allow, Deny
from gateway.policy.denied import StepUp
from gateway.policy.fields import Verdict
from gateway.policy.model import Headers, RequestHead
from gateway.policy.onward import NOTHING, Line, Withheld
from gateway.policy.reasons import Reason
from gateway.policy.resources import Resource
from gateway.proxy.cors import ASKED, preflight_lines, vary_by_origin
from gateway.proxy.headers import request_lines, response_lines
from gateway.proxy.own import OwnAnswer
from gateway.proxy.refusal import refusal_body, refusal_lines
from gateway.proxy.runtime import Runtime
from gateway.proxy.tunnel import UPGRADE, switching_lines

_PLACEHOLDER: Final = b"0" * 32  # as long as an id
EVENTS: Final = "text/event-stream"
_PLAIN_METHODS: Final = frozenset({"GET", "HEAD"})
_WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_AUTHORIZATION: Final = b"Authorization: Bearer "
_COOKIE: Final = b"Cookie: "
_LINE_FEED, _SMALL = ord("\n"), 0x20  # the bit that makes a letter a small one
_VARY_BY_ORIGIN: Final = b"Vary: Origin\r\n"
_MAX_REMEMBERED_ASKING: Final = 512  # characters
_SET_COOKIE: Final = "set-cookie"
_PRIVATE: Final = b"Cache-Control: private, no-store\r\n"
_CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"


def request_head(
    runtime: Runtime,
    allow: Allow,
    request: RequestRead,
    request_id: str,
    now: float,
    trace: Sequence[Line] = (),
) -> bytes:
    """Return the head of an allowed request for its upstream. `now` is Unix seconds. Raises `Denied`."""
    upstream = allow.route.upstream
    identity = runtime.identity_bytes(upstream, allow.principal, now)
    withheld, forwarded = allow.withheld, request.forwarded
    if forwarded is not None and (withheld.authorization or request.has_cookie or request.may_stop):
        forwarded = _without_withheld(forwarded, request, withheld)
    if forwarded is None:
        forwarded = written(request_lines(request, allow, runtime.header_rules, ()))
    length_bytes, framing = request.length_bytes, b""
    # RFC 9110 section 8.6: where the method lets expect a body, none is said to be of length 0.
    if length_bytes == CHUNKED_LENGTH:
        framing = _CHUNKED
    elif length_bytes or request.method not in _WITHOUT_BODY:
        framing = b"Content-Length: %d\r\n" % length_bytes
    if trace:
        framing += written(trace)
    if allow.said:
        framing += written(allow.said)
    if request.is_websocket:
        framing += written(UPGRADE)
    forwarded_for = request.forwarded_for or request.client_ip
    start = f"{request.method} {allow.target} HTTP/1.1\r\n"
    ours = f"X-Forwarded-For: {forwarded_for}\r\nX-Forwarded-Proto: {request.scheme}\r\nX-Request-Id: {request_id}\r\n"
    return b"".join((start.encode("ascii"), forwarded, ours.encode("ascii"), identity, framing, CRLF))


def _without_withheld(forwarded: bytes, request: RequestRead, withheld: Withheld) -> bytes | None:
    """Return the lines that go on without the credentials that stop; None: they are to be looked at one by one.

    Where there are but two such lines, and each of them once, these alone are looked at: a browser sends its cookies
    with every request, and most often nothing of them stops.
    """
    if withheld is NOTHING:
        return forwarded
    if request.may_stop:
        return None
    if withheld.authorization and request.bearer != "":
        at = _start_of(forwarded, _AUTHORIZATION) if request.bearer else -1
        if at < 0:
            return None
        forwarded = forwarded[:at] + forwarded[forwarded.index(b"\n", at) + 1 :]
    if request.has_cookie and (withheld.cookies or withheld.plain_cookie is not None):
        at = _start_of(forwarded, _COOKIE)
        if at < 0:
            return None
        begin, end = at + len(_COOKIE), forwarded.index(b"\r", at)
        value = forwarded[begin:end].decode("utf-8")
        left = withheld.what_is_left(Verdict.COOKIE, "cookie", value)
        if left is None:
            return forwarded[:at] + forwarded[end + 2 :]
        if left is not value:
            return forwarded[:begin] + left.encode("utf-8") + forwarded[end:]
    return forwarded


def _start_of(lines: bytes, beginning: bytes) -> int:
    """Return where a line begins whose first letter may be a small one; -1: not where it is found first."""
    at = lines.find(beginning[1:]) - 1
    if at < 0 or (at and lines[at - 1] != _LINE_FEED) or lines[at] not in (beginning[0], beginning[0] | _SMALL):
        return -1
    return at


def response_head(
    runtime: Runtime, head: RequestHead, response: ResponseRead, request_id: str, said: bytes = b""
) -> bytes:
    """Return the status line and the lines of an upstream's response that the client gets.

    `said` are lines that are for nobody but this client: no cache may give them to another (RFC 9111 section 3.5).
    """
    own = request_id.encode("ascii")
    sealed = runtime.sealed_cookies
    lines = _without_sealed(response, sealed) if sealed else None
    if said:
        lines = [(field.name, field.value) for field in response.fields] if lines is None else lines
        lines = [(name, value) for name, value in lines if not _is_for_caches(name)]
        return _own_lines(runtime, head, response, lines, own) + _PRIVATE + said
    if lines is not None:
        return _own_lines(runtime, head, response, lines, own)
    if response.forwarded is None:
        arrived = [(field.name, field.value) for field in response.fields]
        return _own_lines(runtime, head, response, arrived, own)
    if runtime.config.cors is None:
        return b"%bX-Request-Id: %b\r\n" % (response.forwarded, own)
    for_pages = response.for_pages
    if for_pages is None:
        arrived = [(field.name, field.value) for field in response.fields]
        for_pages = response.for_pages = _lines_for_pages(response, arrived)
    start, vary = for_pages
    return b"%bX-Request-Id: %b\r\n%b%b" % (start, own, runtime.cors_bytes(head.headers), vary)


def _without_sealed(response: ResponseRead, sealed: frozenset[str]) -> list[Line] | None:
    """Return the lines of a response without those that set a cookie of sessions; None: there are none.

    An upstream could else end a session, or put one of somebody else's in its place.
    """
    lines = [
        (field.name, field.value)
        for field in response.fields
        if field.name.lower() != _SET_COOKIE or not sets_one_of(field.value, sealed)
    ]
    return lines if len(lines) < len(response.fields) else None


def switching_head(
    runtime: Runtime, head: RequestHead, response: ResponseRead, request_id: str, said: bytes = b""
) -> bytes:
    """Return the whole head of a 101 that the client gets; `said` as in `response_head`."""
    lines = _own_lines(runtime, head, response, switching_lines(response), request_id.encode("ascii"))
    return lines + said + written(UPGRADE) + CRLF


def _is_for_caches(name: str) -> bool:
    """Return whether a field says what caches may keep, those of one network alone too (RFC 9213)."""
    return name.lower().endswith(("cache-control", "surrogate-control"))


def _own_lines(runtime: Runtime, head: RequestHead, response: ResponseRead, arrived: list[Line], own: bytes) -> bytes:
    if runtime.config.cors is None:
        start, vary = _start_of_response(response, response_lines(arrived, owns_cors=False)), b""
    else:
        start, vary = _lines_for_pages(response, arrived)
    return b"%bX-Request-Id: %b\r\n%b%b" % (start, own, runtime.cors_bytes(head.headers), vary)


def _lines_for_pages(response: ResponseRead, arrived: list[Line]) -> tuple[bytes, bytes]:
    """Return the status line with the lines that stay where CORS is ours, and then Vary, which stands behind ours."""
    *lines, vary = vary_by_origin(response_lines(arrived, owns_cors=True))
    return _start_of_response(response, lines), written([vary])


def _start_of_response(response: ResponseRead, lines: list[Line]) -> bytes:
    return b"HTTP/1.1 %d %b\r\n%b" % (response.status, response.reason, written(lines))


def may_stream(request: RequestRead) -> bool:
    """False for a request whose response is a stream only by surprise: pages fetch many such at once."""
    return request.may_be_websocket or asks_for_stream(request.method, request.headers)


def asks_for_stream(method: str, headers: Headers) -> bool:
    """True for a method that makes something happen, or a request that asks for events."""
    return method not in _PLAIN_METHODS or any([EVENTS in value.lower() for value in headers.all("accept")])


def is_events(response: ResponseRead) -> bool:
    """True for a stream of server-sent events (HTML Standard, section 9.2.6)."""
    return any([
        one.value.lower().startswith(EVENTS) for one in response.fields if one.name.lower() == "content-type"
    ])  # fmt: skip


def preflight_head(cors: Cors, head: RequestHead, request_id: str) -> bytes:
    """Return the status line and the lines of the 204 that answers a preflight."""
    asked = tuple([(name, value) for name in ASKED for value in head.headers.all(name)])
    is_short = sum([len(value) for _, value in asked]) <= _MAX_REMEMBERED_ASKING  # else a stranger fills the memory
    lines = _preflight(cors, asked) if is_short else written(preflight_lines(cors, Headers(asked)))
    return b"%b%bX-Request-Id: %b\r\n" % (STATUS_LINES[204], lines, request_id.encode("ascii"))


@lru_cache(maxsize=256)
def _preflight(cors: Cors, asked: tuple[Line, ...]) -> bytes:
    """Return the lines of a preflight's answer: a page asks the same again and again."""
    return written(preflight_lines(cors, Headers(asked)))


def own_head(runtime: Runtime, head: RequestHead, answer: OwnAnswer, request_id: str) -> bytes:
    """Return the status line and the lines of what the gateway says by itself."""
    lines = (*answer.lines, ("Content-Length", str(len(answer.body))), ("X-Request-Id", request_id))
    cors = runtime.cors_bytes(head.headers) + _VARY_BY_ORIGIN if runtime.config.cors is not None else b""
    return STATUS_LINES[answer.status] + written(lines) + cors


def refusal(runtime: Runtime, head: RequestHead, deny: Deny, request_id: str) -> tuple[bytes, bytes]:
    """Return the status line with the lines, and the body, of a refusal."""
    allowed_methods = ORDINARY_METHODS if head.method in REFUSED_METHODS else deny.allowed_methods
    resource = None if deny.route is None else deny.route.resource
    start, body = _refusal(deny.reason, deny.had_token, deny.missing_scopes, allowed_methods, resource, deny.step_up)
    own = request_id.encode("ascii")
    whole = b"%bX-Request-Id: %b\r\n" % (start, own)
    if runtime.config.cors is not None:
        whole = b"%b%b%b" % (whole, runtime.cors_bytes(head.headers), _VARY_BY_ORIGIN)
    return whole, body.replace(_PLACEHOLDER, own)


@lru_cache(maxsize=256)
def _refusal(
    reason: Reason,
    had_token: bool,
    missing_scopes: tuple[str, ...],
    allowed_methods: tuple[str, ...],
    resource: Resource | None,
    step_up: StepUp | None,
) -> tuple[bytes, bytes]:
    """Return all that does not differ from one refusal to the next: status with lines, none of them Vary, and body.

    The body has a placeholder of an id's length.
    """
    body = refusal_body(reason, _PLACEHOLDER.decode())
    said = refusal_lines(
        reason,
        had_token=had_token,
        missing_scopes=missing_scopes,
        allowed_methods=allowed_methods,
        resource=resource,
        step_up=step_up,
    )
    lines = (*said, ("Content-Length", str(len(body))))
    return STATUS_LINES[reason.status] + written(lines), body
