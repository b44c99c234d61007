"""For the whole suite: whatever is logged while it runs holds no secret."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Iterator

import pytest

from gateway.policy import token
from gateway.proxy import headers
from gateway.server.gateway import Gateway
from tests.desk import Desk, open_desk
from tests.secrecy import Listener


@pytest.fixture(scope="session", autouse=True)
def road() -> None:
    """With GATEWAY_EXPRESS=off the gateways of this process serve on the reference path, too, whatever their config."""
    if os.environ.get("GATEWAY_EXPRESS") == "off":
        Gateway._make_lane = lambda self: None  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    """What one test had read is read anew by the next: a memory would hide a mistake that came later."""
    token._read_header.cache_clear()
    headers._remembered_of_answers.cache_clear()


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """A lane without a network."""
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
