"""The figures of the security suite, which `tests/conftest.py` prints, and the peers that the cases share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import settings

from tests.security.bench import Bench, running_bench
from tests.security.figures import FIGURES
from tests.security.own_bench import OwnBench, running_own
from tests.security.tally import Tally

Report = Callable[[str], None]


def pytest_configure(config: pytest.Config) -> None:
    # The same examples in every run, so that a red build is red again; `--hypothesis-seed=N` or a profile tries others.
    wants_others = config.getoption("--hypothesis-seed") is not None or config.getoption("--hypothesis-profile")
    settings.register_profile("properties", settings.default, derandomize=not wants_others, deadline=None)


@pytest.fixture(scope="session")
def report(request: pytest.FixtureRequest) -> Report:
    """Give a function that adds a line to the figures below the test results."""
    return request.config.stash[FIGURES].reports.append


@pytest.fixture(scope="session")
def tally(request: pytest.FixtureRequest) -> Tally:
    """Give the count of all cases."""
    return request.config.stash[FIGURES].tally


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Give the running peers, one set for the whole run."""
    with running_bench(tmp_path_factory.mktemp("bench")) as made:
        yield made


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnBench]:
    """Give a Mastra with things of two people, and a gateway with `own:` before it."""
    with running_own(tmp_path_factory.mktemp("own")) as made:
        yield made
