"""One WebSocket, passed on as the bytes that come. Frames, extensions, close codes, pings and cuts stay what they are.

No I/O: whoever carries the bytes asks what of them goes on. Source: RFC 6455 section 4.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Final

from gateway.http1.response import ResponseRead
from gateway.policy.decision import Allow
from gateway.policy.denied import Denied
from gateway.policy.model import Headers
from gateway.policy.onward import Line
from gateway.policy.reasons import Reason
from gateway.policy.revocation import Revoked
from gateway.proxy.frames import FrameBorders, close_frame, close_payload
from gateway.proxy.life import Ending, Life, revoked_of
from gateway.proxy.silence import Silence
from gateway.proxy.wire import Client, Relay, Upstream
from gateway.record.outcome import Outcome

GOING_AWAY: Final = 1001  # RFC 6455 section 7.4.1
_OWN_CODES: Final = 4000  # of applications (section 7.4.2)
FAREWELL_SECONDS: Final = 2.0  # for the other side to answer our close frame
_GUID: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
UPGRADE: Final[list[Line]] = [("Connection", "Upgrade"), ("Upgrade", "websocket")]


def answers_handshake(asked: Headers, told: Headers) -> bool:
    """True if a 101 answers this handshake and no other (RFC 6455 section 4.1)."""
    keys = asked.all("sec-websocket-key")
    options = [option.strip().lower() for value in told.all("connection") for option in value.split(",")]
    return (
        len(keys) == 1
        and [value.strip().lower() for value in told.all("upgrade")] == ["websocket"]
        and "upgrade" in options
        and list(told.all("sec-websocket-accept")) == [_accept(keys[0])]
    )


def switching_lines(response: ResponseRead) -> list[Line]:
    """Return what the upstream chose in its 101: key, sub-protocol, extensions. `UPGRADE` is the caller's to add."""
    return [(one.name, one.value) for one in response.fields if one.name.lower().startswith("sec-websocket-")]


class Tunnel(Relay):
    """A WebSocket between a client and an upstream after both handshakes, until one side ends. Does no I/O itself."""

    def __init__(
        self,
        client: Client,
        upstream: Upstream,
        outcome: Outcome,
        idle_timeout_seconds: float,
        ended: Callable[[Tunnel], None],
        life: Life | None = None,
        allowed: Allow | None = None,
    ) -> None:
        self._client, self._upstream = client, upstream
        self._outcome, self._ended = outcome, ended
        self.up, self.down = Way(masks=True), Way(masks=False)
        self._silence = Silence(idle_timeout_seconds, client.now())
        self._is_leaving = self._is_over = False
        self._life, self._allowed = life, allowed

    def begin(self, early: bytes) -> None:
        """Pass on what the client sent before it was answered, and look now and then whether anything moves."""
        self._look_again(self._client.now())
        if early:
            self.uploaded(early)

    def _look_again(self, now: float) -> None:
        looks_at = now + self._silence.pause_seconds
        self._client.deadline = looks_at if self._life is None else self._life.until(looks_at)

    @property
    def takes_bytes(self) -> bool:
        return True

    def uploaded(self, data: bytes) -> bytes:
        self._upstream.write(self.up.feed(data))
        self._end_if_parted()
        return b""

    def response_data(self, data: bytes) -> None:
        self._client.write(self.down.feed(data), is_urgent=True)
        self._end_if_parted()

    def response_goes_on(self) -> None:
        """Nothing was held back."""

    def response_ended(self) -> None:
        """The upstream has ended: no close frame is made up for it."""
        self._end()

    def response_broke(self, problem: Denied, *, may_retry: bool, unsent: bytes = b"") -> None:
        self._end()

    def client_left(self) -> None:
        """The client has ended."""
        self._end()

    def client_is_slow(self, *, is_slow: bool) -> None:
        self._upstream.hold_response(is_held=is_slow)

    def upload_may_go_on(self, *, may: bool) -> None:
        self._client.hold_upload(is_held=not may)

    def expire(self) -> None:
        client, upstream, now = self._client, self._upstream, self._client.now()
        if self._is_leaving:
            self._end()
            return
        over = None if self._life is None else self._life.is_over(now)
        if over is not None:
            self._end_by_ourselves(over)
            return
        unsent = client.unsent_bytes, upstream.unsent_bytes
        if not self._silence.is_over((self.up.count_bytes, self.down.count_bytes, *unsent), now):
            self._look_again(now)
            return
        self._outcome.detail = f"silent for {self._silence.seconds:g} s"
        # Whoever has taken nothing for so long does not take the rest either.
        if unsent[1]:
            upstream.abort()
        else:
            upstream.write(self.up.go_away())
        if not unsent[0]:
            client.write(self.down.go_away(), is_urgent=True)
        self._end()
        if unsent[0]:
            client.reset()

    def go_away(self) -> None:
        """The gateway stops: tell both sides (1001), and give them a moment to answer."""
        if not self._is_leaving:
            self._take_leave(b"")

    def end_revoked(self, revoked: Revoked) -> bool:
        refusal = None if self._is_leaving else revoked_of(revoked, self._allowed)
        if refusal is not None:
            self._end_by_ourselves(Ending(refusal.reason, refusal.detail, "revoked"))
        return refusal is not None

    def _end_by_ourselves(self, ending: Ending) -> None:
        """Tell the client why (4000 and the status of the reason), and the upstream that the client leaves."""
        self._outcome.ended, self._outcome.detail = ending.ended, ending.detail
        self._take_leave(close_payload(_OWN_CODES + ending.reason.status, ending.reason.code))

    def _take_leave(self, to_client: bytes) -> None:
        self._is_leaving = True
        self._client.deadline = self._client.now() + FAREWELL_SECONDS
        self._upstream.write(self.up.go_away())
        self._client.write(self.down.go_away(to_client), is_urgent=True)
        self._end_if_parted()

    def shut_down(self) -> None:
        self._outcome.ended, self._outcome.code = "shut_down", Reason.SHUTTING_DOWN.code
        self._end()

    def _end_if_parted(self) -> None:
        if self.up.has_parted and self.down.has_parted and self._is_leaving:
            self._end()

    def _end(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._outcome.bytes_in, self._outcome.bytes_out = self.up.count_bytes, self.down.count_bytes
            self._upstream.close()  # what was sent still arrives
            self._ended(self)


class Way:
    """One direction of a tunnel."""

    def __init__(self, *, masks: bool) -> None:
        self._borders = FrameBorders()
        self._masks = masks
        self._must_go = False
        self._has_said_goodbye = False
        self._goodbye = close_payload(GOING_AWAY)
        self.count_bytes = 0
        self.has_parted = False  # its source has sent a close frame: nothing more will come

    def feed(self, data: bytes) -> bytes:
        """Return what goes on of bytes that came."""
        goes_on, taken = b"", 0
        if not self._has_said_goodbye:
            taken = self._borders.feed(data, stops_at_border=self._must_go)
            self.count_bytes += taken
            goes_on = data[:taken]
            if self._must_go:
                goes_on += self.go_away()
        if self._has_said_goodbye:
            # Nothing goes out behind a close frame (RFC 6455 section 5.5.1); the source's own is its farewell.
            self._borders.feed(data[taken:])
            self.has_parted = self.has_parted or self._borders.has_close
        return goes_on

    def go_away(self, payload: bytes = b"") -> bytes:
        """Return a close frame with 1001, or what else its payload says, the first time that it is asked for.

        Empty: it goes out once the frame under way is complete, or never.
        """
        if payload and not self._must_go:
            self._goodbye = payload
        self._must_go = True
        if not self._borders.is_at_border or self._has_said_goodbye:
            return b""
        self._has_said_goodbye = True
        if self._borders.has_close:
            self.has_parted = True  # the two were already taking leave
            return b""
        return close_frame(self._goodbye, masked=self._masks)


def _accept(key: str) -> str:
    digest = hashlib.sha1(f"{key}{_GUID}".encode(), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode("ascii")
