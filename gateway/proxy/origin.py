"""One upstream and the connections to it."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from math import inf
from types import SimpleNamespace
from typing import Any

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from gateway.policy.onward import Line
from gateway.policy.reasons import Denied, Reason
from gateway.policy.upstreams import Upstream
from gateway.proxy.identity import TokenSigner
from gateway.proxy.unreachable import no_answer_within, no_connection_within, why_unreachable

# Node closes idle connections after 5 s; one that it is closing just now must not be taken for the next request.
_KEEPALIVE_SECONDS = 4.0
# A name that is scaled or moved is asked for again soon; while a connection lives, it is not asked for at all.
_DNS_SECONDS = 5
_CERTIFICATE_SECONDS = 60.0  # between two looks at a certificate
_READ_BYTES = 64 * 1024
_MAX_FIELD_BYTES = 64 * 1024
_MAX_RESPONSE_HEADERS = 256
# RFC 9110 section 9.2.2. A request that may have run once must not run twice: agents cost money.
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
_SKIPPED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")  # aiohttp would add its own

Body = AsyncIterator[bytes]


class Origin:
    """An upstream's connections. Made on the running loop, closed when nobody uses them any more."""

    def __init__(self, upstream: Upstream, tls: ssl.SSLContext | bool) -> None:
        self.upstream = upstream
        self.signer = TokenSigner(upstream.identity) if upstream.identity.authorization == "sign" else None
        base = URL(upstream.url)
        self._scheme, self._authority = base.scheme, base.raw_authority
        tracing = aiohttp.TraceConfig()
        tracing.on_connection_reuseconn.append(_note_reuse)
        self._connector = _Connector(
            limit=0,
            keepalive_timeout=_KEEPALIVE_SECONDS,
            ttl_dns_cache=_DNS_SECONDS,
            ssl=tls,
        )
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            # Nothing is inflated (CVE-2025-69223), remembered or taken from the environment on the way.
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=upstream.connect_timeout_seconds),
            skip_auto_headers=_SKIPPED,
            read_bufsize=_READ_BYTES,
            max_line_size=_MAX_FIELD_BYTES,
            max_field_size=_MAX_FIELD_BYTES,
            trace_configs=[tracing],
        )
        # aiohttp repeats an idempotent request after any disconnect; ours only on a kept connection: see `open`.
        self._session._retry_connection = False
        # It would also let `x-a: 2` replace `X-A: 1`; a sender's lines are his own.
        self._session._prepare_headers = _as_they_are  # type: ignore[method-assign]

    @property
    def certificate_expires_at(self) -> float | None:
        """When the upstream's certificate ends, in Unix seconds, as last seen; None: not seen yet, or no TLS."""
        return self._connector.certificate_expires_at

    async def open(
        self, method: str, target: str, lines: list[Line], body: UploadedBody | None
    ) -> aiohttp.ClientResponse:
        """Send a request and return the answer once its head is there. The body is not read yet.

        `target` goes out byte for byte. Raises `Denied`: UPSTREAM_UNREACHABLE, UPSTREAM_BROKEN, UPSTREAM_TIMEOUT,
        or whatever broke the upload (REQUEST_TIMEOUT, REQUEST_MALFORMED, BODY_TOO_LARGE).
        """
        trace = SimpleNamespace(reused=False)
        try:
            return await self._send(method, target, lines, body, trace)
        except _Disconnected:
            if not trace.reused or body is not None or method not in _IDEMPOTENT:
                raise
        # A kept connection turned out closed before a byte came back: one more try.
        return await self._send(method, target, lines, body, trace)

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def _send(
        self, method: str, target: str, lines: list[Line], body: UploadedBody | None, trace: SimpleNamespace
    ) -> aiohttp.ClientResponse:
        # All of the target as the path: yarl would drop a bare `?` of a query.
        url = URL.build(scheme=self._scheme, authority=self._authority, path=target, encoded=True)
        if url.raw_path_qs != target:
            raise Denied(Reason.TARGET_AMBIGUOUS, "the target would be sent in another form than it was judged in")
        try:
            async with asyncio.timeout(self.upstream.response_timeout_seconds) as deadline:
                if body is not None:
                    body.on_progress = _extension(deadline, self.upstream.response_timeout_seconds)
                response = await self._session.request(
                    method,
                    url,
                    headers=CIMultiDict(lines),
                    data=None if body is None else body.chunks(),
                    allow_redirects=False,
                    max_headers=_MAX_RESPONSE_HEADERS,
                    trace_request_ctx=trace,
                )
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as problem:
            if body is not None and body.failure is not None:
                raise body.failure from None
            raise _refusal(problem, self.upstream) from None
        finally:
            if body is not None:
                body.on_progress = _ignore  # the upload may go on while the answer already comes
        _watch_silence(response, self.upstream.idle_timeout_seconds)
        return response


def _as_they_are(headers: Any) -> CIMultiDict[str]:
    return CIMultiDict(headers or ())


class _Connector(aiohttp.TCPConnector):
    """Takes no kept connection on which bytes came unasked: they would be read as the next request's answer.

    aiohttp looks for such bytes when a connection is put back, not when it is taken again (CWE-444, response queue
    poisoning).
    """

    certificate_expires_at: float | None = None
    _look_again_at = 0.0

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  # aiohttp's signature
    ) -> aiohttp.connector.Connection:
        """Return a connection that nothing has been said on."""
        while True:
            connection = await super().connect(req, traces, timeout)
            if connection.protocol is None or not connection.protocol.should_close:
                self._look_at_certificate(connection)
                return connection
            connection.close()

    def _look_at_certificate(self, connection: aiohttp.connector.Connection) -> None:
        now = time.monotonic()
        if now < self._look_again_at or connection.transport is None:
            return
        self._look_again_at = now + _CERTIFICATE_SECONDS
        tls = connection.transport.get_extra_info("ssl_object")
        certificate = tls.getpeercert() if tls is not None else None
        if certificate:
            self.certificate_expires_at = ssl.cert_time_to_seconds(certificate["notAfter"])


class UploadedBody:
    """A client's body on its way up: counted, bounded, and given up when the client stops sending."""

    def __init__(
        self,
        content: aiohttp.StreamReader,
        *,
        idle_timeout_seconds: float,
        timeout_seconds: float | None = None,
        max_bytes: int | None,
        before_first_read: Callable[[], None] | None = None,
    ) -> None:
        self._content = content
        self._idle_timeout_seconds, self._timeout_seconds = idle_timeout_seconds, timeout_seconds
        self._time = asyncio.get_running_loop().time
        self._over_at = inf if timeout_seconds is None else self._time() + timeout_seconds
        self._max_bytes = max_bytes
        self._before_first_read = before_first_read
        self.on_progress: Callable[[float], None] = _ignore  # told the seconds that the client may still take
        self.count_bytes = 0
        self.failure: Denied | None = None
        self.is_complete = False

    async def chunks(self) -> Body:
        """Yield the body as it arrives. Raises the `Denied` that is also left in `failure`."""
        if self._before_first_read is not None:
            self._before_first_read()
        while chunk := await self._read():
            self.on_progress(0.0)
            self.count_bytes += len(chunk)
            if self._max_bytes is not None and self.count_bytes > self._max_bytes:
                raise self._failed(Reason.BODY_TOO_LARGE, f"more than {self._max_bytes} bytes came")
            yield chunk
        self.is_complete = True

    async def _read(self) -> bytes:
        # While the client is slow, the upstream is not to blame for having no answer.
        self.on_progress(self._idle_timeout_seconds)
        left_seconds = self._over_at - self._time()
        if left_seconds <= 0:  # also where bytes are always there
            raise self._too_slow()
        try:
            async with asyncio.timeout(min(self._idle_timeout_seconds, left_seconds)):
                return await self._content.readany()
        except TimeoutError:
            if left_seconds <= self._idle_timeout_seconds:
                raise self._too_slow() from None
            silence = f"no byte of the body for {self._idle_timeout_seconds:g} s"
            raise self._failed(Reason.REQUEST_TIMEOUT, silence) from None
        except (
            aiohttp.ClientError,
            aiohttp.http.HttpProcessingError,
            aiohttp.web.RequestPayloadError,
            OSError,
        ) as problem:
            raise self._failed(Reason.REQUEST_MALFORMED, f"the body broke off: {type(problem).__name__}") from None

    def _too_slow(self) -> Denied:
        return self._failed(Reason.REQUEST_TIMEOUT, f"the body took more than {self._timeout_seconds:g} s")

    def _failed(self, reason: Reason, detail: str) -> Denied:
        self.failure = Denied(reason, detail)
        return self.failure


class _Disconnected(Denied):
    """The connection ended before a byte of the answer."""


def _refusal(problem: Exception, upstream: Upstream) -> Denied:
    # For the log, never for the client.
    detail = f"{type(problem).__name__}: {problem}"[:200]
    match problem:
        case aiohttp.ConnectionTimeoutError():
            return Denied(Reason.UPSTREAM_TIMEOUT, no_connection_within(upstream))
        case aiohttp.ClientConnectorCertificateError(certificate_error=OSError() as why):
            return Denied(Reason.UPSTREAM_UNREACHABLE, why_unreachable(why))
        case aiohttp.ClientConnectorError(os_error=why):
            return Denied(Reason.UPSTREAM_UNREACHABLE, why_unreachable(why))
        case TimeoutError():
            return Denied(Reason.UPSTREAM_TIMEOUT, no_answer_within(upstream))
        # A message is all that came of a head; without one not a byte came.
        case aiohttp.ServerDisconnectedError(message=str()) | OSError():
            return _Disconnected(Reason.UPSTREAM_BROKEN, f"{detail}: look at its log of that time")
        case _:
            return Denied(Reason.UPSTREAM_BROKEN, detail)


def _extension(deadline: asyncio.Timeout, seconds: float) -> Callable[[float], None]:
    """Return what puts a deadline off, to `seconds` after what the client may take."""
    loop = asyncio.get_running_loop()

    def put_off(client_seconds: float) -> None:
        if not deadline.expired():
            deadline.reschedule(loop.time() + client_seconds + seconds)

    return put_off


def _watch_silence(response: aiohttp.ClientResponse, seconds: float) -> None:
    """From the head on, only silence between two chunks is too slow; agents stream for as long as they like."""
    connection = response.connection
    if connection is None or connection.protocol is None or response.content.is_eof():
        return
    connection.protocol.read_timeout = seconds
    connection.protocol.start_timeout()


async def _note_reuse(session: object, context: SimpleNamespace, params: object) -> None:
    context.trace_request_ctx.reused = True


def _ignore(seconds: float) -> None:
    return None


def ssl_context(upstream: Upstream) -> ssl.SSLContext | bool:
    """Return how an upstream's certificate is verified: always, by `ca_file` or the system's authorities."""
    return ssl.create_default_context(cafile=upstream.ca_file) if upstream.ca_file is not None else True
