"""Who issues tokens and how we check them. A provider type is a preset of this record, not a class.

jwt, clerk, auth0 and oidc differ in data only: issuer, audience, algorithms, where keys live, how
claims become a principal. The check itself exists once, in `verify`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from gateway.policy.jwk import Key

Kind = Literal["jwt", "clerk", "auth0", "oidc"]
ClerkKind = Literal["session", "template"]

SYMMETRIC = frozenset({"HS256", "HS384", "HS512"})
ASYMMETRIC = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where the public keys of a provider are fetched, and how. All times in seconds, sizes in bytes.

    With `jwks_uri` None the address is found by OIDC discovery at `issuer` (OpenID Connect Discovery 1.0
    section 4), whose document must name the same issuer. Two providers with equal sources share one fetch.
    """

    issuer: str | None
    jwks_uri: str | None
    allow_http: bool = False
    ttl_seconds: float = 600.0
    stale_if_error_seconds: float = 3600.0
    timeout_seconds: float = 5.0
    cooldown_seconds: float = 30.0
    max_bytes: int = 1024 * 1024
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.issuer, self.jwks_uri)))

    def __hash__(self) -> int:
        # Looked up for every request; the settings beside tell no two apart that these do not.
        return self._hash


@dataclass(frozen=True, slots=True)
class TokenSource:
    """One place where a token may stand: `bearer`, `bare`, `cookie`, `query` or `websocket_protocol`.

    `name` is the cookie's or the query parameter's name, else empty.
    """

    place: Literal["bearer", "bare", "cookie", "query", "websocket_protocol"]
    name: str = ""


BEARER = TokenSource("bearer")


@dataclass(frozen=True, slots=True)
class Provider:
    """An issuer of tokens and the conditions under which its tokens count."""

    name: str
    kind: Kind
    algorithms: frozenset[str]  # one family only: RFC 8725 section 3.1
    secrets: tuple[Key, ...] = ()  # jwt: shared secrets, each tried; else empty
    key_source: KeySource | None = None  # clerk, auth0, oidc; else None
    issuers: frozenset[str] | None = None  # compared exactly; None: not checked
    audiences: frozenset[str] | None = None  # any of; None: not checked
    requires_expiry: bool = True
    leeway_seconds: float = 5.0
    types: frozenset[str] = frozenset({"jwt", "at+jwt"})  # of the header's `typ`, lower case; absent is fine
    subject_claim: str = "sub"
    email_claim: str | None = None  # None: `email`, and for auth0 the one namespaced `.../email`
    requires_verified_email: bool = False
    roles_claim: str | None = None
    groups_claim: str | None = None
    token_sources: tuple[TokenSource, ...] = (BEARER,)
    authorized_parties: frozenset[str] | None = None  # clerk: `azp` must be one of these
    requires_authorized_party: bool = True  # False: `azp: if_present`
    clerk_kinds: frozenset[ClerkKind] = frozenset({"session"})
    origins: frozenset[str] = frozenset()  # of pages that may send the cookie, besides the gateway's own origin

    def __repr__(self) -> str:
        return f"Provider({self.name!r}, {self.kind!r})"


def token_sources(providers: tuple[Provider, ...]) -> tuple[TokenSource, ...]:
    """Return where a route looks for a token: wherever one of its providers does."""
    if len(providers) == 1:
        return providers[0].token_sources
    return tuple(dict.fromkeys(source for provider in providers for source in provider.token_sources))
