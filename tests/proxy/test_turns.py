"""Large bodies are read one at a time, with turns of the loop between them, callers one after another."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from gateway.proxy.turns import BETWEEN, Act, Turns


class Loop:
    """What is to be done in the next turn."""

    def __init__(self) -> None:
        self.next: list[Act] = []

    def turn(self) -> None:
        due, self.next = self.next, []
        for act in due:
            act()


def waiting(*names: str) -> tuple[Loop, list[str], list[Callable[[], object]]]:
    """Have these wait, each for the caller of its first letter; gives what is done and what gives each up."""
    loop, done = Loop(), list[str]()
    turns = Turns(lambda act: loop.next.append(act))
    return loop, done, [turns.wait(name[0], partial(done.append, name)) for name in names]


def test_one_at_a_time_and_callers_one_after_another() -> None:
    loop, done, _ = waiting("a1", "a2", "a3", "b1", "c1", "b2")
    seen = []
    while loop.next:
        assert len(loop.next) == 1
        loop.turn()
        seen.append(len(done))
    assert done == ["a1", "b1", "c1", "a2", "b2", "a3"]
    assert seen == [number for number in range(1, 6) for _ in range(BETWEEN + 1)] + [6]


def test_who_gives_up_is_not_waited_for() -> None:
    loop, done, give_up = waiting("a1", "a2", "b1")
    give_up[0]()
    give_up[2]()
    give_up[2]()
    while loop.next:
        loop.turn()
    assert done == ["a2"]
    give_up[1]()


def test_who_comes_while_nobody_waits_is_next() -> None:
    loop, done, give_up = waiting("a1")
    give_up[0]()
    loop.turn()
    assert done == [] and loop.next == []
