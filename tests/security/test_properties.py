"""What holds for all inputs, tried on inputs that nobody thought of. Further ones stand with the units:
tests/test_headers.py (no identity that a client chose survives), tests/test_config.py (every text is a configuration or
a list of mistakes), tests/test_tunnel.py (frames in any chunking).
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.policy.decision import Allow, Deny, NeedKey, NoKey, decide
from gateway.policy.jwk import Key
from gateway.policy.model import Headers, RequestHead
from gateway.policy.providers import KeySource
from gateway.policy.routes import Policy, Route
from gateway.policy.rules import Authenticated
from gateway.policy.upstreams import Upstream
from tests.minting import OTHER_SECRET, SECRET, b64, mint
from tests.rawpeer import RawClient, RawUpstream, Visit
from tests.running import SHARED, config_for, running, upstream_at
from tests.security.judge import is_guarded

UPSTREAM = Upstream("default", "http://127.0.0.1:1")
OPEN = Route("/", (), UPSTREAM, public=True)
GUARDED = Route("/api", ("api",), UPSTREAM, providers=(SHARED,), allow=(Authenticated(),))
POLICY = Policy([OPEN, GUARDED])

PIECES = st.sampled_from(
    [
        *("/", "//", ".", "..", "%2e", "%2E", "%2f", "%5c", "\\", "%25", "%252e", ";", ";x", "%3b", "%00", "%20", " "),
        *("api", "API", "%61pi", "ap%69", "a", "public", "x", "?", "#", ":", "@", "http:", "%c0%ae", "%", "%zz", "é"),
    ]
)
TARGETS = st.lists(PIECES, max_size=12).map("".join)


class NoKeys:
    """A key store that has nothing, and could fetch."""

    def find(self, source: KeySource, kid: str | None, algorithm: str, now: float) -> Key | NoKey:
        return NoKey(fetch_may_help=True, is_outage=False)


def head_of(target: str, *lines: tuple[str, str]) -> RequestHead:
    return RequestHead("GET", target, Headers([("Host", "gw.test"), *lines]), "192.0.2.1", "https")


@settings(max_examples=3000)
@given(st.one_of(TARGETS, TARGETS.map(lambda text: "/" + text)))
def test_no_target_that_any_server_reads_as_guarded_is_public(target: str) -> None:
    decision = decide(POLICY, NoKeys(), head_of(target), 0.0)
    if isinstance(decision, Allow):
        assert decision.route is OPEN
        assert not is_guarded(decision.target), decision.target
        # What goes up is judged alike when it comes again: there is no second form.
        again = decide(POLICY, NoKeys(), head_of(decision.target), 0.0)
        assert isinstance(again, Allow) and again.target == decision.target
    else:
        assert isinstance(decision, Deny) and decision.reason.status in (400, 401)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=12,
)
NAMES = ("iss", "aud", "sub", "exp", "nbf", "iat", "email", "email_verified", "scope", "o", "azp", "cnf")
CLAIMS = st.dictionaries(st.sampled_from(NAMES), JSON, max_size=6)
MEMBERS = ("alg", "typ", "kid", "crit", "b64", "zip", "cty", "enc", "jku")
HEADERS = st.dictionaries(st.sampled_from(MEMBERS), JSON, max_size=5)
GOOD = mint({"sub": "user-1"})


@st.composite
def damaged_tokens(draw: st.DrawFn) -> str:
    """Return a good token with a few characters changed, removed or doubled."""
    text = list(GOOD)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(text) - 1))
        text[place] = draw(st.sampled_from(["", ".", "=", "A", "-", " ", "\0", "é", text[place] * 2, "."]))
    return "".join(text)


@settings(max_examples=2000)
@given(
    st.one_of(
        st.binary(max_size=200).map(lambda raw: raw.decode("latin-1")),
        st.text(max_size=100),
        damaged_tokens(),
        CLAIMS.map(lambda claims: mint(claims, OTHER_SECRET)),
        HEADERS.map(lambda header: mint({"sub": "user-1"}, OTHER_SECRET, header=json.dumps(header).encode())),
        st.tuples(st.binary(max_size=60), st.binary(max_size=60)).map(lambda raw: f"{b64(raw[0])}.{b64(raw[1])}.AAAA"),
    )
)
def test_any_token_but_a_good_one_is_refused_and_nothing_is_raised(token: str) -> None:
    decision = decide(POLICY, NoKeys(), head_of("/api/x", ("Authorization", f"Bearer {token}")), time.time())
    if token.strip() == GOOD:
        return
    assert isinstance(decision, Deny), token
    assert decision.reason.status in (400, 401)


@settings(max_examples=2000)
@given(CLAIMS)
def test_any_claims_that_are_signed_make_a_decision(claims: dict[str, Any]) -> None:
    now = time.time()
    token = mint(claims, SECRET)
    decision = decide(POLICY, NoKeys(), head_of("/api/x", ("Authorization", f"Bearer {token}")), now)
    assert not isinstance(decision, NeedKey)
    subject = claims.get("sub")
    if isinstance(decision, Allow):
        assert isinstance(subject, str) and subject and decision.principal is not None
        assert decision.principal.subject == subject
    else:
        assert decision.reason.status == 401


CHUNKS = st.lists(st.binary(min_size=1, max_size=3000), max_size=8)
CUTS = st.lists(st.integers(1, 700), min_size=1, max_size=6)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """Return data in pieces of these sizes, over and over."""
    pieces, place, number = [], 0, 0
    while place < len(data):
        size = sizes[number % len(sizes)]
        pieces.append(data[place : place + size])
        place, number = place + size, number + 1
    return pieces


def framed(chunks: list[bytes], *, is_chunked: bool) -> bytes:
    """Return a message's framing line, the end of its head, and its body."""
    if not is_chunked:
        body = b"".join(chunks)
        return b"Content-Length: %d\r\n\r\n" % len(body) + body
    return (
        b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks) + b"0\r\n\r\n"
    )


@pytest.mark.slow
def test_bodies_arrive_whole_both_ways_in_any_chunking() -> None:
    """For all chunks, cut anywhere on the wire: the same bytes."""
    answers: asyncio.Queue[list[bytes]] = asyncio.Queue()

    async def script(visit: Visit) -> None:
        await visit.read_body()
        for piece in answers.get_nowait():
            await visit.send(piece)
            await asyncio.sleep(0)

    async def exchange(port: int, upstream: RawUpstream, up: bytes, pieces: list[bytes]) -> tuple[bytes, bytes]:
        answers.put_nowait(pieces)
        async with RawClient.connect(port) as client:
            for piece in cut(up, [len(pieces) % 300 + 1, 50]):
                await client.send(piece)
                await asyncio.sleep(0)
            status, _, body = await client.answer()
            assert status == 200
            return upstream.visits[-1].body, body

    with asyncio.Runner() as runner:
        upstream = RawUpstream(script)
        runner.run(upstream.__aenter__())
        manager = running(config_for(upstream_at(upstream.url)))
        gateway = runner.run(manager.__aenter__())

        @settings(max_examples=60, deadline=None)
        @given(CHUNKS, st.booleans(), CHUNKS, st.booleans(), CUTS)
        def hold(
            sent: list[bytes], up_chunked: bool, given_back: list[bytes], down_chunked: bool, sizes: list[int]
        ) -> None:
            request = b"POST /public/x HTTP/1.1\r\nHost: gw.test\r\n" + framed(sent, is_chunked=up_chunked)
            answer = b"HTTP/1.1 200 OK\r\n" + framed(given_back, is_chunked=down_chunked)
            up, down = runner.run(exchange(gateway.port, upstream, request, cut(answer, sizes)))
            assert (up, down) == (b"".join(sent), b"".join(given_back))

        try:
            hold()
        finally:
            runner.run(manager.__aexit__(None, None, None))
            runner.run(upstream.__aexit__(None, None, None))
