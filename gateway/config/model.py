"""One configuration, read and checked: frozen records that point at each other, with no name left to look up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, Final, Literal, get_args

from gateway.policy.budgets import Budget
from gateway.policy.origins import Origins
from gateway.policy.providers import Provider
from gateway.policy.routes import Policy
from gateway.policy.upstreams import Upstream

ALLOW, DENY = "allow", "deny"  # what a case may expect besides a code


@dataclass(frozen=True, slots=True)
class Address:
    """A socket address to listen on."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Tls:
    """The certificate of the public port; both files are read again with the configuration."""

    certificate_file: Path
    key_file: Path


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may send, in bytes and seconds, and how many connections there may be in each process.

    None: no limit of `body_bytes` and `body_timeout_seconds`. Where the descriptors are fewer, so are the connections.
    """

    header_bytes: int = 32 * 1024
    header_timeout_seconds: float = 10.0
    body_bytes: int | None = None
    body_idle_timeout_seconds: float = 30.0
    body_timeout_seconds: float | None = None
    connections: int = 10_000
    connections_per_address: int = 1_000


@dataclass(frozen=True, slots=True)
class Decisions:
    """Where engines ask for decisions: an address, or the path of a Unix socket; and from which networks.

    None of these: whoever reaches a socket, or is on this machine.
    """

    listen: Address | Path
    asked_from: tuple[IPv4Network | IPv6Network, ...] = ()

    @property
    def where(self) -> str:
        """Return the place as the file writes it."""
        if isinstance(self.listen, Path):
            return f"unix:{self.listen}"
        host = f"[{self.listen.host}]" if ":" in self.listen.host else self.listen.host
        return f"{host}:{self.listen.port}"


@dataclass(frozen=True, slots=True)
class Shared:
    """The Redis that workers and replicas share. `timeout_seconds`: no request waits longer for it.

    `if_down`: each process counts for itself, or what cannot be counted is refused. `secret`: what callers are hashed
    with in it; None: it is made of what all replicas know besides.
    """

    host: str
    port: int = 6379
    database: int = 0
    has_tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    timeout_seconds: float = 0.05
    if_down: Literal["local", "refuse"] = "local"
    ca_file: Path | None = None
    secret: bytes | None = field(default=None, repr=False)

    @property
    def where(self) -> str:
        """Return the place as people may read it: without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'rediss' if self.has_tls else 'redis'}://{host}:{self.port}/{self.database}"


LogFormat = Literal["json", "text"]


@dataclass(frozen=True, slots=True)
class Log:
    """How requests are logged. `subject_secret` None: one is made and kept for this installation."""

    format: LogFormat = "json"
    subject_secret: bytes | None = None

    def __repr__(self) -> str:
        return f"Log({self.format!r})"


AuditEvent = Literal["deny", "would_deny", "write", "read"]
AUDIT_EVENTS: Final[tuple[AuditEvent, ...]] = get_args(AuditEvent)
AUDITED: Final[tuple[AuditEvent, ...]] = ("deny", "would_deny", "write")  # where nothing is said


@dataclass(frozen=True)
class Audit:
    """What is written for whom, one line per decision. `where` is the place of the file's name in the configuration.

    `refuses`: what would pass without its line is refused. `is_hashed`: callers are named as in the log.
    """

    file: Path
    is_hashed: bool = False
    claims: tuple[str, ...] = ()
    events: tuple[AuditEvent, ...] = AUDITED
    refuses: bool = False
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Cors:
    """Which pages of other origins may read our answers (Fetch standard, CORS protocol).

    `origins` are serialised origins, compared whole, or patterns of them; `*` alone means any, and then never with
    credentials. `pages` are the same, as they are compared.
    """

    origins: frozenset[str]
    credentials: bool = True
    methods: tuple[str, ...] = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
    headers: tuple[str, ...] = (
        "Authorization",
        "Content-Type",
        "A2A-Version",
        "x-mastra-client-type",
        "mcp-session-id",
        "mcp-protocol-version",
        "mcp-method",
        "mcp-name",
        "last-event-id",
        "x-mastra-dev-playground",  # asked for by Mastra's client; it stops here all the same
        "user-agent",
        "traceparent",
        "tracestate",
        "baggage",
        "sentry-trace",
    )
    expose: tuple[str, ...] = (
        "WWW-Authenticate",
        "X-Request-Id",
        "Retry-After",
        "RateLimit",
        "RateLimit-Policy",
        "mcp-session-id",
    )
    max_age_seconds: int = 3600
    pages: Origins = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pages", Origins(self.origins))


@dataclass(frozen=True, slots=True)
class Case:
    """One request and what is expected. `claims` None: no token. `at` is Unix seconds; None means now.

    `expect` is `allow`, `deny` or a public code; `would_deny` the code that `enforce: false` should not enforce.
    """

    name: str
    method: str
    target: str
    expect: str
    where: str  # file:line:column
    provider: str | None = None
    claims: Mapping[str, Any] | None = None
    key: str | None = None  # the name of a machine's, in place of claims
    headers: tuple[tuple[str, str], ...] = ()
    ip: str = "127.0.0.1"
    at: float | None = None
    would_deny: str | None = None
    body: Mapping[str, Any] | None = None  # None: there is none
    owner: str | None = None  # whose the things are that are looked up; None: the caller's
    sent: Mapping[str, Any] | None = None  # the body that is to go up


@dataclass(frozen=True, slots=True)
class Expansion:
    """What a preset stands for in one provider, as people may read it; what the file says itself is not in it.

    `path` is that of the provider in the file. `open_to`: a warning, where half the world has a token that counts;
    `without_email`: what to do where a rule asks for an email and the tokens carry none by default. Else empty.
    """

    path: str
    preset: str
    says: tuple[tuple[str, tuple[str, ...]], ...]
    claims: tuple[tuple[str, tuple[str, ...]], ...]  # what is asked of every token besides
    expected_claims: tuple[tuple[str, frozenset[str]], ...]  # the same, as tokens are compared with it
    open_to: str = ""
    without_email: str = ""

    @property
    def provider(self) -> str:
        """The provider's name."""
        return self.path.partition(".")[2]


@dataclass(frozen=True, slots=True)
class Config:
    """Everything one file says.

    `strip_headers` are lower case with `_` turned to `-`; one that ends in `*` is a prefix.
    `sources` are the files it was read from (the YAML file, secrets, certificates), to be watched.
    `warnings` are what `gateway check` prints about a file that is valid.
    """

    listen: Address
    admin: Address | None
    tls: Tls | None
    workers: int
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...]
    limits: Limits
    drain_timeout_seconds: float
    strip_headers: tuple[str, ...]
    upstreams: tuple[Upstream, ...]
    providers: tuple[Provider, ...]
    policy: Policy
    cors: Cors | None
    warnings: tuple[str, ...]
    sources: tuple[Path, ...]
    tests: tuple[Case, ...] = ()
    log: Log = Log()
    admin_hosts: tuple[str, ...] = ()
    express: bool = True
    traces: str = "pass"  # or `opentelemetry`
    decisions: Decisions | None = None
    drain_delay_seconds: float = 0.0
    expansions: tuple[Expansion, ...] = ()
    revoked_file: Path | None = None  # watched on its own; what it says is in the policy
    shared: Shared | None = None
    budgets: tuple[Budget, ...] = ()
    audit: Audit | None = None
    digest: str = ""  # of what the file means: see `digest`
