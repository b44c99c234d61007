"""The half of an exchange that waits for others than the upstream, and what it says without one.

For a key, for the issuer's next word on a session, for one of the gateway's own answers. `Exchange` is the other half.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from mypy_extensions import mypyc_attr

from gateway.config.model import Cors
from gateway.http1.fields import written
from gateway.http1.request import RequestRead
from gateway.policy.decision import Allow, Deny, NeedKey
from gateway.policy.denied import Denied, MethodNotAllowed
from gateway.policy.reasons import Reason
from gateway.policy.session import Session
from gateway.proxy.delivery import Delivery
from gateway.proxy.heads import own_head, preflight_head
from gateway.proxy.host import Host
from gateway.proxy.own import (
    OwnAnswer,
    OwnQuestion,
    end_lines,
    is_page,
    login_address,
    public_document,
    redirect,
    session_lines,
)
from gateway.proxy.runtime import Runtime
from gateway.proxy.states import DELIVERING, WAITING, State
from gateway.proxy.wire import Client, Relay
from gateway.record.outcome import Ended, Outcome
from gateway.record.tracing import Trace


@mypyc_attr(allow_interpreted_subclasses=True)
class Waiting(Relay):
    """What an exchange does before it has an upstream, or without one."""

    # More than a dozen: one is made for each request, and an object for each group would cost what it saves.
    __slots__ = (
        "_asked_about", "_client", "_delivery", "_host", "_outcome", "_request", "_runtime", "_said", "_trace",
        "_waits_for", "state",
    )  # fmt: skip

    _asked_about: Session | None  # the session as it came, where its issuer was asked for the next word
    _client: Client
    _delivery: Delivery
    _host: Host
    _outcome: Outcome
    _request: RequestRead
    _runtime: Runtime
    _said: bytes  # lines that the response gets besides: the cookies of a session
    _trace: Trace | None
    _waits_for: Callable[[], object] | None  # gives it up
    state: State

    # --- the other half ---

    def _decide(self, *, may_fetch: bool, renewed: Session | Denied | None = None) -> None:
        raise NotImplementedError

    def _refuse(self, deny: Deny, ended: Ended = "refused") -> None:
        raise NotImplementedError

    def _move(self, state: State) -> None:
        raise NotImplementedError

    def _answer(self, head: bytes, body: bytes, status: int, *, is_urgent: bool) -> None:
        raise NotImplementedError

    def _end_as_delivered(self) -> None:
        raise NotImplementedError

    def fail_by_mistake(self, surprise: Exception) -> None:
        """There is a mistake in our own code: it is logged, and tells the client nothing."""
        raise NotImplementedError

    @property
    def _has_upload(self) -> bool:
        raise NotImplementedError

    # --- waiting ---

    def _wait_for_key(self, need: NeedKey) -> None:
        self._begin_to_wait()
        self._waits_for = self._host.fetch_key(need, self._key_came)

    def _key_came(self, began_at: float, ended_at: float) -> None:
        """A key was tried to be fetched, well or badly. Times are seconds of `time.perf_counter`."""
        if not self._has_waited():
            return
        try:
            if self._trace is not None:
                self._trace.key_fetched(began_at, ended_at)
            self._decide(may_fetch=False)
        except Exception as surprise:
            self.fail_by_mistake(surprise)

    def _wait_for_session(self, session: Session) -> None:
        self._begin_to_wait()
        self._asked_about = session
        self._waits_for = self._host.renew_session(session, self._session_came)

    def _session_came(self, renewed: Session | Denied) -> None:
        """The issuer has said whether a session goes on."""
        if not self._has_waited():
            return
        try:
            self._decide(may_fetch=True, renewed=renewed)
        except Exception as surprise:
            self.fail_by_mistake(surprise)

    def _ask_ourselves(self, allow: Allow, now: float) -> None:
        """Answer at one of the gateway's own addresses. `now` is Unix seconds."""
        self._outcome.note_own(allow)
        principal, route = allow.principal, allow.route
        if route.document is not None:
            self._publish(public_document(route.document))
            return
        session = None if principal is None else principal.session
        query = "".join(self._request.target.partition("?")[1:])
        self._begin_to_wait()
        refused = None if allow.would_deny is None else allow.would_deny.reason
        question = OwnQuestion(route.own, self._request, query, route.upstream, principal, session, now, refused)
        self._waits_for = self._host.answer(question, self._own_answer_came)

    def _own_answer_came(self, answer: OwnAnswer | Denied) -> None:
        if not self._has_waited():
            return
        try:
            if isinstance(answer, Denied):
                allowed = answer.allowed if isinstance(answer, MethodNotAllowed) else ()
                self._refuse(Deny(answer.reason, answer.detail, allowed_methods=allowed))
            else:
                self._publish(answer)
        except Exception as surprise:
            self.fail_by_mistake(surprise)

    def _begin_to_wait(self) -> None:
        self._move(WAITING)
        self._client.deadline = inf  # what is waited for has a clock of its own

    def _has_waited(self) -> bool:
        self._waits_for = None
        return self.state is WAITING

    # --- saying ---

    def _keep_session(self, session: Session, now: float) -> None:
        """Have the response say anew what the session's cookie holds, where that has changed. `now` is Unix seconds."""
        login, before = self._runtime.config.policy.login, self._asked_about
        # One that stayed as it was is not said again: another process may have said the next one meanwhile.
        is_renewed = before is not None and session is not before
        if login is None or not (is_renewed or login.seal.is_worn(session, now)):
            return
        try:
            self._said = written(session_lines(login, session.seen(now), self._request))
        except ValueError:  # the next word is larger than browsers keep: the session ends with this one
            self._said = b""

    def _of_login(self, deny: Deny) -> OwnAnswer | None:
        """Return what a person gets in place of a refusal: a page that asks without a session is sent to log in."""
        login = self._runtime.config.policy.login
        if login is None:
            return None
        has_ended = deny.reason is Reason.SESSION_EXPIRED or deny.reason is Reason.SESSION_INVALID
        if has_ended:
            self._said = written(end_lines(login, self._request))
        # A login would help with nothing else: whoever was refused otherwise would come back for ever.
        would_help = has_ended or deny.reason is Reason.TOKEN_MISSING
        if deny.route is None or not deny.route.login or not would_help or self._request.method != "GET":
            return None
        return redirect(login_address(login, self._request.target)) if is_page(self._request) else None

    def _answer_preflight(self, rules: Cors) -> None:
        self._outcome.note_decision()
        self._say(preflight_head(rules, self._request, self._outcome.request_id), b"", 204, "(preflight)")

    def _publish(self, answer: OwnAnswer) -> None:
        """Answer by ourselves: no upstream hears of it."""
        head = own_head(self._runtime, self._request, answer, self._outcome.request_id)
        self._say(head, answer.body, answer.status, self._outcome.route or "")

    def _say(self, head: bytes, body: bytes, status: int, route_key: str) -> None:
        """Answer whoever may ask, without an upstream. `head` is without its end."""
        outcome = self._outcome
        outcome.decision, outcome.route, outcome.status = "allow", route_key, status
        self._delivery.keeps_alive = self._delivery.keeps_alive and not self._has_upload
        self._move(DELIVERING)
        self._answer(head, body, status, is_urgent=True)
        self._end_as_delivered()
