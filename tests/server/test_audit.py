"""The audit of a running gateway: what has a line and when, what happens where it cannot be written, reloads."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.config.file import load_text
from gateway.config.model import Config
from gateway.endpoints.state import merge_states, state_of
from gateway.record.exposition import metrics_text
from gateway.record.outcome import Outcome
from gateway.server.gateway import Gateway, StartError
from gateway.server.gauges import gauges_of
from tests.minting import FAR, SECRET, mint
from tests.rawpeer import RawClient, RawUpstream, Script, Visit, answer_ok
from tests.running import WIRE
from tests.transport.test_asking import field
from tests.transport.test_questions import port_of

ANN = mint({"sub": "ann", "roles": ["admin"], "exp": FAR})
BOB = mint({"sub": "bob", "exp": FAR})


def config_of(upstream: RawUpstream, audit: str, more: str = "") -> Config:
    text = f"""
listen: 127.0.0.1:0
admin: none
decisions: {{listen: 127.0.0.1:0}}
upstream: {upstream.url}
providers: {{jobs: {{type: jwt, secret: {SECRET.decode()}}}}}
routes:
  /api: {{provider: jobs, allow: {{role: admin}}, websocket: true}}
  /api/agents/{{agent}}: {{provider: jobs, allow: authenticated}}
  /tried: {{provider: jobs, allow: {{role: admin}}, enforce: false}}
  /public: {{public: true}}
audit: {audit}
{more}"""
    return load_text(text, "gateway.yaml", WIRE)


class Place:
    """A gateway with its audit, and what stands in that."""

    def __init__(self, gateway: Gateway, upstream: RawUpstream, file: Path) -> None:
        self.gateway, self.upstream, self.file = gateway, upstream, file

    async def ask(self, what: str, token: str | None = None, *lines: str, port: int | None = None) -> bytes:
        """Send `POST /api/x`; returns the head of the answer."""
        bearer = () if token is None else (f"Authorization: Bearer {token}",)
        head = "\r\n".join([f"{what} HTTP/1.1", "Host: a", *bearer, *lines, "", ""])
        async with RawClient.connect(port or self.gateway.port) as client:
            await client.send(head.encode())
            _, answer, _ = await client.answer()
            return answer

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file.read_text().splitlines()]

    def told(self, *names: str) -> list[tuple[Any, ...]]:
        return [tuple(line.get(name) for name in names) for line in self.lines()]


@asynccontextmanager
async def serving(folder: Path, audit: str = "", more: str = "", script: Script = answer_ok) -> AsyncIterator[Place]:
    file = folder / "audit.jsonl"
    async with RawUpstream(script) as upstream:
        gateway = Gateway(config_of(upstream, f"{{file: {file}{audit}}}", more))
        await gateway.start()
        try:
            yield Place(gateway, upstream, file)
        finally:
            await gateway.stop()


async def test_refusals_and_writes_have_a_line_and_reading_has_none(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        await here.ask("GET /api/x", ANN)
        await here.ask("OPTIONS /api/x", ANN)
        await here.ask("POST /api/x?secret=1", ANN)
        await here.ask("DELETE /%61pi/agents/planner/y", BOB)
        await here.ask("GET /api/x", BOB)
        await here.ask("GET /api/x")
        await here.ask("GET /api/../x", BOB)
        await here.ask("GET /nowhere")
        await here.ask("PUT /public/x")
        assert here.told("event", "method", "path", "subject", "code", "status", "rule") == [
            ("write", "POST", "/api/x", "ann", None, None, None),
            ("write", "DELETE", "/api/agents/planner/y", "bob", None, None, None),
            ("deny", "GET", "/api/x", "bob", "access_denied", 403, "allow[0]"),
            ("deny", "GET", "/api/x", None, "token_missing", 401, None),
            ("deny", "GET", "/api/../x", None, "target_ambiguous", 400, None),
            ("deny", "GET", "/nowhere", None, "no_route", 404, None),
            ("write", "PUT", "/public/x", None, None, None, None),
        ]
        lines = here.lines()
        assert lines[1]["captures"] == {"agent": "planner"}
        assert {line["configuration"] for line in lines} == {here.gateway.config.digest}
        assert len({line["request_id"] for line in lines}) == len(lines)
        assert state_of(here.gateway)["audit"]["lines"] == {"written": 7, "lost": 0}
        assert state_of(here.gateway)["configuration"]["digest"] == here.gateway.config.digest


async def test_who_is_revoked_is_named_and_goes_up_nowhere(tmp_path: Path) -> None:
    (tmp_path / "revoked.yaml").write_text("revoked: [{sub: bob}]\n")
    async with serving(tmp_path, more=f"revoked_file: {tmp_path / 'revoked.yaml'}") as here:
        await here.ask("GET /api/agents/a", BOB)
        await here.ask("GET /tried", BOB)
        assert here.told("event", "code", "would_deny", "subject") == [
            ("deny", "token_revoked", None, "bob"),
            ("would_deny", None, "token_revoked", None),
        ]
        (visit,) = here.upstream.visits
        assert visit.header("Authorization") is None, "of whom the rules are not held to, nothing goes up"


@pytest.mark.parametrize(("code", "has_line"), [("budget_exceeded", True), ("upstream_broken", False)])
async def test_refusal_of_what_has_passed_has_a_line_if_it_is_ours(tmp_path: Path, code: str, has_line: bool) -> None:
    async with serving(tmp_path) as here:
        assert here.gateway.runtime.audit is not None
        outcome = Outcome("r1", "GET", "/api/x", "192.0.2.7")
        here.gateway.runtime.audit.before_it_passes(outcome, is_websocket=False)
        outcome.code, outcome.status = code, 429
        here.gateway.runtime.audit.before_its_answer(outcome)
        assert here.told("event", "code") == [("deny", code)] * has_line


async def test_events_are_what_was_asked_for(tmp_path: Path) -> None:
    async with serving(tmp_path, ", events: [read, would_deny]") as here:
        await here.ask("GET /api/x", ANN)
        await here.ask("POST /api/x", ANN)
        await here.ask("GET /api/x", BOB)
        await here.ask("POST /tried", BOB)
        await here.ask("GET /tried", ANN)
        assert here.told("event", "method", "route", "would_deny") == [
            ("read", "GET", "/api", None),
            ("would_deny", "POST", "/tried", "access_denied"),
            ("read", "GET", "/tried", None),
        ]


async def test_websocket_is_a_write(tmp_path: Path) -> None:
    handshake = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
    async with serving(tmp_path) as here:
        await here.ask("GET /api/x", ANN, *handshake, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
        assert here.told("event", "method") == [("write", "GET")]


async def test_preflight_is_nobodys_deed(tmp_path: Path) -> None:
    page = ("Origin: https://a.example", "Access-Control-Request-Method: POST")
    cors = "cors: {origins: ['https://a.example']}"
    async with serving(tmp_path, ", events: [deny, write, read]", cors) as here:
        assert b" 204 " in await here.ask("OPTIONS /api/x", None, *page)
        assert here.file.read_bytes() == b""


async def test_line_stands_before_the_upstream_hears_of_it(tmp_path: Path) -> None:
    seen = []

    async def look(visit: Visit) -> None:
        seen.append(here.told("event"))
        await answer_ok(visit)

    async with serving(tmp_path, script=look) as here:
        await here.ask("POST /api/x", ANN)
        assert seen == [[("write",)]] and len(here.lines()) == 1


async def test_answer_of_an_engine_has_its_line(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        port = port_of(here.gateway)
        asked = ("X-Original-URI: /api/x", "X-Forwarded-For: 192.0.2.7")
        for method, token in (("GET", ANN), ("POST", ANN), ("POST", BOB)):
            await here.ask("GET /authz/nginx", token, f"X-Original-Method: {method}", *asked, port=port)
        assert here.told("event", "method", "path", "subject", "asked_by", "client_ip") == [
            ("write", "POST", "/api/x", "ann", "nginx", "192.0.2.7"),
            ("deny", "POST", "/api/x", "bob", "nginx", "192.0.2.7"),
        ]


def spoil(file: Path) -> None:
    """Have no line be taken: what stands there is no file, as after a rotation that went wrong."""
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("port", ["public", "decisions"])
async def test_what_cannot_be_written_down_does_not_pass_with_refuse(tmp_path: Path, port: str) -> None:
    async with serving(tmp_path, ", on_failure: refuse") as here:

        async def ask(method: str, token: str) -> bytes:
            if port == "public":
                return await here.ask(f"{method} /api/x", token)
            asked = (f"X-Original-Method: {method}", "X-Original-URI: /api/x", "X-Forwarded-For: 192.0.2.7")
            return await here.ask("GET /authz/haproxy", token, *asked, port=port_of(here.gateway))

        spoil(here.file)
        assert here.gateway.runtime.audit is not None
        here.gateway.runtime.audit.file.follow()
        answer = await ask("POST", ANN)
        assert b" 503 " in answer and here.upstream.requests == []
        assert b" 403 " in await ask("POST", BOB), "what is refused is refused for its own reason"
        assert b" 200 " in await ask("GET", ANN), "what needs no line passes"
        (trouble,) = [one for one in state_of(here.gateway)["troubles"] if "audit" in one["what"]]
        assert trouble["level"] == "error" and "found a directory" in trouble["why"]
        assert b"gateway_audit_failing 1.0" in metrics_text(here.gateway.metrics, gauges_of(here.gateway))
        here.file.rmdir()
        assert b" 200 " in await ask("POST", ANN)
        assert here.told("event", "subject") == [("write", "ann")]
        assert here.gateway.metrics.audit.lines == {"written": 1, "lost": 3}
        text = metrics_text(here.gateway.metrics, gauges_of(here.gateway))
        assert b'gateway_audit_lines_total{result="lost"} 3.0' in text and b"gateway_audit_failing 0.0" in text


async def test_what_cannot_be_written_down_passes_and_is_counted_otherwise(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        spoil(here.file)
        assert here.gateway.runtime.audit is not None
        here.gateway.runtime.audit.file.follow()
        assert b" 200 " in await here.ask("POST /api/x", ANN)
        one, two = state_of(here.gateway), state_of(here.gateway)
        assert merge_states([one, two])["audit"]["lines"] == {"written": 0, "lost": 2}


async def test_full_disk_refuses_and_leaves_no_half_a_line_before_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, audited = os.write, set[int]()

    def full(descriptor: int, data: bytes) -> int:
        if b'{"time"' not in data[:9]:
            return write(descriptor, data)
        if descriptor in audited:
            raise OSError(28, "No space left on device")
        audited.add(descriptor)
        return write(descriptor, data[:20])  # a last block had room for this

    async with serving(tmp_path, ", on_failure: refuse") as here:
        monkeypatch.setattr(os, "write", full)
        answers = [await here.ask("POST /api/x", ANN) for _ in range(2)]
        assert all(b" 503 " in answer for answer in answers) and here.upstream.requests == []
        assert field(answers[0], "Retry-After") is not None
        monkeypatch.undo()
        assert b" 200 " in await here.ask("POST /api/x", ANN)
        *torn, line, end = here.file.read_bytes().split(b"\n")
        assert json.loads(line)["event"] == "write" and end == b""
        assert torn and all(len(one) <= 20 for one in torn)


async def test_surprise_of_ours_is_as_a_line_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path, ", on_failure: refuse") as here:
        assert here.gateway.runtime.audit is not None
        monkeypatch.setattr(here.gateway.runtime.audit, "_lines", None)
        assert b" 503 " in await here.ask("POST /api/x", ANN)
        assert here.upstream.requests == [] and here.gateway.open_requests == 0


async def test_reload_takes_another_file_and_each_names_who_judged(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        first = here.gateway.config.digest
        async with RawClient.connect(here.gateway.port) as client:
            await client.send(f"GET /api/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {BOB}\r\n".encode())
            await here.ask("POST /api/x", ANN)
            other = tmp_path / "other.jsonl"
            await here.gateway.use(config_of(here.upstream, f"{{file: {other}, subject: hash}}"))
            await here.ask("POST /api/x", ANN)
            await client.send(b"\r\n")
            await client.answer()
        assert here.told("event", "configuration") == [("write", first)]
        lines = [json.loads(line) for line in other.read_text().splitlines()]
        assert [line["event"] for line in lines] == ["write", "deny"]
        assert {line["configuration"] for line in lines} == {here.gateway.config.digest} != {first}


async def test_reload_whose_file_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        before = here.gateway.runtime
        with pytest.raises(StartError, match=r"gateway\.yaml:12:15: audit\.file: .*No such file or directory"):
            await here.gateway.use(config_of(here.upstream, f"{{file: {tmp_path}/none/a}}"))
        assert here.gateway.runtime is before
        await here.ask("POST /api/x", ANN)
        assert len(here.lines()) == 1


async def test_request_that_outlives_its_configuration_writes_where_that_said(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        runtime = here.gateway.runtime
        await here.gateway.use(config_of(here.upstream, f"{{file: {tmp_path}/other.jsonl}}"))
        assert runtime.audit is not None
        outcome_file = runtime.audit.file
        assert outcome_file.append(b"{}\n") and here.lines() == [{}]


async def test_gateway_without_an_audit_says_nothing_of_it(tmp_path: Path) -> None:
    async with RawUpstream() as upstream:
        config = load_text(
            f"listen: 127.0.0.1:0\nupstream: {upstream.url}\nroutes: {{/: {{public: true}}}}\n", "g", WIRE
        )
        gateway = Gateway(config)
        assert gateway.runtime.audit is None and state_of(gateway)["audit"] is None
        assert merge_states([state_of(gateway)])["audit"] is None
