"""After each storm the gateway is as it was, and while it rages honest callers are served."""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from tests.keyserver import KeyServer
from tests.minting import SECRET, mint
from tests.processes import Served, served
from tests.rawpeer import RawUpstream, Visit, answer_ok
from tests.security.conftest import Report
from tests.security.meter import honest_callers, read, settled
from tests.security.storms import BODY_TIMEOUT_SECONDS, HEADER_TIMEOUT_SECONDS, STORMS, Field, Storm

# A full cache of tokens, and what an allocator never gives back, may stay. A storm is let loose twice: what the second
# one adds to that, every further one would, too.
LEFT_MIB, ADDED_MIB = 32.0, 16.0
PEAK_MIB = 400.0
FILE = """
upstream: {upstream}
limits: {{header_timeout: {header}s, body_idle_timeout: {body}s, connections_per_address: 4000}}
providers:
  jobs: {{type: jwt, secret: "{secret}", expiry: optional}}
  people: {{type: oidc, issuer: "{issuer}", audience: none, jwks_uri: "{jwks}", jwks: {{ttl: 1h, cooldown: 1s}}}}
routes:
  /public: {{public: true}}
  /flood: {{public: true}}
  /api: {{provider: jobs, allow: authenticated}}
  /closed: {{provider: jobs, allow: {{role: admin}}}}
  /people: {{provider: people, allow: authenticated}}
"""

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module", autouse=True)
def _many_descriptors() -> Iterator[None]:
    """Let this process, and the gateway that it starts, hold some thousand connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16384) if hard > 0 else 16384, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@asynccontextmanager
async def field_of(folder: Path) -> AsyncIterator[tuple[Field, Served]]:
    """Run key server, upstream and gateway for the length of a block."""
    streams: set[Visit] = set()

    async def script(visit: Visit) -> None:
        if visit.target != "/api/endless":
            await answer_ok(visit)
            return
        streams.add(visit)
        try:
            await visit.send(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            while True:
                await visit.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        finally:
            streams.discard(visit)

    async with RawUpstream(script) as upstream, KeyServer() as keys:
        text = FILE.format(
            upstream=upstream.url,
            header=HEADER_TIMEOUT_SECONDS,
            body=BODY_TIMEOUT_SECONDS,
            secret=SECRET.decode(),
            issuer=keys.issuer,
            jwks=keys.jwks_uri,
        )
        with _off_the_loop(served(text, folder)) as starting:
            gateway = await starting
            yield Field(gateway.port, upstream, keys, mint({"sub": "user-1"}), streams), gateway


@contextmanager
def _off_the_loop(manager):  # type: ignore[no-untyped-def]
    """Enter a context manager in a thread: the key server must answer while the gateway starts."""
    try:
        yield asyncio.to_thread(manager.__enter__)
    finally:
        manager.__exit__(None, None, None)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("storm", STORMS, ids=lambda storm: storm.__name__)
async def test_storm(tmp_path: Path, report: Report, storm: Storm) -> None:
    async with field_of(tmp_path) as (field, gateway):
        calm = field.head("GET /api/honest", field.token)
        async with honest_callers(gateway.port, calm):
            await asyncio.sleep(0)
        before = await asyncio.to_thread(read, gateway)
        async with honest_callers(gateway.port, calm):
            await storm(field)
        first = await settled(gateway, before, LEFT_MIB)
        async with honest_callers(gateway.port, calm) as honest:
            await storm(field)
            peak = await asyncio.to_thread(read, gateway)
        second = await settled(gateway, first, ADDED_MIB)
        added = second.memory_mib - first.memory_mib
        report(
            f"storm {storm.__name__}: {honest.count} honest calls, slowest {honest.slowest_seconds * 1000:.0f} ms; "
            f"memory {before.memory_mib:.0f} -> {peak.memory_mib:.0f} -> {second.memory_mib:.0f} MiB, "
            f"{added:+.1f} by the second round; descriptors {before.descriptors} -> {second.descriptors}"
        )
        assert peak.memory_mib < PEAK_MIB
        assert "Traceback" not in gateway.log.read_text()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_million_tokens_leave_memory_flat(report: Report) -> None:
    """A million good ones and a million bad ones, each its own, through the decision itself."""
    kinds = ("good", "bad")
    command = [sys.executable, "-m", "tests.security.million"]
    running = {kind: subprocess.Popen([*command, kind], stdout=subprocess.PIPE, text=True) for kind in kinds}
    for kind, process in running.items():
        output, _ = process.communicate()
        assert process.returncode == 0
        early, late = (float(word) for word in output.split())
        report(f"a million {kind} tokens: {early:.0f} MiB after a tenth of them, {late:.0f} MiB at the end")
        assert late - early < ADDED_MIB
