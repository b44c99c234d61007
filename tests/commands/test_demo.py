"""`gateway demo`, as a person meets it: start it, paste its lines, press Ctrl-C."""

from __future__ import annotations

import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import gateway
from tests.programs import needs

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(gateway.__file__).parent.parent)}
LAST_LINE = "# Ctrl-C ends the demo."
pytestmark = needs("bash", "curl")


@dataclass(frozen=True, slots=True)
class Paste:
    """What the demo printed: the variables, and each call with the status that it promises."""

    exports: str
    calls: tuple[tuple[str, str], ...]
    lines: tuple[str, ...]


def read_paste(process: subprocess.Popen[str]) -> Paste:
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if lines[-1] == LAST_LINE:
            break
    else:
        pytest.fail(f"the demo ended by itself, after: {lines}")
    exports = "\n".join(line for line in lines if line.startswith("export "))
    calls = []
    for before, line in itertools.pairwise(lines):
        if line.startswith("curl "):
            promised = re.match(r"# (\d{3}) ", before)
            assert promised, f"no status stands before: {line}"
            calls.append((promised[1], line))
    return Paste(exports, tuple(calls), tuple(lines))


def start(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    # Not in the checkout: what the demo needs, it brings with it.
    command = [sys.executable, "-m", "gateway", "demo", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder, env=ENVIRONMENT)


def paste(exports: str, line: str) -> str:
    result = subprocess.run(
        ["bash", "-c", f"{exports}\n{line}"], capture_output=True, text=True, timeout=30, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    process = start(folder=tmp_path_factory.mktemp("demo"))
    yield process
    process.kill()
    process.communicate()


@pytest.fixture(scope="module")
def printed(demo: subprocess.Popen[str]) -> Paste:
    return read_paste(demo)


def test_every_call_gives_the_status_that_stands_before_it(printed: Paste) -> None:
    got = {line: paste(printed.exports, line).split(" ", 2)[1] for _, line in printed.calls}
    assert got == {line: promised for promised, line in printed.calls}


def test_calls_show_yes_and_both_kinds_of_no(printed: Paste) -> None:
    assert {"200", "401", "403"} <= {promised for promised, _ in printed.calls}


def test_variables_are_plain_assignments(printed: Paste) -> None:
    for line in printed.exports.splitlines():
        assert re.fullmatch(r"export [A-Z]+=[A-Za-z0-9_.:/-]+", line)


def test_calls_use_only_the_variables_that_were_printed(printed: Paste) -> None:
    names = set(re.findall(r"^export ([A-Z]+)=", printed.exports, re.MULTILINE))
    assert {name for _, line in printed.calls for name in re.findall(r"\$(\w+)", line)} <= names


def test_stream_passes_all_ten_events(printed: Paste) -> None:
    (line,) = [line for _, line in printed.calls if line.startswith("curl -iN")]
    answer = paste(printed.exports, line)
    assert "content-type: text/event-stream" in answer.lower()
    assert answer.count('data: {"type"') == 10
    assert answer.rstrip().endswith("data: [DONE]")


def test_upstream_learns_who_calls_and_not_what_the_caller_claims(printed: Paste) -> None:
    (line,) = [line for _, line in printed.calls if line.endswith("/api/whoami")]
    answer = paste(printed.exports, f"{line} -H 'X-Auth-Email: root@yourcompany.com' -H 'x_auth_email: root@x.com'")
    assert '"X-Auth-Email": "alice@yourcompany.com"' in answer
    assert "root@" not in answer


def test_status_page_is_named_and_there(printed: Paste) -> None:
    (page,) = [line.split()[-1] for line in printed.lines if "status page: " in line]
    with urllib.request.urlopen(page, timeout=10) as answer:
        assert answer.status == 200


def test_ctrl_c_ends_it_with_status_0(demo: subprocess.Popen[str], printed: Paste) -> None:
    file = Path(next(line for line in printed.lines if "Its file: " in line).split("Its file: ")[1])
    assert file.is_file()
    demo.send_signal(signal.SIGINT)
    assert demo.wait(timeout=20) == 0
    assert not file.exists()


def test_taken_port_is_a_clear_no(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = subprocess.run(
            [sys.executable, "-m", "gateway", "demo", "--port", str(port)],
            capture_output=True, text=True, cwd=tmp_path, env=ENVIRONMENT, timeout=30, check=False,
        )  # fmt: skip
    assert result.returncode == 1
    assert f"127.0.0.1:{port} is in use" in result.stderr
