"""What an exchange waits for while others see to it: a key, a session, a place in a budget, an answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.proxy.host import Lease

Ask = Callable[[Callable[[Any], None]], Callable[[], object]]  # told whom to tell; returns what gives it up


class Errand:
    """One of them, under way. `act` is told what came of it, once, also if that was there at once.

    `over_at` is when it has been too long, in seconds of the wire's clock; `inf` where it has a clock of its own.
    """

    __slots__ = ("_act", "_give_up", "_is_over", "over_at")

    def __init__(self, act: Callable[[Any], None], over_at: float) -> None:
        self._act, self.over_at = act, over_at
        self._give_up: Callable[[], object] | None = None
        self._is_over = False

    def begin(self, ask: Ask) -> None:
        """Send for it."""
        give_up = ask(self.came)
        if not self._is_over:
            self._give_up = give_up

    def came(self, told: Any) -> None:
        """Whoever was asked says what came of it."""
        if not self._is_over:
            self._is_over, self._give_up = True, None
            self._act(told)
        elif isinstance(told, Lease):
            told.release()  # too late: nobody is there to give it back

    def give_up(self) -> None:
        """Nobody waits for it any more."""
        self._is_over, give_up, self._give_up = True, self._give_up, None
        if give_up is not None:
            give_up()
