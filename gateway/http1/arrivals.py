"""What has come from a client and is not yet a request: where one head ends, and who reads it. No I/O."""

from __future__ import annotations

import re
from typing import Final

from gateway.http1.fields import END_OF_HEAD, FIELD_CHARACTERS
from gateway.http1.llhttp import BrokenRequest, read_request
from gateway.http1.request import RequestRead, Requests
from gateway.policy.denied import Denied
from gateway.policy.reasons import Reason

_TEXT: Final = FIELD_CHARACTERS + b"\r\n"
_EMPTY_LINES: Final = re.compile(rb"(?:\r\n)+")  # old clients send one behind a body (RFC 9112 section 2.2)


def read_head(
    requests: Requests, head: bytes, client_ip: str, scheme: str, max_bytes: int, *, is_fast: bool
) -> RequestRead | None:
    """Return what a head says, given with the empty line at its end; None: its end is somewhere else.

    `is_fast` False: llhttp reads it, as it does what our grammar does not. Raises `BrokenRequest`.
    """
    request = None
    if is_fast and len(head) <= max_bytes:
        request = requests.read(head[:-2], client_ip, scheme)
    return request if request is not None else read_request(head, client_ip, scheme, max_bytes)


class Arrivals:
    """The bytes of one connection, in order: what waits stands in `ahead`, from `at` on. Bounded by who adds to it.

    `pieces` is in how many a head has come that is not whole.
    """

    __slots__ = ("ahead", "at", "pieces")

    def __init__(self) -> None:
        self.ahead = b""
        self.at = self.pieces = 0

    @property
    def count_bytes(self) -> int:
        """How much waits."""
        return len(self.ahead) - self.at

    def take(self) -> bytes:
        """Return all that waits, which is no request any more."""
        ahead = self.ahead[self.at :]
        self.ahead, self.at = b"", 0
        return ahead

    def next(
        self, requests: Requests, client_ip: str, scheme: str, max_bytes: int, *, is_fast: bool
    ) -> RequestRead | None:
        """Return the next request; what is behind its head begins at `at` then. None: its end is still to come.

        `is_fast` False: llhttp reads it, as it does what our grammar does not. Raises `BrokenRequest`.
        """
        ahead, at = self.ahead, self.at
        request = None
        # Most often what came is one head, whose end need not be searched for: several cannot be read as one.
        end = len(ahead) - len(END_OF_HEAD)
        if is_fast and not at and end <= max_bytes - len(END_OF_HEAD) and ahead.endswith(END_OF_HEAD):
            request = requests.read(ahead[:-2], client_ip, scheme)
        if request is None:
            if (empty := _EMPTY_LINES.match(ahead, at)) is not None:
                at = self.at = empty.end()
            end = ahead.find(END_OF_HEAD, at)
            if end < 0:
                self._look_at_part(ahead[at:], client_ip, scheme, max_bytes)
                return None
            whole = ahead[at : end + len(END_OF_HEAD)]
            request = read_head(requests, whole, client_ip, scheme, max_bytes, is_fast=is_fast)
        self.at, self.pieces = end + len(END_OF_HEAD), 0
        return request

    def _look_at_part(self, part: bytes, client_ip: str, scheme: str, max_bytes: int) -> None:
        """See whether half a head can become one: one that cannot is refused at once."""
        if not part:
            self.ahead, self.at, self.pieces = b"", 0, 0
            return
        self.pieces += 1
        is_long = len(part) > max_bytes
        if is_long or part.translate(None, _TEXT) or b"\n" in part.replace(b"\r\n", b""):
            read_request(part, client_ip, scheme, max_bytes)
        if is_long:
            raise BrokenRequest(Denied(Reason.HEADERS_TOO_LARGE, f"the head is over {max_bytes} bytes"))
