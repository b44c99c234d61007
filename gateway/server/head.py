"""A request's head as deciding sees it, once nothing in it can be read in two ways."""

from __future__ import annotations

import re

from aiohttp import web
from aiohttp.http import HttpVersion, HttpVersion10, HttpVersion11

from gateway.policy.model import Headers, RequestHead
from gateway.policy.reasons import Denied, Reason
from gateway.proxy.refusal import REFUSED_METHODS
from gateway.server.room import peer_of
from gateway.server.runtime import Runtime

# RFC 9110 section 7.2: a name or address with an optional port. The escapes and sub-delimiters that RFC 3986
# section 3.2.2 lets a name hold are left out: no DNS name has them, and two servers read them in two ways.
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(?::[0-9]{0,5})?")
# llhttp counts in 64 bits, and takes the largest number for "no length": the body would be read as requests.
_LENGTH = re.compile(r"[0-9]{1,18}")
_NO_TEXT = re.compile("[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
_LINE_OVERHEAD_BYTES = 4  # ": " and the line's end


def read_head(request: web.BaseRequest, runtime: Runtime) -> tuple[RequestHead, str]:
    """Return the head as it came, and the `X-Forwarded-For` to send with it."""
    headers = Headers(request.headers.items())
    is_tls = request.transport is not None and request.transport.get_extra_info("ssl_object") is not None
    peer = peer_of(request.transport)
    client_ip, scheme, forwarded_for = runtime.client_of(peer, "https" if is_tls else "http", headers)
    return RequestHead(request.method, request.raw_path, headers, client_ip, scheme), forwarded_for


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
    if len(hosts) > 1 or (not hosts and not is_http_1_0) or (hosts and not _HOST.fullmatch(hosts[0])):
        raise Denied(Reason.REQUEST_MALFORMED, "there is no single valid Host")
    if not all(_is_text(value) for _, value in headers.lines):
        raise Denied(Reason.REQUEST_MALFORMED, "a header holds a control character, or bytes that are no UTF-8")


def check_length(head: RequestHead, max_bytes: int | None) -> None:
    """Refuse a body by what its head declares, before a byte of it is read. Raises `Denied` (BODY_TOO_LARGE)."""
    length = head.headers.first("content-length")
    if max_bytes is not None and length is not None and int(length) > max_bytes:
        raise Denied(Reason.BODY_TOO_LARGE, f"Content-Length {length[:20]}, at most {max_bytes} pass")


def is_websocket_handshake(head: RequestHead, *, is_http_1_0: bool) -> bool:
    """True for a handshake (RFC 6455 section 4.2.1); what only looks like one is served without its Upgrade."""
    options = (option.strip().lower() for value in head.headers.all("connection") for option in value.split(","))
    return head.wants_websocket and head.method == "GET" and not is_http_1_0 and "upgrade" in options


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
    # aiohttp's writer drops stray bytes without a word: better refused than changed on the way.
    return _NO_TEXT.search(value) is None
