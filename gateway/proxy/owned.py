"""The half of an exchange that keeps a caller to what is their own: bodies held whole, and the upstream asked."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from mypy_extensions import mypyc_attr

from gateway.policy.decision import Allow, Deny
from gateway.policy.denied import Denied
from gateway.policy.enquiries import Question, Sent, Told
from gateway.policy.json_edits import weigh
from gateway.policy.ownership import Ownership
from gateway.policy.reasons import Reason
from gateway.proxy.enquiry import JSON, Enquiry, enquiry_of
from gateway.proxy.heads import request_head
from gateway.proxy.holding import MAX_BODY_BYTES, SMALL_BYTES, Held
from gateway.proxy.living import end_of, reason_of_end
from gateway.proxy.own import MAX_OWN_BODY_BYTES, OWN_BODY_SECONDS, WITH_BODY, OwnAnswer
from gateway.proxy.parting import Parting
from gateway.proxy.states import ENDED, HOLDING
from gateway.proxy.upload import CONTINUE
from gateway.proxy.waiting import Waiting
from gateway.record.outcome import Ended


@mypyc_attr(allow_interpreted_subclasses=True)
class Owned(Waiting):
    """What an exchange does between its decision and its upstream, where things have owners."""

    __slots__ = ("_held", "_parting")

    _held: Held | None  # what is held, as it is counted
    _parting: Parting | None

    # --- the other half ---

    def _fail(self, problem: Denied, ended: Ended | None = None) -> None:
        raise NotImplementedError

    def _wait(self) -> None:
        raise NotImplementedError

    # --- what we ourselves are told ---

    def _ask_ourselves(self, allow: Allow, now: float) -> None:
        """Answer by ourselves, with the body where one is read. `now` is Unix seconds."""
        upload = self._upload
        if upload is None or allow.route.own not in WITH_BODY:
            Waiting._ask_ourselves(self, allow, now)
            return
        self._move(HOLDING)
        self._client.deadline = self._client.now() + OWN_BODY_SECONDS
        if self._request.expects_continue and not self._sent:
            self._client.write(CONTINUE)
        self._hold_ours(allow)

    def _hold_ours(self, allow: Allow) -> None:
        if sum([len(piece) for piece in self._sent]) > MAX_OWN_BODY_BYTES:
            self._refuse(Deny(Reason.BODY_TOO_LARGE, f"more than {MAX_OWN_BODY_BYTES} bytes came", allow.route))
        elif self._upload is None:
            Waiting._ask_ourselves(self, allow, self._host.clock())

    def _publish(self, answer: OwnAnswer) -> None:
        """Answer by ourselves; whose token does not count there has tried it as anywhere else, though it is no 401."""
        no = None if self._allowed is None else self._allowed.would_deny
        if no is not None and self._runtime.counts_failures and no.had_token and no.reason.status == 401:
            self._host.note_failure(self._outcome.client_ip)
        Waiting._publish(self, answer)

    # --- in this order ---

    def _part(self, allow: Allow, ownership: Ownership) -> None:
        """Keep a caller to what is their own: read the body, have the upstream asked, and change what goes up."""
        request, runtime, client, upload = self._request, self._runtime, self._client, self._upload
        limits = runtime.config.limits
        outcome = self._outcome
        outcome.upstream = allow.route.upstream
        client.serve(allow.principal is not None)
        outcome.note_way("close")  # until it is known that something else is done
        try:
            parting = Parting(allow, ownership, request, runtime.owners)
            outcome.note_way(parting.way)
            if request.length_bytes:
                runtime.check_body(request)
            parting.check_head(request)
        except Denied as no:
            self._not_parted(allow, no)
            return
        self._parting = parting
        if upload is None or not parting.needs_body:
            self._begin_to_part(parting)
            return
        upload.over_at = client.now() + (limits.body_timeout_seconds or inf)
        self._move(HOLDING)
        self._held = self._host.holding.begin(parting.caller, self._shed)
        if request.expects_continue and not self._sent:
            client.write(CONTINUE)
        client.hold_upload(is_held=False)
        self._hold(upload.count_bytes)

    def _hold(self, count_bytes: int) -> None:
        """So many bytes came of the body that is held."""
        held, parting = self._held, self._parting
        if self._allowed is not None and self._allowed.route.own:
            self._hold_ours(self._allowed)
            return
        assert held is not None and parting is not None  # noqa: S101  # else nothing is held
        self._host.holding.grow(held, count_bytes)
        if self.state is not HOLDING:
            return  # it had to go
        if held.count_bytes > MAX_BODY_BYTES:
            self._not_parted(parting.allow, Denied(Reason.BODY_TOO_LARGE, f"more than {MAX_BODY_BYTES} bytes came"))
        elif self._upload is None:
            try:
                self._check_caller(parting.allow)
                self._begin_to_part(parting)
            except Denied as no:
                self._fail(no)
            except Exception as surprise:  # not into the connection, whose next piece this is
                self.fail_by_mistake(surprise)
        else:
            self._wait()

    def _check_caller(self, allow: Allow) -> None:
        """Look once more whether a caller's time is not over: a body may take as long as its sender likes.

        Whoever could begin with a token and end without one would have an identity, signed anew, for ever.
        Raises `Denied` (TOKEN_EXPIRED, SESSION_EXPIRED).
        """
        principal, route, now = allow.principal, allow.route, self._host.clock()
        if principal is None or not route.enforce:
            return
        leeway = max([one.leeway_seconds for one in route.providers if one.name == principal.provider], default=0.0)
        over = now - end_of(self._host, self._runtime.config.policy.login, principal)
        if over >= leeway:
            raise Denied(reason_of_end(principal), f"ended {over:.0f} s before all of the body was there")

    def _shed(self) -> None:
        self._fail(Denied(Reason.BODIES_FULL, "of all bodies that are held this caller's are largest"))

    def _begin_to_part(self, parting: Parting) -> None:
        """All of the body is there, if it is to be read."""
        size = sum(len(piece) for piece in self._sent) if parting.needs_body else 0
        if size > SMALL_BYTES and self._held is None:
            held = self._held = self._host.holding.begin(parting.caller, self._shed)
            self._host.holding.grow(held, size)
            if self.state is ENDED:
                return
        self._in_turn(parting, lambda: self._read(parting))

    def _in_turn(self, parting: Parting, act: Callable[[], None]) -> None:
        """Do what takes long for a large body when it is its turn."""
        if self._held is None or self._held.count_bytes <= SMALL_BYTES:
            act()
        else:
            self._wait_for(
                lambda then: self._host.holding.turns.wait(parting.caller, lambda: then(None)), lambda _: act(), inf
            )

    def _read(self, parting: Parting) -> None:
        body = None
        if parting.needs_body:
            body = b"".join(self._sent)
            self._sent = [body] if body else []  # not twice
        try:
            step = parting.begin(body, self._host.clock())
        except Denied as no:
            self._not_parted(parting.allow, no)
            return
        if body and isinstance(step, Question):  # what was read of it stays until there is an answer
            held = self._held
            if held is None:
                held = self._held = self._host.holding.begin(parting.caller, self._shed)
            self._host.holding.grow(held, weigh(body) - held.count_bytes)
            if self.state is ENDED:
                return
        self._go_on(parting, step)

    def _go_on(self, parting: Parting, step: Question | Sent) -> None:
        if isinstance(step, Question):
            self._ask(parting, step)
            return
        as_came, held = parting.allow, self._held
        allow = Allow(
            as_came.route, step.target, as_came.principal, as_came.withheld, as_came.would_deny, as_came.said
        )  # fmt: skip
        if step.body is not None:
            self._put(allow, step.body)
        self._held = None
        if held is not None:
            self._host.holding.end(held)
        self._go_up(allow, self._host.clock())

    def _put(self, allow: Allow, body: bytes) -> None:
        """Have another body go up than came, also where none came."""
        request, outcome = self._request, self._outcome
        outcome.bytes_in = outcome.bytes_in or sum(len(piece) for piece in self._sent)
        if not request.length_bytes and not request.headers.all("content-type"):
            allow.said = (*allow.said, JSON)
        request.length_bytes, self._sent = len(body), [body]

    def _ask(self, parting: Parting, question: Question) -> None:
        """Ask the upstream, with the credential and in the name of the request that waits."""
        runtime, outcome, allow = self._runtime, self._outcome, parting.allow
        trace = () if self._trace is None else self._trace.upstream_lines("look-up")
        asked, asking = enquiry_of(question, self._request, allow, runtime.header_rules)
        try:
            head = request_head(runtime, asking, asked, outcome.request_id, self._host.clock(), trace)
        except Denied as no:
            self._not_parted(allow, no)
            return
        upstream = allow.route.upstream
        before = 0 if self._held is None else self._held.count_bytes
        enquiry = Enquiry(
            runtime.upstreams[upstream.name], question.method, head + question.body,
            lambda count_bytes: self._hold_answer(parting, count_bytes),
        )  # fmt: skip
        outcome.lookups_asked += 1
        over_at = self._client.now() + upstream.response_timeout_seconds
        self._wait_for(enquiry.begin, lambda told: self._told(parting, told, before), over_at)

    def _hold_answer(self, parting: Parting, count_bytes: int) -> None:
        if self._held is None:
            self._held = self._host.holding.begin(parting.caller, self._shed)
        self._host.holding.grow(self._held, count_bytes)

    def _told(self, parting: Parting, told: Told | Denied, before: int) -> None:
        """The upstream has answered, or there is no answer. `before`: the bytes that were held when it was asked."""
        if isinstance(told, Denied):
            self._not_parted(parting.allow, told)
        else:
            self._in_turn(parting, lambda: self._read_on(parting, told, before))

    def _read_on(self, parting: Parting, told: Told, before: int) -> None:
        try:
            step = parting.go_on(told, self._host.clock())
        except Denied as no:
            self._not_parted(parting.allow, no)
            return
        if self._held is not None:
            self._host.holding.grow(self._held, before - self._held.count_bytes)  # the answer is not held any longer
        self._go_on(parting, step)

    def _not_parted(self, allow: Allow, no: Denied) -> None:
        """Refuse what is not the caller's, also where a route says `enforce: false`: that is about rules."""
        self._refuse(Deny(no.reason, no.detail, allow.route, principal=allow.principal))
