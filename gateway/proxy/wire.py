"""What an exchange and its two connections say to each other: commands to a `Client` and an `Upstream`, events to a
`Relay`.

Base classes, since each has several kinds: connections of either side, an exchange or a tunnel, what a test plays with.
Times are seconds of `Client.now`.
"""

from __future__ import annotations

from collections.abc import Callable

from mypy_extensions import mypyc_attr

from gateway.http1.response import ResponseRead
from gateway.policy.denied import Denied
from gateway.policy.revocation import Revoked


@mypyc_attr(allow_interpreted_subclasses=True)
class Client:
    """A client's connection, of which one exchange at a time has the word.

    `deadline` is when `expire` is called. `is_slow`: the client takes less than was written; `stall_seconds` is how
    long it may. `is_upload_held`: it may not send, so if it does not, it is not to blame. `serve` is told that the
    request is allowed, and whether its caller is known.
    """

    __slots__ = ("deadline", "is_slow", "is_upload_held", "now", "serve")

    now: Callable[[], float]
    serve: Callable[[bool], None]
    deadline: float
    is_slow: bool
    is_upload_held: bool

    @property
    def stall_seconds(self) -> float:
        raise NotImplementedError

    @property
    def unsent_bytes(self) -> int:
        """How much was written that the client has not taken."""
        raise NotImplementedError

    def write(self, data: bytes, *, is_urgent: bool = False) -> None:
        """Write soon; what is urgent, one of many small pieces each of which is waited for, or large, at once."""

    def hold_upload(self, *, is_held: bool) -> None:
        """Have the client wait with its upload, or go on."""

    def switch(self, other: Relay) -> bytes:
        """Tell another from now on what comes; returns what has come behind the request, which is none any more."""
        raise NotImplementedError

    def exchange_ended(self, *, keeps_alive: bool, lingers: bool = False) -> None:
        """The response is written: the next request, or the end. `lingers`: the client may still be sending."""

    def reset(self) -> None:
        """Close at once, so that the client sees that something is missing, also where the end would look whole."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Relay:
    """Who stands between a client and an upstream, an exchange or a tunnel, and is told of what both do.

    `takes_bytes`: what the client sends is for `uploaded`, which returns what is left. With `response_came` and
    `response_ended` the upstream is no longer its own.
    """

    __slots__ = ()

    # --- what the client does ---

    @property
    def takes_bytes(self) -> bool:
        raise NotImplementedError

    def uploaded(self, data: bytes) -> bytes:
        raise NotImplementedError

    def client_left(self) -> None:
        """The client is gone."""

    def client_is_slow(self, *, is_slow: bool) -> None:
        """The client takes less than arrives, or takes again."""

    def expire(self) -> None:
        """The deadline is over."""

    def shut_down(self) -> None:
        """The gateway stops, and cannot wait any longer."""

    def end_revoked(self, revoked: Revoked) -> bool:
        """End, if its caller is among those who count no more. Returns whether it does."""
        return False

    # --- what the upstream does ---

    def response_came(self, response: ResponseRead, body: bytes) -> None:
        """The whole of it is there: what the next four say of its parts."""

    def response_began(self, response: ResponseRead) -> None:
        """The head is there."""

    def response_data(self, data: bytes) -> None:
        """A piece of the body arrived."""

    def response_goes_on(self) -> None:
        """What has arrived so far was given, and more is to come."""

    def response_ended(self) -> None:
        """The body is whole."""

    def response_broke(self, problem: Denied, *, may_retry: bool, unsent: bytes = b"") -> None:
        """There is no response, or it breaks off. `may_retry`: not a byte of it came, on a connection that was kept.

        `unsent` is all that was sent, where nothing of it has left.
        """

    def switched(self, response: ResponseRead) -> Relay | None:
        """The upstream switches protocols; returns who takes what comes now, None if nobody asked for it, or not so."""

    def upload_may_go_on(self, *, may: bool) -> None:
        """The upstream takes bytes again, or no more for now."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Upstream:
    """A connection to an upstream, or one that is being opened, for one exchange at a time.

    `is_held`: nothing is read, since the client takes less than arrives. `is_sending`: the request's body is not all
    sent, and whatever ends now, ends the connection, too.
    """

    __slots__ = ("is_held", "is_sending")

    is_held: bool
    is_sending: bool

    @property
    def unsent_bytes(self) -> int:
        """How much was written that the upstream has not taken."""
        raise NotImplementedError

    def begin(self, taker: Relay, method: str, data: bytes) -> None:
        """Send a request, or its beginning."""

    def write(self, data: bytes) -> None:
        """Send more of it."""

    def hold_response(self, *, is_held: bool) -> None:
        """Have the upstream wait with its response, or go on."""

    def close(self) -> None:
        """Say no more, and hear no more; what was written still leaves."""

    def abort(self) -> None:
        """Give the exchange up: the upstream sees that nobody waits any more."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Connections:
    """The connections to one upstream: `take` gives one that was kept, if there is one, else what `open` gives."""

    __slots__ = ()

    def take(self) -> Upstream:
        raise NotImplementedError

    def open(self) -> Upstream:
        """Return one that is being opened."""
        raise NotImplementedError
