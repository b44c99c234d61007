"""Who issues tokens and how we check them. A provider type is a preset of this record, not a class.

jwt, clerk, auth0 and oidc differ in data only: issuer, audience, algorithms, where keys live, how
claims become a principal. What the file cannot say of a type is its row in `PRESETS`; the check itself exists
once, in `verify`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from gateway.policy.issuers import IssuerTemplate
from gateway.policy.jwk import Key, KeySet
from gateway.policy.machine_keys import Machine, MachineKey, machines_of
from gateway.policy.origins import Origins

Kind = Literal["jwt", "clerk", "auth0", "oidc", "keys"]
ClerkKind = Literal["session", "template", "oauth", "machine", ""]  # empty: whatever the rest of the token says

SYMMETRIC: Final = frozenset({"HS256", "HS384", "HS512"})
ASYMMETRIC: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)


@dataclass(frozen=True, slots=True)
class Preset:
    """What a type of provider says of its tokens. An empty name: no claim is asked."""

    family: frozenset[str]  # of algorithms: SYMMETRIC for shared secrets, ASYMMETRIC for public keys
    default_algorithm: str
    types: frozenset[str] = frozenset({"jwt", "at+jwt"})  # of the header's `typ`, lower case
    categories: Mapping[str, ClerkKind] = field(default_factory=dict)  # values of the header's `cat`, and what each is
    machine_prefix: str = ""  # subjects that begin so are no people
    service_suffix: str = ""  # nor are those that end so
    service_marks: tuple[tuple[str, str], ...] = ()  # a claim with this text: of a program's own token
    refuses_pending: bool = False  # `sts: pending`: the session still waits for a task of its user
    compares_azp: bool = False  # with `authorized_parties`: it is the origin of a page
    client_claims: tuple[str, ...] = ("azp", "client_id", "cid", "appid")  # Okta's, and Entra's in version 1
    has_namespaced_claims: bool = False  # one `https://.../NAME` counts as NAME
    organization_object: str = ""  # has the organization's id, role and permissions, under short names
    organization_role: str = ""
    organization_permissions: str = ""


# Auth0's, whose tenants are also known as `oidc`, and Entra's.
_SERVICE_MARKS: Final = (("gty", "client-credentials"), ("idtyp", "app"))
PRESETS: Final[Mapping[Kind, Preset]] = {
    "jwt": Preset(SYMMETRIC, "HS256"),
    "clerk": Preset(
        ASYMMETRIC,
        "RS256",
        types=frozenset({"jwt"}),
        categories={
            "cl_B7d4PD111AAA": "session",
            "cl_B7d4PD222AAA": "template",
            "cl_B7d4PD333AAA": "machine",
            "cl_I7d4PD111III": "",
        },
        machine_prefix="mch_",
        refuses_pending=True,
        compares_azp=True,
        client_claims=("client_id",),
        organization_object="o",
        organization_role="org_role",
        organization_permissions="org_permissions",
    ),
    "auth0": Preset(
        ASYMMETRIC, "RS256", has_namespaced_claims=True, service_suffix="@clients", service_marks=_SERVICE_MARKS
    ),
    "oidc": Preset(ASYMMETRIC, "RS256", service_suffix="@clients", service_marks=_SERVICE_MARKS),
    "keys": Preset(frozenset(), ""),  # no token: see `machines`
}


@dataclass(frozen=True, slots=True)
class Proxy:
    """A forward proxy (RFC 9110 section 9.3.6): its address, and what it asks of us, which is shown nowhere."""

    url: str
    user: str | None = field(default=None, repr=False)
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where the public keys of a provider are fetched, and how. All times in seconds, sizes in bytes.

    With `jwks_uri` None the address is found by discovery at `issuer` (OpenID Connect Discovery 1.0 section 4,
    RFC 8414 section 3), whose document must name the same issuer. With `keys` they were read from `files` together with
    the configuration, and nothing is ever fetched; `tries_each`: they have no ids, and each is tried. With
    `max_issuers` it stands for many sources, one for each issuer of a template; each of those has it as `pattern`.
    Two providers with equal sources share one fetch.
    """

    issuer: str | None
    jwks_uri: str | None
    allow_http: bool = False
    ttl_seconds: float = 600.0
    stale_if_error_seconds: float = 3600.0
    timeout_seconds: float = 5.0
    cooldown_seconds: float = 30.0
    max_bytes: int = 1024 * 1024
    ca_file: str | None = None  # None: the system's authorities
    proxy: Proxy | None = None
    token_file: str | None = None  # read anew for each fetch, sent as Bearer
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # secrets
    files: tuple[str, ...] = ()
    keys: KeySet | None = None
    tries_each: bool = False
    max_issuers: int = 0
    pattern: KeySource | None = field(default=None, repr=False)
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.issuer, self.jwks_uri, self.files)))

    def __hash__(self) -> int:
        # Looked up for every request; the settings beside tell no two apart that these do not.
        return self._hash

    def of_issuer(self, issuer: str) -> KeySource:
        """Return the source of one issuer of a template."""
        return replace(self, issuer=issuer, max_issuers=0, pattern=self)


@dataclass(frozen=True, slots=True)
class TokenSource:
    """A place where a token may stand: `bearer`, `bare`, `header`, `cookie`, `session`, `query`, `websocket_protocol`.

    `name` is the cookie's or the query parameter's name, or the header's in lower case, else empty. A `session` is not
    a token but a login of our own, sealed in a cookie, or in several.
    """

    place: Literal["bearer", "bare", "header", "cookie", "session", "query", "websocket_protocol"]
    name: str = ""


BEARER: Final = TokenSource("bearer")
API_KEY: Final = TokenSource("header", "x-api-key")


@dataclass(frozen=True, slots=True)
class Provider:
    """An issuer of tokens and the conditions under which its tokens count."""

    name: str
    kind: Kind
    algorithms: frozenset[str]  # one family only: RFC 8725 section 3.1
    secrets: tuple[Key, ...] = ()  # jwt: shared secrets, each tried; else empty
    key_source: KeySource | None = None  # clerk, auth0, oidc: of every token; else None
    issuer_sources: tuple[KeySource, ...] = ()  # in its place: of each exact issuer; of all issuers of the templates
    issuers: frozenset[str] | None = None  # compared exactly; None: not checked
    issuer_templates: tuple[IssuerTemplate, ...] = ()  # issuers besides these
    audiences: frozenset[str] | None = None  # any of; None: not checked
    requires_expiry: bool = True
    leeway_seconds: float = 5.0
    types: frozenset[str] = frozenset({"jwt", "at+jwt"})  # as in `Preset`; absent is fine
    subject_claim: str = "sub"
    email_claim: str | None = None  # None: `email`, and where claims are namespaced the one `.../email`
    email_verified_claim: str | None = None  # None: by its well-known names (`emails.verified_names`)
    requires_verified_email: bool = False
    client_claims: tuple[str, ...] = ()  # of which all that are there must agree; empty: those of the preset
    organization_claim: str | None = None  # None: `org_id`, and what Clerk has in its place
    roles_claim: str | None = None
    groups_claim: str | None = None
    roles_separator: str | None = None  # parts the roles, or groups, that stand in one text; None: it is one role
    scopes_claim: str | None = None  # None: `scope` and `scp`
    permissions_claim: str | None = None  # None: `permissions`, and what Clerk has in its place
    mastra_role_claim: str | None = None  # None: where the roles are
    # What else tokens must say, of which `conditions` knows more; most providers ask for nothing of it.
    clients: frozenset[str] | None = None  # the client is one of these
    max_lifetime_seconds: float | None = None  # from iat to exp
    required_claims: tuple[str, ...] = ()  # by name: they are there, and say something
    expected_claims: tuple[tuple[str, frozenset[str]], ...] = ()  # by name: the claim is one of these texts
    token_sources: tuple[TokenSource, ...] = (BEARER,)
    authorized_parties: frozenset[str] | None = None  # where `azp` is compared, it must be one of these
    requires_authorized_party: bool = True  # False: `azp: if_present`
    clerk_kinds: frozenset[ClerkKind] = frozenset({"session"})
    origins: frozenset[str] = frozenset()  # of pages that may send the cookie, besides the gateway's own origin
    machine_keys: tuple[MachineKey, ...] = field(default=(), repr=False)  # keys: in place of all of that
    preset: Preset = field(init=False, repr=False, compare=False)  # of its kind; a field, since a property is a call
    has_conditions: bool = field(init=False, repr=False, compare=False)
    _by_issuer: Mapping[str | None, KeySource] = field(init=False, repr=False, compare=False)
    parties: Origins = field(init=False, repr=False, compare=False)  # `authorized_parties` and `origins` with patterns
    pages: Origins = field(init=False, repr=False, compare=False)
    machines: Mapping[bytes, Machine] = field(init=False, repr=False, compare=False)  # by the digests of their keys

    def __post_init__(self) -> None:
        preset = PRESETS[self.kind]
        object.__setattr__(self, "preset", preset)
        object.__setattr__(self, "client_claims", self.client_claims or preset.client_claims)
        conditions = (self.clients, self.max_lifetime_seconds, self.required_claims, self.expected_claims)
        object.__setattr__(self, "has_conditions", any(one not in (None, ()) for one in conditions))
        object.__setattr__(self, "_by_issuer", {source.issuer: source for source in self.issuer_sources})
        object.__setattr__(self, "parties", Origins(self.authorized_parties or ()))
        object.__setattr__(self, "pages", Origins(self.origins))
        object.__setattr__(self, "machines", machines_of(self.name, self.machine_keys))

    def __repr__(self) -> str:
        return f"Provider({self.name!r}, {self.kind!r})"

    def key_sources(self) -> tuple[KeySource, ...]:
        """Return every place of keys that the file names."""
        return self.issuer_sources if self.key_source is None else (self.key_source,)

    def takes_issuer(self, issuer: object, claims: Mapping[str, Any]) -> bool:
        """Return whether tokens of an issuer are this provider's, by all that they claim."""
        if self.issuers is None:
            return True
        if not isinstance(issuer, str):
            return False
        if issuer in self.issuers:
            return True
        return any(template.fault(issuer, claims) is None for template in self.issuer_templates)


def key_source_of(provider: Provider, issuer: object) -> KeySource | None:
    """Return where the keys are for a token of an issuer that the provider takes; None: it has secrets."""
    source = provider.key_source
    if source is not None or not isinstance(issuer, str):
        return source
    source = provider._by_issuer.get(issuer)
    if source is None:
        pattern = provider._by_issuer.get(None)
        source = None if pattern is None else pattern.of_issuer(issuer)
    return source


def issuers_of(provider: Provider) -> list[str]:
    """Return the issuers of a provider for people, its templates among them."""
    return sorted({*(provider.issuers or ()), *(template.text for template in provider.issuer_templates)})


def token_sources(providers: tuple[Provider, ...]) -> tuple[TokenSource, ...]:
    """Return where a route looks for a token: wherever one of its providers does."""
    if len(providers) == 1:
        return providers[0].token_sources
    return tuple(dict.fromkeys(source for provider in providers for source in provider.token_sources))
