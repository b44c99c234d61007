"""What every engine's configuration is made of, taken from ours: servers, names of fields, clocks. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from gateway.config.model import Address, Config, Limits, Tls
from gateway.policy.reasons import Reason
from gateway.policy.upstreams import Upstream
from gateway.proxy.dialects import Dialect, asking_at
from gateway.proxy.refusal import refusal_body
from gateway.proxy.told import told_of

# A decision may wait for the first fetch of keys, which has 5 s by default.
DECISION_SECONDS: Final = 6.0
CONNECT_SECONDS: Final = 1.0
# Node closes idle connections after 5 s: ours close first.
KEPT_SECONDS: Final = 4.0
# What a response says to pages of other origins: with `cors:` ours to say, whatever the upstream says.
CORS_NAMES: Final = (
    "Access-Control-Allow-Origin",
    "Access-Control-Allow-Credentials",
    "Access-Control-Allow-Methods",
    "Access-Control-Allow-Headers",
    "Access-Control-Expose-Headers",
    "Access-Control-Max-Age",
)
# Nobody sent one: the engine cannot reach what decides, or the upstream, or it took too long.
UNDECIDED: Final = refusal_body(Reason.DECISION_UNAVAILABLE).decode()
UNREACHABLE: Final = refusal_body(Reason.UPSTREAM_UNREACHABLE).decode()
TOO_SLOW: Final = refusal_body(Reason.UPSTREAM_TIMEOUT).decode()

_PORTS: Final = {"http": 80, "https": 443}
Where = Address | Path


@dataclass(frozen=True, slots=True)
class Printed:
    """One file of an engine's configuration."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Server:
    """An upstream as engines name it. Clocks in seconds."""

    name: str
    host: str
    port: int
    is_https: bool
    ca_file: str | None
    connect_seconds: float
    response_seconds: float
    idle_seconds: float

    @property
    def where(self) -> str:
        """`host:port`, IPv6 in brackets."""
        return host_and_port(self.host, self.port)


@dataclass(frozen=True, slots=True)
class Plan:
    """One file's meaning for an engine.

    `told` are the fields of a request that the decision sets, and deletes where it does not; `stripped` those that go,
    whatever was decided, as do those that begin as one of `beginnings`. `of_file` are the names that are in the file:
    each question says which it was printed with, since the gateway reads a changed file by itself, and the engine does
    not. `decisions` are where the engine asks; `head` is what every file begins with.
    """

    head: tuple[str, ...]
    config: Config
    listen: Address
    decisions: tuple[Where, ...]
    servers: tuple[Server, ...]
    told: tuple[str, ...]
    stripped: tuple[str, ...]
    beginnings: tuple[str, ...]
    of_file: tuple[str, ...]

    def asking_at(self, dialect: Dialect) -> str:
        """Return the path at which the engine asks."""
        return asking_at(dialect, self.of_file)

    @property
    def tls(self) -> Tls | None:
        """The certificate of the public port."""
        return self.config.tls

    @property
    def limits(self) -> Limits:
        """What a client may send."""
        return self.config.limits

    @property
    def trusted(self) -> tuple[str, ...]:
        """The networks whose `X-Forwarded-*` are believed."""
        return tuple(str(network) for network in self.config.trusted_proxies)

    @property
    def owns_cors(self) -> bool:
        """True if the CORS lines of every response are ours."""
        return self.config.cors is not None

    @property
    def has_websocket(self) -> bool:
        """True if a route takes WebSockets."""
        return any(route.websocket for route in self.config.policy.routes)

    def comment(self, engine: str, least: str, mark: str = "#") -> str:
        """Return the head as comment lines. `least` is the oldest version of the engine that is safe."""
        needs = f"Needs {engine} {least} or later: older ones were not tried, or have known holes."
        return "".join(f"{mark} {line}".rstrip() + "\n" for line in (*self.head, needs))


def plan_of(
    config: Config, *, head: Iterable[str], listen: Address | None = None, decisions: Sequence[Where] = ()
) -> Plan:
    """Return the plan of a configuration; `listen` and `decisions` replace what the file says."""
    own = () if config.decisions is None else (config.decisions.listen,)
    names = told_of(config)
    used = {route.upstream.name for route in config.policy.routes}
    return Plan(
        head=tuple(head),
        config=config,
        listen=listen or config.listen,
        decisions=tuple(decisions) or own,
        servers=tuple(_server(one) for one in config.upstreams if one.name in used),
        told=names.told,
        stripped=names.stripped,
        beginnings=names.beginnings,
        of_file=names.of_file,
    )


def host_and_port(host: str, port: int) -> str:
    """Return `host:port`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_address(host: str) -> bool:
    """True for an IP address, which needs no look-up."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def body_limit(limits: Limits) -> int:
    """Return the most bytes of a body, 0 for no limit."""
    return limits.body_bytes or 0


def seconds(value: float, unit: Literal["s", "ms"] = "s") -> str:
    """Return a duration of at least 1 ms in a unit that all engines read."""
    milliseconds = max(1, round(value * 1000))
    return f"{milliseconds // 1000}s" if unit == "s" and milliseconds % 1000 == 0 else f"{milliseconds}ms"


def _server(upstream: Upstream) -> Server:
    parts = urlsplit(upstream.url)
    return Server(
        name=upstream.name,
        host=parts.hostname or "",
        port=parts.port or _PORTS[parts.scheme],
        is_https=parts.scheme == "https",
        ca_file=upstream.ca_file,
        connect_seconds=upstream.connect_timeout_seconds,
        response_seconds=upstream.response_timeout_seconds,
        idle_seconds=upstream.idle_timeout_seconds,
    )
