"""Whole heads that were read before, by their bytes. Bounded; never a decision."""

from __future__ import annotations

import re
from typing import Final, TypeVar

from gateway.policy.memory import Remembered
from gateway.policy.seen import SeenOnce

T = TypeVar("T")

MAX_BYTES: Final = 2 * 1024 * 1024
_REQUEST_ID: Final = re.compile(rb"\r\n[Xx]-[Rr]equest-[Ii][Dd]: [\x21-\x7e]{1,256}(?=\r\n)")
_REQUEST_ID_AT: Final = len(b"\r\nX-R")  # where the part begins that is written alike by all
_MAX_HEAD_BYTES: Final = 4096
OVERHEAD_BYTES, LINE_BYTES = 512, 350  # what an entry weighs beside its head: the record, the lines that it holds


class Shapes(Remembered[bytes, T]):
    """What was made of heads, bounded in bytes. Whoever adds one sees to it that nothing secret is in it.

    A head is kept when it comes a second time: one that never comes again is not worth a place.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        super().__init__(max_bytes, _weight_of_head)
        self._seen_once = SeenOnce()

    def add(self, head: bytes, shape: T) -> None:
        """Keep what was made of a head, if it has come before."""
        if len(head) <= _MAX_HEAD_BYTES and not self._seen_once.is_new(hash(head)):
            self.keep(head, shape)


def _weight_of_head(head: bytes) -> int:
    """Return about how many bytes a head takes up with what was read of it."""
    return 4 * len(head) + OVERHEAD_BYTES + LINE_BYTES * head.count(b"\n")


def without_request_id(head: bytes) -> bytes:
    """Return a head without its `X-Request-Id`, which differs from one to the next and is ours to say anyway."""
    at = head.find(b"equest-")
    found = _REQUEST_ID.match(head, at - _REQUEST_ID_AT) if at > 0 else None
    return head if found is None else head[: found.start()] + head[found.end() :]
