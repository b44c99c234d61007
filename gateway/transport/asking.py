"""The connections of engines that ask for decisions: each request on them is a question."""

from __future__ import annotations

from gateway.http1.request import RequestRead
from gateway.policy.model import Headers
from gateway.proxy.dialects import asked_at
from gateway.proxy.exchange import Exchange
from gateway.proxy.question import Question
from gateway.transport.client import ClientConnection
from gateway.transport.listener import Listener


class AskingListener(Listener):
    """Makes a connection for every engine that is accepted."""

    def exchange_of(self, client: ClientConnection, request: RequestRead) -> Exchange:
        """Return what is to be done with a question."""
        return Question(self.host, client, request, self.is_fast)

    def unreadable(self, peer: str, scheme: str, head: bytes) -> RequestRead:
        """Return what stands for a question that could not be read: who asked is to be told in his own way."""
        return RequestRead("-", asked_at(head), Headers(()), peer, scheme)
