"""The keys of `providers:`, by type."""

from __future__ import annotations

from typing import Any

from gateway.config.addresses import KEY_URL, host_of
from gateway.config.claim_names import CLAIM_NAME, SEPARATOR
from gateway.config.issuer_names import ISSUER
from gateway.config.key_files import JWKS_FILE_READER, PEM_FILE_READER
from gateway.config.key_requests import JWKS
from gateway.config.lists import ListOf, OrWord, some
from gateway.config.machine_keys import KEYS_FILE_READER
from gateway.config.origins import ORIGIN
from gateway.config.presets import PRESETS
from gateway.config.readers import BOOLEAN, Mistake, Scalar, duration, integer, one_of, text
from gateway.config.reading import nearest
from gateway.config.records import Field, Record
from gateway.config.secrets import CERTIFICATE_FILE, ENCODED_SECRET, ENCODED_SECRET_FILE
from gateway.config.token_sources import TokenSourceReader
from gateway.config.typescript import CLASSES
from gateway.policy.jwk import SAME_ALGORITHM
from gateway.policy.providers import ASYMMETRIC, SYMMETRIC

KINDS = ("jwt", "clerk", "auth0", "oidc", "keys")
TYPES = (*KINDS, *PRESETS)
_ALGORITHMS = tuple(sorted(SYMMETRIC | ASYMMETRIC | {*SAME_ALGORITHM}))


def _algorithm(written: str) -> str:
    if written.lower() == "none":
        raise Mistake("which is a token without a signature")
    if written not in _ALGORITHMS:
        raise Mistake(nearest(written, _ALGORITHMS).strip())
    return written


def _domain(written: str) -> str:
    bare = written.rpartition("://")[2].partition("/")[0]
    way_out = f" (did you mean '{bare}'?)" if bare and "@" not in bare else ""
    if "://" in written:
        raise Mistake(f"with a scheme{way_out}")
    if "/" in written or "@" in written:
        raise Mistake(f"with a path or user{way_out}")
    host, _, port = written.partition(":")
    if port and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
        raise Mistake("with a port that cannot be")
    return host_of(host) + (f":{port}" if port else "")


# One table per preset; what several share is written once.
TYPE = Field("type", one_of(*TYPES, meant=CLASSES), "how tokens of this provider are checked", is_required=True)
SECRET_KEY = Field(
    "secret", ENCODED_SECRET, "the shared secret, at least 32 random bytes", "MASTRA_JWT_SECRET, else JWT_AUTH_SECRET"
)
SECRETS = Field("secrets", ListOf(ENCODED_SECRET, "secrets"), "several, while one is replaced by another; each counts")
SECRET_FILE_KEY = Field(
    "secret_file", ENCODED_SECRET_FILE, "a file that holds the secret; a line break at its end is ignored"
)
SECRET_ENCODING = Field("secret_encoding", one_of("text", "base64"), "how the secret is written", "text")
EXPIRY = Field("expiry", one_of("required", "optional"), "whether tokens without `exp` count, forever", "required")
ALGORITHMS = Field(
    "algorithms",
    some(Scalar("an algorithm such as HS256, RS256 or ES256", _algorithm, {"enum": list(_ALGORITHMS)}), "algorithms"),
    "the algorithms that count, all of one family",
    "HS256 for jwt, RS256 for the others",
)
ISSUERS = Field(
    "issuer", some(ISSUER, "issuers"), "the tokens' `iss`, compared exactly; `{tid}` stands for the claim of that name"
)
MAX_ISSUERS = Field(
    "max_issuers", integer(1, 10_000), "of how many issuers of a template keys are kept, each found by discovery", "100"
)
AUDIENCES = Field(
    "audience",
    OrWord("none", (), some(text("an audience"), "audiences"), ("null", "any", "off", "false")),
    "the tokens' `aud` must hold one of these",
)
DOMAIN = Field("domain", Scalar("a domain such as tenant.eu.auth0.com", _domain), "the tenant's domain", "AUTH0_DOMAIN")
JWKS_URI = Field("jwks_uri", KEY_URL, "the address of the public keys", "by type")
JWKS_FILE = Field("jwks_file", JWKS_FILE_READER, "a JWKS file with the public keys, read again when it changes")
PUBLIC_KEY_FILES = Field(
    "public_key_files", some(PEM_FILE_READER, "paths of PEM files"),
    "PEM files with the public keys, each tried in turn, read again when they change",
)  # fmt: skip
KEYS_FILE = Field(
    "keys_file", KEYS_FILE_READER, "a file with the keys of machines, by their hashes, read again when it changes",
    is_required=True,
)  # fmt: skip
CA_FILE = Field(
    "ca_file", CERTIFICATE_FILE, "certificates that the key server is verified with, instead of the system's"
)
PUBLISHABLE_KEY = Field(
    "publishable_key", text("a publishable key: pk_live_... or pk_test_..."),
    "of a Clerk instance; its address is inside", "CLERK_PUBLISHABLE_KEY",
)  # fmt: skip
AUTHORIZED_PARTIES = Field(
    "authorized_parties", some(ORIGIN, "origins"), "origins of the pages whose tokens count: `azp` is one of these"
)
AZP = Field("azp", one_of("required", "if_present"), "whether a token without `azp` counts", "required")
ACCEPT = Field(
    "accept",
    some(one_of("session", "template", "oauth", "machine"), "session, template, oauth, machine"),
    "the kinds of tokens that count",
    "[session]",
)
CLIENTS = Field("client", some(text("a client's id"), "clients"), "the clients whose tokens count")
MAX_LIFETIME = Field(
    "max_lifetime", duration(), "how long tokens may live, from `iat` to `exp`; without `iat`, what is left of it"
)
REQUIRED_CLAIMS = Field(
    "required_claims", some(CLAIM_NAME, "names of claims"), "claims that tokens must have, and not empty"
)
ROLES_SEPARATOR = Field("roles_separator", SEPARATOR, "parts the roles, and the groups, that stand in one text")
LEEWAY = Field("leeway", duration(allow_zero=True, at_most_seconds=600), "how far clocks may differ", "5s")
TOKEN_FROM = Field("token_from", some(TokenSourceReader(), "places"), "where a token may stand", "bearer")
PAGES = Field(
    "origins", some(ORIGIN, "origins"), "pages that may send the cookie, besides those of the gateway's own origin"
)
SUBJECT_CLAIM = Field("subject_claim", CLAIM_NAME, "the claim that names the caller", "sub")
EMAIL_CLAIM = Field(
    "email_claim", CLAIM_NAME, "the claim that holds the email",
    "email, for auth0 also the one that ends in /email",
)  # fmt: skip
EMAIL_VERIFIED = Field(
    "email_verified", one_of("required", "if_present"), "whether an email without `email_verified` counts", "if_present"
)
EMAIL_VERIFIED_CLAIM = Field(
    "email_verified_claim",
    CLAIM_NAME,
    "the claim that says whether the email was verified, in place of those that usually do",
    "email_verified or emailVerified, also with the name of the email's claim before it",
)
CLIENT_CLAIM = Field(
    "client_claim",
    CLAIM_NAME,
    "the claim that holds the client's id",
    "azp, client_id, cid and appid; Clerk: client_id",
)
ORGANIZATION_CLAIM = Field(
    "organization_claim", CLAIM_NAME, "the claim that holds the organization's id", "org_id; Clerk: o.id as well"
)
SCOPES_CLAIM = Field("scopes_claim", CLAIM_NAME, "the claim that holds the scopes", "scope and scp")
PERMISSIONS_CLAIM = Field(
    "permissions_claim", CLAIM_NAME, "the claim that holds the permissions", "permissions; Clerk: of the organization"
)
ROLES_CLAIM = Field(
    "roles_claim", CLAIM_NAME, "the claim that holds the roles", "roles or role; Clerk: of the organization"
)
MASTRA_ROLE_CLAIM = Field(
    "mastra_role_claim",
    CLAIM_NAME,
    "the claim that holds Mastra's role: owner, admin, member, viewer",
    "where the roles are",
)
GROUPS_CLAIM = Field("groups_claim", CLAIM_NAME, "the claim that holds the groups", "groups or group")
ALLOW_HTTP = Field(
    "allow_http",
    BOOLEAN,
    "let issuer and keys have http addresses that are not loopback, in a private network",
    "false",
)

_COMMON = (
    ALGORITHMS, ISSUERS, AUDIENCES, LEEWAY, TOKEN_FROM, PAGES,
    SUBJECT_CLAIM, EMAIL_CLAIM, EMAIL_VERIFIED, EMAIL_VERIFIED_CLAIM, CLIENT_CLAIM, ORGANIZATION_CLAIM,
    ROLES_CLAIM, GROUPS_CLAIM, ROLES_SEPARATOR, SCOPES_CLAIM, PERMISSIONS_CLAIM, MASTRA_ROLE_CLAIM,
    CLIENTS, MAX_LIFETIME, REQUIRED_CLAIMS,
)  # fmt: skip
_FETCHED = (JWKS_URI, JWKS_FILE, PUBLIC_KEY_FILES, CA_FILE, JWKS, ALLOW_HTTP, MAX_ISSUERS)
_BY_TYPE = {
    "jwt": (TYPE, SECRET_KEY, SECRETS, SECRET_FILE_KEY, SECRET_ENCODING, EXPIRY, *_COMMON),
    "clerk": (TYPE, PUBLISHABLE_KEY, *_FETCHED, AUTHORIZED_PARTIES, AZP, ACCEPT, *_COMMON),
    "auth0": (TYPE, DOMAIN, *_FETCHED, *_COMMON),
    "oidc": (TYPE, *_FETCHED, *_COMMON),
    "keys": (TYPE, KEYS_FILE, TOKEN_FROM, PAGES),
}


def _elsewhere(keys: tuple[Field[Any], ...]) -> dict[str, str]:
    """Return, for keys of the other types, where they belong; of presets, their parameters alone."""
    own = {field.name for field in keys}
    parameters = {name: tuple(one.key for one in row.parameters) for name, row in PRESETS.items()}
    found: dict[str, str] = {}
    for other, fields in (_BY_TYPE | parameters).items():
        for name in (field.name for field in fields if field.name not in own):
            found[name] = f"{found[name]}, {other}" if name in found else f"it belongs to type {other}"
    if PUBLISHABLE_KEY in keys:
        found |= {"secret_key": "tokens are checked with public keys, no secret of Clerk is needed: leave it out"}
    return found


def _of_preset(name: str) -> tuple[Field[Any], ...]:
    """Return the keys of a preset: its parameters, and all of type oidc."""
    own = {parameter.key.name: parameter.key for parameter in PRESETS[name].parameters}
    return (TYPE, *own.values(), *(field for field in _BY_TYPE["oidc"][1:] if field.name not in own))


_FIELDS = _BY_TYPE | {name: _of_preset(name) for name in PRESETS}
RECORDS = {kind: Record(f"providers, type {kind}", fields, _elsewhere(fields)) for kind, fields in _FIELDS.items()}
