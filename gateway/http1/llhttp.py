"""The other wire's reading, by aiohttp's parser in C (llhttp): what our grammar does not read, and a second opinion.

llhttp is lenient where others are not, so what it lets through is looked at once more.
"""

from __future__ import annotations

import asyncio
import re

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import (
    HttpProcessingError,
    HttpRequestParser,
    HttpResponseParser,
    HttpVersion,
    HttpVersion10,
    HttpVersion11,
)
from aiohttp.http_exceptions import LineTooLong
from aiohttp.streams import StreamReader

from gateway.http1.body import BrokenBodyError, Chunks
from gateway.http1.fields import CRLF, END_OF_HEAD, HOST_SHAPE, MAX_HEADERS, TOKEN_CHARACTER, Field
from gateway.http1.request import CHUNKED_LENGTH, REFUSED_METHODS, RequestRead
from gateway.http1.response import MAX_LINE_BYTES, ResponseRead
from gateway.policy.denied import Denied
from gateway.policy.model import Headers, RequestHead, asks_for_websocket
from gateway.policy.reasons import Reason
from gateway.record.sender import MAX_HOST_CHARACTERS, shown_user_agent, trace_id_of

# llhttp counts in 64 bits, and takes the largest number for "no length": the body would be read as requests.
_LENGTH = re.compile(r"[0-9]{1,18}")
_NO_TEXT = re.compile(f"[\x00-\x08\x0a-\x1f\x7f{chr(0xD800)}-{chr(0xDFFF)}]")
# RFC 9110 sections 5.1 and 5.5. llhttp reads responses leniently: `Content-Length : 5` would go down as it came.
_FIELD_NAME = re.compile(TOKEN_CHARACTER + rb"+")
_FIELD_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_LINE_OVERHEAD_BYTES = 4  # ": " and the line's end
_BODY_BYTES = 1 << 30  # that a reader may hold: it is emptied after each piece
_CHUNKED_REQUEST = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
_CHUNKED_RESPONSE = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class BrokenRequest(Denied):
    """What is no request. `head` is what was read of it, if anything was."""

    def __init__(self, problem: Denied, head: RequestRead | None = None) -> None:
        super().__init__(problem.reason, problem.detail)
        self.head = head


def read_request(head: bytes, client_ip: str, scheme: str, max_bytes: int) -> RequestRead | None:
    """Return what a head says, given whole or in part; None if its end is still to come.

    Raises `BrokenRequest`: TARGET_TOO_LONG, HEADERS_TOO_LARGE, METHOD_NOT_ALLOWED, REQUEST_MALFORMED.
    """
    try:
        messages, _, _ = _parser(max_bytes).feed_data(head)
    except (HttpProcessingError, ValueError) as problem:
        raise BrokenRequest(as_denied(problem, max_bytes)) from None
    if not messages:
        return None
    message = messages[0][0]
    headers = Headers(message.headers.items())
    request = RequestRead(message.method, message.path, headers, client_ip, scheme)
    request.is_fast = False
    try:
        check_head(request, max_bytes, message.version)
        if len(messages) > 1 or not head.endswith(END_OF_HEAD):
            raise Denied(Reason.REQUEST_MALFORMED, "the head ends where another reader would not end it")
    except Denied as no:
        raise BrokenRequest(no, request) from None
    is_http_1_0 = message.version == HttpVersion10
    length = headers.first("content-length")
    request.length_bytes = CHUNKED_LENGTH if "transfer-encoding" in headers else int(length or 0)
    # What a client sent behind an Upgrade may be of the other protocol: it is not read again.
    request.keeps_alive = not message.should_close and "upgrade" not in headers
    request.forwarded = None
    request.host = (headers.first("host") or "")[:MAX_HOST_CHARACTERS]
    request.user_agent = shown_user_agent(headers.first("user-agent") or "")
    request.trace_id = trace_id_of(headers.first("traceparent") or "")
    request.is_http_1_0 = is_http_1_0
    # RFC 9110 section 10.1.1: an HTTP/1.0 client does not know what 100 means.
    request.expects_continue = not is_http_1_0 and (headers.first("expect") or "").strip().lower() == "100-continue"
    request.may_be_websocket = asks_for_websocket(headers)
    request.is_websocket = request.may_be_websocket and _is_handshake(request)
    return request


class LlhttpResponses:
    """Reads heads of responses, as `Responses` does."""

    def read(self, head: bytes) -> ResponseRead | None:
        """Return what a head says, given up to the end of its last line; None if it has no single reading."""
        try:
            ((message, _),), _, _ = _response_parser(has_body=False).feed_data(head + CRLF)
        except (HttpProcessingError, ValueError):
            return None
        lines = message.raw_headers
        if message.version not in (HttpVersion10, HttpVersion11) or not 100 <= message.code <= 999:
            return None
        if not all(_FIELD_NAME.fullmatch(name) and _FIELD_VALUE.fullmatch(value) for name, value in lines):
            return None
        lengths = message.headers.getall("Content-Length", [])
        codings = [coding.strip().lower() for coding in message.headers.getall("Transfer-Encoding", [])]
        is_chunked = codings == ["chunked"]
        if len(lengths) + len(codings) > 1 or (codings and not is_chunked):
            return None
        if (lengths and not _LENGTH.fullmatch(lengths[0])) or (is_chunked and message.version == HttpVersion10):
            return None
        fields = [Field(_text(name), _text(value), b"", 0, True, False, False) for name, value in lines]
        length_bytes = int(lengths[0]) if lengths else None
        keeps_alive = not message.should_close and (length_bytes is not None or is_chunked)
        reason = message.reason.encode("utf-8", "surrogateescape")
        if not _FIELD_VALUE.fullmatch(reason):
            return None
        return ResponseRead(message.code, reason, fields, length_bytes, is_chunked, keeps_alive, None)


class ChunksReadTwice(Chunks):
    """Chunks that llhttp reads as well: what the two do not read alike is broken."""

    __slots__ = ("_other", "_payload")

    def __init__(self, *, is_of_request: bool = False) -> None:
        super().__init__(is_of_request=is_of_request)
        self._other = _parser(1 << 16) if is_of_request else _response_parser(has_body=True)
        head = _CHUNKED_REQUEST if is_of_request else _CHUNKED_RESPONSE
        ((_, self._payload),), _, _ = self._other.feed_data(head)

    def feed(self, data: bytes) -> list[bytes]:
        """Return the payload of what arrived, in pieces. Raises `BrokenBodyError`."""
        pieces = super().feed(data)
        try:
            self._other.feed_data(data[: len(data) - len(self.rest)])
        except (HttpProcessingError, ValueError) as problem:
            raise BrokenBodyError(type(problem).__name__) from None
        payload: StreamReader = self._payload
        if b"".join(pieces) != payload.read_nowait(-1) or payload.is_eof() is not self.is_complete:
            raise BrokenBodyError("two readers read two bodies")
        return pieces


def as_denied(problem: BaseException, limit_bytes: int) -> Denied:
    """Return the refusal of what cannot be parsed. `limit_bytes` is that of a head."""
    if isinstance(problem, LineTooLong):
        is_target = bytes(problem.args[0]).startswith((b"/", b"http"))
        reason = Reason.TARGET_TOO_LONG if is_target else Reason.HEADERS_TOO_LARGE
        return Denied(reason, f"a line of the head is over {limit_bytes} bytes")
    text = problem.message if isinstance(problem, HttpProcessingError) else type(problem).__name__
    if "Too many headers" in text:
        return Denied(Reason.HEADERS_TOO_LARGE, f"more than {MAX_HEADERS} headers")
    # The parser's text quotes the request, secrets included: only its first words are for the log.
    return Denied(Reason.REQUEST_MALFORMED, text.partition(":")[0][:100])


def check_head(head: RequestHead, max_bytes: int, version: HttpVersion) -> None:
    """Refuse what the parser lets through and another one could read differently (CWE-444).

    Raises `Denied`: TARGET_TOO_LONG, HEADERS_TOO_LARGE, METHOD_NOT_ALLOWED, REQUEST_MALFORMED.
    """
    if version not in (HttpVersion10, HttpVersion11):
        # llhttp takes a request line without a version for HTTP/0.9: a lost space would change the target.
        raise Denied(Reason.REQUEST_MALFORMED, f"HTTP/{version.major}.{version.minor}, expected 1.0 or 1.1")
    is_http_1_0 = version == HttpVersion10
    _check_size(head, max_bytes)
    if head.method in REFUSED_METHODS:
        raise Denied(Reason.METHOD_NOT_ALLOWED, head.method)
    headers = head.headers
    codings = [coding.lower() for coding in headers.all("transfer-encoding")]
    if codings and (codings != ["chunked"] or "content-length" in headers or is_http_1_0):
        raise Denied(Reason.REQUEST_MALFORMED, "Transfer-Encoding is something else than 'chunked' alone")
    if not all(_LENGTH.fullmatch(length) for length in headers.all("content-length")):
        raise Denied(Reason.REQUEST_MALFORMED, "Content-Length is no number of at most 18 digits")
    hosts = headers.all("host")
    is_host = len(hosts) == 1 and HOST_SHAPE.fullmatch(hosts[0].encode("utf-8", "surrogateescape"))
    if not is_host and (hosts or not is_http_1_0):
        raise Denied(Reason.REQUEST_MALFORMED, "there is no single valid Host")
    if not all(_is_text(value) for _, value in headers.lines):
        raise Denied(Reason.REQUEST_MALFORMED, "a header holds a control character, or bytes that are no UTF-8")


def _text(field: bytes) -> str:
    return field.decode("utf-8", "surrogateescape")


def _parser(max_bytes: int) -> HttpRequestParser:
    loop = asyncio.get_running_loop()
    return HttpRequestParser(
        BaseProtocol(loop),
        loop,
        _BODY_BYTES,
        max_line_size=max_bytes,
        max_field_size=max_bytes,
        max_headers=MAX_HEADERS,
        auto_decompress=False,  # a bomb passes as it came: CVE-2025-69223
    )


def _response_parser(*, has_body: bool) -> HttpResponseParser:
    loop = asyncio.get_running_loop()
    return HttpResponseParser(
        BaseProtocol(loop), loop, _BODY_BYTES,
        max_line_size=MAX_LINE_BYTES, max_field_size=MAX_LINE_BYTES, max_headers=MAX_HEADERS,
        response_with_body=has_body, auto_decompress=False,
    )  # fmt: skip


def _is_handshake(head: RequestRead) -> bool:
    """True for a handshake (RFC 6455 section 4.2.1); what only looks like one is served without its Upgrade."""
    options = (option.strip().lower() for value in head.headers.all("connection") for option in value.split(","))
    return head.method == "GET" and not head.is_http_1_0 and "upgrade" in options


def _check_size(head: RequestHead, max_bytes: int) -> None:
    target = len(head.target)
    if target > max_bytes:
        raise Denied(Reason.TARGET_TOO_LONG, f"a target of {target} bytes, at most {max_bytes} pass")
    size = target + sum(len(name) + len(value) + _LINE_OVERHEAD_BYTES for name, value in head.headers.lines)
    if size > max_bytes:
        raise Denied(Reason.HEADERS_TOO_LARGE, f"a head of {size} bytes, at most {max_bytes} pass")


def _is_text(value: str) -> bool:
    if value.isascii() and value.isprintable():
        return True
    # Stray bytes are read in two ways: better refused than changed on the way.
    return _NO_TEXT.search(value) is None
