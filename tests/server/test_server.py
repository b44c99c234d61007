"""The gateway's own answers, its log, its admin port, its life from start to drain."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest

from gateway.config.model import Address, Config, Cors, Limits, Tls
from gateway.endpoints.admin import Admin
from gateway.endpoints.local import LocalState
from gateway.endpoints.state import state_of
from gateway.policy.providers import TokenSource
from gateway.policy.rules import HasAll
from gateway.record.exposition import metrics_text
from gateway.server.gateway import Gateway, StartError
from gateway.server.gauges import gauges_of
from gateway.transport.certificate import end_of_certificate
from tests.minting import SECRET, mint
from tests.rawpeer import OK, RawClient, RawUpstream, Visit, ask
from tests.running import BEARER, SHARED, TOKEN, config_for, running, upstream_at

H = b"Host: gw.test\r\n"
GET = b"GET /public/x HTTP/1.1\r\n" + H + b"\r\n"
API = b"GET /api/x HTTP/1.1\r\n" + H
APP = "https://app.example.com"


@pytest.fixture
async def upstream() -> AsyncIterator[RawUpstream]:
    async with RawUpstream() as made:
        yield made


def header(head: bytes, name: str) -> str | None:
    values = [
        line.partition(": ")[2] for line in head.decode().split("\r\n") if line.lower().startswith(name.lower() + ":")
    ]
    assert len(values) <= 1, f"{name} stands twice"
    return values[0] if values else None


async def test_refusal_has_one_form(upstream: RawUpstream) -> None:
    async with running(config_for(upstream_at(upstream.url))) as gateway:
        status, head, body = await ask(gateway.port, API + b"\r\n")
        assert status == 401
        assert header(head, "Content-Type") == "application/json"
        assert header(head, "Cache-Control") == "no-store"
        assert header(head, "WWW-Authenticate") == 'Bearer realm="mastra-gateway"'
        said = json.loads(body)
        assert said == {
            "error": "Authentication required",
            "code": "token_missing",
            "request_id": header(head, "X-Request-Id"),
        }


async def test_bad_token_is_told_as_such(upstream: RawUpstream) -> None:
    async with running(config_for(upstream_at(upstream.url))) as gateway:
        token = mint({"sub": "u", "exp": 1}).encode()
        status, head, body = await ask(gateway.port, API + b"Authorization: Bearer " + token + b"\r\n\r\n")
        assert (status, json.loads(body)["error"], json.loads(body)["code"]) == (
            401,
            "Invalid or expired token",
            "token_expired",
        )
        assert header(head, "WWW-Authenticate") == (
            'Bearer realm="mastra-gateway", error="invalid_token", error_description="the token has expired"'
        )


def with_routes(config: Config, **changes: Any) -> Config:
    routes = [replace(route, **changes) if route.key == "/api" else route for route in config.policy.routes]
    return replace(config, policy=type(config.policy)(routes))


async def test_missing_scope_is_told_with_the_scopes(upstream: RawUpstream) -> None:
    config = with_routes(config_for(upstream_at(upstream.url)), allow=(HasAll("scopes", ("agents:run", "a:b")),))
    async with running(config) as gateway:
        status, head, _ = await ask(gateway.port, API + BEARER + b"\r\n")
        assert status == 403
        assert header(head, "WWW-Authenticate") == (
            'Bearer realm="mastra-gateway", error="insufficient_scope", scope="agents:run a:b"'
        )


async def test_head_passes_a_route_for_get_under_its_rules(upstream: RawUpstream) -> None:
    """What uptime monitors send."""

    async def answer(visit: Visit) -> None:
        await visit.send(OK.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")

    upstream.script = answer
    config = with_routes(config_for(upstream_at(upstream.url)), methods=frozenset({"GET"}))
    async with running(config) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(b"HEAD /api/x HTTP/1.1\r\n" + H + b"\r\n")
            assert (await client.head()).startswith(b"HTTP/1.1 401 ")
            await client.send(b"HEAD /api/x HTTP/1.1\r\n" + H + BEARER + b"\r\n")
            assert (await client.head()).startswith(b"HTTP/1.1 200 ")
        assert [visit.head.split(b"\r\n")[0] for visit in upstream.visits] == [b"HEAD /api/x HTTP/1.1"]


async def test_method_not_allowed_says_which_are(upstream: RawUpstream) -> None:
    config = with_routes(config_for(upstream_at(upstream.url)), methods=frozenset({"GET", "POST"}))
    async with running(config) as gateway:
        status, head, _ = await ask(gateway.port, b"PUT /api/x HTTP/1.1\r\n" + H + b"\r\n")
        assert (status, header(head, "Allow")) == (405, "GET, HEAD, POST")
        status, head, _ = await ask(gateway.port, b"TRACE /api/x HTTP/1.1\r\n" + H + b"\r\n")
        assert status == 405
        assert "TRACE" not in (header(head, "Allow") or "TRACE")


async def test_two_credentials_are_a_bad_request(upstream: RawUpstream) -> None:
    async with running(config_for(upstream_at(upstream.url))) as gateway:
        status, head, body = await ask(gateway.port, API + BEARER + BEARER + b"\r\n")
        assert (status, json.loads(body)["error"]) == (400, "Bad request")
        assert 'error="invalid_request"' in (header(head, "WWW-Authenticate") or "")


async def test_refused_head_request_has_no_body(upstream: RawUpstream) -> None:
    async with running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(b"HEAD /api/x HTTP/1.1\r\n" + H + b"\r\n" + GET)
            assert (await client.head()).startswith(b"HTTP/1.1 401 ")
            assert (await client.answer())[0] == 200


async def test_preflight_is_answered_without_a_token_and_without_the_upstream(upstream: RawUpstream) -> None:
    cors = Cors(frozenset({APP}), credentials=True)
    async with running(config_for(upstream_at(upstream.url), cors=cors)) as gateway:
        asked = f"Origin: {APP}\r\nAccess-Control-Request-Method: POST\r\n\r\n".encode()
        status, head, body = await ask(gateway.port, b"OPTIONS /api/x HTTP/1.1\r\n" + H + asked)
        assert (status, body) == (204, b"")
        assert header(head, "Access-Control-Allow-Origin") == APP
        assert header(head, "Access-Control-Allow-Credentials") == "true"
        assert "Authorization" in (header(head, "Access-Control-Allow-Headers") or "")
        assert "DELETE" in (header(head, "Access-Control-Allow-Methods") or "")
        assert upstream.visits == []
        # Any other OPTIONS is a request like any other.
        assert (await ask(gateway.port, b"OPTIONS /api/x HTTP/1.1\r\n" + H + b"\r\n"))[0] == 401
        assert (await ask(gateway.port, b"OPTIONS /api/x HTTP/1.1\r\n" + H + f"Origin: {APP}\r\n\r\n".encode()))[
            0
        ] == 401


async def test_without_cors_a_preflight_is_a_request_like_any_other(upstream: RawUpstream) -> None:
    async with running(config_for(upstream_at(upstream.url))) as gateway:
        asked = f"Origin: {APP}\r\nAccess-Control-Request-Method: POST\r\n\r\n".encode()
        assert (await ask(gateway.port, b"OPTIONS /api/x HTTP/1.1\r\n" + H + asked))[0] == 401
        assert (await ask(gateway.port, b"OPTIONS /public/x HTTP/1.1\r\n" + H + asked))[0] == 200
        assert len(upstream.visits) == 1


async def test_cors_is_on_refusals_and_replaces_the_upstreams() -> None:
    async def script(visit: Visit) -> None:
        lines = "Access-Control-Allow-Origin: *\r\nVary: Accept\r\nContent-Length: 2"
        await visit.send(f"HTTP/1.1 200 OK\r\n{lines}\r\n\r\nok".encode())

    async with RawUpstream(script) as upstream:
        async with running(config_for(upstream_at(upstream.url), cors=Cors(frozenset({APP})))) as gateway:
            for target, status in ((b"/public/x", 200), (b"/api/x", 401), (b"/nowhere", 404)):
                data = b"GET " + target + b" HTTP/1.1\r\n" + H + f"Origin: {APP}\r\n\r\n".encode()
                found, head, _ = await ask(gateway.port, data)
                assert found == status
                assert header(head, "Access-Control-Allow-Origin") == APP
                assert "WWW-Authenticate" in (header(head, "Access-Control-Expose-Headers") or "")
                assert "Origin" in (header(head, "Vary") or "")
            found, head, _ = await ask(
                gateway.port, b"GET /public/x HTTP/1.1\r\n" + H + b"Origin: https://evil.test\r\n\r\n"
            )
            assert header(head, "Access-Control-Allow-Origin") is None


async def test_forwarded_headers_count_only_from_trusted_proxies(upstream: RawUpstream) -> None:
    sent = b"X-Forwarded-For: 6.6.6.6, 192.0.2.9, 10.0.0.1\r\nX-Forwarded-Proto: https\r\n\r\n"
    data = b"GET /public/x HTTP/1.1\r\n" + H + sent
    async with running(config_for(upstream_at(upstream.url))) as gateway:
        await ask(gateway.port, data)
    trusted = (ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8"))
    async with running(config_for(upstream_at(upstream.url), trusted_proxies=trusted)) as gateway:
        await ask(gateway.port, data)
    told = [(visit.header("X-Forwarded-For"), visit.header("X-Forwarded-Proto")) for visit in upstream.visits]
    assert told == [("127.0.0.1", "http"), ("192.0.2.9, 10.0.0.1, 127.0.0.1", "https")]


def log_lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    records = (record for record in caplog.records if record.name == "gateway.access")
    return [dict(cast(dict[str, object], record.msg)) for record in records]


async def test_one_line_per_request_and_no_secret_in_it(
    upstream: RawUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gateway.access")
    config = config_for(upstream_at(upstream.url))
    provider = replace(SHARED, token_sources=(TokenSource("bearer"), TokenSource("query", "apiKey")))
    async with running(with_routes(config, providers=(provider,))) as gateway:
        await ask(gateway.port, API + BEARER + b"Cookie: session=hidden-cookie\r\n\r\n")
        await ask(gateway.port, f"GET /api/x?q=hidden-query&apiKey={TOKEN} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        await ask(gateway.port, API + b"Authorization: Bearer hidden.bad.token\r\n\r\n")
        await ask(gateway.port, b"GET /hidden hidden\r\n\r\n")
    good, queried, bad, broken = log_lines(caplog)
    assert (good["route"], good["provider"], good["decision"], good["status"]) == ("/api", "jobs", "allow", 200)
    assert (good["method"], good["path"], good["ended"], good["bytes_out"]) == ("GET", "/api/x", "complete", 2)
    assert isinstance(good["decision_ms"], float) and isinstance(good["first_byte_ms"], float)
    assert good["subject"] == queried["subject"] != "user-1"
    assert (bad["decision"], bad["code"], bad["status"], bad["ended"]) == ("deny", "token_malformed", 401, "refused")
    assert (broken["code"], broken["status"]) == ("request_malformed", 400)
    assert "hidden" not in caplog.text and TOKEN not in caplog.text and "alice" not in caplog.text
    assert "apiKey" not in upstream.visits[1].target


async def test_line_says_how_a_request_ended(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway.access")

    async def script(visit: Visit) -> None:
        if visit.target.endswith("cut"):
            await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")
            visit.close()
        elif visit.target.endswith("think"):
            visit.upstream.thinking.set()  # type: ignore[attr-defined]
            await visit.wait_for_client_to_leave()
        else:
            visit.close()

    async with RawUpstream(script) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        upstream.thinking = asyncio.Event()  # type: ignore[attr-defined]
        for end in (b"cut", b"broken", b"think"):
            async with RawClient.connect(gateway.port) as client:
                await client.send(b"GET /public/" + end + b" HTTP/1.1\r\n" + H + b"\r\n")
                if end == b"think":
                    await upstream.thinking.wait()  # type: ignore[attr-defined]
                else:
                    await client.rest() if end == b"cut" else await client.answer()
        await asyncio.wait_for(gateway.quiet.wait(), 5)
    assert [(line["ended"], line.get("code")) for line in log_lines(caplog)] == [
        ("upstream_cut", None),
        ("refused", "upstream_broken"),
        ("client_gone", None),
    ]


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


async def test_admin_port(upstream: RawUpstream) -> None:
    async with running(config_for(upstream_at(upstream.url))) as gateway:
        admin = Admin(LocalState(gateway))
        await admin.start(Address("127.0.0.1", 0))
        base = f"http://127.0.0.1:{admin.port}"
        await ask(gateway.port, API + BEARER + b"\r\n")
        await ask(gateway.port, API + b"\r\n")
        assert (await get(base + "/healthz"))[0] == 200
        assert (await get(base + "/readyz"))[0] == 200
        metrics = (await get(base + "/metrics"))[1]
        assert 'gateway_requests_total{code="",decision="allow",route="/api",status="200"} 1.0' in metrics
        assert 'gateway_requests_total{code="token_missing",decision="deny",route="/api",status="401"} 1.0' in metrics
        status = json.loads((await get(base + "/status"))[1])
        assert [route["route"] for route in status["routes"]] == ["/public", "/api", "/plain"]
        assert status["token_cache"] == {"entries": 0, "hits": 0, "misses": 1}
        assert SECRET.decode() not in json.dumps(status)
        gateway.is_draining = True
        assert (await get(base + "/readyz"))[0] == 503
        assert (await get(base + "/healthz"))[0] == 200
        await admin.stop()


async def test_mistake_of_ours_is_a_500_that_tells_nothing(
    upstream: RawUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    def broken_clock() -> float:
        raise ZeroDivisionError("private detail")

    gateway = Gateway(config_for(upstream_at(upstream.url)), clock=broken_clock)
    await gateway.start()
    status, _, body = await ask(gateway.port, GET)
    assert (status, json.loads(body)["code"]) == (500, "internal_error")
    assert b"private" not in body
    assert "ZeroDivisionError" in caplog.text
    await gateway.stop()


async def test_port_in_use_is_said(upstream: RawUpstream) -> None:
    async with running(config_for(upstream_at(upstream.url))) as gateway:
        other = Gateway(config_for(upstream_at(upstream.url), listen=Address("127.0.0.1", gateway.port)))
        with pytest.raises(StartError, match=f"cannot listen on 127.0.0.1:{gateway.port}"):
            await other.start()
        await other.stop()


async def test_new_configuration_counts_from_the_next_request_and_old_streams_live_on() -> None:
    go_on = asyncio.Event()

    async def slow(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        await go_on.wait()
        await visit.send(b"1\r\nb\r\n0\r\n\r\n")

    async with RawUpstream(slow) as old, RawUpstream() as new, running(config_for(upstream_at(old.url))) as gateway:
        async with RawClient.connect(gateway.port) as client, RawClient.connect(gateway.port) as kept:
            await kept.send(b"GET /nowhere HTTP/1.1\r\n" + H + b"\r\n")
            assert (await kept.answer())[0] == 404
            await client.send(GET)
            await client.head()
            assert await client.chunk() == b"a"
            await gateway.use(config_for(upstream_at(new.url)))
            await kept.send(GET)  # also on a connection that was open before
            assert (await kept.answer())[0] == 200
            go_on.set()
            assert await client.chunk() == b"b"
            assert await client.chunk() == b""
        assert len(old.visits) == len(new.visits) == 1


async def test_reload_under_load_loses_no_request() -> None:
    async with RawUpstream() as one, RawUpstream() as two, running(config_for(upstream_at(one.url))) as gateway:
        statuses: list[int] = []

        async def keep_asking() -> None:
            async with RawClient.connect(gateway.port) as client:
                for _ in range(100):
                    await client.send(API + BEARER + b"\r\n")
                    statuses.append((await client.answer())[0])

        async def keep_swapping() -> None:
            for number in range(20):
                await gateway.use(config_for(upstream_at((one, two)[number % 2].url)))
                await asyncio.sleep(0.005)

        await asyncio.gather(*(keep_asking() for _ in range(8)), keep_swapping())
        assert statuses == [200] * 800
        assert one.visits and two.visits


async def test_drain_lets_requests_end_and_takes_no_new_ones() -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow(visit: Visit) -> None:
        arrived.set()
        await go_on.wait()
        await visit.send(OK)

    async with RawUpstream(slow) as upstream:
        gateway = Gateway(config_for(upstream_at(upstream.url)))
        await gateway.start()
        port = gateway.port
        async with RawClient.connect(port) as client, RawClient.connect(port) as idle:
            await client.send(GET)
            await arrived.wait()
            draining = asyncio.create_task(gateway.drain())
            assert await idle.rest() == b"", "an idle connection is closed at once"
            with pytest.raises(OSError):
                await asyncio.open_connection("127.0.0.1", port)
            assert not gateway.is_ready()
            go_on.set()
            status, head, _ = await client.answer()
            assert status == 200
            assert b"Connection: close" in head
            await draining
        assert gateway.open_requests == 0


async def test_drain_lets_an_upload_end() -> None:
    arrived = asyncio.Event()

    async def slow(visit: Visit) -> None:
        await visit.reader.readexactly(3)
        arrived.set()
        await visit.reader.readexactly(3)
        await visit.send(OK)

    async with RawUpstream(slow) as upstream:
        gateway = Gateway(config_for(upstream_at(upstream.url)))
        await gateway.start()
        async with RawClient.connect(gateway.port) as client:
            await client.send(b"POST /public/x HTTP/1.1\r\n" + H + b"Content-Length: 6\r\n\r\nabc")
            await arrived.wait()
            draining = asyncio.create_task(gateway.drain())
            await asyncio.sleep(0)
            await client.send(b"def")
            assert (await client.answer())[0] == 200
            assert await client.rest() == b""
            await draining


async def test_drain_cuts_what_does_not_end_in_time() -> None:
    async def endless(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        await visit.wait_for_client_to_leave()

    async with RawUpstream(endless) as upstream:
        gateway = Gateway(config_for(upstream_at(upstream.url), drain_timeout_seconds=0.1))
        await gateway.start()
        async with RawClient.connect(gateway.port) as client:
            await client.send(GET)
            await client.head()
            await asyncio.wait_for(gateway.drain(), 10)
            assert await client.rest() == b"1\r\na\r\n"
        assert gateway.open_requests == 0


def make_certificate(folder: Path, name: str) -> Tls:
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    )
    certificate = made.sign(key, hashes.SHA256())
    files = Tls(folder / f"{name}.crt", folder / f"{name}.key")
    files.certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    files.key_file.write_bytes(pem)
    return files


@pytest.mark.parametrize(
    "version",
    [pytest.param(b"1.1", id="fast"), pytest.param(b"1.0", id="aiohttp")],
)
@pytest.mark.parametrize("target", [b"/api/x", b"/public/x"])
async def test_connection_keeps_its_place_until_it_ends(upstream: RawUpstream, version: bytes, target: bytes) -> None:
    async with running(config_for(upstream_at(upstream.url))) as gateway:
        request = b"GET %b HTTP/%b\r\nHost: a\r\nConnection: keep-alive\r\n%b\r\n" % (target, version, BEARER)
        async with RawClient.connect(gateway.port) as client:
            for _ in range(3):
                await client.send(request)
                assert (await client.answer())[0] == 200
                assert gateway.room.count == 1
                where = gateway.room.members if target == b"/api/x" else gateway.room.guests
                assert len(where) == 1 and not gateway.room._strangers
        assert (await ask(gateway.port, request))[0] == 200
        await gateway.drain()
        for _ in range(10):
            await asyncio.sleep(0)
        assert gateway.room.count == 0


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
async def test_connection_is_not_closed_while_its_answer_is_under_way(version: bytes) -> None:
    more = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok")
        await more.wait()
        await visit.send(b"ok")

    limits = Limits(connections=8, connections_per_address=2)
    async with (
        RawUpstream(script) as upstream,
        running(config_for(upstream_at(upstream.url), limits=limits)) as gateway,
        RawClient.connect(gateway.port) as client,
    ):
        await client.send(b"GET /api/x HTTP/%b\r\nHost: a\r\n%b\r\n" % (version, BEARER))
        await client.head()
        for _ in range(20):
            assert (await ask(gateway.port, b"GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n"))[0] == 401
        async with RawClient.connect(gateway.port) as first, RawClient.connect(gateway.port):
            assert await first.rest() == b"", "the address has two, of which one is under way"
        more.set()
        assert await client.reader.readexactly(4) == b"okok"


async def test_clients_of_a_trusted_proxy_share_no_limit(upstream: RawUpstream) -> None:
    limits, proxies = Limits(connections=20, connections_per_address=1), (ip_network("127.0.0.0/8"),)
    config = config_for(upstream_at(upstream.url), limits=limits, trusted_proxies=proxies)
    async with running(config) as gateway, RawClient.connect(gateway.port) as first, RawClient.connect(gateway.port):
        await first.send(b"GET /public/x HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await first.answer())[0] == 200
        assert (gateway.room.count, gateway.room.shed["address"]) == (2, 0)
        await gateway.use(replace(config, trusted_proxies=(), limits=replace(limits, connections=50)))
        async with RawClient.connect(gateway.port) as third:
            await third.send(b"GET /public/x HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await third.answer())[0] == 200
        assert gateway.room.shed["address"] == 1 and gateway.room.limit == 50, "a reload counts at once"


async def test_place_of_a_tls_connection_is_taken_before_the_handshake(upstream: RawUpstream, tmp_path: Path) -> None:
    config = config_for(upstream_at(upstream.url), tls=make_certificate(tmp_path, "first"))
    limits = Limits(connections=8, connections_per_address=1)
    async with running(replace(config, limits=limits)) as gateway, RawClient.connect(gateway.port) as silent:
        assert await served_name(gateway.port) == "CN=first"
        assert await silent.rest() == b"" and gateway.room.shed["address"] == 1


async def served_name(port: int) -> str:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        writer.write(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        from cryptography import x509

        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return str(x509.load_der_x509_certificate(der).subject.rfc4514_string())
    finally:
        writer.close()


async def test_tls_certificate_is_read_again_with_the_file(upstream: RawUpstream, tmp_path: Path) -> None:
    first, second = make_certificate(tmp_path, "first"), make_certificate(tmp_path, "second")
    config = config_for(upstream_at(upstream.url))
    async with running(replace(config, tls=first)) as gateway:
        assert await served_name(gateway.port) == "CN=first"
        assert gauges_of(gateway).certificate_expires_at == end_of_certificate(first)
        assert b"gateway_certificate_expires_timestamp_seconds 1" in metrics_text(gateway.metrics, gauges_of(gateway))
        assert state_of(gateway)["certificate_expires_seconds"] > 0
        assert upstream.visits[0].header("X-Forwarded-Proto") == "https"
        await gateway.use(replace(config, tls=second))
        assert await served_name(gateway.port) == "CN=second"
        with pytest.raises(StartError):
            await gateway.use(replace(config, tls=Tls(first.certificate_file, second.key_file)))
        assert await served_name(gateway.port) == "CN=second", "what was in force still is"
