"""A question to the upstream that a request waits for: whose a thing is. Asked over the connections of the request."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from mypy_extensions import mypyc_attr

from gateway.http1.fields import written
from gateway.http1.request import IDEMPOTENT_METHODS, RequestRead
from gateway.http1.response import ResponseRead
from gateway.policy.decision import Allow
from gateway.policy.denied import Denied
from gateway.policy.enquiries import Question, Told
from gateway.policy.fields import HeaderRules, Verdict
from gateway.policy.json_edits import check_bounds
from gateway.policy.model import Headers
from gateway.policy.onward import Line, lines_onward
from gateway.proxy.wire import Connections, Relay, Upstream

MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024  # a trace has all that was said in it
# Of a client's head only its host, and what the caller is known by: nothing else of it may change the answer.
_CREDENTIALS: Final = frozenset({Verdict.AUTHORIZATION, Verdict.COOKIE, Verdict.TOKEN, Verdict.MASTRA})
JSON: Final[Line] = ("Content-Type", "application/json")


def enquiry_of(question: Question, request: RequestRead, allow: Allow, rules: HeaderRules) -> tuple[RequestRead, Allow]:
    """Return the request that asks a question, in the name of the one that waits for it."""
    lines = [
        (name, value)
        for name, value in lines_onward(request, rules, allow.withheld)
        if name.lower() == "host" or rules.verdict_of(name) in _CREDENTIALS
    ]
    lines += [("Accept", "application/json"), *([JSON] if question.body else [])]
    length_bytes = len(question.body)
    asked = RequestRead(
        question.method, question.target, Headers(lines), request.client_ip, request.scheme, length_bytes=length_bytes,
        forwarded=written(lines),
    )  # fmt: skip
    asked.forwarded_for = request.forwarded_for
    return asked, Allow(allow.route, question.target, allow.principal, said=allow.said)


@mypyc_attr(allow_interpreted_subclasses=True)
class Enquiry(Relay):
    """One question and its answer. `data` is the request that asks it; `grow` is told how many bytes are held."""

    __slots__ = (
        "_answer",
        "_connections",
        "_count_bytes",
        "_data",
        "_grow",
        "_method",
        "_status",
        "_then",
        "_tries",
        "_upstream",
    )

    def __init__(
        self, connections: Connections, method: str, data: bytes, grow: Callable[[int], None] = lambda count_bytes: None
    ) -> None:
        self._connections, self._method, self._data, self._grow = connections, method, data, grow
        self._then: Callable[[Told | Denied], None] | None = None
        self._upstream: Upstream | None = None
        self._tries = self._status = self._count_bytes = 0
        self._answer: list[bytes] = []

    def begin(self, then: Callable[[Told | Denied], None]) -> Callable[[], object]:
        """Ask, and say what the answer was, or why there is none; returns what gives it up."""
        self._then = then
        self._send()
        return self.give_up

    def give_up(self) -> None:
        """Nobody waits for the answer any more."""
        self._then, self._answer = None, []
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.abort()

    def response_came(self, response: ResponseRead, body: bytes) -> None:
        self._status, self._answer = response.status, [body]  # as much as comes at once is never much
        self.response_ended()

    def response_began(self, response: ResponseRead) -> None:
        self._status = response.status

    def response_data(self, data: bytes) -> None:
        self._count_bytes += len(data)
        if self._count_bytes <= MAX_ANSWER_BYTES:
            self._answer.append(data)
            self._grow(len(data))  # gives this up, where others need the room
            return
        then, self._answer = self._then, []
        self.give_up()
        if then is not None:
            then(Told(self._status))

    def response_ended(self) -> None:
        answer, self._answer = b"".join(self._answer), []
        self._tell(Told(self._status, _json_of(answer)))

    def response_broke(self, problem: Denied, *, may_retry: bool, unsent: bytes = b"") -> None:
        self._upstream = None
        is_safe = may_retry and self._method in IDEMPOTENT_METHODS
        if self._tries == 1 and (is_safe or unsent):
            self._send()
        else:
            self._tell(problem)

    def switched(self, response: ResponseRead) -> Relay | None:
        return None

    def _send(self) -> None:
        self._tries += 1
        connections = self._connections
        upstream = self._upstream = connections.take() if self._tries == 1 else connections.open()
        upstream.is_sending = False
        if upstream.is_held:
            upstream.hold_response(is_held=False)
        upstream.begin(self, self._method, self._data)

    def _tell(self, told: Told | Denied) -> None:
        then, self._then, self._upstream = self._then, None, None
        if then is not None:
            then(told)


def _json_of(body: bytes) -> object:
    """Return what an answer says; None where it is no JSON, or takes long to read: callers fill it with their words."""
    try:
        text = body.decode("utf-8")
        check_bounds(text)
        said: object = json.loads(text)
    except (ValueError, RecursionError, Denied):
        return None
    return said
