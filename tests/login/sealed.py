"""A login without an issuer, and its sessions: for what decides, and asks nobody."""

from __future__ import annotations

from typing import Any

from gateway.config.login import only_sessions, with_sessions
from gateway.policy.login import Login
from gateway.policy.origins import Origins
from gateway.policy.providers import KeySource, Provider
from gateway.policy.routes import Route
from gateway.policy.seal import Seal
from gateway.policy.session import Session
from gateway.policy.upstreams import Upstream
from tests.minting import NOW, claims_of, mint, rsa_key
from tests.secrecy import keep_secret

ISSUER = "https://idp.example.test"
_SOURCE = KeySource(ISSUER, None)
_STAFF = Provider(
    "staff", "oidc", frozenset({"RS256"}), key_source=_SOURCE, issuers=frozenset({ISSUER}), audiences=frozenset({"gw"})
)
LOGIN = Login(
    id_tokens=_STAFF,
    source=_SOURCE,
    client_id="gw",
    client_secret=None,
    scopes=("openid",),
    seal=Seal(b"wohYeequ8aish4ahQuoo4aiPh7aish2eeF0", 43200.0, 3600.0, "tests"),
    cookie="__Host-gateway",
    public_url="https://gw.test",
    pages=Origins(("https://gw.test",)),
)
STAFF = with_sessions(_STAFF, LOGIN)


def session(good_for: float = 3000.0, refresh_token: str | None = "next", **claims: Any) -> Session:
    """Return a session of `user-1` that began now. Its issuer's word is good for some seconds."""
    said = claims_of(iss=ISSUER, aud="gw", exp=NOW + good_for, **claims)
    token = mint(said, rsa_key(), "RS256", kid="k1")
    return Session("s1", "staff", token, said, NOW, NOW, NOW + good_for, refresh_token)


def cookie(of: Session) -> str:
    """Return a session's cookie."""
    return f"{LOGIN.cookie}={keep_secret(LOGIN.seal.close(of))}"


def own_route(name: str, upstream: Upstream, method: str = "GET") -> Route:
    """Return a route at which the gateway itself answers, whoever asks."""
    return Route(
        f"{method} /own/{name}", ("own", name), upstream, methods=frozenset({method}), public=True, exact=True,
        providers=(only_sessions(LOGIN),), enforce=False, sealed=LOGIN.cookie, own=name,
    )  # fmt: skip
