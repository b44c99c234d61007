"""What a request says about itself, and whom a verified token speaks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.policy.session import Session


class Headers:
    """Header lines in the order they came, found by name in any case.

    Values are text as the HTTP parser gives it: UTF-8 with surrogate escapes for stray bytes.
    """

    __slots__ = ("_by_name", "_lines")

    def __init__(self, lines: Iterable[tuple[str, str]]) -> None:
        self._lines = tuple(lines)
        self._by_name: dict[str, list[str]] | None = None  # sorted when somebody asks

    @property
    def lines(self) -> tuple[tuple[str, str], ...]:
        """Every line, in the order they came."""
        return self._lines

    @property
    def raw(self) -> bytes:
        """The lines as they are written, each with its end before it."""
        return "".join([f"\r\n{name}: {value}" for name, value in self.lines]).encode("utf-8", "surrogateescape")

    def all(self, lower_name: str) -> Sequence[str]:
        """Return every value of a header; the name is given in lower case."""
        return (self._by_name or self._sorted()).get(lower_name, ())

    def first(self, lower_name: str) -> str | None:
        """Return the first value of a header, or None."""
        values = self.all(lower_name)
        return values[0] if values else None

    def __contains__(self, lower_name: str) -> bool:
        return bool(self.all(lower_name))

    def __repr__(self) -> str:
        # Values may be secrets: a repr ends in logs and tracebacks.
        return f"Headers({', '.join(name for name, _ in self.lines)})"

    def _sorted(self) -> dict[str, list[str]]:
        by_name: dict[str, list[str]] = {}
        for name, value in self.lines:
            by_name.setdefault(name.lower(), []).append(value)
        self._by_name = by_name
        return by_name


@dataclass(slots=True, init=False)  # made for every request: see `decision`
class RequestHead:
    """A request line and its headers, as they came, plus who is on the other end of the socket.

    `target` is the raw request target, never decoded. `client_ip` and `scheme` already take
    `trusted_proxies` into account; `client_ip` is canonical, or `addresses.UNKNOWN`. Header names and values are
    untrusted.

    `bearer` is what was seen of `Authorization` while the head was read: exactly one, of `Bearer`, a space and this, a
    token of at most `MAX_TOKEN_BYTES` characters that tokens have; empty: there is none. None: nobody has looked.
    """

    method: str
    target: str = field(repr=False)  # a query may hold a token
    headers: Headers
    client_ip: str
    scheme: str  # http or https
    bearer: str | None = field(repr=False)

    def __init__(
        self, method: str, target: str, headers: Headers, client_ip: str, scheme: str, bearer: str | None = None
    ) -> None:
        self.method, self.target, self.headers = method, target, headers
        self.client_ip, self.scheme, self.bearer = client_ip, scheme, bearer

    @property
    def wants_websocket(self) -> bool:
        """True if this asks for a WebSocket (RFC 6455 section 4.1)."""
        return asks_for_websocket(self.headers)


def asks_for_websocket(headers: Headers) -> bool:
    """Return whether one of the `Upgrade` fields names a WebSocket (RFC 6455 section 4.1)."""
    upgrades = headers.all("upgrade")
    return bool(upgrades) and "websocket" in [value.strip().lower() for value in upgrades]


@dataclass(slots=True, init=False)  # not frozen, for the same reason; nobody writes to it
class Principal:
    """Whom a verified token speaks for. Every field is safe to compare as it stands.

    None means that the token does not say so (absent, of a wrong type, or, for `email`, not verified),
    which is not the same as an empty list. `email` has exactly one `@`, is ASCII, and keeps the case of
    its local part; `email_domain` is its domain in lower case. `expires_at` is Unix seconds.
    """

    provider: str
    subject: str
    issuer: str | None
    claims: Mapping[str, Any]
    expires_at: float | None
    email: str | None
    email_domain: str | None
    organization: str | None
    client: str | None
    roles: tuple[str, ...] | None
    groups: tuple[str, ...] | None
    scopes: tuple[str, ...] | None
    permissions: tuple[str, ...] | None
    email_name: str  # of the claim that the email is read from: nobody is told what is in it but `email`
    kind: str  # human, service or agent: see `callers`
    actor: str | None  # who acts for the subject; None: nobody does, which is known
    mastra_roles: tuple[str, ...] | None  # where Mastra's own roles stand, beside others
    session: Session | None = field(init=False, compare=False)  # that it logged in with, where it was no token
    credential: str = field(init=False, compare=False)  # by which it is known: token, session or key
    # What others make of it once, and keep with it: its headers for an upstream.
    kept: dict[str, bytes] = field(init=False, compare=False)

    def __init__(
        self,
        provider: str,
        subject: str,
        issuer: str | None,
        claims: Mapping[str, Any],
        expires_at: float | None = None,
        email: str | None = None,
        email_domain: str | None = None,
        organization: str | None = None,
        client: str | None = None,
        roles: tuple[str, ...] | None = None,
        groups: tuple[str, ...] | None = None,
        scopes: tuple[str, ...] | None = None,
        permissions: tuple[str, ...] | None = None,
        email_name: str = "email",
        kind: str = "human",
        actor: str | None = None,
        mastra_roles: tuple[str, ...] | None = None,
    ) -> None:
        self.provider, self.subject, self.issuer, self.claims = provider, subject, issuer, claims
        self.expires_at, self.organization, self.client = expires_at, organization, client
        self.email, self.email_domain, self.email_name = email, email_domain, email_name
        self.roles, self.groups, self.scopes, self.permissions = roles, groups, scopes, permissions
        self.kind, self.actor, self.mastra_roles = kind, actor, mastra_roles
        self.kept = {}
        self.session, self.credential = None, "token"

    def __repr__(self) -> str:
        # Claims are personal: never in a log or a traceback.
        return f"Principal(provider={self.provider!r})"
