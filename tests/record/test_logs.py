"""The log: lines for machines, lines for people, and nothing secret in either."""

from __future__ import annotations

import io
import json
import logging
import os
import queue
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.policy.upstreams import Upstream
from gateway.record import logs
from gateway.record.batches import Batches
from gateway.record.logs import _Lines
from gateway.record.outcome import Outcome, log_fields, log_line
from gateway.record.subject import SubjectHash, installation_key, keep_once
from tests.minting import SECRET, mint
from tests.processes import served
from tests.secrecy import Listener, leaks_in

FIELDS: dict[str, Any] = {
    "time": "2026-11-21T05:33:03Z",
    "method": "GET",
    "path": "/api/\x1b[31mx",
    "route": "/api",
    "decision": "deny",
    "code": "access_denied",
    "detail": "no `allow` rule holds",
    "status": 403,
    "total_ms": 1.25,
    "ended": "refused",
}


def record(message: Any, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("gateway.keys", level, "", 0, message, None, None)


def test_search_finds_what_should_not_be_there() -> None:
    # The search itself is tried, or it could be blind.
    token = mint({"sub": "somebody"})
    _, payload, signature = token.split(".")
    for leak in (token, signature, payload, signature[:30], f"Authorization: Bearer {token}", SECRET.decode()):
        assert leaks_in(f'{{"detail": "{leak}"}}'), leak
    assert not leaks_in('{"request_id": "3777fc41b3125224da2e7cacff07cbc1", "path": "/api/agents"}')


def test_listener_hears_a_leak_of_this_process() -> None:
    listener = Listener()
    logging.getLogger("gateway.keys").addHandler(listener)
    try:
        logging.getLogger("gateway.keys").propagate = False
        logging.getLogger("gateway.keys").warning("found %s", mint({"sub": "x"}))
    finally:
        logging.getLogger("gateway.keys").propagate = True
        logging.getLogger("gateway.keys").removeHandler(listener)
    assert listener.leaks


def test_line_put_together_by_hand_says_what_json_would_write() -> None:
    full = Outcome("id", "GET", '/a"b\x7f\udcff' + "x" * 300, "192.0.2.1", began_at=1.0)
    full.decided_at, full.first_byte_at, full.status, full.is_websocket = 1.00012, 1.5, 200, True
    full.route, full.provider, full.subject = "/api", "jobs", "user-1"
    full.upstream, full.host, full.user_agent = Upstream("mastra", "http://mastra"), 'a"\udcff', "x\ty"
    full.kind, full.credential = "human", "session"
    full.own = "look_up"
    full.trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    full.code, full.would_deny, full.rule, full.detail = "access_denied", "x", "company", "said\n" + "y" * 300
    full.note_end()
    bare = Outcome("id", "GET", "/", "unix", began_at=1.0)
    bare.note_end()
    for outcome, subject in ((full, "0123456789abcdef"), (bare, None)):
        line = log_line(outcome, subject)
        assert json.loads(line) == log_fields(outcome, subject) and line.isascii()
        assert list(json.loads(line)) == list(log_fields(outcome, subject))


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        pytest.param({}, "info", id="passed"),
        pytest.param({"status": 404}, "info", id="the-upstream-knows-no-such-thing"),
        pytest.param({"status": 500}, "warning", id="the-upstream-failed-by-itself"),
        pytest.param({"code": "token_missing", "status": 401, "ended": "refused"}, "warning", id="refused"),
        pytest.param({"would_deny": "access_denied"}, "warning", id="would-be-refused"),
        pytest.param({"code": "upstream_unreachable", "status": 502, "ended": "refused"}, "error", id="no-upstream"),
        pytest.param({"code": "keys_unavailable", "status": 503, "ended": "refused"}, "error", id="no-keys"),
        pytest.param({"code": "shutting_down", "status": 503, "ended": "shut_down"}, "warning", id="each-deployment"),
        pytest.param({"ended": "upstream_cut"}, "error", id="broke-off"),
        pytest.param({"code": "internal_error", "status": 500, "ended": "failed"}, "error", id="ours"),
        pytest.param({"ended": "client_gone"}, "info", id="client-left"),
    ],
)
def test_level_is_that_of_the_outcome(changes: dict[str, Any], level: str) -> None:
    outcome = Outcome("id", "GET", "/", "192.0.2.1", began_at=1.0)
    outcome.status = 200
    for name, value in changes.items():
        setattr(outcome, name, value)
    outcome.note_end()
    assert json.loads(log_line(outcome, None))["level"] == log_fields(outcome, None)["level"] == level


def test_text_line_is_for_people_and_steers_no_terminal() -> None:
    line = _Lines("text", has_colour=False).request(FIELDS)
    assert line == (
        r"05:33:03 403 GET /api/\x1b[31mx  access_denied no `allow` rule holds  1.25 ms route=/api ended=refused"
    )
    named = _Lines("text", has_colour=False).request(FIELDS | {"level": "warning", "user_agent": "Mozilla/5.0 (X11)"})
    assert named.endswith('route=/api ended=refused user_agent="Mozilla/5.0 (X11)"')
    asked_about = _Lines("text", has_colour=False).request({"request_id": "5f2c0a7e"} | FIELDS)
    assert asked_about.endswith("1.25 ms request_id=5f2c0a7e route=/api ended=refused"), "a client names it"
    coloured = _Lines("text", has_colour=True).request(FIELDS)
    assert coloured.startswith("\x1b[33m05:33:03") and coloured.endswith("\x1b[0m")
    assert "WARNING".lower() in _Lines("text", has_colour=False).format(record("keys are old", logging.WARNING))


@pytest.mark.parametrize("option", [["--log-format", "text"], []])
def test_format_is_that_of_the_command_or_of_the_file(option: list[str], tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(
        "listen: 127.0.0.1:0\nadmin: none\nlog: {format: text}\nupstream: http://x\nroutes: {/: {public: yes}}\n"
    )
    file.write_text(file.read_text().replace("yes", "true"))
    command = [sys.executable, "-m", "gateway", "serve", "-c", str(file), *option]
    environment = os.environ | {"GATEWAY_STATE_DIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as running:
        assert running.stdout is not None
        first = running.stdout.readline()
        running.terminate()
    assert first[2] == ":" and "listening on 127.0.0.1" in first


def test_start_says_where_the_status_page_is(tmp_path: Path) -> None:
    with served("upstream: http://127.0.0.1:9\nroutes: {/: {public: true}}\n", tmp_path) as gateway:
        pass
    said = [json.loads(line)["event"] for line in gateway.log.read_text().splitlines()]
    assert f"status page, health and metrics on http://127.0.0.1:{gateway.admin}" in said
    assert f"listening on 127.0.0.1:{gateway.port}, 1 route of {tmp_path / 'gateway.yaml'}" in said


def test_subject_has_the_same_hash_after_a_restart(tmp_path: Path) -> None:
    text = f"providers: {{jobs: {{type: jwt, secret: {SECRET.decode()}, expiry: optional}}}}\n"
    text += "upstream: http://127.0.0.1:9\nroutes: {/api: {provider: jobs, allow: {role: x}}}\n"
    import urllib.error
    import urllib.request

    found = []
    for name in ("first", "second"):
        with served(text, tmp_path / name, {"GATEWAY_STATE_DIR": str(tmp_path / "state")}) as gateway:
            request = urllib.request.Request(f"http://127.0.0.1:{gateway.port}/api")
            request.add_header("Authorization", f"Bearer {mint({'sub': 'user-1'})}")
            with pytest.raises(urllib.error.HTTPError):
                urllib.request.urlopen(request, timeout=10)
        lines = [json.loads(line) for line in gateway.log.read_text().splitlines()]
        found += [line["subject"] for line in lines if "subject" in line]
    assert len(found) == 2 and found[0] == found[1] and "user-1" not in found[0]


def test_installations_hash_differently() -> None:
    assert SubjectHash(b"a" * 32)("user-1") != SubjectHash(b"b" * 32)("user-1")
    assert SubjectHash(b"a" * 32)(None) is None
    assert SubjectHash(b"a" * 32)("\ud800")


def test_installation_key_is_kept_for_its_owner_only(tmp_path: Path) -> None:
    environment = {"GATEWAY_STATE_DIR": str(tmp_path / "state")}
    key, why = installation_key(environment)
    assert (installation_key(environment), why) == ((key, ""), "")
    assert (tmp_path / "state" / "subject.key").stat().st_mode & 0o777 == 0o400
    assert installation_key({"XDG_STATE_HOME": str(tmp_path)})[1] == ""
    assert installation_key({"HOME": str(tmp_path)})[0] != key


@pytest.mark.parametrize(
    ("content", "why"), [(b"short", "cannot be used"), (b"00" * 8, "holds something else than a key: remove it")]
)
def test_installation_key_that_cannot_be_used_is_said(content: bytes, why: str, tmp_path: Path) -> None:
    keep_once(tmp_path / "subject.key", content)
    key, said = installation_key({"STATE_DIRECTORY": str(tmp_path)})
    assert len(key) == 32 and why in said


def test_installation_without_a_folder_is_said(tmp_path: Path) -> None:
    assert "no folder for it" in installation_key({})[1]
    (tmp_path / "file").write_text("")
    assert "cannot be used" in installation_key({"GATEWAY_STATE_DIR": str(tmp_path / "file" / "x")})[1]


WRITER = """
import asyncio, sys
from pathlib import Path
from gateway.record import logs
from gateway.record.outcome import Outcome

async def main():
    logs.start_logging("json", Path(sys.argv[1]) if sys.argv[1] else None)
    for _ in range(40):
        for number in range(500):
            outcome = Outcome("id", "GET", "/" + "x" * 200, "192.0.2.1")
            outcome.note_end()
            logs.write_access(outcome, lambda subject: None)
        logs._Output.access.flush()
        await asyncio.sleep(0.001)
asyncio.run(main())
"""


def written_by_two(turns: str) -> list[str]:
    reading, writing = os.pipe()
    command = [sys.executable, "-c", WRITER, turns]
    workers = [subprocess.Popen(command, stdout=writing, cwd=Path(__file__).parents[2]) for _ in range(2)]
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as output:
        lines = output.read().splitlines()
    assert [worker.wait(30) for worker in workers] == [0, 0]
    return lines


def test_lines_of_two_workers_do_not_tear_one_another(tmp_path: Path) -> None:
    lines = written_by_two(str(tmp_path / "turns"))
    assert len(lines) == 2 * 40 * 500
    assert all(json.loads(line)["ended"] == "complete" for line in lines)


async def test_lines_that_nobody_reads_are_dropped_by_number_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_MAX_LINES", 1000)
    monkeypatch.setattr(logs._Output, "dropped", 0)
    waiting: queue.Queue[Any] = queue.Queue()
    batches = Batches(log_line, logs._Handover(waiting, logs._Stream(io.StringIO(), None)).give)
    for _ in range(30):
        for _ in range(100):
            outcome = Outcome("id", "GET", "/", "192.0.2.1")
            outcome.note_end()
            batches.write(outcome, None)
        batches.flush()
    assert waiting.qsize() == 11 and logs.lines_dropped() == 1900
