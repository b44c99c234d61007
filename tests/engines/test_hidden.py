"""Requests with a second one hidden in them, through each engine: what needs a token is not reached without one.

Of each row of cases the first is tried, with GATEWAY_ENGINES_ALL=1 all. What an engine serves besides is its own.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator

import pytest

from tests.engines.front import EngineBench, running_engine_bench
from tests.engines.programs import Engine
from tests.engines.verdicts import row_of
from tests.security.casebook import Case, cases
from tests.security.judge import Reached
from tests.security.rig import everything
from tests.security.strict import Violation
from tests.security.test_desync import SILENCE_SECONDS, judge_next

TAKES_ALL = os.environ.get("GATEWAY_ENGINES_ALL") == "1"
_HIDDEN = "GET /api/SECRET HTTP/1.1\r\nHost: gw.test\r\n\r\n"


@pytest.fixture(scope="module")
def bench(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineBench]:
    """Give the running peers behind an engine."""
    with running_engine_bench(tmp_path_factory.mktemp(engine.name), engine) as made:
        yield made


@pytest.mark.engines
@pytest.mark.timeout(600)
def test_no_hidden_request_is_served(bench: EngineBench, engine: Engine) -> None:
    wrong = []
    for case in _tried():
        try:
            _try(bench, case)
        except (Reached, Violation, AssertionError) as problem:
            wrong.append(f"{case.id}: {problem}"[:300])
    assert not wrong, "\n".join([f"{len(wrong)}:", *wrong[:20]])


def _tried() -> list[Case]:
    rows = itertools.groupby(cases("desync"), key=row_of)
    return [case for _, row in rows for number, case in enumerate(row) if TAKES_ALL or not number]


def _try(bench: EngineBench, case: Case) -> None:
    text = case.spec["send"].replace("{hidden}", _HIDDEN).replace("{n}", str(len(_HIDDEN)))
    data = bench.filled(text.replace("{x}", f"{len(_HIDDEN):x}"), time.time()).encode("latin-1", "replace")
    bench.upstream.take_all()
    everything(bench.ports["main"], data + _HIDDEN.encode(), SILENCE_SECONDS)
    seen, _ = bench.upstream.take_all()
    if any("SECRET" in request.target for request in seen):
        raise Reached(f"the hidden request was served: {[request.raw for request in seen]}")
    if any(b"SECRET" in line for line in bench.upstream.first_lines):
        raise Reached("the head of the hidden request reached the upstream")
    judge_next(bench)
