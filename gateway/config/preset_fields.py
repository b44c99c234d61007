"""The keys that presets of well-known issuers have besides those of type oidc, named as the issuers name them."""

from __future__ import annotations

import re

from gateway.config.addresses import host_of, origin_of, split_url
from gateway.config.domains import EMAIL_DOMAIN
from gateway.config.lists import OrWord, some
from gateway.config.readers import Mistake, Scalar, one_of, text
from gateway.config.records import Field

ANY = "any"
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PERSONAL = "9188040d-6c67-4c5b-b112-36a304b66dad"  # the tenant of personal accounts of Microsoft
_POOL = re.compile(r"([a-z]{2}(?:-[a-z]+)+-[0-9])_[A-Za-z0-9]+")


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


def _url_of_keycloak(written: str) -> str:
    base, found, _ = _base(written).partition("/realms/")
    if found:
        raise Mistake(f"with a realm, which has a key of its own (did you mean '{base}'?)")
    return base


def _url_of_supabase(written: str) -> str:
    base = _base(written)
    for path in ("/auth/v1", "/rest/v1"):
        if base.endswith(path):
            raise Mistake(f"with the path of a service (did you mean '{base.removesuffix(path)}'?)")
    return base


def origin_of_better_auth(url: str) -> str:
    """Return what better-auth writes into iss and aud: the origin of `baseURL` alone, whatever its path."""
    return origin_of(split_url(url))


def keys_of_better_auth(url: str) -> str:
    """Return where the keys are: better-auth adds its base path where `baseURL` has none."""
    return f"{url}/jwks" if split_url(url).path else f"{url}/api/auth/jwks"


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


_TENANT_ID = Scalar("a tenant id such as 11111111-2222-4333-8444-555555555555, or any", _tenant)
TENANT = Field(
    "tenant",
    OrWord(ANY, (ANY,), some(_TENANT_ID, "tenant ids"), may_be_quoted=True),
    "the tenant's id, or several; `any` takes every tenant",
    is_required=True,
)
HOSTED_DOMAIN = Field(
    "hosted_domain",
    some(EMAIL_DOMAIN, "domains"),
    "the Google Workspace whose people count, by its primary domain (hd)",
)
OKTA_DOMAIN = Field(
    "domain", Scalar("a domain such as yourcompany.okta.com", _okta_domain), "the Okta domain", is_required=True
)
OKTA_SERVER = Field(
    "authorization_server",
    _part("the id of an authorization server, such as default", r"[A-Za-z0-9_-]+"),
    "the authorization server, by its id",
    "default",
)
_ADDRESS = "an address such as https://login.yourcompany.com"
KEYCLOAK_URL = Field(
    "url", Scalar(_ADDRESS, _url_of_keycloak), "where Keycloak is, with its path if it has one", is_required=True
)
REALM = Field("realm", _part("the name of a realm", r"[A-Za-z0-9._~-]+"), "the realm", is_required=True)
USER_POOL = Field(
    "user_pool",
    _part("a user pool id such as eu-west-1_Ab12Cd34E", _POOL.pattern),
    "the user pool's id; the region is in it",
    is_required=True,
)
TOKEN_USE = Field(
    "token_use", one_of("access", "id"), "whether access tokens count or ID tokens, which carry the email", "access"
)
CLIENT = Field("client", some(text("a client id"), "client ids"), "the clients whose tokens count", is_required=True)
SUPABASE_PROJECT = Field(
    "project",
    Scalar("a project id such as abcdefghijklmnopqrst", _project_of_supabase),
    "the project's id; or `url`",
)
SUPABASE_URL = Field(
    "url", Scalar(_ADDRESS, _url_of_supabase), "the project's address, where it has one of its own", "SUPABASE_URL"
)
FIREBASE_PROJECT = Field(
    "project", _part("a project id such as your-project-1234", r"[a-z0-9:.-]+"), "the project's id", is_required=True
)
WORKOS_CLIENT = Field(
    "client_id",
    _part("a client id such as client_01HXYZ", r"[A-Za-z0-9_]+"),
    "the environment's client id",
    "WORKOS_CLIENT_ID",
)
BETTER_AUTH_URL = Field("url", Scalar(_ADDRESS, _base), "the `baseURL` of better-auth", "BETTER_AUTH_URL")
