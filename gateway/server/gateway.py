"""One running gateway in one process: listening, serving, reloading, draining."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import http_parser

from gateway.config.model import Config
from gateway.keys.fetch import Fetcher
from gateway.keys.store import KeyStore
from gateway.policy.revocation import Revoked
from gateway.policy.seen_sessions import SeenSessions
from gateway.proxy.holding import Holding
from gateway.proxy.own import Desk
from gateway.proxy.runtime import Runtime
from gateway.proxy.tunnel import Tunnel
from gateway.record.audit import Auditing, auditing_for
from gateway.record.ids import RequestIds
from gateway.record.logs import write_access
from gateway.record.metrics import Metrics
from gateway.record.outcome import Outcome
from gateway.record.subject import SubjectHash
from gateway.record.tracing import Tracing
from gateway.server.decisions import DecisionPort
from gateway.server.errands import Errands
from gateway.server.leaving import leave
from gateway.server.ledger import Ledger
from gateway.server.public import PublicPort
from gateway.server.recent import SLOT_SECONDS, Recent
from gateway.server.revoking import Revoking
from gateway.transport.certificate import CertificateError
from gateway.transport.cork import Cork
from gateway.transport.crowd import Crowd
from gateway.transport.descriptors import descriptor_limit, room_for, unread_for
from gateway.transport.listener import Listener
from gateway.transport.pool import Pool
from gateway.transport.room import Room, once_read

_log = logging.getLogger("gateway.server")
_CUT_SECONDS: Final = 5.0  # for requests that are cut at the end of the drain to notice


class StartError(Exception):
    """The gateway cannot start, and what would help."""


class Gateway(Errands):
    """A gateway on a running loop. `start`, then `drain` or `stop`; `use` swaps the configuration."""

    def __init__(
        self,
        config: Config,
        *,
        clock: Callable[[], float] = time.time,
        subject_key: bytes | None = None,
        make_desk: Callable[[Gateway], Desk] | None = None,
    ) -> None:
        _require_c_parser()
        self._hash_subject = SubjectHash(subject_key or secrets.token_bytes(32))
        self.cork = Cork()
        self.is_fast = config.express  # our own grammar reads what it can; False: llhttp reads everything
        self.pools: dict[str, Pool] = {}
        self.metrics = Metrics()
        self.runtime = self._make_runtime(config, None)
        self.next_id = RequestIds().next
        self.metrics.upstreams.know(upstream.name for upstream in config.upstreams)
        self.recent = Recent(self.metrics, self._hash_subject)
        self._turning: asyncio.TimerHandle | None = None
        self.is_draining, self.takes_requests = False, True
        self.takes_requests_until: float | None = None  # Unix seconds, with a `drain_delay`
        self.tracing = Tracing() if config.traces == "opentelemetry" else None
        self.tunnels: set[Tunnel] = set()
        self.holding = Holding(soon=lambda act: asyncio.get_running_loop().call_soon(act))
        self.open_requests = 0
        self.open_streams = 0
        self.earlier_hits = self.earlier_misses = 0  # of configurations that are no longer in force
        self.quiet = asyncio.Event()  # set while no request is under way
        self.quiet.set()
        self.started_at = self.loaded_at = time.time()
        self.last_reload_error: str | None = None
        self.reload_failed_at: float | None = None  # the first time since it last went well
        self.fetcher = Fetcher()
        self.keys = self.store = KeyStore(self.fetcher.fetch)
        self.ledger = Ledger(config)
        most = *room_for(config.limits, descriptor_limit()), unread_for(descriptor_limit())
        self.room = Room(*most, is_exempt=lambda peer: self.runtime.is_trusted(peer), soon=once_read)
        self._crowd = Crowd(self.room)
        self.clock = clock
        self.tasks = set()
        self._make_desk = make_desk
        self.sessions = SeenSessions()
        self.public = PublicPort(self, self.cork, self.room, config, self._sweep, is_fast=self.is_fast)
        self.revoking = Revoking(config, self._end_revoked, clock, store_of=lambda: self.ledger.store)
        self.desk = make_desk(self) if make_desk is not None else None
        self.decisions: DecisionPort | None = None

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self.runtime.config

    @property
    def port(self) -> int:
        """The public port, also when the file asked for any free one (0)."""
        return self.public.port

    @property
    def listener(self) -> Listener | None:
        """Makes the connections of the public port; None: it does not listen yet."""
        return self.public.listener

    async def start(self, *, shares_port: bool = False, held: socket.socket | None = None) -> None:
        """Listen, and begin to fetch keys. A key server that is down does not stop the start.

        `shares_port`: several processes listen on the same port (SO_REUSEPORT); `held` is the socket of engines, where
        it listens already. Raises `StartError`.
        """
        try:
            self.public.prepare(self.config)
        except CertificateError as problem:
            raise StartError(str(problem)) from None
        self.store.use(self.runtime.key_sources())
        self._turning = asyncio.get_running_loop().call_later(SLOT_SECONDS, self._turn)
        try:
            await self.public.start(self.config, shares_port=shares_port)
        except OSError as refusal:
            address, said = self.config.listen, refusal.strerror or refusal
            raise StartError(f"cannot listen on {address.host}:{address.port}: {said}") from None
        await self._start_decisions(shares_port=shares_port, held=held)
        self.revoking.begin()
        self.ledger.begin()

    async def _start_decisions(self, *, shares_port: bool, held: socket.socket | None) -> None:
        config, decisions = self.config, self.config.decisions
        if decisions is None:
            return
        self.decisions = DecisionPort(self, self.cork, config, decisions, is_fast=self.is_fast)
        try:
            await self.decisions.start(shares_port=shares_port, held=held)
        except OSError as refusal:
            said = refusal.strerror or str(refusal)
            raise StartError(f"cannot listen on {decisions.where} (decisions): {said}") from None

    def is_ready(self) -> bool:
        """True while requests are welcome: listening, not stopping, key servers tried, some tokens can be judged."""
        has_secret = any(provider.secrets or provider.kind == "keys" for provider in self.config.providers)
        is_serving = self.public.is_open and not self.is_draining
        return is_serving and self.revoking.error is None and self.store.is_ready(needs_keys=not has_secret)

    async def use(self, config: Config) -> None:
        """Swap the configuration in one step. Requests under way keep the old one. Raises `StartError`."""
        try:
            self.public.renew_certificate(config)
        except CertificateError as problem:
            raise StartError(str(problem)) from None
        pools = self.pools
        fresh = self._make_runtime(config, self.runtime.audit)
        retired, self.runtime = self.runtime, fresh
        if retired.audit is not None and (fresh.audit is None or fresh.audit.file is not retired.audit.file):
            retired.audit.file.retire()
        self.ledger.use(config)
        self.ledger.begin()
        self.revoking.use(config)  # by the store of the ledger
        self.desk = self._make_desk(self) if self._make_desk is not None else None
        self.earlier_hits += retired.config.policy.verified.hits
        self.earlier_misses += retired.config.policy.verified.misses
        self.loaded_at = time.time()
        self.metrics.upstreams.know(upstream.name for upstream in config.upstreams)
        self.room.limit, self.room.per_address = room_for(config.limits, descriptor_limit())
        self.public.use(config)
        if self.decisions is not None:
            self.decisions.use(config)
        self.store.use(fresh.key_sources())
        for pool in pools.values():
            pool.close()  # requests under way keep their connections

    async def drain(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Take leave for `drain_delay`, let requests end for `drain_timeout`, then cut what is left."""
        listener = self.public.listener
        if listener is None or not self.public.is_open:
            return
        delay_seconds = self.config.drain_delay_seconds
        self.takes_requests_until = time.time() + delay_seconds if delay_seconds else None
        doors = [(self.public.close, listener)]
        if self.decisions is not None:
            doors.append((self.decisions.close, self.decisions.listener))
        await leave(self, doors, delay_seconds, sleep)
        if not await self._quiet_within(self.config.drain_timeout_seconds):
            _log.warning("drain: %d requests are cut after %g s", self.open_requests, self.config.drain_timeout_seconds)
        await self.stop()

    async def stop(self) -> None:
        """End at once."""
        self.is_draining, self.takes_requests = True, False
        await self.public.stop(lambda: self._quiet_within(_CUT_SECONDS))
        if self.decisions is not None:
            await self.decisions.stop()
        for pool in self.pools.values():
            pool.close()
        self.revoking.stop()
        if self._turning is not None:
            self._turning.cancel()
        if self.runtime.audit is not None:
            self.runtime.audit.file.retire()
        await self.store.close()
        await self.ledger.close()
        await self.fetcher.close()
        if self.tracing is not None:
            await self.tracing.stop()

    def began(self, outcome: Outcome) -> None:
        """A request has begun."""
        if not self.open_requests:
            self.quiet.clear()
        self.open_requests += 1

    def stream_began(self, outcome: Outcome) -> None:
        """A request's response is a stream."""
        outcome.is_stream = True
        self.open_streams += 1
        if outcome.upstream is not None:
            self.metrics.upstreams.of(outcome.upstream.name).note_answer(time.time())

    def ended(self, outcome: Outcome) -> None:
        """A request has ended: one log line, and the counters."""
        self.open_requests -= 1
        self.open_streams -= outcome.is_stream
        if not self.open_requests:
            self.quiet.set()
        outcome.note_end()
        self.metrics.record(outcome)
        if outcome.code is not None:
            outcome.principal = None  # what is kept of a refusal holds no claims
            self.recent.note_refusal(outcome)
        write_access(outcome, self._hash_subject)

    def _end_revoked(self, revoked: Revoked) -> int:
        return 0 if self.listener is None else self.listener.end_revoked(revoked)

    def _sweep(self) -> None:
        for pool in self.pools.values():
            pool.sweep()

    def _make_runtime(self, config: Config, before: Auditing | None) -> Runtime:
        try:
            audit = auditing_for(config, before, self.metrics.audit, self._hash_subject)
        except OSError as refusal:
            raise StartError(str(refusal)) from None
        try:
            pools = {one.name: Pool(one, time.monotonic, self.cork, is_fast=self.is_fast) for one in config.upstreams}
        except (OSError, ssl.SSLError) as problem:
            raise StartError(f"an upstream's ca_file cannot be used: {problem}") from None
        self.pools = pools
        return Runtime(config, pools, audit)

    def _turn(self) -> None:
        self.recent.turn()
        self._crowd.turn()
        self._turning = asyncio.get_running_loop().call_later(SLOT_SECONDS, self._turn)

    async def _quiet_within(self, seconds: float) -> bool:
        """Wait until no request is under way; False if some still are after that time."""
        try:
            async with asyncio.timeout(seconds):
                await self.quiet.wait()
        except TimeoutError:
            return False
        return True


def _require_c_parser() -> None:
    # aiohttp falls back to a laxer parser of its own without a word: CVE-2023-37276, CVE-2024-23829, CVE-2025-53643.
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise StartError(
            "aiohttp runs without its C parser: unset AIOHTTP_NO_EXTENSIONS, or install a wheel of aiohttp"
        )
