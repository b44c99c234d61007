"""Keys over time, in real time: fetched once, rotated, lost; and key servers that hang or are flooded (P-JWKS).

What is asserted are answers, the number of fetches, and ends: no test passes or fails by being quick.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.security.casebook import Case
from tests.security.forge import jwk, token_for
from tests.security.issuers import SLACK_SECONDS, issuers
from tests.security.judge import Reached
from tests.security.rig import Keys
from tests.security.tally import Tally

TTL, COOLDOWN, TIMEOUT, STALE = 4, 1, 2, 4
SHORT_LIFE = {"ttl": f"{TTL}s", "cooldown": f"{COOLDOWN}s", "timeout": f"{TIMEOUT}s", "stale_if_error": f"{STALE}s"}
GOOD: dict[str, Any] = {}


@contextmanager
def attack(tally: Tally, name: str) -> Iterator[None]:
    """Count what the block tries."""
    with tally.of(Case(name, "jwks", True, {})):
        yield


@pytest.mark.slow
def test_fifty_requests_are_one_fetch_and_two_hundred_at_once_too(tmp_path: Path) -> None:
    keys = Keys([jwk("rsa1")], is_closed=True)  # so that the gateway starts without them
    sets = {"a": keys, "ready": Keys([jwk("rsa1")])}
    with ThreadPoolExecutor(200) as pool, issuers(tmp_path, sets, {"cooldown": "100ms", "timeout": "10s"}) as peers:
        keys.gate.clear()
        keys.is_closed, fetches = False, keys.fetches
        while keys.fetches == fetches:
            time.sleep(0.01)  # polls another thread
        herd = [pool.submit(peers.call, "a", GOOD) for _ in range(200)]
        time.sleep(0.3)  # lets most of them arrive; whoever comes later finds the keys there
        keys.gate.set()
        assert {call.result().status for call in herd} == {200}
        assert keys.fetches == fetches + 1
        assert {peers.call("a").status for _ in range(50)} == {200}
        assert keys.fetches == fetches + 1


@pytest.mark.slow
def test_flood_of_unknown_kids_is_one_fetch_per_cooldown(tmp_path: Path, tally: Tally) -> None:
    keys = Keys([jwk("rsa1")])
    with issuers(tmp_path, {"a": keys}, {**SHORT_LIFE, "ttl": "1h"}) as peers, attack(tally, "jwks.kid-flood"):
        began = time.monotonic()
        for number in range(1000):
            answer = peers.call("a", {"key": "evil", "kid": f"kid-{number}"})
            assert answer.status == 401, answer.raw
        seconds = time.monotonic() - began
        assert keys.fetches <= 2 + seconds / COOLDOWN, f"{keys.fetches} fetches in {seconds:.1f} s"
        assert peers.call("a").status == 200


@pytest.mark.slow
def test_keys_come_and_go_with_the_set(tmp_path: Path, tally: Tally) -> None:
    keys = Keys([jwk("rsa1")])
    with issuers(tmp_path, {"a": keys}, SHORT_LIFE) as peers, attack(tally, "jwks.rotate.remove"):
        held = {"form": token_for(GOOD, time.time())}
        for which in ("verified", "verified and kept", "from the cache"):
            assert peers.call("a", held).status == 200, which
        keys.keys = [jwk("rsa1"), jwk("rsa2")]
        peers.until(200, TTL + COOLDOWN, "a", {"key": "rsa2"})
        assert peers.call("a").status == 200
        keys.keys = [jwk("rsa2")]
        peers.until(401, TTL + COOLDOWN, "a", held)
        assert peers.call("a", GOOD).status == 401
        assert peers.call("a", {"key": "rsa2"}).status == 200


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["closed", "status"])
def test_keys_outlive_their_server_for_a_while_only(tmp_path: Path, tally: Tally, fault: str) -> None:
    keys = Keys([jwk("rsa1")])
    with issuers(tmp_path, {"a": keys}, SHORT_LIFE) as peers, attack(tally, f"jwks.down.later[{fault}]"):
        assert peers.call("a").status == 200
        keys.is_closed, keys.status = fault == "closed", 500
        began, fetches = time.monotonic(), keys.fetches
        assert peers.call("a", {"key": "evil", "kid": "unknown"}).status in (401, 503)
        while time.monotonic() - began < TTL / 2:
            assert peers.call("a").status == 200, "a failed refresh does not take good keys away"
            time.sleep(0.1)  # what is tried is the passing of time
        peers.until(503, TTL + STALE, "a", GOOD)
        assert keys.fetches > fetches
        assert peers.call("a").header("Retry-After")
        keys.is_closed, keys.status = False, 200
        peers.until(200, TIMEOUT + COOLDOWN, "a", GOOD)


@pytest.mark.slow
def test_key_server_that_is_down_at_start_lets_nobody_in(tmp_path: Path, tally: Tally) -> None:
    down = Keys([jwk("rsa1")], is_closed=True)
    sets = {"a": down, "b": Keys([jwk("rsa1")])}
    with issuers(tmp_path, sets, SHORT_LIFE) as peers, attack(tally, "jwks.down.at-start"):
        began = time.monotonic()
        answer = peers.call("a")
        if answer.status == 200 or peers.upstream.take():
            raise Reached(f"let in without a key: {answer.raw!r}")
        assert answer.status == 503 and answer.header("Retry-After")
        assert time.monotonic() - began < TIMEOUT + SLACK_SECONDS
        assert peers.call("a", {"form": "x.y.z"}).status == 401, "what can be refused without a key is"
        assert peers.call("b").status == 200


@pytest.mark.slow
def test_a_hanging_key_server_delays_only_its_own_callers(tmp_path: Path, tally: Tally) -> None:
    hanging = Keys([jwk("rsa1")])
    sets = {"a": hanging, "b": Keys([jwk("rsa1")])}
    hanging.gate.clear()
    with ThreadPoolExecutor(50) as pool, issuers(tmp_path, sets, SHORT_LIFE) as peers:
        with attack(tally, "jwks.slow.isolation"):
            fetches = hanging.fetches
            stuck = [pool.submit(peers.call, "a", GOOD) for _ in range(50)]
            for _ in range(20):
                began = time.monotonic()
                assert peers.call("b").status == 200
                assert time.monotonic() - began < TIMEOUT, "delayed by another provider's key server"
            began = time.monotonic()
            assert {call.result().status for call in stuck} == {503}
            assert time.monotonic() - began < TIMEOUT + SLACK_SECONDS
            assert hanging.fetches - fetches <= 1 + (TIMEOUT + SLACK_SECONDS) / COOLDOWN
        hanging.gate.set()


@pytest.mark.slow
def test_tokens_that_need_no_key_cause_no_fetch(tmp_path: Path, tally: Tally) -> None:
    keys = Keys([jwk("rsa1")])
    refused: list[dict[str, Any]] = [
        {"form": "x.y.z"},
        {"kid": "new", "claims": {"exp": "now-60"}},
        {"kid": "new", "claims": {"iss": "https://evil.test"}},
        {"kid": "new", "claims": {"aud": "https://other.test"}},
        {"kid": "new", "claims": {"sub": 4.2}},
        {"kid": "new", "alg": "none", "form": "{head}.{body}."},
        {"kid": "new", "secret": "x", "alg": "HS256"},
        {"kid": "new", "header": {"crit": ["x"]}},
        {"kid": "new", "header": {"typ": "logout+jwt"}},
    ]
    with issuers(tmp_path, {"a": keys}, {"ttl": "1h", "cooldown": "10ms"}) as peers, attack(tally, "jwks.no-fetch"):
        assert peers.call("a").status == 200
        fetches = keys.fetches
        for token in refused * 5:
            assert peers.call("a", token).status == 401
        assert keys.fetches == fetches


@pytest.mark.slow
def test_a_cached_token_ends_with_its_expiry(tmp_path: Path, tally: Tally) -> None:
    with issuers(tmp_path, {"a": Keys([jwk("rsa1")])}, {"ttl": "1h"}) as peers:
        with attack(tally, "load.token-cache.expiry"):
            now = time.time()
            # The same text each time: with an `iat` of its own each would be another token, and none from the cache.
            token = {"form": token_for({"claims": {"exp": int(now) - 3}}, now)}  # 5 s of leeway
            for which in ("verified", "verified and kept", "from the cache"):
                assert peers.call("a", token).status == 200, which
            peers.until(401, 5, "a", token)
            assert peers.call("a", token).status == 401
