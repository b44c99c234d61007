"""What the fast wire reads it reads as aiohttp does: heads, those that came before, and bodies in chunks."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any, cast

import pytest
from aiohttp import StreamReader, http_parser
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.http1.body import BrokenBodyError, Chunks
from gateway.http1.fields import Lines
from gateway.http1.llhttp import ChunksReadTwice, LlhttpResponses
from gateway.http1.memory import Shapes
from gateway.http1.request import RequestRead, Requests
from gateway.http1.response import Responses

HEAD = b"GET /a HTTP/1.1\r\nHost: x"


def read_request(head: bytes, requests: Requests | None = None) -> RequestRead | None:
    return (requests or Requests(lambda name: (True, False))).read(head + b"\r\n", "192.0.2.1")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /a HTTP/1.0\r\nHost: x",
        b"GET /a HTTP/1.1",
        b"GET  /a HTTP/1.1\r\nHost: x",
        b"GET /a  HTTP/1.1\r\nHost: x",
        b"get /a HTTP/1.1\r\nHost: x",
        b"TRACE /a HTTP/1.1\r\nHost: x",
        b"CONNECT x:1 HTTP/1.1\r\nHost: x",
        b"GET http://x/a HTTP/1.1\r\nHost: x",
        b"GET * HTTP/1.1\r\nHost: x",
        b"GET /a RTSP/1.0\r\nHost: x",
        b"GET /a\x7f HTTP/1.1\r\nHost: x",
        b"GET /\xc3\xa9 HTTP/1.1\r\nHost: x",
        HEAD + b"\r\nHost: y",
        HEAD + b"\r\nX : 1",
        HEAD + b"\r\n: 1",
        HEAD + b"\r\nX",
        HEAD + b"\r\nX\r\n\tfolded: 1",
        HEAD + b"\r\nX: a\r\n b",
        HEAD + b"\r\nX: a\nY: b",
        HEAD + b"\r\nX: a\rY: b",
        HEAD + b"\r\nX: a\x00b",
        HEAD + b"\r\nX: \x01",
        HEAD + b"\r\nX: \xe9",
        HEAD + b"\r\nTransfer-Encoding: chun\xe2\x84\xaaed",  # a Kelvin sign is a `k` in lower case
        HEAD + b"\r\nTransfer-Encoding: chunked, gzip",
        HEAD + b"\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        HEAD + b"\r\nTransfer-Encoding: chunked\r\nContent-Length: 1",
        HEAD + b"\r\nX\xc3: a",
        HEAD + b"\r\nUpgrade: websocket",
        HEAD + b"\r\nExpect: 100-continue",
        HEAD + b"\r\nContent-Length: +1",
        HEAD + b"\r\nContent-Length: 1\r\nContent-Length: 1",
        HEAD + b"\r\nContent-Length: 1, 1",
        HEAD + b"\r\nContent-Length: 18446744073709551615",
        HEAD + b"\r\nContent-Length: ",
        HEAD + b"\r\nConnection: close, x-auth",
        HEAD + b"\r\nConnection: keep-alive\r\nConnection: close",
        b"GET /a HTTP/1.1\r\nHost: a, b",
        b"GET /a HTTP/1.1\r\nHost: ",
        HEAD + b"\r\nContent-Length: 007",
        HEAD + b"".join(b"\r\nX-%d: 1" % number for number in range(300)),
    ],
)
def test_what_is_uncommon_or_unclear_is_for_llhttp(head: bytes) -> None:
    assert read_request(head) is None


def test_common_head_is_read() -> None:
    head = b"POST /a?b HTTP/1.1\r\nhost: x:80\r\nX-A:  1 2 \t\r\nx-a: 3\r\nEmpty:\r\n"
    head += b"Content-Length: 7\r\nconnection: Close"
    found = read_request(head)
    assert found is not None
    assert (found.method, found.target, found.length_bytes, found.keeps_alive) == ("POST", "/a?b", 7, False)
    assert list(found.headers.all("x-a")) == ["1 2", "3"] and found.headers.first("empty") == ""
    assert found.headers.lines[1] == ("X-A", "1 2")
    assert found.forwarded is not None and b"X-A: 1 2\r\n" in found.forwarded


NAMES = st.from_regex(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}", fullmatch=True)
VALUES = st.binary(max_size=20)
ODD = st.sampled_from([b"", b"\r\n", b"\n", b"\r", b"\t", b" ", b":", b"\x00", b"\xff", b"Host: y\r\n"])


@given(
    start=st.sampled_from([b"GET /a HTTP/1.1", b"POST /b?c HTTP/1.1", b"GET  /a HTTP/1.1", b"GET /a HTTP/1.0"]),
    fields=st.lists(st.tuples(NAMES, ODD, VALUES), max_size=5),
)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_the_fast_wire_reads_llhttp_reads_the_same(start: bytes, fields: list[tuple[bytes, bytes, bytes]]) -> None:
    head = b"\r\n".join([start, b"Host: x", *(name + odd + b":" + value for name, odd, value in fields)])
    found = read_request(head)
    if found is None:
        return  # it goes to llhttp anyway
    parser = http_parser.HttpRequestParser(None, None, 2**16)
    messages, _, rest = parser.feed_data(head + b"\r\n\r\n")
    ((message, _),) = messages
    assert (message.method, message.path) == (found.method, found.target)
    theirs = [(n.decode(), v.decode()) for n, v in message.raw_headers]
    assert theirs == list(found.headers.lines)
    assert rest == b""


def test_memory_of_lines_is_bounded() -> None:
    memory = Lines(lambda name: (True, False), max_bytes=10_000)
    for number in range(1000):
        for _ in range(2):
            (field,) = memory.fields([b"X-N: %d\r" % number])
        assert (field.name, field.value, field.line) == ("X-N", str(number), b"X-N: %d\r\n" % number)
    assert len(memory._remembered.known) < 40
    for number in range(3000):
        memory.fields([b"X-%d: a\r" % number])
    assert len(memory._names.known) <= 1024


def test_memory_of_heads_is_bounded_and_begins_with_the_second_time() -> None:
    memory: Shapes[int] = Shapes(max_bytes=50_000)
    for number in range(20_000):
        memory.add(b"once: %d" % number, number)
    assert not memory.known and len(memory._seen_once) <= 8192
    for number in range(1000):
        memory.add(b"twice: %d" % number, number)
        memory.add(b"twice: %d" % number, number)
    assert 0 < len(memory.known) < 60 and memory.known[b"twice: 999"] == 999
    for number in range(1000):
        for _ in range(2):
            memory.add(b"a: b\r\n" * 100 + b"%d" % number, number)
    assert 0 < len(memory.known) < 3, "a line weighs more than its text"
    for _ in range(3):
        memory.add(b"x" * 5000, 1)
    assert b"x" * 5000 not in memory.known


def heads_with(*lines: bytes) -> list[bytes]:
    return [
        HEAD.replace(b"/a", path) + b"".join(b"\r\n" + line for line in lines) for path in (b"/a", b"/b?c=d", b"/e")
    ]


@pytest.mark.parametrize(
    "lines",
    [
        (),
        (b"Accept: */*",),
        (b"Authorization: Bearer a.b.c",),
        (b"authorization: Bearer a.b.c", b"X-Request-ID: 7", b"Accept: */*"),
        (b"x-request-id: 7", b"x-a: 1", b"Authorization: Bearer a.b.c", b"x-b: 2"),
        (b"X-Request-Id: ", b"Authorization: Bearer a.b.c "),
        (b"Authorization: Bearer", b"Accept: */*"),
        (b"Authorization: Bearer  a.b.c", b"Accept: */*"),
        (b"Authorization: bearer a.b.c",),
        (b"Authorization: Basic abc", b"Connection: keep-alive"),
        (b"X: uthorization: Bearer a.b.c", b"Authorization: Bearer d.e.f"),
        (b"Proxy-Authorization: Bearer a.b.c", b"Connection: close"),
        (b"X-Not-X-Request-Id: 1", b"Authorization: Bearer a.b.c", b"Content-Length: 5"),
    ],
)
def test_head_is_read_the_same_whether_it_came_before_or_not(lines: tuple[bytes, ...]) -> None:
    memory = Requests(lambda name: (name.lower() != "x-request-id", False))
    for _ in range(4):
        for head in heads_with(*lines):
            fresh, known = read_request(head), read_request(head, memory)
            assert fresh is not None and known is not None
            assert known.headers.lines == fresh.headers.lines == tuple(lines_of(head))
            assert [getattr(known, name) for name in WHAT_IS_READ] == [getattr(fresh, name) for name in WHAT_IS_READ]
            passed = [line for line in lines_of(head) if line[0].lower() != "x-request-id"]
            assert known.forwarded == "".join(f"{name}: {value}\r\n" for name, value in passed).encode()


WHAT_IS_READ = ("method", "target", "bearer", "length_bytes", "keeps_alive")


def lines_of(head: bytes) -> list[tuple[str, str]]:
    rows = (row.partition(":") for row in head.decode().split("\r\n")[1:])
    return [(name, value.strip()) for name, _, value in rows]


@pytest.mark.parametrize(
    ("lines", "bearer"),
    [
        ((), ""),
        ((b"Authorization: Bearer a.b.c",), "a.b.c"),
        ((b"authorization: Bearer a.b.c",), "a.b.c"),
        ((b"Authorization: bearer a.b.c",), None),  # is looked at by the rules for all places
        ((b"Authorization: Bearer a.b.c ",), None),
        ((b"Authorization: Bearer a,b",), None),
        ((b"Authorization: Bearer " + b"a" * 16 * 1024,), "a" * 16 * 1024),
        ((b"Authorization: Bearer " + b"a" * (16 * 1024 + 1),), None),
        ((b"Authorization: Basic abc",), None),
        ((b"X-Authorization: Bearer a.b.c",), ""),
    ],
)
def test_token_is_seen_while_the_head_is_read(lines: tuple[bytes, ...], bearer: str | None) -> None:
    for _ in range(3):
        found = read_request(heads_with(*lines)[0])
        assert found is not None and found.bearer == bearer


@pytest.mark.parametrize("second", [b"Authorization: Bearer d.e.f", b"authorization: Basic abc", b"AUTHORIZATION:"])
def test_second_authorization_beside_a_token_is_for_llhttp(second: bytes) -> None:
    for lines in ((b"Authorization: Bearer a.b.c", second), (second, b"Authorization: Bearer a.b.c")):
        found = read_request(heads_with(*lines)[0])
        assert found is None or found.bearer is None


def test_literal_remainder_of_a_head_without_its_token_is_not_taken_for_it() -> None:
    memory = Requests(lambda name: (True, False))
    with_token = heads_with(b"Authorization: Bearer a.b.c", b"X-A: 1")[0]
    without = heads_with(b"Authorization: Bearer", b"X-A: 1")[0]
    for _ in range(3):
        one, other = read_request(with_token, memory), read_request(without, memory)
        assert one is not None and other is not None
        assert (one.bearer, other.bearer) == ("a.b.c", None)
        assert one.forwarded == b"Host: x\r\nAuthorization: Bearer a.b.c\r\nX-A: 1\r\n"
        assert other.forwarded == b"Host: x\r\nAuthorization: Bearer\r\nX-A: 1\r\n"


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5", (200, 5, False, True)),
        (b"HTTP/1.1 200\r\nTransfer-Encoding: Chunked", (200, None, True, True)),
        (b"HTTP/1.1 204 No Content\r\nConnection: close", (204, None, False, False)),
        (b"HTTP/1.0 200 OK\r\nX: \xc3\xa9", (200, None, False, False)),
        (b"HTTP/2.0 200 OK", None),
        (b"HTTP/1.1 20 OK", None),
        (b"HTTP/1.1 099 OK", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length : 5", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked", None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked", None),
        (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked", None),
        (b"HTTP/1.1 200 OK\r\nX: a\nY: b", None),
        # docs/architecture.md: a response has no second reader, and is judged more strictly than llhttp does.
        (b"\r\nHTTP/1.1 200 OK", None),
        (b"HTTP/1.1 200 OK\nX: a", None),
        (b"HTTP/1.1 200 OK\r\nX: a\r\n b", None),
        (b"HTTP/1.1 200 OK\r\n" + b"X" * 256 + b": a", (200, None, False, True)),
        (b"HTTP/1.1 200 OK\r\n" + b"X" * 257 + b": a", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"1" * 18, (200, int("1" * 18), False, True)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"1" * 19, None),
        (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked", (204, None, True, True)),
    ],
)
async def test_response_has_one_framing_or_is_none(head: bytes, expected: tuple[Any, ...] | None) -> None:
    found = Responses(lambda name: True).read(head + b"\r\n")
    read = (found.status, found.length_bytes, found.is_chunked, found.keeps_alive) if found is not None else None
    assert read == expected
    other = LlhttpResponses().read(head + b"\r\n")
    if found is not None and found.status != 204:  # which has no body: its framing is nobody's
        assert other is not None and expected is not None
        assert (other.status, other.length_bytes, other.is_chunked) == expected[:3]


PIECES_OF_CHUNKS = st.sampled_from(
    [
        *(
            b"0",
            b"1",
            b"2",
            b"a",
            b"\r\n",
            b"\r",
            b"\n",
            b";",
            b"=",
            b" ",
            b"\t",
            b'"',
            b"X: y",
            b"X",
            b":",
            b"\xff",
            b"\x00",
        ),
        *(b"5\r\nhello\r\n", b"0\r\n\r\n", b"0\r\n", b",", b"\\", b"@", b";a=b", b';a="b c"'),
    ]
)


def body_of(chunks: Chunks, data: bytes) -> tuple[bytes, bool, bytes] | None:
    try:
        return b"".join(chunks.feed(data)), chunks.is_complete, chunks.rest
    except BrokenBodyError:
        return None


@given(st.lists(PIECES_OF_CHUNKS, max_size=10))
@settings(max_examples=600, deadline=None)
def test_upload_in_chunks_that_we_read_whole_llhttp_reads_the_same(pieces: list[bytes]) -> None:
    # CWE-444: where a body ends is where the next request begins.
    data = b"".join(pieces)

    async def compare() -> None:
        ours = body_of(Chunks(is_of_request=True), data)
        both = body_of(ChunksReadTwice(is_of_request=True), data)
        if ours is not None and ours[1]:
            assert both == ours
        elif both is not None:
            assert ours == both, "a second reader makes nothing valid"

    asyncio.run(compare())


async def test_body_that_two_readers_read_in_two_ways_is_broken() -> None:
    class Other:
        def read_nowait(self, size: int) -> bytes:
            return b"b"

    twice = ChunksReadTwice()
    twice._payload = cast(StreamReader, Other())
    with pytest.raises(BrokenBodyError, match="two bodies"):
        twice.feed(b"1\r\na\r\n")


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.data())
@settings(max_examples=200, deadline=None)
def test_chunks_are_the_same_however_they_arrive(pieces: list[bytes], data: st.DataObject) -> None:
    extension = data.draw(st.sampled_from([b"", b";a=b", b" "]))
    wire = b"".join(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces)
    wire += b"0\r\nTrailer: dropped\r\n\r\nrest"
    chunks, found, at = Chunks(), b"", 0
    while at < len(wire) and not chunks.is_complete:
        step = data.draw(st.integers(1, len(wire)))
        found += b"".join(chunks.feed(wire[at : at + step]))
        at += step
    assert found == b"".join(pieces) and chunks.is_complete
    assert chunks.rest + wire[at:] == b"rest"


@given(st.binary(max_size=12), st.lists(st.integers(1, 12), max_size=4))
@settings(max_examples=400, deadline=None)
def test_broken_chunks_are_judged_the_same_however_they_arrive(noise: bytes, cuts: list[int]) -> None:
    wire = b"3\r\nabc\r\n" + noise + b"\r\n2\r\nde\r\n0\r\n\r\n"
    at_once, piece_by_piece = Chunks(), Chunks()

    def fed(chunks: Chunks, pieces: list[bytes]) -> tuple[bytes, bool, bool]:
        found = b""
        try:
            for piece in pieces:
                found += b"".join(chunks.feed(piece)) if not chunks.is_complete else b""
        except BrokenBodyError:
            return found, False, True
        return found, chunks.is_complete, False

    borders = [8, *(8 + cut for cut in sorted(cuts)), len(wire)]
    pieces = [wire[:8], *(wire[a:b] for a, b in pairwise(borders))]
    one, other = fed(at_once, [wire]), fed(piece_by_piece, [wire[n : n + 1] for n in range(len(wire))])
    assert one[1:] == other[1:] == fed(Chunks(), pieces)[1:]


@pytest.mark.parametrize(
    "wire",
    [
        b"x\r\n",
        b"-1\r\n",
        b"+1\r\na\r\n",
        b"0x1\r\na\r\n",
        b"1_1\r\n" + b"a" * 17 + b"\r\n",
        b"1\nab",
        b"1\r\nab\r\n",
        b"2\r\nabcd",
        b"f" * 17 + b"\r\n",
        b"5" * 2000,
        b"0\r\nA: \rb\r\n",
    ],
)
def test_what_is_no_chunk_breaks_the_body(wire: bytes) -> None:
    with pytest.raises(BrokenBodyError):
        chunks = Chunks()
        chunks.feed(wire)
        chunks.feed(b"\r\n\r\n")


@pytest.mark.parametrize(
    "line",
    [
        b"Authorization: Bearer hidden",
        b"Authorization: Basic hidden",
        b"cookie: a=hidden",
        b"Sec-WebSocket-Protocol: hidden",
        b"X-API-Key: hidden",
        b"Proxy-Authorization: Bearer hidden",
    ],
)
def test_no_credential_is_remembered(line: bytes) -> None:
    memory = Requests(lambda name: (True, False))
    for head in heads_with(line, b"Accept: */*") * 4:
        assert read_request(head.replace(b"c=d", b"c=hidden"), memory) is not None
    kept = [*memory._lines._remembered.known, *memory._shapes.known, *memory._shapes_with_token.known]
    kept += [shape.before + shape.behind for shape in memory._shapes_with_token.known.values()]
    assert kept and b"hidden" not in b"".join(kept)


def test_no_cookie_of_an_answer_is_remembered() -> None:
    memory = Responses(lambda name: True)
    for _ in range(4):
        assert memory.read(b"HTTP/1.1 200 OK\r\nSet-Cookie: hidden\r\nContent-Length: 0\r\n") is not None
    assert b"hidden" not in b"".join([*memory._lines._remembered.known, *memory._shapes.known])
