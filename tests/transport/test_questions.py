"""The decision API: whoever asks it gets the proxy's verdict, code, target, identity and removals (product.md 11)."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from gateway.config.model import Address, Decisions
from gateway.endpoints.state import state_of
from gateway.policy.budgets import Budget
from gateway.policy.ownership import Ownership
from gateway.policy.routes import Policy
from gateway.proxy.dialects import DIALECTS, asking_at
from gateway.proxy.told import told_of
from gateway.server.gateway import Gateway
from tests.configuring import SECRET as FILE_SECRET
from tests.configuring import read
from tests.minting import mint
from tests.proxy.engine_model import ENGINES, Lines, Sent, head, made_of, question, read_lines
from tests.rawpeer import RawClient, RawUpstream
from tests.running import running

TOKEN = mint({"sub": "user-1", "email": "alice@example.com", "roles": ["admin"]}, FILE_SECRET.encode())
POOR = mint({"sub": "user-2", "email": "bob@example.org"}, FILE_SECRET.encode())
BAD = mint({"sub": "user-1"}, b"another secret of thirty-two bytes")
FILE = """
    upstreams:
      default:
        url: {url}
        identity: {{headers: {{X-Auth-Subject: subject, X-Auth-Email: email}}}}
        headers: {{X-Upstream-Key: "text:{{a constant}} of-the=file"}}
        studio: {{allow: {{email_domain: example.com}}}}
    strip_headers: [X-User-*, Remote-User]
    trusted_proxies: [10.0.0.0/8]
    providers:
      jobs: {{type: jwt, secret: {secret}, expiry: optional}}
      pages:
        type: jwt
        secret: {secret}
        expiry: optional
        token_from: [bearer, {{cookie: session}}, {{query: t}}]
        origins: ["https://app.example.com"]
      edge:
        type: jwt
        secret: {secret}
        expiry: optional
        token_from: [bearer, {{header: X-Edge-Assertion}}, {{cookie: session}}]
    routes:
      /public: {{public: true, websocket: true}}
      /api: {{provider: jobs, allow: authenticated}}
      POST /api/jobs: {{provider: jobs, allow: {{role: admin}}}}
      /pages: {{provider: pages, allow: authenticated}}
      /edge: {{provider: edge, allow: authenticated}}
      /home: {{provider: jobs, allow: {{ip: 127.0.0.0/8}}}}
      /seen: {{provider: jobs, allow: {{when: "'x-told' in request.headers"}}}}
"""
TARGETS = (
    "/public/x", "/public", "/api/x", "/api/x?a=1&b=2", "/api/jobs", "/api/jobs/7", "/pages/1", "/edge/1", "/edge/2",
    "/home", "/seen", "/nope", "/", "/API/x", "/api/%7Ex", "/api/a%2fb", "/api/../x", "/api//x", "/api/x?apiKey=k",
    f"/pages?t={TOKEN}", f"/pages/2?a=1&t={TOKEN}&b", "/api/caf%c3%a9", "/api/x;y=1", "/api/x?", "*",
    "http://gw.test/api/x", "/api/x#f",
)  # fmt: skip
METHODS = ("GET", "GET", "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "BREW", "CONNECT")
TOKENS: Sequence[Lines] = (
    [], [("Authorization", f"Bearer {TOKEN}")], [("Authorization", f"Bearer {TOKEN}")],
    [("authorization", f"Bearer {POOR}")],
    [("Authorization", f"Bearer {BAD}")], [("Authorization", f"Bearer {TOKEN}"), ("Authorization", f"Bearer {POOR}")],
    [("Cookie", f"session={TOKEN}"), ("Origin", "https://app.example.com")], [("Cookie", f"a=b; session={POOR}; c=d")],
    [("X-Edge-Assertion", TOKEN)], [("x-edge-assertion", f"Bearer {TOKEN}"), ("Cookie", f"session={POOR}")],
    [("X-Edge-Assertion", TOKEN), ("X-Edge-Assertion", POOR)], [("X-Edge-Assertion", f"{TOKEN}, {POOR}")],
    [("X-Edge-Assertion", TOKEN), ("Authorization", "Basic dXNlcjpwYXNz")],
    [("Authorization", "Basic dXNlcjpwYXNz")], [("Authorization", f"bearer  {TOKEN}")],
)  # fmt: skip
OTHERS: Lines = [
    ("X-Told", "1"), ("Accept", "*/*"), ("Cookie", "theme=dark"), ("Cookie", "mastra-token=x; lang=en"),
    ("X-Auth-Subject", "root"), ("x-auth-email", "root@example.com"), ("X-User-Id", "1"), ("Remote-User", "root"),
    ("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-Host", "evil.test"), ("X-Forwarded-Port", "1"), ("Via", "1.1 x"),
    ("Forwarded", "for=6.6.6.6"), ("X-Real-IP", "6.6.6.6"), ("X-Request-Id", "mine"), ("X-Original-URL", "/admin"),
    ("X-Original-Method", "GET"), ("X-Original-URI", "/public"), ("Connection", "keep-alive, X-Told"),
    ("Connection", "X-Auth-Subject"), ("X-Playground-Access", "secret"), ("X_Auth_Email", "root"), ("Proxy", "x"),
    ("X-Gateway-Target", "/admin"), ("X-Gateway-Upstream", "other"), ("X-Gateway-Peer", "10.0.0.1"),
    ("Sec-WebSocket-Protocol", f"mastra, {TOKEN}"), ("X-Forwarded-Strange", "1"), ("User-Agent", "test"),
    ("X-Edge-Assertion", POOR), ("X-Edge-Assertion", "not-a-token"), ("X_Edge_Assertion", TOKEN),
    ("Connection", "X-Edge-Assertion"), ("X-Upstream-Key", "mine"), ("x_upstream_key", "mine"),
    ("Connection", "X-Upstream-Key"), ("X-Mastra-Dev-Playground", "true"),
    ("x-mastra-client-type", "studio"), ("X_Mastra_Client_Type", "studio"), ("Connection", "X-Mastra-Client-Type"),
    ("TE", "trailers"), ("Content-Type", "text/plain"),
]  # fmt: skip
_OWN = re.compile(rb'(?<=X-Request-Id: )[0-9a-f]{32}|(?<="request_id":")[0-9a-f]{32}')


@asynccontextmanager
async def asked(upstream: RawUpstream, **settings: object) -> AsyncIterator[tuple[Gateway, int]]:
    """Run a gateway that engines ask; yields it and the port of their questions."""
    config = read(FILE.format(url=upstream.url, secret=FILE_SECRET))
    own = {"listen": Address("127.0.0.1", 0), "admin": None, "decisions": Decisions(Address("127.0.0.1", 0))}
    config = replace(config, **{**own, **settings})  # type: ignore[arg-type]
    async with running(config) as gateway:
        yield gateway, port_of(gateway)


def port_of(gateway: Gateway) -> int:
    assert gateway.decisions is not None
    return int(gateway.decisions.where.rpartition(":")[2])


async def reply(port: int, data: bytes, method: str = "GET") -> tuple[int, bytes]:
    """Send one request or question; return the status of what comes, and all of it."""
    async with RawClient.connect(port) as client:
        await client.send(data)
        if method == "HEAD":
            answer = await client.head()
            return int(answer[9:12]), answer
        status, answered, body = await client.answer()
        return status, answered + body


async def through_the_proxy(gateway: Gateway, upstream: RawUpstream, method: str, target: str, lines: Lines) -> Sent:
    before = len(upstream.visits)
    status, answer = await reply(gateway.port, head(method, target, lines), method)
    visits = upstream.visits[before:]
    if not visits:
        body = answer.partition(b"\r\n\r\n")[2]
        kept = read_lines(answer.partition(b"\r\n\r\n")[0])
        return Sent(status, json.loads(body)["code"] if body else "", lines=kept)
    (visit,) = visits
    return Sent(0, "", visit.head.split(b" ")[0].decode(), visit.target, read_lines(visit.head))


def generated(count: int, seed: int) -> Iterator[tuple[str, str, Lines]]:
    chance = random.Random(seed)  # noqa: S311
    for _ in range(count):
        method, target = chance.choice(METHODS), chance.choice(TARGETS)
        if method in ("TRACE", "CONNECT") and not target.startswith("/"):
            continue  # two faults: which is named first depends on where the target stands
        yield method, target, [("Host", "gw.test"), *chance.choice(TOKENS), *chance.sample(OTHERS, chance.randrange(5))]


async def compare(count: int, seed: int) -> Counter[str]:
    """Ask each engine's way about generated requests, and hold that it does what the proxy does; return what it was."""
    found: Counter[str] = Counter()
    async with RawUpstream() as upstream, asked(upstream) as (gateway, port):
        names = gateway.runtime.told
        tried = 0
        for method, target, lines in generated(count, seed):
            tried += 1
            of_proxy = await through_the_proxy(gateway, upstream, method, target, lines)
            found[of_proxy.code or "allowed"] += 1
            for engine in ENGINES:
                if engine in ("nginx", "forward"):  # both drop such names before they ask
                    lines = [(name, value) for name, value in lines if "_" not in name]
                asking = "HEAD" if engine == "envoy" and method == "HEAD" else "GET"
                status, answer = await reply(port, question(engine, method, target, lines), asking)
                done = made_of(engine, names, method, target, lines, status, answer)
                about = f"{engine}: {method} {target} {lines}"
                is_silent = asking == "HEAD" and done.status == 400 and not of_proxy.status  # its code is in no body
                if done.code == "engine_limited" or is_silent:
                    assert done.status == 400, about
                    assert is_beyond(engine, of_proxy, target, lines), about
                    found[f"beyond {engine}"] += 1
                    continue
                if method == "HEAD" and of_proxy.status:
                    of_proxy.code = done.code = ""  # the proxy answers HEAD without a body
                assert done.comparable() == of_proxy.comparable(), about
        # Of a question whose first line cannot be read nobody knows whose it is: Envoy's has the client's method.
        assert gateway.metrics.questions == dict.fromkeys(ENGINES, tried) | {
            "envoy": gateway.metrics.questions["envoy"]
        }
    return found


def is_beyond(engine: str, of_proxy: Sent, target: str, lines: Lines) -> bool:
    """True for what an engine cannot do, and what is refused therefore."""
    if of_proxy.status or engine == "haproxy":
        return False
    if engine == "envoy":
        return of_proxy.target.partition("?")[2] != target.partition("?")[2] or not target.startswith("/")
    hidden = any(name.startswith(("X-User", "X-Forwarded-Strange")) for name, _ in lines)
    named = any(name == "Connection" and "X-Told" in value for name, value in lines)
    unremovable = hidden or (named and any(name == "X-Told" for name, _ in lines))
    return unremovable or (engine == "forward" and of_proxy.target != target)


async def test_every_engine_is_answered_what_the_proxy_does() -> None:
    found = await compare(500, seed=11)
    assert {"allowed", "token_missing", "no_route", "access_denied", "target_ambiguous", "beyond nginx"} <= set(found)


@pytest.mark.slow
@pytest.mark.timeout(240)  # 20 seconds on a quiet machine
async def test_five_thousand_requests_get_the_proxys_verdict_through_every_engine() -> None:
    found = await compare(5000, seed=1)
    assert found["allowed"] > 500 and not found["beyond haproxy"]


# What the file says now, and what it said when the engine's configuration was printed.
_NOW = """
    upstreams:
      default:
        url: {url}
        identity: {{headers: {{X-Auth-Subject: subject, X-New-Email: email}}}}
        headers: {{X-New-Key: "text:constant"}}
    strip_headers: [Remote-User, X-New-Strip]
    providers:
      jobs: {{type: jwt, secret: {secret}, expiry: optional, token_from: [bearer, {{header: X-New-Token}}]}}
    routes:
      /public: {{public: true}}
      /api: {{provider: jobs, allow: authenticated}}
"""
_BEFORE = ["remote-user", "x-auth-subject"]
_NEW = ["x-new-email", "x-new-key", "x-new-strip", "x-new-token"]


@asynccontextmanager
async def reloaded(upstream: RawUpstream) -> AsyncIterator[tuple[Gateway, int]]:
    """Run a gateway whose file has names that engines of before do not know."""
    config = read(_NOW.format(url=upstream.url, secret=FILE_SECRET))
    own = {"listen": Address("127.0.0.1", 0), "admin": None, "decisions": Decisions(Address("127.0.0.1", 0))}
    async with running(replace(config, **own)) as gateway:  # type: ignore[arg-type]
        yield gateway, port_of(gateway)


async def done_by(
    engine: str, gateway: Gateway, port: int, printed: list[str], target: str, lines: Lines
) -> tuple[Sent, dict[str, list[str]]]:
    """Return what an engine does whose configuration was printed with these names, and what goes up, by names."""
    path = asking_at(DIALECTS[engine], printed).removeprefix(f"/authz/{engine}")
    status, answer = await reply(port, question(engine, "GET", target, lines, path))
    names = told_of(gateway.config)
    names.told = tuple(name for name in names.told if not name.startswith("X-New") or name.lower() in printed)
    names.stripped = tuple(name for name in names.stripped if not name.startswith("x-new") or name.lower() in printed)
    done = made_of(engine, names, "GET", target, lines, status, answer)
    up: dict[str, list[str]] = {}
    for name, value in done.lines:
        up.setdefault(name.lower(), []).append(value)
    return done, up


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["X-New-Email", "X-New-Key", "X-New-Strip", "x-new-token", "X.New.Key"])
@pytest.mark.parametrize("target", ["/api/x", "/public/x"])
async def test_an_engine_of_before_passes_no_name_that_has_to_go_since(engine: str, name: str, target: str) -> None:
    bearer = [("Authorization", f"Bearer {TOKEN}")] if target == "/api/x" else []
    lines = [("Host", "gw.test"), *bearer, (name, "forged")]
    is_looked_at = name == "x-new-token"  # a second credential on the one route, none of ours on the other
    async with RawUpstream() as upstream, reloaded(upstream) as (gateway, port):
        for printed in (_BEFORE, []):
            done, up = await done_by(engine, gateway, port, printed, target, lines)
            if is_looked_at:
                assert done.status == (400 if bearer else 0)
                continue
            assert up.get(name.lower(), []) == []
            if engine in ("haproxy", "envoy"):  # both can be told
                assert done.status == 0
            else:
                assert (done.status, done.code) == (400, "engine_limited")
            assert gateway.runtime.outdated[engine] == tuple(sorted({*_NEW, *_BEFORE} - set(printed)))
        done, up = await done_by(engine, gateway, port, [*_BEFORE, *_NEW], target, lines)
        if name != "X.New.Key" or engine in ("haproxy", "envoy"):
            assert done.status == (400 if is_looked_at and bearer else 0)
            assert up.get(name.lower(), []) != ["forged"] or is_looked_at
        assert gateway.runtime.outdated == {} or is_looked_at


@pytest.mark.parametrize("engine", ENGINES)
async def test_an_engine_of_before_goes_on_with_what_needs_nothing_new(engine: str) -> None:
    # No outage at a harmless reload: only who carries such a name is refused. What is new is not told, either.
    lines = [("Host", "gw.test"), ("Authorization", f"Bearer {TOKEN}"), ("X-Auth-Subject", "forged"), ("X-A", "1")]
    async with RawUpstream() as upstream, reloaded(upstream) as (gateway, port):
        done, up = await done_by(engine, gateway, port, _BEFORE, "/api/x", lines)
        assert done.status == 0
        assert (up["x-auth-subject"], up["x-a"]) == (["user-1"], ["1"])
        assert not {"x-new-email", "x-new-key"} & set(up)
        state = state_of(gateway)
        assert state["outdated_engines"] == {engine: _NEW}
        (trouble,) = [one for one in state["troubles"] if "printed before" in one["what"]]
        assert trouble["level"] == "warning" and "x-new-key" in trouble["why"]
        done, up = await done_by(engine, gateway, port, [*_BEFORE, *_NEW, "x-gone"], "/api/x", lines)
        assert (up["x-new-email"], up["x-new-key"]) == (["alice@example.com"], ["constant"])
        assert state_of(gateway)["outdated_engines"] == {}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("printed", ["~", "~-", "~x-auth-subject,x%2Dauth-email", "~,,", "~%ff", "~a~b"])
async def test_whatever_a_path_says_of_names_is_no_fault(engine: str, printed: str) -> None:
    lines = [("Host", "gw.test"), ("Authorization", f"Bearer {TOKEN}")]
    async with RawUpstream() as upstream, reloaded(upstream) as (_, port):
        status, answer = await reply(port, question(engine, "GET", "/api/x?a=1", lines, printed))
        assert status == 200, answer
        assert (b"X-Gateway-Target: /api/x" in answer) == (engine != "forward")


async def test_envoy_names_and_nothing_behind_is_no_question() -> None:
    async with RawUpstream() as upstream, reloaded(upstream) as (_, port):
        for target in ("/authz/envoy~x-a", "/authz/envoy~", "/authz/envoy~x-a*"):
            status, answer = await reply(
                port, head("GET", target, [("Host", "gw.test"), ("X-Gateway-Peer", "127.0.0.1")])
            )
            assert status == 400 and b"question_malformed" in answer


@pytest.mark.parametrize("engine", ENGINES)
async def test_question_about_what_has_owners_is_refused_since_the_engine_sends_the_body(engine: str) -> None:
    async with RawUpstream() as upstream, asked(upstream) as (gateway, _):
        routes = [replace(route, own_things=Ownership()) for route in gateway.config.policy.routes]
        counted = [replace(route, budgets=(Budget("people", "subject"),)) for route in routes]
        for policy in (Policy(routes), Policy(counted)):  # nothing is spent for it either
            async with running(replace(gateway.config, policy=policy)) as parted:
                lines = [("Host", "gw.test"), ("Authorization", f"Bearer {TOKEN}")]
                status, answer = await reply(port_of(parted), question(engine, "GET", "/api/agents", lines))
                assert b"engine_limited" in answer and status != 200
