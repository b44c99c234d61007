"""How long a stream lives: a clock of its own, and what is asked when."""

from __future__ import annotations

from math import inf

from gateway.policy.reasons import Reason
from gateway.policy.streams import Streams
from gateway.proxy.life import BORDER_SECONDS, Ending, Life

ALL = Streams(grace_seconds=2.0, max_seconds=100.0, heartbeat_seconds=15.0)


def reason_of(ending: Ending | None) -> Reason | None:
    return None if ending is None else ending.reason


def test_stream_of_which_nothing_is_said_is_never_due() -> None:
    life = Life(Streams(), 10.0, has_events=True)
    assert life.due_at == inf
    assert life.is_over(1e9) is None and not life.wants_heartbeat(1e9, may_write=True)
    assert life.passing(b"data: 1\n\n", 11.0) == b"data: 1\n\n"
    assert life.due_at == inf and life.until(20.0) == 20.0


def test_whatever_comes_first_is_due() -> None:
    life = Life(ALL, 10.0, lambda: 50.0, has_events=True)
    assert life.due_at == 25.0, "the heartbeat"
    assert life.until(20.0) == 20.0 and life.until(inf) == 25.0
    assert Life(ALL, 10.0, lambda: 5.0, has_events=True).due_at == 15.0
    assert Life(ALL, 10.0, lambda: 500.0).due_at == 110.0, "no events, no heartbeat"


def test_time_that_is_over_is_asked_for_anew_first() -> None:
    left = [5.0, 7.0, 0.0]
    life = Life(ALL, 10.0, lambda: left.pop(0), Reason.SESSION_EXPIRED)
    assert life.is_over(14.9) is None and len(left) == 2, "not asked before it is due"
    assert life.is_over(15.0) is None, "the session has gone on"
    assert life.due_at == 22.0
    assert reason_of(life.is_over(22.0)) is Reason.SESSION_EXPIRED


def test_longest_stream_ends_also_where_the_token_does_not() -> None:
    life = Life(ALL, 10.0)
    assert life.is_over(109.9) is None
    assert reason_of(life.is_over(110.0)) is Reason.STREAM_TOO_LONG


def test_heartbeat_goes_into_silence_alone() -> None:
    life = Life(ALL, 0.0, has_events=True)
    assert not life.wants_heartbeat(14.0, may_write=True)
    assert life.wants_heartbeat(15.0, may_write=True), "before the first byte, too"
    assert not life.wants_heartbeat(29.0, may_write=True)
    life.passing(b"data: 1\n\n", 29.0)
    assert not life.wants_heartbeat(30.0, may_write=True), "somebody spoke"
    assert life.wants_heartbeat(44.0, may_write=True)


def test_heartbeat_goes_neither_into_an_event_nor_to_who_does_not_take() -> None:
    life = Life(ALL, 0.0, has_events=True)
    assert not life.wants_heartbeat(15.0, may_write=False)
    assert life.due_at == 30.0, "the next look is no sooner"
    life.passing(b"data: 1\n", 16.0)
    assert not life.wants_heartbeat(31.0, may_write=True)
    life.passing(b"\n", 32.0)
    assert life.wants_heartbeat(47.0, may_write=True)


def test_event_under_way_has_a_moment_to_end() -> None:
    life = Life(ALL, 0.0, has_events=True)
    assert life.is_at_border
    life.passing(b"data: 1", 1.0)
    assert not life.is_at_border
    life.end_at_border(Ending(Reason.TOKEN_REVOKED, "said", "revoked"), 50.0)
    assert reason_of(life.ending) is Reason.TOKEN_REVOKED
    assert life.due_at == 50.0 + BORDER_SECONDS
    assert life.passing(b"2\n\ndata: 3\n\n", 50.1) == b"2\n\n"
    assert life.is_at_border
    assert life.due_at == 50.0 + BORDER_SECONDS, "what comes meanwhile gives no more time, and nothing beats"
    assert life.is_over(1e9) is None, "there is one end"
