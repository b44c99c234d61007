"""Windows in memory, by a clock that is given: exact, the same as the library `limits` says, and bounded."""

from __future__ import annotations

import random

import pytest
from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from gateway.policy.budgets import Budget, Claim, Rate
from gateway.stores.memory import Memory
from gateway.stores.windows import Windows


def _taken(windows: Windows, rate: Rate, now: float, key: bytes = b"k") -> bool:
    count, _ = windows.count(key, rate, now)
    if count < rate.count:
        windows.add(key, rate, now)
    return count < rate.count


def test_a_window_slides_and_is_exact_at_its_border() -> None:
    windows, rate = Windows(), Rate(3, 10.0)
    assert [_taken(windows, rate, now) for now in (0.0, 4.0, 9.0, 9.5, 9.999)] == [True, True, True, False, False]
    assert windows.count(b"k", rate, 9.5) == (3, 0.5)
    assert [_taken(windows, rate, now) for now in (10.0, 10.0, 13.999, 14.0, 18.999, 19.0)] == [
        True, False, False, True, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize("count", [1, 3, 50, 1000, 1001, 5000])
def test_never_more_than_the_rate_pass_in_any_window(count: int) -> None:
    chance = random.Random(count)  # noqa: S311
    windows, rate, now, passed = Windows(), Rate(count, 60.0), 1000.0, list[float]()
    for _ in range(8 * count):
        now += chance.expovariate(count / 20)
        if _taken(windows, rate, now):
            passed.append(now)
    for number, begin in enumerate(passed):
        within = next((n for n in range(number, len(passed)) if passed[n] >= begin + 60.0), len(passed)) - number
        assert within <= count
        if len(passed) > 4 * count:
            break
    # And no fewer than could, but for the rounding of long ones.
    spent = passed[-1] - passed[0]
    assert len(passed) >= count * (spent // (60.0 * 1.002))


def test_it_decides_as_the_library_limits_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(40):
        chance = random.Random(seed)  # noqa: S311
        count, seconds = chance.randint(1, 20), chance.randint(1, 30)
        moments = [1_000_000.0]
        monkeypatch.setattr("time.time", lambda moments=moments: moments[0])
        theirs, item = MovingWindowRateLimiter(MemoryStorage()), RateLimitItemPerSecond(count, seconds)
        ours, rate = Windows(), Rate(count, float(seconds))
        for _ in range(200):
            moments[0] += chance.expovariate(1.5 * count / seconds)
            assert _taken(ours, rate, moments[0]) == theirs.hit(item, "k"), (seed, moments)
        monkeypatch.undo()


def test_callers_without_end_take_no_room_without_end() -> None:
    windows, rate = Windows(max_weight=17 * 100), Rate(5, 60.0)
    for number in range(10_000):
        windows.add(b"%d" % number, rate, number / 1000)  # all within one window
    assert len(windows) == 100
    assert windows.count(b"9999", rate, 10.0)[0] == 1  # who came last is known
    for number in range(300):
        windows.add(b"later%d" % number, rate, 1000.0 + number / 1000)
    assert windows.count(b"9999", rate, 1000.0)[0] == 0


def test_who_is_over_makes_room_for_others() -> None:
    windows, rate = Windows(), Rate(5, 1.0)
    for number in range(50_000):
        windows.add(b"%d" % number, rate, number / 100)  # a hundred in each window
    assert len(windows) <= 102


def test_what_one_claim_refuses_no_other_counts() -> None:
    memory = Memory()
    many, few = (
        Budget("many", "provider", streams=9, requests=Rate(9, 60.0)),
        Budget("few", "subject", requests=Rate(1, 60.0)),
    )
    claims = [Claim(many, b"m", 9, many.requests), Claim(few, b"f", None, few.requests)]
    assert memory.take(claims, 0.0, is_stream=True).refused is None
    for _ in range(20):
        verdict = memory.take(claims, 1.0, is_stream=True)
        assert (verdict.refused, verdict.what, verdict.wait_seconds) == (1, "requests", 59.0)
        assert [one.requests for one in verdict.left] == [8, 0] and verdict.left[0].streams == 8
    assert memory.open_streams == 1
    memory.give_back(claims)
    assert memory.open_streams == 0
