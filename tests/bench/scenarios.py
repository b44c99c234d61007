"""The kinds of work that are measured, and the curves that some of them are points of."""

from __future__ import annotations

from dataclasses import dataclass

from tests.bench.setups import SMALLEST, Setup

ALL = ("Envoy", "HAProxy", "nginx with njs", "Node + jsonwebtoken", "aiohttp + PyJWT")
_COMPARED = ("Envoy", "HAProxy")


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of work. `tokens` is a file of `tests/bench/tokens.py`; the gateways do all of them, `peers` some."""

    name: str
    tokens: str = "one"
    path: str = "/api/agents"
    method: str = "GET"
    varies: str = ""  # `head`: a query and a request id of its own each time; `fields`: every one of `more_fields`
    body_bytes: int = 0
    chunk_bytes: int = 0  # of an upload in chunks; 0: with its length
    more_fields: int = 0  # besides four, Host and Authorization
    is_page: bool = False  # a browser's: a preflight and a POST in turn, each counted
    connections: int = 64
    expected: int = 200
    setup: Setup = SMALLEST
    peers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Curve:
    """What a request costs as one thing grows: a scenario for each number of it."""

    name: str
    points: tuple[tuple[str, Scenario], ...]


def _routes(number: int) -> Scenario:
    return Scenario(f"{number:,} routes", setup=Setup(routes=number))


def _providers(number: int) -> Scenario:
    return Scenario(f"{number} providers", f"issuers-{number}", setup=Setup(providers=number))


def _rules(number: int) -> Scenario:
    return Scenario(f"{number} rules", setup=Setup(rules=number))


def _fields(number: int) -> Scenario:
    return Scenario(f"{number + 1} header lines", more_fields=number - 4)


def _token(size_bytes: int, label: str, count: int = 100) -> Scenario:
    name = f"{label} tokens" if count == 100 else f"{label} tokens, {count:,}"
    return Scenario(name, f"size-{size_bytes}-{count}", setup=Setup(has_secret=True))


def _body(kilobytes: int) -> Scenario:
    return Scenario(f"body of {kilobytes} KB", method="POST", body_bytes=kilobytes * 1024)


BESIDE = (
    Scenario("one token, every head different", varies="head", peers=ALL),
    Scenario("1,000 tokens", "thousand", peers=ALL),
    Scenario("every token new", "new", peers=ALL),
    Scenario("flood without a token", "", expected=401, peers=ALL),
    Scenario("flood of tokens with a wrong signature", "wrong", expected=401, peers=ALL),
    Scenario("POST of 10 KB", "thousand", method="POST", body_bytes=10_240, peers=ALL),
    Scenario("1 MB down", path="/api/blob", connections=8, peers=ALL),
)
USERS = (
    Scenario("a plain GET", "thousand", peers=_COMPARED),
    Scenario(
        "preflight and POST", "thousand", is_page=True, body_bytes=1024, setup=Setup(has_cors=True), peers=_COMPARED
    ),
    Scenario("TLS in front", "thousand", setup=Setup(has_tls=True), peers=_COMPARED),
    Scenario("https upstream", "thousand", setup=Setup(has_https_upstream=True), peers=_COMPARED),
    Scenario("10 KB in chunks", "thousand", method="POST", body_bytes=10_240, chunk_bytes=4096, peers=_COMPARED),
    _routes(1000),
    _routes(5000),
    _providers(100),
    _token(8192, "8 KB"),
    _token(8192, "8 KB", 1000),
    _fields(59),
    Scenario("60 lines, all different", varies="fields", more_fields=55),
    Scenario("two workers", "thousand", setup=Setup(workers=2)),
)
CURVES = (
    Curve("routes", tuple((f"{number:,}", _routes(number)) for number in (10, 100, 1000, 5000))),
    Curve("providers", tuple((str(number), _providers(number)) for number in (1, 10, 100))),
    Curve("rules", tuple((str(number), _rules(number)) for number in (1, 10, 100))),
    Curve("header lines", tuple((str(number), _fields(number)) for number in (4, 19, 59))),
    Curve(
        "token",
        tuple(
            (label, _token(size, label))
            for size, label in ((235, "235 B"), (1024, "1 KB"), (4096, "4 KB"), (8192, "8 KB"))
        ),
    ),
    Curve("body", tuple((f"{number} KB", _body(number)) for number in (0, 1, 10, 50, 200))),
)
PARTS: dict[str, tuple[Scenario, ...]] = {
    "beside": BESIDE,
    "users": USERS,
    "curves": tuple(scenario for curve in CURVES for _, scenario in curve.points),
}


def groups_of(scenarios: list[Scenario]) -> dict[Setup, list[Scenario]]:
    """Return scenarios by their setups, each once: those of one setup are asked of the same processes."""
    groups: dict[Setup, list[Scenario]] = {}
    for scenario in dict.fromkeys(scenarios):
        groups.setdefault(scenario.setup, []).append(scenario)
    return groups
