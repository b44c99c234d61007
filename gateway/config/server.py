"""The keys that are about the gateway itself: where it listens, whom it believes, what it lets through, CORS."""

from __future__ import annotations

import os

from gateway.config.addresses import ADDRESS, HEADER_NAME, NETWORK
from gateway.config.document import Node
from gateway.config.lists import ListOf, OrWord, some
from gateway.config.model import Cors, Limits, Tls
from gateway.config.origins import ORIGIN
from gateway.config.readers import BOOLEAN, Mistake, Scalar, Schema, duration, integer, size
from gateway.config.reading import Reading, Unreadable
from gateway.config.records import Field, Record
from gateway.config.secrets import CERTIFICATE_FILE, KEY_FILE
from gateway.policy.fields import fold

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "PROPFIND", "REPORT", "SEARCH")
# Without these a request cannot be read, judged or passed on.
_NEVER_STRIPPED = ("host", "connection", "content-length", "transfer-encoding", "upgrade", "authorization")
_DEFAULT_CORS = Cors(frozenset())
_KIB = 1024
_MIN_CONNECTIONS, _MAX_CONNECTIONS = 8, 1_000_000


def read_method(written: str) -> str:
    """Return an HTTP method. Raises `Mistake`."""
    if written in ("TRACE", "CONNECT"):
        raise Mistake("which the gateway refuses on every route")
    if written not in METHODS:
        meant = written.upper()
        raise Mistake(f"(did you mean '{meant}'?)" if meant in METHODS and meant != written else "")
    return written


METHOD = Scalar("a method such as GET or POST", read_method, {"enum": list(METHODS)})


def _stripped(written: str) -> str:
    name = written.removesuffix("*")
    if not name:
        raise Mistake("which would remove every header")
    HEADER_NAME.parse(name)
    if "*" in name:
        raise Mistake("with a '*' that is not at the end")
    lower = fold(name)
    hit = [known for known in _NEVER_STRIPPED if known == lower or (name != written and known.startswith(lower))]
    if hit:
        hint = " ('authorization: strip' under 'identity' keeps the token from an upstream)"
        raise Mistake(f"which the gateway itself needs{hint if 'authorization' in hit else f' ({hit[0]})'}")
    return lower + ("*" if name != written else "")


STRIPPED = Scalar("a header's name, or the beginning of names and a '*': X-User-*", _stripped)

CERTIFICATE = Field("certificate_file", CERTIFICATE_FILE, "the certificate with its chain, PEM", is_required=True)
KEY = Field("key_file", KEY_FILE, "its private key, PEM", is_required=True)
TLS_RECORD = Record("tls", (CERTIFICATE, KEY))


class _TlsReader:
    """The certificate of the public port."""

    def read(self, node: Node, reading: Reading) -> Tls:
        values = TLS_RECORD.read(node, reading)
        return Tls(values.need(CERTIFICATE), values.need(KEY))

    def schema(self) -> Schema:
        return TLS_RECORD.schema()


HEADER_SIZE = Field("header_size", size(_KIB, _KIB * _KIB), "of a request's line and headers together", "32KiB")
HEADER_TIMEOUT = Field("header_timeout", duration(), "until a request's headers are complete", "10s")
BODY_SIZE: Field[int | None] = Field(
    "body_size", OrWord("none", None, size(), ("off", "false", "unlimited", "0")), "of a request's body", "none"
)
BODY_IDLE = Field("body_idle_timeout", duration(), "between two pieces of a request's body", "30s")
BODY_TIMEOUT: Field[float | None] = Field(
    "body_timeout",
    OrWord("none", None, duration(), ("off", "false", "unlimited", "0")),
    "until a request's body is complete, besides `body_idle_timeout`",
    "none",
)
CONNECTIONS = Field(
    "connections",
    integer(_MIN_CONNECTIONS, _MAX_CONNECTIONS),
    "connections of clients, in each worker; fewer where the descriptors are fewer",
    "10000",
)
PER_ADDRESS = Field(
    "connections_per_address",
    integer(1, _MAX_CONNECTIONS),
    "of these, from one address (of IPv6: one /64); `trusted_proxies` have no such limit",
    "1000",
)
LIMITS_RECORD = Record(
    "limits", (HEADER_SIZE, HEADER_TIMEOUT, BODY_SIZE, BODY_IDLE, BODY_TIMEOUT, CONNECTIONS, PER_ADDRESS)
)


class _LimitsReader:
    """What a client may send."""

    def read(self, node: Node, reading: Reading) -> Limits:
        values = LIMITS_RECORD.read(node, reading)
        if values.broken:
            raise Unreadable
        default = Limits()
        return Limits(
            values.get(HEADER_SIZE, default.header_bytes),
            values.get(HEADER_TIMEOUT, default.header_timeout_seconds),
            values.get(BODY_SIZE, default.body_bytes),
            values.get(BODY_IDLE, default.body_idle_timeout_seconds),
            values.get(BODY_TIMEOUT, default.body_timeout_seconds),
            values.get(CONNECTIONS, default.connections),
            values.get(PER_ADDRESS, default.connections_per_address),
        )

    def schema(self) -> Schema:
        return LIMITS_RECORD.schema()


ORIGINS = Field(
    "origins",
    ListOf(OrWord("*", "*", ORIGIN, may_be_quoted=True), "origins", or_one=True),
    "pages of these origins may read answers, compared whole or with one `*` in a label; `'*'` alone means any, then"
    " without credentials",
    is_required=True,
)
CREDENTIALS = Field(
    "credentials", BOOLEAN, "whether pages may send cookies and read the answer; never with `origins: '*'`", "true"
)
CORS_METHODS = Field(
    "methods", some(METHOD, "methods"), "what a preflight allows", "[GET, HEAD, POST, PUT, PATCH, DELETE]"
)
CORS_HEADERS = Field(
    "headers", some(HEADER_NAME, "headers' names"), "the request headers that a preflight allows",
    f"[{', '.join(_DEFAULT_CORS.headers)}]",
)  # fmt: skip
EXPOSE = Field(
    "expose", ListOf(HEADER_NAME, "headers' names", or_one=True, allow_empty=True),
    "the response headers that pages may read",
    "[WWW-Authenticate, X-Request-Id, Retry-After, RateLimit, RateLimit-Policy, mcp-session-id]",
)  # fmt: skip
MAX_AGE = Field(
    "max_age", duration(allow_zero=True, at_most_seconds=86400), "how long a browser keeps a preflight", "1h"
)
CORS_RECORD = Record("cors", (ORIGINS, CREDENTIALS, CORS_METHODS, CORS_HEADERS, EXPOSE, MAX_AGE))


class _CorsReader:
    """Which pages of other origins may read answers."""

    def read(self, node: Node, reading: Reading) -> Cors:
        values = CORS_RECORD.read(node, reading)
        origins = values.need(ORIGINS)
        default = _DEFAULT_CORS
        if "*" in origins and len(origins) > 1:
            reading.refuse(values.node(ORIGINS), "found '*' beside others, expected '*' alone or a list of origins")
        if "*" in origins and values.get(CREDENTIALS):
            reading.refuse(values.node(CREDENTIALS), "found credentials with origins '*', expected a list of origins")
        if values.broken:
            raise Unreadable
        return Cors(
            frozenset(origins),
            values.get(CREDENTIALS, "*" not in origins),
            values.get(CORS_METHODS, default.methods),
            values.get(CORS_HEADERS, default.headers),
            values.get(EXPOSE, default.expose),
            int(values.get(MAX_AGE, default.max_age_seconds)),
        )

    def schema(self) -> Schema:
        return CORS_RECORD.schema()


LISTEN = Field("listen", ADDRESS, "the public address, as host:port; `:8080` is every IPv4 address", "0.0.0.0:8080")
ADMIN = Field(
    "admin",
    OrWord("none", None, ADDRESS, ("off", "false", "no")),
    "the address for health, metrics and status, never on the public port; `none` switches it off",
    "127.0.0.1:9090",
)
TLS = Field("tls", _TlsReader(), "serve https with this certificate; read again with the file")
WORKERS = Field(
    "workers", OrWord("auto", 0, integer(1, 256)), "processes that share the port; `auto`: one per core", "1"
)
TRUSTED_PROXIES = Field(
    "trusted_proxies",
    ListOf(NETWORK, "networks", or_one=True, allow_empty=True),
    "networks of proxies whose `X-Forwarded-*` are believed",
    "[]",
)
LIMITS = Field("limits", _LimitsReader(), "what a client may send, and how many connections there may be")
STRIP_HEADERS = Field(
    "strip_headers",
    ListOf(STRIPPED, "headers' names", or_one=True, allow_empty=True),
    "removed from every client request, besides the built-in list; `X-User-*` means all that begin so",
    "[]",
)
CORS = Field("cors", _CorsReader(), "answer preflights here and let pages of other origins read answers")
DRAIN_DELAY = Field(
    "drain_delay",
    duration(allow_zero=True),
    "after SIGTERM, how long requests are still taken while `/readyz` is 503; `drain_timeout` begins behind it",
    "0s",
)
DRAIN_TIMEOUT = Field(
    "drain_timeout", duration(allow_zero=True), "after SIGTERM, how long open requests may still take", "30s"
)
EXPRESS = Field(
    "express",
    BOOLEAN,
    "read requests and responses by a fast grammar of our own; `false`: all by aiohttp's parser",
    "true",
)
SERVER_FIELDS = (
    EXPRESS, LISTEN, TLS, ADMIN, WORKERS, TRUSTED_PROXIES, LIMITS, STRIP_HEADERS, CORS, DRAIN_DELAY, DRAIN_TIMEOUT,
)  # fmt: skip


def count_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
