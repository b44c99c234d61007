"""The decision API's own sides: bad questions, who may ask, sockets, CORS, WebSockets, keys, and the end."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import stat
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from gateway.config.model import Address, Cors, Decisions
from gateway.proxy.dialects import NGINX as NGINX_DIALECT
from gateway.proxy.dialects import taken_apart
from gateway.server.gateway import Gateway, StartError
from gateway.server.reload import restart_needed
from gateway.transport.unix import SocketFile
from tests.configuring import read
from tests.keyserver import KeyServer
from tests.rawpeer import RawClient, RawUpstream
from tests.running import BEARER, config_for, running, upstream_at
from tests.transport.test_questions import port_of

NGINX = b"GET /authz/nginx HTTP/1.1\r\nHost: a\r\n"
WHOLE = NGINX + b"X-Original-Method: GET\r\nX-Original-URI: /api/x\r\nX-Forwarded-For: 192.0.2.7\r\n" + BEARER
ORIGIN = b"Origin: https://app.example.com\r\n"
CORS = Cors(frozenset({"https://app.example.com"}))
METHOD, TARGET = b"X-Original-Method: GET\r\n", b"X-Original-URI: /public/x\r\n"


@asynccontextmanager
async def deciding(**settings: Any) -> AsyncIterator[tuple[Gateway, int]]:
    """Run a gateway with `/public` and `/api` that is asked; yields it and the port of the questions."""
    own = {"decisions": Decisions(Address("127.0.0.1", 0))} | settings
    async with running(config_for(upstream_at("http://127.0.0.1:9"), **own)) as gateway:
        yield gateway, port_of(gateway)


async def reply(port: int, question: bytes) -> tuple[int, bytes, bytes]:
    async with RawClient.connect(port) as client:
        await client.send(question)
        return await client.answer()


def field(answer: bytes, name: str) -> str | None:
    found = re.search(rf"(?im)^{name}: (.*?)\r$".encode(), answer)
    return found[1].decode() if found else None


BAD = {
    "no target": NGINX + METHOD,
    "no method": NGINX + TARGET,
    "neither": NGINX,
    "two targets": NGINX + METHOD + TARGET + TARGET,
    "two methods": NGINX + METHOD + METHOD + TARGET,
    "an empty method": NGINX + b"X-Original-Method: \r\n" + TARGET,
    "an empty target": NGINX + METHOD + b"X-Original-URI:\r\n",
    "a body": NGINX.replace(b"GET", b"POST", 1) + METHOD + TARGET + b"Content-Length: 2\r\n",
    "a body in chunks": NGINX.replace(b"GET", b"POST", 1) + METHOD + TARGET + b"Transfer-Encoding: chunked\r\n",
    "the fields of another engine": NGINX + b"X-Forwarded-Method: GET\r\nX-Forwarded-Uri: /public/x\r\n",
    "no such engine": NGINX.replace(b"nginx", b"apache") + METHOD + TARGET,
    "another path": b"GET /public/x HTTP/1.1\r\nHost: a\r\n",
    "no path behind Envoy's": b"GET /authz/envoy HTTP/1.1\r\nHost: a\r\n",
    "two peers of Envoy": b"GET /authz/envoy/public HTTP/1.1\r\nHost: a\r\nX-Gateway-Peer: 192.0.2.1\r\n"
    b"x-gateway-peer: 192.0.2.2\r\n",
    "two hosts told by Traefik": b"GET /authz/forward HTTP/1.1\r\nHost: a\r\nX-Forwarded-Method: GET\r\n"
    b"X-Forwarded-Uri: /public\r\nX-Forwarded-Host: a\r\nX-Forwarded-Host: b\r\n",
}


@pytest.mark.parametrize("question", BAD.values(), ids=BAD)
async def test_question_that_is_not_whole_is_refused_and_counted(question: bytes) -> None:
    async with deciding() as (gateway, port):
        status, head, body = await reply(port, question + b"\r\n")
        assert status == (403 if b"nginx" in question else 400)
        assert field(head, "X-Gateway-Status") == ("400" if b"nginx" in question else None)
        assert b'"code":"question_malformed"' in body
        assert sum(n for (_, _, code, _), n in gateway.metrics.requests.items() if code == "question_malformed") == 1


async def test_an_honest_question_is_served_beside_a_bad_one_on_the_same_connection() -> None:
    async with deciding() as (_, port), RawClient.connect(port) as client:
        for question, status in ((NGINX, 403), (WHOLE, 200), (NGINX + METHOD, 403), (WHOLE, 200)):
            await client.send(question + b"\r\n")
            assert (await client.answer())[0] == status


async def test_refusals_keep_an_engines_connection() -> None:
    # Else strangers would have the engine connect anew for each of their bad requests.
    odd = NGINX + METHOD + b"X-Original-URI: /api/../x\r\n\r\n"
    async with deciding() as (_, port), RawClient.connect(port) as client:
        for _ in range(3):
            await client.send(odd)
            status, head, body = await client.answer()
            assert (status, field(head, "X-Gateway-Status")) == (403, "400") and b"target_ambiguous" in body
            assert field(head, "Connection") is None


async def test_who_may_not_ask_is_refused() -> None:
    elsewhere = Decisions(Address("127.0.0.1", 0), (ip_network("10.0.0.0/8"),))
    async with deciding(decisions=elsewhere) as (_, port):
        status, head, body = await reply(port, WHOLE + b"\r\n")
        assert status == 403 and b"question_malformed" in body and field(head, "X-Gateway-Target") is None
    here = Decisions(Address("127.0.0.1", 0), (ip_network("127.0.0.0/8"),))
    async with deciding(decisions=here) as (gateway, port):
        assert (await reply(port, WHOLE + b"\r\n"))[0] == 200
        await gateway.use(replace(gateway.config, decisions=elsewhere))
        assert (await reply(port, WHOLE + b"\r\n"))[0] == 403, "another `from` counts at once"
        await gateway.use(replace(gateway.config, decisions=None))
        assert (await reply(port, WHOLE + b"\r\n"))[0] == 403, "what is no longer in the file answers nobody"


async def test_the_public_port_answers_no_question() -> None:
    async with deciding() as (gateway, _):
        status, _, body = await reply(gateway.port, WHOLE + b"\r\n")
        assert status == 404 and b"no_route" in body


async def test_the_port_for_questions_forwards_nothing() -> None:
    async with RawUpstream() as upstream:
        config = config_for(upstream_at(upstream.url), decisions=Decisions(Address("127.0.0.1", 0)))
        async with running(config) as gateway:
            for question in (
                WHOLE,
                b"GET /public/x HTTP/1.1\r\nHost: a\r\n",
                b"GET /api/x HTTP/1.1\r\nHost: a\r\n" + BEARER,
            ):
                await reply(port_of(gateway), question + b"\r\n")
        assert not upstream.visits


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        (b"192.0.2.7", "192.0.2.7"),
        (b"6.6.6.6, 192.0.2.7", "192.0.2.7"),
        (b"192.0.2.7, 10.1.1.1", "192.0.2.7, 10.1.1.1"),
        (b"6.6.6.6, 192.0.2.7, 10.1.1.1", "192.0.2.7, 10.1.1.1"),
        (b"6.6.6.6, nonsense", "unknown"),
        (b"", "unknown"),
        (b"10.1.1.1", "10.1.1.1"),  # the proxy asks by itself
        (b", 10.1.1.1", "unknown, 10.1.1.1"),  # it was told of nobody: no word for the proxy
    ],
)
async def test_client_is_who_was_connected_or_whom_a_trusted_proxy_names(chain: bytes, expected: str) -> None:
    question = NGINX + METHOD + TARGET + b"X-Forwarded-For: " + chain + b"\r\n\r\n"
    async with deciding(trusted_proxies=(ip_network("10.0.0.0/8"),)) as (_, port):
        status, head, _ = await reply(port, question)
        assert (status, field(head, "X-Forwarded-For")) == (200, expected)


async def test_envoy_says_who_was_connected_and_the_clients_chain_is_only_its_word() -> None:
    question = b"GET /authz/envoy/public HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\n"
    async with deciding() as (_, port):
        for line, expected in ((b"X-Gateway-Peer: 192.0.2.7\r\n", "192.0.2.7"), (b"", "unknown")):
            _, head, _ = await reply(port, question + line + b"\r\n")
            assert field(head, "X-Forwarded-For") == expected


async def test_a_chain_that_a_trusted_proxy_left_empty_is_not_the_proxy_itself() -> None:
    question = b"GET /authz/envoy/public HTTP/1.1\r\nHost: a\r\nX-Gateway-Peer: 10.1.1.1\r\n"
    async with deciding(trusted_proxies=(ip_network("10.0.0.0/8"),)) as (_, port):
        for line, expected in ((b"X-Forwarded-For: \r\n", "unknown, 10.1.1.1"), (b"", "10.1.1.1")):
            _, head, _ = await reply(port, question + line + b"\r\n")
            assert field(head, "X-Forwarded-For") == expected


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (b"Connection: Upgrade\r\nUpgrade: websocket\r\n", 403),
        (b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n", 403),
        (b"", 200),
    ],
)
async def test_websocket_is_known_also_where_the_engine_takes_upgrade_away(lines: bytes, status: int) -> None:
    question = NGINX + METHOD + b"X-Original-URI: /plain/x\r\n" + lines + b"\r\n"
    async with deciding() as (_, port):
        found, head, body = await reply(port, question)
        assert found == status and (status == 200 or b"websocket_refused" in body), head


async def test_a_preflight_is_answered_but_never_by_what_an_engine_takes_for_a_yes() -> None:
    asks = ORIGIN + b"Access-Control-Request-Method: POST\r\n"
    options = b"X-Original-Method: OPTIONS\r\nX-Original-URI: /api/x\r\n"
    async with deciding(cors=CORS) as (_, port):
        _, head, _ = await reply(port, NGINX + options + asks + b"\r\n")
        assert head.startswith(b"HTTP/1.1 403 ") and field(head, "X-Gateway-Status") == "204"
        assert field(head, "Access-Control-Allow-Origin") == "https://app.example.com"
        _, head, _ = await reply(port, b"OPTIONS /authz/envoy/api/x HTTP/1.1\r\nHost: a\r\n" + asks + b"\r\n")
        assert head.startswith(b"HTTP/1.1 204 ")
        forward = (
            b"GET /authz/forward HTTP/1.1\r\nHost: a\r\nX-Forwarded-Method: OPTIONS\r\nX-Forwarded-Uri: /api/x\r\n"
        )
        status, _, body = await reply(port, forward + asks + b"\r\n")
        assert status == 400 and b"engine_limited" in body


async def test_answers_carry_cors_for_the_response() -> None:
    async with deciding(cors=CORS) as (_, port):
        status, head, _ = await reply(port, WHOLE + ORIGIN + b"\r\n")
        assert status == 200 and field(head, "Access-Control-Allow-Origin") == "https://app.example.com"
        assert field(head, "Vary") == "Origin"


async def test_head_question_has_no_body_and_the_connection_goes_on() -> None:
    question = b"HEAD /authz/envoy/api/x HTTP/1.1\r\nHost: a\r\n\r\n"
    async with deciding() as (_, port), RawClient.connect(port) as client:
        for _ in range(2):
            await client.send(question)
            head = await client.head()
            assert head.startswith(b"HTTP/1.1 401 ") and field(head, "Content-Length") != "0"
        await client.send(WHOLE + b"\r\n")
        assert (await client.answer())[0] == 200


async def test_a_clients_head_request_is_refused_with_a_body_where_the_question_is_a_get() -> None:
    question = NGINX + b"X-Original-Method: HEAD\r\nX-Original-URI: /api/x\r\n\r\n"
    async with deciding() as (_, port), RawClient.connect(port) as client:
        for _ in range(2):
            await client.send(question)
            status, head, body = await client.answer()
            assert (status, field(head, "Content-Length")) == (401, str(len(body))) and body


async def test_a_connections_old_version_is_answered_in_it() -> None:
    # nginx asks by HTTP/1.0 unless it is told otherwise.
    async with deciding() as (_, port), RawClient.connect(port) as client:
        await client.send(WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n")
        assert b"Connection: close" in await client.rest()


async def test_a_client_as_large_as_the_proxy_takes_is_taken_and_none_larger() -> None:
    async with deciding() as (gateway, port):
        most = gateway.config.limits.header_bytes
        base = len(b"GET /public/x HTTP/1.1\r\nHost: a\r\nX-Pad: \r\n\r\n")
        for more, through_proxy, asked_for in ((0, 502, 200), (100, 431, 403)):
            pad = b"X-Pad: " + b"x" * (most - base + more) + b"\r\n"
            status, _, _ = await reply(gateway.port, b"GET /public/x HTTP/1.1\r\nHost: a\r\n" + pad + b"\r\n")
            assert status == through_proxy
            status, _, _ = await reply(port, NGINX + METHOD + TARGET + pad + b"\r\n")
            assert status == asked_for


async def test_log_says_who_asked(caplog: pytest.LogCaptureFixture) -> None:
    async with deciding() as (_, port):
        caplog.set_level("INFO", "gateway.access")
        await reply(port, WHOLE + b"\r\n")
        await reply(port, NGINX + b"\r\n")
    lines = [record.getMessage() for record in caplog.records if record.name == "gateway.access"]
    assert [line.count("'asked_by': 'nginx'") for line in lines] == [1, 1]


async def test_questions_are_answered_while_the_gateway_stops() -> None:
    async with deciding() as (gateway, port), RawClient.connect(port) as client:
        gateway.is_draining = True
        await client.send(WHOLE + b"\r\n")
        status, head, _ = await client.answer()
        assert status == 200 and field(head, "Connection") == "close", "an engine takes a 503 for an outage"


async def test_socket_answers_and_goes_with_the_gateway(tmp_path: Path) -> None:
    path = tmp_path / "decide.sock"
    async with deciding_on(path) as gateway:
        assert gateway.decisions is not None and gateway.decisions.where == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o666
        reader, writer = await asyncio.open_unix_connection(str(path))
        for _ in range(2):
            writer.write(WHOLE + b"\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.close()
    assert not path.exists()


@asynccontextmanager
async def deciding_on(path: Path) -> AsyncIterator[Gateway]:
    async with running(config_for(upstream_at("http://127.0.0.1:9"), decisions=Decisions(path))) as gateway:
        yield gateway


async def refused(path: Path) -> str:
    """Return why a gateway does not start that is to listen at a path."""
    gateway = Gateway(config_for(upstream_at("http://127.0.0.1:9"), decisions=Decisions(path)))
    with pytest.raises(StartError) as problem:
        await gateway.start()
    await gateway.stop()
    return str(problem.value)


async def test_socket_of_a_process_that_was_killed_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "decide.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with deciding_on(path):
        assert path.is_socket()


async def test_socket_of_another_process_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "decide.sock"
    async with deciding_on(path):
        assert await refused(path) == f"cannot listen on unix:{path} (decisions): Address already in use"
        assert path.is_socket()


async def test_a_file_is_not_taken_for_a_socket(tmp_path: Path) -> None:
    path = tmp_path / "decide.sock"
    path.write_text("mine")
    assert (await refused(path)).endswith("something else than a socket is there")
    assert path.read_text() == "mine"


def test_a_socket_that_another_process_made_since_stays(tmp_path: Path) -> None:
    path = tmp_path / "decide.sock"
    first = SocketFile(path)
    first.open(1)
    os.rename(path, tmp_path / "gone")
    second = SocketFile(path)
    second.open(1)
    first.close()
    assert path.is_socket()
    second.close()
    assert not path.exists()


def test_another_place_needs_a_restart_and_another_from_does_not() -> None:
    config = config_for(upstream_at("http://127.0.0.1:9"), decisions=Decisions(Path("/run/a.sock")))
    assert restart_needed(config, replace(config, decisions=Decisions(Path("/run/b.sock")))) == ["decisions"]
    assert restart_needed(config, replace(config, decisions=None)) == ["decisions"]
    on_port = replace(config, decisions=Decisions(Address("127.0.0.1", 1)))
    allowed = replace(config, decisions=Decisions(Address("127.0.0.1", 1), (ip_network("10.0.0.0/8"),)))
    assert restart_needed(on_port, allowed) == []


async def test_a_key_is_fetched_for_a_question_as_for_a_request() -> None:
    async with KeyServer() as idp:
        text = f"""
listen: 127.0.0.1:0
decisions: {{listen: "127.0.0.1:0"}}
upstream: http://127.0.0.1:9
providers: {{people: {{type: oidc, issuer: {idp.issuer}, audience: none, jwks_uri: {idp.jwks_uri}}}}}
routes: {{/api: {{provider: people, allow: authenticated}}}}
"""
        async with running(read(text)) as gateway:
            token = idp.mint(idp.claims()).encode()
            question = NGINX + METHOD + b"X-Original-URI: /api/x\r\nAuthorization: Bearer " + token + b"\r\n\r\n"
            herd = [reply(port_of(gateway), question) for _ in range(20)]
            assert {status for status, _, _ in await asyncio.gather(*herd)} == {200}
            assert idp.fetches == 1


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", None),
        (b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", None),
        (b"Connection: Upgrade\r\nUpgrade: h2c\r\n", "engine_limited"),
        (b"Connection: Upgrade\r\nUpgrade: websocket, h2c\r\nSec-WebSocket-Key: x\r\n", "engine_limited"),
        (b"Connection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n", "engine_limited"),
        (b"Upgrade: websocket\r\n", "engine_limited"),
    ],
)
async def test_an_upgrade_that_the_proxy_would_not_send_is_refused(lines: bytes, code: str | None) -> None:
    # The engine passes it on as it came: a server that reads lists answers 101, past `websocket: false`.
    async with deciding() as (_, port):
        status, _, body = await reply(port, NGINX + METHOD + TARGET + lines + b"\r\n")
        assert (status, code is None or code.encode() in body) == (200 if code is None else 403, True)


async def test_what_one_engine_was_told_to_remove_is_no_answer_for_another() -> None:
    names = b"X-Original-URL: /admin\r\nX-Auth-Subject: root\r\n"
    envoy = b"GET /authz/envoy/public/x HTTP/1.1\r\nHost: a\r\n" + names + b"\r\n"
    haproxy = NGINX.replace(b"nginx", b"haproxy") + METHOD + TARGET + names + b"\r\n"
    async with deciding() as (_, port):
        for question, told, other in [(envoy, "X-Envoy-Auth-Headers-To-Remove", "X-Gateway-Remove")] * 2 + [
            (haproxy, "X-Gateway-Remove", "X-Envoy-Auth-Headers-To-Remove")
        ] * 2:
            _, head, _ = await reply(port, question)
            removed = field(head, told)
            assert removed is not None and "X-Original-URL" in removed and field(head, other) is None


UNREADABLE = {
    "control character": b"X-A: a\x01b\r\n",
    "too many": b"X: y\r\n" * 260,
    "no name": b": nameless\r\n",
    "no UTF-8": b"X-A: \xe9\r\n",
    "two lengths": b"Content-Length: 1\r\nContent-Length: 2\r\n",
}


@pytest.mark.parametrize("line", UNREADABLE.values(), ids=UNREADABLE)
async def test_nginx_gets_a_status_that_it_knows_also_for_what_cannot_be_read(line: bytes) -> None:
    # Any other makes it answer 500: strangers would fill its log with faults of ours.
    async with deciding() as (_, port):
        status, head, body = await reply(port, NGINX + METHOD + TARGET + line + b"\r\n")
        assert status == 403 and field(head, "X-Gateway-Status") in ("400", "431"), head
        assert field(head, "X-Gateway-Body") == body.decode()


@pytest.mark.parametrize("name", [b"X-Forwarded-For", b"Upgrade", b"Sec-WebSocket-Key", b"X-Original-URI"])
def test_spaces_inside_a_field_cost_no_more_than_other_bytes(name: bytes) -> None:
    # A lazy match before a run of spaces took 13 s for 30,000 of them, in which nobody was served (CWE-1333).
    def steps(count: int) -> float:
        raw = b"\r\n" + name + b": a" + b" " * count + b"b"
        began = time.process_time()
        for _ in range(20):
            taken_apart(NGINX_DIALECT, raw)
        return time.process_time() - began

    steps(1000)
    assert min(steps(32_000) for _ in range(3)) < 12 * max(min(steps(8_000) for _ in range(3)), 0.001)
