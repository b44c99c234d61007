"""For all chunkings of a stream: the same bytes arrive, whatever the framing and wherever the sockets' writes end."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.proxy.test_tunnel import UPGRADE, frame, shake_hands
from tests.rawpeer import RawClient, Visit
from tests.running import BEARER
from tests.security.conftest import Report
from tests.security.live import Live, live_gateway

PROPERTIES = settings(settings.get_profile("properties"), max_examples=100)
HOST = b"Host: gw.test\r\n"


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with live_gateway() as live:
        yield live


@dataclass(frozen=True, slots=True)
class Stream:
    """A body, how it is framed (`length`, `chunked`, or for answers `close`), and the sizes of its first chunks."""

    body: bytes
    framing: str
    chunks: tuple[int, ...]

    def head(self) -> bytes:
        match self.framing:
            case "length":
                return b"Content-Length: %d\r\n\r\n" % len(self.body)
            case "chunked":
                return b"Transfer-Encoding: chunked\r\n\r\n"
        return b"Connection: close\r\n\r\n"

    def framed(self) -> bytes:
        if self.framing != "chunked":
            return self.body
        return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in cut(self.body, self.chunks)) + b"0\r\n\r\n"


def cut(data: bytes, sizes: tuple[int, ...]) -> Iterator[bytes]:
    """Give pieces of these sizes, then the rest."""
    for size in sizes:
        if data:
            yield data[:size]
        data = data[size:]
    if data:
        yield data


async def write(writer: asyncio.StreamWriter, data: bytes, sizes: tuple[int, ...]) -> None:
    """Write data in pieces, and let the other ends run after each: they see the borders."""
    for piece in cut(data, sizes):
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)


SIZES = st.one_of(st.integers(1, 9), st.integers(1, 2000), st.sampled_from([4095, 4096, 65535, 65536, 65537, 100_000]))
MANY_SIZES = st.lists(SIZES, max_size=30).map(tuple)
LENGTHS = st.one_of(st.integers(0, 40), st.integers(0, 5000), st.sampled_from([65535, 65536, 65537, 131_072, 300_001]))
BODIES = st.one_of(
    st.tuples(LENGTHS, st.integers(0, 9)).map(lambda pair: random.Random(pair[1]).randbytes(pair[0])),  # noqa: S311
    # What a reader that has lost its place would take for framing.
    st.integers(0, 4000).map(lambda times: b"\r\n0\r\n\r\nGET /api HTTP/1.1\r\n\r\n" * times),
)


def streams(*framings: str) -> st.SearchStrategy[Stream]:
    return st.builds(Stream, BODIES, st.sampled_from(framings), MANY_SIZES)


def test_bodies_arrive_whole_both_ways_in_any_chunking(live: Live, report: Report) -> None:
    moved: Counter[str] = Counter()

    async def exchange(ups: list[Stream], down: Stream, up_cuts: tuple[int, ...], down_cuts: tuple[int, ...]) -> None:
        async def script(visit: Visit) -> None:
            await visit.read_body()
            head = b"HTTP/1.1 200 OK\r\nContent-Type: x/y\r\n" + down.head()
            await write(visit.writer, head + down.framed(), down_cuts)
            if down.framing == "close":
                visit.close()

        live.upstream.script = script
        line = b"POST /api/x HTTP/1.1\r\n" + HOST + BEARER
        data = b"".join(line + up.head() + up.framed() for up in ups)
        async with RawClient.connect(live.gateway.port) as client:
            writing = asyncio.create_task(write(client.writer, data, up_cuts))
            answers = [await client.answer() for _ in ups]
            await writing
        assert [visit.body for visit in live.upstream.visits] == [up.body for up in ups]
        assert [status for status, _, _ in answers] == [200] * len(ups)
        assert all(body == down.body for _, _, body in answers)
        for (_, head, _), visit, up in zip(answers, live.upstream.visits, ups, strict=True):
            assert (visit.header("Content-Length") is None) == (up.framing == "chunked")
            assert (b"content-length" in head.lower()) == (down.framing == "length")
        moved["examples"] += 1
        moved["bytes"] += sum(len(up.body) + len(down.body) for up in ups)

    @PROPERTIES
    @given(
        # Several requests in one stream: a border may fall anywhere between and in them.
        st.lists(streams("length", "chunked"), min_size=1, max_size=3),
        streams("length", "chunked", "close"),
        MANY_SIZES,
        MANY_SIZES,
    )
    @example(
        [Stream(b"x" * 50, "chunked", (1,) * 50)] * 2, Stream(b"y" * 50, "chunked", (1,) * 50), (1,) * 2000, (1,) * 500
    )
    def holds(ups: list[Stream], down: Stream, up_cuts: tuple[int, ...], down_cuts: tuple[int, ...]) -> None:
        live.run(exchange(ups, down, up_cuts, down_cuts))

    holds()
    report(f"{moved['examples']} chunkings of streams, {moved['bytes']} bytes of bodies: the same bytes arrived")


@PROPERTIES
@given(streams("length", "chunked"), MANY_SIZES)
def test_an_upstream_that_answers_while_it_reads_loses_nothing(live: Live, up: Stream, cuts: tuple[int, ...]) -> None:
    async def echo(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while piece := await next_piece(visit):
            visit.body += piece
            await visit.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        await visit.send(b"0\r\n\r\n")

    async def exchange() -> bytes:
        live.upstream.script = echo
        async with RawClient.connect(live.gateway.port) as client:
            data = b"PUT /api/x HTTP/1.1\r\n" + HOST + BEARER + up.head() + up.framed()
            writing = asyncio.create_task(write(client.writer, data, cuts))
            _, _, body = await client.answer()
            await writing
            return body

    assert live.run(exchange()) == up.body


async def next_piece(visit: Visit) -> bytes:
    """Return what came of a request's body, empty at its end."""
    length = visit.header("Content-Length")
    if length is not None:
        left = int(length) - len(visit.body)
        return await visit.reader.read(min(left, 4096)) if left else b""
    size = int(await visit.reader.readuntil(b"\r\n"), 16)
    return (await visit.reader.readexactly(size + 2))[:-2]


FRAMES = st.lists(
    st.tuples(st.integers(0, 300), st.sampled_from([1, 2, 9, 10])).filter(lambda f: f[0] < 126 or f[1] < 8), max_size=12
)


@PROPERTIES
@given(FRAMES, FRAMES, MANY_SIZES, MANY_SIZES)
def test_a_tunnel_moves_the_same_bytes_in_any_pieces(
    live: Live,
    up: list[tuple[int, int]],
    down: list[tuple[int, int]],
    up_cuts: tuple[int, ...],
    down_cuts: tuple[int, ...],
) -> None:
    sent_up = b"".join(frame(b"u" * size, opcode, masked=True) for size, opcode in up)
    sent_down = b"".join(frame(b"d" * size, opcode, masked=False) for size, opcode in down)

    async def script(visit: Visit) -> None:
        await shake_hands(visit)
        await write(visit.writer, sent_down, down_cuts)
        visit.body = await visit.reader.readexactly(len(sent_up))
        await visit.send(b"seen")
        await visit.wait_for_client_to_leave()

    async def exchange() -> bytes:
        live.upstream.script = script
        async with RawClient.connect(live.gateway.port) as client:
            await client.send(b"GET /api/ws HTTP/1.1\r\n" + HOST + BEARER + UPGRADE + b"\r\n")
            assert (await client.head()).startswith(b"HTTP/1.1 101 ")
            await write(client.writer, sent_up, up_cuts)
            return await client.reader.readexactly(len(sent_down) + 4)

    assert live.run(exchange()) == sent_down + b"seen"
    assert [visit.body for visit in live.upstream.visits] == [sent_up]
