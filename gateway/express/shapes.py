"""Whole heads that were read before, and come again byte for byte. Bounded in bytes; never a decision."""

from __future__ import annotations

import re
from typing import TypeVar

from gateway.express.remembered import MAX_BYTES, Remembered
from gateway.policy.seen import SeenOnce

T = TypeVar("T")

_REQUEST_ID = re.compile(rb"\r\n[Xx]-[Rr]equest-[Ii][Dd]: [\x21-\x7e]{1,256}(?=\r\n)")
_REQUEST_ID_AT = len(b"\r\nX-R")  # where the part begins that is written alike by all
_MAX_HEAD_BYTES = 4096
_OVERHEAD_BYTES, _LINE_BYTES = 512, 350  # what an entry weighs beside its head: the record, the lines that it holds


class Shapes(Remembered[T]):
    """What was made of heads. Whoever adds one sees to it that nothing secret is in it.

    A head is kept when it comes a second time: one that never comes again is not worth a place.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        super().__init__(max_bytes)
        self._seen_once = SeenOnce()

    def add(self, head: bytes, shape: T) -> None:
        """Keep what was made of a head, if it has come before."""
        if len(head) <= _MAX_HEAD_BYTES and not self._seen_once.is_new(hash(head)):
            self.keep(head, shape, 4 * len(head) + _OVERHEAD_BYTES + _LINE_BYTES * head.count(b"\n"))


def without_request_id(head: bytes) -> bytes:
    """Return a head without its `X-Request-Id`, which differs from one to the next and is ours to say anyway."""
    at = head.find(b"equest-")
    found = _REQUEST_ID.match(head, at - _REQUEST_ID_AT) if at > 0 else None
    return head if found is None else head[: found.start()] + head[found.end() :]
