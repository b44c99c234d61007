"""The peers of a situation, for one test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.field.gateways import Field, Standing, StandingField, standing


@pytest.fixture(scope="session")
def standing_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """Give a gateway that runs as a process, one for the whole run."""
    with standing(tmp_path_factory.mktemp("standing")) as gateway:
        yield gateway


@pytest.fixture(params=["loop", pytest.param("process", marks=pytest.mark.slow)])
def field(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Field]:
    """Give a field whose gateways run in the test's own loop; in the slow step once more as a process."""
    with ExitStack() as stack:
        if request.param == "loop":
            yield Field(tmp_path, stack)
        else:
            yield StandingField(tmp_path, stack, request.getfixturevalue("standing_gateway"))


@pytest.fixture
def paper(tmp_path: Path) -> Iterator[Field]:
    """Give a field for what commands say, where nothing is served."""
    with ExitStack() as stack:
        yield Field(tmp_path, stack)
