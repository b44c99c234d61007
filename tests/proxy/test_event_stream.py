"""Where events end: against a parser by the letter of HTML section 9.2.6, in any chunking, and in linear time."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.reasons import Reason
from gateway.proxy.event_stream import HEARTBEAT, EventBorders, last_event

BOM = b"\xef\xbb\xbf"


def lines_of(stream: bytes) -> list[bytes]:
    """Return the lines of a stream that have ended, as HTML section 9.2.6 has them."""
    return all_lines_of(stream)[:-1]


def all_lines_of(stream: bytes) -> list[bytes]:
    """Return the lines of a stream, and last what is of none that has ended."""
    lines, line, at = [], b"", 0
    stream = stream.removeprefix(BOM)
    while at < len(stream):
        byte = stream[at : at + 1]
        if byte == b"\r":
            lines.append(line)
            line, at = b"", at + (2 if stream[at + 1 : at + 2] == b"\n" else 1)
        elif byte == b"\n":
            lines.append(line)
            line, at = b"", at + 1
        else:
            line, at = line + byte, at + 1
    return [*lines, line]


def events_of(stream: bytes) -> list[tuple[str, str]]:
    """Return the events that a client makes of a stream."""
    events: list[tuple[str, str]] = []
    data: list[bytes] = []
    kind = b""
    for line in lines_of(stream):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            if data:
                events.append(((kind or b"message").decode(), b"\n".join(data).decode("utf-8", "replace")))
            kind, data = b"", []
        elif name == b"data":
            data.append(value)
        elif name == b"event":
            kind = value
    return events


def event(number: int, end: bytes) -> bytes:
    return end.join((b"event: e%d" % number, b": said", b"data: {%d}" % number, b"data", b"", b""))


ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
STREAMS = st.builds(
    lambda mark, end, count: mark + b"".join(event(number, end) for number in range(count)),
    st.sampled_from([b"", BOM]), ENDS, st.integers(1, 3),
)  # fmt: skip


@given(STREAMS, st.data())
def test_heartbeat_at_every_border_changes_no_event(stream: bytes, data: st.DataObject) -> None:
    """However the stream is cut, and also before its first byte: the same events, and none is torn."""
    borders, told, at, beats = EventBorders(), b"", 0, 0
    while at < len(stream):
        if borders.is_at_border:
            borders.note_ours()
            told, beats = told + HEARTBEAT, beats + 1
        step = data.draw(st.integers(1, 9))
        told += borders.feed(stream[at : at + step])
        at += step
    assert beats, "the beginning is a border"
    assert events_of(told) == events_of(stream)
    assert borders.is_at_border, "nothing is outstanding behind the last event"
    assert told.replace(HEARTBEAT, b"") == stream.removeprefix(BOM)


@given(STREAMS, st.lists(st.integers(1, 9), min_size=1))
def test_border_is_found_in_any_chunking_and_nowhere_else(stream: bytes, cuts: list[int]) -> None:
    borders, at, index = EventBorders(), 0, 0
    while at < len(stream):
        step = cuts[index % len(cuts)]
        assert borders.feed(stream[at : at + step]) == stream[at : at + step], "untouched where nothing of ours came"
        at, index = min(at + step, len(stream)), index + 1
        so_far = stream[:at]
        is_whole = all_lines_of(so_far)[-2:] in ([b"", b""], [b""])
        if borders.is_at_border:
            assert is_whole
        elif not so_far.endswith(b"\r"):  # whose LF may still come
            assert not is_whole


@given(STREAMS, st.data())
def test_stream_that_is_to_end_goes_on_up_to_the_next_border_and_no_further(stream: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(len(BOM), len(stream)))
    borders = EventBorders()
    told, at = borders.feed(stream[:cut]), cut
    while not borders.is_at_border and at < len(stream):
        step = data.draw(st.integers(1, 40))
        told += borders.feed_to_border(stream[at : at + step])
        at += step
    assert stream.startswith(told)
    assert borders.is_at_border
    gateway = [("gateway", '{"error":"Invalid or expired token","code":"token_expired"}')]
    whole = events_of(stream)
    found = events_of(told + last_event(Reason.TOKEN_EXPIRED))
    assert found[-1:] == gateway and found[:-1] == whole[: len(found) - 1]
    assert len(found) - 1 >= len(events_of(stream[:cut])), "what had begun is whole"


@pytest.mark.parametrize(
    ("pieces", "is_border"),
    [
        pytest.param([], True, id="nothing-yet"),
        pytest.param([BOM], True, id="a-mark"),
        pytest.param([BOM[:1]], False, id="a-third-of-a-mark"),
        pytest.param([BOM[:2]], False, id="two-thirds-of-a-mark"),
        pytest.param([BOM[:1], BOM[1:2], BOM[2:]], True, id="a-mark-in-thirds"),
        pytest.param([BOM, b"data: 1"], False, id="a-line"),
        pytest.param([b"data: 1\n"], False, id="a-line-and-its-end"),
        pytest.param([b"data: 1\r\n"], False, id="a-line-and-its-crlf"),
        pytest.param([b"data: 1\r"], False, id="a-line-and-half-of-its-crlf"),
        pytest.param([b"data: 1\n\n"], True, id="lf"),
        pytest.param([b"data: 1\n", b"\n"], True, id="lf-in-two"),
        pytest.param([b"data: 1\r\n\r\n"], True, id="crlf"),
        pytest.param([b"data: 1\r\n\r"], False, id="crlf-whose-lf-is-still-to-come"),
        pytest.param([b"data: 1\r\n\r", b"\n"], True, id="crlf-in-two"),
        pytest.param([b"data: 1\r\r"], True, id="cr"),
        pytest.param([b"data: 1\r", b"\r"], True, id="cr-in-two"),
        pytest.param([b"data: 1\n\ndata: 2"], False, id="the-next-has-begun"),
        pytest.param([b": comment\n"], False, id="a-comment-alone"),
        pytest.param([b"\n"], True, id="an-empty-line-first"),
        pytest.param([b"data: a\\n\\n"], False, id="escapes-are-none"),
    ],
)
def test_border(pieces: list[bytes], is_border: bool) -> None:
    borders = EventBorders()
    for piece in pieces:
        borders.feed(piece)
    assert borders.is_at_border is is_border


def test_mark_goes_on_where_it_comes_first_and_only_there() -> None:
    spoken = EventBorders()
    spoken.note_ours()
    assert [spoken.feed(piece) for piece in (BOM[:1], BOM[1:], b"data")] == [b"", b"", b"data"]
    other = EventBorders()
    other.note_ours()
    assert other.feed(b"\xef\xbb") + other.feed(b"\xbdx") == b"\xef\xbb\xbdx", "it was another character"
    late = EventBorders()
    late.feed(b"data: 1\n\n")
    late.note_ours()
    assert late.feed(BOM) == BOM


def test_event_says_what_a_refusal_says() -> None:
    said = last_event(Reason.TOKEN_REVOKED)
    assert said.startswith(b"event: gateway\ndata: ") and said.endswith(b"\n\n") and said.count(b"\n") == 3
    assert json.loads(said.split(b"data: ")[1]) == {"error": "Invalid or expired token", "code": "token_revoked"}


def test_following_costs_the_same_for_an_event_of_a_megabyte_and_of_a_byte() -> None:
    def steps(piece: bytes) -> int:
        count = 0

        def note(frame: Any, event: str, argument: Any) -> Any:
            nonlocal count
            count += event == "line"
            return note

        borders = EventBorders()
        borders.feed(b"data: ")
        sys.settrace(note)
        try:
            borders.feed(piece)
        finally:
            sys.settrace(None)
        return count

    assert steps(b"x" * 1024 * 1024) == steps(b"\n" * 1024 * 1024) == steps(b"x")
