"""The gateway's own answers about logins, in the shapes of Mastra's own; and sessions, renewed in time.

A begun login is a cookie of its own for each attempt, so that two tabs do not disturb each other: what the issuer sends
back counts in the browser only that began it (RFC 9700 section 4.7.1).
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from gateway.endpoints.issuer import Conversation, Fetch
from gateway.endpoints.studio import studio_answer
from gateway.keys.fetch import Fetcher
from gateway.policy.cookies import cookie_values
from gateway.policy.credentials import check_origin
from gateway.policy.denied import Denied
from gateway.policy.key_lookup import Keys
from gateway.policy.login import Login
from gateway.policy.model import RequestHead
from gateway.policy.onward import Line
from gateway.policy.reasons import Reason
from gateway.policy.session import Session
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

_log: Final = logging.getLogger("gateway.login")
_BEGUN_SECONDS: Final = 600
_MAX_BEGUN: Final = 5  # of one browser: their cookies stand in each request
_KEPT_SECONDS: Final = 30.0  # of a renewed session, for those that come with the former cookie
_MAX_KEPT: Final = 1000
_PAUSE_SECONDS: Final = 10.0  # before an issuer that could not be asked is asked again for a session that is still good


class LoginDesk:
    """Answers what is about logins. One for each configuration; `clock` gives Unix seconds."""

    def __init__(
        self,
        login: Login | None,
        fetcher: Fetcher,
        keys: Keys,
        fetch_keys: Fetch,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._login = login
        self._talk = None if login is None else Conversation(login, fetcher, keys, fetch_keys, clock)
        self._clock = clock
        self._renewing: dict[str, asyncio.Task[Session]] = {}
        self._renewed: OrderedDict[str, tuple[float, Session]] = OrderedDict()
        self._paused: dict[str, float] = {}

    async def answer(self, question: OwnQuestion) -> OwnAnswer:
        """Return the answer to a request at one of the gateway's own addresses. Raises `Denied`."""
        told = studio_answer(self._login, question)
        if told is not None:
            return told
        answers = {
            "login": self._begin,
            "callback": self._finish,
            "logout": self._end,
            "refresh": self._refresh,
        }
        return await answers[question.name](question)

    async def renew(self, session: Session) -> Session:
        """Return a session with the issuer's next word, asked for once however many wait. Raises `Denied`.

        One that is still good stays as it is while its issuer cannot be asked.
        """
        now = self._clock()
        kept = self._renewed.get(session.id)
        if kept is not None and kept[0] > now and kept[1].good_until > session.good_until:
            return kept[1]
        if now < session.good_until and self._paused.get(session.id, 0.0) > now:
            return session
        running = self._renewing.get(session.id)
        if running is None:
            running = self._renewing[session.id] = asyncio.get_running_loop().create_task(self._renew_once(session))
            running.add_done_callback(lambda task: self._renewing.pop(session.id, None))
        try:
            return await asyncio.shield(running)
        except Denied as no:
            if no.reason is Reason.LOGIN_UNAVAILABLE and now < session.good_until:
                return session
            raise Denied(no.reason, no.detail) from None  # each waiter has one of his own

    async def _renew_once(self, session: Session) -> Session:
        assert self._talk is not None  # noqa: S101  # there are no sessions without a login
        try:
            renewed = await self._talk.renewed(session)
        except Denied as no:
            if no.reason is Reason.LOGIN_UNAVAILABLE:
                while len(self._paused) >= _MAX_KEPT:
                    self._paused.pop(next(iter(self._paused)))
                self._paused[session.id] = self._clock() + _PAUSE_SECONDS
                raise
            raise Denied(Reason.SESSION_EXPIRED, no.detail) from None
        self._paused.pop(session.id, None)
        self._renewed[session.id] = (self._clock() + _KEPT_SECONDS, renewed)
        while len(self._renewed) > _MAX_KEPT:
            self._renewed.popitem(last=False)
        return renewed

    async def _begin(self, question: OwnQuestion) -> OwnAnswer:
        """Send a person to the issuer: a page's `fetch` gets the address, a browser that opens this a redirect."""
        login, talk = self._known()
        state, nonce, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(64)
        address = await talk.address(state, nonce, verifier)
        where = safe_return(login, _parameters(question.query).get("redirect_uri", ""))
        begun = {"state": state, "nonce": nonce, "verifier": verifier, "to": where, "at": question.now}
        earlier = _begun_names(login, question.head)
        lines: list[Line] = []
        if len(earlier) >= _MAX_BEGUN:
            lines += [set_cookie(login, name, "", 0) for name in earlier]
        lines.append(set_cookie(login, _begun_name(login, state), login.seal.close_begun(begun), _BEGUN_SECONDS))
        return redirect(address, lines) if is_page(question.head) else json_answer({"url": address}, lines)

    async def _finish(self, question: OwnQuestion) -> OwnAnswer:
        """Take what the issuer sends back: the code for a session, and the person to the page that asked for it."""
        login, talk = self._known()
        given = _parameters(question.query)
        state = given.get("state", "")
        name = _begun_name(login, state)
        values = cookie_values(question.head.headers.all("cookie"), name)
        begun = login.seal.open_begun(values[0]) if len(values) == 1 and state else None
        if begun is None or not hmac.compare_digest(str(begun.get("state")).encode(), state.encode()):
            raise Denied(Reason.LOGIN_INVALID, "no login of this state was begun in this browser")
        if question.now >= begun["at"] + _BEGUN_SECONDS:
            raise Denied(Reason.LOGIN_INVALID, "the login was begun more than ten minutes ago")
        metadata = await talk.metadata()
        issuer = given.get("iss")
        if (issuer is not None or metadata.names_itself) and issuer != login.source.issuer:
            raise Denied(Reason.LOGIN_INVALID, "another issuer answered (RFC 9207 section 2.4)")
        if "error" in given:
            raise Denied(Reason.LOGIN_REFUSED, f"the issuer said {ascii(given['error'])[:64]}")
        session = await talk.session_of(
            given.get("code", ""), begun["verifier"], begun["nonce"], secrets.token_urlsafe(16)
        )
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
        end = await talk.end_address(question.session)
        return json_answer({"success": True, "redirectTo": end or "/"}, end_lines(login, question.head))

    async def _refresh(self, question: OwnQuestion) -> OwnAnswer:
        login, _ = self._known()
        if question.session is None:
            raise Denied(Reason.SESSION_EXPIRED, "there is no session to refresh")
        renewed = await self.renew(question.session)
        return json_answer({"success": True}, session_lines(login, renewed, question.head))

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


def _begun_name(login: Login, state: str) -> str:
    return f"{login.cookie}-login-{''.join(c for c in state[:8] if c.isalnum() or c in '_-')}"


def _begun_names(login: Login, head: RequestHead) -> list[str]:
    prefix = f"{login.cookie}-login-"
    pairs = "; ".join(head.headers.all("cookie")).split(";")
    names = [pair.partition("=")[0].strip() for pair in pairs]
    return [name for name in names if name.startswith(prefix)]


def desk_of(gateway: Gateway) -> LoginDesk:
    """Return the desk of a gateway's configuration in force."""
    login = gateway.config.policy.login
    return LoginDesk(login, gateway.fetcher, gateway.store, gateway.store.fetch, gateway.clock)
