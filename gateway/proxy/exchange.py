"""One request and its response: a machine without I/O, told of events, which tells a client and an upstream what to do.

Deciding, keys, preflights, refusals, identity, CORS, the second try, clocks and the outcome stand here, for both wires.
`states` says where it may go; a WebSocket goes on as a `Tunnel`.
"""

from __future__ import annotations

import logging
from math import inf
from typing import Final

from mypy_extensions import mypyc_attr

from gateway.http1.request import CHUNKED_LENGTH, IDEMPOTENT_METHODS, RequestRead
from gateway.http1.response import ResponseRead
from gateway.policy.decision import Allow, Deny, NeedKey, NeedSession, decide
from gateway.policy.denied import Denied
from gateway.policy.model import Headers
from gateway.policy.reasons import Reason
from gateway.policy.revocation import Revoked
from gateway.policy.session import ABOUT_SESSIONS, Session
from gateway.proxy.cors import is_preflight
from gateway.proxy.delivery import FEW, Delivery
from gateway.proxy.heads import request_head, response_head, switching_head
from gateway.proxy.host import Host
from gateway.proxy.life import Ending, no_more, revoked_of
from gateway.proxy.living import Living, life_of
from gateway.proxy.owned import Owned
from gateway.proxy.states import (
    DELIVERING,
    ENDED,
    HOLDING,
    MOVES,
    READING,
    RESPONDING,
    SENDING,
    TUNNELING,
    WAITING,
    IllegalMoveError,
    State,
)
from gateway.proxy.tunnel import Tunnel, answers_handshake
from gateway.proxy.unreachable import no_answer_within
from gateway.proxy.upload import CONTINUE, MAX_AHEAD_BYTES, Upload, framed_anew
from gateway.proxy.wire import Client, Relay, Upstream
from gateway.record.outcome import Ended, Outcome

_log = logging.getLogger("gateway.server")
_UNANSWERED: Final = frozenset({READING, WAITING, HOLDING, SENDING})  # else who has read half must see if it breaks


@mypyc_attr(allow_interpreted_subclasses=True)
class Exchange(Owned):
    """One request and its response."""

    __slots__ = ("_living", "_tries", "_upstream")

    def __init__(self, host: Host, client: Client, request: RequestRead) -> None:
        self._host, self._client, self._request = host, client, request
        self._runtime = host.runtime
        self.state = READING
        self._delivery = Delivery(host, client, request.keeps_alive)
        self._upload = None
        self._sent: list[bytes] = []
        self._tries = 0
        self._upstream: Upstream | None = None
        self._errand = None
        self._held = None
        self._lease = None
        self._parting = None
        self._said = b""
        self._asked_about = None
        self._trace = None
        self._allowed = None
        self._living: Living | None = None  # of a stream that the gateway looks after

    def __repr__(self) -> str:
        return f"<Exchange {self.state!r} of {self._request.method}>"

    # --- what the client's side tells: see `Relay` ---

    @property
    def takes_bytes(self) -> bool:
        return self._upload is not None

    def take_body(self, arrived: bytes, at: int) -> int:
        """Take the body that begins at `at`, if all of it is there; returns where that ends, else `at`."""
        request, length_bytes = self._request, self._request.length_bytes
        end = at + length_bytes
        if length_bytes == CHUNKED_LENGTH or end > len(arrived):
            self._upload = Upload(request, self._runtime.config.limits.body_bytes)
            return at
        self._sent.append(arrived[at:end])
        return end

    def begin(self, broken: Denied | None = None) -> None:
        """Decide and act. `broken`: the request is none, and why."""
        host, request, runtime = self._host, self._request, self._runtime
        if runtime.config.trusted_proxies:
            told = runtime.client_of(request.client_ip, request.scheme, request.headers)
            request.client_ip, request.scheme, request.forwarded_for = told
        path = request.target.partition("?")[0]
        outcome = self._outcome = Outcome(host.next_id(), request.method, path, request.client_ip)
        outcome.host, outcome.user_agent, outcome.trace_id = request.host, request.user_agent, request.trace_id
        if not request.is_fast:
            outcome.wire = "aiohttp"
        host.began(outcome)
        try:
            if host.tracing is not None:
                self._trace = host.tracing.begin(request)
                outcome.trace_id = self._trace.trace_id
            if runtime.counts_failures and self._refuses_failing():
                return
            if broken is not None:
                self._refuse(Deny(broken.reason, broken.detail))
            else:
                self._judge()
        except Exception as surprise:
            self.fail_by_mistake(surprise)

    def uploaded(self, data: bytes) -> bytes:
        upload, upstream = self._upload, self._upstream
        if upload is None or self.state is DELIVERING:
            return b""  # answered early: it has no taker
        try:
            piece = upload.payload(data)
        except Denied as problem:
            self._outcome.bytes_in = upload.count_bytes
            self._fail(problem)
            return b""
        self._outcome.bytes_in = upload.count_bytes
        if upload.is_complete:
            self._upload = None
            self._client.hold_upload(is_held=False)  # whoever it waited for: that the client leaves is to be heard
        if upstream is None:
            self._sent.append(piece)
            if self.state is HOLDING:
                self._hold(len(piece))
                return upload.rest if self._delivery.keeps_alive else b""
            if self._upload is not None and upload.count_bytes > MAX_AHEAD_BYTES:
                self._client.hold_upload(is_held=True)
            return upload.rest
        upstream.is_sending = self._upload is not None
        if upload.chunks is not None:
            piece = framed_anew([piece], is_complete=upload.is_complete)
        if piece:
            upstream.write(piece)
        if self.state is SENDING:  # a response that has begun has a clock of its own
            self._wait()
        return upload.rest

    def client_left(self) -> None:
        self._outcome.ended = "client_gone"
        self._end(keeps_alive=False)

    def client_is_slow(self, *, is_slow: bool) -> None:
        if is_slow:
            self._wait_until(self._client.now() + self._client.stall_seconds)
        elif self.state is WAITING:
            self._client.deadline = inf if self._errand is None else self._errand.over_at
        elif self.state is HOLDING:
            self._wait()
        if self.state is DELIVERING and not is_slow:
            self._end_as_delivered()
        elif self._upstream is not None:
            self._upstream.hold_response(is_held=is_slow)
            self._wait()

    def expire(self) -> None:
        client, upload, upstream, now = self._client, self._upload, self._outcome.upstream, self._client.now()
        limits = self._runtime.config.limits
        if self._living is not None and self._living.is_due():
            return
        if client.is_slow or upstream is None:
            self.client_left()
            client.reset()
        elif upload is not None and now >= upload.over_at:
            self._fail(Denied(Reason.REQUEST_TIMEOUT, f"the body took more than {limits.body_timeout_seconds:g} s"))
        elif self._waits_for_upload():
            seconds = limits.body_idle_timeout_seconds
            self._fail(Denied(Reason.REQUEST_TIMEOUT, f"no byte of the body for {seconds:g} s"))
        elif self.state is RESPONDING:
            self._fail(Denied(Reason.UPSTREAM_BROKEN, f"silent for {upstream.idle_timeout_seconds:g} s"))
        else:
            self._fail(Denied(Reason.UPSTREAM_TIMEOUT, no_answer_within(upstream)))

    def shut_down(self) -> None:
        self._fail(Denied(Reason.SHUTTING_DOWN, "the gateway is stopping"), "shut_down")

    def end_revoked(self, revoked: Revoked) -> bool:
        refusal = None if self.state in (DELIVERING, ENDED) else revoked_of(revoked, self._allowed)
        if refusal is not None and self._living is not None:
            self._living.end(Ending(refusal.reason, refusal.detail, "revoked"))
        elif refusal is not None:
            self._fail(refusal, "revoked")
        return refusal is not None

    def fail_by_mistake(self, surprise: Exception) -> None:
        """There is a mistake in our own code: it is logged, and tells the client nothing."""
        _log.error("request %s failed", self._outcome.request_id, exc_info=surprise)
        self._fail(Denied(Reason.INTERNAL_ERROR, type(surprise).__name__), "failed")

    # --- what the upstream's side tells: see `Relay` ---

    def response_came(self, response: ResponseRead, body: bytes) -> None:
        self._upstream = None
        head = self._head_of(response)
        if head is None:
            return
        self._move(DELIVERING)
        delivery, has_more = self._delivery, self._upload is not None
        delivery.whole(head, body, self._request, is_urgent=self._host.open_requests < FEW)
        if not self._client.is_slow:
            self._end(keeps_alive=delivery.keeps_alive and not has_more, lingers=has_more)

    def response_began(self, response: ResponseRead) -> None:
        request = self._request
        has_length = response.length_bytes is not None or response.is_bodiless or request.method == "HEAD"
        head = self._head_of(response)
        if head is None:
            return
        if self._lease is not None and not self._keeps_place(self._lease, response, has_length=has_length):
            return
        if not has_length:
            self._host.stream_began(self._outcome)
            life = life_of(self._host, self._runtime, self._allowed, self._client, response)
            if life is not None:
                self._living = Living(life, self._client, self._delivery, self._outcome, self._fail, self._close)
        self._move(RESPONDING)
        self._delivery.begin(head, request, has_length=has_length)
        self._sent = []
        request.forget()

    def _close(self) -> None:
        """End a response as a whole one, whatever its upstream would still say."""
        if self._upstream is not None:
            self._upstream.abort()
        self.response_ended()

    def response_data(self, data: bytes) -> None:
        if self._living is not None:
            self._living.data(data)
        else:
            self._delivery.data(data)

    def response_goes_on(self) -> None:
        self._delivery.flush()
        self._wait()

    def response_ended(self) -> None:
        self._upstream = None
        if self._living is not None:
            self._living.leave()
            self._living = None
        self._delivery.end()
        self._move(DELIVERING)
        if not self._client.is_slow:  # else it is over when the client has it
            self._end_as_delivered()

    def response_broke(self, problem: Denied, *, may_retry: bool, unsent: bytes = b"") -> None:
        self._upstream = None
        if unsent and self._tries == 1:
            self._sent = [unsent]
        if self._sent and (may_retry or unsent):  # kept only where it may be sent twice
            self._send()
        else:
            self._fail(problem)

    def switched(self, response: ResponseRead) -> Relay | None:
        request, outcome, upstream = self._request, self._outcome, self._upstream
        told = Headers([(one.name, one.value) for one in response.fields])
        if not request.is_websocket or upstream is None or not answers_handshake(request.headers, told):
            return None
        if not self._host.takes_requests:
            self._fail(Denied(Reason.SHUTTING_DOWN, "the gateway began to stop during the handshake"))
            return None
        head = switching_head(self._runtime, request, response, outcome.request_id, self._said)
        outcome.note_first_byte()
        outcome.status, outcome.is_websocket = 101, True
        self._host.stream_began(outcome)
        self._move(TUNNELING)
        self._sent = []
        request.forget()
        self._client.write(head, is_urgent=True)
        assert outcome.upstream is not None  # noqa: S101  # of an allowed request
        life = life_of(self._host, self._runtime, self._allowed, self._client)
        idle_seconds = outcome.upstream.idle_timeout_seconds
        tunnel = Tunnel(self._client, upstream, outcome, idle_seconds, self._tunnel_ended, life, self._allowed)
        self._host.tunnels.add(tunnel)
        tunnel.begin(self._client.switch(tunnel))
        return tunnel

    def _tunnel_ended(self, tunnel: Tunnel) -> None:
        self._host.tunnels.discard(tunnel)
        self._upstream = None
        self._end(keeps_alive=False)

    def upload_may_go_on(self, *, may: bool) -> None:
        if self._upload is not None or self.state is TUNNELING:
            self._client.hold_upload(is_held=not may)
        if self._upload is not None or self.state is SENDING:  # also once it is there: its time begins then
            self._wait()

    # --- deciding ---

    def _judge(self) -> None:
        cors = self._runtime.config.cors
        if not self._host.takes_requests:
            self._refuse(Deny(Reason.SHUTTING_DOWN, "the gateway is stopping"))
        elif cors is not None and is_preflight(self._request):
            self._answer_preflight(cors)
        else:
            self._decide(may_fetch=True)

    def _decide(self, *, may_fetch: bool, renewed: Session | Denied | None = None) -> None:
        host, outcome, policy = self._host, self._outcome, self._runtime.config.policy
        now = host.clock()
        decision = decide(policy, host.keys, self._request, now, may_fetch=may_fetch, renewed=renewed)
        if isinstance(decision, NeedKey):
            self._wait_for_key(decision)
            return
        if isinstance(decision, NeedSession):
            self._wait_for_session(decision.session)
            return
        outcome.note_decision()
        if self._trace is not None:
            self._trace.decided(outcome)
        if isinstance(decision, Deny):
            self._refuse(decision)
            return
        self._allowed, route = decision, decision.route
        session = None if decision.principal is None else decision.principal.session
        if session is not None and route.own not in ABOUT_SESSIONS:  # which say themselves what comes of it
            self._keep_session(session, now)
            host.sessions.note(session, now)
        if route.own:  # no upstream hears of it
            self._ask_ourselves(decision, now)
        elif route.budgets:
            self._spend(decision)
        elif route.own_things is not None:
            self._part(decision, route.own_things)
        else:
            self._go_up(decision, now)

    def _go_up(self, allow: Allow, now: float) -> None:
        request, runtime, outcome, client = self._request, self._runtime, self._outcome, self._client
        limits, length_bytes = runtime.config.limits, request.length_bytes
        outcome.note_allow(allow)
        client.serve(allow.principal is not None)
        try:
            if length_bytes and self._parting is None:  # else it was checked as it came
                runtime.check_body(request)
            trace = () if self._trace is None else self._trace.upstream_lines()
            head = request_head(runtime, allow, request, outcome.request_id, now, trace)
            allow.target, self._allowed, self._parting = "", allow, None  # a stream lives for hours; a query may not
            if runtime.audit is not None:
                runtime.audit.before_it_passes(outcome, is_websocket=request.is_websocket)
        except Denied as no:
            self._refuse(Deny(no.reason, no.detail))
            return
        if self._upload is not None:
            self._upload.over_at = client.now() + (limits.body_timeout_seconds or inf)
            if request.expects_continue and not self._sent:
                client.write(CONTINUE)  # only now, after the decision: a stranger is not asked for his upload
        elif self._sent and not outcome.bytes_in:
            outcome.bytes_in = length_bytes
        if length_bytes == CHUNKED_LENGTH and self._sent:
            self._sent = [framed_anew(self._sent, is_complete=self._upload is None)]
        self._sent.insert(0, head)
        self._move(SENDING)
        # A response depends on the headers where there is CORS, and on a handshake's.
        request.forget(keeps_headers=runtime.config.cors is not None or request.is_websocket)
        self._send()

    # --- acting ---

    def _move(self, state: State) -> None:
        if state not in MOVES[self.state]:
            raise IllegalMoveError(f"{self.state} to {state}")
        self.state = state

    def _send(self) -> None:
        """Send what there is of the request, perhaps for the second time."""
        request, client, upstream = self._request, self._client, self._outcome.upstream
        assert upstream is not None  # noqa: S101  # of an allowed request
        self._tries += 1
        connections = self._runtime.upstreams[upstream.name]
        # One that was kept may have ended while nobody looked: the second try is on a new one.
        connection = self._upstream = connections.take() if self._tries == 1 else connections.open()
        connection.is_sending = self._upload is not None
        if client.is_upload_held:  # first: what is sent now may be more than the upstream takes
            client.hold_upload(is_held=False)
        if connection.is_held is not client.is_slow:
            connection.hold_response(is_held=client.is_slow)
        sent = self._sent
        if request.length_bytes or self._tries > 1 or request.method not in IDEMPOTENT_METHODS:
            self._sent = []  # is not sent twice
        connection.begin(self, request.method, sent[0] if len(sent) == 1 else b"".join(sent))
        self._wait()

    def _waits_for_upload(self) -> bool:
        # While the upstream does not take what came, it is not the client that is slow.
        is_asked_for = self.state is SENDING or self.state is HOLDING
        return self._upload is not None and is_asked_for and not self._client.is_upload_held

    def _wait(self) -> None:
        """Say when it has been too long."""
        client, upload, upstream = self._client, self._upload, self._outcome.upstream
        if client.is_slow or upstream is None:
            return  # a slow client's clock runs since then, whatever else happens
        if upload is not None and self._waits_for_upload():
            seconds = self._runtime.config.limits.body_idle_timeout_seconds
        elif self.state is RESPONDING:
            seconds = upstream.idle_timeout_seconds
        else:
            seconds = upstream.response_timeout_seconds
        deadline = client.now() + seconds
        self._wait_until(deadline if upload is None else min(deadline, upload.over_at))

    def _wait_until(self, deadline: float) -> None:
        self._client.deadline = deadline if self._living is None else self._living.until(deadline)

    def _head_of(self, response: ResponseRead) -> bytes | None:
        """Return the head that the client gets, without framing; None if there is a mistake, and the exchange ended."""
        outcome = self._outcome
        outcome.note_first_byte()
        outcome.status = response.status
        if self._upload is not None:
            self._delivery.keeps_alive = False  # answered early: the rest has no taker
        try:
            return response_head(self._runtime, self._request, response, outcome.request_id, self._said)
        except Exception as surprise:
            self.fail_by_mistake(surprise)
            return None

    def _end_as_delivered(self) -> None:
        lingers = self._upload is not None
        self._end(keeps_alive=self._delivery.keeps_alive and not lingers, lingers=lingers)

    def _fail(self, problem: Denied, ended: Ended | None = None) -> None:
        """The upstream gave no response, or half of one; a client that has begun to read must see that it is broken."""
        if self.state is ENDED:
            return
        if self.state in _UNANSWERED:
            self._refuse(no_more(problem, self._allowed), ended or "refused")
            return
        self._outcome.note_cut(problem, ended)
        if self._runtime.audit is not None and self._outcome.has_passed:
            self._runtime.audit.before_its_answer(self._outcome)
        self._delivery.cut()
        self._end(keeps_alive=False)

    def _end(self, *, keeps_alive: bool, lingers: bool = False) -> None:
        if self.state is ENDED:
            return
        self._move(ENDED)
        self._outcome.bytes_out = self._delivery.count_bytes or self._outcome.bytes_out
        if self._upstream is not None:
            self._upstream.abort()
            self._upstream = None
        if self._errand is not None:
            self._errand.give_up()
        if self._held is not None:
            self._host.holding.end(self._held)
        self._sent, self._parting, self._held, self._errand = [], None, None, None  # what is large, or leads back here
        if self._lease is not None:
            self._lease.release()
        try:
            if self._trace is not None:
                self._trace.end(self._outcome)
            self._host.ended(self._outcome)
        finally:
            self._client.exchange_ended(keeps_alive=keeps_alive, lingers=lingers)
