"""What an exchange on the express lane writes to its client: a head with framing of ours, then the body in pieces."""

from __future__ import annotations

from gateway.express.answers import AnswerRead
from gateway.express.body import chunk
from gateway.express.lines import CRLF
from gateway.express.requests import RequestRead
from gateway.policy.decision import Deny
from gateway.server.heads import answer_head, refusal
from gateway.server.outcome import Ended, Outcome
from gateway.server.runtime import Runtime
from gateway.server.shared import LaneClient, Shared

FEW = 4  # requests or clients at a time: nobody else's answer to wait for


class Answering:
    """The answer to one request, the upstream's or ours, on its way to the client."""

    __slots__ = (
        "_connection", "_is_answering", "_is_chunked", "_keeps_alive", "_lane", "_outcome", "_request", "_runtime",
        "_unwritten", "upload_left",
    )  # fmt: skip

    # Set by the exchange: one is made for every request, and a call for each half would cost as much as either.
    _lane: Shared
    _connection: LaneClient
    _request: RequestRead
    _runtime: Runtime
    _outcome: Outcome
    _unwritten: bytes  # held back, to be written with what follows
    _is_answering: bool
    _is_chunked: bool
    _keeps_alive: bool
    upload_left: int

    def answer_data(self, data: bytes) -> None:
        """A piece of the body."""
        self._outcome.bytes_out += len(data)
        framed = chunk(data) if self._is_chunked else data
        if self._unwritten:
            framed, self._unwritten = self._unwritten + framed, b""
        self._connection.write(framed, is_urgent=self._lane.host.open_requests < FEW)

    def _head_of(self, answer: AnswerRead) -> bytes:
        outcome = self._outcome
        outcome.note_first_byte()
        self._is_answering, outcome.status = True, answer.status
        if self.upload_left:
            self._keeps_alive = False  # answered early: the rest has no taker
        return self._framed(answer_head(self._runtime, self._request, answer, outcome.request_id))

    def _framed(self, head: bytes) -> bytes:
        """Return a head with what belongs to this connection, and its end."""
        if self._is_chunked:
            head += b"Transfer-Encoding: chunked\r\n"
        if not self._keeps_alive or self._lane.host.is_draining:
            self._keeps_alive = False
            head += b"Connection: close\r\n"
        return head + CRLF

    def _flush(self) -> None:
        if self._unwritten:
            self._connection.write(self._unwritten, is_urgent=self._lane.host.open_requests < FEW)
            self._unwritten = b""

    def _write_refusal(self, deny: Deny, ended: Ended) -> None:
        """Answer from the table of reasons."""
        self._outcome.note_deny(deny)
        self._outcome.ended, self._outcome.status = ended, deny.reason.status
        head, body = refusal(self._runtime, self._request, deny, self._outcome.request_id)
        if self.upload_left:
            self._keeps_alive = False
        whole = self._framed(head)
        if self._request.method != "HEAD":
            self._outcome.bytes_out = len(body)
            whole += body
        # A flood of refusals is never many at a time, and is cheaper to answer together.
        self._connection.write(whole, is_urgent=len(self._lane.connections) < FEW)
