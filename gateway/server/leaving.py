"""How a gateway takes its leave: not ready, then not listening, then nobody's connection any more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from gateway.proxy.host import Host
from gateway.transport.listener import Listener

# Between not listening and not answering: whoever was accepted last has his request on its way.
LAST_CALL_SECONDS: Final = 0.5


async def leave(
    host: Host,
    doors: Sequence[tuple[Callable[[], None], Listener]],
    delay_seconds: float,
    sleep: Callable[[float], Awaitable[None]],
) -> None:
    """Take requests for that long, each as the last of its connection; then no others begin, and WebSockets are ended.

    A balancer needs the delay to see that we are not ready. Nothing can be answered on a connection whose end was
    said, and a request may cross it on its way (RFC 9112 section 9.5), so the end is said late, and where it is least
    likely to be crossed: behind a response that announced it, or to who was silent all the time. `doors` are what ends
    the listening, and whom it let in.
    """
    host.is_draining = True  # a response that began before did not say so: its connection waits for another request
    if delay_seconds:
        await sleep(delay_seconds)
        _shut(doors)
        await sleep(LAST_CALL_SECONDS)
    _shut(doors)
    for tunnel in list(host.tunnels):
        tunnel.go_away()
    for _, listener in doors:
        await listener.close_idle()
    host.takes_requests = False


def _shut(doors: Sequence[tuple[Callable[[], None], Listener]]) -> None:
    for shut, _ in doors:
        shut()
