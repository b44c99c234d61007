"""The same for whole requests on the wire: what the running gateway lets through, seen as raw bytes at the upstream."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.model import Address, Config
from gateway.policy.decision import Allow, decide
from gateway.policy.routes import Policy
from tests.configuring import SECRET
from tests.minting import NOW, mint
from tests.rawpeer import OK, Visit, ask
from tests.running import config_for as config_of
from tests.running import upstream_at
from tests.security.conftest import Report
from tests.security.live import Live, live_gateway
from tests.security.test_properties_headers import (
    FRAMING,
    HOP_BY_HOP,
    HOP_BY_HOP_FAMILIES,
    IDENTITY,
    IDENTITY_FAMILIES,
    LINES,
    VERIFIED,
    among,
    as_variables,
    config_for,
)
from tests.security.test_properties_path import TARGETS, NoKeys, guarded, head_of, public, readings

PROPERTIES = settings(settings.get_profile("properties"), max_examples=300)
# Its upstream is found by name: `default`.
POLICY = Policy([public(), guarded("api")])
LASTING = mint({"sub": "user-1", "email": "alice@example.com", "exp": 4e9}, SECRET.encode())


@pytest.fixture(scope="module")
def root_public() -> Iterator[Live]:
    """`/` for everybody, `/api` for holders of a token."""
    with live_gateway(lambda upstream: at_rest(config_of(upstream_at(upstream.url), policy=POLICY))) as live:
        live.upstream.script = answer_and_close
        yield live


@pytest.fixture(scope="module")
def telling() -> Iterator[Live]:
    """A gateway that tells its upstream who is asking."""
    with live_gateway(lambda upstream: at_rest(config_for(upstream.url))) as live:
        live.upstream.script = answer_and_close
        yield live


def at_rest(config: Config) -> Config:
    return replace(config, listen=Address("127.0.0.1", 0), workers=1)


async def answer_and_close(visit: Visit) -> None:
    await visit.send(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    visit.close()


def lines_of(visit: Visit) -> list[tuple[str, str]]:
    """Return the header lines that the upstream got, taken apart by hand."""
    text = visit.head.decode("latin-1")
    return [(name, value.strip(" \t")) for name, _, value in (line.partition(":") for line in text.split("\r\n")[1:-2])]


def test_every_target_reaches_the_upstream_as_it_was_judged_or_not_at_all(root_public: Live, report: Report) -> None:
    live, seen = root_public, Counter[int]()

    @PROPERTIES
    @given(TARGETS, st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0"]))
    def holds(target: str, version: bytes) -> None:
        raw = target.encode("utf-8", "surrogatepass")
        data = b"GET " + raw + b" " + version + b"\r\nHost: gw.test\r\nConnection: close\r\n\r\n"
        status, _, _ = live.run(ask(live.gateway.port, data))
        seen[status] += 1
        assert status in (200, 400, 401, 404)
        assert len(live.upstream.visits) == (status == 200)
        for visit in live.upstream.visits:
            # Spaces around a target are the request line's (RFC 9112 section 3 lets parsers be lenient about these).
            judged = decide(POLICY, NoKeys(), head_of(target.strip(" "), with_token=False), NOW)
            assert isinstance(judged, Allow) and visit.target == judged.target
            assert {reading for reading in readings(visit.target) if reading[:1] == ("api",)} == set()

    holds()
    assert seen[200] > 20
    report(f"{seen.total()} targets on the wire: {seen[200]} reached the upstream, as they were judged")


@pytest.mark.slow
def test_every_header_list_reaches_the_upstream_with_our_identity_only(telling: Live, report: Report) -> None:
    live, seen = telling, Counter[int]()

    @PROPERTIES
    @given(LINES, st.booleans())
    def holds(lines: list[tuple[str, str]], is_guarded: bool) -> None:
        # What a parser must refuse is tried elsewhere; here requests should get through.
        lines = [
            (name, re.sub(r"[\x00-\x1f]", "", value))
            for name, value in lines
            if name.lower() not in ("content-length", "transfer-encoding", "host", "authorization", "expect", "upgrade")
        ]
        path, known = ("/api/x", [("Authorization", f"Bearer {LASTING}")]) if is_guarded else ("/public/x", [])
        head = [f"GET {path} HTTP/1.1", "Host: gw.test", *(f"{name}: {value}" for name, value in [*known, *lines])]
        status, _, _ = live.run(ask(live.gateway.port, "\r\n".join([*head, "", ""]).encode()))
        seen[status] += 1
        assert status in (200, 400)
        assert len(live.upstream.visits) == (status == 200)
        for visit in live.upstream.visits:
            variables = as_variables(lines_of(visit))
            identities = {v: values for v, values in variables.items() if among(v, IDENTITY, IDENTITY_FAMILIES)}
            assert identities == (VERIFIED if is_guarded else {})
            assert variables["HTTP_HOST"] == ["gw.test"]
            assert variables["HTTP_X_FORWARDED_FOR"] == ["127.0.0.1"]
            assert [len(value) for value in variables["HTTP_X_REQUEST_ID"]] == [32]
            hops = {v: values for v, values in variables.items() if among(v, HOP_BY_HOP + FRAMING, HOP_BY_HOP_FAMILIES)}
            assert hops == {}

    holds()
    assert seen[200] > 100
    report(
        f"{seen.total()} header lists on the wire: {seen[200]} reached the upstream, none with an identity of its own"
    )
