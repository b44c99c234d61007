"""One request on the express lane: decided as everywhere, then written and read by ourselves."""

from __future__ import annotations

import asyncio
import logging
from math import inf

from gateway.express.answers import AnswerRead
from gateway.express.body import LAST_CHUNK
from gateway.express.requests import RequestRead
from gateway.express.upstream import UpstreamConnection
from gateway.policy.decision import Deny, NeedKey, decide
from gateway.policy.model import Headers
from gateway.policy.reasons import Denied, Reason
from gateway.proxy.unreachable import no_answer_within
from gateway.server.answering import FEW, Answering
from gateway.server.heads import request_head
from gateway.server.outcome import Ended, Outcome
from gateway.server.shared import MAX_AHEAD_BYTES, LaneClient, Shared

_log = logging.getLogger("gateway.server")
_NONE = Headers(())
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})  # RFC 9110 section 9.2.2


class LaneExchange(Answering):
    """One request on the lane, and its answer."""

    __slots__ = (
        "_destination", "_is_answered", "_is_ended", "_is_retried", "_opening", "_pool", "_sent", "_upload_over_at",
        "_upstream",
    )  # fmt: skip

    def __init__(self, lane: Shared, connection: LaneClient, request: RequestRead) -> None:
        self._lane, self._connection, self._request = lane, connection, request
        self._runtime = lane.host.runtime
        self._unwritten, self.upload_left, self._keeps_alive = b"", 0, request.keeps_alive
        self._is_answering = self._is_chunked = False
        self._upstream: UpstreamConnection | None = None
        self._opening: asyncio.Task[None] | None = None
        self._is_answered = self._is_ended = self._is_retried = False
        self._sent: list[bytes] = []

    def begin(self, arrived: bytes, at: int) -> bool:
        """Decide and act; the body begins at `at`. False if it is for the other road: nothing was done."""
        lane, request, runtime = self._lane, self._request, self._runtime
        host, config, length_bytes = lane.host, runtime.config, request.length_bytes
        if host.is_draining or (config.cors is not None and request.method == "OPTIONS"):  # may be a preflight
            return False
        if length_bytes and config.limits.body_bytes is not None and length_bytes > config.limits.body_bytes:
            return False
        forwarded_for = request.client_ip
        if config.trusted_proxies:
            told = runtime.client_of(request.client_ip, request.scheme, request.headers)
            request.client_ip, request.scheme, forwarded_for = told
        now = lane.clock()
        path = request.target.partition("?")[0]
        outcome = self._outcome = Outcome(lane.ids.next(), request.method, path, request.client_ip)
        outcome.host, outcome.user_agent, outcome.trace_id = request.host, request.user_agent, request.trace_id
        decision = decide(config.policy, host.keys, request, now)
        body = arrived[at : at + length_bytes] if length_bytes else b""
        end = at + len(body)
        if isinstance(decision, NeedKey):
            return False
        if isinstance(decision, Deny):
            if len(body) < length_bytes or decision.reason.status == 400:
                return False  # somebody may be sending on: the other road lingers
            outcome.note_decision()
            self._start(end)
            self._refuse(decision)
            return True
        pool = runtime.pool(decision.route.upstream.name)
        try:
            head_up = request_head(runtime, decision, request, forwarded_for, outcome.request_id, now)
        except Denied:
            return False
        if pool is None:  # behind TLS
            return False
        outcome.note_decision()
        outcome.note_allow(decision)
        self._connection.place.serve(is_member=decision.principal is not None)
        self._destination, self._pool = decision.route.upstream, pool
        self._start(end)
        if length_bytes:
            outcome.bytes_in = len(body)
            self.upload_left = length_bytes - len(body)
            self._upload_over_at = lane.loop.time() + (config.limits.body_timeout_seconds or inf)
            head_up += body
        self._send(head_up)
        request.kept, request.bearer = b"", None
        if config.cors is None:  # else an answer depends on them
            request.headers = _NONE
        return True

    def uploaded(self, data: bytes) -> bytes:
        """Take what is of the body; returns what is behind it."""
        body, rest = data[: self.upload_left], data[self.upload_left :]
        self.upload_left -= len(body)
        self._outcome.bytes_in += len(body)
        if self._upstream is not None:
            self._upstream.is_sending = self.upload_left > 0
            self._upstream.write(body)
        else:
            self._sent.append(body)
            if self._outcome.bytes_in > MAX_AHEAD_BYTES:  # all of it waits: nothing has left yet
                self._connection.hold_upload(is_held=True)
        self._wait()
        return rest

    def client_left(self) -> None:
        """The client is gone: nobody waits for the upstream any more."""
        self._outcome.ended = "client_gone"
        self._end(keeps_alive=False)

    def client_is_behind(self, *, is_behind: bool) -> None:
        """The client takes less than arrives, or takes again."""
        if self._is_answered and not is_behind:
            self._end_as_answered()
        elif self._upstream is not None:
            self._upstream.hold_answer(is_held=is_behind)
            self._wait()

    def expire(self) -> None:
        """Somebody took too long."""
        upstream = self._destination
        if self._connection.is_client_behind:
            self.client_left()
            self._connection.abort()
        elif self.upload_left and self._lane.loop.time() >= self._upload_over_at:
            seconds = self._runtime.config.limits.body_timeout_seconds
            self._fail(Denied(Reason.REQUEST_TIMEOUT, f"the body took more than {seconds:g} s"))
        elif self._waits_for_upload():
            seconds = self._runtime.config.limits.body_idle_timeout_seconds
            self._fail(Denied(Reason.REQUEST_TIMEOUT, f"no byte of the body for {seconds:g} s"))
        elif self._is_answering:
            self._fail(Denied(Reason.UPSTREAM_BROKEN, f"silent for {upstream.idle_timeout_seconds:g} s"))
        else:
            self._fail(Denied(Reason.UPSTREAM_TIMEOUT, no_answer_within(upstream)))

    def shut_down(self) -> None:
        """The gateway stops, and cannot wait any longer."""
        self._fail(Denied(Reason.SHUTTING_DOWN, "the gateway is stopping"), "shut_down")

    def fail_by_mistake(self, surprise: Exception) -> None:
        """There is a mistake in our own code: it is logged, and tells the client nothing."""
        _log.error("request %s failed", self._outcome.request_id, exc_info=surprise)
        self._fail(Denied(Reason.INTERNAL_ERROR, type(surprise).__name__), "failed")

    def answer_began(self, answer: AnswerRead) -> None:
        """The head of the answer: passed on with our framing."""
        if answer.length_bytes is None and answer.has_body(self._request.method):
            self._is_chunked = True
            self._lane.host.stream_began(self._outcome)
        self._unwritten = self._head_of(answer)
        # A stream may last for hours: nothing of its request is needed any more, and it may hold secrets.
        request = self._request
        self._sent, request.headers, request.target, request.kept, request.bearer = [], _NONE, "", b"", None

    def answer_came(self, answer: AnswerRead, body: bytes) -> None:
        """The whole answer at once: what the other three say of its parts."""
        self._upstream = None
        try:
            head = self._head_of(answer)
        except Exception as surprise:  # the connection to the upstream is no longer ours: nobody else would end this
            self.fail_by_mistake(surprise)
            return
        self._outcome.bytes_out = len(body)
        self._connection.write(head + body, is_urgent=self._lane.host.open_requests < FEW)
        self._is_answered = True
        if not self._connection.is_client_behind:
            self._end_as_answered()

    def answer_goes_on(self) -> None:
        """That was all for now: what was held back to be written in one piece leaves, and the clock begins anew."""
        self._flush()
        self._wait()

    def answer_ended(self) -> None:
        """The answer is whole."""
        self._upstream = None
        if self._is_chunked:
            self._unwritten += LAST_CHUNK
        self._flush()
        self._is_answered = True
        if not self._connection.is_client_behind:  # else it is over when the client has it
            self._end_as_answered()

    def answer_broke(self, problem: Denied, *, may_retry: bool, unsent: bytes = b"") -> None:
        """No answer, or half of one."""
        self._upstream = None
        if unsent and not self._is_retried:
            self._sent = [unsent]
        if self._sent and (may_retry or unsent):  # kept only where it may be sent twice
            self._is_retried = True
            self._opening = self._lane.run(self._open())
            return
        self._fail(problem)

    def upload_may_go_on(self, *, may: bool) -> None:
        """The upstream is behind, or takes again."""
        if self.upload_left:
            self._connection.hold_upload(is_held=not may)
            self._wait()

    def _start(self, end: int) -> None:
        self._connection.began(self, end)
        self._runtime.enter()
        self._lane.host.began(self._outcome)

    def _send(self, data: bytes) -> None:
        self._sent = [data]
        upstream = self._pool.take()
        if upstream is not None:
            self._use(upstream)
        else:
            self._opening = self._lane.run(self._open())
            self._wait()

    async def _open(self) -> None:
        try:
            upstream = await self._pool.open()
        except Denied as no:
            if not self._is_ended:
                self._fail(no)
            return
        if self._is_ended:
            upstream.abort()
        else:
            self._use(upstream)

    def _use(self, upstream: UpstreamConnection) -> None:
        self._upstream = upstream
        upstream.is_sending = self.upload_left > 0
        request, connection = self._request, self._connection
        if connection.is_upload_held:  # first: what is sent now may be more than the upstream takes
            connection.hold_upload(is_held=False)
        if upstream.is_held is not connection.is_client_behind:
            upstream.hold_answer(is_held=connection.is_client_behind)
        upstream.begin(self, request.method, self._sent[0] if len(self._sent) == 1 else b"".join(self._sent))
        if request.length_bytes or self._is_retried or request.method not in _IDEMPOTENT:
            self._sent = []  # is not sent twice
        self._wait()

    def _waits_for_upload(self) -> bool:
        # While the upstream does not take what came, it is not the client that is slow.
        return self.upload_left > 0 and not self._is_answering and not self._connection.is_upload_held

    def _wait(self) -> None:
        """Say when it has been too long."""
        if self._connection.is_client_behind:
            return  # that clock runs since then, whatever else happens
        upstream = self._destination
        if self.upload_left and self._waits_for_upload():
            seconds = self._runtime.config.limits.body_idle_timeout_seconds
        elif self._is_answering:
            seconds = upstream.idle_timeout_seconds
        else:
            seconds = upstream.response_timeout_seconds
        deadline = self._lane.loop.time() + seconds
        self._connection.deadline = min(deadline, self._upload_over_at) if self.upload_left else deadline

    def _end_as_answered(self) -> None:
        self._end(keeps_alive=self._keeps_alive and not self.upload_left, lingers=self.upload_left > 0)

    def _refuse(self, deny: Deny, ended: Ended = "refused") -> None:
        self._write_refusal(deny, ended)
        self._end(keeps_alive=self._keeps_alive, lingers=self.upload_left > 0)

    def _fail(self, problem: Denied, ended: Ended | None = None) -> None:
        """The upstream gave no answer, or half of one; a client that has begun to read must see that it is broken."""
        if self._is_ended:
            return
        if not self._is_answering:
            self._refuse(Deny(problem.reason, problem.detail), ended or "refused")
            return
        self._outcome.ended, self._outcome.detail = ended or "upstream_cut", problem.detail
        self._outcome.code = None if ended is None else problem.reason.code
        self._flush()
        self._end(keeps_alive=False)

    def _end(self, *, keeps_alive: bool, lingers: bool = False) -> None:
        if self._is_ended:
            return
        self._is_ended = True
        if self._upstream is not None:
            self._upstream.abort()
            self._upstream = None
        if self._opening is not None and not self._opening.done():
            self._opening.cancel()
        self._lane.host.ended(self._outcome)
        self._runtime.leave_soon(self._lane.run)
        self._connection.place.rest()
        self._connection.exchange_ended(keeps_alive=keeps_alive, lingers=lingers)
