"""The half of an exchange that waits for others than the upstream, and what it says without one: refusals, too.

For a key, the issuer's next word on a session, an answer of our own, a place in a budget. `Exchange` is the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, Final

from mypy_extensions import mypyc_attr

from gateway.config.model import Cors
from gateway.http1.fields import written
from gateway.http1.request import REFUSED_METHODS, RequestRead
from gateway.http1.response import ResponseRead
from gateway.policy.budgets import OverBudget
from gateway.policy.decision import Allow, Deny, NeedKey
from gateway.policy.denied import Denied, LoginFailed, MethodNotAllowed
from gateway.policy.ownership import Ownership
from gateway.policy.reasons import Reason
from gateway.policy.session import Session
from gateway.proxy.delivery import Delivery
from gateway.proxy.errand import Ask, Errand
from gateway.proxy.heads import is_events, may_stream, own_head, preflight_head, refusal
from gateway.proxy.host import Host, Lease
from gateway.proxy.login_page import failed_login_page
from gateway.proxy.own import (
    FOR_PEOPLE,
    WITH_BODY,
    OwnAnswer,
    OwnQuestion,
    end_lines,
    is_page,
    is_step_up,
    login_address,
    public_document,
    redirect,
    session_lines,
)
from gateway.proxy.runtime import Runtime
from gateway.proxy.states import DELIVERING, SENDING, WAITING, State
from gateway.proxy.upload import Upload
from gateway.proxy.wire import Client, Relay
from gateway.record.outcome import Ended, Outcome
from gateway.record.tracing import Trace

_SUSPECT: Final = frozenset({400, 414, 431})


@mypyc_attr(allow_interpreted_subclasses=True)
class Waiting(Relay):
    """What an exchange does before it has an upstream, or without one."""

    # More than a dozen: one is made for each request, and an object for each group would cost what it saves.
    __slots__ = (
        "_allowed", "_asked_about", "_client", "_delivery", "_errand", "_host", "_lease", "_outcome", "_request",
        "_runtime", "_said", "_sent", "_trace", "_upload", "state",
    )  # fmt: skip

    _allowed: Allow | None  # once that is decided
    _asked_about: Session | None  # the session as it came, where its issuer was asked for the next word
    _client: Client
    _delivery: Delivery
    _errand: Errand | None  # under way
    _host: Host
    _lease: Lease | None  # goes back at the end
    _outcome: Outcome
    _request: RequestRead
    _runtime: Runtime
    _said: bytes  # lines that the response gets besides: the cookies of a session
    _sent: list[bytes]  # what is to be sent once there is somebody to take it, or once more
    _trace: Trace | None
    _upload: Upload | None  # while some of the body is still to come
    state: State

    # --- the other half ---

    def _decide(self, *, may_fetch: bool, renewed: Session | Denied | None = None) -> None:
        raise NotImplementedError

    def _go_up(self, allow: Allow, now: float) -> None:
        """Pass an allowed request on. `now` is Unix seconds."""
        raise NotImplementedError

    def _part(self, allow: Allow, ownership: Ownership) -> None:
        raise NotImplementedError

    def _move(self, state: State) -> None:
        raise NotImplementedError

    def _end(self, *, keeps_alive: bool, lingers: bool = False) -> None:
        raise NotImplementedError

    def _end_as_delivered(self) -> None:
        raise NotImplementedError

    def _fail(self, problem: Denied, ended: Ended | None = None) -> None:
        raise NotImplementedError

    def fail_by_mistake(self, surprise: Exception) -> None:
        """There is a mistake in our own code: it is logged, and tells the client nothing."""
        raise NotImplementedError

    # --- waiting ---

    def _wait_for(self, ask: Ask, act: Callable[[Any], None], over_at: float) -> None:
        """Wait for an errand; `act` is told what came of it, unless the exchange has ended by then.

        `over_at` is when it has been too long; `inf`: what is waited for has a clock of its own.
        """

        def go_on(told: Any) -> None:
            self._errand = None
            try:
                act(told)
            except Exception as surprise:
                self.fail_by_mistake(surprise)

        self._move(WAITING)
        if not self._client.is_slow:  # else its own clock runs
            self._client.deadline = over_at
        errand = self._errand = Errand(go_on, over_at)
        errand.begin(ask)

    def _wait_for_key(self, need: NeedKey) -> None:
        self._wait_for(lambda then: self._host.fetch_key(need, then), self._key_came, inf)

    def _key_came(self, moments: tuple[float, float]) -> None:
        """A key was tried to be fetched, well or badly, from when to when: seconds of `time.perf_counter`."""
        if self._trace is not None:
            self._trace.key_fetched(*moments)
        self._decide(may_fetch=False)

    def _wait_for_session(self, session: Session) -> None:
        """Have the issuer say whether a session goes on."""
        self._asked_about = session
        self._wait_for(lambda then: self._host.renew_session(session, then), self._session_came, inf)

    def _session_came(self, renewed: Session | Denied) -> None:
        if isinstance(renewed, Session):  # at once: also who is refused must hear of it, since what he has is used up
            self._keep_session(renewed, self._host.clock())
        self._decide(may_fetch=True, renewed=renewed)

    def _ask_ourselves(self, allow: Allow, now: float) -> None:
        """Answer at one of the gateway's own addresses. `now` is Unix seconds."""
        self._outcome.note_own(allow)
        principal, route = allow.principal, allow.route
        if route.document is not None:
            self._publish(public_document(route.document))
            return
        session = None if principal is None else principal.session
        query = "".join(self._request.target.partition("?")[1:])
        refused = None if allow.would_deny is None else allow.would_deny.reason
        body = b"".join(self._sent) if route.own in WITH_BODY else b""
        one = OwnQuestion(route.own, self._request, query, route.upstream, principal, session, now, refused, body)
        self._wait_for(lambda then: self._host.answer(one, then), lambda it: self._own_answer_came(it, one.name), inf)

    def _own_answer_came(self, answer: OwnAnswer | Denied, name: str) -> None:
        if isinstance(answer, Denied):
            allowed = answer.allowed if isinstance(answer, MethodNotAllowed) else ()
            page = self._page_of(answer) if name in FOR_PEOPLE else None
            self._refuse(Deny(answer.reason, answer.detail, allowed_methods=allowed), instead=page)
        else:
            self._publish(answer)

    def _spend(self, allow: Allow) -> None:
        """Have the budgets of a route say whether its caller may go on."""
        route, principal, client_ip = allow.route, allow.principal, self._request.client_ip

        def go_on(lease: Lease | Denied) -> None:
            if isinstance(lease, Denied):
                if isinstance(lease, OverBudget):
                    self._said += lease.lines
                self._refuse(Deny(lease.reason, lease.detail, route, principal=principal, rule=lease.rule))
                return
            self._lease = lease
            self._said += lease.lines
            if (no := lease.would_deny) is not None and allow.would_deny is None:
                allow.would_deny = Deny(no.reason, no.detail, route, rule=no.rule)
            if allow.route.own_things is not None:
                self._part(allow, allow.route.own_things)
            else:
                self._go_up(allow, self._host.clock())

        self._client.serve(principal is not None)
        may_stream = self._may_stream()
        self._wait_for(
            lambda then: self._host.spend(route, principal, client_ip, then, may_stream=may_stream), go_on, inf
        )

    def _may_stream(self) -> bool:
        return may_stream(self._request)

    def _keeps_place(self, lease: Lease, response: ResponseRead, *, has_length: bool) -> bool:
        """Tell the budgets what the response is; False: it is a stream, and there is no place for one more."""
        lease.answered(has_length=has_length, is_events=is_events(response), cut=self._over_budget)
        return self.state is SENDING

    def _over_budget(self, denied: OverBudget) -> None:
        if self.state is SENDING:
            self._said = self._said.removesuffix(self._lease.lines if self._lease is not None else b"") + denied.lines
        self._fail(denied, "refused")

    def _refuses_failing(self) -> bool:
        """Answer an address that failed too often, and say so: nothing of what it sends is looked at."""
        locked = self._host.locked_out(self._request.client_ip)
        if locked is not None:
            self._said = locked.lines
            self._refuse(Deny(locked.reason, locked.detail, rule=locked.rule))
        return locked is not None

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

    def _page_of(self, problem: Denied) -> OwnAnswer | None:
        """Return what a person sees of a login that failed; a script gets what it always does."""
        login, request = self._runtime.config.policy.login, self._request
        if login is None or request.method != "GET" or not is_page(request):
            return None
        page = problem.page if isinstance(problem, LoginFailed) else "/"
        return failed_login_page(login, problem.reason, page, self._outcome.request_id)

    def _of_login(self, deny: Deny) -> OwnAnswer | None:
        """Return what a person gets in place of a refusal: a page that asks without a session is sent to log in."""
        login = self._runtime.config.policy.login
        if login is None:
            return None
        has_ended = deny.reason is Reason.SESSION_EXPIRED or deny.reason is Reason.SESSION_INVALID
        if has_ended or deny.reason is Reason.TOKEN_REVOKED:
            self._said = written(end_lines(login, self._request))
        # A login would help with nothing else: whoever was refused otherwise would come back for ever.
        would_help = has_ended or deny.reason is Reason.TOKEN_MISSING or is_step_up(deny.step_up, deny.principal)
        if deny.route is None or not deny.route.login or not would_help or self._request.method != "GET":
            return None
        return redirect(login_address(login, self._request.target, deny.step_up)) if is_page(self._request) else None

    def _refuse(self, deny: Deny, ended: Ended = "refused", instead: OwnAnswer | None = None) -> None:
        """Answer from the table of reasons; `instead` in place of what stands there."""
        request, outcome, delivery = self._request, self._outcome, self._delivery
        outcome.note_deny(deny)
        outcome.ended, outcome.status = ended, deny.reason.status
        lingers = self._upload is not None or self._is_suspect(outcome.status)
        if lingers:
            delivery.keeps_alive = False
        head, body = refusal(self._runtime, request, deny, outcome.request_id)
        if instead is None and self._runtime.config.policy.login is not None:
            instead = self._of_login(deny)
        if instead is not None:
            outcome.status, body = instead.status, instead.body
            head = own_head(self._runtime, request, instead, outcome.request_id)
        if outcome.status == 401 and self._runtime.counts_failures:
            self._host.note_failure(outcome.client_ip)
        if self._runtime.audit is not None:
            self._runtime.audit.before_its_answer(outcome)
        self._move(DELIVERING)
        # A flood of refusals is never many at a time, and is cheaper to answer together: nothing is urgent.
        self._answer(head, body, outcome.status, is_urgent=False)
        self._end(keeps_alive=delivery.keeps_alive, lingers=lingers)

    def _is_suspect(self, status: int) -> bool:
        # What was too long or could be read in two ways leaves doubt about where the next request begins (CWE-444).
        return status in _SUSPECT or self._request.method in REFUSED_METHODS

    def _answer(self, head: bytes, body: bytes, status: int, *, is_urgent: bool) -> None:
        """Write what the gateway says by itself; `head` is without its end, and says `status` already."""
        request = self._request
        self._delivery.whole(head + self._said, b"" if request.method == "HEAD" else body, request, is_urgent=is_urgent)

    def _answer_preflight(self, rules: Cors) -> None:
        self._outcome.note_decision()
        self._say(preflight_head(rules, self._request, self._outcome.request_id), b"", 204, "(preflight)")

    def _publish(self, answer: OwnAnswer) -> None:
        """Answer by ourselves: no upstream hears of it."""
        if self._runtime.audit is not None:
            self._runtime.audit.before_its_answer(self._outcome)
        head = own_head(self._runtime, self._request, answer, self._outcome.request_id)
        self._say(head, answer.body, answer.status, self._outcome.route or "")

    def _say(self, head: bytes, body: bytes, status: int, route_key: str) -> None:
        """Answer whoever may ask, without an upstream. `head` is without its end."""
        outcome = self._outcome
        outcome.decision, outcome.route, outcome.status = "allow", route_key, status
        self._delivery.keeps_alive = self._delivery.keeps_alive and self._upload is None
        self._move(DELIVERING)
        self._answer(head, body, status, is_urgent=True)
        self._end_as_delivered()
