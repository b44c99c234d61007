"""`upstream:` and `upstreams:`: the servers behind the gateway, and what each is told about the caller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, cast

from gateway.config.addresses import UPSTREAM_URL
from gateway.config.claim_names import check_claim_name
from gateway.config.document import Fields, Node
from gateway.config.lists import ListOf
from gateway.config.ownership import OWN
from gateway.config.readers import Mistake, Scalar, Schema, duration, one_of
from gateway.config.reading import Reading, Unreadable
from gateway.config.records import Field, Record, Values
from gateway.config.route_fields import RULES, Later
from gateway.config.rules import RuleReader
from gateway.config.secrets import CERTIFICATE_FILE, SECRET, SECRET_FILE
from gateway.config.upstream_headers import ConstantHeaders, IdentityHeaders
from gateway.policy.claim_names import steps_of
from gateway.policy.fields import fold
from gateway.policy.rules import Unenforced, rules_within
from gateway.policy.upstreams import Fact, Identity, Upstream

_SIGNED_BY_US = frozenset({"exp", "iat", "nbf"})


def _claim_to_sign(name: str) -> str:
    if name in _SIGNED_BY_US:
        raise Mistake("which the gateway sets by itself")
    return check_claim_name(name)


AUTHORIZATION = Field(
    "authorization",
    one_of("forward", "strip", "sign"),
    "what becomes of the caller's token: passed on, removed, or replaced by a short-lived HS256 token of the gateway",
    "forward",
)
SIGN_SECRET = Field("secret", SECRET, "the secret of `authorization: sign`, the one that Mastra checks tokens with")
SIGN_SECRET_FILE = Field("secret_file", SECRET_FILE, "a file that holds that secret")
TTL = Field("ttl", duration(at_most_seconds=86400), "how long a signed token lives", "60s")
CLAIMS = Field(
    "claims",
    ListOf(Scalar("a claim's name", _claim_to_sign), "claims' names"),
    "the claims of a signed token, by the names they have in the caller's token or as facts",
    "[sub, email]",
)
HEADERS = Field(
    "headers",
    IdentityHeaders(),
    "headers that tell the upstream a fact about the caller, or a constant (`text:VALUE`); clients cannot send them",
)
IDENTITY_RECORD = Record("identity", (AUTHORIZATION, SIGN_SECRET, SIGN_SECRET_FILE, TTL, CLAIMS, HEADERS))


Line = tuple[str, str]


class _IdentityReader:
    """What an upstream is told about the caller, and which constants stand among that."""

    def read(self, node: Node, reading: Reading) -> tuple[Identity, tuple[Line, ...]]:
        values = IDENTITY_RECORD.read(node, reading)
        default = Identity()
        kind = values.get(AUTHORIZATION, default.authorization)
        secret = self._secret(values, reading, is_signing=kind == "sign")
        self._check_names(values, reading)
        if values.broken:
            raise Unreadable
        headers = values.get(HEADERS, ())
        identity = Identity(
            cast(Literal["forward", "strip", "sign"], kind),
            secret,
            values.get(TTL, default.ttl_seconds),
            values.get(CLAIMS, default.claims),
            tuple((name, what) for name, what in headers if isinstance(what, Fact)),
        )
        return identity, tuple((name, what) for name, what in headers if isinstance(what, str))

    def schema(self) -> Schema:
        return IDENTITY_RECORD.schema()

    def _check_names(self, values: Values, reading: Reading) -> None:
        """Refuse two claims that would have one name in the signed token: a pointer's is that of its last member."""
        names = [steps_of(name)[-1] for name in values.get(CLAIMS, ())]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            reading.refuse_at(values.key_place(CLAIMS), f"two claims would both be named {twice!r} in the signed token")

    def _secret(self, values: Values, reading: Reading, *, is_signing: bool) -> bytes:
        if AUTHORIZATION.name in values.broken:
            return b""
        given = [field for field in (SIGN_SECRET, SIGN_SECRET_FILE) if field in values]
        if not is_signing:
            for field in [*given, *(field for field in (TTL, CLAIMS) if field in values)]:
                reading.refuse_at(values.key_place(field), f"'{field.name}' is for 'authorization: sign' only")
            return b""
        if len(given) == 2:
            reading.refuse_at(values.key_place(SIGN_SECRET_FILE), "found secret and secret_file, expected one of them")
        if not given and not {"secret", "secret_file"} & values.broken:
            reading.refuse_at(values.place, "'authorization: sign' needs a secret, expected 'secret' or 'secret_file'")
        return values.get(SIGN_SECRET) or values.get(SIGN_SECRET_FILE) or b""


URL = Field("url", UPSTREAM_URL, "the server's address, `http` or `https`, without a path", is_required=True)
CONNECT_TIMEOUT = Field("connect_timeout", duration(), "to connect, TLS included", "5s")
RESPONSE_TIMEOUT = Field("response_timeout", duration(), "from the request to the response's headers", "190s")
IDLE_TIMEOUT = Field(
    "idle_timeout",
    duration(),
    "between two chunks of a response, or two bytes of a WebSocket either way; there is no total limit",
    "5m",
)
CA_FILE = Field(
    "ca_file", CERTIFICATE_FILE, "certificates that an https upstream is verified with, instead of the system's"
)
ENCODED_SLASH = Field("encoded_slash", one_of("refuse", "keep"), "what becomes of a path that holds `%2F`", "refuse")
IDENTITY = Field("identity", _IdentityReader(), "what this upstream is told about the caller")
CONSTANTS = Field(
    "headers",
    ConstantHeaders(),
    "constants that this upstream gets with every request, each as `text:VALUE`; clients cannot send them",
)
STUDIO_ALLOW = Field(
    "allow",
    Later(RULES),
    "who may use Studio: `authenticated`, a rule, the name of one, or a list of which one must hold",
    is_required=True,
)
STUDIO_RECORD = Record("studio", (STUDIO_ALLOW,))
STUDIO = Field("studio", STUDIO_RECORD, "Mastra's Studio is used through the gateway, by whom `allow` says")
UPSTREAM_RECORD = Record(
    "upstreams",
    (URL, CONNECT_TIMEOUT, RESPONSE_TIMEOUT, IDLE_TIMEOUT, CA_FILE, ENCODED_SLASH, IDENTITY, CONSTANTS, STUDIO, OWN),
)


@dataclass(frozen=True, slots=True)
class ReadUpstream:
    """An upstream, still without its name, and who may use Studio there, while the file's rules are not known."""

    upstream: Upstream
    studio: Node | None = None

    def complete(self, name: str, rules: RuleReader, reading: Reading) -> Upstream:
        """Return the upstream. Raises `Unreadable`."""
        if self.studio is None:
            return replace(self.upstream, name=name)
        allow = rules.alternatives(self.studio, frozenset())
        if any(isinstance(one, Unenforced) for rule in allow for one in rules_within(rule)):
            reading.refuse(self.studio, "found 'enforce: false', which lets nobody through here, expected none")
        return replace(self.upstream, name=name, studio=allow)


class UpstreamReader:
    """One server behind the gateway, still without its name."""

    def read(self, node: Node, reading: Reading) -> ReadUpstream:
        values = UPSTREAM_RECORD.read(node, reading)
        default = Upstream("", "")
        url = values.get(URL, "")
        if url.startswith("http:") and CA_FILE in values:
            reading.refuse_at(values.key_place(CA_FILE), "found ca_file with an http address, expected https://...")
        if values.broken or not url:
            raise Unreadable
        ca_file = values.get(CA_FILE)
        identity, among = values.get(IDENTITY, (default.identity, ()))
        constants = values.get(CONSTANTS, ())
        self._check_names(values, {fold(name): name for name, _ in constants}, reading)
        studio = values.get(STUDIO)
        upstream = Upstream(
            "",
            url,
            values.get(CONNECT_TIMEOUT, default.connect_timeout_seconds),
            values.get(RESPONSE_TIMEOUT, default.response_timeout_seconds),
            values.get(IDLE_TIMEOUT, default.idle_timeout_seconds),
            values.get(ENCODED_SLASH) == "keep",
            str(ca_file) if ca_file is not None else None,
            identity,
            (*constants, *among),
            own=values.get(OWN),
        )
        return ReadUpstream(upstream, None if studio is None else studio.need(STUDIO_ALLOW))

    def schema(self) -> Schema:
        return UPSTREAM_RECORD.schema()

    def _check_names(self, values: Values, constants: Mapping[str, str], reading: Reading) -> None:
        """Refuse an identity header that is a constant as well."""
        identity = values.nodes.get(IDENTITY.name)
        headers = identity.get(HEADERS.name) if isinstance(identity, Fields) else None
        for entry in headers.entries if isinstance(headers, Fields) else ():
            twin = constants.get(fold(entry.key.text))
            if twin is not None:
                reading.refuse(entry.key, f"found {entry.key.text} and the constant {twin}, expected one of them")
