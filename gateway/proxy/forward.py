"""One HTTP exchange, streamed both ways. Nothing here decides; nothing is buffered beyond what flow control needs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

import aiohttp
from aiohttp.http import HttpVersion10, HttpVersion11

from gateway.policy.onward import Line
from gateway.policy.reasons import Denied, Reason
from gateway.proxy.answer import AnswerWriter
from gateway.proxy.origin import Origin, UploadedBody

# RFC 9110 sections 5.1 and 5.5. aiohttp reads answers leniently: `Content-Length : 5` would go down as it came.
_FIELD_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")


class OnHead(Protocol):
    """Told of the head of the upstream's answer, before it is passed on."""

    def __call__(self, status: int, *, has_length: bool) -> None: ...


Finish = Callable[[list[Line]], list[Line]]  # the upstream's header lines in, those for the client out


class UpstreamCut(Exception):
    """The upstream broke off after its head was passed on; the client's answer was cut, too."""


async def forward(
    origin: Origin,
    method: str,
    target: str,
    lines: list[Line],
    body: UploadedBody | None,
    answer: AnswerWriter,
    finish: Finish,
    *,
    on_head: OnHead,
) -> None:
    """Send a request up and its answer down, both as they arrive.

    Raises `Denied` while nothing was answered yet, `UpstreamCut` after. Cancelled (the client has gone), it ends the
    upstream's request at once, also while the upstream is still thinking.
    """
    response = await origin.open(method, target, lines, body)
    is_whole = False
    try:
        if response.status < 200:  # aiohttp has skipped the other 1xx
            raise Denied(Reason.UPSTREAM_BROKEN, "the upstream switched protocols, unasked, or its status is none")
        if _is_framed_oddly(response):
            raise Denied(Reason.UPSTREAM_BROKEN, "the upstream's body has no single framing")
        on_head(response.status, has_length="Content-Length" in response.headers)
        if body is not None and not body.is_complete:
            answer.keeps_alive = False  # answered early: the rest of the upload has no taker
        answer.write_head(response.status, finish(decoded_lines(response)), response.reason)
        await relay_body(response, answer)
        is_whole = True
    finally:
        # A connection in the middle of an answer must not serve anybody else.
        if is_whole and (body is None or body.is_complete):
            response.release()
        else:
            response.close()


async def relay_body(response: aiohttp.ClientResponse, answer: AnswerWriter) -> None:
    """Pass a body down as it arrives. Raises `UpstreamCut` once the client's answer was cut, too."""
    protocol = response._protocol  # `connection` is gone with the last byte
    while True:
        try:
            chunk = await response.content.readany()
        except (aiohttp.ClientError, aiohttp.http.HttpProcessingError, OSError) as problem:
            answer.cut()
            raise UpstreamCut(type(problem).__name__) from None
        if not chunk:
            break
        await answer.write(chunk)
    if _ends_by_close(response) and protocol is not None and isinstance(protocol.exception(), OSError):
        # aiohttp takes any end of the connection for the end of such a body, a reset too.
        answer.cut()
        raise UpstreamCut("the connection was reset")
    answer.end()


def _ends_by_close(response: aiohttp.ClientResponse) -> bool:
    return "Content-Length" not in response.headers and "Transfer-Encoding" not in response.headers


def decoded_lines(response: aiohttp.ClientResponse) -> list[Line]:
    """Return an answer's header lines as text; bytes that are no UTF-8 survive as surrogate escapes.

    Raises `Denied` (UPSTREAM_BROKEN) if the client could read one of them in another way.
    """
    if response.version not in (HttpVersion10, HttpVersion11):
        raise Denied(Reason.UPSTREAM_BROKEN, "the upstream's answer is not HTTP/1.0 or 1.1")
    for name, value in response.raw_headers:
        if not (_FIELD_NAME.fullmatch(name) and _FIELD_VALUE.fullmatch(value)):
            raise Denied(Reason.UPSTREAM_BROKEN, "a header of the upstream's answer is malformed")
    return [
        (name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape"))
        for name, value in response.raw_headers
    ]


def _is_framed_oddly(response: aiohttp.ClientResponse) -> bool:
    lengths = response.headers.getall("Content-Length", [])
    codings = response.headers.getall("Transfer-Encoding", [])
    return (
        len(lengths) > 1
        or bool(lengths and codings)
        or any(coding.strip().lower() != "chunked" for coding in codings)
        or len(codings) > 1
    )
