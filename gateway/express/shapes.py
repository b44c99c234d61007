"""Whole heads that were read before, and come again byte for byte. Bounded in bytes; never a decision."""

from __future__ import annotations

import re
from typing import Generic, TypeVar

T = TypeVar("T")

_REQUEST_ID = re.compile(rb"\r\n[Xx]-[Rr]equest-[Ii][Dd]: [\x21-\x7e]{1,256}(?=\r\n)")
_REQUEST_ID_AT = len(b"\r\nX-R")  # where the part begins that is written alike by all
_MAX_BYTES = 2 * 1024 * 1024
_MAX_HEAD_BYTES = 4096
_OVERHEAD_BYTES, _LINE_BYTES = 512, 350  # what an entry weighs beside its head: the record, the lines that it holds
_MAX_MARKS = 8192


class Shapes(Generic[T]):
    """What was made of heads. Whoever adds one sees to it that nothing secret is in it.

    A head is kept when it comes a second time: one that never comes again is not worth a place.
    """

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self.known: dict[bytes, T] = {}  # look here first: a call for each would cost as much as the look
        self._max_bytes = max_bytes
        self._bytes = 0
        self._seen_once: set[int] = set()  # hashes: who shares one is kept a time sooner

    def add(self, head: bytes, shape: T) -> None:
        """Keep what was made of a head, if it has come before."""
        if len(head) > _MAX_HEAD_BYTES:
            return
        mark = hash(head)
        if mark not in self._seen_once:
            if len(self._seen_once) >= _MAX_MARKS:
                self._seen_once.clear()
            self._seen_once.add(mark)
            return
        self._seen_once.discard(mark)
        weight = 4 * len(head) + _OVERHEAD_BYTES + _LINE_BYTES * head.count(b"\n")
        self._bytes += weight
        if self._bytes > self._max_bytes:
            # All of it: which are old costs more to know than to read them again.
            self.known.clear()
            self._bytes = weight
        self.known[head] = shape


def without_request_id(head: bytes) -> bytes:
    """Return a head without its `X-Request-Id`, which differs from one to the next and is ours to say anyway."""
    at = head.find(b"equest-")
    found = _REQUEST_ID.match(head, at - _REQUEST_ID_AT) if at > 0 else None
    return head if found is None else head[: found.start()] + head[found.end() :]
