"""Where one server-sent event ends and the next begins, and what the gateway says between two. Pure; nothing is held.

Source: HTML, section 9.2.6 (parsing an event stream). A line ends by CR LF, LF or CR, an event by an empty line, and a
byte order mark in front of all is none of the first line. Whether a stream stands at a border its last four bytes say,
so following costs the same however long events are, and however they are cut.
"""

from __future__ import annotations

import json
import re
from typing import Final

from gateway.policy.reasons import Reason

EVENT_STREAM: Final = "text/event-stream"
HEARTBEAT: Final = b": keep-alive\n\n"  # a comment: no client makes an event of it
# Empty lines end an event that is none. Mastra's client for A2A takes a comment alone for an event, and fails.
EMPTY_LINES: Final = b"\n\n"
_TAIL_BYTES: Final = 4
_BOM: Final = b"\xef\xbb\xbf"
# Behind an empty line. A CR may be half of a CR LF, unless the line before ended by CR alone.
_BORDERS: Final = (b"\n\n", b"\n\r\n", b"\r\r\n", b"\r\r")
_BORDER: Final = re.compile(rb"\n\n|\n\r\n|\r\r\n|\r\r")


class EventBorders:
    """Follows an event stream, to know when something of ours may be put between two events."""

    __slots__ = ("_has_spoken", "_head", "_tail")

    def __init__(self) -> None:
        self._tail = b"\n\n"  # the beginning is a border as well
        self._head: bytes | None = b""  # what may be the beginning of a byte order mark; None: it is known by now
        self._has_spoken = False  # we have, before the stream's first byte

    @property
    def is_at_border(self) -> bool:
        """True if nothing of an event is outstanding."""
        return not self._head and self._tail.endswith(_BORDERS)

    def note_ours(self) -> None:
        """Something of ours is written here, at a border, which it stays."""
        self._has_spoken = self._has_spoken or self._head is not None

    def feed(self, data: bytes) -> bytes:
        """Follow bytes, and return those that go on: all of them, but for a mark that no longer comes first.

        Behind something of ours it would be the beginning of the first line.
        """
        head = self._head
        if head is None:
            self._follow(data)
            return data
        whole = head + data
        if len(whole) < len(_BOM) and _BOM.startswith(whole):
            self._head = whole
            return b"" if self._has_spoken else data
        self._head = None
        lines = whole.removeprefix(_BOM)
        self._follow(lines)
        return lines if self._has_spoken else data

    def feed_to_border(self, data: bytes) -> bytes:
        """Follow bytes up to the next border, and return those that go on. To be asked where none is."""
        if self._head is None:
            whole, known = self._tail + data, len(self._tail)
            found = _BORDER.search(whole)
            while found is not None and found.end() <= known:  # it is behind us
                found = _BORDER.search(whole, found.start() + 1)
            if found is not None:
                data = data[: found.end() - known]
        return self.feed(data)

    def _follow(self, data: bytes) -> None:
        self._tail = (self._tail + data[-_TAIL_BYTES:])[-_TAIL_BYTES:]


def heartbeat_for(path: str) -> bytes:
    """Return what is said into the silence of an answer, by the path that was asked for."""
    return EMPTY_LINES if "/a2a/" in path else HEARTBEAT


def last_event(reason: Reason) -> bytes:
    """Return the event that tells a client why its stream ends here."""
    said = json.dumps({"error": reason.value.error, "code": reason.code}, separators=(",", ":"))
    return b"event: gateway\ndata: %b\n\n" % said.encode()
