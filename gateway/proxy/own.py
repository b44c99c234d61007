"""What the gateway says by itself on the public port beyond refusals: what is asked, and the answer. No I/O."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import quote

from gateway.policy.cookies import cookie_values
from gateway.policy.denied import StepUp
from gateway.policy.login import BACKCHANNEL, Login
from gateway.policy.model import Principal, RequestHead
from gateway.policy.onward import Line
from gateway.policy.reasons import Reason
from gateway.policy.session import Session, part_names, parts_of
from gateway.policy.upstreams import Upstream

FOR_PEOPLE: Final = frozenset({"login", "callback"})  # of the gateway's own addresses: a browser opens them as pages


@dataclass(frozen=True, slots=True)
class OwnQuestion:
    """A request to one of the gateway's own addresses, by its name. `query` begins with `?`, or is empty.

    `principal` and `session` are of whoever asks; None: nobody, as far as is known. `refused` is why the credential
    that came did not count.
    """

    name: str
    head: RequestHead
    query: str
    upstream: Upstream
    principal: Principal | None
    session: Session | None
    now: float  # Unix seconds
    refused: Reason | None = None
    body: bytes = field(default=b"", repr=False)  # where one is read: see `WITH_BODY`


WITH_BODY: Final = frozenset({BACKCHANNEL})
MAX_OWN_BODY_BYTES: Final = 64 * 1024
OWN_BODY_SECONDS: Final = 10.0  # until all of it is there


@dataclass(frozen=True, slots=True)
class OwnAnswer:
    """A status, the lines of a head without framing, and a body."""

    status: int
    lines: tuple[Line, ...] = ()
    body: bytes = field(default=b"", repr=False)


class Desk(Protocol):
    """Whoever answers at the gateway's own addresses, and asks issuers about sessions. Both raise `Denied`."""

    async def answer(self, question: OwnQuestion) -> OwnAnswer:
        """Return the answer to a request."""
        ...

    async def renew(self, session: Session) -> Session:
        """Return a session with its issuer's next word."""
        ...


def json_answer(said: Any, lines: Sequence[Line] = (), status: int = 200) -> OwnAnswer:
    """Return an answer of JSON that nobody keeps."""
    own = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))
    return OwnAnswer(status, (*own, *lines), json.dumps(said, separators=(",", ":")).encode())


def public_document(body: bytes) -> OwnAnswer:
    """Return an answer of JSON that is the same for everybody, for five minutes."""
    return OwnAnswer(200, (("Content-Type", "application/json"), ("Cache-Control", "public, max-age=300")), body)


def redirect(where: str, lines: Sequence[Line] = ()) -> OwnAnswer:
    """Return an answer that sends a browser on (RFC 9110 section 15.4.3)."""
    own = (("Location", where), ("Cache-Control", "no-store"), ("Referrer-Policy", "no-referrer"))
    return OwnAnswer(302, (*own, *lines))


def session_lines(login: Login, session: Session, head: RequestHead) -> list[Line]:
    """Return the Set-Cookie lines of a session. Raises `ValueError` where it is larger than browsers keep."""
    parts = parts_of(login.seal.close(session))
    names = part_names(login.cookie)
    max_age = max(0, round(login.seal.max_age_seconds - (session.seen_at - session.begun_at)))
    lines = [set_cookie(login, name, part, max_age) for name, part in zip(names, parts, strict=False)]
    return lines + _gone(login, names[len(parts) :], head)


def end_lines(login: Login, head: RequestHead) -> list[Line]:
    """Return the Set-Cookie lines that make a browser forget its session."""
    return _gone(login, part_names(login.cookie), head)


def is_page(head: RequestHead) -> bool:
    """Return whether a browser opens this as a page, rather than a page's script asking (Fetch Metadata)."""
    mode = head.headers.first("sec-fetch-mode")
    if mode is not None:
        return mode == "navigate"
    return "text/html" in (head.headers.first("accept") or "")


def is_step_up(wanted: StepUp | None, principal: Principal | None) -> bool:
    """Return whether all that somebody lacks is another login: of a token nobody here can get another."""
    return wanted is not None and principal is not None and principal.session is not None


def login_address(login: Login, target: str, wanted: StepUp | None = None) -> str:
    """Return where a browser begins a login that leads back to a target of ours, at the origin of its cookies.

    `wanted` is what the login must be. Where that is neither an age nor a class, a new login is the best to ask for.
    """
    address = f"{login.public_url}{login.prefix}/auth/sso/login?redirect_uri={quote(target, safe='/')}"
    if wanted is None:
        return address
    classes, age = " ".join(wanted.acr_values), wanted.max_age_seconds
    if age is None and not classes:
        age = 0
    address += f"&max_age={age}" if age is not None else ""
    return address + (f"&acr_values={quote(classes, safe='')}" if classes else "")


def cookie_line(login: Login, session: Session) -> str:
    """Return the Cookie line that a browser sends of a session. Raises `ValueError`, as `session_lines`."""
    parts = parts_of(login.seal.close(session))
    return "; ".join(f"{name}={part}" for name, part in zip(part_names(login.cookie), parts, strict=False))


def set_cookie(login: Login, name: str, value: str, max_age_seconds: int) -> Line:
    """Return a Set-Cookie line (RFC 6265bis section 4.1): for this host, not for scripts, nor from foreign pages."""
    secure = "; Secure" if login.is_secure else ""
    return "Set-Cookie", f"{name}={value}; Path=/; Max-Age={max_age_seconds}; HttpOnly; SameSite=Lax{secure}"


def _gone(login: Login, names: Sequence[str], head: RequestHead) -> list[Line]:
    sent = head.headers.all("cookie")
    return [set_cookie(login, name, "", 0) for name in names if cookie_values(sent, name)]
