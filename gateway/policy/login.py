"""How people log in: whose client the gateway is, and the seal of the sessions that come of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from gateway.policy.claims import principal_of
from gateway.policy.denied import Denied
from gateway.policy.model import Principal
from gateway.policy.origins import Origins
from gateway.policy.providers import KeySource, Provider
from gateway.policy.reasons import Reason
from gateway.policy.seal import Seal
from gateway.policy.session import Session

PREFIX: Final = "/api"  # Mastra's own, before what is about people
CALLBACK: Final = "/auth/sso/callback"
BACKCHANNEL: Final = "backchannel-logout"  # below `/auth/`: where the issuer itself says that a session is over


@dataclass(frozen=True, slots=True)
class Login:
    """A client of an issuer (OpenID Connect Core 1.0, authorization code flow), and what its sessions are.

    `id_tokens` is the provider as it stands in the file, but for the audience: an ID token is for the client.
    `source` has the address of the issuer, where its metadata is found. `public_url` is the origin that browsers see,
    no slash at its end; `prefix` is what stands before `/auth/...`.
    """

    id_tokens: Provider
    source: KeySource
    client_id: str
    client_secret: str | None = field(repr=False)
    scopes: tuple[str, ...]
    seal: Seal = field(repr=False, compare=False)
    cookie: str
    public_url: str
    pages: Origins = field(repr=False, compare=False)  # that may end a session
    prefix: str = PREFIX

    @property
    def provider(self) -> str:
        """The name of the provider whose tokens a session stands for."""
        return self.id_tokens.name

    @property
    def redirect_uri(self) -> str:
        """Where the issuer sends the browser back: it must know this very address."""
        return f"{self.public_url}{self.prefix}{CALLBACK}"

    @property
    def is_secure(self) -> bool:
        """False on loopback, where browsers speak plain HTTP."""
        return self.public_url.startswith("https:")


def principal_of_session(session: Session, provider: Provider) -> Principal:
    """Return whom a session speaks for. Raises `Denied` (SESSION_INVALID): whoever logs in anew is told the rest.

    It is kept with the session for this very provider: one of another configuration may read claims in another way.
    """
    for by, known in session.kept:
        if by is provider and isinstance(known, Principal):
            return known
    try:
        principal = principal_of(session.claims, provider)
    except Denied as no:
        raise Denied(Reason.SESSION_INVALID, f"the session's claims make nobody: {no.detail}") from None
    principal.session, principal.expires_at = session, session.good_until
    principal.credential = "session"
    session.kept[:] = [(provider, principal)]
    return principal
