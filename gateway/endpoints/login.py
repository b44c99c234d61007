"""The gateway's own answers about logins, in the shapes of Mastra's own; and sessions, renewed in time.

A begun login is a cookie of its own for each attempt, so that two tabs do not disturb each other: what the issuer sends
back counts in the browser only that began it (RFC 9700 section 4.7.1).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

from gateway.endpoints.backchannel import Logouts
from gateway.endpoints.begun import begun_login, page_elsewhere, parameters_of, safe_return, step_up_parameters
from gateway.endpoints.issuer import Conversation, Fetch
from gateway.endpoints.studio import studio_answer
from gateway.keys.fetch import Fetcher
from gateway.policy.cookies import cookie_values
from gateway.policy.credentials import check_origin
from gateway.policy.decision import Deny, decide
from gateway.policy.denied import Denied, LoginFailed, MethodNotAllowed
from gateway.policy.key_lookup import Keys
from gateway.policy.login import BACKCHANNEL, Login
from gateway.policy.mastra_access import MastraAccess
from gateway.policy.model import Headers, RequestHead
from gateway.policy.onward import Line
from gateway.policy.reasons import Reason
from gateway.policy.routes import Policy
from gateway.policy.session import RENEW_SECONDS, Session, begun_names
from gateway.proxy.own import (
    OwnAnswer,
    OwnQuestion,
    cookie_line,
    end_lines,
    is_page,
    json_answer,
    login_address,
    redirect,
    session_lines,
    set_cookie,
)
from gateway.server.gateway import Gateway
from gateway.server.revoking import Revoking

_BEGUN_SECONDS: Final = 600
_MAX_BEGUN: Final = 5  # of one browser: their cookies stand in each request
_KEPT_SECONDS: Final = 600.0  # of a renewed session, for those that come with the former cookie
_MAX_KEPT: Final = 1000
_PAUSE_SECONDS: Final = 10.0  # before an issuer is asked again for a session that it gave no next word on
_NO_PAUSE: Final = (0.0, Reason.LOGIN_UNAVAILABLE, "")
_ONLY_GET: Final = frozenset({"login", "callback"})  # a HEAD would use up what a GET then asks for
T = TypeVar("T")


class LoginDesk:
    """Answers what is about logins. One for each configuration; `clock` gives Unix seconds."""

    def __init__(
        self,
        policy: Policy,
        fetcher: Fetcher,
        keys: Keys,
        fetch_keys: Fetch,
        ends: Revoking,
        clock: Callable[[], float] = time.time,
        note_renewal: Callable[[str], None] = lambda result: None,
    ) -> None:
        self._policy, self._access = policy, MastraAccess(policy)
        login = self._login = policy.login
        self._talk = None if login is None else Conversation(login, fetcher, keys, fetch_keys, clock)
        self._clock, self._keys, self._ends = clock, keys, ends
        self._logouts = None if self._talk is None else Logouts(self._talk, ends, clock)
        self._renewing: dict[str, asyncio.Task[Session]] = {}
        # By the session's id, and until when; the former in the order they came.
        self._renewed: OrderedDict[str, tuple[float, Session]] = OrderedDict()
        self._paused: OrderedDict[str, tuple[float, Reason, str]] = OrderedDict()
        self._revoking: set[asyncio.Task[None]] = set()
        self._note = note_renewal

    def take_over(self, former: LoginDesk) -> None:
        """Remember what the desk of the former configuration gave: a refresh token in a former cookie is used up.

        What was sealed for another purpose never comes here, so nothing of it counts.
        """
        self._renewed = former._renewed

    async def answer(self, question: OwnQuestion) -> OwnAnswer:
        """Return the answer to a request at one of the gateway's own addresses. Raises `Denied`."""
        told = studio_answer(self._login, self._access, question)
        if told is not None:
            return told
        if question.name == BACKCHANNEL and self._logouts is not None:
            return await self._logouts.hear(question)
        answers = {
            "login": self._begin,
            "callback": self._finish,
            "logout": self._end,
            "refresh": self._refresh,
        }
        if question.name in _ONLY_GET and question.head.method != "GET":
            raise MethodNotAllowed(("GET",))
        return await answers[question.name](question)

    async def renew(self, session: Session) -> Session:
        """Return a session with the issuer's next word, asked for once however many wait. Raises `Denied`.

        One whose issuer's word has not ended stays as it is where there is no next: the issuer cannot be asked, or
        refuses (another process may have used this refresh token up).
        """
        try:
            return await self._next(session)
        except Denied:
            if self._clock() < session.good_until:
                return session
            raise

    async def _next(self, session: Session) -> Session:
        """Return a session with the issuer's next word. Raises `Denied` (SESSION_EXPIRED, LOGIN_UNAVAILABLE)."""
        now = self._clock()
        until, kept = self._renewed.get(session.id, (0.0, session))
        if until > now and kept.good_until >= session.good_until:
            if now < kept.good_until - (RENEW_SECONDS if kept.good_until == session.good_until else 0.0):
                return kept
            session = kept  # its refresh token is the one that counts
        until, reason, detail = self._paused.get(session.id, _NO_PAUSE)
        if until > now:
            raise Denied(reason, detail)
        running = self._renewing.get(session.id)
        if running is None:
            running = self._renewing[session.id] = asyncio.get_running_loop().create_task(self._renew_once(session))
            running.add_done_callback(lambda task: self._over(session.id, task))
        try:
            return await asyncio.shield(running)  # whoever waits may leave: what the issuer says is said once
        except Denied as no:
            raise Denied(no.reason, no.detail) from None  # each waiter has one of his own

    def _over(self, session_id: str, task: asyncio.Task[Session]) -> None:
        self._renewing.pop(session_id, None)
        if not task.cancelled():
            task.exception()  # heard of here where nobody waits any more

    async def _renew_once(self, session: Session) -> Session:
        _, talk = self._known()
        try:
            renewed = await talk.renewed(session)
        except Denied as no:
            is_down = no.reason.status == 503
            reason = Reason.LOGIN_UNAVAILABLE if is_down else Reason.SESSION_EXPIRED
            self._note("unavailable" if is_down else "refused")
            _keep(self._paused, session.id, (self._clock() + _PAUSE_SECONDS, reason, no.detail))
            raise Denied(reason, no.detail) from None
        self._note("renewed")
        self._paused.pop(session.id, None)
        _keep(self._renewed, session.id, (self._clock() + _KEPT_SECONDS, renewed))
        return renewed

    async def _begin(self, question: OwnQuestion) -> OwnAnswer:
        """Send a person to the issuer: a page's `fetch` gets the address, a browser that opens this a redirect.

        A page at another address than `public_url` gets this one there, where the cookie is of use.
        """
        login, talk = self._known()
        given = parameters_of(question.query)
        asked = step_up_parameters(given)
        page = None if is_page(question.head) else page_elsewhere(login, question.head, given.get("redirect_uri", ""))
        if page is not None:
            anew = login_address(login, page) + "".join(f"&{urlencode([one])}" for one in asked.items())
            return json_answer({"url": anew}, [])
        state, nonce, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(64)
        address = await talk.address(state, nonce, verifier, asked)
        where = safe_return(login, given.get("redirect_uri", ""))
        begun = {"state": state, "nonce": nonce, "verifier": verifier, "to": where, "at": question.now}
        begun |= {"steps_up": bool(asked)}
        names, sent = begun_names(login.cookie), question.head.headers.all("cookie")
        taken = [name for name in names if cookie_values(sent, name)]
        lines: list[Line] = []
        if len(taken) >= _MAX_BEGUN:
            lines += [set_cookie(login, name, "", 0) for name in taken]
        # By chance: pages that are opened at once know nothing of each other's.
        name = secrets.choice([name for name in names if name not in taken] or names)
        lines.append(set_cookie(login, name, login.seal.close_begun(begun), _BEGUN_SECONDS))
        return redirect(address, lines) if is_page(question.head) else json_answer({"url": address}, lines)

    async def _finish(self, question: OwnQuestion) -> OwnAnswer:
        """Take what the issuer sends back: the code for a session, and the person to the page that asked for it."""
        login, _ = self._known()
        given = parameters_of(question.query)
        name, begun = begun_login(login, given.get("state", ""), question.head)
        try:
            session = await self._session_of(given, begun, question)
            lines = session_lines(login, session, question.head)
        except Denied as no:
            raise LoginFailed(no, begun["to"]) from None
        except ValueError:
            large = Denied(Reason.LOGIN_INVALID, "the session is larger than browsers keep: ask for fewer scopes")
            raise LoginFailed(large, begun["to"]) from None
        return redirect(begun["to"], [*lines, set_cookie(login, name, "", 0)])

    async def _session_of(self, given: Mapping[str, str], begun: Mapping[str, Any], question: OwnQuestion) -> Session:
        """Return the session that the issuer's answer is good for. Raises `Denied`."""
        login, talk = self._known()
        if question.now >= begun["at"] + _BEGUN_SECONDS:
            raise Denied(Reason.LOGIN_INVALID, "the login was begun more than ten minutes ago")
        metadata = await talk.metadata()
        issuer = given.get("iss")
        if (issuer is not None or metadata.names_itself) and issuer != login.source.issuer:
            raise Denied(Reason.LOGIN_INVALID, "another issuer answered (RFC 9207 section 2.4)")
        if "error" in given:
            raise Denied(Reason.LOGIN_REFUSED, f"the issuer said {ascii(given['error'])[:64]}")
        code = given.get("code")
        if not code:
            raise Denied(Reason.LOGIN_INVALID, "the issuer sent neither a code nor an error")
        session = await talk.session_of(code, begun["verifier"], begun["nonce"], secrets.token_urlsafe(16))
        if begun["steps_up"]:
            self._check_step_up(session, begun["to"], question)
        return session

    def _check_step_up(self, session: Session, page: str, question: OwnQuestion) -> None:
        """Refuse a login that is still not what the page asked for: it would be asked for again, and so on for ever.

        Raises `Denied` (LOGIN_REFUSED).
        """
        login, _ = self._known()
        lines = [("Cookie", cookie_line(login, session))]
        asked = question.head
        head = RequestHead("GET", page.partition("#")[0], Headers(lines), asked.client_ip, asked.scheme)
        found = decide(self._policy, self._keys, head, question.now, may_fetch=False)
        if isinstance(found, Deny) and found.reason is Reason.LOGIN_TOO_OLD:
            raise Denied(Reason.LOGIN_REFUSED, f"the issuer's login is not what the page asks for: {found.detail}")

    async def _end(self, question: OwnQuestion) -> OwnAnswer:
        login, talk = self._known()
        check_origin(question.head, login.pages)
        session = question.session
        if session is not None:
            self._ends.end_session(session)
            latest = self._renewed.pop(session.id, (0.0, session))[1]
            revoking = asyncio.get_running_loop().create_task(talk.revoke(latest))  # nobody need wait for it
            self._revoking.add(revoking)
            revoking.add_done_callback(self._revoking.discard)
        end = await talk.end_address(session)
        return json_answer({"success": True, "redirectTo": end or "/"}, end_lines(login, question.head))

    async def _refresh(self, question: OwnQuestion) -> OwnAnswer:
        login, _ = self._known()
        check_origin(question.head, login.pages)  # first: a foreign page's request ends no session
        if question.session is None:
            raise Denied(Reason.SESSION_EXPIRED, "there is no session to refresh")
        renewed = await self._next(question.session)
        try:
            lines = session_lines(login, renewed.seen(question.now), question.head)
        except ValueError:
            raise Denied(Reason.SESSION_EXPIRED, "the session is larger than browsers keep") from None
        return json_answer({"success": True}, lines)

    def _known(self) -> tuple[Login, Conversation]:
        if self._login is None or self._talk is None:
            raise Denied(Reason.NO_ROUTE, "the file has no `login`")
        return self._login, self._talk


def _keep(kept: OrderedDict[str, T], key: str, value: T) -> None:
    """Remember something, and forget the first of too many."""
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > _MAX_KEPT:
        kept.popitem(last=False)


def desk_of(gateway: Gateway) -> LoginDesk:
    """Return the desk of a gateway's configuration in force, in place of the former's."""
    desk = LoginDesk(
        gateway.config.policy,
        gateway.fetcher,
        gateway.store,
        gateway.store.fetch,
        gateway.revoking,
        gateway.clock,
        gateway.metrics.note_renewal,
    )
    former = getattr(gateway, "desk", None)
    if isinstance(former, LoginDesk):
        desk.take_over(former)
    return desk
