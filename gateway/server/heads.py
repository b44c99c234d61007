"""Heads of the express lane, as bytes: by the rules of the reference path, from lines that were read already."""

from __future__ import annotations

from functools import lru_cache

from gateway.express.answers import AnswerRead
from gateway.express.lines import CRLF
from gateway.express.requests import RequestRead
from gateway.express.writing import STATUS_LINES, written
from gateway.policy.decision import Allow, Deny
from gateway.policy.model import RequestHead
from gateway.policy.onward import NOTHING, Line
from gateway.policy.reasons import Reason
from gateway.proxy.headers import request_lines, response_lines
from gateway.proxy.refusal import refusal_body, refusal_lines
from gateway.server.runtime import Runtime

_PLACEHOLDER = b"0" * 32  # as long as an id
_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS"})


def request_head(
    runtime: Runtime,
    allow: Allow,
    request: RequestRead,
    forwarded_for: str,
    request_id: str,
    now: float,
) -> bytes:
    """Return the head of an allowed request for its upstream. `now` is Unix seconds. Raises `Denied`."""
    upstream = allow.route.upstream
    identity = runtime.identity_bytes(upstream, allow.principal, now)
    withheld = allow.withheld
    if withheld is NOTHING or not (withheld.authorization or request.may_stop):
        kept = request.kept
    else:
        kept = written(request_lines(request, allow, runtime.header_rules, ()))
    # RFC 9110 section 8.6: where the method lets expect a body, none is said to be of length 0.
    has_length = request.length_bytes or request.method not in _WITHOUT_BODY
    length = b"Content-Length: %d\r\n" % request.length_bytes if has_length else b""
    start = f"{request.method} {allow.target} HTTP/1.1\r\n"
    ours = f"X-Forwarded-For: {forwarded_for}\r\nX-Forwarded-Proto: {request.scheme}\r\nX-Request-Id: {request_id}\r\n"
    return b"".join((start.encode("ascii"), kept, ours.encode("ascii"), identity, length, CRLF))


def answer_head(runtime: Runtime, head: RequestHead, answer: AnswerRead, request_id: str) -> bytes:
    """Return the status line and the lines of an upstream's answer that the client gets."""
    if answer.kept is not None and runtime.config.cors is None:
        return b"%bX-Request-Id: %b\r\n" % (answer.kept, request_id.encode("ascii"))
    arrived = [(field.name, field.value) for field in answer.fields]
    lines = response_lines(arrived, owns_cors=runtime.config.cors is not None)
    kept = written(runtime.with_cors([*lines, ("X-Request-Id", request_id)], head))
    return b"HTTP/1.1 %d %b\r\n%b" % (answer.status, answer.reason, kept)


def refusal(runtime: Runtime, head: RequestHead, deny: Deny, request_id: str) -> tuple[bytes, bytes]:
    """Return the status line with the lines, and the body, of an answer of our own."""
    lines, start, body = _refusal(deny.reason, deny.had_token, deny.missing_scopes, deny.allowed_methods)
    own = request_id.encode("ascii")
    if runtime.config.cors is None:
        kept = b"%bX-Request-Id: %b\r\n" % (start, own)
    else:
        with_cors = runtime.with_cors([*lines, ("X-Request-Id", request_id)], head)
        kept = STATUS_LINES[deny.reason.status] + written(with_cors)
    return kept, body.replace(_PLACEHOLDER, own)


@lru_cache(maxsize=256)
def _refusal(
    reason: Reason, had_token: bool, missing_scopes: tuple[str, ...], allowed_methods: tuple[str, ...]
) -> tuple[tuple[Line, ...], bytes, bytes]:
    """Return all that does not differ from one refusal to the next: lines, these as written behind the status, body.

    The body has a placeholder of an id's length.
    """
    body = refusal_body(reason, _PLACEHOLDER.decode())
    said = refusal_lines(reason, had_token=had_token, missing_scopes=missing_scopes, allowed_methods=allowed_methods)
    lines = (*said, ("Content-Length", str(len(body))))
    return lines, STATUS_LINES[reason.status] + written(lines), body
