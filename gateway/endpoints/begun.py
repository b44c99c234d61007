"""Logins that are under way: what is asked of the issuer, to which page one leads, and which one an answer is of."""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit
from weakref import WeakValueDictionary

from gateway.policy.addresses import network_of
from gateway.policy.cookies import cookie_values
from gateway.policy.denied import Denied
from gateway.policy.login import Login
from gateway.policy.model import RequestHead
from gateway.policy.reasons import Reason
from gateway.policy.session import begun_names

_SECONDS: Final = re.compile(r"[0-9]{1,9}")
_CLASSES: Final = re.compile(
    r"[!\x23-\x5b\x5d-\x7e]+(?: [!\x23-\x5b\x5d-\x7e]+)*"
)  # as RFC 6749 section 3.3 has scopes
_MAX_CLASSES: Final = 512  # characters
_CODES_AT_ONCE: Final = 4  # of one address


class CodeTurns:
    """Whose code the issuer is asked about next: a few at a time of one address.

    Anybody can begin a login, and then send codes of his own without end. The issuer is asked about each, by the few
    connections that others need to have their sessions renewed (CWE-770).
    """

    def __init__(self) -> None:
        self._of: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()  # by network, while in use

    def of(self, client_ip: str) -> asyncio.Semaphore:
        """Return the turns of an address."""
        network = network_of(client_ip)
        turns = self._of.get(network)
        if turns is None:
            turns = self._of[network] = asyncio.Semaphore(_CODES_AT_ONCE)
        return turns


def step_up_parameters(given: Mapping[str, str]) -> dict[str, str]:
    """Return what a page asks of the login itself: `max_age` and `acr_values` (RFC 9470 section 4).

    Raises `Denied` (LOGIN_INVALID) for what no issuer reads.
    """
    asked = {name: given[name] for name in ("max_age", "acr_values") if name in given}
    if "max_age" in asked and not _SECONDS.fullmatch(asked["max_age"]):
        raise Denied(Reason.LOGIN_INVALID, "max_age is no whole number of seconds")
    classes = asked.get("acr_values", "x")
    if len(classes) > _MAX_CLASSES or not _CLASSES.fullmatch(classes):
        raise Denied(Reason.LOGIN_INVALID, "acr_values are no names with spaces between them")
    return asked


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


def page_elsewhere(login: Login, head: RequestHead, asked: str) -> str | None:
    """Return the page to come back to, as a path, if a script asks from a page at another address than `public_url`.

    None: it is at `public_url`, or no browser asks. The cookie of a login that begins elsewhere would not be there at
    its end. A browser says that it is one in `Sec-Fetch-Site`, to addresses that it trusts, or in `Referer`. Who
    rewrites Host in front costs its browsers one redirect more: what is returned leads to `public_url`, whatever Host
    says.
    """
    headers = head.headers
    host = (headers.first("host") or "").lower()
    if host == urlsplit(login.public_url).netloc or not ("sec-fetch-site" in headers or "referer" in headers):
        return None
    return safe_return(login, asked.removeprefix(f"{head.scheme}://{host}"))


def parameters_of(query: str) -> Mapping[str, str]:
    """Return what a query says; raises `Denied` (LOGIN_INVALID) for what says something twice."""
    pairs = parse_qsl(query.removeprefix("?"), keep_blank_values=True)
    if len(dict(pairs)) < len(pairs):
        raise Denied(Reason.LOGIN_INVALID, "a parameter stands there twice (RFC 6749 section 3.1)")
    return dict(pairs)


def begun_login(login: Login, state: str, head: RequestHead) -> tuple[str, Mapping[str, Any]]:
    """Return the login of a state that this browser began, and its cookie's name. Raises `Denied` (LOGIN_INVALID)."""
    sent = head.headers.all("cookie")
    for name in begun_names(login.cookie):
        values = cookie_values(sent, name)
        begun = login.seal.open_begun(values[0]) if len(values) == 1 and state else None
        if begun is not None and hmac.compare_digest(str(begun["state"]).encode(), state.encode()):
            return name, begun
    raise Denied(Reason.LOGIN_INVALID, "no login of this state was begun in this browser")
