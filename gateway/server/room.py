"""How many connections of clients there may be, and which close first when room gets short. No I/O but `close`.

Both wires, and whoever is still shaking hands for TLS, register here. Nothing that a stranger does makes his connection
younger: neither bytes of a head, nor requests that are refused, nor answers that he does not read (CWE-770).

    stranger --an allowed request--> serving --it ends--> guest (a public route) or member (a verified caller)
       |                                |                   |                       |
       |                                |                   +-- 2. at the limit     +-- 4. then these
       |                                +-- 3. of guests, the one that began first; of members never
       +-- 1. from nine tenths on
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ipaddress import IPv6Address
from typing import Literal

from gateway.policy.addresses import UNKNOWN, canonical_address, read_address

Why = Literal["full", "address"]  # no room for anybody, or too many of one address
_NETWORK_BITS = 64  # of an IPv6 address: whoever has one has all behind it


class Place:
    """One connection's place in the room. One that is not, or no longer, in a room does nothing."""

    __slots__ = ("_is_member", "_room", "_was_allowed", "address", "close")

    def __init__(self, room: Room | None, address: str, close: Callable[[], object]) -> None:
        self._room = room
        self.address, self.close = address, close
        self._was_allowed = self._is_member = False

    def serve(self, *, is_member: bool) -> None:
        """An allowed request begins. `is_member`: its caller is known, so the connection stays until it has ended."""
        if self._room is not None:
            self._was_allowed = True
            self._is_member = self._is_member or is_member
            self._room.work(self, is_member=self._is_member)

    def rest(self) -> None:
        """The request has ended; where none was allowed, nothing changes."""
        if self._room is not None and self._was_allowed:
            self._room.wait(self, is_member=self._is_member)

    def leave(self) -> None:
        """The connection has ended."""
        room, self._room = self._room, None
        if room is not None:
            room.leave(self)


class Room:
    """The connections of one process. `is_exempt` says of a peer that others speak through it: it has no limit."""

    def __init__(self, limit: int, per_address: int, is_exempt: Callable[[str], bool] = lambda peer: False) -> None:
        self.limit, self.per_address = limit, per_address
        self.count = 0
        self.shed: dict[str, int] = {"full": 0, "address": 0}  # closed, to make room
        self.refused: dict[str, int] = {"full": 0, "address": 0}  # not let in
        self._is_exempt = is_exempt
        # Who may be closed, each in the order in which they came, or have had their last answer.
        self._strangers: dict[Place, None] = {}
        self._guests: dict[Place, None] = {}
        # Anybody can have a request on a public route take as long as he likes: by a slow upload, or reading nothing.
        self._busy_guests: dict[Place, None] = {}
        self._members: dict[Place, None] = {}
        self._by_address: dict[str, dict[Place, None]] = {}

    def enter(self, peer: str, close: Callable[[], object]) -> Place:
        """Return a place for a new connection, made by closing others if need be; without one it is itself closed."""
        address = _address_of(peer)
        same = self._by_address.get(address, {})
        is_over = len(same) >= self.per_address and not self._is_exempt(peer)
        if is_over and not self._close_one_of(same):
            return self._refuse(address, close, "address")
        if not self._make_room():
            return self._refuse(address, close, "full")
        place = Place(self, address, close)
        self._by_address.setdefault(address, same)[place] = None
        self._strangers[place] = None
        self.count += 1
        return place

    def work(self, place: Place, *, is_member: bool) -> None:
        """A place is served from now on."""
        self.wait_no_longer(place)
        if not is_member:
            self._busy_guests[place] = None

    def wait(self, place: Place, *, is_member: bool) -> None:
        """A place is idle from now on."""
        self.wait_no_longer(place)
        (self._members if is_member else self._guests)[place] = None

    def wait_no_longer(self, place: Place) -> None:
        """A place is in no list of those that may be closed."""
        for waiting in (self._busy_guests, self._members, self._strangers, self._guests):
            if place in waiting:
                del waiting[place]
                return

    def leave(self, place: Place) -> None:
        """A place is free."""
        self.wait_no_longer(place)
        self.count -= 1
        same = self._by_address[place.address]
        del same[place]
        if not same:
            del self._by_address[place.address]

    def _refuse(self, address: str, close: Callable[[], object], why: Why) -> Place:
        self.refused[why] += 1
        close()
        return Place(None, address, close)

    def _make_room(self) -> bool:
        """Close one, from nine tenths of the limit on; False if there is no room and nobody to close."""
        spare = max(1, self.limit // 10)
        if self.count < self.limit - spare:
            return True
        # A tenth is left to those who have only just come, whoever holds the rest: an honest caller needs a moment.
        if len(self._strangers) >= spare:
            return self._close_first_of(self._strangers)
        if self.count < self.limit:
            return True
        return any(map(self._close_first_of, (self._guests, self._busy_guests, self._members, self._strangers)))

    def _close_first_of(self, waiting: dict[Place, None]) -> bool:
        for place in waiting:
            self._close(place, "full")
            return True
        return False

    def _close_one_of(self, same: dict[Place, None]) -> bool:
        """Close one of an address's own, the least deserving: behind one address there may be more than one person."""
        for waiting in (self._strangers, self._guests, self._busy_guests, self._members):
            for place in same:
                if place in waiting:
                    self._close(place, "address")
                    return True
        return False

    def _close(self, place: Place, why: Why) -> None:
        self.shed[why] += 1
        place.leave()
        place.close()


OUTSIDE = Place(None, "", lambda: None)  # of a connection that has no place, or none yet


def _address_of(peer: str) -> str:
    """Return what counts as one address: of IPv6, the network that one subscriber is given."""
    address = read_address(peer)
    if isinstance(address, IPv6Address):
        return f"{int(address) >> _NETWORK_BITS:x}/{_NETWORK_BITS}"
    return peer if address is None else str(address)


def peer_of(transport: asyncio.BaseTransport | None) -> str:
    """Return the address at the other end of the socket, as it is written everywhere."""
    peer = transport.get_extra_info("peername") if transport is not None else None
    return canonical_address(str(peer[0])) if isinstance(peer, tuple) else UNKNOWN
