"""An engine's question whether a request may pass: an exchange that sends nothing on, and says what it would send."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from mypy_extensions import mypyc_attr

from gateway.http1.llhttp import BrokenRequest
from gateway.http1.request import RequestRead
from gateway.policy.addresses import is_within, read_address
from gateway.policy.decision import Allow, Deny
from gateway.policy.denied import Denied
from gateway.policy.ownership import Ownership
from gateway.policy.reasons import Reason
from gateway.policy.session import Session
from gateway.proxy.cors import is_preflight
from gateway.proxy.dialects import Dialect, client_request, dialect_of, printed_in
from gateway.proxy.exchange import Exchange
from gateway.proxy.host import Host
from gateway.proxy.own import OwnAnswer
from gateway.proxy.states import DELIVERING
from gateway.proxy.verdict import for_401_and_403, yes
from gateway.proxy.wire import Client
from gateway.record.outcome import Ended

_NO_PREFLIGHT: Final = "the engine takes any 2xx for a yes: no preflight can be answered through it"
_NO_DOCUMENT: Final = "the gateway itself answers there: send this path to its public port"
_NOT_PARTED: Final = "things have owners there, so the gateway itself must send the request: use its public port"
_EXTRA_BYTES: Final = 8 * 1024


def question_bytes(header_bytes: int) -> int:
    """Return how large the head of a question may be, which holds a client's and what its engine says."""
    return header_bytes + _EXTRA_BYTES


@mypyc_attr(allow_interpreted_subclasses=True)
class Question(Exchange):
    """One question and its answer. The client here is the engine.

    `is_fast` False: llhttp reads the head that the question tells of.
    """

    __slots__ = ("_asked", "_dialect", "_is_fast", "_is_readable")

    def __init__(self, host: Host, client: Client, question: RequestRead, is_fast: bool) -> None:
        super().__init__(host, client, question)
        self._asked, self._is_fast, self._is_readable = question, is_fast, True
        self._dialect: Dialect | None = None

    def begin(self, broken: Denied | None = None) -> None:
        """Read the question, decide, and answer."""
        runtime, asked = self._runtime, self._asked
        self._dialect = dialect = dialect_of(asked.target)
        self._is_readable = broken is None and not asked.length_bytes
        if broken is None:
            try:
                self._check_peer()
                if dialect is None:
                    raise Denied(Reason.QUESTION_MALFORMED, "no engine asks at this path")
                max_bytes = runtime.config.limits.header_bytes
                self._request = client_request(dialect, asked, runtime.requests, max_bytes, is_fast=self._is_fast)
            except BrokenRequest as of_client:  # the answer is about that
                broken, self._request = of_client, of_client.head or asked
            except Denied as problem:
                broken = problem
        super().begin(broken)

    def _check_peer(self) -> None:
        decisions, peer = self._runtime.config.decisions, self._asked.client_ip
        if decisions is None:
            raise Denied(Reason.QUESTION_MALFORMED, "`decisions` is no longer in the file")
        if isinstance(decisions.listen, Path):
            return  # who reaches a socket may ask
        address, networks = read_address(peer), decisions.asked_from
        if address is None or not (is_within(peer, networks) if networks else address.is_loopback):
            raise Denied(Reason.QUESTION_MALFORMED, f"{peer} is not among those who may ask")

    def _judge(self) -> None:
        # Also while the gateway stops: an answer takes no time, and an engine takes a 503 for an outage.
        dialect, cors = self._dialect, self._runtime.config.cors
        if cors is None or not is_preflight(self._request):
            self._decide(may_fetch=True)
        elif dialect is not None and dialect.any_2xx_is_yes and not dialect.only_401_and_403:
            self._refuse(Deny(Reason.ENGINE_LIMITED, _NO_PREFLIGHT))
        else:
            self._answer_preflight(cors)

    def _ask_ourselves(self, allow: Allow, now: float) -> None:
        # An engine takes a 200 for a yes, and would ask the upstream.
        self._refuse(Deny(Reason.ENGINE_LIMITED, _NO_DOCUMENT, allow.route))

    def _spend(self, allow: Allow) -> None:
        if allow.route.own_things is None:
            super()._spend(allow)
        else:
            self._part(allow, allow.route.own_things)

    def _part(self, allow: Allow, ownership: Ownership) -> None:
        # It is the engine that sends the body, as it came.
        self._refuse(Deny(Reason.ENGINE_LIMITED, _NOT_PARTED, allow.route))

    def _go_up(self, allow: Allow, now: float) -> None:
        runtime, outcome, delivery, dialect = self._runtime, self._outcome, self._delivery, self._dialect
        assert dialect is not None  # noqa: S101  # else it was refused
        outcome.note_allow(allow)
        outcome.asked_by = dialect.name
        self._client.serve(True)  # an engine: others speak through it
        trace = () if self._trace is None else self._trace.upstream_lines()
        try:
            names = runtime.told_to(dialect.name, printed_in(dialect, self._asked.target))
            head = yes(dialect, names, runtime, allow, self._request, outcome.request_id, now, trace)
            if runtime.audit is not None:
                runtime.audit.before_it_passes(outcome, is_websocket=self._request.is_websocket)
        except Denied as no:
            self._refuse(Deny(no.reason, no.detail))
            return
        outcome.status = 200
        self._move(DELIVERING)
        delivery.whole(head, b"", self._asked, is_urgent=False)
        self._end(keeps_alive=delivery.keeps_alive)

    # An engine takes no cookie to a browser with a yes, and none but 401 and 403 with a no: a session counts as it
    # came, until its issuer's word ends. The next one would be given once, and nobody could keep it.

    def _may_stream(self) -> bool:
        return False  # an engine does not say when one has ended

    def _wait_for_session(self, session: Session) -> None:
        self._decide(may_fetch=False)

    def _keep_session(self, session: Session, now: float) -> None:
        pass

    def _of_login(self, deny: Deny) -> OwnAnswer | None:
        return None

    def _is_suspect(self, status: int) -> bool:
        return not self._is_readable  # by the question: what it tells of may be refused, and the engine asks on

    def _refuse(self, deny: Deny, ended: Ended = "refused", instead: OwnAnswer | None = None) -> None:
        if self._dialect is not None:
            self._outcome.asked_by = self._dialect.name
        super()._refuse(deny, ended, instead)

    def _answer(self, head: bytes, body: bytes, status: int, *, is_urgent: bool) -> None:
        dialect, head = self._dialect, head + self._said
        if dialect is not None:
            self._outcome.asked_by = dialect.name
            if dialect.only_401_and_403:
                head = for_401_and_403(head, body, status)
        # By the engine's method, not the client's: it says whether a body may follow.
        self._delivery.whole(head, b"" if self._asked.method == "HEAD" else body, self._asked, is_urgent=is_urgent)
