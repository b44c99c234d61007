"""Reading the file again: all of it, or nothing."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config.file import load
from gateway.config.model import Tls
from gateway.record.exposition import metrics_text
from gateway.server.gateway import Gateway
from gateway.server.gauges import gauges_of
from gateway.server.reload import Reloader, restart_needed
from gateway.server.watching import stamp_of
from tests.rawpeer import RawUpstream, ask
from tests.running import WIRE, config_for, upstream_at

ENVIRONMENT = {"SECRET": "kJ4v9QzT2mX7bW1cR8yL5nP3sD6fG0hA", **WIRE}


def text_for(upstream: RawUpstream, route: str) -> str:
    return f"""
listen: 127.0.0.1:0
upstream: {upstream.url}
providers: {{jobs: {{type: jwt, secret: "${{SECRET}}"}}}}
routes:
  {route}: {{public: true}}
"""


def request_for(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


class Clock:
    """A sleep that ends when the test says so."""

    def __init__(self) -> None:
        self.asleep, self.wake = asyncio.Event(), asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.asleep.set()
        await self.wake.wait()
        self.wake.clear()

    async def tick(self) -> None:
        """Let one look at the files happen."""
        await self.asleep.wait()
        self.asleep.clear()
        self.wake.set()
        await self.asleep.wait()


@pytest.fixture
async def upstream() -> AsyncIterator[RawUpstream]:
    async with RawUpstream() as made:
        yield made


@pytest.fixture
async def file(upstream: RawUpstream, tmp_path: Path) -> Path:
    path = tmp_path / "gateway.yaml"
    path.write_text(text_for(upstream, "/one"))
    return path


@pytest.fixture
async def gateway(file: Path) -> AsyncIterator[Gateway]:
    made = Gateway(load(file, ENVIRONMENT))
    await made.start()
    yield made
    await made.stop()


async def statuses(gateway: Gateway) -> tuple[int, int]:
    return (await ask(gateway.port, request_for("/one")))[0], (await ask(gateway.port, request_for("/two")))[0]


async def test_changed_file_is_seen_at_the_next_look(gateway: Gateway, file: Path, upstream: RawUpstream) -> None:
    clock = Clock()
    watching = asyncio.create_task(Reloader(gateway, file, ENVIRONMENT, sleep=clock.sleep).watch())
    await clock.tick()
    assert await statuses(gateway) == (200, 404)
    file.write_text(text_for(upstream, "/two"))
    await clock.tick()
    assert await statuses(gateway) == (404, 200)
    watching.cancel()


async def test_folder_of_a_config_map_is_swapped_by_one_link(upstream: RawUpstream, tmp_path: Path) -> None:
    # As the kubelet does it: the file is a link into `..data`, which is a link to a folder with a date in its name.
    for name, route in (("..2026_11_28", "/one"), ("..2026_11_29", "/two")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "gateway.yaml").write_text(text_for(upstream, route))
    (tmp_path / "..data").symlink_to("..2026_11_28")
    file = tmp_path / "gateway.yaml"
    file.symlink_to("..data/gateway.yaml")
    gateway = Gateway(load(file, ENVIRONMENT))
    await gateway.start()
    clock = Clock()
    watching = asyncio.create_task(Reloader(gateway, file, ENVIRONMENT, sleep=clock.sleep).watch())
    await clock.tick()
    assert await statuses(gateway) == (200, 404)
    (tmp_path / "..data_tmp").symlink_to("..2026_11_29")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    await clock.tick()
    assert await statuses(gateway) == (404, 200)
    watching.cancel()
    await gateway.stop()


async def test_variables_beside_the_file_are_watched_like_it(
    gateway: Gateway, file: Path, upstream: RawUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    file.write_text(text_for(upstream, "/two").replace(upstream.url, "${WHERE}"))
    watching = asyncio.create_task(Reloader(gateway, file, ENVIRONMENT, sleep=clock.sleep).watch())
    await clock.tick()
    assert await statuses(gateway) == (200, 404), "the variable is missing"
    beside = file.with_name(".env")
    beside.write_text(f"WHERE={upstream.url}\nSECRET=short\n")
    await clock.tick()
    assert await statuses(gateway) == (404, 200), "it is there; the real environment has SECRET, and wins"
    beside.write_text("hunter2\n")
    await clock.tick()
    assert await statuses(gateway) == (404, 200)
    assert f"{beside}:1:1: found a line that cannot be read" in caplog.text and "hunter2" not in caplog.text
    watching.cancel()


async def test_mistake_changes_nothing_and_is_told(
    gateway: Gateway, file: Path, upstream: RawUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gateway.server")
    reloader = Reloader(gateway, file, ENVIRONMENT)
    file.write_text(text_for(upstream, "/two").replace("public", "pubic"))
    assert await reloader.reload() is False
    assert await statuses(gateway) == (200, 404)
    assert "did you mean 'public'" in (gateway.last_reload_error or "")
    assert f"{file.name}:6:" in caplog.text
    assert b'gateway_reloads_total{result="failed"} 1.0' in metrics_text(gateway.metrics, gauges_of(gateway))
    file.write_text(text_for(upstream, "/two"))
    assert await reloader.reload() is True
    assert await statuses(gateway) == (404, 200)
    assert gateway.last_reload_error is None


class Watched(dict[str, str]):
    """An environment that notes how the interpreter was set whenever it is asked."""

    def __init__(self) -> None:
        super().__init__(ENVIRONMENT)
        self.seen: list[tuple[float, int]] = []

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]
        self.seen.append((sys.getswitchinterval(), gc.get_threshold()[2]))
        return super().get(name, default)


@pytest.mark.parametrize("route", ["/two", "no path"], ids=["read", "a-mistake"])
async def test_reading_lets_requests_in_between_and_leaves_nothing_set(
    gateway: Gateway, file: Path, upstream: RawUpstream, route: str
) -> None:
    before = sys.getswitchinterval(), gc.get_threshold()
    environment = Watched()
    file.write_text(text_for(upstream, route))
    assert await Reloader(gateway, file, environment).reload() is (route == "/two")
    assert max(interval for interval, _ in environment.seen) < before[0] / 5
    assert max(every for _, every in environment.seen) > 1000 * before[1][2]
    assert (sys.getswitchinterval(), gc.get_threshold()) == before


async def test_file_that_is_gone_changes_nothing(gateway: Gateway, file: Path) -> None:
    file.unlink()
    assert await Reloader(gateway, file, ENVIRONMENT).reload() is False
    assert (await statuses(gateway))[0] == 200


class Broken(dict[str, str]):
    """An environment that surprises whoever looks into it."""

    def __contains__(self, name: object) -> bool:
        raise RuntimeError("surprise")

    def __getitem__(self, name: str) -> str:
        raise RuntimeError("surprise")

    def get(self, *arguments: object) -> str:  # whatever is asked
        raise RuntimeError("surprise")


async def test_surprise_in_reading_does_not_end_the_watch(gateway: Gateway, file: Path, upstream: RawUpstream) -> None:
    clock = Clock()
    watching = asyncio.create_task(Reloader(gateway, file, Broken(), sleep=clock.sleep).watch())
    await clock.tick()
    file.write_text(text_for(upstream, "/two"))
    await clock.tick()
    assert await statuses(gateway) == (200, 404)
    assert gateway.last_reload_error == "unexpected RuntimeError"
    assert not watching.done()
    watching.cancel()


async def test_what_needs_a_restart_is_said(gateway: Gateway, file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway.server")
    file.write_text(
        file.read_text().replace("127.0.0.1:0", "127.0.0.1:1").replace("providers:", "workers: 2\nproviders:")
    )
    assert await Reloader(gateway, file, ENVIRONMENT).reload() is True
    assert "the new `listen` counts after a restart only" in caplog.text
    assert "the new `workers` counts after a restart only" in caplog.text


def test_stamp_changes_with_content_and_when_a_file_goes(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    missing = stamp_of((path,))
    path.write_text("one")
    first = stamp_of((path,))
    replaced = tmp_path / "new"
    replaced.write_text("two")
    replaced.rename(path)  # as mounted secrets are swapped
    assert len({missing, first, stamp_of((path,))}) == 3


def test_what_counts_after_a_restart_only_is_said() -> None:
    old = config_for(upstream_at("http://x"))
    assert restart_needed(old, replace(old, express=not old.express)) == ["express"]
    assert restart_needed(old, replace(old, tls=Tls(Path("a.crt"), Path("a.key")))) == ["tls"]
    other = replace(old, tls=Tls(Path("b.crt"), Path("b.key")))
    assert restart_needed(replace(old, tls=Tls(Path("a.crt"), Path("a.key"))), other) == [], (
        "another certificate counts at once"
    )
