"""Presets of well-known issuers: for each type its parameters, and what they stand for, in the words of the file.

A row is data. `expansion` writes it out, and what comes is an ordinary provider of type oidc: the decision never hears
of Google. A parameter has the name that the issuer's own console gives it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.config.addresses import host_of, split_url
from gateway.config.domains import EMAIL_DOMAIN
from gateway.config.lists import OrWord, some
from gateway.config.readers import Mistake, Scalar, one_of, text
from gateway.config.records import Field

ANY = "any"
Given = Mapping[str, tuple[str, ...]]  # what the parameters say, by their names; without those that say nothing
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PERSONAL = "9188040d-6c67-4c5b-b112-36a304b66dad"  # the tenant of personal accounts of Microsoft
_POOL = re.compile(r"([a-z]{2}(?:-[a-z]+)+-[0-9])_[A-Za-z0-9]+")
_MICROSOFT = "https://login.microsoftonline.com"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A key of a preset alone. `variable`: where the issuer's own tools look for it. `also`: what follows from it."""

    field: Field[Any]
    variable: str = ""
    also: Mapping[str, Callable[[str], str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Words:
    """Keys of the file that a preset says where `when` holds. `{name}` is a parameter: several give several values.

    Another name in braces stays: it is a claim, in the template of an issuer.
    `claims` are asked of every token, and no key of the file takes that back.
    """

    says: Mapping[str, str | tuple[str, ...]]
    claims: Mapping[str, str] = field(default_factory=dict)
    when: Callable[[Given], bool] = lambda given: True


@dataclass(frozen=True, slots=True)
class Preset:
    """One well-known issuer."""

    parameters: tuple[Parameter, ...]
    words: tuple[Words, ...]  # a later one wins
    needs: Mapping[str, str] = field(default_factory=dict)  # keys that the file must have, and what belongs there
    either: tuple[str, ...] = ()  # of these parameters exactly one is given
    shut: Mapping[tuple[str, str], tuple[str, Callable[[Given], bool]]] = field(default_factory=dict)
    open_to: str = ""  # a warning, where half the world has a token that counts
    is_open: Callable[[Given], bool] = lambda given: False
    without_email: str = ""  # what to do where a rule asks for an email and the tokens carry none by default


def _tenant(written: str) -> str:
    name = written.lower()
    if _GUID.fullmatch(name):
        return name
    if name in ("common", "organizations"):
        raise Mistake(f"which is the name of no tenant: a token has its own one in iss (did you mean '{ANY}'?)")
    if name == "consumers":
        raise Mistake(f"which no token has in iss (did you mean '{_PERSONAL}', the tenant of personal accounts?)")
    if "." in name:
        raise Mistake("which is a domain: tokens have the tenant's id in iss (Entra admin center: Overview, Tenant ID)")
    raise Mistake


def _okta_domain(written: str) -> str:
    bare = written.rpartition("://")[2].partition("/")[0]
    if bare != written:
        raise Mistake(f"with a scheme or path (did you mean '{bare}'?)" if bare else "")
    host, colon, port = written.partition(":")
    name = host_of(host)
    for ending in (".okta.com", ".oktapreview.com", ".okta-emea.com"):
        if name.endswith(f"-admin{ending}"):
            meant = name.replace(f"-admin{ending}", ending)
            raise Mistake(f"which is that of Okta's admin console (did you mean '{meant}'?)")
    return f"{name}{colon}{port}"


def _base(written: str) -> str:
    parts = split_url(written)
    if parts.query or parts.fragment:
        raise Mistake("with a query or fragment")
    if "{" in written or "}" in written:
        raise Mistake("with a brace")
    return written.rstrip("/")


def _project_of_supabase(written: str) -> str:
    if not re.fullmatch(r"[a-z0-9-]+", written):
        raise Mistake("which is no project id (an address stands in 'url')")
    return written


def _part(expected: str, pattern: str) -> Scalar[str]:
    """Return a reader of a text that becomes one segment of an address."""

    def parse(written: str) -> str:
        if not re.fullmatch(pattern, written):
            raise Mistake
        return written

    return Scalar(expected, parse)


def _is(name: str, *values: str) -> Callable[[Given], bool]:
    return lambda given: given.get(name) == values


def _has(name: str) -> Callable[[Given], bool]:
    return lambda given: name in given


def _lacks(name: str) -> Callable[[Given], bool]:
    return lambda given: name not in given


def _always(given: Given) -> bool:
    return True


def _anybodys(whose: str) -> Mapping[tuple[str, str], tuple[str, Callable[[Given], bool]]]:
    """Return that `audience: none` is shut."""
    return {("audience", "none"): (f"{whose} signs tokens for every application with the same keys", _always)}


_TENANT_ID = Scalar("a tenant id such as 11111111-2222-4333-8444-555555555555, or any", _tenant)
_TENANT = Field(
    "tenant",
    OrWord(ANY, (ANY,), some(_TENANT_ID, "tenant ids"), may_be_quoted=True),
    "the tenant's id, or several; `any` takes every tenant",
    is_required=True,
)
_HOSTED_DOMAIN = Field(
    "hosted_domain", some(EMAIL_DOMAIN, "domains"), "the Google Workspace whose people count, by its primary domain (hd)"
)
_OKTA_DOMAIN = Field(
    "domain", Scalar("a domain such as yourcompany.okta.com", _okta_domain), "the Okta domain", is_required=True
)
_OKTA_SERVER = Field(
    "authorization_server",
    _part("the id of an authorization server, such as default", r"[A-Za-z0-9_-]+"),
    "the authorization server, by its id",
    "default",
)
_ADDRESS = Scalar("an address such as https://login.yourcompany.com", _base)
_KEYCLOAK_URL = Field("url", _ADDRESS, "where Keycloak is, with its path if it has one", is_required=True)
_REALM = Field("realm", _part("the name of a realm", r"[A-Za-z0-9._~-]+"), "the realm", is_required=True)
_USER_POOL = Field(
    "user_pool",
    _part("a user pool id such as eu-west-1_Ab12Cd34E", _POOL.pattern),
    "the user pool's id; the region is in it",
    is_required=True,
)
_TOKEN_USE = Field(
    "token_use", one_of("access", "id"), "whether access tokens count or ID tokens, which carry the email", "access"
)
_CLIENT = Field("client", some(text("a client id"), "client ids"), "the clients whose tokens count", is_required=True)
_SUPABASE_PROJECT = Field(
    "project",
    Scalar("a project id such as abcdefghijklmnopqrst", _project_of_supabase),
    "the project's id; or `url`",
)
_SUPABASE_URL = Field("url", _ADDRESS, "the project's address, where it has one of its own", "SUPABASE_URL")
_FIREBASE_PROJECT = Field(
    "project", _part("a project id such as your-project-1234", r"[a-z0-9:.-]+"), "the project's id", is_required=True
)
_WORKOS_CLIENT = Field(
    "client_id",
    _part("a client id such as client_01HXYZ", r"[A-Za-z0-9_]+"),
    "the environment's client id",
    "WORKOS_CLIENT_ID",
)
_BETTER_AUTH_URL = Field("url", _ADDRESS, "the `baseURL` of better-auth", "BETTER_AUTH_URL")

PRESETS: Mapping[str, Preset] = {
    "google": Preset(
        (Parameter(_HOSTED_DOMAIN),),
        (
            Words(
                {
                    "issuer": ("https://accounts.google.com", "accounts.google.com"),  # Google writes both
                    "jwks_uri": "https://www.googleapis.com/oauth2/v3/certs",
                    "algorithms": "RS256",
                    "email_verified": "required",
                    "organization_claim": "hd",
                }
            ),
            Words({}, {"hd": "{hosted_domain}"}, _has("hosted_domain")),
        ),
        needs={"audience": "your OAuth client id, such as 123-abc.apps.googleusercontent.com"},
        shut=_anybodys("Google"),
        open_to="everybody with a Google account has a token of '{provider}' that counts, and every service account "
        "('hosted_domain' or a rule says whose may pass)",
        is_open=_lacks("hosted_domain"),
    ),
    "entra": Preset(
        (Parameter(_TENANT),),
        (
            Words(
                {
                    # Of version 2 and version 1: the application's manifest says which one its tokens are.
                    "issuer": (f"{_MICROSOFT}/{{tenant}}/v2.0", "https://sts.windows.net/{tenant}/"),
                    "jwks_uri": f"{_MICROSOFT}/common/discovery/v2.0/keys",
                    "algorithms": "RS256",
                    "organization_claim": "tid",
                    # Whoever administers a tenant writes any address into `email`.
                    "email_verified": "required",
                    "email_verified_claim": "xms_edov",
                }
            ),
            Words(
                {"jwks_uri": f"{_MICROSOFT}/{{tenant}}/discovery/v2.0/keys"},
                when=lambda given: len(given.get("tenant", ())) == 1,
            ),
            Words(
                {
                    "issuer": (f"{_MICROSOFT}/{{tid}}/v2.0", "https://sts.windows.net/{tid}/"),
                    "jwks_uri": f"{_MICROSOFT}/common/discovery/v2.0/keys",
                },
                when=_is("tenant", ANY),
            ),
        ),
        needs={"audience": "the client id of the API's app registration, or its Application ID URI (api://...)"},
        shut={
            **_anybodys("Entra"),
            ("email_verified", "if_present"): (
                "of any tenant its administrator writes whatever email",
                _is("tenant", ANY),
            ),
        },
        open_to="everybody with an account of Microsoft has a token of '{provider}' that counts, in whatever tenant "
        "(a rule about 'organization' says whose may pass)",
        is_open=_is("tenant", ANY),
        without_email="add the optional claims email and xms_edov to the app registration (Token configuration)",
    ),
    "okta": Preset(
        (Parameter(_OKTA_DOMAIN), Parameter(_OKTA_SERVER)),
        (
            Words(
                {
                    "issuer": "https://{domain}/oauth2/{authorization_server}",
                    "jwks_uri": "https://{domain}/oauth2/{authorization_server}/v1/keys",
                    "algorithms": "RS256",
                    "client_claim": "cid",
                }
            ),
            Words({"audience": "api://default"}, when=_is("authorization_server", "default")),
        ),
        needs={"audience": "the audience of the authorization server (Security, API, Authorization Servers)"},
        shut=_anybodys("Okta"),
        without_email="add a claim to the authorization server, or, where logins are emails, 'email_claim: sub'",
    ),
    "keycloak": Preset(
        (Parameter(_KEYCLOAK_URL), Parameter(_REALM)),
        (
            Words(
                {
                    "issuer": "{url}/realms/{realm}",
                    "jwks_uri": "{url}/realms/{realm}/protocol/openid-connect/certs",
                    "algorithms": "RS256",
                    "roles_claim": "/realm_access/roles",
                    "client_claim": "azp",
                    "email_verified": "required",
                },
                {"typ": "Bearer"},  # access tokens; ID tokens say `ID`, by the same key
            ),
        ),
        needs={"audience": "what an audience mapper of the client writes into aud"},
        shut=_anybodys("Keycloak"),
    ),
    "cognito": Preset(
        (
            Parameter(_USER_POOL, also={"region": lambda pool: pool.partition("_")[0]}),
            Parameter(_CLIENT),
            Parameter(_TOKEN_USE),
        ),
        (
            Words(
                {
                    "issuer": "https://cognito-idp.{region}.amazonaws.com/{user_pool}",
                    "jwks_uri": "https://cognito-idp.{region}.amazonaws.com/{user_pool}/.well-known/jwks.json",
                    "algorithms": "RS256",
                    "groups_claim": "cognito:groups",
                    "email_verified": "required",
                },
                {"token_use": "{token_use}"},
            ),
            # Access tokens have no aud: the client is the one thing that tells an application's from another's.
            Words({"audience": "none", "client_claim": "client_id"}, when=_is("token_use", "access")),
            Words({"audience": "{client}", "client_claim": "aud"}, when=_is("token_use", "id")),
        ),
        without_email="access tokens of Cognito have none: 'token_use: id' takes ID tokens, which have it",
    ),
    "supabase": Preset(
        (Parameter(_SUPABASE_PROJECT), Parameter(_SUPABASE_URL, "SUPABASE_URL")),
        (
            Words({"algorithms": ("ES256", "RS256"), "audience": "authenticated"}, {"role": "authenticated"}),
            Words(
                {
                    "issuer": "https://{project}.supabase.co/auth/v1",
                    "jwks_uri": "https://{project}.supabase.co/auth/v1/.well-known/jwks.json",
                },
                when=_has("project"),
            ),
            Words(
                {"issuer": "{url}/auth/v1", "jwks_uri": "{url}/auth/v1/.well-known/jwks.json"},
                when=_has("url"),
            ),
        ),
        either=("project", "url"),
        shut=_anybodys("Supabase"),
    ),
    "firebase": Preset(
        (Parameter(_FIREBASE_PROJECT),),
        (
            Words(
                {
                    "issuer": "https://securetoken.google.com/{project}",
                    "jwks_uri": "https://www.googleapis.com/service_accounts/v1/jwk/"
                    "securetoken@system.gserviceaccount.com",
                    "algorithms": "RS256",
                    "audience": "{project}",
                    "organization_claim": "/firebase/tenant",
                    "email_verified": "required",
                }
            ),
        ),
        shut=_anybodys("Firebase"),
    ),
    "workos": Preset(
        (Parameter(_WORKOS_CLIENT, "WORKOS_CLIENT_ID"),),
        (
            Words(
                {
                    # The second in environments from before the middle of 2025. The keys are of the one client.
                    "issuer": ("https://api.workos.com/user_management/{client_id}", "https://api.workos.com"),
                    "jwks_uri": "https://api.workos.com/sso/jwks/{client_id}",
                    "algorithms": "RS256",
                    "audience": "none",
                }
            ),
        ),
        either=("client_id",),
        without_email="add it with a JWT template (Authentication, Sessions): {\"email\": \"{{user.email}}\"}",
    ),
    "better_auth": Preset(
        (Parameter(_BETTER_AUTH_URL, "BETTER_AUTH_URL"),),
        (
            Words(
                {
                    "issuer": "{url}",
                    "audience": "{url}",
                    "jwks_uri": "{url}/api/auth/jwks",
                    "algorithms": "EdDSA",
                    "email_verified": "required",
                    "email_verified_claim": "emailVerified",
                }
            ),
        ),
        either=("url",),
        shut=_anybodys("better-auth"),
    ),
}
