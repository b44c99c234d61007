"""`login:` a browser's login, and what its sessions are."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar
from urllib.parse import urlsplit

from gateway.config.addresses import is_loopback
from gateway.config.document import Node
from gateway.config.lists import some
from gateway.config.origins import ORIGIN
from gateway.config.readers import Mistake, Scalar, Schema, duration, text, text_of
from gateway.config.reading import Reading, Unreadable, nearest
from gateway.config.records import Field, Record, Values
from gateway.config.secrets import SECRET, SECRET_FILE
from gateway.policy.login import Login
from gateway.policy.origins import Origins
from gateway.policy.providers import KeySource, Provider, TokenSource
from gateway.policy.seal import Seal

T = TypeVar("T")

_COOKIE_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")  # RFC 6265 section 4.1.1
_DEFAULT_COOKIE, _COOKIE_ON_LOOPBACK = "__Host-gateway", "gateway"
_KINDS = frozenset({"token_use", "typ"})  # which kind of token a preset asks for: of Cognito, of Keycloak
_SCOPES = ("openid", "email", "profile")


def _cookie(written: str) -> str:
    if not _COOKIE_NAME.fullmatch(written):
        raise Mistake("which no cookie can be called")
    return written


def _scope(written: str) -> str:
    if not written.isascii() or not written.isprintable() or set(written) & set(' "\\'):
        raise Mistake("with a character that no scope has")
    return written


def _plain_secret(written: str) -> str:
    if not written.isprintable() or not written.strip():
        raise Mistake
    return written


class _ClientSecretFile:
    """The path of a mounted file that holds the client's secret; a line break at its end is none of it."""

    def read(self, node: Node, reading: Reading) -> str:
        _, content = reading.mounted(text_of(node, reading, "the path of a file"))
        try:
            return _plain_secret(content.decode("utf-8").rstrip("\r\n"))
        except (ValueError, Mistake):
            reading.refuse(node, "the file holds something else, expected the client's secret, one line of text")

    def schema(self) -> Schema:
        return {"type": "string"}


SESSION_SECRET = Field(
    "secret", SECRET, "what sessions are sealed with, at least 32 random bytes; one for all replicas"
)
SESSION_SECRET_FILE = Field("secret_file", SECRET_FILE, "a file that holds it; a line break at its end is ignored")
MAX_AGE = Field("max_age", duration(at_most_seconds=30 * 86400), "how long a session lasts", "12h")
IDLE = Field("idle", duration(at_most_seconds=30 * 86400), "how long it lasts while nobody uses it", "1h")
COOKIE = Field(
    "cookie", Scalar("a cookie's name such as __Host-gateway", _cookie), "the name of its cookie",
    "__Host-gateway, on loopback gateway",
)  # fmt: skip
SESSION_RECORD = Record("login.session", (SESSION_SECRET, SESSION_SECRET_FILE, MAX_AGE, IDLE, COOKIE))
LOGIN_PROVIDER = Field("provider", text("the name of a provider"), "the provider whose people log in", is_required=True)
CLIENT_ID = Field(
    "client_id", text("the client's id at the issuer"), "the gateway's own, at the issuer", is_required=True
)
CLIENT_SECRET = Field(
    "client_secret", Scalar("the client's secret", _plain_secret), "the client's secret; without one PKCE alone"
)
CLIENT_SECRET_FILE = Field("client_secret_file", _ClientSecretFile(), "a file that holds it")
SCOPES = Field(
    "scopes", some(Scalar("a scope such as email", _scope), "scopes"), "what is asked for", "[openid, email, profile]"
)
SESSION = Field("session", SESSION_RECORD, "what a session is", is_required=True)
PUBLIC_URL = Field(
    "public_url",
    ORIGIN,
    "the address that browsers see; the Host of a request is never believed for it",
    is_required=True,
)
LOGIN_RECORD = Record(
    "login", (LOGIN_PROVIDER, CLIENT_ID, CLIENT_SECRET, CLIENT_SECRET_FILE, SCOPES, SESSION, PUBLIC_URL)
)
LOGIN = Field("login", LOGIN_RECORD, "let people log in with a browser")


def read_login(values: Values, providers: Mapping[str, Provider | None], reading: Reading) -> Login:
    """Return the login of a file. Raises `Unreadable`, with each mistake at its place."""
    session = values.get(SESSION)
    if values.broken or session is None or session.broken:
        raise Unreadable
    provider = _provider(values, providers, reading)
    public_url = values.need(PUBLIC_URL)
    parts = urlsplit(public_url)
    is_local = is_loopback(parts.hostname or "")
    if "*" in public_url:
        reading.refuse(values.node(PUBLIC_URL), "found a pattern, expected one address: callbacks come there")
    if parts.scheme not in ("https", "http"):
        reading.refuse(values.node(PUBLIC_URL), f"found an address of {parts.scheme}, expected https://...")
    if parts.scheme != "https" and not is_local:
        reading.refuse(values.node(PUBLIC_URL), "found an http address that is not loopback, expected https://...")
    is_secure = parts.scheme == "https"
    cookie = session.get(COOKIE, _DEFAULT_COOKIE if is_secure else _COOKIE_ON_LOOPBACK)
    if not is_secure and cookie.lower().startswith(("__host-", "__secure-")):
        hint = "expected a name without it, or an https address (RFC 6265bis section 4.1.3)"
        reading.refuse(
            session.node(COOKIE), f"found a cookie that browsers keep over https only, on {public_url}, {hint}"
        )
    if any(source.place == "cookie" and source.name == cookie for source in provider.token_sources):
        place = session.node(COOKIE) if COOKIE in session else values.node(LOGIN_PROVIDER)
        reading.refuse(
            place, f"found the cookie '{cookie}', in which tokens of '{provider.name}' stand: expected another"
        )
    source = _metadata_source(values, provider, reading)
    id_tokens = _for_id_tokens(provider, values.need(CLIENT_ID))
    return Login(
        id_tokens=id_tokens,
        source=source,
        client_id=values.need(CLIENT_ID),
        client_secret=_one_of(values, CLIENT_SECRET, CLIENT_SECRET_FILE, reading, "or none, for a public client"),
        scopes=_scopes(values, reading),
        seal=Seal(
            _session_secret(session, reading),
            session.get(MAX_AGE, 12 * 3600.0),
            session.get(IDLE, 3600.0),
            _purpose(id_tokens),
        ),
        cookie=cookie,
        public_url=public_url,
        pages=Origins((*provider.origins, public_url)),
    )


def with_sessions(provider: Provider, login: Login) -> Provider:
    """Return the provider of a login with its sessions as one more place of a token."""
    source = TokenSource("session", login.cookie)
    return replace(
        provider,
        token_sources=(*provider.token_sources, source),
        origins=provider.origins | {login.public_url},
    )


def only_sessions(login: Login) -> Provider:
    """Return the provider of a login as one whose sessions count, and nothing else."""
    provider = with_sessions(login.id_tokens, login)
    return replace(provider, token_sources=(TokenSource("session", login.cookie),))


def _provider(values: Values, providers: Mapping[str, Provider | None], reading: Reading) -> Provider:
    name = values.need(LOGIN_PROVIDER)
    if name not in providers:
        names = f"the providers are {', '.join(providers)}"
        reading.refuse(values.node(LOGIN_PROVIDER), f"unknown provider '{name}'{nearest(name, providers)}", names)
    provider = providers[name]
    if provider is None:
        raise Unreadable
    if provider.kind in ("jwt", "keys"):
        hint = "expected one of an issuer: auth0, clerk, oidc or a preset of it"
        reading.refuse(
            values.node(LOGIN_PROVIDER), f"found a provider of type {provider.kind}, at which nobody logs in, {hint}"
        )
    return provider


def _metadata_source(values: Values, provider: Provider, reading: Reading) -> KeySource:
    """Return where the issuer's metadata is."""
    issuers = sorted(provider.issuers or ())
    if len(issuers) != 1 or not issuers[0].startswith(("https://", "http://")):
        found = "several issuers" if len(issuers) > 1 else "no issuer that is an address"
        hint = "expected a provider with one, whose metadata says where people log in"
        reading.refuse(values.node(LOGIN_PROVIDER), f"found {found} in the provider '{provider.name}', {hint}")
    [source] = provider.key_sources()[:1]
    return replace(source, issuer=issuers[0], jwks_uri=None, files=(), keys=None, tries_each=False)


def _for_id_tokens(provider: Provider, client_id: str) -> Provider:
    """Return a provider as its ID tokens are judged: for the client, whatever its access tokens must hold."""
    return replace(
        provider,
        audiences=frozenset({client_id}),
        types=frozenset({"jwt", "id_token+jwt"}),
        authorized_parties=None,
        clients=None,
        expected_claims=tuple(one for one in provider.expected_claims if one[0] not in _KINDS),
        max_lifetime_seconds=None,
    )


def _purpose(id_tokens: Provider) -> str:
    """Return what sessions are good for: see `Seal`."""
    said = (
        sorted(id_tokens.issuers or ()),
        sorted(id_tokens.audiences or ()),
        sorted(id_tokens.required_claims),
        sorted((name, sorted(values)) for name, values in id_tokens.expected_claims),
    )
    return json.dumps(said)


def _scopes(values: Values, reading: Reading) -> tuple[str, ...]:
    scopes = values.get(SCOPES, _SCOPES)
    if "openid" not in scopes:
        reading.refuse(values.node(SCOPES), "found no 'openid', without which there is no ID token, expected it first")
    return tuple(scopes)


def _session_secret(session: Values, reading: Reading) -> bytes:
    found = _one_of(session, SESSION_SECRET, SESSION_SECRET_FILE, reading, "")
    if found is None:
        reading.refuse_at(
            session.place,
            "no secret is given, expected 'secret_file' (or 'secret')",
            "a good one: openssl rand -base64 48",
        )
    return found


def _one_of(values: Values, first: Field[T], second: Field[T], reading: Reading, else_: str) -> T | None:
    if first in values and second in values:
        hint = f", expected one of them{', ' + else_ if else_ else ''}"
        reading.refuse_at(values.key_place(second), f"found {first.name} and {second.name}{hint}")
    found = values.get(first)
    return found if found is not None else values.get(second)
