"""How many connections of clients there may be, and which close first when room gets short. No I/O but `close`.

Both wires, and whoever is still shaking hands for TLS, register here. Nothing that a stranger does makes his connection
younger: neither bytes of a head, nor requests that are refused, nor responses that he does not read (CWE-770).

    stranger --an allowed request--> serving --it ends--> guest (a public route) or member (a verified caller)
       |                                |                   |                       |
       |                                |                   +-- 2. at the limit     +-- 4. then these
       |                                +-- 3. of guests, the one that began first; of members never
       +-- 1. from nine tenths on
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Literal

from gateway.policy.addresses import UNKNOWN, canonical_address, network_of

Why = Literal["full", "address"]  # no room for anybody, or too many of one address


class Place:
    """One connection's place in the room. One that is not, or no longer, in a room does nothing."""

    __slots__ = ("_is_member", "_room", "_was_allowed", "address", "among", "close")

    def __init__(self, room: Room | None, address: str, close: Callable[[], object]) -> None:
        self._room = room
        self.address, self.close = address, close
        self.among: dict[Place, None] = {}  # those of its kind, in the order in which they may be closed
        self._was_allowed = self._is_member = False

    def serve(self, is_member: bool) -> None:
        """An allowed request begins. `is_member`: its caller is known, so the connection stays until it has ended."""
        room = self._room
        if room is not None:
            self._was_allowed = True
            self._is_member = self._is_member or is_member
            self._go(room.busy_members if self._is_member else room.busy_guests)

    def rest(self) -> None:
        """The request has ended; where none was allowed, nothing changes."""
        room = self._room
        if room is not None and self._was_allowed:
            self._go(room.members if self._is_member else room.guests)
            if room.came and not room.is_settled_soon:
                room.settle()

    def leave(self) -> None:
        """The connection has ended."""
        room, self._room = self._room, None
        if room is not None:
            self.among.pop(self, None)
            room.leave(self)

    def _go(self, among: dict[Place, None]) -> None:
        self.among.pop(self, None)
        self.among = among
        among[self] = None


class Room:
    """The connections of one process. `is_exempt` says of a peer that others speak through it: it has no limit.

    In one turn of the loop more may be accepted than a tenth of the room, before a byte of any was read. So nobody is
    closed for them until it was: `soon` calls what it is given then, and meanwhile so many as `most_unread` may be
    there beyond the limit, for each of whom somebody else can be closed. Where all of those had a request again by
    then, whoever is first done with his goes.
    """

    def __init__(
        self,
        limit: int,
        per_address: int,
        most_unread: int = 1,
        *,
        is_exempt: Callable[[str], bool] = lambda peer: False,
        soon: Callable[[Callable[[], None]], object] = lambda tidy: tidy(),
    ) -> None:
        self.limit, self.per_address = limit, per_address
        self._most_unread, self._soon = most_unread, soon
        # For whom somebody is still to be closed; not more than came, however low a reload set the limit.
        self.came = 0
        self.is_settled_soon = False
        self.count = 0
        self.shed: dict[str, int] = {"full": 0, "address": 0}  # closed, to make room
        self.refused: dict[str, int] = {"full": 0, "address": 0}  # not let in
        self._is_exempt = is_exempt
        # Who may be closed, each in the order in which they came, or have had their last response.
        self._strangers: dict[Place, None] = {}
        self.guests: dict[Place, None] = {}
        # Anybody can have a request on a public route take as long as he likes: by a slow upload, or reading nothing.
        self.busy_guests: dict[Place, None] = {}
        self.members: dict[Place, None] = {}
        self.busy_members: dict[Place, None] = {}  # never closed
        self._by_address: dict[str, dict[Place, None]] = {}

    def enter(self, peer: str, close: Callable[[], object]) -> Place:
        """Return a place for a new connection, made by closing others if need be; without one it is itself closed."""
        address = network_of(peer)
        same = self._by_address.get(address, {})
        is_over = len(same) >= self.per_address and not self._is_exempt(peer)
        if is_over and not self._close_one_of(same):
            return self._refuse(address, close, "address")
        self.came += 1
        if self.count >= self.limit and not self._can_wait():
            self._tidy(coming=1)
            if self.came:
                self.came -= 1
                return self._refuse(address, close, "full")
        place = Place(self, address, close)
        self._by_address.setdefault(address, same)[place] = None
        place.among = self._strangers
        self._strangers[place] = None
        self.count += 1
        if self.count <= self.limit - self._spare:
            self.came = 0
        elif self.came and not self.is_settled_soon:
            self.is_settled_soon = True
            self._soon(self.settle)
        return place

    def leave(self, place: Place) -> None:
        """A place is free."""
        self.count -= 1
        same = self._by_address[place.address]
        del same[place]
        if not same:
            del self._by_address[place.address]

    def _refuse(self, address: str, close: Callable[[], object], why: Why) -> Place:
        self.refused[why] += 1
        close()
        return Place(None, address, close)

    @property
    def _spare(self) -> int:
        """A tenth is left to those who have only just come, whoever holds the rest: an honest caller needs a moment."""
        return max(1, self.limit // 10)

    def settle(self) -> None:
        """Close as many as there are too many, as far as there is somebody to close."""
        self.is_settled_soon = False
        self._tidy()

    def _can_wait(self) -> bool:
        """True if one more may be there beyond the limit for now, and somebody who was read can be closed for it."""
        beyond = self.count - self.limit
        others = len(self.guests) + len(self.busy_guests) + len(self.members) + len(self._strangers) - self.came + 1
        return beyond < min(self._most_unread, others)

    def _tidy(self, coming: int = 0) -> None:
        """Close one for each that came, from nine tenths of the limit on, until there is room or nobody to close.

        `coming`: how many more there are to be room for.
        """
        while self.came and self.count + coming > self.limit - self._spare and len(self._strangers) > self._spare:
            self._close_first_of(self._strangers)
        for waiting in self._in_order():
            while self.came and self.count + coming > self.limit and waiting:
                self._close_first_of(waiting)
        self.came = max(0, min(self.came, self.count + coming - self.limit))

    def _close_first_of(self, waiting: dict[Place, None]) -> None:
        self.came -= 1
        self._close(next(iter(waiting)), "full")

    def _in_order(self) -> tuple[dict[Place, None], ...]:
        """Return who may be closed at the limit, who first."""
        return self.guests, self.busy_guests, self.members, self._strangers

    def _close_one_of(self, same: dict[Place, None]) -> bool:
        """Close one of an address's own, the least deserving: behind one address there may be more than one person."""
        for waiting in (self._strangers, self.guests, self.busy_guests, self.members):
            for place in same:
                if place in waiting:
                    self._close(place, "address")
                    return True
        return False

    def _close(self, place: Place, why: Why) -> None:
        self.shed[why] += 1
        place.leave()
        place.close()


def once_read(act: Callable[[], None]) -> None:
    """Call a function when what had come with the connections just made has been read: the loop reads in between."""
    loop = asyncio.get_running_loop()
    loop.call_soon(loop.call_soon, act)


OUTSIDE: Final = Place(None, "", lambda: None)  # of a connection that has no place, or none yet


def peer_of(transport: asyncio.BaseTransport | None) -> str:
    """Return the address at the other end of the socket, as it is written everywhere."""
    peer = transport.get_extra_info("peername") if transport is not None else None
    return canonical_address(str(peer[0])) if isinstance(peer, tuple) else UNKNOWN
