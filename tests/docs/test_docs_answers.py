"""The reference pages on answers and headers say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.explain.general import general_advice
from gateway.policy.fields import FRAMING, HOP_BY_HOP, REPLACED, UNTRUSTED
from gateway.policy.reasons import Reason
from tests.minting import mint
from tests.rawpeer import ask
from tests.running import config_for, running, upstream_at

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
ANSWERS = (REFERENCE / "answers.md").read_text(encoding="utf-8")
HEADERS = (REFERENCE / "headers.md").read_text(encoding="utf-8")


def rows(page: str) -> list[list[str]]:
    """Return the cells of every table row that begins with a name in backticks."""
    lines = [line for line in page.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


ROWS = rows(ANSWERS)


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.code)
def test_reason_has_one_row_that_says_what_clients_get(reason: Reason) -> None:
    found = [cells for cells in ROWS if cells[0] == f"`{reason.code}`"]
    assert [cells[:4] for cells in found] == [
        [f"`{reason.code}`", str(reason.status), reason.value.error, reason.value.meaning]
    ]
    assert found[0][4] == general_advice(reason), "the page and `gateway explain` say the same"
    assert found[0][4].endswith(".")


async def test_sample_answer_is_what_is_sent() -> None:
    """The names of its headers, their order and values, its body; ids and lengths vary."""
    sample = re.search(r"```text\n(HTTP/1\.1 401 .*?)```", ANSWERS, re.DOTALL)
    assert sample is not None
    async with running(config_for(upstream_at("http://127.0.0.1:9"))) as gateway:
        token = mint({"sub": "u", "exp": 1})
        request = f"GET /api/x HTTP/1.1\r\nHost: gw.test\r\nAuthorization: Bearer {token}\r\n\r\n"
        _, head, body = await ask(gateway.port, request.encode())
    sent = (head + body).decode().replace("\r\n", "\n") + "\n"
    varying = re.compile(r"[0-9a-f]{32}|(?<=Content-Length: )\d+")
    assert varying.sub("...", sent) == varying.sub("...", sample[1])


def test_every_row_is_of_a_reason() -> None:
    assert {cells[0] for cells in ROWS} == {f"`{reason.code}`" for reason in Reason}


@pytest.mark.parametrize("name", [*HOP_BY_HOP, *FRAMING, *UNTRUSTED])
def test_removed_header_is_in_the_page(name: str) -> None:
    removed = HEADERS.partition("## Removed from requests")[2].partition("\n## ")[0]
    assert f"`{name}`" in removed


@pytest.mark.parametrize("name", REPLACED)
def test_header_that_the_gateway_sets_is_in_the_page(name: str) -> None:
    described = HEADERS.partition("## Set on requests")[2].partition("\n## ")[0]
    assert f"| `{name}` |" in described
