"""Well-known causes by issuer: a token of the wrong kind, version or application.

Each is told by what stands in the token, whatever type the file gives its provider. Where one of these fits, it says
all: what is true of tokens in general is left out then.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway.explain.findings import Findings
from gateway.explain.keycloak_causes import is_of_keycloak
from gateway.explain.opaque_causes import SIGNED_IN
from gateway.explain.step import shown
from gateway.policy.decision import Deny
from gateway.policy.providers import Provider, issuers_of
from gateway.policy.reasons import Reason
from gateway.policy.words import listed

_GUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_ENTRA = {
    1: re.compile(rf"https://sts\.windows\.net/({_GUID}|\{{tid\}})/"),
    2: re.compile(rf"https://login\.microsoftonline\.com/({_GUID}|\{{tid\}})/v2\.0"),
}
_GRAPH = ("00000003-0000-0000-c000-000000000000", "https://graph.microsoft.com", "https://graph.microsoft.com/")
_KINDS_OF_KEYCLOAK = {
    "ID": "It is Keycloak's ID token, which tells the application who signed in: send the access token beside it.",
    "Refresh": "It is Keycloak's refresh token, which only Keycloak takes: send the access token beside it.",
    "Offline": "It is Keycloak's offline token, which only Keycloak takes: get an access token with it.",
    "Logout": "It is Keycloak's logout token, which speaks for nobody.",
}


def _entra_version(deny: Deny, found: Findings) -> str | None:
    issuer = _claims(found).get("iss")
    if deny.reason is not Reason.ISSUER_MISMATCH or found.route is None or not isinstance(issuer, str):
        return None
    for version, pattern in _ENTRA.items():
        own = pattern.fullmatch(issuer)
        if own is None:
            continue
        other = 3 - version
        expected = [name for provider in found.route.providers for name in issuers_of(provider)]
        tenants = {match[1] for name in expected if (match := _ENTRA[other].fullmatch(name))}
        if not tenants & {own[1], "{tid}"}:
            return None
        wanted = f"set `requestedAccessTokenVersion` to {other} in the manifest of the API's app registration"
        return (
            f"The token is of version {version} of Entra's tokens ({shown(issuer)}), the provider takes version "
            f"{other}: {wanted}, or write `type: entra` with `tenant`, which takes both."
        )
    return None


def _entra_audience(deny: Deny, found: Findings) -> str | None:
    audience, provider = _claims(found).get("aud"), found.provider
    if not isinstance(audience, str):
        return None
    if audience in _GRAPH and deny.reason in (Reason.AUDIENCE_MISMATCH, Reason.SIGNATURE_INVALID):
        return (
            "The token is for Microsoft Graph, and nobody else can verify those: ask for a scope of your own API "
            "(`scope=api://CLIENT-ID/NAME`), not for User.Read."
        )
    written = provider.audiences or () if provider is not None else ()
    near = {f"api://{audience}", audience.removeprefix("api://")}.intersection(written)
    if deny.reason is not Reason.AUDIENCE_MISMATCH or not near or "tid" not in _claims(found):
        return None
    both = sorted({*near, audience})
    return (
        "Entra's tokens of version 1 are for the Application ID URI, those of version 2 for the client id: write both, "
        f"`audience: [{', '.join(map(shown, both))}]`."
    )


def _okta_itself(deny: Deny, found: Findings) -> str | None:
    kind = found.token.header.get("typ") if found.token is not None else None
    if deny.reason.status != 401 or kind != "application/okta-internal-at+jwt":
        return None
    return (
        "The token is for Okta itself, of the organization's own server: have the client sign in at an authorization "
        "server (https://DOMAIN/oauth2/default), and ask there for your audience."
    )


def _kind_of_keycloak(deny: Deny, found: Findings) -> str | None:
    claims = _claims(found)
    if deny.reason.status != 401 or not is_of_keycloak(claims):
        return None
    kind = claims.get("typ")
    return _KINDS_OF_KEYCLOAK.get(kind) if isinstance(kind, str) else None


def _use_of_cognito(deny: Deny, found: Findings) -> str | None:
    use, provider = _claims(found).get("token_use"), found.provider
    asked = dict(provider.expected_claims).get("token_use") if provider is not None else None
    if deny.reason.status != 401 or not asked or use not in ("access", "id") or use in asked:
        return None
    names = {"access": "an access token", "id": "an ID token"}
    other = names["id" if use == "access" else "access"]
    return (
        f"It is {names[use]} of Cognito, and the provider takes the other kind: send {other}, or write "
        f"`token_use: {use}` on the provider."
    )


def _key_of_supabase(deny: Deny, found: Findings) -> str | None:
    claims = _claims(found)
    issuer, role = claims.get("iss"), claims.get("role")
    is_key = issuer == "supabase" or (isinstance(issuer, str) and issuer.endswith("/auth/v1"))
    if deny.reason.status != 401 or not is_key:
        return None
    if role == "anon":
        return f"It is the project's anon key, which is nobody: {SIGNED_IN}."
    if role == "service_role":
        return (
            "It is the project's service_role key, which may do everything and belongs to no client: replace it "
            f"(Project Settings, JWT Keys), and {SIGNED_IN}."
        )
    has_secret = found.route is not None and any(provider.secrets for provider in found.route.providers)
    if deny.reason is Reason.ALGORITHM_NOT_ALLOWED and _has_shared_secret(found) and not has_secret:
        return (
            "The project still signs with its legacy secret: make an asymmetric key the one in use (Project Settings, "
            "JWT Keys). While tokens of the old one are about, give the route a second provider of type jwt with it."
        )
    return None


def _has_shared_secret(found: Findings) -> bool:
    return found.token is not None and found.token.algorithm.startswith("HS")


def _other_of_firebase(deny: Deny, found: Findings) -> str | None:
    issuer, audience = _claims(found).get("iss"), _claims(found).get("aud")
    if deny.reason.status != 401:
        return None
    if isinstance(audience, str) and audience.startswith("https://identitytoolkit.googleapis.com/"):
        return (
            "It is a custom token of Firebase, which is for signing in with: `signInWithCustomToken(auth, token)`, "
            "then send `await user.getIdToken()`."
        )
    if isinstance(issuer, str) and issuer.startswith("https://session.firebase.google.com/"):
        return (
            "It is a session cookie of Firebase, whose keys are published as certificates only: send the ID token, "
            "`await user.getIdToken()`."
        )
    return None


def _workspace(deny: Deny, found: Findings) -> str | None:
    provider = found.provider
    asked = dict(provider.expected_claims).get("hd") if provider is not None else None
    own = _claims(found).get("hd")
    if deny.reason is not Reason.CLAIM_INVALID or not asked or not deny.detail.startswith("hd "):
        return None
    whose = f"is of {shown(own)}" if isinstance(own, str) else "belongs to no Google Workspace (it has no hd)"
    return f"The Google account {whose}: only those of {listed(sorted(asked))} count (`hosted_domain`)."


def _issuers_of_ad_fs(deny: Deny, found: Findings) -> str | None:
    issuer = _claims(found).get("iss")
    if deny.reason is not Reason.ISSUER_MISMATCH or found.route is None or not isinstance(issuer, str):
        return None
    host = re.fullmatch(r"https?://([^/]+)/adfs(/services/trust)?", issuer)
    expected = {name for provider in found.route.providers for name in issuers_of(provider)}
    if host is None or not any(name.partition("://")[2].startswith(f"{host[1]}/adfs") for name in expected):
        return None
    if host[2]:
        return f"AD FS writes {shown(issuer)} into access tokens, with http: write that as `issuer`, beside `jwks_uri`."
    return "It is an ID token of AD FS: send the access token, whose issuer ends in /adfs/services/trust."


def _authkit(deny: Deny, found: Findings) -> str | None:
    issuer = _claims(found).get("iss")
    if deny.reason is not Reason.ISSUER_MISMATCH or found.route is None or not isinstance(issuer, str):
        return None
    expected = [name for provider in found.route.providers for name in issuers_of(provider)]
    if not issuer.endswith(".authkit.app") or not any(name.startswith("https://api.workos.com") for name in expected):
        return None
    return (
        "The token is of AuthKit's OAuth server (MCP, Connect), which has other keys: give the route a second "
        f"provider, `type: oidc`, `issuer: {shown(issuer)}`, with the resource as `audience`."
    )


def way_to_email(claims: Mapping[str, Any]) -> str | None:
    """Return what to do where an issuer's tokens carry no email by default; None for any other issuer."""
    issuer = claims.get("iss")
    if isinstance(issuer, str) and issuer.startswith("https://api.workos.com"):
        return (
            "WorkOS's access tokens carry no email unless a JWT template adds it (Authentication, Sessions): "
            '{"email": "{{user.email}}"}; the next token has it.'
        )
    if claims.get("token_use") == "access":
        return (
            "Cognito's access tokens carry no email, its ID tokens do: `token_use: id` on a provider of type cognito."
        )
    if "cid" in claims and "uid" in claims:
        return (
            "Okta's access tokens carry no email unless the authorization server has a claim for it (Claims, Add "
            "Claim, user.email); where logins are emails that only administrators give, `email_claim: sub` reads them."
        )
    return None


def way_to_verified_email(provider: Provider) -> str | None:
    """Return what to do where Entra does not say that an email's domain is its tenant's own."""
    if provider.email_verified_claim != "xms_edov":
        return None
    return (
        "Entra says by xms_edov whether the domain of the email is one that the tenant has proved to own, and the "
        "token has none: add the optional claim xms_edov to the app registration (Token configuration, Access)."
    )


def way_to_scopes(claims: Mapping[str, Any]) -> str | None:
    """Return what to do where an application of Entra calls by itself."""
    if claims.get("idtyp") != "app":
        return None
    return (
        "An application calls by itself, to which Entra gives app roles and no scopes: give it a role (API "
        "permissions, Application permissions), and let a rule of its own ask for that `role`."
    )


def _claims(found: Findings) -> Mapping[str, Any]:
    return found.token.claims if found.token is not None else {}


CAUSES = (
    _entra_version,
    _entra_audience,
    _okta_itself,
    _kind_of_keycloak,
    _use_of_cognito,
    _key_of_supabase,
    _other_of_firebase,
    _workspace,
    _issuers_of_ad_fs,
    _authkit,
)
