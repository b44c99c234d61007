"""The body of a request while some of it is still to come."""

from __future__ import annotations

from typing import Final

from gateway.http1.body import LAST_CHUNK, Body, BrokenBodyError, Chunks, chunk
from gateway.http1.llhttp import ChunksReadTwice
from gateway.http1.request import CHUNKED_LENGTH, RequestRead
from gateway.policy.denied import Denied
from gateway.policy.reasons import Reason

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
MAX_AHEAD_BYTES: Final = 64 * 1024  # of what a client sends before anybody can take it


class Upload(Body):
    """A body as a client sends it, at most `max_bytes` of it (None: however many)."""

    __slots__ = ("max_bytes",)

    def __init__(self, request: RequestRead, max_bytes: int | None) -> None:
        if request.length_bytes == CHUNKED_LENGTH:
            super().__init__(None, (Chunks if request.is_fast else ChunksReadTwice)(is_of_request=True))
        else:
            super().__init__(request.length_bytes)
        self.max_bytes = max_bytes

    def payload(self, data: bytes) -> bytes:
        """Return what is of it of bytes that came, without framing.

        Raises `Denied`: REQUEST_MALFORMED for chunks that are none, BODY_TOO_LARGE.
        """
        try:
            piece = self.take(data)
        except BrokenBodyError as problem:
            raise Denied(Reason.REQUEST_MALFORMED, f"the body broke off: {problem}") from None
        if self.max_bytes is not None and self.count_bytes > self.max_bytes:
            raise Denied(Reason.BODY_TOO_LARGE, f"more than {self.max_bytes} bytes came")
        return piece


def framed_anew(pieces: list[bytes], *, is_complete: bool) -> bytes:
    """Return pieces of a body as chunks: the sender's end where ours may not."""
    framed = [chunk(piece) for piece in pieces if piece]
    if is_complete:
        framed.append(LAST_CHUNK)
    return framed[0] if len(framed) == 1 else b"".join(framed)
