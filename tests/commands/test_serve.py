"""`gateway serve` as a process: signals, exit status, several workers."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.minting import mint
from tests.processes import free_port, process, status_of, wait_until
from tests.security.rig import Upstream, exchange

SECRET = "kJ4v9QzT2mX7bW1cR8yL5nP3sD6fG0hA"
TOKEN = mint({"sub": "u"}, SECRET.encode())


def write_file(folder: Path, upstream: str, **top: object) -> tuple[Path, int, int]:
    port, admin = free_port(), free_port()
    document = {
        "listen": f"127.0.0.1:{port}",
        "admin": f"127.0.0.1:{admin}",
        "upstream": upstream,
        "providers": {"jobs": {"type": "jwt", "secret": SECRET, "expiry": "optional"}},
        "routes": {"/api": {"provider": "jobs", "allow": "authenticated"}},
        **top,
    }
    file = folder / "gateway.yaml"
    file.write_text(json.dumps(document))
    return file, port, admin


def command(file: Path) -> list[str]:
    return [sys.executable, "-m", "gateway", "serve", "-c", str(file)]


def ask(port: int, path: str = "/api/x", token: str | None = TOKEN) -> int:
    line = f"Authorization: Bearer {token}\r\n" if token else ""
    return exchange(port, f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{line}\r\n".encode()).status


def test_file_with_mistakes_does_not_start(tmp_path: Path) -> None:
    file, _, _ = write_file(tmp_path, "http://127.0.0.1:1", routse={}, workers="many")
    done = subprocess.run(command(file), capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "routse" in done.stderr and "did you mean 'routes'" in done.stderr
    assert "workers" in done.stderr
    assert SECRET not in done.stderr + done.stdout


def test_port_in_use_is_said_and_ends_with_1(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        file, _, _ = write_file(tmp_path, "http://127.0.0.1:1", listen=f"127.0.0.1:{taken.getsockname()[1]}")
        done = subprocess.run(command(file), capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "cannot listen on 127.0.0.1" in done.stderr
    assert "Traceback" not in done.stderr


def test_parser_in_python_is_refused(tmp_path: Path) -> None:
    # aiohttp's fallback parser is laxer: CVE-2023-37276, CVE-2024-23829, CVE-2025-53643.
    file, _, _ = write_file(tmp_path, "http://127.0.0.1:1")
    environment = {**os.environ, "AIOHTTP_NO_EXTENSIONS": "1"}
    done = subprocess.run(command(file), capture_output=True, text=True, timeout=30, check=False, env=environment)
    assert done.returncode == 1
    assert "AIOHTTP_NO_EXTENSIONS" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_signal_ends_with_0(tmp_path: Path, number: signal.Signals) -> None:
    file, _, admin = write_file(tmp_path, "http://127.0.0.1:1")
    with process(
        command(file), tmp_path / "log", lambda: status_of(f"http://127.0.0.1:{admin}/readyz") == 200
    ) as running:
        running.send_signal(number)
        assert running.wait(20) == 0
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert lines[-1]["event"] == "stopped"


def test_sighup_reads_the_file_again(tmp_path: Path) -> None:
    upstream = Upstream()
    file, port, admin = write_file(tmp_path, upstream.url)
    with process(
        command(file), tmp_path / "log", lambda: status_of(f"http://127.0.0.1:{admin}/readyz") == 200
    ) as running:
        assert (ask(port), ask(port, "/more")) == (200, 404)
        document = json.loads(file.read_text())
        document["routes"]["/more"] = {"public": True}
        file.write_text(json.dumps(document))
        running.send_signal(signal.SIGHUP)
        wait_until(lambda: ask(port, "/more") == 200)
        file.write_text(json.dumps({**document, "routes": []}))
        running.send_signal(signal.SIGHUP)
        wait_until(lambda: "mistakes: 1" in (tmp_path / "log").read_text())
        assert (ask(port), ask(port, "/more"), ask(port, token=None)) == (200, 200, 401)
    upstream.close()


def test_workers_share_the_port_and_add_up(tmp_path: Path) -> None:
    upstream = Upstream()
    file, port, admin = write_file(tmp_path, upstream.url, workers=2)
    base = f"http://127.0.0.1:{admin}"
    with process(command(file), tmp_path / "log", lambda: status_of(f"{base}/readyz") == 200) as running:
        assert [ask(port) for _ in range(40)] == [200] * 40
        with urllib.request.urlopen(f"{base}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        counted = re.search(r'gateway_requests_total\{code="",decision="allow",route="/api",status="200"\} (\S+)', text)
        assert counted is not None and float(counted[1]) == 40.0
        with urllib.request.urlopen(f"{base}/status", timeout=10) as answer:
            state = json.load(answer)
        assert (state["workers"], state["ready"]) == (2, True)
        assert state["routes"][0]["requests"]["allowed"] == 40
        children = subprocess.run(
            ["pgrep", "-P", str(running.pid)], capture_output=True, text=True, check=True
        ).stdout.split()
        os.kill(int(children[0]), signal.SIGKILL)
        wait_until(lambda: "another starts" in (tmp_path / "log").read_text())
        wait_until(lambda: status_of(f"{base}/readyz") == 200)
        assert ask(port) == 200
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 0
    upstream.close()
