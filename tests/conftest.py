"""For the whole suite: no log holds a secret, what measures runs alone, and figures are summed over all workers.

Only this file is read by the process that prints when pytest-xdist has others run the tests.
"""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any

import pytest
from hypothesis import settings

from gateway.policy import token
from gateway.proxy import headers
from tests.alone import turn
from tests.desk import Desk, open_desk
from tests.secrecy import Listener
from tests.security.figures import FIGURES, Figures

# How long an example takes depends on what else runs on this machine: pytest's own limit catches what hangs.
settings.register_profile("unhurried", settings.default, deadline=None)
settings.load_profile("unhurried")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = Figures()


def pytest_collection_finish() -> None:
    # Ten thousand tests stay until the end: looking through them again and again is a tenth of the run.
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True, tryfirst=True)  # around the limit of a test's time: waiting for others is not its fault
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    # A run that a test starts must not wait for a turn: whoever is to give it waits for that test.
    if "PYTEST_XDIST_WORKER" not in os.environ or os.environ.get("GATEWAY_TEST_TURNS") == "off":
        return (yield)
    with turn(alone=item.get_closest_marker("alone") is not None):
        return (yield)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):  # this is a worker of pytest-xdist
        session.config.workeroutput["figures"] = session.config.stash[FIGURES].packed()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    figures = node.config.stash[FIGURES]
    if "figures" in (output := getattr(node, "workeroutput", {})):
        figures.add(output["figures"])
    else:
        figures.reports.append(f"INCOMPLETE: worker {node.gateway.id} died, and what it had counted is not in here")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if lines := list(config.stash[FIGURES].lines()):
        terminalreporter.section("security")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    """What one test had read is read anew by the next: a memory would hide a mistake that came later."""
    token._read_header.cache_clear()
    headers._remembered_of_answers.cache_clear()


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """A listener without a network."""
    async with open_desk() as opened:
        yield opened


@pytest.fixture(scope="session")
def log_listener() -> Iterator[Listener]:
    """Hear every logger of the process that runs the tests; the logs of others are searched in `tests.processes`."""
    listener = Listener()
    root = logging.getLogger()
    gateway = logging.getLogger("gateway")
    root.addHandler(listener)
    gateway.setLevel(logging.INFO)
    yield listener
    root.removeHandler(listener)


@pytest.fixture(autouse=True)
def no_secret_in_any_log(log_listener: Listener) -> Iterator[None]:
    """Fail the test that made the gateway log a secret."""
    yield
    leaks, log_listener.leaks = log_listener.leaks, []
    assert not leaks, leaks
