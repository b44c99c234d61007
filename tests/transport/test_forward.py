"""One exchange through a running gateway: what the upstream hears and the client sees, also when one of them fails."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from dataclasses import replace

import pytest

from gateway.config.model import Limits
from gateway.policy.upstreams import Upstream
from tests.rawpeer import OK, RawClient, RawUpstream, Visit, ask
from tests.running import BEARER, config_for, running, upstream_at

H = b"Host: gw.test:8080\r\n"
GET = b"GET /public/x HTTP/1.1\r\n" + H + b"\r\n"


def head_of(status: str, *lines: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


async def answer_of(script, data: bytes = GET) -> tuple[int, bytes, bytes]:  # type: ignore[no-untyped-def]
    async with RawUpstream(script) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        return await ask(gateway.port, data)


async def test_upstream_hears_the_judged_target_and_the_verified_identity() -> None:
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        target = b"/%61pi/a+b%2Bc/caf%c3%a9?x=[{|}^]&u=http://a/../b%2F&&?"
        evil = b"X-Auth-Subject: evil\r\nX_Auth_Email: evil\r\nConnection: X-Auth-Subject, X-Custom\r\nX-Custom: 1\r\n"
        forwarded = b"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Host: evil\r\nX-Mastra-Dev-Playground: true\r\n"
        data = b"GET " + target + b" HTTP/1.1\r\n" + H + BEARER + evil + forwarded + b"User-Agent: curl/8\r\n\r\n"
        assert (await ask(gateway.port, data))[0] == 200
        visit = upstream.visits[0]
        assert visit.target == "/api/a+b%2Bc/caf%C3%A9?x=[{|}^]&u=http://a/../b%2F&&?"
        assert visit.header("X-Auth-Subject") == "user-1"
        assert visit.header("X-Auth-Email") == "alice@example.com"
        assert visit.header("Host") == "gw.test:8080"
        assert visit.header("X-Forwarded-For") == "127.0.0.1"
        assert visit.header("X-Forwarded-Proto") == "http"
        assert visit.header("User-Agent") == "curl/8"
        assert visit.header("X-Custom") is None
        for name in ("Accept", "Accept-Encoding", "Content-Type", "Content-Length", "Transfer-Encoding", "Connection"):
            assert visit.header(name) is None, f"{name} is an invention"
        assert b"evil" not in visit.head and b"6.6.6.6" not in visit.head and b"playground" not in visit.head.lower()


@pytest.mark.parametrize("target", [b"/public/x?", b"/public/x?a?b", b"/public/", b"/public/x;v=1?%zz"])
async def test_target_goes_out_byte_for_byte(target: bytes) -> None:
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        assert (await ask(gateway.port, b"GET " + target + b" HTTP/1.1\r\n" + H + b"\r\n"))[0] == 200
        assert upstream.visits[0].target.encode() == target


async def test_answer_passes_untouched_with_its_headers_in_order() -> None:
    packed = gzip.compress(b"hello" * 100)

    async def script(visit: Visit) -> None:
        lines = [
            "Content-Encoding: gzip",
            "Set-Cookie: a=1",
            "Set-Cookie: b=2",
            "X-Name: caf\u00e9",
            "Keep-Alive: timeout=5",
        ]
        await visit.send(
            head_of("201 Made It", *lines, f"Content-Length: {len(packed)}", "Connection: keep-alive") + packed
        )

    status, head, body = await answer_of(script)
    assert (status, body) == (201, packed)
    assert head.startswith(b"HTTP/1.1 201 Made It\r\n")
    assert head.index(b"Set-Cookie: a=1") < head.index(b"Set-Cookie: b=2")
    assert "X-Name: caf\u00e9".encode() in head
    assert b"Keep-Alive" not in head
    assert head.count(b"X-Request-Id: ") == 1


@pytest.mark.parametrize("separator", [b"\n\n", b"\x1e"], ids=["sse", "records"])
async def test_chunks_leave_as_they_arrive(separator: bytes) -> None:
    # SSE of agents, records of workflows: each must be at the client before the next is sent.
    seen = [asyncio.Event() for _ in range(4)]

    async def script(visit: Visit) -> None:
        await visit.send(head_of("200 OK", "Content-Type: text/event-stream", "Transfer-Encoding: chunked"))
        for number, event in enumerate(seen):
            data = b"data: %d%b" % (number, separator)
            await visit.send(b"%x\r\n%b\r\n" % (len(data), data))
            await event.wait()
        await visit.send(b"0\r\n\r\n")

    async with RawUpstream(script) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(GET)
            assert b"Transfer-Encoding: chunked" in await client.head()
            for number, event in enumerate(seen):
                assert await client.chunk() == b"data: %d%b" % (number, separator)
                event.set()
            assert await client.chunk() == b""


async def test_head_arrives_before_the_first_byte_of_the_body() -> None:
    go_on = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.send(head_of("200 OK", "Content-Length: 2"))
        await go_on.wait()
        await visit.send(b"ok")

    async with RawUpstream(script) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(GET)
            assert b"200 OK" in await client.head()
            go_on.set()
            assert await client.reader.readexactly(2) == b"ok"


async def test_large_answer_waits_for_a_slow_client() -> None:
    sent = 0
    size = 64 * 1024 * 1024

    async def script(visit: Visit) -> None:
        nonlocal sent
        await visit.send(head_of("200 OK", f"Content-Length: {size}"))
        for _ in range(size // 65536):
            await visit.send(b"x" * 65536)
            sent += 65536

    async with RawUpstream(script) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            client.transport.pause_reading()
            await client.send(GET)
            before = -1
            while before != sent or not sent:  # until nothing moves any more
                before = sent
                await asyncio.sleep(0.2)
            assert sent < size // 2, "the gateway swallowed what the client did not take"
            client.transport.resume_reading()
            assert len((await client.answer())[2]) == size


async def test_client_that_leaves_in_mid_stream_ends_the_upstreams_request() -> None:
    async def script(visit: Visit) -> None:
        await visit.send(head_of("200 OK", "Transfer-Encoding: chunked") + b"1\r\nx\r\n")
        await visit.wait_for_client_to_leave()
        visit.upstream.left.set()

    async with RawUpstream(script) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(GET)
            await client.head()
            assert await client.chunk() == b"x"
        await asyncio.wait_for(upstream.left.wait(), 5)


@pytest.mark.parametrize("leaves", ["close", "reset"])
async def test_client_that_leaves_while_the_upstream_thinks_ends_its_request(leaves: str) -> None:
    arrived = asyncio.Event()

    async def script(visit: Visit) -> None:
        arrived.set()
        await visit.wait_for_client_to_leave()

    async with RawUpstream(script) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(GET)
            await arrived.wait()
            getattr(client, leaves)()
            await asyncio.wait_for(upstream.left.wait(), 5)
        await asyncio.wait_for(gateway.quiet.wait(), 5)


@pytest.mark.parametrize("breaks", ["close", "reset"])
@pytest.mark.parametrize("framing", ["Content-Length: 100", "Transfer-Encoding: chunked"])
async def test_upstream_that_breaks_in_mid_body_leaves_a_broken_body(framing: str, breaks: str) -> None:
    async def script(visit: Visit) -> None:
        await visit.send(head_of("200 OK", framing) + (b"5\r\nhello\r\n" if "chunked" in framing else b"hello"))
        await visit.upstream.go_on.wait()  # type: ignore[attr-defined]
        getattr(visit, breaks)()

    async with RawUpstream(script) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        upstream.go_on = asyncio.Event()  # type: ignore[attr-defined]
        async with RawClient.connect(gateway.port) as client:
            await client.send(GET)
            await client.head()
            assert b"hello" in await client.reader.readuntil(b"hello")
            upstream.go_on.set()  # type: ignore[attr-defined]
            rest = await client.rest()
            assert rest in (b"", b"\r\n"), "no end of the body is made up"
        # And the next client is served on another connection.
        upstream.script = _ok
        assert (await ask(gateway.port, GET))[0] == 200


async def _ok(visit: Visit) -> None:
    await visit.send(OK)


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        pytest.param(b"", 502, b"upstream_broken", id="closes-without-an-answer"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", 502, b"upstream_broken", id="closes-in-the-head"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", 502, b"upstream_broken", id="no-http"),
        pytest.param(b"\x00\xff\x00\xff\r\n\r\n", 502, b"upstream_broken", id="garbage"),
        pytest.param(
            head_of("200 OK", "Content-Length: 2", "Content-Length: 5") + b"okokok",
            502,
            b"upstream_broken",
            id="two-lengths",
        ),
        pytest.param(
            head_of("200 OK", "Content-Length: 2", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
            502,
            b"upstream_broken",
            id="length-and-chunked",
        ),
        pytest.param(
            head_of("101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"),
            502,
            b"upstream_broken",
            id="unasked-101",
        ),
        pytest.param(head_of("099 No", "Content-Length: 0"), 502, b"upstream_broken", id="status-099"),
        pytest.param(head_of("200 OK", "X: a\rSet-Cookie: evil=1"), 502, b"upstream_broken", id="bare-cr"),
        pytest.param(head_of("200 OK", "X: a\0b"), 502, b"upstream_broken", id="nul"),
        pytest.param(head_of("200 OK", "X: " + "a" * 200_000), 502, b"upstream_broken", id="huge-header"),
    ],
)
async def test_upstream_that_does_not_answer_properly_is_a_502(answer: bytes, status: int, code: bytes) -> None:
    async def script(visit: Visit) -> None:
        await visit.send(answer)
        visit.close()

    async with RawUpstream(script) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        found, head, body = await ask(gateway.port, GET)
        assert found == status
        assert code in body
        assert upstream.url.rpartition(":")[2].encode() not in head + body, "no address of ours in an answer"


async def test_upstream_that_refuses_connections_is_a_502() -> None:
    async with RawUpstream() as upstream:
        url = upstream.url
    async with running(config_for(upstream_at(url))) as gateway:
        status, _, body = await ask(gateway.port, GET)
        assert status == 502
        assert b"upstream_unreachable" in body


async def test_upstream_that_says_nothing_is_a_504() -> None:
    async def script(visit: Visit) -> None:
        await visit.wait_for_client_to_leave()

    async with RawUpstream(script) as upstream:
        slow = upstream_at(upstream.url, response_timeout_seconds=0.1)
        async with running(config_for(slow)) as gateway:
            status, _, body = await ask(gateway.port, GET)
            assert status == 504
            assert b'"error":"Gateway timeout"' in body


async def test_silence_within_a_stream_cuts_it() -> None:
    async def script(visit: Visit) -> None:
        await visit.send(head_of("200 OK", "Transfer-Encoding: chunked") + b"1\r\nx\r\n")
        await visit.wait_for_client_to_leave()

    async with RawUpstream(script) as upstream:
        async with running(config_for(upstream_at(upstream.url, idle_timeout_seconds=0.1))) as gateway:
            async with RawClient.connect(gateway.port) as client:
                await client.send(GET)
                await client.head()
                assert await client.rest() == b"1\r\nx\r\n"


async def test_1xx_of_the_upstream_are_not_the_answer() -> None:
    async def script(visit: Visit) -> None:
        await visit.send(head_of("103 Early Hints", "Link: </x>") * 3 + OK)

    assert (await answer_of(script))[::2] == (200, b"ok")


async def test_second_unasked_answer_is_never_given_to_anybody() -> None:
    # Response queue poisoning: the next request on the pooled connection must not get it.
    async def script(visit: Visit) -> None:
        poison = head_of("200 OK", "Content-Length: 6") + b"poison"
        await visit.send(OK + poison if visit.target.endswith("first") else OK)

    async with RawUpstream(script) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        for target in (b"/public/first", b"/public/second", b"/public/third"):
            status, _, body = await ask(gateway.port, b"GET " + target + b" HTTP/1.1\r\n" + H + b"\r\n")
            assert (status, body) == (200, b"ok")


async def test_late_unasked_answer_is_never_given_to_anybody() -> None:
    sent = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.send(OK)
        if visit.target.endswith("first"):
            await asyncio.sleep(0.05)  # the gateway has put the connection back by now; if not, the case above
            await visit.send(head_of("200 OK", "Content-Length: 6") + b"poison")
            sent.set()

    async with RawUpstream(script) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        await ask(gateway.port, b"GET /public/first HTTP/1.1\r\n" + H + b"\r\n")
        await sent.wait()
        await asyncio.sleep(0.05)
        assert (await ask(gateway.port, GET))[2] == b"ok"


@pytest.mark.parametrize(("method", "status"), [(b"GET", 200), (b"DELETE", 200), (b"POST", 502)])
async def test_kept_connection_that_was_closed_is_tried_once_more_if_harmless(method: bytes, status: int) -> None:
    async def script(visit: Visit) -> None:
        if visit.upstream.connections == 1 and len(visit.upstream.visits) > 1:
            visit.reset()  # as a server that closes an idle connection just as we use it
            return
        await visit.read_body()
        await visit.send(OK)

    async with RawUpstream(script) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        assert (await ask(gateway.port, GET))[0] == 200
        assert (await ask(gateway.port, method + b" /public/x HTTP/1.1\r\n" + H + b"\r\n"))[0] == status


async def test_fresh_connection_that_breaks_is_not_tried_again() -> None:
    async def script(visit: Visit) -> None:
        visit.close()

    async with RawUpstream(script) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        assert (await ask(gateway.port, GET))[0] == 502
        assert len(upstream.visits) == 1


@pytest.mark.parametrize(
    ("request_line", "status", "lines", "body"),
    [
        (b"HEAD /public HTTP/1.1", "200 OK", ["Content-Length: 5"], b""),
        (b"GET /public HTTP/1.1", "204 No Content", [], b""),
        (b"GET /public HTTP/1.1", "304 Not Modified", ["Content-Length: 5", 'ETag: "x"'], b""),
        (b"GET /public HTTP/1.1", "302 Found", ["Location: http://elsewhere.test/", "Content-Length: 0"], b""),
    ],
    ids=["head", "204", "304", "redirect"],
)
async def test_answers_without_a_body(request_line: bytes, status: str, lines: list[str], body: bytes) -> None:
    async def script(visit: Visit) -> None:
        await visit.send(head_of(status, *lines))

    async with RawUpstream(script) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            for _ in range(2):  # on one connection: nothing of a body is left over
                await client.send(request_line + b"\r\n" + H + b"\r\n")
                head = await client.head()
                assert head[9:12] == status[:3].encode()
                assert all(line.encode() in head for line in lines)
                assert b"chunked" not in head


async def test_http_1_0_client_gets_an_unchunked_stream_that_ends_with_the_connection() -> None:
    async def script(visit: Visit) -> None:
        await visit.send(head_of("200 OK", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n")

    async with RawUpstream(script) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(b"GET /public/x HTTP/1.0\r\n\r\n")
            head = await client.head()
            assert b"chunked" not in head.lower() and b"Connection: close" in head
            assert await client.rest() == b"abcdef"


async def test_http_1_0_client_may_keep_its_connection_for_answers_of_known_length() -> None:
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            for _ in range(2):
                await client.send(b"GET /public/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
                status, head, _ = await client.answer()
                assert status == 200 and b"Connection: keep-alive" in head


async def test_body_goes_up_only_after_the_decision_and_as_it_arrives() -> None:
    got = asyncio.Queue[bytes]()

    async def script(visit: Visit) -> None:
        for _ in range(2):
            got.put_nowait(await visit.reader.readexactly(3))
        await visit.send(OK)

    async with RawUpstream(script) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(b"POST /api/x HTTP/1.1\r\n" + H + BEARER + b"Content-Length: 6\r\n\r\nabc")
            assert await asyncio.wait_for(got.get(), 5) == b"abc"
            await client.send(b"def")
            assert await asyncio.wait_for(got.get(), 5) == b"def"
            assert (await client.answer())[0] == 200


async def test_100_continue_is_said_after_the_decision() -> None:
    expect = b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as stranger:
            await stranger.send(b"POST /api/x HTTP/1.1\r\n" + H + expect)
            assert (await stranger.head()).startswith(b"HTTP/1.1 401 ")
        async with RawClient.connect(gateway.port) as client:
            await client.send(b"POST /api/x HTTP/1.1\r\n" + H + BEARER + expect)
            assert await client.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
            await client.send(b"abc")
            assert (await client.answer())[0] == 200
        assert upstream.visits[0].body == b"abc"
        assert upstream.visits[0].header("Expect") is None


async def test_upstream_may_answer_before_the_upload_is_over() -> None:
    async def script(visit: Visit) -> None:
        await visit.send(head_of("413 Too Large", "Content-Length: 2", "Connection: close") + b"no")

    async with RawUpstream(script) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(b"POST /public/x HTTP/1.1\r\n" + H + b"Content-Length: 1000000\r\n\r\n" + b"x" * 1000)
            status, head, body = await client.answer()
            assert (status, body) == (413, b"no")
            assert b"Connection: close" in head


async def test_compressed_upload_is_not_inflated() -> None:
    # CVE-2025-69223: 100 KB would become 100 MB.
    bomb = gzip.compress(b"\0" * 5_000_000)
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        lines = b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
        assert (await ask(gateway.port, b"POST /api/x HTTP/1.1\r\n" + H + BEARER + lines + bomb))[0] == 200
        assert upstream.visits[0].body == bomb


LIMITED = Limits(body_bytes=10, body_idle_timeout_seconds=0.1)


@pytest.mark.parametrize(
    ("lines", "body", "status"),
    [
        pytest.param(b"Content-Length: 10", b"x" * 10, 200, id="at-the-limit"),
        pytest.param(b"Content-Length: 11", b"x" * 11, 413, id="declared-too-large"),
        pytest.param(b"Content-Length: 99999999", b"", 413, id="declared-and-not-sent"),
        pytest.param(
            b"Transfer-Encoding: chunked", b"b\r\n" + b"x" * 11 + b"\r\n0\r\n\r\n", 413, id="chunked-too-large"
        ),
        pytest.param(b"Content-Length: 5", b"xx", 408, id="stops-half-way"),
        pytest.param(b"Transfer-Encoding: chunked", b"5\r\nxx", 408, id="chunk-stops-half-way"),
        pytest.param(b"Transfer-Encoding: chunked", b"zz\r\n", 400, id="chunk-is-none"),
    ],
)
async def test_body_over_a_limit(lines: bytes, body: bytes, status: int) -> None:
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url), limits=LIMITED)) as gateway:
        data = b"POST /api/x HTTP/1.1\r\n" + H + BEARER + lines + b"\r\n\r\n" + body
        found, head, _ = await ask(gateway.port, data)
        assert found == status
        if not body.endswith((b"x" * 11, b"0\r\n\r\n", b"x" * 10)):
            assert b"Connection: close" in head, "what is still to come is no request"
        if status != 200 and b"chunked" not in lines:
            assert not any(visit.body for visit in upstream.visits)


@pytest.mark.parametrize(
    ("framing", "piece"),
    [
        pytest.param(b"Content-Length: 1000", b"x", id="length"),
        pytest.param(b"Transfer-Encoding: chunked", b"1\r\nx\r\n", id="chunked"),
    ],
)
async def test_upload_of_a_byte_now_and_then_ends_by_body_timeout(framing: bytes, piece: bytes) -> None:
    limits = Limits(body_idle_timeout_seconds=5.0, body_timeout_seconds=0.3)
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url), limits=limits)) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(b"POST /api/x HTTP/1.1\r\n" + H + BEARER + framing + b"\r\n\r\n")
            reading = asyncio.create_task(client.answer())
            while not reading.done():
                with contextlib.suppress(ConnectionError):
                    await client.send(piece)
                await asyncio.wait({reading}, timeout=0.02)
            status, _, body = await reading
            assert status == 408 and b"request_timeout" in body


async def test_upload_that_is_done_in_time_has_an_answer_that_may_take_longer() -> None:
    done = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.read_body()
        await done.wait()
        await visit.send(OK)

    limits = Limits(body_timeout_seconds=0.2)
    async with (
        RawUpstream(script) as upstream,
        running(config_for(upstream_at(upstream.url), limits=limits)) as gateway,
    ):
        async with RawClient.connect(gateway.port) as client:
            await client.send(b"POST /api/x HTTP/1.1\r\n" + H + BEARER + b"Content-Length: 2\r\n\r\nx")
            await client.send(b"x")
            reading = asyncio.create_task(client.answer())
            assert not (await asyncio.wait({reading}, timeout=0.6))[0]
            done.set()
            assert (await reading)[0] == 200


async def test_route_chooses_among_several_upstreams() -> None:
    async with RawUpstream() as one, RawUpstream() as two:
        config = config_for(upstream_at(one.url))
        other = Upstream("other", two.url)
        routes = [replace(route, upstream=other) if route.key == "/plain" else route for route in config.policy.routes]
        config = replace(config, upstreams=(*config.upstreams, other), policy=type(config.policy)(routes))
        async with running(config) as gateway:
            await ask(gateway.port, b"GET /plain HTTP/1.1\r\n" + H + b"\r\n")
            await ask(gateway.port, GET)
        assert [visit.target for visit in one.visits] == ["/public/x"]
        assert [visit.target for visit in two.visits] == ["/plain"]
