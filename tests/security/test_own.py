"""Cases of ownership: bob tries what is ann's, at a gateway with `own:` before a careless Mastra."""

from __future__ import annotations

from typing import Any

import pytest

from tests.security.casebook import Case, cases, parameters
from tests.security.judge import Reached, judge_refusal
from tests.security.mastra import OPEN, SECRET
from tests.security.own_bench import OwnBench
from tests.security.rig import Answer
from tests.security.tally import Tally

CASES = cases("own")


@pytest.mark.parametrize("case", parameters(CASES))
def test_case(own: OwnBench, tally: Tally, case: Case) -> None:
    with tally.of(case):
        own.mastra.take()
        before = own.mastra.things.of_others()
        answer = own.send(case.spec)
        after, changed = own.mastra.things.of_others(), own.mastra.things
        seen = own.mastra.take()
        judge(case.spec["expect"], answer, before != after, seen)
        assert SECRET not in str(changed.threads.get("copy", "")), "a copy of what is ann's"


def judge(expect: Any, answer: Answer, is_changed: bool, seen: list[Any]) -> None:
    """Raise `Reached` if ann's things were touched or shown, or something reached Mastra that must not."""
    shown = answer.raw[:600]
    if SECRET.encode() in answer.raw:
        raise Reached(f"ann's words are told: {shown!r}")
    if is_changed:
        raise Reached(f"ann's things are other than they were; {[one.raw[:300] for one in seen]!r}")
    match expect:
        case "own":
            assert answer.status == 200, (shown, [one.raw[:300] for one in seen])
            assert any(word in answer.body for word in (OPEN.encode(), b"bob", b'"id"', b"runId", b"messages"))
        case "kept":
            if 400 <= answer.status < 500 and not seen:
                judge_refusal(answer)
        case _:
            if seen:
                raise Reached(f"Mastra saw {seen[0].raw[:300]!r}")
            assert answer.status in (expect if isinstance(expect, list) else [expect]), shown
            judge_refusal(answer)


def test_the_log_holds_no_body_and_no_traceback(own: OwnBench) -> None:
    text = own.log.read_text()
    assert "Traceback" not in text
    assert "eyJ" not in text
    assert SECRET not in text and "gold" not in text and "ann-message" not in text
