"""Reading the file again: on SIGHUP, or when a file it was read from has changed. All of it, or nothing."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from gateway.config.document import ConfigError
from gateway.config.file import load
from gateway.config.model import Config
from gateway.server.gateway import Gateway, StartError
from gateway.server.watching import POLL_SECONDS, letting_others_in, stamp_of

_log = logging.getLogger("gateway.server")


class Reloader:
    """Keeps a gateway's configuration what its file says."""

    def __init__(
        self,
        gateway: Gateway,
        path: Path,
        environment: Mapping[str, str],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._gateway = gateway
        self._path = path
        self._environment = environment
        self._sleep = sleep
        self._stamp = stamp_of(gateway.config.sources)
        self._one_at_a_time = asyncio.Lock()

    async def reload(self) -> bool:
        """Read the file and swap the configuration; on any mistake the old one stays, and the log says why."""
        async with self._one_at_a_time:
            # Taken before reading: a change while reading is seen at the next look.
            self._stamp = stamp_of(self._gateway.config.sources)
            old = self._gateway.config
            try:
                # In a thread: a large file takes a while to read, and streams must not stop for it.
                with letting_others_in():
                    config = await asyncio.to_thread(load, self._path, self._environment)
                await self._gateway.use(config)
            except ConfigError as mistakes:
                return self._keep_old([str(problem) for problem in mistakes.problems])
            except (StartError, OSError) as problem:
                return self._keep_old([str(problem)])
            # Fail closed: a surprise in reading the file must neither end the watch nor touch what is in force.
            except Exception as surprise:
                _log.error("reload: a mistake in the gateway", exc_info=surprise)
                return self._keep_old([f"unexpected {type(surprise).__name__}"])
            self._gateway.last_reload_error = self._gateway.reload_failed_at = None
            self._gateway.metrics.reloads["ok"] += 1
            if config.sources != old.sources:
                self._stamp = stamp_of(config.sources)
            for key in restart_needed(old, config):
                _log.warning("reload: the new `%s` counts after a restart only", key)
            _log.info("reload: %s is in force, %d routes", self._path, len(config.policy.routes))
            return True

    async def watch(self) -> None:
        """Reload whenever a file that was read has changed. Runs until cancelled.

        Looks at the files once a second: mounted secrets and ConfigMaps are swapped in ways that notifications miss.
        """
        while True:
            await self._sleep(POLL_SECONDS)
            if stamp_of(self._gateway.config.sources) != self._stamp:
                await self.reload()

    def _keep_old(self, problems: list[str]) -> bool:
        self._gateway.last_reload_error = "\n".join(problems)
        self._gateway.reload_failed_at = self._gateway.reload_failed_at or time.time()
        self._gateway.metrics.reloads["failed"] += 1
        _log.error(
            "reload: %s is not used, the old configuration stays in force; mistakes: %d", self._path, len(problems)
        )
        for problem in problems:
            _log.error("reload: %s", problem)
        return False


def restart_needed(old: Config, new: Config) -> list[str]:
    """Return the keys whose change counts only after a restart: what is bound or forked once."""
    changed = [
        name
        for name in ("listen", "admin", "admin_hosts", "workers", "log", "traces", "express")
        if getattr(old, name) != getattr(new, name)
    ]
    if _place_of(old) != _place_of(new):
        changed.append("decisions")
    is_switched = (old.tls is None) != (new.tls is None)  # another certificate counts at once
    return [*changed, "tls"] if is_switched else changed


def _place_of(config: Config) -> object:
    return None if config.decisions is None else config.decisions.listen  # who may ask counts at once
