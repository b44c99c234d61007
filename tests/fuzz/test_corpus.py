"""What fuzzing has found stays fixed, a short round finds nothing, and the oracle can find."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.fuzz import pure, wire
from tests.fuzz.campaign import CORPUS, Campaign
from tests.fuzz.wire import Finding
from tests.security.bench import Bench, running_bench
from tests.security.rig import Listener

RECORDS = [yaml.safe_load(file.read_text()) for file in sorted(CORPUS.glob("*.yaml"))]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with running_bench(tmp_path_factory.mktemp("fuzz")) as made:
        yield made


@pytest.mark.parametrize("record", RECORDS, ids=[file.stem for file in sorted(CORPUS.glob("*.yaml"))])
@pytest.mark.parametrize("half_closes", [False, True], ids=["open", "half-closed"])
def test_what_was_found_stays_fixed(bench: Bench, record: dict[str, str], half_closes: bool) -> None:
    data = record["data"].encode("latin-1")
    if record["part"] == "wire":
        wire.check(bench, data, [], half_closes=half_closes)
        wire.check_alive(bench)
    else:
        pure.check(record["part"], data)


@pytest.mark.parametrize("rounds", [4, pytest.param(25, marks=pytest.mark.slow)])
def test_a_short_round_finds_nothing(bench: Bench, rounds: int) -> None:
    campaign = Campaign(bench, seed=1)
    for _ in range(rounds):
        campaign.round()
    assert not campaign.findings, "\n".join(found.text() for found in campaign.findings)


def test_the_oracle_sees_a_gateway_that_only_copies(bench: Bench) -> None:
    """A pipe to the upstream in the gateway's place: whatever is wrong gets through, and must be noticed."""

    def pipe(client: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", bench.upstream.port)) as upstream:
            thread = threading.Thread(target=_copy, args=(upstream, client))
            thread.start()
            _copy(client, upstream)
            thread.join()

    listener = Listener(pipe)
    ports, bench.ports = bench.ports, {"main": listener.port}
    wrong = [
        b"GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /public/x HTTP/1.1\r\nHost: a\r\nX_Auth_User_Id: evil\r\n\r\n",
        b"GET /public/x HTTP/1.1\r\nHost: a\r\nX-Original-URL: /api\r\n\r\n",
        b"GET /public/x HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        b"GET /public/../api HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ]
    try:
        for data in wrong:
            with pytest.raises(Finding):
                wire.check(bench, data, [], half_closes=True)
    finally:
        bench.ports = ports
        listener.close()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)


def test_the_oracle_sees_a_function_that_breaks() -> None:
    kept = pure.CHECKS["token"]
    pure.CHECKS["token"] = lambda data: [][1]
    try:
        with pytest.raises(Finding, match="IndexError"):
            pure.check("token", b"x")
    finally:
        pure.CHECKS["token"] = kept


def test_findings_are_kept_as_data(tmp_path: Path) -> None:
    assert RECORDS
    assert all(set(record) == {"part", "why", "seed", "data"} for record in RECORDS)
