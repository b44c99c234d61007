"""The one bounded memory of what comes again: halved when full, in whatever its bound is counted."""

from __future__ import annotations

from gateway.policy.memory import Remembered
from gateway.policy.seen import SeenOnce


def test_memory_holds_as_many_entries_as_its_bound_and_half_of_them_go_for_the_next() -> None:
    memory: Remembered[str, int] = Remembered(4)
    for number, key in enumerate("abcd"):
        memory.keep(key, number)
    assert memory.known == {"a": 0, "b": 1, "c": 2, "d": 3}
    memory.keep("e", 4)
    assert memory.known == {"b": 1, "d": 3, "e": 4}
    for number, key in enumerate("fg"):
        memory.keep(key, number)
    assert list(memory.known) == ["d", "f", "g"], "the entry that halved it counts as well"


def test_more_than_there_is_room_for_in_turn_is_found_one_time_in_three() -> None:
    memory: Remembered[int, None] = Remembered(4096)
    hits = 0
    for number in [*range(5000)] * 4:
        if number in memory.known:
            hits += 1
        else:
            memory.keep(number, None)
    assert hits > 3 * 5000 / 3, "emptied whole, it would find none"


def test_memory_is_bounded_by_the_weight_of_its_entries() -> None:
    memory: Remembered[str, None] = Remembered(10, len)
    memory.keep("aaaa", None)
    memory.keep("bbbbbb", None)
    assert list(memory.known) == ["aaaa", "bbbbbb"]
    memory.keep("c", None)
    assert list(memory.known) == ["bbbbbb", "c"]
    memory.keep("d" * 11, None)
    assert list(memory.known) == ["d" * 11], "what alone is over the bound stays until the next"
    memory.keep("e", None)
    assert list(memory.known) == ["e"]


def test_place_of_what_is_forgotten_is_free_again() -> None:
    memory: Remembered[str, None] = Remembered(10, len)
    memory.keep("aaaaaa", None)
    memory.keep("bbbb", None)
    memory.forget("aaaaaa")
    memory.keep("cccccc", None)
    assert list(memory.known) == ["bbbb", "cccccc"]


def test_mark_is_new_once_and_its_second_time_takes_no_place() -> None:
    seen = SeenOnce()
    assert [seen.is_new("a") for _ in range(4)] == [True, False, True, False]
    for number in range(10_000):
        assert seen.is_new(number)
        assert not seen.is_new(number)
    assert len(seen) == 0
    seen.is_new("b")
    for number in range(8191):
        seen.is_new(number)
    assert not seen.is_new("b"), "marks that came twice before did not fill it"
    assert seen.is_new("b") and seen.is_new("c")
    assert len(seen) == 4097
