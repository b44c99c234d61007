"""What a gateway knows of a store that it shares, without its client: that takes long to import."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from gateway.policy.budgets import Claim, Left, Verdict

Then = Callable[[Verdict | None], None]  # told a verdict, or None: there was none in time


class StoreDownError(Exception):
    """The store gave no answer in time, or a bad one. Whoever asked goes on without it."""


class Held:
    """A stream's places in the store, until they are given back."""

    __slots__ = ("keys", "lease")

    def __init__(self, lease: bytes, keys: tuple[bytes, ...]) -> None:
        self.lease, self.keys = lease, keys


class SharedStore(Protocol):
    """A store that one process asks. `is_up` None: it was not asked yet; `changed_at` is Unix seconds."""

    is_up: bool | None
    changed_at: float | None
    problem: str  # why it is down
    failures: int  # how often it went down
    when_up: list[Callable[[], None]]

    def begin(self) -> None:
        """Connect."""
        ...

    async def ask(self, work: Callable[[Any], Awaitable[Any]], within_seconds: float | None = None) -> Any:
        """Return what the work got of the store's client. Raises `StoreDownError`."""
        ...

    async def close(self) -> None:
        """Let go of it."""
        ...


class Counting(Protocol):
    """Counts that several processes share."""

    held: set[Held]

    def take(self, claims: Sequence[Claim], then: Then, *, is_stream: bool) -> Held | None:
        """Ask for one request. With `is_stream` its places are held under what is returned."""
        ...

    def keep(self, held: Held) -> None:
        """Renew places from now on."""
        ...

    def give_back(self, held: Held) -> None:
        """A stream has ended."""
        ...

    def held_for(self, claims: Sequence[Claim]) -> Held | None:
        """Return places of a stream that nobody was asked for."""
        ...

    async def left(self, claims: Sequence[Claim]) -> list[Left]:
        """Return what is left of each, and count nothing. Raises `StoreDownError`."""
        ...

    async def answered(self) -> None:
        """Return once nobody waits for a verdict any more."""
        ...

    async def close(self) -> None:
        """Give back what is held, and stop."""
        ...
