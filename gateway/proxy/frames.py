"""Where one WebSocket frame ends and the next begins (RFC 6455 section 5.2). Pure; payloads are not looked at."""

from __future__ import annotations

import os

_CLOSE = 0x8  # the opcode


class FrameBorders:
    """Follows a stream of frames, to know when a frame of ours may be put between two of theirs."""

    __slots__ = ("_head", "_left", "has_close")

    def __init__(self) -> None:
        self.has_close = False  # a close frame has begun: the last frame of its side (section 5.5.1)
        self._head = b""  # of a frame whose head is not complete
        self._left = 0  # bytes of payload (and mask) still to come

    @property
    def is_at_border(self) -> bool:
        """True if nothing of a frame is outstanding."""
        return not self._head and not self._left

    def feed(self, data: bytes, *, stops_at_border: bool = False) -> int:
        """Follow bytes, all of them or only up to the next border. Returns how many were followed."""
        position = 0
        while position < len(data):
            if self._left:
                step = min(self._left, len(data) - position)
                self._left -= step
            else:
                step = self._feed_head(data[position : position + _head_size(self._head) - len(self._head)])
            position += step
            if stops_at_border and self.is_at_border:
                break
        return position

    def _feed_head(self, piece: bytes) -> int:
        self._head += piece
        if len(self._head) == _head_size(self._head):  # which grows once the first two bytes are there
            self._left = _payload_size(self._head)
            self.has_close = self.has_close or self._head[0] & 0x0F == _CLOSE
            self._head = b""
        return len(piece)


def close_frame(code: int, *, masked: bool) -> bytes:
    """Return a close frame (RFC 6455 section 5.5.1); what goes to a server must be masked (section 5.3)."""
    payload = code.to_bytes(2, "big")
    if not masked:
        return bytes([0x88, len(payload)]) + payload
    mask = os.urandom(4)
    return bytes([0x88, 0x80 | len(payload)]) + mask + bytes(a ^ b for a, b in zip(payload, mask, strict=False))


def _head_size(head: bytes) -> int:
    """Return how long a frame's head is, as far as its first two bytes tell."""
    if len(head) < 2:
        return 2
    length = head[1] & 0x7F
    return 2 + {126: 2, 127: 8}.get(length, 0) + (4 if head[1] & 0x80 else 0)


def _payload_size(head: bytes) -> int:
    length = head[1] & 0x7F
    if length == 126:
        return int.from_bytes(head[2:4], "big")
    return int.from_bytes(head[2:10], "big") if length == 127 else length
