"""Each upstream by what its requests met, and what is told of a gateway that is not well."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

from gateway.endpoints.state import merge_states, no_state, state_of
from gateway.endpoints.trouble import troubles_of
from gateway.policy.upstreams import Upstream
from gateway.record.metrics import Metrics
from gateway.record.outcome import Ended, Outcome
from gateway.server.gauges import gauges_of
from gateway.transport.certificate import end_of_certificate
from tests.processes import refusing_port
from tests.rawpeer import ask
from tests.running import config_for, running, upstream_at
from tests.server.test_server import make_certificate

MASTRA = Upstream("mastra", "http://mastra:4111")


def outcome(
    at: float, code: str | None = None, status: int = 200, ended: Ended = "complete", first_byte: bool = True
) -> Outcome:
    made = Outcome("id", "GET", "/x", "192.0.2.1", began_at=10.0)
    made.upstream, made.code, made.status, made.ended = MASTRA, code, status, ended
    made.decided_at, made.first_byte_at = 10.001, 10.2 if first_byte else None
    made.over_at, made.ended_at = 10.2, at
    made.detail = "it is down" if code else None
    return made


@pytest.mark.parametrize(
    ("outcomes", "state", "errors"),
    [
        pytest.param([], "unknown", {}, id="nobody-asked"),
        pytest.param([outcome(1)], "answers", {}, id="answers"),
        pytest.param([outcome(1, status=500)], "answers", {"answered_5xx": 1}, id="its-own-500-is-an-answer"),
        pytest.param(
            [outcome(1), outcome(2, "upstream_unreachable", 502, "refused", False)],
            "fails", {"upstream_unreachable": 1}, id="went-down",
        ),
        pytest.param(
            [outcome(1, "upstream_timeout", 504, "refused", False), outcome(2)],
            "answers", {"upstream_timeout": 1}, id="came-back",
        ),
        pytest.param([outcome(1, ended="upstream_cut")], "fails", {"upstream_cut": 1}, id="broke-off"),
        pytest.param(
            [outcome(1, "shutting_down", 503, "shut_down", False), outcome(2, "internal_error", 500, "failed", False)],
            "unknown", {}, id="our-own-faults-are-not-its",
        ),
    ],
)  # fmt: skip
def test_upstream_is_what_its_last_request_met(outcomes: list[Outcome], state: str, errors: dict[str, int]) -> None:
    metrics = Metrics()
    metrics.upstreams.know(["mastra"])
    for one in outcomes:
        metrics.record(one)
    met = metrics.upstreams.of("mastra")
    assert (met.state, {name: count for name, count in met.errors.items() if count}) == (state, errors)


def test_failing_since_is_the_first_failure_of_a_row() -> None:
    metrics = Metrics()
    for at in (5.0, 7.0, 9.0):
        metrics.record(outcome(at, "upstream_unreachable", 502, "refused", False))
    met = metrics.upstreams.of("mastra")
    assert (met.failing_since, met.failed_at, met.last_error) == (5.0, 9.0, "it is down")
    met.note_answer(8.0)  # a stream that began before the last failure, and ends now
    assert (met.state, met.answered_at) == ("fails", 8.0)
    met.note_answer(9.5)
    assert (met.state, met.failing_since) == ("answers", None)


async def test_state_tells_which_upstream_fails_and_what_to_do() -> None:
    with refusing_port() as port:
        async with running(config_for(upstream_at(f"http://127.0.0.1:{port}"))) as gateway:
            assert state_of(gateway)["upstreams"][0]["state"] == "unknown" and not state_of(gateway)["troubles"]
            await ask(gateway.port, b"GET /public HTTP/1.1\r\nHost: a\r\n\r\n")
            state = state_of(gateway)
            both = merge_states([state, state_of(gateway) | {"upstreams": [_answering(state["upstreams"][0])]}])
    (trouble,) = state["troubles"]
    assert state["ready"] and trouble["level"] == "error" and trouble["what"] == "upstream default gives no answers"
    assert trouble["why"] == f"http://127.0.0.1:{port}: the connection is refused" and trouble["since_seconds"] >= 0
    assert trouble["do"].startswith("Check that it runs, and listens on that port and address. The next")
    # Another worker got an answer since: the upstream is back, and the counts are both workers'.
    assert both["upstreams"][0]["state"] == "answers" and not both["troubles"]
    assert both["upstreams"][0]["errors"]["upstream_unreachable"] == 1


def _answering(upstream: dict[str, Any]) -> dict[str, Any]:
    errors = dict.fromkeys(upstream["errors"], 0)
    return upstream | {
        "state": "answers", "last_answer_seconds_ago": -1.0, "last_failure_seconds_ago": None, "failing_seconds": None,
        "errors": errors,
    }  # fmt: skip


async def test_end_of_an_upstreams_certificate_is_seen_where_connections_are_made(tmp_path: Path) -> None:
    files = make_certificate(tmp_path, "upstream")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate_file, files.key_file)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        writer.close()

    server = await asyncio.start_server(serve, "localhost", 0, ssl=context)
    address = f"https://localhost:{server.sockets[0].getsockname()[1]}"
    async with server, running(config_for(upstream_at(address, ca_file=str(files.certificate_file)))) as gateway:
        assert state_of(gateway)["upstreams"][0]["certificate_expires_seconds"] is None
        assert (await ask(gateway.port, b"GET /public HTTP/1.1\r\nHost: a\r\n\r\n"))[0] == 200
        assert gauges_of(gateway).upstream_certificates == (("default", end_of_certificate(files)),)
        assert state_of(gateway)["troubles"][0]["what"] == "the certificate of upstream default ends in 1 day"


WELL: dict[str, Any] = {
    "draining": False,
    "audit": None,
    "shared": None,
    "revocation": {"error": None, "failed_seconds_ago": None, "is_shared": None},
    "takes_requests_seconds": None,
    "agree": True,
    "uptime_seconds": 30.0,
    "providers": [],
    "upstreams": [],
    "configuration": {"reload_error": None, "reload_failed_seconds_ago": None},
    "certificate_expires_seconds": None,
    "outdated_engines": {},
}


ANSWERING = {"name": "mastra", "url": "http://m", "state": "answers", "certificate_expires_seconds": None}


def provider(**keys: Any) -> dict[str, Any]:
    told = {
        "label": "https://clerk.example.com/jwks", "state": "none", "last_error": None, "failing_seconds": None,
        "next_refresh_seconds": 4.0,
    }  # fmt: skip
    return {"providers": [{"name": "people", "keys": told | keys, "sources": []}]}


def reload(error: str) -> dict[str, Any]:
    return {"configuration": {"reload_error": error, "reload_failed_seconds_ago": 12.0}}


@pytest.mark.parametrize(
    ("change", "level", "what", "since"),
    [
        pytest.param({"draining": True}, "error", "it is stopping", None, id="drain"),
        pytest.param(
            {"draining": True, "takes_requests_seconds": 4.0},
            "error", "it is draining: requests are taken for 4 s more", None, id="drain-delay",
        ),
        pytest.param({"agree": False}, "warning", "the workers have read different routes", None, id="workers"),
        pytest.param(provider(), "error", "the keys of provider people are still being fetched", 30.0, id="first"),
        pytest.param(
            provider(last_error="cannot connect", failing_seconds=61.0),
            "error", "provider people has no usable keys: its callers get 503", 61.0, id="no-keys",
        ),
        pytest.param(
            provider(state="stale", last_error="answered 500", failing_seconds=700.0),
            "warning", "provider people lives on old keys: its callers still pass, until `stale_if_error` ends", 700.0,
            id="old-keys",
        ),
        pytest.param(
            reload("gateway.yaml:3:1: unknown key"),
            "warning", "the configuration in the file is not in force: the one before it is", 12.0, id="reload",
        ),
        pytest.param(
            {"outdated_engines": {"nginx": ["x-new"]}},
            "warning", "nginx asks with a configuration that was printed before the file changed", None, id="engine",
        ),
        pytest.param(
            {"certificate_expires_seconds": 86400.0 * 9},
            "warning", "the certificate of the public port ends in 9 days", None, id="certificate-soon",
        ),
        pytest.param(
            {"certificate_expires_seconds": 86400.0 * 2},
            "error", "the certificate of the public port ends in 2 days", None, id="certificate-very-soon",
        ),
        pytest.param(
            {"upstreams": [ANSWERING | {"certificate_expires_seconds": 86400.0}]},
            "error", "the certificate of upstream mastra ends in 1 day", None, id="upstream-certificate",
        ),
        pytest.param(
            {"certificate_expires_seconds": -60.0},
            "error", "the certificate of the public port has ended: clients refuse to connect", 60.0, id="certificate",
        ),
    ],
)  # fmt: skip
def test_trouble_says_what_since_when_and_what_to_do(
    change: dict[str, Any], level: str, what: str, since: float | None
) -> None:
    (found,) = troubles_of(WELL | change)
    assert (found["level"], found["what"], found["since_seconds"]) == (level, what, since)
    assert found["do"].endswith(".")


def test_failure_without_a_check_sends_to_the_log() -> None:
    upstream = ANSWERING | {"state": "fails", "last_error": "silent for 300 s", "failing_seconds": 1}
    (found,) = troubles_of(WELL | {"upstreams": [upstream]})
    assert (found["why"], found["do"][:29]) == ("http://m: silent for 300 s", "Look at its log of that time.")


def test_errors_stand_before_warnings() -> None:
    found = troubles_of(WELL | provider(state="stale", last_error="x") | {"certificate_expires_seconds": -1.0})
    assert [one["level"] for one in found] == ["error", "warning"]
    assert troubles_of(WELL) == [] and troubles_of(WELL | provider(state="fresh")) == []
    assert troubles_of(WELL | {"certificate_expires_seconds": 86400.0 * 30}) == []


def test_workers_that_do_not_answer_are_trouble() -> None:
    assert no_state()["troubles"][0]["what"] == "no worker answers"
