"""Where one WebSocket frame ends and the next begins (RFC 6455 section 5.2). Pure; payloads are not looked at.

What following costs does not depend on how small the frames are: of what arrives at once only so many heads are looked
at. Whoever sends more (256 KiB of empty frames are 43,000) is followed no longer, and passes all the same.
"""

from __future__ import annotations

import os
from typing import Final

_CLOSE: Final = 0x8  # the opcode
_MAX_HEAD_BYTES: Final = 14
_HEADS, _BYTES_PER_HEAD = 256, 256  # so many heads are looked at in one piece, and one more for so many bytes of it
# How long a frame's head is, by its second byte: the mask's bit, and 7 bits of length, of which two values mean more.
_HEAD_BYTES: Final = bytes(
    2 + {126: 2, 127: 8}.get(second & 0x7F, 0) + (4 if second & 0x80 else 0) for second in range(256)
)


class FrameBorders:
    """Follows a stream of frames, to know when a frame of ours may be put between two of theirs."""

    __slots__ = ("_head", "_left", "has_close", "is_lost")

    def __init__(self) -> None:
        self.has_close = False  # a close frame has begun: the last frame of its side (section 5.5.1)
        self.is_lost = False  # too many frames at once: nobody knows the borders any more
        self._head = b""  # of a frame whose head is not complete
        self._left = 0  # bytes of payload still to come

    @property
    def is_at_border(self) -> bool:
        """True if nothing of a frame is outstanding."""
        return not (self._head or self._left or self.is_lost)

    def feed(self, data: bytes, *, stops_at_border: bool = False) -> int:
        """Follow bytes, all of them or only up to the next border. Returns how many were followed."""
        end = len(data)
        if self.is_lost:
            return end
        position = min(self._left, end)
        self._left -= position
        heads = _HEADS + end // _BYTES_PER_HEAD
        while position < end and not (stops_at_border and position and self.is_at_border):
            if not heads:
                self.is_lost = True
                return end
            heads -= 1
            known = len(self._head)
            head = self._head + data[position : position + _MAX_HEAD_BYTES - known]
            if len(head) < 2 or len(head) < _HEAD_BYTES[head[1]]:
                self._head = head
                return end
            self._head = b""
            self.has_close = self.has_close or head[0] & 0x0F == _CLOSE
            position += _HEAD_BYTES[head[1]] - known
            payload = _payload_bytes(head)
            self._left = payload - min(payload, end - position)
            position += payload - self._left
        return position


def close_payload(code: int, reason: str = "") -> bytes:
    """Return what a close frame says (RFC 6455 section 5.5.1): a code, and a reason of at most 123 bytes."""
    return code.to_bytes(2, "big") + reason.encode()


def close_frame(payload: bytes, *, masked: bool) -> bytes:
    """Return a close frame (RFC 6455 section 5.5.1); what goes to a server must be masked (section 5.3)."""
    if not masked:
        return bytes([0x88, len(payload)]) + payload
    mask = os.urandom(4)
    masks = mask * (len(payload) // 4 + 1)
    return bytes([0x88, 0x80 | len(payload)]) + mask + bytes(a ^ b for a, b in zip(payload, masks, strict=False))


def _payload_bytes(head: bytes) -> int:
    length = head[1] & 0x7F
    if length == 126:
        return int.from_bytes(head[2:4], "big")
    return int.from_bytes(head[2:10], "big") if length == 127 else length
