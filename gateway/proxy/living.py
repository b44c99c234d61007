"""A stream under way whose life the gateway looks after: heartbeats, and its end by time or because of its caller."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from gateway.http1.response import ResponseRead
from gateway.policy.decision import Allow
from gateway.policy.denied import Denied
from gateway.policy.login import Login
from gateway.policy.model import Principal
from gateway.policy.reasons import Reason
from gateway.proxy.delivery import Delivery
from gateway.proxy.event_stream import EVENT_STREAM, heartbeat_for, last_event
from gateway.proxy.host import Host
from gateway.proxy.life import Ending, Life
from gateway.proxy.runtime import Runtime
from gateway.proxy.wire import Client
from gateway.record.outcome import Ended, Outcome


def life_of(
    host: Host, runtime: Runtime, allowed: Allow | None, client: Client, response: ResponseRead | None = None
) -> Life | None:
    """Return the life of a stream that begins now; None: nobody looks after those of its route.

    `response` is what it is the body of; None: it is a WebSocket.
    """
    streams = None if allowed is None else allowed.route.streams
    if allowed is None or streams is None:
        return None
    now, are_events = client.now(), response is not None and _has_events(response)
    principal, login, grace_seconds = allowed.principal, runtime.config.policy.login, streams.grace_seconds
    if principal is None or grace_seconds is None or end_of(host, login, principal) == inf:
        return Life(streams, now, has_events=are_events)
    caller, grace = principal, grace_seconds

    def left() -> float:
        return end_of(host, login, caller) + grace - host.clock()

    return Life(streams, now, left, reason_of_end(principal), has_events=are_events)


def end_of(host: Host, login: Login | None, principal: Principal) -> float:
    """Return when a caller's token or login session ends, in Unix seconds, as far as is known by now; `inf`: never."""
    session = principal.session
    if session is not None and login is not None:
        return host.sessions.end_of(session, login.seal)
    return inf if principal.expires_at is None else principal.expires_at


def reason_of_end(principal: Principal) -> Reason:
    """Return what a caller is told whose token or login session has ended."""
    return Reason.TOKEN_EXPIRED if principal.session is None else Reason.SESSION_EXPIRED


def _has_events(response: ResponseRead) -> bool:
    """Return whether a response is a stream of events in the clear, between which something may be put."""
    kinds = [one.value for one in response.fields if one.name.lower() == "content-type"]
    codings = [one.value for one in response.fields if one.name.lower() == "content-encoding"]
    is_clear = all([coding.strip().lower() == "identity" for coding in codings])
    kind = kinds[0].partition(";")[0].strip().lower() if len(kinds) == 1 else ""
    return response.status == 200 and kind == EVENT_STREAM and is_clear


class Living:
    """One response whose end nobody knows. `fail` cuts it, `close` ends it as a whole one.

    Its deadline is the client's: what the exchange waits for has a clock beside this one.
    """

    __slots__ = ("_client", "_close", "_delivery", "_fail", "_heartbeat", "_outcome", "life")

    def __init__(
        self,
        life: Life,
        client: Client,
        delivery: Delivery,
        outcome: Outcome,
        fail: Callable[[Denied, Ended | None], None],
        close: Callable[[], None],
    ) -> None:
        self.life, self._client, self._delivery, self._outcome = life, client, delivery, outcome
        self._heartbeat = heartbeat_for(outcome.path)
        self._fail, self._close = fail, close

    def until(self, others_at: float) -> float:
        """Return the deadline, given that of whatever else is waited for."""
        return self.life.until(others_at)

    def leave(self) -> None:
        """The body is whole: what is left is to be delivered, and that has no end of ours."""
        self._client.deadline = self.life.others_at

    def data(self, data: bytes) -> None:
        """Pass a piece of the body on; the stream ends behind the event of its end, where that was waited for."""
        life = self.life
        goes_on = life.passing(data, self._client.now())
        if goes_on:
            self._delivery.data(goes_on)
        if life.ending is not None and life.is_at_border:
            self._say_end(life.ending)

    def is_due(self) -> bool:
        """Return whether the deadline that is over was ours; what is to be done then is done."""
        life, client = self.life, self._client
        now = client.now()
        if now < life.due_at:
            return False
        over = life.is_over(now)
        if over is None and life.ending is None and now >= life.others_at:
            return False
        if life.ending is not None:  # the event takes too long
            self._cut(life.ending)
        elif over is not None:
            self.end(over)
        else:
            if life.wants_heartbeat(now, may_write=not client.is_slow and not client.unsent_bytes):
                self._delivery.data(self._heartbeat)
            client.deadline = life.again()
        return True

    def end(self, ending: Ending) -> None:
        """End it: at the next border of events, of which there is soon one; what has none is cut."""
        life = self.life
        if life.borders is None:
            self._cut(ending)
        elif life.is_at_border:
            self._say_end(ending)
        elif life.ending is None:
            life.end_at_border(ending, self._client.now())
            self._client.deadline = life.again()

    def _say_end(self, ending: Ending) -> None:
        self._outcome.ended, self._outcome.detail = ending.ended, ending.detail
        self._delivery.data(last_event(ending.reason))
        self._close()

    def _cut(self, ending: Ending) -> None:
        self._fail(Denied(ending.reason, ending.detail), ending.ended)
