"""Several processes on one port, as `gateway serve` runs them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.processes.folder import remove_left_behind
from tests.processes import free_port, process, status_of, wait_until

START_SECONDS = 30.0


class Served:
    """A running `gateway serve` with two workers, in front of nothing: its own answers are enough."""

    def __init__(self, master: subprocess.Popen[bytes], port: int, admin: int, file: Path, log: Path) -> None:
        self.master, self.port, self.admin, self.file, self.log = master, port, admin, file, log

    def workers(self) -> list[int]:
        """Return the process ids of the workers, by what they were started as."""
        ids = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    command = (entry / "cmdline").read_bytes()
                    parent = re.search(r"\nPPid:\t(\d+)", (entry / "status").read_text())
                except OSError:
                    continue
                if b"gateway.processes.worker\0" in command and str(self.file).encode() in command:
                    assert parent is not None
                    ids.append(int(entry.name))
        return sorted(ids)

    def told(self, path: str) -> bytes:
        """Return what the admin port says."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=10) as answer:
            return bytes(answer.read())

    def is_ready(self) -> bool:
        """True if the admin port says that every worker is ready."""
        return status_of(f"http://127.0.0.1:{self.admin}/readyz") == 200


def text_of(port: int, admin: int, route: str = "/x") -> str:
    return (
        f"listen: 127.0.0.1:{port}\nadmin: 127.0.0.1:{admin}\nworkers: 2\nupstream: http://127.0.0.1:9\n"
        f"routes: {{{route}: {{public: true}}}}\n"
    )


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    port, admin = free_port(), free_port()
    file, log = tmp_path / "gateway.yaml", tmp_path / "log"
    file.write_text(text_of(port, admin))
    command = [sys.executable, "-m", "gateway", "serve", "-c", str(file)]
    up = f"http://127.0.0.1:{admin}/readyz"
    with process(command, log, lambda: status_of(up) == 200, {"TMPDIR": str(tmp_path)}) as master:
        yield Served(master, port, admin, file, log)


pytestmark = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds the workers in /proc")


def test_both_workers_serve_and_the_admin_port_speaks_for_both(served: Served) -> None:
    assert len(served.workers()) == 2
    asked = 40
    for _ in range(asked):
        assert status_of(f"http://127.0.0.1:{served.port}/nowhere") == 404
    status = json.loads(served.told("/status"))
    assert (status["workers"], status["ready"], status["agree"]) == (2, True, True)
    assert str(served.file) in status["configuration"]["files"]
    counted = re.search(rb'gateway_requests_total\{[^}]*status="404"\} (\d+)', served.told("/metrics"))
    assert counted is not None and int(counted[1]) == asked, "the sum of both"
    assert len(status["refusals"]) == asked, "those of both"
    assert sum(slot["refused"] for slot in status["recent"]["slots"]) == asked
    assert b"<h1>Mastra auth gateway</h1>" in served.told("/")


def test_worker_that_dies_is_started_again(served: Served) -> None:
    before = served.workers()
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: len(set(served.workers()) - {before[0]}) == 2 and served.is_ready())
    assert before[1] in served.workers(), "the other one lived on"
    assert status_of(f"http://127.0.0.1:{served.port}/nowhere") == 404


def test_sighup_reaches_every_worker(served: Served) -> None:
    served.file.write_text(text_of(served.port, served.admin, "/y"))
    served.master.send_signal(signal.SIGHUP)

    def routes() -> list[str]:
        status = json.loads(served.told("/status"))
        return [route["route"] for route in status["routes"]] if status["agree"] else []

    wait_until(lambda: routes() == ["/y"])


def test_sigterm_ends_all_with_status_0(served: Served) -> None:
    served.master.send_signal(signal.SIGTERM)
    assert served.master.wait(START_SECONDS) == 0
    assert served.workers() == []


def test_workers_do_not_outlive_a_master_that_was_killed(served: Served) -> None:
    # They would hold the port and go on with a file that nobody reads again.
    served.master.kill()
    served.master.wait()
    wait_until(lambda: served.workers() == [])
    assert folders(served) == [], "with the key that is in it"


def test_folder_of_a_master_that_was_killed_with_its_workers_goes_at_the_next_start(served: Served) -> None:
    for worker in served.workers():
        os.kill(worker, signal.SIGSTOP)  # or they would notice, and remove it themselves
    workers = served.workers()
    served.master.kill()
    served.master.wait()
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    wait_until(lambda: served.workers() == [])
    assert len(folders(served)) == 1
    remove_left_behind(served.file.parent)
    assert folders(served) == []


def test_folder_of_a_master_that_lives_stays(served: Served) -> None:
    remove_left_behind(served.file.parent)
    assert len(folders(served)) == 1 and served.is_ready()


def test_only_what_a_master_has_made_is_removed(tmp_path: Path) -> None:
    (tmp_path / "gateway-mine").mkdir()
    (tmp_path / "gateway-mine" / "notes").touch()
    (tmp_path / "gateway-file").touch()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "master.lock").touch()
    (tmp_path / "gateway-link").symlink_to(elsewhere)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "master.lock").touch()
    (tmp_path / "gateway-gone").mkdir()
    (tmp_path / "gateway-gone" / "master.lock").touch()
    remove_left_behind(tmp_path)
    left = sorted(entry.name for entry in tmp_path.iterdir())
    assert left == ["elsewhere", "gateway-file", "gateway-link", "gateway-mine", "other"]
    assert (elsewhere / "master.lock").exists()


def folders(served: Served) -> list[str]:
    return [entry.name for entry in served.file.parent.glob("gateway-*")]


def test_port_in_use_is_said_once_and_ends_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file = tmp_path / "gateway.yaml"
        file.write_text(text_of(port, free_port()))
        command = [sys.executable, "-m", "gateway", "serve", "-c", str(file)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=START_SECONDS, check=False)
    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in ended.stderr


ASKED = (
    b"GET /authz/nginx HTTP/1.1\r\nHost: a\r\nX-Original-Method: GET\r\nX-Original-URI: /x\r\nConnection: close\r\n\r\n"
)


def status_on(path: Path) -> bytes:
    """Ask for a decision on a socket; return the first line of the answer."""
    with socket.socket(socket.AF_UNIX) as engine:
        engine.settimeout(START_SECONDS)
        engine.connect(str(path))
        engine.sendall(ASKED)
        return engine.makefile("rb").readline()


def test_workers_share_the_socket_on_which_engines_ask(tmp_path: Path) -> None:
    port, admin, path = free_port(), free_port(), tmp_path / "decide.sock"
    file, log = tmp_path / "gateway.yaml", tmp_path / "log"
    file.write_text(f'decisions: {{listen: "unix:{path}"}}\n{text_of(port, admin)}')
    command = [sys.executable, "-m", "gateway", "serve", "-c", str(file)]
    up = f"http://127.0.0.1:{admin}/readyz"
    with process(command, log, lambda: status_of(up) == 200, {"TMPDIR": str(tmp_path)}) as master:
        served = Served(master, port, admin, file, log)
        for _ in range(20):
            assert status_on(path) == b"HTTP/1.1 200 OK\r\n"
        before = served.workers()
        os.kill(before[0], signal.SIGKILL)
        wait_until(lambda: len(served.workers()) == 2 and served.workers() != before)
        wait_until(served.is_ready)
        for _ in range(20):
            assert status_on(path) == b"HTTP/1.1 200 OK\r\n", "a worker's end takes the socket from no other"
        master.send_signal(signal.SIGTERM)
        assert master.wait(START_SECONDS) == 0
        assert not path.exists()


def test_a_socket_that_another_gateway_holds_is_told_at_once(tmp_path: Path) -> None:
    path, file = tmp_path / "decide.sock", tmp_path / "gateway.yaml"
    file.write_text(f'decisions: {{listen: "unix:{path}"}}\n{text_of(free_port(), free_port())}')
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        command = [sys.executable, "-m", "gateway", "serve", "-c", str(file)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=START_SECONDS, check=False)
    assert ended.returncode == 1
    assert f"gateway serve: cannot listen on unix:{path} (decisions): Address already in use" in ended.stderr
