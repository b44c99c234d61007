"""What a command asks a server, once: bounded in size and time."""

from __future__ import annotations

import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException
from typing import Any, Final

from gateway.commands.call import Refusal

_CHUNK: Final = 64 * 1024


class UnfetchedError(Exception):
    """There is no good answer: `why` is for people. `status` is that of one that is not good."""

    def __init__(self, why: str, status: int | None = None) -> None:
        super().__init__(why)
        self.why, self.status = why, status


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *redirect: Any) -> None:
        return None


def fetched(address: str, max_bytes: int, seconds: float) -> bytes:
    """Return the first bytes of what an http or https address answers, redirects followed. Raises `UnfetchedError`."""
    return _read(urllib.request.build_opener(), urllib.request.Request(address), max_bytes, seconds)  # noqa: S310


def fetched_of_upstream(
    address: str, lines: Sequence[tuple[str, str]], ca_file: str | None, max_bytes: int, seconds: float
) -> bytes:
    """Return the same as the gateway itself would ask: no proxy of the environment, no redirects, lines of ours."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as problem:
        raise UnfetchedError(f"ca_file cannot be used: {problem}") from None
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), _NoRedirect, urllib.request.HTTPSHandler(context=context)
    )
    return _read(opener, urllib.request.Request(address, headers=dict(lines)), max_bytes, seconds)  # noqa: S310


def refused(address: str, problem: UnfetchedError, expected: str, way_out: str) -> Refusal:
    """Return what a command says of it."""
    if problem.status is not None:
        return Refusal(f"{address}: found status {problem.status}, expected {expected}", (way_out,))
    return Refusal(f"{address}: cannot be fetched ({problem.why}), expected {expected}")


def _read(
    opener: urllib.request.OpenerDirector, request: urllib.request.Request, max_bytes: int, seconds: float
) -> bytes:
    over_at = time.monotonic() + seconds
    found = b""
    try:
        with opener.open(request, timeout=seconds) as answer:
            # A server that sends a byte now and then never runs into the time-out of its socket.
            while len(found) < max_bytes and (piece := answer.read1(min(_CHUNK, max_bytes - len(found)))):
                found += piece
                if time.monotonic() > over_at:
                    raise UnfetchedError(f"it took more than {seconds:g} s")
    except urllib.error.HTTPError as problem:
        raise UnfetchedError(f"status {problem.code}", problem.code) from None
    except (OSError, HTTPException, ValueError) as problem:
        raise UnfetchedError(str(getattr(problem, "reason", None) or problem)) from None
    return found
