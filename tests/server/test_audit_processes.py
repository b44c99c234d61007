"""The audit of `gateway serve`: a file that cannot be written, several workers at once, rotation under load."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.minting import FAR, SECRET, mint
from tests.processes import Served, free_port, process, served, status_of, wait_until

ANN = mint({"sub": "ann", "exp": FAR, "email": "ann@example.com"})
FILE = """upstream: http://127.0.0.1:{upstream}
providers: {{jobs: {{type: jwt, secret: {secret}}}}}
routes: {{/api: {{provider: jobs, allow: authenticated}}}}
audit: {{file: audit.jsonl, claims: [email]{more}}}
"""
STARTS = [sys.executable, "-m", "gateway", "serve", "-c"]


def text_of(upstream: int, more: str = "") -> str:
    return FILE.format(upstream=upstream, secret=SECRET.decode(), more=more)


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Run a stand-in for Mastra, and give its port."""
    port = free_port()
    command = [sys.executable, "-m", "gateway", "standin", "--port", str(port)]
    log = tmp_path_factory.mktemp("standin") / "log"
    with process(command, log, lambda: status_of(f"http://127.0.0.1:{port}/health") == 200):
        yield port


def post(port: int, path: str = "/api/x", token: str = ANN) -> int:
    """Return the status of a POST."""
    asked = urllib.request.Request(  # loopback
        f"http://127.0.0.1:{port}{path}", b"{}", {"Authorization": f"Bearer {token}"}
    )
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        return refusal.code


def lines_of(*files: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def in_threads(count: int, act: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=act, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def state_of(gateway: Served) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.admin}/status", timeout=10) as answer:
        told = json.loads(answer.read())
    assert isinstance(told, dict)
    return told


@pytest.mark.parametrize("workers", [1, 2])
def test_file_that_cannot_be_written_is_a_mistake_with_its_place(workers: int, tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    text = text_of(9).replace("audit.jsonl", "none/audit.jsonl")
    file.write_text(f"listen: 127.0.0.1:{free_port()}\nadmin: none\nworkers: {workers}\n{text}")
    own = {**os.environ, "GATEWAY_STATE_DIR": str(tmp_path)}
    done = subprocess.run([*STARTS, str(file)], capture_output=True, text=True, env=own, timeout=60, check=False)
    assert done.returncode == 1
    said = f"{file}:7:15: audit.file: {tmp_path}/none/audit.jsonl cannot be written: No such file or directory"
    assert done.stderr.splitlines()[-1] == f"gateway serve: {said}"


def test_two_workers_share_one_file_while_it_is_rotated(upstream: int, tmp_path: Path) -> None:
    asked, callers = 40, 6
    with served(f"workers: 2\n{text_of(upstream)}", tmp_path) as gateway:
        audit, old = tmp_path / "audit.jsonl", tmp_path / "audit.jsonl.1"
        assert oct(audit.stat().st_mode & 0o777) == "0o600"

        def act(caller: int) -> None:
            for number in range(asked):
                assert post(gateway.port, f"/api/{caller}/{number}/{'x' * 200}") < 500

        in_threads(callers, act)
        audit.rename(old)
        wait_until(lambda: post(gateway.port, "/api/wait") < 500 and audit.exists())
        in_threads(callers, act)
        told = lines_of(old, audit)
        paths = [line["path"] for line in told if line["path"] != "/api/wait"]
        assert len(paths) == 2 * asked * callers and len(set(paths)) == asked * callers
        assert {line["subject"] for line in told} == {"ann"}
        digest = state_of(gateway)["configuration"]["digest"]
        assert {line["configuration"] for line in told} == {digest}
        assert state_of(gateway)["audit"]["lines"] == {"written": len(told), "lost": 0}
        checked = subprocess.run(
            [sys.executable, "-m", "gateway", "check", "-c", str(tmp_path / "gateway.yaml"), "--json"],
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        assert json.loads(checked.stdout)["digest"] == digest


@pytest.mark.parametrize("on_failure", ["count", "refuse"])
def test_disk_that_is_full_does_what_the_file_says(on_failure: str, upstream: int, tmp_path: Path) -> None:
    # As a disk would: no file of this process grows beyond a size (EFBIG), and half a line is taken before.
    text = text_of(upstream, f", on_failure: {on_failure}")
    file, log, port, admin = tmp_path / "gateway.yaml", tmp_path / "log", free_port(), free_port()
    file.write_text(f"listen: 127.0.0.1:{port}\nadmin: 127.0.0.1:{admin}\n{text}")
    limits = 'ulimit -S -f 8; exec "$@" > >(ulimit -S -f unlimited; exec cat)'
    limited = ["bash", "-c", limits, "-", *STARTS, str(file)]
    up = f"http://127.0.0.1:{admin}/readyz"
    with process(limited, log, lambda: status_of(up) == 200) as running:
        gateway = Served(port, admin, log, running.pid)
        statuses = [post(port) for _ in range(60)]
        assert 503 not in statuses[:10]
        assert (503 in statuses) == (on_failure == "refuse")
        told = state_of(gateway)
        assert told["audit"]["lines"]["lost"] > 5 and told["audit"]["failing_seconds"] is not None
        assert any("the audit cannot be written" in one["what"] for one in told["troubles"])
        audit = tmp_path / "audit.jsonl"
        os.truncate(audit, audit.stat().st_size - 3000)  # somebody made room, in the middle of a line
        wait_until(lambda: post(port) != 503)
        whole = [line for line in audit.read_text().splitlines() if line.endswith("}")]
        assert json.loads(whole[-1])["event"] == "write"
        assert state_of(gateway)["audit"]["failing_seconds"] is None
    said = [json.loads(line)["event"] for line in log.read_text().splitlines() if "event" in json.loads(line)]
    assert [one.partition(" ")[2].partition(" ")[2][:17] for one in said if one.startswith("audit:")] == [
        "cannot be written", "is written again;",
    ]  # fmt: skip


def test_sighup_follows_a_rename_at_once(upstream: int, tmp_path: Path) -> None:
    with served(text_of(upstream), tmp_path) as gateway:
        post(gateway.port)
        audit = tmp_path / "audit.jsonl"
        audit.rename(tmp_path / "audit.jsonl.1")
        os.kill(gateway.pid, 1)
        wait_until(lambda: "is in force" in gateway.log.read_text())
        post(gateway.port)
        assert len(lines_of(audit)) == 1
