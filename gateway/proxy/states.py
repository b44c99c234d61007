"""Where an exchange stands, and where it may go from there.

READING --decided--> SENDING --a head--> RESPONDING --whole--> DELIVERING --taken--> ENDED
   |                    |  \\--101--> TUNNELING --one side ends------------------------^
   +---> WAITING -------+        a refusal, a break, a client that left: from each of them to the end
   +---> HOLDING -------+        each of these two may follow the other
"""

from __future__ import annotations

from typing import Final


class State:
    """Where an exchange stands. Compared by identity: an Enum is hashed in Python, and each request moves."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


READING: Final = State("READING")  # nothing is decided
WAITING: Final = State("WAITING")  # for a key, a session, a place in a budget, an answer to a look-up, or ourselves
HOLDING: Final = State("HOLDING")  # allowed, as far as is known without the body: until all of that is here
SENDING: Final = State("SENDING")  # allowed: the request is on its way up, and no response has begun
RESPONDING: Final = State("RESPONDING")
TUNNELING: Final = State("TUNNELING")
DELIVERING: Final = State("DELIVERING")  # the response is whole, and the client has not taken it
ENDED: Final = State("ENDED")

MOVES: Final = {
    READING: (WAITING, HOLDING, SENDING, DELIVERING),
    WAITING: (WAITING, HOLDING, SENDING, DELIVERING, ENDED),
    HOLDING: (WAITING, SENDING, DELIVERING, ENDED),
    SENDING: (RESPONDING, TUNNELING, DELIVERING, ENDED),
    RESPONDING: (DELIVERING, ENDED),
    TUNNELING: (ENDED,),
    DELIVERING: (ENDED,),
    ENDED: (),
}


class IllegalMoveError(Exception):
    """An event that cannot come now: there is a mistake in our own code."""
