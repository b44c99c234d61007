"""Look-ups that go wrong, bodies that never end, many of them at once: nobody is let through, and memory is bounded."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.security.casebook import Case
from tests.security.conftest import Report
from tests.security.judge import Reached, judge_refusal
from tests.security.meter import HONEST_SECONDS, memory_mib, read
from tests.security.own_bench import OwnBench, request, running_own
from tests.security.rig import connected, first_answer
from tests.security.tally import Tally

JSON = "HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{lines}\r\n{body}"
BOB = '{"resourceId":"bob"}'
MAX_MORE_MIB = 200.0  # 64 MiB of bodies, what is read of one, and what Python gives back late
MANY = 80


def told(body: str = BOB, status: int = 200, lines: str = "") -> str:
    return JSON.format(status=status, length=len(body), body=body, lines=lines)


LOOKUPS = {
    "hang": "hang",
    "cut": "cut",
    "huge": "huge",
    "huge and whole": "huge and whole",
    "endless": "endless",
    "deep": "deep",
    "closed": "",
    "no HTTP": "bob\r\n\r\n",
    "half a head": "HTTP/1.1 200 OK\r\nContent-",
    "not found": told(status=404),
    "refused": told(status=403),
    "unknown caller": told(status=401),
    "redirect": told(status=302, lines="Location: /api/schedules/bob-schedule\r\n"),
    "too many": told(status=429),
    "broken": told(status=500),
    "busy": told(status=503),
    "created": told(status=201),
    "partial": told(status=206),
    "compressed": told(lines="Content-Encoding: gzip\r\n", body="\x1f\x8b\x08" + BOB),
    "page": told("<html>bob</html>"),
    "empty": told(""),
    "list": told(f"[{BOB}]"),
    "text": told('"bob"'),
    "null": told('{"resourceId":null}'),
    "no owner": told("{}"),
    "of nobody": told('{"resourceId":""}'),
    "list of owners": told('{"resourceId":["bob"]}'),
    "object": told('{"resourceId":{"toString":"bob"}}'),
    "number": told('{"resourceId":1}'),
    "nearly": told('{"resourceId":"bob "}'),
    "in another case": told('{"resourceId":"Bob"}'),
    "under another name": told('{"resourceid":"bob","resource":"bob","owner":"bob"}'),
    "deeper": told('{"schedule":{"resourceId":"bob"}}'),
    "behind": told('{"resourceId":"ann"}') + told(),
    "switched": "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n" + BOB,
    "two lengths": f"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: {len(BOB)}\r\n\r\n{BOB}",
    "many values": told('{"resourceId":"bob","metadata":[' + "[]," * 400_000 + "1]}"),
    "not UTF-8": told('{"resourceId":"bob\xff"}'),
}


@pytest.mark.parametrize("name", LOOKUPS)
def test_lookup_that_goes_wrong_lets_nobody_through(own: OwnBench, tally: Tally, name: str) -> None:
    with tally.of(Case(f"own.lookup[{name}]", "own", True, {})), odd(own, LOOKUPS[name] or "\r\n"):
        # One that nobody asked about yet: owners are remembered.
        id = f"ann-{list(LOOKUPS).index(name)}"
        own.mastra.things.schedules[id] = {"owner": "ann", "text": "", "state": ""}
        before = own.mastra.things.of_others()
        answer = own.send({"method": "POST", "target": f"/api/schedules/{id}/pause"})
        changed = own.mastra.things.of_others() != before
        seen = own.mastra.take()
        if changed or any(one.method != "GET" for one in seen):
            raise Reached("it was let through")
        assert seen, "it was asked"
        assert answer.status in (403, 502, 503, 504), answer.raw
        judge_refusal(answer)
    assert own.send({"method": "POST", "target": "/api/schedules/bob-schedule/pause"}).status == 200


@contextmanager
def odd(own: OwnBench, lookups: str) -> Iterator[None]:
    """Have look-ups answered oddly for the length of a block."""
    own.mastra.take()
    own.mastra.lookups = lookups
    own.mastra.released.clear()
    try:
        yield
    finally:
        own.mastra.lookups = ""
        own.mastra.released.set()
        own.mastra.take()


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_body_that_stops_goes_nowhere(own: OwnBench, tally: Tally, framing: str) -> None:
    with tally.of(Case(f"own.slow[{framing}]", "own", True, {})), connected(own.port) as client:
        own.mastra.take()
        whole = request(
            {"method": "POST", "target": "/api/agents/weather/generate", "framing": framing, "body": '{"messages":"x"}'}
        )
        client.sendall(whole[:-6])
        answer = first_answer(client)
        if own.mastra.take():
            raise Reached("half a body reached Mastra")
        assert answer.status == 408, answer.raw
        judge_refusal(answer)


def test_client_that_leaves_during_a_lookup_is_not_served(own: OwnBench, tally: Tally) -> None:
    with tally.of(Case("own.left", "own", True, {})), odd(own, "hang"):
        own.mastra.things.schedules["bob-left"] = {"owner": "bob", "text": "", "state": ""}
        with connected(own.port) as client:
            client.sendall(request({"method": "DELETE", "target": "/api/schedules/bob-left"}))
            wait_for(lambda: bool(own.mastra.seen))
        wait_for(lambda: read(own.gateway).open_requests == 0)
        own.mastra.lookups = ""
        own.mastra.released.set()
        assert own.send({"target": "/api/memory/threads"}).status == 200
        if any(one.method == "DELETE" for one in own.mastra.take()):
            raise Reached("what was asked for by somebody who left was done")


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)  # polls a thread; nothing is ordered by it


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnBench]:
    """Give peers whose gateway waits long for bodies, so that many are held at once."""
    folder: Path = tmp_path_factory.mktemp("patient")
    with running_own(folder, "limits: {body_idle_timeout: 60s, body_timeout: 2m, header_timeout: 60s}") as made:
        yield made


class Memory:
    """The most that a process held while it was looked at."""

    def __init__(self, pid: int) -> None:
        self._pid, self.before = pid, memory_mib(pid)
        self.most, self._is_over = self.before, threading.Event()

    def __enter__(self) -> Memory:
        self._looking = threading.Thread(target=self._look)
        self._looking.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._looking.join()

    def _look(self) -> None:
        while not self._is_over.wait(0.02):
            self.most = max(self.most, memory_mib(self._pid))

    @property
    def more_mib(self) -> float:
        """How much more it was than before."""
        return self.most - self.before


SMALL = b'{"a":1},'


@pytest.mark.slow
@pytest.mark.parametrize(
    "what",
    ["bodies that stop short of their end", "objects whose owner nobody says", "files whose owner nobody says"],
)
def test_many_bodies_take_bounded_memory(patient: OwnBench, tally: Tally, report: Report, what: str) -> None:
    with tally.of(Case(f"own.memory[{what}]", "own", True, {})), contextlib.ExitStack() as stack:
        memory_of = b'"memory":{"thread":"bob-thread","resource":"bob"}'
        spec = {"method": "POST", "target": "/api/agents/weather/network", "body": ""}
        match what.split()[0]:
            case "bodies":
                body, sent = b'{"messages":"' + b"x" * 4_718_000 + b'"}', 4_500_000
            case "objects":
                body = b'{"x":[' + SMALL * 49_000 + b"1]," + memory_of + b"}"
                sent = len(body)
            case _:
                body = b'{"x":"\\ud83d\\ude00' + b"x" * 4_600_000 + b'",' + memory_of + b"}"
                sent = len(body)
        stack.enter_context(odd(patient, "hang"))
        head = request(spec).replace(b"Content-Length: 0", b"Content-Length: %d" % len(body))
        memory = Memory(patient.gateway.pid)
        with memory, ThreadPoolExecutor(16) as pool:
            clients = [stack.enter_context(connected(patient.port)) for _ in range(MANY)]
            list(pool.map(lambda client: send(client, head + body[:sent]), clients))
            waited = sorted(honest(patient) for _ in range(5))[2]
        refused = sum(first_status(client) == 503 for client in clients)
        report(
            f"own {MANY} {what}: {memory.more_mib:.0f} MiB more at the most, {refused} refused as too many;"
            f" others were answered in {waited * 1000:.0f} ms"
        )
        assert refused
        assert memory.more_mib < MAX_MORE_MIB
        assert waited < HONEST_SECONDS
        if any(one.method == "POST" and one.target.endswith("network") for one in patient.mastra.take()):
            raise Reached("a body reached Mastra, whose owner nobody told")


@pytest.mark.slow
def test_many_large_answers_to_lookups_take_bounded_memory(patient: OwnBench, tally: Tally, report: Report) -> None:
    with tally.of(Case("own.memory[answers]", "own", True, {})), contextlib.ExitStack() as stack:
        stack.enter_context(odd(patient, "nearly all"))
        memory = Memory(patient.gateway.pid)
        with memory:
            for number in range(MANY):
                client = stack.enter_context(connected(patient.port))
                client.sendall(request({"target": f"/api/schedules/big-{number}"}))
            wait_for(lambda: patient.mastra.told > 12)
            waited = sorted(honest(patient) for _ in range(5))[2]
        report(f"own {MANY} large answers: {memory.more_mib:.0f} MiB more at the most")
        assert memory.more_mib < MAX_MORE_MIB
        assert waited < HONEST_SECONDS


def send(client: socket.socket, data: bytes) -> None:
    client.settimeout(60)
    with contextlib.suppress(OSError):
        client.sendall(data)


def first_status(client: socket.socket) -> int:
    """Return the status of an answer that has come, 0 if none has."""
    client.setblocking(False)
    try:
        return int(client.recv(64)[9:12] or 0)
    except OSError:
        return 0


def honest(own: OwnBench) -> float:
    """Return how long a small call by somebody else takes, in seconds."""
    begin = time.monotonic()
    answer = own.send(
        {
            "method": "POST",
            "target": "/api/agents/weather/generate",
            "body": '{"messages":"hi"}',
            "claims": {"sub": "carol"},
        }
    )
    assert answer.status == 200, answer.raw
    return time.monotonic() - begin
