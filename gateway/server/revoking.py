"""Who counts no more: the list of `revoked_file`, read again as soon as it changes, and sessions that were ended.

On its own, and not with the configuration: a mistake in that must not keep an old list in force, nor a long list make
the configuration anew. What is learnt counts for the next decision, and ends what is open.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

from gateway.config.document import ConfigError
from gateway.config.model import Config
from gateway.config.revoked import load_revoked
from gateway.policy.ended_sessions import EndedSessions
from gateway.policy.revocation import RevocationList, Revoked
from gateway.policy.session import Session
from gateway.server.watching import POLL_SECONDS, Stamp, letting_others_in, stamp_of
from gateway.stores.counting import SharedStore
from gateway.stores.ended import SharedEnds

_log = logging.getLogger("gateway.server")


class Revoking:
    """Keeps what is revoked for one gateway. `end_open` ends the requests of the revoked, and says how many.

    `error` says what is wrong with the file; None: nothing. `failed_at` is since when, in Unix seconds. `logouts` are
    logout tokens by what came of them, `reads` times that the file was read.
    """

    def __init__(
        self,
        config: Config,
        end_open: Callable[[Revoked], int],
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        store_of: Callable[[], SharedStore | None] = lambda: None,
    ) -> None:
        self._end_open, self._clock, self._sleep, self._store_of = end_open, clock, sleep, store_of
        self._tasks: set[asyncio.Task[None]] = set()
        self.reads = {"ok": 0, "failed": 0}
        self.logouts = {"ok": 0, "refused": 0, "unshared": 0}
        self.ended: EndedSessions | None = None
        self.sharing: SharedEnds | None = None
        self.use(config)

    def use(self, config: Config) -> None:
        """Take the list of a configuration that comes into force. Sessions that were ended stay so."""
        self._config, policy, former = config, config.policy, self.ended
        self.listed = policy.revoked.listed if policy.revoked is not None else RevocationList()
        self.error: str | None = None
        self.failed_at: float | None = None
        self._stamp: Stamp = ()  # it may have changed since it was read: it is read once more
        self._shorter: Stamp = ()  # of the file in which entries were missing for the first time
        self.ended = EndedSessions(policy.login.seal) if policy.login is not None else None
        if self.ended is not None and former is not None:
            self.ended.take_over(former, self._clock())
        self.sharing = self._connect()
        self._obey()

    def _connect(self) -> SharedEnds | None:
        login, store = self._config.policy.login, self._store_of()
        if login is None or store is None:
            return None
        return SharedEnds(store, login.seal.mark("the place of what was ended"), login.seal.max_age_seconds)

    def begin(self) -> None:
        """Look for news from now on, on the running loop."""
        self._start(self._watch())

    def stop(self) -> None:
        """Look no more."""
        for task in self._tasks:
            task.cancel()

    def end_session(self, session: Session) -> None:
        """A session was ended by a logout here: its cookie counts no more, wherever a copy of it is."""
        if self.ended is not None:
            self.end_marks([(self.ended.mark_of(session), self._clock())])
            if self.sharing is not None:
                self._start(self._share(self.sharing))

    def end_named(self, *, sub: str | None, sid: str | None, at: float) -> int:
        """The issuer says that sessions are over which began before a moment (Unix seconds)."""
        ended = self.ended
        return 0 if ended is None else self.end_marks([(mark, at) for mark in ended.marks_of(sub=sub, sid=sid)])

    def end_marks(self, marks: Iterable[tuple[bytes, float]], *, is_news: bool = True) -> int:
        """Have all that bears a mark and began before a moment (Unix seconds) end. Returns how many requests did.

        `is_news` False: whoever shares a store with us knows already.
        """
        ended, now = self.ended, self._clock()
        if ended is None:
            return 0
        new = {mark: at for mark, at in marks if ended.add(mark, at, now)}
        if is_news and self.sharing is not None:
            self.sharing.untold |= new
        return self._obey() if new else 0

    async def share(self) -> bool:
        """Tell others what they do not know, and hear what they do; False: the store cannot be asked."""
        sharing = self.sharing
        if sharing is None or self.ended is None:
            return True
        news = await sharing.exchange(self.ended, self._clock())
        if news is None:
            return False
        self.end_marks(news, is_news=False)
        return True

    async def look(self) -> None:
        """Read the file if it has changed. A mistake keeps the former list, and is told.

        What it adds counts at once; what it takes back, once it has stood still from one look to the next: a file that
        is written in place is empty for a moment, and then half of itself, and either is a list without a mistake.
        """
        path = self._config.revoked_file
        if path is None:
            return
        stamp = stamp_of((path,))
        if stamp == self._stamp:
            return
        config, former, self._stamp = self._config, self.listed, stamp
        try:
            with letting_others_in():
                listed = await asyncio.to_thread(load_revoked, path, config.providers)
                both = await asyncio.to_thread(listed.and_those_of, former)
        except ConfigError as mistakes:
            self._keep_old([str(one) for one in mistakes.problems])
            return
        except Exception as surprise:  # fail closed: it must neither end the watch nor touch what is in force
            _log.error("revoked_file: a mistake in the gateway", exc_info=surprise)
            self._keep_old([f"unexpected {type(surprise).__name__}"])
            return
        if config is not self._config:
            return  # another configuration has come meanwhile, with a list of its own
        self.error = self.failed_at = None
        self.reads["ok"] += 1
        if both is not listed and stamp != self._shorter:
            listed, self._shorter, self._stamp = both, stamp, ()
        if listed.entries == self.listed.entries:
            return
        self.listed = listed
        count = self._obey()
        _log.info("revoked_file: %s is in force, %d entries; %d requests ended", path, len(listed.entries), count)

    def _obey(self) -> int:
        """Have the next decision ask, and end what is open. Returns how many requests ended."""
        is_asked = bool(self.listed.entries) or bool(self.ended)
        revoked = self._config.policy.revoked = Revoked(self.listed, self.ended) if is_asked else None
        return self._end_open(revoked) if revoked is not None else 0

    def _keep_old(self, problems: list[str]) -> None:
        self.error = "\n".join(problems)
        self.failed_at = self.failed_at or self._clock()
        self.reads["failed"] += 1
        _log.error("revoked_file: it is not used, the former list stays in force; mistakes: %d", len(problems))
        for problem in problems:
            _log.error("revoked_file: %s", problem)

    async def _share(self, sharing: SharedEnds) -> None:
        await self.share()

    async def _watch(self) -> None:
        while True:
            await self._sleep(POLL_SECONDS)
            try:
                await self.look()
                await self.share()
            except Exception as surprise:  # nobody else would look again
                _log.error("looking for what is revoked failed", exc_info=surprise)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
