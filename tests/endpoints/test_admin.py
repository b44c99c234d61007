"""The admin port: who may read it, what it says, and that several workers speak with one voice."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.config.model import Address
from gateway.endpoints.admin import Admin, is_private_name
from gateway.endpoints.fleet import FleetState
from gateway.endpoints.local import LocalState
from gateway.endpoints.state import merge_states, state_of
from gateway.record.counters import Histogram
from gateway.record.metrics import Metrics
from gateway.record.outcome import Outcome
from gateway.server.gateway import Gateway
from gateway.server.recent import MAX_REFUSALS, SLOTS, Recent
from tests.configuring import read
from tests.minting import SECRET, mint
from tests.rawpeer import RawUpstream, ask
from tests.running import BEARER, TOKEN, config_for, running, upstream_at


@asynccontextmanager
async def admin_of(gateway: Gateway, *hosts: str) -> AsyncIterator[str]:
    admin = Admin(LocalState(gateway), hosts)
    await admin.start(Address("127.0.0.1", 0))
    try:
        yield f"http://127.0.0.1:{admin.port}"
    finally:
        await admin.stop()


async def call(method: str, url: str, **options: Any) -> tuple[int, str, Any]:
    async with aiohttp.ClientSession() as session, session.request(method, url, **options) as response:
        return response.status, await response.text(), response.headers


@pytest.fixture
async def gateway(upstream: RawUpstream) -> AsyncIterator[Gateway]:
    async with running(config_for(upstream_at(upstream.url))) as running_gateway:
        yield running_gateway


@pytest.fixture
async def upstream() -> AsyncIterator[RawUpstream]:
    async with RawUpstream() as running_upstream:
        yield running_upstream


@pytest.mark.parametrize(
    ("name", "is_private"),
    [
        ("127.0.0.1", True), ("10.1.2.3", True), ("::1", True), ("203.0.113.9", True), ("localhost", True),
        ("gateway", True), ("gateway.internal", True), ("pod.ns.svc", True), ("box.local", True), ("a.localhost", True),
        ("evil.example.com", False), ("local.evil.com", False), ("xlocal", True), ("a.xlocal", False), ("", False),
        ("127.0.0.1.evil.com", False), ("localhost.evil.com", False), ("svc.com", False),
    ],
)  # fmt: skip
def test_private_name_is_one_that_no_stranger_can_point_here(name: str, is_private: bool) -> None:
    assert is_private_name(name) is is_private


@pytest.mark.parametrize("path", ["/", "/status", "/explain"])
@pytest.mark.parametrize(
    "host",
    [
        "rebound.evil.example", "rebound.evil.example:9090", "localhost.evil.example", "a.b@c", "[::1].evil.example",
        "[::1]evil.example:80", "[127.0.0.1].evil.example", "localhost/.evil.example",
    ],
)  # fmt: skip
async def test_public_name_is_refused_against_rebinding(gateway: Gateway, path: str, host: str) -> None:
    async with admin_of(gateway, "gateway.corp.example") as base:
        method = "POST" if path == "/explain" else "GET"
        status, text, _ = await call(method, base + path, headers={"Host": host}, json={} if method == "POST" else None)
        assert status == 403 and "admin_hosts" in text
        for good in ("localhost:9090", "[::1]:9090", "gateway.corp.example", "GATEWAY.corp.example:80", "gateway"):
            options = {"headers": {"Host": good}, "json": {"path": "/api"} if method == "POST" else None}
            assert (await call(method, base + path, **options))[0] == 200, good


async def test_health_and_metrics_are_for_scrapers_by_any_name(gateway: Gateway) -> None:
    async with admin_of(gateway) as base:
        for path in ("/healthz", "/readyz", "/metrics"):
            assert (await call("GET", base + path, headers={"Host": "gateway.prod.example.com"}))[0] == 200


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"json": {"path": "/api"}}, 200),
        ({"json": {"path": "/api"}, "headers": {"Origin": "https://evil.example"}}, 403),
        ({"json": {"path": "/api"}, "headers": {"Origin": "null"}}, 403),
        ({"data": '{"path": "/api"}', "headers": {"Content-Type": "text/plain"}}, 415),
        ({"data": "path=/api", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}, 415),
        ({"data": "{", "headers": {"Content-Type": "application/json"}}, 400),
        ({"json": [1]}, 400),
        ({"json": {"path": "api"}}, 400),
        ({"json": {"path": 5}}, 400),
        ({"json": {"path": "/api", "method": "get"}}, 400),
        ({"json": {"path": "/api", "token": ["x"]}}, 400),
        ({"json": {"path": "/api", "token": "x" * 30_000}}, 400),
        ({"json": {"path": "/" + "x" * 70_000}}, 413),
        ({"data": b'{"path": "/api"}', "headers": {"Content-Type": "application/json; charset=nonsense"}}, 200),
        ({"data": b'{"path": "/\xff"}', "headers": {"Content-Type": "application/json"}}, 400),
        ({"data": b"{}", "headers": {"Content-Type": "application/json", "Content-Encoding": "gzip"}}, 415),
        ({"data": b"{}", "headers": {"Content-Type": "application/json", "Content-Encoding": "x"}}, 415),
    ],
)
async def test_question_of_another_page_or_of_no_sense_is_refused(
    gateway: Gateway, options: dict[str, Any], status: int
) -> None:
    async with admin_of(gateway) as base:
        assert (await call("POST", base + "/explain", **options))[0] == status
        assert (await call("GET", base + "/healthz"))[0] == 200


async def test_fault_of_our_own_is_told_as_one_and_keeps_the_safe_headers(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(state: LocalState) -> None:
        raise LookupError("a fault")

    monkeypatch.setattr(LocalState, "status", fail)
    async with admin_of(gateway) as base:
        status, text, headers = await call("GET", base + "/status")
    assert (status, headers["Content-Type"]) == (500, "application/json; charset=utf-8") and "error" in json.loads(text)
    assert headers["X-Content-Type-Options"] == "nosniff" and "frame-ancestors" in headers["Content-Security-Policy"]
    assert "LookupError: a fault" in caplog.text


async def test_token_is_explained_and_not_kept(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    async with admin_of(gateway) as base:
        status, text, headers = await call(
            "POST", base + "/explain", json={"path": "/api/x", "token": f"Bearer {TOKEN}"}
        )
    said = json.loads(text)
    assert (status, said["decision"]) == (200, "allow")
    assert said["advice"][0].startswith("`Bearer` was taken off") and "401 token_malformed" in said["advice"][0]
    assert headers["Cache-Control"] == "no-store"
    assert TOKEN.rpartition(".")[2] not in text and TOKEN not in caplog.text
    assert len(gateway.config.policy.verified) == 0
    assert gateway.metrics.requests == {}


async def test_page_runs_only_its_own_script_and_asks_nobody_else(gateway: Gateway) -> None:
    async with admin_of(gateway) as base:
        _, page, headers = await call("GET", base + "/")
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    for tag in ("script", "style"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    addresses = set(re.findall(r"https?://[^\s\"'<)]+", page)) - {"http://www.w3.org/2000/svg"}
    assert not addresses
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|eval\(| on\w+=|style=", page)


async def test_status_tells_what_happened_without_a_secret(gateway: Gateway) -> None:
    await ask(gateway.port, b"GET /api/x HTTP/1.1\r\nHost: a\r\n" + BEARER + b"\r\n")
    await ask(gateway.port, b"GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n")
    await ask(gateway.port, b"GET /nowhere?secret=query HTTP/1.1\r\nHost: a\r\n\r\n")
    async with admin_of(gateway) as base:
        _, text, _ = await call("GET", base + "/status")
    state = json.loads(text)
    assert state["routes"][1]["requests"] == {"allowed": 1, "refused": 1, "would_deny": 0}
    assert state["routes"][1]["who"] == "any token that counts"
    assert [refusal["code"] for refusal in state["refusals"]] == ["no_route", "token_missing"]
    assert "Send `Authorization: Bearer TOKEN`" in state["refusals"][1]["advice"]
    assert sum(slot["allowed"] for slot in state["recent"]["slots"]) == 1
    assert sum(slot["refused"] for slot in state["recent"]["slots"]) == 2
    assert "query" not in text and SECRET.decode() not in text and "user-1" not in text


async def test_advice_about_a_refusal_is_that_of_the_providers_own_type(upstream: RawUpstream) -> None:
    clerk = f"people: {{type: clerk, jwks_uri: '{upstream.url}/jwks', issuer: 'https://clerk.example.com'}}"
    text = f"""
      upstream: {upstream.url}
      providers: {{jobs: {{type: jwt, secret: {SECRET.decode()}}}, {clerk}}}
      routes:
        /jobs: {{provider: jobs, allow: {{role: admin}}}}
        /both: {{provider: [jobs, people], allow: {{role: admin}}}}
        /people: {{provider: people, allow: authenticated}}
    """
    expired = mint({"sub": "user-1", "exp": 1}).encode()
    async with running(read(text)) as gateway:
        for path in (b"/jobs", b"/both", b"/people"):
            await ask(
                gateway.port, b"GET " + path + b" HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + expired + b"\r\n\r\n"
            )
            await ask(gateway.port, b"GET " + path + b" HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x.y\r\n\r\n")
        refusals = {(one["route"], one["code"]): one["advice"] for one in state_of(gateway)["refusals"]}
    assert refusals["/jobs", "token_expired"] == refusals["/both", "token_expired"] == "Get a new token."
    assert "Auth0" not in "".join(refusals.values()) and "Clerk" not in refusals["/jobs", "token_malformed"]


async def test_states_of_workers_add_up(gateway: Gateway) -> None:
    await ask(gateway.port, b"GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n")
    one, other = json.loads(json.dumps(state_of(gateway))), json.loads(json.dumps(state_of(gateway)))
    other["ready"] = False
    other["configuration"]["reload_error"] = "gateway.yaml:1:1: broken"
    both = merge_states([one, other])
    assert (both["workers"], both["ready"], both["agree"]) == (2, False, True)
    assert both["routes"][1]["requests"]["refused"] == 2
    assert len(both["refusals"]) == 2
    assert both["configuration"]["reload_error"] == "gateway.yaml:1:1: broken"
    assert sum(slot["refused"] for slot in both["recent"]["slots"]) == 2
    other["routes"].pop()
    assert merge_states([one, other])["agree"] is False


async def test_workers_that_are_not_ready_say_why(gateway: Gateway, tmp_path: Path) -> None:
    here, gone = str(tmp_path / "here"), str(tmp_path / "gone")
    admin, stop = Admin(LocalState(gateway)), asyncio.Event()
    await admin.start_on_path(here)
    try:
        assert await FleetState([here], stop).ready() == (True, {"why": None, "workers": [True]})
        told = {"why": "no worker answers", "workers": [True, False]}
        assert await FleetState([here, gone], stop).ready() == (False, told)
        assert (await FleetState([gone], stop).status())["troubles"][0]["what"] == "no worker answers"
        stop.set()
        assert await FleetState([here], stop).ready() == (False, {"why": "stopping", "workers": [True]})
        gateway.is_draining = True
        assert await FleetState([here], stop).ready() == (False, {"why": "it is stopping", "workers": [False]})
        gateway.takes_requests_until = time.time() + 3600
        why = (await FleetState([here], stop).ready())[1]["why"]
        assert re.fullmatch(r"it is draining: requests are taken for 3\d{3} s more", why)
        status = await FleetState([here], stop).status()
        assert status["draining"] and 3000 < status["takes_requests_seconds"] <= 3600
        gateway.takes_requests = False
        assert (await FleetState([here], stop).status())["takes_requests_seconds"] is None
    finally:
        await admin.stop()


def outcome(code: str | None = None, status: int = 200, request_id: str = "id") -> Outcome:
    made = Outcome(request_id, "GET", "/x", "192.0.2.1", began_at=10.0)
    made.decided_at, made.code, made.status = 10.002, code, status
    made.note_end()
    return made


def test_recent_holds_five_minutes_and_no_more() -> None:
    metrics = Metrics()
    recent = Recent(metrics, lambda subject: subject)

    def note(made: Outcome) -> None:
        metrics.record(made)
        if made.code is not None:
            recent.note_refusal(made)

    note(outcome())
    for number in range(3 * MAX_REFUSALS):
        note(outcome("access_denied", 403, str(number)))
        if number % 10 == 0:
            recent.turn()
    note(outcome("upstream_broken", 502, "last"))
    slots = recent.slots()
    assert len(slots) == SLOTS
    assert [sum(slot[name] for slot in slots) for name in ("allowed", "refused", "failed")] == [1, 150, 1]
    assert slots[-1]["decision_seconds"] == 0.0025
    refusals = recent.refusals(lambda refused: ())
    assert len(refusals) == MAX_REFUSALS and refusals[0]["request_id"] == "last"
    for _ in range(SLOTS):
        recent.turn()
    assert all(slot["refused"] == 0 and slot["decision_seconds"] is None for slot in recent.slots())


def test_quantile_is_the_bound_of_its_bucket() -> None:
    histogram = Histogram((0.1, 1.0))
    assert histogram.quantile(0.95) is None
    for _ in range(95):
        histogram.observe(0.05)
    for _ in range(5):
        histogram.observe(0.5)
    assert (histogram.quantile(0.95), histogram.quantile(0.96)) == (0.1, 1.0)
    histogram.observe(9.0)
    assert histogram.quantile(1.0) == 1.0
    assert histogram.cumulative() == [("0.1", 95.0), ("1.0", 100.0), ("+Inf", 101.0)]
