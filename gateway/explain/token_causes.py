"""Well-known causes of a refused token: who issued it, for whom, and when."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from gateway.config.addresses import is_loopback
from gateway.explain.findings import Findings
from gateway.explain.keycloak_causes import is_of_keycloak, missing_audience, missing_subject
from gateway.explain.step import shown
from gateway.explain.token import moment_of, span
from gateway.policy.claim_names import read_claim
from gateway.policy.claims import client_of
from gateway.policy.clerk import kind_of
from gateway.policy.decision import Deny
from gateway.policy.providers import ClerkKind, Provider, issuers_of
from gateway.policy.reasons import Reason
from gateway.policy.words import listed

_ID_TOKEN_CLAIMS = ("nonce", "at_hash", "c_hash")  # OpenID Connect Core 1.0 section 2: in ID tokens only
_CLERK_LIFETIME_SECONDS = 120.0
_KINDS_OF_CLERK: dict[ClerkKind, str] = {
    "session": "a session token of Clerk",
    "template": "a token of a Clerk JWT template (getToken({template}))",
    "oauth": "an OAuth access token of Clerk, which an application asked for",
    "machine": "a token of a machine (M2M) of Clerk",
}
_MANY_SECONDS = 300.0
_MILLISECONDS = 1e11  # as seconds in the year 5138, as milliseconds in 1973
_MAX_LIFETIME_SECONDS = 10 * 365 * 86400.0  # longer ones are told as no number that helps


def _id_token(deny: Deny, found: Findings) -> str | None:
    claims = _claims(found)
    is_id_token = any(name in claims for name in _ID_TOKEN_CLAIMS) and "scope" not in claims
    if deny.reason is not Reason.AUDIENCE_MISMATCH or not is_id_token:
        return None
    said = "It is an ID token: it tells the application who signed in and is no key to an API. Send the access token"
    is_auth0 = found.provider is not None and found.provider.kind == "auth0"
    how = " (in the browser: getAccessTokenSilently(), not getIdTokenClaims())" if is_auth0 else ""
    return f"{said}{how}."


def _audience(deny: Deny, found: Findings) -> str | None:
    provider = found.provider
    if deny.reason is not Reason.AUDIENCE_MISMATCH or provider is None or _id_token(deny, found):
        return None
    expected = listed(sorted(provider.audiences or ()))
    if "aud" not in _claims(found):
        return _no_audience(_claims(found), provider, expected)
    found_audiences = _texts(_claims(found)["aud"])
    resource = found.route.resource if found.route is not None else None
    if resource is not None and not (provider.audiences or frozenset()).isdisjoint(found_audiences):
        said = f"The token is for {shown(_claims(found)['aud'])}, another server of the same provider"
        return f"{said}: the client has to ask the issuer for one with `resource={resource.identifier}`."
    near = _near(found_audiences, provider.audiences or ())
    if near is not None:
        said, written, difference = near
        about = f"The token is for {shown(said)}, the file asks for {shown(written)}"
        return f"{about}: {difference}. Write it as the token has it."
    said = f"The token is for {shown(_claims(found)['aud'])}"
    if provider.kind == "oidc" and ("account" in found_audiences or is_of_keycloak(_claims(found))):
        alone = ", which Keycloak writes by itself" if found_audiences == ["account"] else ""
        return f"{said}{alone}: {missing_audience(expected)}."
    return f"{said}: ask for one of {expected}; if the API has that name, too, add it to `audience`."


def _no_audience(claims: Any, provider: Provider, expected: str) -> str:
    """Return what to do about a token without aud. `audience: none` alone would let every client's tokens in."""
    if provider.kind == "oidc" and is_of_keycloak(claims):
        return f"The token names no audience: in Keycloak {missing_audience(expected)}."
    client = client_of(claims, provider)
    if provider.kind != "oidc" or client is None:
        return f"The token names no audience: ask the issuer for one of {expected}."
    name = next(name for name in provider.client_claims if read_claim(claims, name) == client)
    whose = "as all access tokens of Cognito, and " if "token_use" in claims else ""
    said = f"The token names no audience, {whose}its client in {name}"
    if provider.clients is not None and client in provider.clients:
        return f"{said}, which `client` on the provider asks for: `audience: none` beside it takes such tokens."
    return (
        f"{said} ({shown(client)}): if that is an application of yours, write `audience: none` and `client: "
        f"{shown(client)}` on the provider, both of them."
    )


def _issuer(deny: Deny, found: Findings) -> str | None:
    if found.route is None or found.token is None:
        return None
    issuer, algorithm = _claims(found).get("iss"), found.token.algorithm
    # Beside a provider that asks for no issuer, a token of a wrong one falls by its algorithm.
    fitting = [p for p in found.route.providers if algorithm in p.algorithms and issuers_of(p)]
    is_meant = deny.reason is Reason.ALGORITHM_NOT_ALLOWED and fitting
    if not is_meant and deny.reason is not Reason.ISSUER_MISMATCH:
        return None
    expected = sorted({name for provider in found.route.providers for name in issuers_of(provider)})
    if not isinstance(issuer, str):
        return f"The token names no issuer (iss): it must be one of {listed(expected)}."
    schemeless = next((name for name in expected if issuer in (f"https://{name}", name.removeprefix("https://"))), None)
    if schemeless is not None and schemeless != issuer:
        return (
            f"The token's issuer is {shown(issuer)}, the file has {shown(schemeless)}: with and without https:// are "
            f"two names, and Google writes both. Write `issuer: [{schemeless}, {issuer}]`."
        )
    near = _near([issuer], expected)
    if near is not None:
        return f"The token's issuer is {shown(issuer)}: {near[2]}. Write the issuer exactly as the token has it."
    inner = next((name for name in expected if _differs_by_an_inner_host(issuer, name)), None)
    if inner is not None:
        return (
            f"The token is of {shown(issuer)}, the file has {shown(inner)}: only the host differs. If both lead to one "
            "server, write `issuer` as the token has it, and as `jwks_uri` where this machine finds the keys."
        )
    if "clerk.accounts.dev" in issuer or any("clerk.accounts.dev" in name for name in expected):
        return (
            f"The token is of another Clerk instance ({shown(issuer)}): development and production have keys of their "
            f"own; expected is {listed(expected)}."
        )
    return (
        f"The token is of {shown(issuer)}, the route's providers of {listed(expected)}: another tenant or environment."
    )


def _expired(deny: Deny, found: Findings) -> str | None:
    if deny.reason is not Reason.TOKEN_EXPIRED or found.provider is None:
        return None
    claims = _claims(found)
    expiry, issued = _number(claims, "exp"), _number(claims, "iat")
    if expiry is None:
        return None
    lifetime = None if issued is None else expiry - issued
    is_plausible = lifetime is not None and 0 <= lifetime <= _MAX_LIFETIME_SECONDS
    lived = f" It was good for {lifetime:.0f} s." if is_plausible else ""
    said = f"The token expired {span(expiry - found.now)}.{lived}"
    if found.provider.kind == "clerk" and (lifetime is None or lifetime <= _CLERK_LIFETIME_SECONDS):
        return f"{said} Clerk's session tokens live 60 s: call getToken() before each request, never keep one."
    late = found.now - expiry
    if lifetime is not None and late < _MANY_SECONDS:
        clocks = f"the gateway's clock says {moment_of(found.now)}; compare it with the issuer's (or raise `leeway`)"
        return f"{said} Get a new one; if it was new, the clocks differ: {clocks}."
    return f"{said} Get a new one."


def _not_yet(deny: Deny, found: Findings) -> str | None:
    if deny.reason is not Reason.TOKEN_NOT_YET_VALID:
        return None
    for name in ("iat", "nbf"):
        if (_number(_claims(found), name) or 0.0) > _MILLISECONDS:
            return (
                f"The token's {name} counts milliseconds, as Date.now() of JavaScript does: have the issuer write "
                "seconds (RFC 7519 section 2), in exp as well, or its tokens hardly ever end."
            )
    return (
        f"The clocks differ: the gateway's says {moment_of(found.now)}. Set it by NTP, or raise `leeway` on "
        "the provider."
    )


def _no_expiry(deny: Deny, found: Findings) -> str | None:
    is_asked = found.provider is not None and found.provider.requires_expiry
    if deny.reason is not Reason.CLAIM_INVALID or not is_asked or "exp" in _claims(found):
        return None
    if found.provider is None or found.provider.kind != "jwt":
        return "The token never ends: have the issuer write exp."
    return (
        "The token never ends (no exp), as those of jwt.io: have its maker write one (`gateway token` does), or let "
        "such tokens count for ever by `expiry: optional` on the provider."
    )


def _no_subject(deny: Deny, found: Findings) -> str | None:
    name = found.provider.subject_claim if found.provider is not None else ""
    if deny.reason is not Reason.CLAIM_INVALID or not name or read_claim(_claims(found), name) is not None:
        return None
    if name == "sub" and is_of_keycloak(_claims(found)):
        return f"The token names nobody. {missing_subject()}"
    way = ", or name the claim that does with `subject_claim`" if name == "sub" else ""
    return f"The token names nobody: have the issuer add {name}{way}."


def _authorized_party(deny: Deny, found: Findings) -> str | None:
    if deny.reason is not Reason.AUTHORIZED_PARTY_MISMATCH or not deny.detail.startswith("azp "):
        return None
    party = _claims(found).get("azp")
    if party is None:
        return (
            "The token has no azp (it was not made for a page): `azp: if_present` on the provider lets such tokens in."
        )
    return f"The page {shown(party)} got the token: add it to `authorized_parties`, letter by letter, without a path."


def _client(deny: Deny, found: Findings) -> str | None:
    provider = found.provider
    if deny.reason is not Reason.AUTHORIZED_PARTY_MISMATCH or provider is None or deny.detail.startswith("azp "):
        return None
    said = {name: value for name in provider.client_claims if (value := read_claim(_claims(found), name))}
    if not said:
        names = listed(provider.client_claims)
        way = ", or name the claim that does with `client_claim`" if len(provider.client_claims) > 1 else ""
        return f"The token names no client ({names}): have the issuer write it{way}."
    client = client_of(_claims(found), provider)
    if client is None:
        each = listed([f"{name} {shown(value)}" for name, value in said.items()], "and")
        return f"The token does not name one client ({each}): say by `client_claim` which claim counts."
    return f"The token was made for the client {shown(client)}: if that is an application of yours, add it to `client`."


def _lifetime(deny: Deny, found: Findings) -> str | None:
    if deny.reason is not Reason.CLAIM_INVALID or "`max_lifetime`" not in deny.detail:
        return None
    return "The token lives longer than `max_lifetime` on the provider allows: have the issuer make shorter ones."


def _absent_claim(deny: Deny, found: Findings) -> str | None:
    provider = found.provider
    if deny.reason is not Reason.CLAIM_INVALID or "`required_claims`" not in deny.detail or provider is None:
        return None
    name = deny.detail.partition(" is ")[0]
    return f"Every token of {provider.name} must have {shown(name)} (`required_claims`): have the issuer add it."


def _kind_of_clerk(deny: Deny, found: Findings) -> str | None:
    provider, token = found.provider, found.token
    if deny.reason is not Reason.TOKEN_KIND_REFUSED or provider is None or token is None or provider.kind != "clerk":
        return None
    kind = kind_of(token, provider)
    if kind is None or kind in provider.clerk_kinds:
        return None
    accepted = ", ".join([*sorted(provider.clerk_kinds), kind])
    return f"It is {_KINDS_OF_CLERK[kind]}: `accept: [{accepted}]` on the provider lets those in."


def _near(found: Iterable[str], expected: Iterable[str]) -> tuple[str, str, str] | None:
    """Return what was found, what was expected and how they differ, where they differ by next to nothing."""
    expected = sorted(expected)
    for said in found:
        for written in expected:
            if said.rstrip("/") == written.rstrip("/"):
                which = "has a closing slash and the file has none" if said.endswith("/") else "has no closing slash"
                return said, written, f"it {which}"
            if said.lower().rstrip("/") == written.lower().rstrip("/"):
                return said, written, "only capitals and small letters differ, and they count"
            if said.partition("://")[2] == written.partition("://")[2] != "":
                return said, written, "only http and https differ"
            if said.strip() == written.strip():
                return said, written, "only a space around it differs"
    return None


def _differs_by_an_inner_host(issuer: str, other: str) -> bool:
    """Return whether one of two addresses of the same path has a host that only this machine or network knows."""
    try:
        both = urlsplit(issuer), urlsplit(other)
        hosts = [parts.hostname or "" for parts in both]
    except ValueError:
        return False
    is_inner = any(host and ("." not in host or is_loopback(host)) for host in hosts)
    return is_inner and all(hosts) and both[0].path == both[1].path and both[0].netloc != both[1].netloc


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, list | tuple) else [value]
    return [one for one in values if isinstance(one, str)]


def _claims(found: Findings) -> Any:
    return found.token.claims if found.token is not None else {}


def _number(claims: Any, name: str) -> float | None:
    value = claims.get(name)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


CAUSES = (
    _id_token,
    _audience,
    _issuer,
    _expired,
    _not_yet,
    _no_expiry,
    _no_subject,
    _authorized_party,
    _client,
    _lifetime,
    _absent_claim,
    _kind_of_clerk,
)
