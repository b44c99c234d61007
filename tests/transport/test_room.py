"""Who may stay when room gets short: no sockets, and the order of coming is the only clock."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from gateway.config.model import Limits
from gateway.transport.crowd import Crowd
from gateway.transport.descriptors import backlog_for, most_connections, room_for, unread_for
from gateway.transport.room import OUTSIDE, Place, Room


class Hall:
    """A room, and who was closed in it, by name."""

    def __init__(self, limit: int, per_address: int = 1000, exempt: str = "", *, most_unread: int = 0) -> None:
        self.soon: list[Callable[[], None]] = []
        late: dict[str, Any] = {"soon": self.soon.append} if most_unread else {}
        self.room = Room(limit, per_address, most_unread or 1, is_exempt=lambda peer: peer == exempt, **late)
        self.closed: list[str] = []

    def read(self) -> None:
        """Let what waits for the bytes of newcomers go on."""
        while self.soon:
            self.soon.pop(0)()

    def enter(self, name: str, peer: str = "192.0.2.1") -> Place:
        return self.room.enter(peer, lambda: self.closed.append(name))

    def crowd(self, count: int, name: str = "stranger", peer: str = "192.0.2.1") -> list[Place]:
        return [self.enter(f"{name} {number}", peer) for number in range(count)]


def served(place: Place, *, is_member: bool = True) -> Place:
    place.serve(is_member=is_member)
    place.rest()
    return place


def test_below_nine_tenths_nobody_is_closed() -> None:
    hall = Hall(100)
    hall.crowd(90)
    assert hall.closed == [] and hall.room.count == 90


def test_from_nine_tenths_on_the_oldest_strangers_close_first() -> None:
    hall = Hall(100)
    hall.crowd(93)
    assert hall.closed == ["stranger 0", "stranger 1", "stranger 2"]
    assert hall.room.count == 90 and hall.room.shed == {"full": 3, "address": 0}


def test_refused_requests_make_a_stranger_no_younger() -> None:
    hall = Hall(100)
    oldest, *_ = hall.crowd(90)
    oldest.rest()  # a request of his has ended, and it was not allowed
    hall.enter("honest")
    assert hall.closed == ["stranger 0"]


def test_who_was_allowed_once_stays_while_strangers_are_there() -> None:
    hall = Hall(100)
    served(hall.enter("member"))
    served(hall.enter("guest"), is_member=False)
    hall.crowd(1000)
    assert "member" not in hall.closed and "guest" not in hall.closed


def test_connection_on_which_a_known_caller_is_served_is_never_closed() -> None:
    hall = Hall(10, per_address=5)
    for number in range(5):
        hall.enter(f"busy {number}").serve(is_member=True)
    hall.crowd(100, "same address")
    hall.crowd(100, "other", "192.0.2.2")
    assert not any(name.startswith("busy") for name in hall.closed)


def test_strangers_do_not_hold_the_room_by_what_is_public() -> None:
    # A slow upload, or an answer that nobody reads, on a public route: 320 of these shut everybody out.
    hall = Hall(10)
    busy = [hall.enter(f"busy {number}") for number in range(10)]
    for place in busy:
        place.serve(is_member=False)
    member = hall.enter("member")
    member.serve(is_member=True)
    busy[1].rest()
    served(hall.enter("idle goes first"))
    hall.enter("oldest next").serve(is_member=True)
    assert hall.closed == ["busy 0", "busy 1", "busy 2"] and hall.room.count == 10
    for number in range(6):
        hall.enter(f"known {number}").serve(is_member=True)
    assert not {"member", "oldest next"} & set(hall.closed)


def test_an_address_that_is_full_gives_up_what_is_public_before_what_is_known() -> None:
    hall = Hall(100, per_address=3)
    for number in range(3):
        hall.enter(f"busy {number}").serve(is_member=number == 0)
    hall.enter("new").serve(is_member=True)
    assert hall.closed == ["busy 1"]


def test_at_the_limit_guests_close_before_members_each_longest_idle_first() -> None:
    hall = Hall(10)
    members = [served(hall.enter(f"member {number}")) for number in range(5)]
    guests = [served(hall.enter(f"guest {number}"), is_member=False) for number in range(5)]
    served(members[0])
    served(guests[0], is_member=False)
    for number in range(9):
        served(hall.enter(f"new {number}"))
    expected = ["guest 1", "guest 2", "guest 3", "guest 4", "guest 0", "member 1", "member 2", "member 3", "member 4"]
    assert hall.closed == expected and hall.room.count == 10


def test_a_tenth_is_left_to_newcomers_whoever_holds_the_rest() -> None:
    hall = Hall(100)
    for number in range(100):
        served(hall.enter(f"guest {number}"), is_member=False)
    hall.crowd(9, "new")
    assert all(name.startswith("guest") for name in hall.closed), "newcomers must not push each other out"


def test_nobody_is_closed_for_a_batch_before_its_bytes_were_read() -> None:
    # With few descriptors a tenth is sixteen, and a burst of reconnecting strangers pushed out an honest caller who
    # had come in the same turn of the loop, with his request unread: he saw his connection closed.
    hall = Hall(20, most_unread=10)
    for number in range(20):
        served(hall.enter(f"guest {number}"), is_member=False)
    hall.read()
    honest = hall.enter("honest")
    hall.crowd(8)
    assert hall.closed == [] and hall.room.count == 29
    honest.serve(is_member=True)
    hall.read()
    assert "honest" not in hall.closed and hall.room.count == 20


def test_no_more_come_unread_than_descriptors_are_kept_for() -> None:
    hall = Hall(20, most_unread=10)
    for number in range(20):
        hall.enter(f"busy {number}").serve(is_member=True)
    hall.crowd(100)
    assert hall.room.count <= 30 and len(hall.closed) + hall.room.count == 120
    hall.read()
    assert hall.room.count == 20 and not any(name.startswith("busy") for name in hall.closed)
    assert unread_for(512) + backlog_for(512) + most_connections(512) <= 512


def test_a_batch_that_is_served_at_once_stays_within_the_limit() -> None:
    # Its own strangers are nobody to close for it: all of them may turn out to be known, with streams for hours.
    hall = Hall(20, most_unread=10)
    for number in range(19):
        hall.enter(f"busy {number}").serve(is_member=True)
    hall.read()
    for place in hall.crowd(10, "known"):
        place.serve(is_member=True)
    hall.read()
    assert hall.room.count == 20


def test_those_beyond_the_limit_go_when_the_next_request_ends() -> None:
    # Who was idle when they came may have a request again when the room is looked at: then nobody can be closed yet.
    hall = Hall(20, most_unread=10)
    members = [served(hall.enter(f"member {number}")) for number in range(20)]
    hall.read()
    for place in hall.crowd(5, "known"):
        place.serve(is_member=True)
    for member in members:
        member.serve(is_member=True)
    hall.read()
    assert hall.room.count == 25
    for member in members[:7]:
        member.rest()
    assert hall.room.count == 20 and hall.closed == [f"member {number}" for number in range(5)]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_the_room_is_never_much_too_full_and_never_for_long(seed: int) -> None:
    chance = Random(seed)  # noqa: S311  # chance that can be repeated
    hall, places = Hall(20, per_address=15, most_unread=10), list[Place]()
    room = hall.room
    for number in range(3000):
        match chance.choice(["enter", "enter", "enter", "serve", "serve", "rest", "leave", "read"]):
            case "enter":
                places.append(hall.enter(str(number), f"192.0.2.{chance.randrange(3)}"))
            case "read":
                hall.read()
                idle = len(room.guests) + len(room.busy_guests) + len(room.members)
                assert room.count <= 20 or not idle, "somebody could be closed"
            case what if places:
                place = chance.choice(places[-40:])
                if what == "serve":
                    place.serve(is_member=chance.random() < 0.7)
                elif what == "rest":
                    place.rest()
                else:
                    place.leave()
        assert room.count <= 30
    assert sum(room.shed.values()) + sum(room.refused.values()) == len(hall.closed) > 500


def test_who_finds_nobody_to_close_is_closed_and_counted() -> None:
    hall = Hall(10)
    for number in range(10):
        hall.enter(f"busy {number}").serve(is_member=True)
    late = hall.enter("late")
    assert hall.closed == ["late"] and hall.room.refused == {"full": 1, "address": 0} and hall.room.count == 10
    late.serve(is_member=True)
    late.rest()
    late.leave()
    assert hall.room.count == 10


def test_address_over_its_limit_closes_its_own() -> None:
    hall = Hall(100, per_address=5)
    hall.enter("other", "192.0.2.2")
    served(hall.enter("member"))
    hall.crowd(6)
    assert hall.closed == ["stranger 0", "stranger 1"] and hall.room.shed == {"full": 0, "address": 2}


def test_address_whose_connections_are_all_served_gets_no_more() -> None:
    hall = Hall(100, per_address=5)
    for place in hall.crowd(5):
        place.serve(is_member=True)
    hall.enter("late")
    assert hall.closed == ["late"] and hall.room.refused == {"full": 0, "address": 1}
    hall.enter("other", "192.0.2.2")
    assert hall.closed == ["late"]


def test_trusted_proxy_has_no_limit_of_its_own() -> None:
    hall = Hall(100, per_address=5, exempt="192.0.2.1")
    hall.crowd(50)
    assert hall.closed == []


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        pytest.param("2001:db8::1", "2001:db8::ffff", True, id="one-64"),
        pytest.param("2001:db8:0:1::1", "2001:db8:0:2::1", False, id="two-64"),
        pytest.param("::ffff:192.0.2.1", "192.0.2.1", True, id="mapped"),
        pytest.param("::ffff:192.0.2.1", "::ffff:192.0.2.2", False, id="two-mapped"),
        pytest.param("fe80::1%eth0", "fe80::2%eth0", True, id="scoped"),
        pytest.param("192.0.2.1", "192.0.2.2", False, id="v4"),
    ],
)
def test_what_counts_as_one_address(one: str, other: str, is_same: bool) -> None:
    hall = Hall(100, per_address=1)
    hall.enter("first", one)
    hall.enter("second", other)
    assert hall.closed == (["first"] if is_same else [])


def test_leaving_twice_or_after_being_closed_counts_once() -> None:
    hall = Hall(10)
    places = hall.crowd(12)
    for place in [*places, *places]:
        place.leave()
        place.rest()
        place.serve(is_member=True)
    assert hall.room.count == 0 and not hall.room._by_address
    assert not (hall.room._strangers or hall.room.guests or hall.room.members)


def test_limit_that_a_reload_lowers_is_reached_without_closing_all_at_once() -> None:
    hall = Hall(1000)
    hall.crowd(500)
    hall.room.limit = 100
    hall.crowd(10, "new")
    assert len(hall.closed) == 10 and hall.room.count == 500


def test_a_place_outside_does_nothing() -> None:
    OUTSIDE.serve(is_member=True)
    OUTSIDE.rest()
    OUTSIDE.leave()


@pytest.mark.parametrize(
    ("descriptors", "most"),
    [(64, 8), (256, 64), (1024, 352), (4096, 1504), (20_000, 9456), (21_088, 10_000), (1 << 20, 523_744)],
)
def test_each_connection_may_need_another_descriptor(descriptors: int, most: int) -> None:
    assert most_connections(descriptors) == most
    assert 2 * most + backlog_for(descriptors) <= descriptors or most == 8


@pytest.mark.parametrize(
    ("limits", "descriptors", "expected"),
    [
        pytest.param(Limits(), 1 << 20, (10_000, 1_000), id="defaults"),
        pytest.param(Limits(), 1024, (352, 352), id="few"),
        pytest.param(Limits(connections=50_000), 1024, (352, 352), id="more-than-there-are"),
        pytest.param(Limits(connections=50_000), 1 << 20, (50_000, 1_000), id="more"),
        pytest.param(Limits(connections=100, connections_per_address=7), 1 << 20, (100, 7), id="both"),
    ],
)
def test_limits_are_the_files_or_what_the_descriptors_are_enough_for(
    limits: Limits, descriptors: int, expected: tuple[int, int]
) -> None:
    assert room_for(limits, descriptors) == expected


def test_log_says_it_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    hall, times = Hall(10), iter([0.0, 5.0, 59.0, 61.0, 200.0])
    crowd = Crowd(hall.room, lambda: next(times))
    for _ in range(4):
        hall.crowd(20)
        crowd.turn()
    crowd.turn()
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2 and "9 of at most 10 are open" in lines[0] and "60 idle ones were closed" in lines[1]


def test_newcomer_is_refused_where_a_reload_has_lowered_the_limits_under_a_full_room() -> None:
    hall = Hall(10)
    busy = [hall.enter(f"member {number}", "192.0.2.2") for number in range(8)]
    for place in busy:
        place.serve(is_member=True)
    served(hall.enter("idle"))
    hall.room.limit, hall.room.per_address = 5, 1
    assert hall.closed == []
    hall.enter("new")  # its address had one connection, and that is closed; there is still no room
    assert hall.closed == ["idle", "new"]
    assert hall.room.refused == {"full": 1, "address": 0} and hall.room.count == 8
    for place in busy[:6]:
        place.leave()
    hall.enter("newer")
    assert hall.closed == ["idle", "new"] and hall.room.count == 3
