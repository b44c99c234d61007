"""Keys of machines at a gateway that runs: the file changes, and with it at once who may come in."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.config.file import load
from gateway.endpoints.state import state_of
from gateway.policy.machine_keys import digest_of
from gateway.server.gateway import Gateway
from gateway.server.reload import Reloader
from tests.machines import key_named, line_of
from tests.rawpeer import RawUpstream, ask
from tests.running import WIRE


@asynccontextmanager
async def gateway_with(lines: str, folder: Path) -> AsyncIterator[tuple[Gateway, Reloader]]:
    (folder / "keys.yaml").write_text(lines)
    async with RawUpstream() as upstream:
        file = folder / "gateway.yaml"
        file.write_text(
            f"listen: 127.0.0.1:0\nupstream: {upstream.url}\n"
            "providers: {machines: {type: keys, keys_file: keys.yaml}}\n"
            "routes: {/api: {provider: machines, allow: authenticated}}\n"
        )
        gateway = Gateway(load(file, WIRE))
        await gateway.start()
        try:
            yield gateway, Reloader(gateway, file, WIRE)
        finally:
            await gateway.stop()


async def call(gateway: Gateway, name: str) -> tuple[int, str]:
    request = f"GET /api/x HTTP/1.1\r\nHost: a\r\nX-Api-Key: {key_named(name)}\r\n\r\n"
    status, _, body = await ask(gateway.port, request.encode())
    return status, json.loads(body)["code"] if b'"code"' in body else ""


async def test_line_that_is_gone_counts_no_more_and_a_new_one_counts_at_once(tmp_path: Path) -> None:
    async with gateway_with(line_of("old") + line_of("stays"), tmp_path) as (gateway, reloader):
        # More than once each: what is remembered must not outlive its line.
        assert [await call(gateway, name) for name in ("old", "old", "old", "stays", "new")] == [
            *[(200, "")] * 4, (401, "key_refused")
        ]  # fmt: skip
        (tmp_path / "keys.yaml").write_text(line_of("new") + line_of("stays"))
        await reloader.reload()
        assert [await call(gateway, name) for name in ("old", "stays", "new")] == [
            (401, "key_refused"), (200, ""), (200, "")
        ]  # fmt: skip


async def test_file_with_a_mistake_keeps_the_old_keys_and_says_its_place(tmp_path: Path) -> None:
    async with gateway_with(line_of("worker"), tmp_path) as (gateway, reloader):
        (tmp_path / "keys.yaml").write_text(f"worker: {{hash: {key_named('worker')}}}\n")
        await reloader.reload()
        assert await call(gateway, "worker") == (200, "")
        said = gateway.last_reload_error or ""
        assert "keys.yaml:1:" in said and key_named("worker") not in said


async def test_gateway_that_takes_keys_alone_is_ready_and_shows_how_many(tmp_path: Path) -> None:
    async with gateway_with(line_of("a") + line_of("b"), tmp_path) as (gateway, _):
        await gateway.store.start(gateway.runtime.key_sources())
        assert gateway.is_ready()
        (provider,) = state_of(gateway)["providers"]
        assert (provider["type"], provider["machine_keys"]) == ("keys", 2)
        assert digest_of(key_named("a")).hex() not in str(state_of(gateway))


async def test_file_that_was_emptied_lets_nobody_in(tmp_path: Path) -> None:
    async with gateway_with(line_of("worker"), tmp_path) as (gateway, reloader):
        (tmp_path / "keys.yaml").write_text("")
        await reloader.reload()
        assert await call(gateway, "worker") == (401, "key_refused")
