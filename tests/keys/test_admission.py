"""Issuers of a template in the key store: who has a place, and what strangers cannot do. The clock is fake."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.keys.asking import FetchError
from gateway.keys.store import KeyStore
from gateway.policy.jwk import Key, read_key_set
from gateway.policy.key_lookup import NoKey
from gateway.policy.providers import KeySource
from tests.keys.test_key_store import FakeTime, jwks, settle

PATTERN = KeySource(None, None, max_issuers=3)
OUTAGE = NoKey(fetch_may_help=False, is_outage=True)
UNKNOWN = FetchError("found status 404, expected 200", is_refused=True)


class Tenants:
    """A store in front of an issuer with many tenants. Every tenant whose name begins with `t` exists."""

    def __init__(self, pattern: KeySource = PATTERN) -> None:
        self.pattern, self.time = pattern, FakeTime()
        self.asked: list[str] = []
        self.down = False
        self.gate: asyncio.Event | None = None
        self.store = KeyStore(self.fetch, clock=self.time.clock, sleep=self.time.sleep, chance=lambda: 0.5)
        self.store.use([pattern])

    async def fetch(self, source: KeySource) -> bytes:
        name = str(source.issuer).rpartition("/")[2]
        self.asked.append(name)
        if self.gate is not None:
            await self.gate.wait()
        if self.down:
            raise FetchError("cannot connect")
        if not name.startswith("t"):
            raise UNKNOWN
        return jwks("rsa-1")

    def source(self, name: str) -> KeySource:
        return self.pattern.of_issuer(f"https://login.example/{name}")

    async def find(self, name: str, kid: str = "rsa-1") -> Key | NoKey:
        """Ask as a request does: once, and again after a fetch."""
        source = self.source(name)
        answer = self.store.find(source, kid, "RS256", 0.0)
        if isinstance(answer, NoKey) and answer.fetch_may_help:
            await self.store.fetch(source, kid)
            answer = self.store.find(source, kid, "RS256", 0.0)
        return answer

    async def good(self, name: str) -> bool:
        """Bring a token that is good in every respect."""
        return isinstance(await self.find(name), Key) and self.store.confirm(self.source(name))

    async def forged(self, name: str) -> Key | NoKey:
        """Bring a token that names a tenant; its signature is never confirmed."""
        return await self.find(name)


@pytest.fixture
async def tenants() -> AsyncIterator[Tenants]:
    made = Tenants()
    yield made
    await made.store.close()


async def test_keys_of_each_issuer_are_fetched_once_when_a_token_names_it(tenants: Tenants) -> None:
    assert not tenants.asked, "nobody is asked before"
    for _ in range(3):
        assert await tenants.good("t1")
    assert await tenants.good("t2")
    assert tenants.asked == ["t1", "t2"]


async def test_one_more_than_the_bound_is_a_stranger_and_nothing_is_fetched(tenants: Tenants) -> None:
    for name in ("t1", "t2", "t3"):
        assert await tenants.good(name)
    answer = await tenants.find("t4")
    assert isinstance(answer, NoKey) and not answer.is_outage and not answer.fetch_may_help
    assert "the 3 issuers of `max_issuers` are there" in answer.stranger
    assert tenants.asked == ["t1", "t2", "t3"]
    assert await tenants.good("t1"), "those who have a place notice nothing"


async def test_two_that_race_for_the_last_place_do_not_both_get_it(tenants: Tenants) -> None:
    assert await tenants.good("t1") and await tenants.good("t2")
    found = await asyncio.gather(tenants.find("t3"), tenants.find("t4"))
    assert all(isinstance(one, Key) for one in found)
    assert tenants.store.confirm(tenants.source("t3"))
    assert not tenants.store.confirm(tenants.source("t4"))


@pytest.mark.parametrize("kind", ["x", "t-other-"], ids=["unknown-to-the-server", "real-but-forged"])
async def test_strangers_fill_no_place(tenants: Tenants, kind: str) -> None:
    # Anybody can name a tenant; who locks others out with names alone would need no token at all.
    for number in range(150):
        await tenants.forged(f"{kind}{number}")
    assert await tenants.good("t1") and await tenants.good("t2") and await tenants.good("t3")
    for number in range(150, 160):
        await tenants.forged(f"{kind}{number}")
    assert await tenants.good("t1") and await tenants.good("t2") and await tenants.good("t3")
    # What is kept: the three, and a bounded row of those that are only tried.
    assert len(tenants.store.status()) <= 3 + 16


async def test_issuer_that_its_server_does_not_know_is_a_stranger_and_no_outage(tenants: Tenants) -> None:
    answer = await tenants.forged("x1")
    assert answer == NoKey(False, False, "the issuer has no keys: found status 404, expected 200")
    assert await tenants.forged("x1") == answer
    assert tenants.asked == ["x1"], "and is not asked for again at once"


async def test_server_that_is_down_is_an_outage_for_new_issuers_and_none_for_known_ones(tenants: Tenants) -> None:
    assert await tenants.good("t1")
    tenants.down = True
    assert await tenants.find("t2") == OUTAGE
    assert await tenants.good("t1")
    tenants.down = False
    await tenants.time.advance(5)
    assert await tenants.good("t2")


async def test_fetches_for_strangers_are_a_burst_and_then_as_many_in_a_cool_down_as_there_are_places(
    tenants: Tenants,
) -> None:
    # An outsider must not make us hammer the issuer: CWE-770.
    for number in range(1000):
        await tenants.forged(f"x{number}")
    assert len(tenants.asked) == 200
    assert await tenants.find("t1") == OUTAGE, "a new one has to come again: 503, and no 401"
    await tenants.time.advance(PATTERN.cooldown_seconds)
    for number in range(1000, 2000):
        await tenants.forged(f"x{number}")
    assert len(tenants.asked) == 203


async def test_flood_of_names_takes_nothing_from_those_who_have_a_place(tenants: Tenants) -> None:
    assert await tenants.good("t1")
    for number in range(1000):
        await tenants.forged(f"x{number}")
    count = len(tenants.asked)
    assert await tenants.good("t1")
    await tenants.time.advance(PATTERN.ttl_seconds)
    assert len(tenants.asked) > count, "their keys are still fetched anew in the background"
    assert await tenants.good("t1")


async def test_slow_strangers_do_not_keep_others_out_but_for_a_bounded_row(tenants: Tenants) -> None:
    tenants.gate = asyncio.Event()
    waiting = [asyncio.create_task(tenants.forged(f"x{number}")) for number in range(40)]
    await settle()
    assert len(tenants.asked) == 16, "no more at a time"
    assert sum(task.done() for task in waiting) == 24, "the others have their answer"
    tenants.gate.set()
    await asyncio.gather(*waiting)
    tenants.gate = None
    assert await tenants.good("t1")


async def test_place_is_given_up_when_its_issuer_was_long_silent_and_another_comes(tenants: Tenants) -> None:
    for name in ("t1", "t2", "t3"):
        assert await tenants.good(name)
    await tenants.time.advance(PATTERN.ttl_seconds + PATTERN.stale_if_error_seconds - 1)
    assert await tenants.good("t2") and await tenants.good("t3")
    assert not await tenants.good("t4")
    await tenants.time.advance(2)
    assert await tenants.good("t4")
    assert not await tenants.good("t1"), "its place is taken"
    assert await tenants.good("t2") and await tenants.good("t3")


async def test_issuer_that_is_silent_is_no_longer_fetched(tenants: Tenants) -> None:
    assert await tenants.good("t1")
    tenants.down = True  # as a tenant that was closed is, for ever
    await tenants.time.advance(PATTERN.ttl_seconds + PATTERN.stale_if_error_seconds + 60)
    count = len(tenants.asked)
    await tenants.time.advance(86400)
    assert len(tenants.asked) == count and not tenants.store.status()
    tenants.down = False
    assert await tenants.good("t1"), "and is found anew when a token comes"


async def test_only_issuers_with_a_place_are_fetched_in_the_background(tenants: Tenants) -> None:
    assert await tenants.good("t1")
    await tenants.forged("t2")
    await tenants.time.advance(PATTERN.ttl_seconds)
    assert tenants.asked.count("t1") == 2 and tenants.asked.count("t2") == 1


async def test_a_reload_keeps_the_issuers_of_a_template_that_stays_and_drops_those_of_one_that_goes(
    tenants: Tenants,
) -> None:
    assert await tenants.good("t1")
    tenants.store.use([KeySource(None, None, max_issuers=3)])
    assert await tenants.good("t1") and tenants.asked == ["t1"]
    tenants.store.use([KeySource(None, None, max_issuers=3, ca_file="/other.pem")])
    assert not tenants.store.status()


async def test_template_alone_is_ready_at_once(tenants: Tenants) -> None:
    assert tenants.store.is_ready()


async def test_another_key_id_of_a_known_issuer_waits_for_its_cool_down_alone(tenants: Tenants) -> None:
    assert await tenants.good("t1") and await tenants.good("t2")
    for number in range(50):
        assert await tenants.find("t1", f"k{number}") == NoKey(False, False)
    assert tenants.asked.count("t1") == 2
    assert await tenants.good("t2")


# Keys of a file.


async def test_keys_of_a_file_are_there_at_once_and_never_fetched() -> None:
    tenants = Tenants()
    source = KeySource(None, None, ttl_seconds=float("inf"), files=("jwks.json",), keys=read_key_set(jwks("rsa-1")))

    def ask(kid: str) -> Any:
        return tenants.store.find(source, kid, "RS256", 0.0)

    assert isinstance(ask("rsa-1"), Key), "also before it is used: a request under an earlier configuration"
    assert ask("k2") == NoKey(False, False)
    tenants.store.use([source])
    assert isinstance(ask("rsa-1"), Key) and tenants.store.is_ready()
    assert ask("k2") == NoKey(False, False)
    await tenants.store.fetch(source, "k2")
    await tenants.time.advance(10 * 365 * 86400)
    assert isinstance(ask("rsa-1"), Key) and not tenants.asked
    (status,) = tenants.store.status()
    assert (status.label, status.state, status.kids) == ("jwks.json", "fresh", ("rsa-1",))
    assert status.next_refresh_seconds is None
    await tenants.store.close()
    assert ask("rsa-1") == OUTAGE
