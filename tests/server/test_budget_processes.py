"""Two gateways as processes that share a Redis: counted together, whatever becomes of one of them or of the store."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.minting import FAR, SECRET, mint
from tests.processes import Served, served, wait_until
from tests.programs import needs
from tests.rawpeer import RawUpstream, Visit
from tests.redisserver import RedisServer, redis_server
from tests.running import WIRE

pytestmark = needs("redis-server", "redis-cli")
FILE = """upstream: {upstream}
drain_timeout: 1s
providers: {{jobs: {{type: jwt, secret: {secret}}}}}
budgets:
  people: {{per: subject, streams: 3}}
  calls: {{per: subject, requests: 1000/1h}}
shared: {{url: "redis://127.0.0.1:{redis}", timeout: 50ms, if_down: {if_down}}}
routes:
  /api: {{provider: jobs, allow: authenticated, budget: [people, calls]}}
  /free: {{provider: jobs, allow: authenticated}}
"""
ANN = mint({"sub": "ann", "exp": FAR})


async def _script(visit: Visit) -> None:
    await visit.read_body()
    if "stream" in visit.target:
        await visit.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        await visit.send(b"9\r\ndata: x\n\n\r\n")
        await visit.wait_for_client_to_leave()
    else:
        await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


@pytest.fixture
def upstream() -> Iterator[str]:
    """Run an upstream in a thread of its own."""
    loop = asyncio.new_event_loop()
    peer = RawUpstream(_script)
    thread = Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(peer.__aenter__(), loop).result(10)
    try:
        yield peer.url
    finally:
        asyncio.run_coroutine_threadsafe(peer.__aexit__(None, None, None), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@contextlib.contextmanager
def _two(upstream: str, redis: RedisServer, folder: Path, if_down: str = "local") -> Iterator[tuple[Served, Served]]:
    text = FILE.format(upstream=upstream, secret=SECRET.decode(), redis=redis.port, if_down=if_down)
    with served(text, folder / "one", WIRE) as one, served(text, folder / "two", WIRE) as two:
        yield one, two


def _begin(gateway: Served, target: str = "/api/stream") -> tuple[int, http.client.HTTPConnection]:
    """Begin a request; returns the status and the connection, open."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    connection.request("POST", target, b"{}", {"Authorization": f"Bearer {ANN}"})
    answer = connection.getresponse()
    connection.answer = answer  # type: ignore[attr-defined]  # else it is closed with the garbage
    return answer.status, connection


def _status(gateway: Served, target: str = "/api/x") -> int:
    status, connection = _begin(gateway, target)
    connection.answer.close()  # type: ignore[attr-defined]
    connection.close()
    return status


def _open(redis: RedisServer) -> int:
    return sum(
        int(redis.command("zcard", key)) for key in redis.command("--scan", "--pattern", "gateway:{b}:s:*").split()
    )


def _leave(connection: http.client.HTTPConnection) -> None:
    connection.answer.close()  # type: ignore[attr-defined]
    connection.close()


def test_the_fourth_stream_is_429_on_either_and_cancelled_ones_leave_nothing(
    upstream: str, redis: RedisServer, tmp_path: Path
) -> None:
    with _two(upstream, redis, tmp_path) as (one, two):
        assert _status(one, "/free/x") == 200
        assert redis.calls_of("evalsha") == redis.calls_of("eval") == 0
        held = [_begin(gateway) for gateway in (one, two, one)]
        assert [status for status, _ in held] == [200, 200, 200]
        assert (_status(one, "/api/stream"), _status(two, "/api/stream")) == (429, 429)
        for _, connection in held:
            _leave(connection)
        for number in range(100):
            status, connection = _begin((one, two)[number % 2])
            while status == 429:  # the one before is still on its way back
                _leave(connection)
                status, connection = _begin((one, two)[number % 2])
            _leave(connection)
        wait_until(lambda: _open(redis) == 0)
        _, connection = _begin(one)
        assert _open(redis) == 1
    assert _open(redis) == 0  # who is stopped gives back what it holds
    _leave(connection)


def _explained(gateway: Served, token: str = ANN) -> dict[str, Any]:
    """Return what the status page's explanation says of the budgets of a POST."""
    question = json.dumps({"method": "POST", "path": "/api/stream", "token": token}).encode()
    asked = urllib.request.Request(  # loopback
        f"http://127.0.0.1:{gateway.admin}/explain", question, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(asked, timeout=20) as answer:
        told = json.loads(answer.read())
    (step,) = [step for step in told["steps"] if step["name"] == "budget"]
    return {"decision": told["decision"], "code": told.get("code"), **step}


def test_explanations_say_how_much_is_left_and_use_up_nothing(
    upstream: str, redis: RedisServer, tmp_path: Path
) -> None:
    file = tmp_path / "one" / "gateway.yaml"
    ask = [sys.executable, "-m", "gateway", "explain", "-c", str(file), "POST", "/api/stream", "--token", ANN]
    with _two(upstream, redis, tmp_path) as (one, two):
        held = [_begin(one)[1], _begin(two)[1]]
        for gateway in (one, two, one):
            told = _explained(gateway)
            assert (told["decision"], told["found"]) == ("allow", "as the shared store counts")
            assert [part["found"].partition("; ")[2] for part in told["parts"]] == [
                "left: 1 streams", "left: 998 requests",
            ]  # fmt: skip
        printed = subprocess.run(ask, capture_output=True, text=True, timeout=60, check=False)
        assert printed.returncode == 0 and "budget      as the shared store counts\n" in printed.stdout, printed.stdout
        assert "; left: 1 streams\n" in printed.stdout and printed.stderr == ""
        held.append(_begin(two)[1])
        told = _explained(one)
        assert (told["decision"], told["code"], told["parts"][0]["verdict"]) == ("deny", "budget_exceeded", "no")
        printed = subprocess.run(ask, capture_output=True, text=True, timeout=60, check=False)
        assert printed.returncode == 1 and "\n429 budget_exceeded" in printed.stdout, printed.stdout
        redis.kill()
        assert _status(one) == 200  # it has seen that nobody can be asked
        told = _explained(one)
        # What it has seen by itself: one stream.
        assert (told["decision"], told["parts"][0]["found"].partition("; ")[2]) == ("allow", "left: 2 streams")
        assert told["found"].startswith("as this process counts: the shared store cannot be asked what is left: ")
        printed = subprocess.run(ask, capture_output=True, text=True, timeout=60, check=False)
        assert "the shared store cannot be asked what is left: ConnectionError: " in printed.stdout, printed.stdout
        assert printed.stderr == ""
        for connection in held:
            _leave(connection)


def test_whatever_is_done_to_the_store_costs_100_ms_at_most_and_no_error(
    upstream: str, redis: RedisServer, tmp_path: Path
) -> None:
    with _two(upstream, redis, tmp_path) as (one, two):
        assert {_status(one), _status(two)} == {200}
        for times_healed, (hurt, heal) in enumerate(((redis.freeze, redis.thaw), (redis.kill, redis.start)), 1):
            hurt()
            times: list[float] = []
            for gateway in (one, two) * 10:
                began = time.perf_counter()
                assert _status(gateway) == 200
                times.append(time.perf_counter() - began)
            assert sorted(times)[len(times) // 2] < 0.1  # of most: the machine of a test is busy
            heal()
            for gateway in (one, two):
                wait_until(lambda: gateway.log.read_bytes().count(b"answers again") == times_healed)  # noqa: B023
            redis.command("flushall")
            redis.command("script", "flush")
            assert {_status(one), _status(two)} == {200}
            before = redis.calls_of("evalsha")
            assert {_status(one), _status(two)} == {200} and redis.calls_of("evalsha") > before


def test_with_refuse_nothing_passes_uncounted(upstream: str, redis: RedisServer, tmp_path: Path) -> None:
    with _two(upstream, redis, tmp_path, "refuse") as (one, _):
        wait_until(lambda: _status(one) == 200)
        redis.kill()
        assert {_status(one) for _ in range(10)} == {429}
        assert _status(one, "/free/x") == 200
        wait_until(lambda: "budget_unknown" in one.log.read_text())  # lines of requests are written in batches
        assert one.log.read_text().count("cannot be asked: ") == 1
        redis.start()
        wait_until(lambda: _status(one) == 200)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_gateway_that_is_killed_frees_its_places_within_30_seconds(
    upstream: str, redis: RedisServer, tmp_path: Path
) -> None:
    with _two(upstream, redis, tmp_path) as (one, two):
        held = [_begin(gateway) for gateway in (one, one, two)]
        assert [status for status, _ in held] == [200, 200, 200]
        assert _status(two, "/api/stream") == 429
        os.kill(one.pid, signal.SIGKILL)
        killed_at = time.monotonic()
        statuses = []
        while (status := _status(two, "/api/stream")) == 429:
            statuses.append(status)
            assert time.monotonic() - killed_at < 35
            time.sleep(0.5)  # polls another process
        assert status == 200 and statuses
        for _, connection in held:
            with contextlib.suppress(OSError):
                _leave(connection)
