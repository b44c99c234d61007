"""The attacks on paths, headers and tokens, through each engine as `gateway compile` prints it, a gateway deciding.

Of each row of cases the first and every third is tried; with GATEWAY_ENGINES_ALL=1 (`make engines ALL=1`) all of them.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator

import pytest

from tests.engines.front import EngineBench, running_engine_bench
from tests.engines.programs import Engine
from tests.engines.verdicts import REPAIRED, is_passable, judge_behind, row_of
from tests.security.casebook import Case, cases
from tests.security.conftest import Report
from tests.security.figures import FIGURES
from tests.security.judge import Reached
from tests.security.strict import Violation
from tests.security.tally import Tally

READINGS = (
    "credentials",
    "cookies",
    "forwarded",
    "emails",
    "names",
    "closing",
    "connection",
    "ours",
    "places",
    "origins",
    "key",
)
FAMILIES = ("path", "header", "jwt", *READINGS)
# A token in the query, in any spelling of its name.
_QUERY = re.compile(r"(tok|%74ok)(e|%65)n[^=/]*=\{|/query/")
_EVERY = 1 if os.environ.get("GATEWAY_ENGINES_ALL") == "1" else 3


@pytest.fixture(scope="module")
def bench(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineBench]:
    """Give the running peers behind an engine."""
    with running_engine_bench(tmp_path_factory.mktemp(engine.name), engine) as made:
        yield made


@pytest.fixture(scope="session")
def report(request: pytest.FixtureRequest) -> Report:
    """Give a function that adds a line to the figures below the test results."""
    return request.config.stash[FIGURES].reports.append


def tried(family: str) -> list[Case]:
    """Return the cases of a family that are tried in this run."""
    rows = itertools.groupby(cases(family), key=row_of)
    return [case for _, row in rows for number, case in enumerate(row) if number % _EVERY == 0]


@pytest.mark.engines
@pytest.mark.timeout(600)
@pytest.mark.parametrize("family", FAMILIES)
def test_no_attack_reaches_the_upstream(bench: EngineBench, engine: Engine, family: str, report: Report) -> None:
    if family in READINGS and not engine.has_upstreams:
        pytest.skip("these are about several upstreams: `gateway compile` refuses them")
    tally, wrong = Tally(), []
    for case in tried(family):
        if not engine.has_queries and _QUERY.search(str(case.spec["target"])):
            continue  # its configuration takes no token from the query: `gateway compile` refuses one that does
        try:
            with tally.of(case):
                _try(bench, engine.name, case)
        except (Reached, Violation, AssertionError) as problem:
            wrong.append(f"{case.id}: {problem}"[:400])
    report(f"{engine.name} {family}: {'; '.join(tally.lines())}")
    assert not wrong, "\n".join([f"{len(wrong)} of {len(tried(family))}:", *wrong[:20]])
    assert bench.bait.connections == 0


def _try(bench: EngineBench, engine: str, case: Case) -> None:
    try:
        trial = bench.try_case({"profile": "readings" if case.family in READINGS else "main", **case.spec})
    except Violation as problem:
        if not is_passable(engine, case, problem):
            raise
    else:
        judge_behind(engine, case, trial)


def test_every_row_that_an_engine_repairs_is_one() -> None:
    rows = {row_of(case) for family in FAMILIES for case in cases(family)}
    assert {row for repairs in REPAIRED.values() for row in repairs} <= rows
