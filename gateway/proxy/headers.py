"""What goes up with a request, and what comes down with its response."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto
from functools import lru_cache
from typing import Final

from gateway.policy.decision import Allow
from gateway.policy.fields import HOP_BY_HOP, HeaderRules, Names, fold, named_by_connection
from gateway.policy.model import Headers, RequestHead
from gateway.policy.onward import Line, lines_onward

_DROPPED_OF_ANSWERS: Final = Names((*HOP_BY_HOP, "X-Request-Id"))
# Servers choose names, too: the memory of their verdicts is bounded as that of clients'.
_MAX_REMEMBERED_NAMES: Final = 1024
_MAX_REMEMBERED_LENGTH: Final = 64


class _Verdict(Enum):
    """What becomes of a line of an upstream's response."""

    KEEP = auto()
    DROP = auto()
    CORS = auto()


def is_response_line_forwarded(name: str) -> bool:
    """True if a line of an upstream's response goes to the client, unless `Connection` or CORS says otherwise."""
    return _verdict_of_answers(name) is not _Verdict.DROP


def request_lines(head: RequestHead, allow: Allow, rules: HeaderRules, added: Iterable[Line]) -> list[Line]:
    """Return the header lines of an allowed request for its upstream: `lines_onward`, then ours.

    `added` is what the gateway says: `REPLACED`, identity, a signed Authorization.
    """
    # After all that `Connection` could name: CVE-2022-31813, CVE-2024-45410, CVE-2025-48865.
    return [*lines_onward(head, rules, allow.withheld), *added]


def response_lines(lines: Iterable[Line], *, owns_cors: bool) -> list[Line]:
    """Return the header lines of an upstream's response for the client: all that is end-to-end stays, in its order.

    With `owns_cors` the upstream's Access-Control-* go. Content-Length stays (the response to HEAD has one). The caller
    adds X-Request-Id, CORS, Transfer-Encoding, and for a WebSocket Upgrade and Connection.
    """
    arrived = list(lines)
    named = named_by_connection(Headers(arrived))
    kept: list[Line] = []
    for name, value in arrived:
        verdict = _verdict_of_answers(name)
        if verdict is _Verdict.DROP or (named and fold(name) in named) or (owns_cors and verdict is _Verdict.CORS):
            continue
        kept.append((name, value))
    return kept


@lru_cache(_MAX_REMEMBERED_NAMES)
def _remembered_of_answers(name: str) -> _Verdict:
    return _judge_response(name)


def _judge_response(name: str) -> _Verdict:
    folded = fold(name)
    if folded in _DROPPED_OF_ANSWERS:
        return _Verdict.DROP
    return _Verdict.CORS if folded.startswith("access-control-") else _Verdict.KEEP


def _verdict_of_answers(name: str) -> _Verdict:
    return _remembered_of_answers(name) if len(name) <= _MAX_REMEMBERED_LENGTH else _judge_response(name)
