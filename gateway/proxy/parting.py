"""What is whose, for one request: whether its body is to be read, what is to be asked, and what goes up. No I/O."""

from __future__ import annotations

from gateway.http1.request import RequestRead
from gateway.policy.decision import Allow
from gateway.policy.denied import Denied
from gateway.policy.enquiries import Owning, Question, Sent, Told, owner_in
from gateway.policy.json_bodies import check_json_head, is_form
from gateway.policy.mastra_names import about_what_is_named
from gateway.policy.mastra_routes import Way
from gateway.policy.owners import Memo, Owners
from gateway.policy.ownership import Ownership, owner_of, row_in
from gateway.policy.owning import needs_body, owning, takes_files
from gateway.policy.paths import split_target
from gateway.policy.reasons import Reason
from gateway.proxy.holding import MAX_BODY_BYTES


class Parting:
    """The treatment of one request, in steps: a `Question` is to be asked, and its answer told; `Sent` is what goes up.

    `way` is how its caller is kept to what is their own. Each step raises `Denied`.
    """

    __slots__ = (
        "_absent", "_client_ip", "_is_unread", "_may_be_put", "_method", "_owner", "_owners", "_ownership", "_question",
        "_row", "_steps", "allow", "kept", "needs_body", "way",
    )  # fmt: skip

    def __init__(self, allow: Allow, ownership: Ownership, request: RequestRead, owners: Owners) -> None:
        self.allow, self._ownership, self._owners = allow, ownership, owners
        self._method, self._client_ip = request.method, request.client_ip
        row = self._row = row_in(ownership, request.method, split_target(allow.target)[0])
        self.way: Way = "none" if row is None else row.way
        if request.is_websocket and self.way != "none":
            raise Denied(Reason.NOT_OWNER, "what is said over a WebSocket cannot be told apart by owner")
        self._is_unread = row is not None and takes_files(row) and is_form(request.headers)
        self.needs_body = row is not None and needs_body(row, request.method) and not self._is_unread
        self._may_be_put = self.needs_body or not request.length_bytes
        self.kept = 0  # look-ups that need not be made: their answers are remembered
        self._absent: list[Memo] = []  # what was asked for and is not there
        self._owner: str | None = None
        self._question: Question | None = None
        self._steps: Owning | None = None

    @property
    def caller(self) -> str:
        """Who sends it, as it is told apart from others here."""
        principal = self.allow.principal
        return self._client_ip if principal is None else f"{principal.provider} {principal.subject}"

    def check_head(self, request: RequestRead) -> None:
        """Refuse a body that is to be held whole and cannot be, or that should not be there, by what its head says.

        Raises `Denied` (BODY_TOO_LARGE, BODY_UNSUPPORTED).
        """
        length_bytes = request.length_bytes
        if not self.needs_body:
            if length_bytes and self.way in ("pin", "look_up") and not self._is_unread:
                raise Denied(Reason.BODY_UNSUPPORTED, f"a {self._method} with a body, which nobody reads here")
            return
        if length_bytes > MAX_BODY_BYTES:
            raise Denied(Reason.BODY_TOO_LARGE, f"Content-Length {length_bytes}, at most {MAX_BODY_BYTES} are held")
        check_json_head(request.headers, has_body=length_bytes != 0)

    def begin(self, body: bytes | None, now: float) -> Question | Sent:
        """Take the first step. `body` is all of it, empty where there is none; None: it was not read."""
        row, allow = self._row, self.allow
        if row is None:
            return Sent(allow.target, None, "none")
        if not self._ownership.has_owners:
            return about_what_is_named(row, self._ownership.prefix, allow.target, body)
        try:
            owner = owner_of(self._ownership, allow.principal)
        except Denied:
            if row.way != "none":
                raise
            owner = None  # what is there is nobody's
        self._owner = owner
        steps = self._steps = owning(row, self._ownership, owner, self._method, allow.target, body)
        return self._after(steps, None, now)

    def go_on(self, told: Told, now: float) -> Question | Sent:
        """Take the next step, with what the upstream said to the last question. `now` is of one clock."""
        question, steps = self._question, self._steps
        assert question is not None and steps is not None  # noqa: S101  # it was asked
        if question.memo is not None and told.status == 200:
            owner = owner_in(question.memo[0], told.json)
            if owner is not None:
                self._owners.keep(self.allow.route.upstream.name, question.memo, owner, now)
        elif question.memo is not None and told.status == 404:
            self._absent.append(question.memo)
        return self._after(steps, told, now)

    def _after(self, steps: Owning, told: Told | None, now: float) -> Question | Sent:
        upstream = self.allow.route.upstream.name
        while True:
            try:
                question = next(steps) if told is None else steps.send(told)
            except StopIteration as end:
                sent: Sent = end.value
                if sent.body is not None and not self._may_be_put:
                    raise Denied(
                        Reason.BODY_UNSUPPORTED, "the body was not read, and would have to be changed"
                    ) from None
                self._check_makers(upstream, now)
                if self._method == "DELETE":
                    self._owners.forget(upstream, sent.target)
                return sent
            self._question = question
            owner = None if question.memo is None else self._owners.find(upstream, question.memo, now)
            if owner is None:
                return question
            self.kept += 1
            told = Told(200, owner=owner)

    def _check_makers(self, upstream: str, now: float) -> None:
        """Refuse to make what another is about to make. Raises `Denied` (NOT_OWNER)."""
        for memo in self._absent:
            if self._owner is not None and not self._owners.may_make(upstream, memo, self._owner, now):
                raise Denied(Reason.NOT_OWNER, f"another has just gone to make the {memo[0]}")
