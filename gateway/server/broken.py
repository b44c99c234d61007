"""Why the parser stopped, in the words of the one table of reasons."""

from __future__ import annotations

from aiohttp.http import HttpProcessingError
from aiohttp.http_exceptions import LineTooLong

from gateway.policy.reasons import Denied, Reason

MAX_HEADERS = 256


def as_denied(problem: BaseException, limit_bytes: int) -> Denied:
    """Return the refusal of what cannot be parsed. `limit_bytes` is that of a head."""
    if isinstance(problem, Denied):
        return problem
    if isinstance(problem, LineTooLong):
        is_target = bytes(problem.args[0]).startswith((b"/", b"http"))
        reason = Reason.TARGET_TOO_LONG if is_target else Reason.HEADERS_TOO_LARGE
        return Denied(reason, f"a line of the head is over {limit_bytes} bytes")
    text = problem.message if isinstance(problem, HttpProcessingError) else type(problem).__name__
    if "Too many headers" in text:
        return Denied(Reason.HEADERS_TOO_LARGE, f"more than {MAX_HEADERS} headers")
    # The parser's text quotes the request, secrets included: only its first words are for the log.
    return Denied(Reason.REQUEST_MALFORMED, text.partition(":")[0][:100])
