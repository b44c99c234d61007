"""One request, from head to outcome: decide, then act."""

from __future__ import annotations

import contextlib
import logging
import secrets
import time
from collections.abc import Callable

from aiohttp import web
from aiohttp.http import HttpVersion10

from gateway.config.model import Cors
from gateway.policy.decision import Allow, Deny, NeedKey, decide
from gateway.policy.onward import Line
from gateway.policy.reasons import Denied, Reason
from gateway.proxy.answer import AnswerWriter
from gateway.proxy.cors import is_preflight, preflight_lines
from gateway.proxy.forward import UpstreamCut, decoded_lines, forward, relay_body
from gateway.proxy.headers import request_lines, response_lines
from gateway.proxy.identity import identity_lines
from gateway.proxy.origin import Origin, UploadedBody
from gateway.proxy.refusal import ORDINARY_METHODS, REFUSED_METHODS, refusal_body, refusal_lines
from gateway.proxy.tunnel import UPGRADE, Tunnel, dial, switching_lines
from gateway.server.connection import Answered, Connection
from gateway.server.head import check_head, check_length, is_websocket_handshake, read_head
from gateway.server.host import Host
from gateway.server.outcome import Outcome

_log = logging.getLogger("gateway.server")


class Handler:
    """Takes requests from the connections."""

    def __init__(self, host: Host, clock: Callable[[], float] = time.time) -> None:
        self._host = host
        self._clock = clock

    async def handle(self, request: web.BaseRequest) -> Answered:
        """Answer one request of a well-formed head."""
        return await _Exchange(self._host, self._clock, request).run()

    async def refuse_broken(self, connection: Connection, request: web.BaseRequest, problem: Denied) -> Answered:
        """Answer what is no HTTP request, and end the connection: nothing after it can be trusted (CWE-444)."""
        return await _Exchange(self._host, self._clock, request).refuse_unread(problem)


class _Exchange:
    """One request and its answer."""

    def __init__(self, host: Host, clock: Callable[[], float], request: web.BaseRequest) -> None:
        self._host, self._clock = host, clock
        self._request = request
        self._connection: Connection = request.protocol  # type: ignore[assignment]  # the server makes no other
        self._runtime = host.runtime
        self._request_id = secrets.token_hex(16)
        self._is_http_1_0 = request.version <= HttpVersion10
        self._lingers = False  # the client may still be sending what nobody will read
        self._head, self._forwarded_for = read_head(request, self._runtime)
        self._answer = AnswerWriter(
            self._connection,
            request.method,
            is_http_1_0=self._is_http_1_0,
            keeps_alive=bool(request.keep_alive) and not host.is_draining,
        )
        path = self._head.target.partition("?")[0]
        self._outcome = Outcome(self._request_id, request.method, path, self._head.client_ip)
        self._trace = host.tracing.begin(self._head) if host.tracing is not None else None
        self._outcome.note_sender(self._head.headers)
        if self._trace is not None:
            self._outcome.trace_id = self._trace.trace_id

    async def run(self) -> Answered:
        """The straight line; every way out of it is recorded."""
        self._runtime.enter()
        self._host.began(self._outcome)
        try:
            try:
                await self._decide_and_act()
            except Denied as no:
                await self._refuse(Deny(no.reason, no.detail))
        except UpstreamCut as cut:
            self._outcome.ended, self._outcome.detail = "upstream_cut", str(cut)
        except ConnectionError:
            self._outcome.ended = "client_gone"
            self._answer.keeps_alive = False
        except BaseException as problem:
            await self._fail(problem)
            if not isinstance(problem, Exception):
                raise
        finally:
            self._outcome.status = self._answer.status
            self._outcome.bytes_out = self._outcome.bytes_out or self._answer.count_bytes
            self._end()
            self._connection.place.rest()
            await self._runtime.leave()
        if self._lingers:
            await self._connection.linger()
        await self._connection.give_way()
        return Answered(self._answer.keeps_alive and not self._host.is_draining)

    async def refuse_unread(self, problem: Denied) -> Answered:
        """Refuse what could not even be read as a request."""
        self._outcome.method, self._outcome.path = "-", "-"
        self._answer.keeps_alive = False
        self._host.began(self._outcome)
        try:
            await self._refuse(Deny(problem.reason, problem.detail))
        except ConnectionError:
            self._outcome.ended = "client_gone"
        finally:
            self._outcome.status = self._answer.status
            self._end()
        await self._connection.linger()
        return Answered(False)

    def _end(self) -> None:
        if self._trace is not None:
            self._trace.end(self._outcome)
        self._host.ended(self._outcome)

    async def _decide_and_act(self) -> None:
        if self._host.is_draining:
            raise Denied(Reason.SHUTTING_DOWN, "the gateway is stopping")
        check_head(self._head, self._runtime.config.limits.header_bytes, self._request.version)
        rules = self._runtime.config.cors
        if rules is not None and is_preflight(self._head):
            self._answer_preflight(rules)
            return
        decision = await self._decide()
        self._outcome.note_decision()
        if self._trace is not None:
            self._trace.decided(self._outcome)
        if isinstance(decision, Deny):
            await self._refuse(decision)
            return
        self._outcome.note_allow(decision)
        self._connection.place.serve(is_member=decision.principal is not None)
        check_length(self._head, self._runtime.config.limits.body_bytes)
        is_websocket = is_websocket_handshake(self._head, is_http_1_0=self._is_http_1_0)
        await (self._tunnel(decision) if is_websocket else self._forward(decision))

    async def _decide(self) -> Allow | Deny:
        policy, keys = self._runtime.config.policy, self._host.keys
        decision = decide(policy, keys, self._head, self._clock())
        if isinstance(decision, NeedKey):
            began_at = time.perf_counter()
            await keys.fetch(decision.source, decision.kid)
            if self._trace is not None:
                self._trace.key_fetched(began_at, time.perf_counter())
            decision = decide(policy, keys, self._head, self._clock(), may_fetch=False)
        if isinstance(decision, NeedKey):
            return Deny(Reason.KEYS_UNAVAILABLE, "a key was asked for twice", decision.route)
        return decision

    async def _forward(self, allow: Allow) -> None:
        body = self._uploaded_body()
        lines = self._request_lines(allow)
        if body is not None:
            # Without a length aiohttp sends chunks of its own: the client's framing is never passed on.
            lines += [("Content-Length", length) for length in self._head.headers.all("content-length")]
        try:
            await forward(
                self._origin(allow),
                self._head.method,
                allow.target,
                lines,
                body,
                self._answer,
                self._finish,
                on_head=self._note_head,
            )
        finally:
            if body is not None:
                self._outcome.bytes_in = body.count_bytes
        self._lingers = body is not None and not body.is_complete

    def _note_head(self, status: int, *, has_length: bool) -> None:
        """The upstream's answer has begun; one that does not say how long it is counts as a stream."""
        self._outcome.note_first_byte()
        if not has_length and status not in (204, 304) and self._head.method != "HEAD":
            self._host.stream_began(self._outcome)

    async def _tunnel(self, allow: Allow) -> None:
        if self._request.body_exists:
            raise Denied(Reason.REQUEST_MALFORMED, "a WebSocket handshake came with a body")
        response = await dial(self._origin(allow), allow.target, self._request_lines(allow))
        self._answer.keeps_alive = False
        self._outcome.note_first_byte()
        try:
            if self._host.is_draining:
                raise Denied(Reason.SHUTTING_DOWN, "the gateway began to stop during the handshake")
            if response.status != 101:
                self._answer.write_head(response.status, self._finish(decoded_lines(response)), response.reason)
                await relay_body(response, self._answer)
                return
            self._outcome.is_websocket = True
            self._host.stream_began(self._outcome)
            self._answer.write_head(101, [*UPGRADE, *self._finish(switching_lines(response))])
            tunnel = Tunnel(self._connection, response, allow.route.upstream.idle_timeout_seconds)
            self._host.tunnels.add(tunnel)
            try:
                await tunnel.run()
            finally:
                self._host.tunnels.discard(tunnel)
                self._outcome.detail = tunnel.detail
                self._outcome.bytes_in, self._outcome.bytes_out = tunnel.up.count_bytes, tunnel.down.count_bytes
        finally:
            response.close()

    def _request_lines(self, allow: Allow) -> list[Line]:
        added = [
            ("X-Forwarded-For", self._forwarded_for),
            ("X-Forwarded-Proto", self._head.scheme),
            ("X-Request-Id", self._request_id),
            *(self._trace.upstream_lines() if self._trace is not None else ()),
            *identity_lines(allow.route.upstream.identity, allow.principal),
        ]
        signer = self._origin(allow).signer
        if signer is not None and allow.principal is not None:
            added.append(("Authorization", f"Bearer {signer.token_for(allow.principal, self._clock())}"))
        return request_lines(self._head, allow, self._runtime.header_rules, added)

    def _origin(self, allow: Allow) -> Origin:
        return self._runtime.origin(allow.route.upstream.name)

    def _uploaded_body(self) -> UploadedBody | None:
        if not self._request.body_exists:
            return None
        limits = self._runtime.config.limits
        expects = self._head.headers.first("expect")
        # RFC 9110 section 10.1.1: an HTTP/1.0 client does not know what 100 means.
        waits = expects is not None and expects.strip().lower() == "100-continue" and not self._is_http_1_0
        return UploadedBody(
            self._request.content,
            idle_timeout_seconds=limits.body_idle_timeout_seconds,
            timeout_seconds=limits.body_timeout_seconds,
            max_bytes=limits.body_bytes,
            before_first_read=self._send_continue if waits else None,
        )

    def _send_continue(self) -> None:
        # Only now, after the decision: aiohttp would have asked a stranger for his upload.
        if self._connection.transport is not None and not self._answer.status:
            self._connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _answer_preflight(self, rules: Cors) -> None:
        self._outcome.note_decision()
        self._outcome.decision, self._outcome.route = "allow", "(preflight)"
        self._lingers = self._has_unread_body()
        self._answer.keeps_alive = self._answer.keeps_alive and not self._lingers
        lines = preflight_lines(rules, self._head)
        self._answer.write_head(204, [*lines, ("X-Request-Id", self._request_id)])

    async def _refuse(self, deny: Deny) -> None:
        """Answer from the table of reasons; after the answer has begun there is only one way to say no."""
        self._outcome.note_deny(deny)
        if self._answer.status:
            self._answer.cut()
            return
        # What was too long or could be read in two ways leaves doubt about where the next request begins.
        is_suspect = deny.reason.status in (400, 414, 431) or self._head.method in REFUSED_METHODS
        self._lingers = self._has_unread_body() or is_suspect
        if self._lingers:
            self._answer.keeps_alive = False
        body = refusal_body(deny.reason, self._request_id)
        allowed = ORDINARY_METHODS if self._head.method in REFUSED_METHODS else deny.allowed_methods
        lines = refusal_lines(
            deny.reason, had_token=deny.had_token, missing_scopes=deny.missing_scopes, allowed_methods=allowed
        )
        self._answer.write_head(deny.reason.status, self._finish([*lines, ("Content-Length", str(len(body)))]))
        if self._head.method != "HEAD":
            await self._answer.write(body)

    async def _fail(self, problem: BaseException) -> None:
        """The client left (cancelled), the gateway stops (cancelled), or there is a mistake in our own code."""
        self._answer.keeps_alive = False
        if isinstance(problem, Exception):
            _log.error("request %s failed", self._request_id, exc_info=problem)
        elif self._connection.transport is None:
            self._outcome.ended = "client_gone"
            return
        reason = Reason.INTERNAL_ERROR if isinstance(problem, Exception) else Reason.SHUTTING_DOWN
        # Cut if it has begun: a stream that the end of the drain ends must not look whole.
        with contextlib.suppress(ConnectionError):
            await self._refuse(Deny(reason, type(problem).__name__))
        self._outcome.ended = "failed" if reason is Reason.INTERNAL_ERROR else "shut_down"

    def _finish(self, lines: list[Line]) -> list[Line]:
        """Return an answer's header lines as the client gets them: without what is the upstream's own, CORS ours."""
        # The parser stops at any Upgrade; what a client sent behind one that was not taken up is not read again.
        if self._host.is_draining or "upgrade" in self._head.headers:
            self._answer.keeps_alive = False
        passed = response_lines(lines, owns_cors=self._runtime.config.cors is not None)
        return self._runtime.with_cors([*passed, ("X-Request-Id", self._request_id)], self._head)

    def _has_unread_body(self) -> bool:
        return self._request.body_exists and not self._request.content.is_eof()
