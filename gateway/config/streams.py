"""`streams:` how long streams last, and what is said into their silence: of one route, or of all."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.config.document import Node
from gateway.config.lists import OrWord
from gateway.config.readers import Schema, duration, one_of
from gateway.config.reading import Reading, Unreadable
from gateway.config.records import Field, Record, Values
from gateway.policy.streams import FOLLOWED, Streams

DEFAULT_GRACE_SECONDS = 30.0
_OFF = ("off", "false", "never")

END = Field(
    "end",
    one_of("with_token", "by_itself"),
    "`with_token`: streams end with the token, or the login session, that opened them",
    "by_itself",
)
GRACE = Field("grace", duration(allow_zero=True), "how long after that", "30s")
MAX: Field[float | None] = Field(
    "max", OrWord("none", None, duration(), _OFF), "how long a stream lasts at most, whoever opened it", "none"
)
HEARTBEAT: Field[float | None] = Field(
    "heartbeat",
    OrWord("none", None, duration(), _OFF),
    "into so long a silence of a `text/event-stream` answer goes a comment, `: keep-alive`",
    "none",
)
STREAMS_RECORD = Record("streams", (END, GRACE, MAX, HEARTBEAT))


@dataclass(frozen=True, slots=True)
class ReadStreams:
    """What one mapping said; a route's own keys count before those for all."""

    values: Values

    def on(self, all_of: Streams) -> Streams:
        """Return what is said of a route, where this is said of all."""
        values = self.values
        grace = all_of.grace_seconds
        if END in values:
            grace = DEFAULT_GRACE_SECONDS if values.get(END) == "with_token" else None
        if GRACE in values:
            grace = values.get(GRACE)
        return Streams(
            grace,
            values.get(MAX) if MAX in values else all_of.max_seconds,
            values.get(HEARTBEAT) if HEARTBEAT in values else all_of.heartbeat_seconds,
        )

    def check(self, all_of: Streams, reading: Reading) -> None:
        """Refuse a `grace` of what has no end. Raises `Unreadable`."""
        values = self.values
        if GRACE not in values or values.get(END) == "with_token" or (END not in values and all_of.ends_with_token):
            return
        reading.refuse_at(
            values.key_place(GRACE), "found 'grace' of streams without an end, expected 'end: with_token'"
        )


@dataclass(frozen=True, slots=True)
class StreamsOfAll:
    """What is said of all routes. `can_revoke`: a caller may have to go in mid-stream, so where events end counts."""

    streams: Streams = FOLLOWED
    can_revoke: bool = False

    def of_route(self, values: Values, is_guarded: bool, reading: Reading) -> Streams | None:
        """Return what is said of a route, by its values; None: nobody looks after its streams. Raises `Unreadable`."""
        said = values.get(ROUTE_STREAMS)
        if said is not None:
            said.check(self.streams, reading)
        streams = self.streams if said is None else said.on(self.streams)
        return None if streams == FOLLOWED and not (self.can_revoke and is_guarded) else streams


OF_ALL = StreamsOfAll()  # where nothing is said


class _StreamsReader:
    """How long streams last."""

    def read(self, node: Node, reading: Reading) -> ReadStreams:
        values = STREAMS_RECORD.read(node, reading)
        if values.broken:
            raise Unreadable
        return ReadStreams(values)

    def schema(self) -> Schema:
        return STREAMS_RECORD.schema()


_MEANING = "when streams (answers without a length, WebSockets) end, and what keeps silent ones alive"
STREAMS = Field("streams", _StreamsReader(), f"{_MEANING}; a route may say otherwise, key by key")
ROUTE_STREAMS = Field("streams", _StreamsReader(), f"{_MEANING}; what it leaves out is as for all")


def read_streams(values: Values, can_revoke: bool, reading: Reading) -> StreamsOfAll:
    """Return what the file says of all routes. Raises `Unreadable`."""
    said = values.get(STREAMS)
    if said is not None:
        said.check(FOLLOWED, reading)
    return StreamsOfAll(FOLLOWED if said is None else said.on(FOLLOWED), can_revoke)
