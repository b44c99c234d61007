"""Mutated requests against the running gateway, with an oracle that knows nothing of its code."""

from __future__ import annotations

import contextlib
import re
import time

from tests.security.bench import Bench
from tests.security.casebook import cases
from tests.security.judge import is_guarded
from tests.security.rig import answers, connected, exchange
from tests.security.strict import Seen

# What only the gateway may say; X-Forwarded-For and -Proto it says itself.
_STRIPPED = re.compile(
    r"(x-user-.*|x-auth-(?!user-id$|email$).*|remote-user|x-remote-user|forwarded|x-real-ip|true-client-ip|x-client-ip"
    r"|x-cluster-client-ip|x-forwarded-(?!for$|proto$).*|x-original-(url|uri|method)|x-rewrite-url|x-http-method.*"
    r"|x-method-override|x-mastra-.*|x-clerk-auth-.*)"
)
_HANG_SECONDS = 8.0
_QUIET_SECONDS = 0.05  # without an answer: the gateway may be waiting for the rest of a request that is none
_FAMILIES = ("header", "path", "desync")
_SUBJECT = "user-1"


class Finding(Exception):
    """Something that must not happen."""


def seeds(bench: Bench) -> list[bytes]:
    """Return the requests of the security cases, as bytes."""
    now, found = time.time(), []
    for family in _FAMILIES:
        for case in cases(family):
            if "send" in case.spec:
                text = bench.filled(
                    case.spec["send"].replace("{hidden}", "").replace("{n}", "5").replace("{x}", "5"), now
                )
                found.append(text.encode("latin-1", "replace"))
            else:
                token = bench.token(case.spec["token"], now) if "token" in case.spec else None
                found.append(bench.request(case.spec, token, now))
    return [data for data in found if len(data) < 8000]


def check(bench: Bench, data: bytes, cuts: list[int], *, half_closes: bool) -> None:
    """Send bytes in pieces, and hold what must hold. Raises `Finding`."""
    bench.upstream.take_all()
    received = _send(bench.ports["main"], data, cuts, half_closes=half_closes)
    _check_answers(received)
    seen, violations = bench.upstream.take_all()
    if violations:
        raise Finding(f"the upstream got what is no request: {violations}")
    for request in seen:
        _check_request(request)


def check_alive(bench: Bench) -> None:
    """Hold that an honest request passes and that the log shows no surprise. Raises `Finding`."""
    token = bench.filled("{token}", time.time())
    request = f"GET /api/alive HTTP/1.1\r\nHost: gw.test\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    if (answer := exchange(bench.ports["main"], request)).status != 200:
        raise Finding(f"an honest request got {answer.raw[:300]!r}")
    for log in bench.logs:
        found = re.search(r"Traceback.*|.*never retrieved.*|.*internal_error.*", log.read_text())
        if found:
            raise Finding(f"the log says {found[0][:300]}")


def _send(port: int, data: bytes, cuts: list[int], *, half_closes: bool) -> bytes:
    with connected(port) as client:
        with contextlib.suppress(OSError):
            start = 0
            for place in [*sorted(cuts), len(data)]:
                client.sendall(data[start:place])
                start = max(start, place)
            if half_closes:
                client.shutdown(1)
        received, deadline = b"", time.monotonic() + _HANG_SECONDS
        client.settimeout(_HANG_SECONDS if half_closes else _QUIET_SECONDS)
        while True:
            try:
                piece = client.recv(65536)
            except TimeoutError:
                if half_closes or time.monotonic() > deadline:
                    raise Finding("no answer and no end") from None
                if answers(received) and received:
                    return received
                half_closes = True  # whatever it waits for will not come: now it must end
                client.settimeout(_HANG_SECONDS)
                with contextlib.suppress(OSError):
                    client.shutdown(1)
                continue
            except OSError:
                return received
            if not piece:
                return received
            received += piece


def _check_answers(received: bytes) -> None:
    if received and not received.startswith(b"HTTP/1."):
        raise Finding(f"an answer that is none: {received[:200]!r}")
    if b"HTTP/1.1 500" in received:
        raise Finding(f"a 500: {received[:300]!r}")


def _check_request(request: Seen) -> None:
    told = request.all("X-Auth-User-Id")
    if is_guarded(request.target) and told != [_SUBJECT]:
        raise Finding(f"{request.target!r} was reached as {told}")
    if told not in ([], [_SUBJECT]):
        raise Finding(f"the upstream was told {told}")
    for name, value in request.fields:
        if _STRIPPED.fullmatch(name.lower().replace("_", "-")):
            raise Finding(f"the client's own {name!r} went up: {value!r}")
    if request.all("X-Forwarded-For") != ["127.0.0.1"]:
        raise Finding(f"X-Forwarded-For {request.all('X-Forwarded-For')}")
