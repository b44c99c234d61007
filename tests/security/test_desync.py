"""Requests with a second one hidden in them, and upstreams that lie: nobody is served what was hidden, or another's.

`expect` of a case in `desync.yaml` is

- refused: refused or closed, and not even the head of anything reached the upstream;
- broken: the same, but a body that turns out broken was already on its way;
- unread: the same, but the connection may live on if the body was read;
- contained: the hidden request, which lacks a token, never reached the upstream as a request;
- statuses, targets, bodies: exactly these, in order, of the answers and of what reached the upstream.
"""

from __future__ import annotations

import itertools
import re
import time
from typing import Any

import pytest

from tests.security.bench import Bench
from tests.security.casebook import Case, cases, parameters
from tests.security.judge import Reached, judge_refusal
from tests.security.rig import TIMEOUT_SECONDS, Answer, Script, answers, everything, exchange, is_whole
from tests.security.tally import Tally

SILENCE_SECONDS = 0.2
REFUSALS = (0, 400, 401, 404, 405, 408, 413, 414, 417, 431, 501, 505)
STRICT_ANSWER = re.compile(rb"HTTP/1\.1 200 [A-Za-z]*\r\n([A-Za-z-]+: [\t\x20-\x7e]+\r\n)*\r\nhello")
REQUESTS, ANSWERS = cases("desync"), cases("answers")
_numbers = itertools.count()


@pytest.mark.parametrize("case", parameters(REQUESTS))
def test_request(bench: Bench, tally: Tally, case: Case) -> None:
    with tally.of(case):
        expect = case.spec["expect"]
        # What is refused ends the connection, so a request that needs no token must be lost with it.
        prefix, mark = "api" if expect == "contained" else "public", f"c{next(_numbers)}"
        hidden = f"GET /{prefix}/SECRET-{mark} HTTP/1.1\r\nHost: gw.test\r\n\r\n"
        text = case.spec["send"].replace("{hidden}", hidden).replace("{n}", str(len(hidden)))
        text = text.replace("/c", f"/{mark}") if isinstance(expect, str) else text
        data = bench.filled(text.replace("{x}", f"{len(hidden):x}"), time.time()).encode("latin-1", "replace")
        bench.upstream.take()
        if isinstance(expect, dict):
            received, _ = everything(bench.ports["main"], data, SILENCE_SECONDS, at_least=len(expect["statuses"]))
            judge_exactly(bench, expect, received)
        else:
            if expect == "refused":
                # Alone, too: what follows may be what a parser stumbles over, and not what is tried.
                everything(bench.ports["main"], data, SILENCE_SECONDS / 2)
            must_close = expect in ("refused", "broken")
            received, is_closed = everything(
                bench.ports["main"], data + hidden.encode(), TIMEOUT_SECONDS if must_close else SILENCE_SECONDS
            )
            judge_hidden(bench, expect, received, is_closed=is_closed)
        judge_next(bench)
        if expect in ("refused", "unread") and any(f"/{mark}".encode() in line for line in bench.upstream.first_lines):
            raise Reached("the head of a request reached the upstream")


def judge_exactly(bench: Bench, expect: dict[str, Any], received: bytes) -> None:
    seen = bench.upstream.take()
    assert [answer.status for answer in answers(received)] == expect["statuses"], received
    if "targets" in expect and [request.target for request in seen] != expect["targets"]:
        raise Reached(f"the upstream saw {[request.raw for request in seen]}")
    if "bodies" in expect:
        assert [request.body.decode() for request in seen] == expect["bodies"]


def judge_hidden(bench: Bench, expect: str, received: bytes, *, is_closed: bool) -> None:
    seen = bench.upstream.take()
    if any("SECRET" in request.target for request in seen):
        raise Reached(f"the hidden request was served: {[request.raw for request in seen]}")
    if expect == "contained":
        assert len(seen) <= 1, [request.raw for request in seen]
        return
    if seen:
        raise Reached(f"the upstream saw {[request.raw for request in seen]}")
    assert Answer(received).status in REFUSALS, received
    assert received.count(b"HTTP/1.1 ") <= 1, "one refusal, then the end"
    judge_refusal(Answer(received))
    assert is_closed or expect == "unread", "the connection stayed open after a refusal"


def judge_next(bench: Bench) -> None:
    """Hold that the next clients get the answers to their own requests."""
    for _ in range(2):
        target = f"/public/next-{next(_numbers)}"
        answer = bench.ask(target)
        if answer.status == 200 and answer.body != target.encode():
            raise Reached(f"another client got {answer.raw!r}")
        assert answer.status == 200, answer.raw


@pytest.mark.parametrize("case", parameters(ANSWERS))
def test_answer(bench: Bench, tally: Tally, case: Case) -> None:
    with tally.of(case):
        target = f"{case.spec.get('route', '/public')}/up-{next(_numbers)}"
        pieces = tuple(piece.encode("latin-1") for piece in case.spec["pieces"])
        bench.upstream.scripts[target] = Script(pieces, case.spec["then"])
        upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        lines = upgrade + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" if case.spec.get("websocket") else ""
        request = f"{case.spec.get('method', 'GET')} {target} HTTP/1.1\r\nHost: gw.test\r\n{lines}\r\n".encode()
        judge_answer(case.spec, bench.ports["main"], request)
        judge_next(bench)


def judge_answer(spec: dict[str, Any], port: int, request: bytes) -> None:
    match spec["expect"]:
        case "truncated":
            received = exchange(port, request).raw
            assert received[9:12] == b"502" or not is_whole(received), received
        case "reframed":
            received = exchange(port, request).raw
            assert received[9:12] == b"502" or STRICT_ANSWER.fullmatch(received), received
        case "whole":
            received = exchange(port, request).raw
            assert received[9:12] == b"200" and b"hello" in Answer(received).body.replace(b"\r\n3\r\n", b""), received
        case statuses:
            received = exchange(port, request).raw
            allowed = [statuses] if isinstance(statuses, int) else statuses
            assert Answer(received).status in allowed, received
    if b"POISON" in received:
        raise Reached(f"the client got {received!r}")
    if received[9:12] == b"502":
        judge_refusal(Answer(received))
