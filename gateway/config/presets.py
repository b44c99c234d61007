"""Presets of well-known issuers: for each type its parameters, and what they stand for, in the words of the file.

A row is data. `expansion` writes it out, and what comes is an ordinary provider of type oidc: the decision never hears
of Google.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.config import preset_fields as fields
from gateway.config.records import Field

Given = Mapping[str, tuple[str, ...]]  # what the parameters say, by their names; without those that say nothing
_MICROSOFT = "https://login.microsoftonline.com"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A key of a preset alone. `variable`: where the issuer's own tools look for it. `also`: what follows from it."""

    key: Field[Any]
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
    written_by_users: str = ""  # a claim in which they write what they like: no fact can be read from it
    open_to: str = ""  # a warning, where half the world has a token that counts
    is_open: Callable[[Given], bool] = lambda given: False
    without_email: str = ""  # what to do where a rule asks for an email and the tokens carry none by default
    lacks_email: Callable[[Given], bool] = lambda given: True


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


PRESETS: Mapping[str, Preset] = {
    "google": Preset(
        (Parameter(fields.HOSTED_DOMAIN),),
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
        (Parameter(fields.TENANT),),
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
                when=_is("tenant", fields.ANY),
            ),
        ),
        needs={"audience": "the client id of the API's app registration, or its Application ID URI (api://...)"},
        shut={
            **_anybodys("Entra"),
            ("email_verified", "if_present"): (
                "of any tenant its administrator writes whatever email",
                _is("tenant", fields.ANY),
            ),
        },
        open_to="everybody with an account of Microsoft has a token of '{provider}' that counts, in whatever tenant "
        "(a rule about 'organization' says whose may pass)",
        is_open=_is("tenant", fields.ANY),
        without_email="add the optional claims email and xms_edov to the app registration (Token configuration)",
    ),
    "okta": Preset(
        (Parameter(fields.OKTA_DOMAIN), Parameter(fields.OKTA_SERVER)),
        (
            Words(
                {
                    "issuer": "https://{domain}/oauth2/{authorization_server}",
                    "jwks_uri": "https://{domain}/oauth2/{authorization_server}/v1/keys",
                    "algorithms": "RS256",
                    "client_claim": "cid",
                    "email_verified": "if_present",  # nothing in its tokens tells
                }
            ),
            Words({"audience": "api://default"}, when=_is("authorization_server", "default")),
        ),
        needs={"audience": "the audience of the authorization server (Security, API, Authorization Servers)"},
        shut=_anybodys("Okta"),
        without_email="add a claim to the authorization server, or, where logins are emails, 'email_claim: sub'",
    ),
    "keycloak": Preset(
        (Parameter(fields.KEYCLOAK_URL), Parameter(fields.REALM)),
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
            Parameter(fields.USER_POOL, also={"region": lambda pool: pool.partition("_")[0]}),
            Parameter(fields.CLIENT),
            Parameter(fields.TOKEN_USE),
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
        without_email="ID tokens of Cognito have it: 'token_use: id'",
        lacks_email=_is("token_use", "access"),
    ),
    "supabase": Preset(
        (Parameter(fields.SUPABASE_PROJECT), Parameter(fields.SUPABASE_URL, "SUPABASE_URL")),
        (
            Words(
                {
                    "algorithms": ("ES256", "RS256"),
                    "audience": "authenticated",
                    # Nothing tells but `user_metadata`, which users write themselves.
                    "email_verified": "if_present",
                },
                {"role": "authenticated"},
            ),
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
        written_by_users="user_metadata",
    ),
    "firebase": Preset(
        (Parameter(fields.FIREBASE_PROJECT),),
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
        (Parameter(fields.WORKOS_CLIENT, "WORKOS_CLIENT_ID"),),
        (
            Words(
                {
                    # The second in environments from before the middle of 2025. The keys are of the one client.
                    "issuer": ("https://api.workos.com/user_management/{client_id}", "https://api.workos.com"),
                    "jwks_uri": "https://api.workos.com/sso/jwks/{client_id}",
                    "algorithms": "RS256",
                    "audience": "none",
                    "email_verified": "if_present",  # nothing in its tokens tells
                }
            ),
        ),
        either=("client_id",),
        without_email='add it with a JWT template (Authentication, Sessions): {"email": "{{user.email}}"}',
    ),
    "better_auth": Preset(
        (
            Parameter(
                fields.BETTER_AUTH_URL,
                "BETTER_AUTH_URL",
                also={"origin": fields.origin_of_better_auth, "keys": fields.keys_of_better_auth},
            ),
        ),
        (
            Words(
                {
                    "issuer": "{origin}",
                    "audience": "{origin}",
                    "jwks_uri": "{keys}",
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
