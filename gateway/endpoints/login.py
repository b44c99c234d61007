"""The gateway's own answers about logins, in the shapes of Mastra's own; and sessions, renewed in time.

A begun login is a cookie of its own for each attempt, so that two tabs do not disturb each other: what the issuer sends
back counts in the browser only that began it (RFC 9700 section 4.7.1).
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, urlsplit

from gateway.endpoints.issuer import Conversation, Fetch
from gateway.endpoints.studio import studio_answer
from gateway.keys.fetch import Fetcher
from gateway.policy.cookies import cookie_values
from gateway.policy.credentials import check_origin
from gateway.policy.denied import Denied, MethodNotAllowed
from gateway.policy.key_lookup import Keys
from gateway.policy.login import Login
from gateway.policy.mastra_access import MastraAccess
from gateway.policy.model import RequestHead
from gateway.policy.onward import Line
from gateway.policy.reasons import Reason
from gateway.policy.session import RENEW_SECONDS, Session, begun_names
from gateway.proxy.own import (
    OwnAnswer,
    OwnQuestion,
    end_lines,
    is_page,
    json_answer,
    redirect,
    session_lines,
    set_cookie,
)
from gateway.server.gateway import Gateway

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
        login: Login | None,
        access: MastraAccess,
        fetcher: Fetcher,
        keys: Keys,
        fetch_keys: Fetch,
        clock: Callable[[], float] = time.time,
        note_renewal: Callable[[str], None] = lambda result: None,
    ) -> None:
        self._login, self._access = login, access
        self._talk = None if login is None else Conversation(login, fetcher, keys, fetch_keys, clock)
        self._clock = clock
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
        """Send a person to the issuer: a page's `fetch` gets the address, a browser that opens this a redirect."""
        login, talk = self._known()
        state, nonce, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(64)
        address = await talk.address(state, nonce, verifier)
        where = safe_return(login, _parameters(question.query).get("redirect_uri", ""))
        begun = {"state": state, "nonce": nonce, "verifier": verifier, "to": where, "at": question.now}
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
        login, talk = self._known()
        given = _parameters(question.query)
        name, begun = _begun(login, given.get("state", ""), question.head)
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
        try:
            lines = session_lines(login, session, question.head)
        except ValueError:
            raise Denied(
                Reason.LOGIN_INVALID, "the session is larger than browsers keep: ask for fewer scopes"
            ) from None
        return redirect(begun["to"], [*lines, set_cookie(login, name, "", 0)])

    async def _end(self, question: OwnQuestion) -> OwnAnswer:
        login, talk = self._known()
        check_origin(question.head, login.pages)
        session = question.session
        if session is not None:
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


def safe_return(login: Login, asked: str) -> str:
    """Return where a person goes after the login: a page of the gateway's own origin, as a path; else `/`.

    Nothing but a path, a query and a fragment is ever taken over, so there is no open redirect (CWE-601).
    """
    if not asked.isascii() or not asked.isprintable() or "\\" in asked or " " in asked or len(asked) > 2048:
        return "/"
    try:
        parts = urlsplit(asked)
    except ValueError:
        return "/"
    if (parts.scheme or parts.netloc) and f"{parts.scheme}://{parts.netloc}".lower() != login.public_url:
        return "/"
    path = parts.path or "/"
    if not path.startswith("/") or path.startswith("//"):
        return "/"
    query = f"?{parts.query}" if parts.query else ""
    return f"{path}{query}{'#' + parts.fragment if parts.fragment else ''}"


def _parameters(query: str) -> Mapping[str, str]:
    """Return what a query says; raises `Denied` (LOGIN_INVALID) for what says something twice."""
    pairs = parse_qsl(query.removeprefix("?"), keep_blank_values=True)
    if len(dict(pairs)) < len(pairs):
        raise Denied(Reason.LOGIN_INVALID, "a parameter stands there twice (RFC 6749 section 3.1)")
    return dict(pairs)


def _begun(login: Login, state: str, head: RequestHead) -> tuple[str, Mapping[str, Any]]:
    """Return the login of a state that this browser began, and its cookie's name. Raises `Denied` (LOGIN_INVALID)."""
    sent = head.headers.all("cookie")
    for name in begun_names(login.cookie):
        values = cookie_values(sent, name)
        begun = login.seal.open_begun(values[0]) if len(values) == 1 and state else None
        if begun is not None and hmac.compare_digest(str(begun["state"]).encode(), state.encode()):
            return name, begun
    raise Denied(Reason.LOGIN_INVALID, "no login of this state was begun in this browser")


def _keep(kept: OrderedDict[str, T], key: str, value: T) -> None:
    """Remember something, and forget the first of too many."""
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > _MAX_KEPT:
        kept.popitem(last=False)


def desk_of(gateway: Gateway) -> LoginDesk:
    """Return the desk of a gateway's configuration in force, in place of the former's."""
    policy = gateway.config.policy
    login = policy.login
    desk = LoginDesk(
        login,
        MastraAccess(policy),
        gateway.fetcher,
        gateway.store,
        gateway.store.fetch,
        gateway.clock,
        gateway.metrics.note_renewal,
    )
    former = getattr(gateway, "desk", None)
    if isinstance(former, LoginDesk):
        desk.take_over(former)
    return desk
