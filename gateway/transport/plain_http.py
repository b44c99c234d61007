"""Plain HTTP on the TLS port: a response that says so, in place of a connection that just ends.

Neither asyncio nor uvloop says anything before the handshake is over, so this stands where they call OpenSSL. What is
TLS goes through untouched; what is not never gets further than this response, and nothing of it is read as a request.
"""

from __future__ import annotations

import secrets
import ssl

from gateway.http1.fields import STATUS_LINES, written
from gateway.policy.reasons import Reason
from gateway.proxy.refusal import refusal_body, refusal_lines
from gateway.transport.client import LINGER_BYTES


def answer() -> bytes:
    """Return what plain HTTP is answered, whatever it asked."""
    request_id = secrets.token_hex(16)
    body = refusal_body(Reason.PLAIN_HTTP, request_id)
    own = [("Content-Length", str(len(body))), ("X-Request-Id", request_id), ("Connection", "close")]
    head = written([*refusal_lines(Reason.PLAIN_HTTP), *own])
    return b"%b%b\r\n%b" % (STATUS_LINES[Reason.PLAIN_HTTP.status], head, body)


class _Handshaking(ssl.SSLObject):
    """A connection of which nobody knows yet whether it is TLS."""

    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO
    is_seen = is_plain = False
    discarded_bytes = 0

    def do_handshake(self) -> None:
        """Go on with the handshake; of what is no TLS, take nothing but to throw it away.

        Raises `ssl.SSLError`, as it does without us. The client closes, or its time for the handshake is over.
        """
        if not self.is_seen and self.incoming.pending:
            self._look()
        if not self.is_plain:
            super().do_handshake()
            return
        self.discarded_bytes += len(self.incoming.read())
        if self.discarded_bytes > LINGER_BYTES:
            raise ssl.SSLError(ssl.SSL_ERROR_SSL, "plain HTTP, and too much of it")
        raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "the response leaves now")

    def _look(self) -> None:
        # A record of TLS begins with its kind, a small number (RFC 8446 section 5.1); a request with a letter.
        first = self.incoming.read()
        self.incoming.write(first)
        self.is_seen, self.is_plain = True, first[:1].isalpha()
        if self.is_plain:
            self.outgoing.write(answer())


class ServerContext(ssl.SSLContext):
    """A context of a server that tells plain HTTP from TLS."""

    sslobject_class = _Handshaking

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Return what the event loop shakes hands with."""
        made = super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
        if isinstance(made, _Handshaking):
            made.incoming, made.outgoing = incoming, outgoing
        return made
