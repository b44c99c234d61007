"""One running gateway in one process: listening, serving, reloading, draining."""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
import time
from collections.abc import Callable

from aiohttp import http_parser

from gateway.config.model import Config, Limits, Tls
from gateway.express.cork import Cork
from gateway.keys.fetch import Fetcher
from gateway.keys.store import KeyStore
from gateway.proxy.tunnel import Tunnel
from gateway.server.certificate import end_of_certificate
from gateway.server.connection import ConnectionServer
from gateway.server.crowd import Crowd
from gateway.server.descriptors import backlog_for, descriptor_limit, room_for
from gateway.server.door import TlsDoor
from gateway.server.handler import Handler
from gateway.server.lane import Lane
from gateway.server.limits import ConnectionLimits
from gateway.server.logs import lines_dropped, write_access
from gateway.server.metrics import Gauges, Metrics
from gateway.server.outcome import Outcome
from gateway.server.plain_http import ServerContext
from gateway.server.recent import SLOT_SECONDS, Recent
from gateway.server.room import Room
from gateway.server.runtime import Runtime
from gateway.server.subject import SubjectHash
from gateway.server.tracing import Tracing

_log = logging.getLogger("gateway.server")
_CLOSE_SECONDS = 0.05  # 0 would mean for ever
_CUT_SECONDS = 5.0  # for requests that are cut at the end of the drain to notice


class StartError(Exception):
    """The gateway cannot start, and what would help."""


class Gateway:
    """A gateway on a running loop. `start`, then `drain` or `stop`; `use` swaps the configuration."""

    def __init__(
        self, config: Config, *, clock: Callable[[], float] = time.time, subject_key: bytes | None = None
    ) -> None:
        _require_c_parser()
        self._hash_subject = SubjectHash(subject_key or secrets.token_bytes(32))
        self.cork = Cork()
        self.runtime = _make_runtime(config, self.cork)
        self.metrics = Metrics()
        self.metrics.upstreams.know(upstream.name for upstream in config.upstreams)
        self.recent = Recent(self.metrics, self._hash_subject)
        self._turning: asyncio.TimerHandle | None = None
        self.is_draining = False
        self.tracing = Tracing() if config.traces == "opentelemetry" else None
        self.tunnels: set[Tunnel] = set()
        self.open_requests = 0
        self.open_streams = 0
        self._earlier_hits = self._earlier_misses = 0  # of configurations that are no longer in force
        self.quiet = asyncio.Event()  # set while no request is under way
        self.quiet.set()
        self.started_at = self.loaded_at = time.time()
        self.last_reload_error: str | None = None
        self.reload_failed_at: float | None = None  # the first time since it last went well
        self.certificate_expires_at: float | None = None
        self._fetcher = Fetcher()
        self.keys = KeyStore(self._fetcher.fetch)
        self._limits = _connection_limits(config)
        self.room = Room(*room_for(config.limits, descriptor_limit()), lambda peer: self.runtime.is_trusted(peer))
        self._crowd = Crowd(self.room)
        self._clock = clock
        self._lane: Lane | None = None
        handler = Handler(self, clock)
        self._server = ConnectionServer(handler.handle, handler.refuse_broken, self._limits, self.room)
        self._listener: asyncio.Server | None = None
        self._tls: ssl.SSLContext | None = None
        self._door: TlsDoor | None = None

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self.runtime.config

    @property
    def port(self) -> int:
        """The public port, also when the file asked for any free one (0)."""
        if self._listener is None:
            raise RuntimeError("the gateway does not listen yet")
        port: int = self._listener.sockets[0].getsockname()[1]
        return port

    async def start(self, *, shares_port: bool = False) -> None:
        """Listen, and begin to fetch keys. A key server that is down does not stop the start.

        `shares_port`: several processes listen on the same port (SO_REUSEPORT). Raises `StartError`.
        """
        address = self.config.listen
        self._tls = _tls_context(self.config.tls)
        self.certificate_expires_at = end_of_certificate(self.config.tls)
        self.keys.use(self.runtime.key_sources())
        self._turning = asyncio.get_running_loop().call_later(SLOT_SECONDS, self._turn)
        self._warn_of_few_descriptors()
        if self._tls is not None:
            self._door = TlsDoor(self._server, self._tls, lambda: self._limits.header_timeout_seconds)
        try:
            self._lane = self._make_lane()
            self._listener = await asyncio.get_running_loop().create_server(
                self._door or self._lane or self._server,
                address.host or None,
                address.port,
                backlog=backlog_for(descriptor_limit()),
                reuse_port=shares_port or None,
            )
        except OSError as problem:
            raise StartError(f"cannot listen on {address.host}:{address.port}: {problem.strerror or problem}") from None

    def _warn_of_few_descriptors(self) -> None:
        asked, most = self.config.limits.connections, self.room.limit
        if asked > most and asked != Limits().connections:  # nobody asked for the default
            _log.warning(
                "limits.connections: found %d, but %d descriptors are enough for %d: raise the hard limit (ulimit -Hn)",
                asked, descriptor_limit(), most,
            )  # fmt: skip

    def _make_lane(self) -> Lane | None:
        """Return the express lane; None where all connections are the reference path's."""
        is_common = self.config.express and self._tls is None and self.tracing is None
        return Lane(self, self._server, self._clock) if is_common else None

    def is_ready(self) -> bool:
        """True while requests are welcome: listening, not stopping, key servers tried, some tokens can be judged."""
        has_secret = any(provider.secrets for provider in self.config.providers)
        is_serving = self._listener is not None and not self.is_draining
        return is_serving and self.keys.is_ready(needs_keys=not has_secret)

    async def use(self, config: Config) -> None:
        """Swap the configuration in one step. Requests under way keep the old one. Raises `StartError`."""
        if config.tls is not None and self._tls is not None:
            _load_certificate(self._tls, config.tls)
            self.certificate_expires_at = end_of_certificate(config.tls)
        fresh = _make_runtime(config, self.cork)
        retired, self.runtime = self.runtime, fresh
        self._earlier_hits += retired.config.policy.verified.hits
        self._earlier_misses += retired.config.policy.verified.misses
        self.loaded_at = time.time()
        self.metrics.upstreams.know(upstream.name for upstream in config.upstreams)
        limits = _connection_limits(config)
        self._limits.header_bytes = limits.header_bytes
        self._limits.header_timeout_seconds = limits.header_timeout_seconds
        self.room.limit, self.room.per_address = room_for(config.limits, descriptor_limit())
        self._warn_of_few_descriptors()
        self.keys.use(fresh.key_sources())
        await retired.retire()

    async def drain(self) -> None:
        """Stop accepting, let requests end for `drain_timeout`, close WebSockets with 1001, then cut what is left."""
        if self._listener is None:
            return
        self.is_draining = True
        self._listener.close()
        if self._lane is not None:
            self._lane.close_idle()
        self._server.close_idle()  # aiohttp's own way would also stop reading uploads that are under way
        farewells = [asyncio.create_task(tunnel.go_away()) for tunnel in list(self.tunnels)]
        if not await self._quiet_within(self.config.drain_timeout_seconds):
            _log.warning("drain: %d requests are cut after %g s", self.open_requests, self.config.drain_timeout_seconds)
        for farewell in farewells:
            farewell.cancel()
        await self.stop()

    async def stop(self) -> None:
        """End at once."""
        self.is_draining = True
        if self._listener is not None:
            self._listener.close()
        if self._door is not None:
            await self._door.stop()
        self._server.cut()
        if self._lane is not None:
            self._lane.cut()
        await self._quiet_within(_CUT_SECONDS)
        await self._server.shutdown(_CLOSE_SECONDS)
        if self._lane is not None:
            await self._lane.stop()
        await self.runtime.retire()
        if self._turning is not None:
            self._turning.cancel()
        await self.keys.close()
        await self._fetcher.close()
        if self.tracing is not None:
            await self.tracing.stop()

    def began(self, outcome: Outcome) -> None:
        """A request has begun."""
        if not self.open_requests:
            self.quiet.clear()
        self.open_requests += 1

    def stream_began(self, outcome: Outcome) -> None:
        """A request's answer is a stream."""
        outcome.is_stream = True
        self.open_streams += 1
        if outcome.upstream is not None:
            self.metrics.upstreams[outcome.upstream.name].note_answer(time.time())

    def ended(self, outcome: Outcome) -> None:
        """A request has ended: one log line, and the counters."""
        self.open_requests -= 1
        self.open_streams -= outcome.is_stream
        if not self.open_requests:
            self.quiet.set()
        outcome.note_end()
        self.metrics.record(outcome)
        if outcome.code is not None:
            self.recent.note_refusal(outcome)
        write_access(outcome, self._hash_subject)

    def _turn(self) -> None:
        self.recent.turn()
        self._crowd.turn()
        self._turning = asyncio.get_running_loop().call_later(SLOT_SECONDS, self._turn)

    def gauges(self) -> Gauges:
        """Return what is true at this moment, for the metrics."""
        verified = self.config.policy.verified
        sources = ((p.name, self.keys.status_of(p.key_source)) for p in self.config.providers if p.key_source)
        ends = ((u.name, self.runtime.origin(u.name).certificate_expires_at) for u in self.config.upstreams)
        return Gauges(
            open_requests=self.open_requests,
            open_streams=self.open_streams,
            open_websockets=len(self.tunnels),
            cache_hits=self._earlier_hits + verified.hits,
            cache_misses=self._earlier_misses + verified.misses,
            cache_entries=len(verified),
            loaded_at=self.loaded_at,
            log_lines_dropped=lines_dropped(),
            open_connections=self.room.count,
            connections_shed=dict(self.room.shed),
            connections_refused=dict(self.room.refused),
            keys=tuple((name, status) for name, status in sources if status is not None),
            certificate_expires_at=self.certificate_expires_at,
            upstream_certificates=tuple((name, at) for name, at in ends if at is not None),
        )

    async def _quiet_within(self, seconds: float) -> bool:
        """Wait until no request is under way; False if some still are after that time."""
        try:
            async with asyncio.timeout(seconds):
                await self.quiet.wait()
        except TimeoutError:
            return False
        return True


def _connection_limits(config: Config) -> ConnectionLimits:
    return ConnectionLimits(config.limits.header_bytes, config.limits.header_timeout_seconds)


def _make_runtime(config: Config, cork: Cork) -> Runtime:
    try:
        return Runtime(config, cork)
    except (OSError, ssl.SSLError) as problem:
        raise StartError(f"an upstream's ca_file cannot be used: {problem}") from None


def _tls_context(tls: Tls | None) -> ssl.SSLContext | None:
    if tls is None:
        return None
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    _load_certificate(context, tls)
    return context


def _load_certificate(context: ssl.SSLContext, tls: Tls) -> None:
    try:
        # First on the side: a certificate whose key does not fit would leave the live context without either.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.certificate_file, tls.key_file)
        context.load_cert_chain(tls.certificate_file, tls.key_file)
    except (OSError, ssl.SSLError) as problem:
        raise StartError(f"cannot use {tls.certificate_file} with {tls.key_file}: {problem}") from None


def _require_c_parser() -> None:
    # aiohttp falls back to a laxer parser of its own without a word: CVE-2023-37276, CVE-2024-23829, CVE-2025-53643.
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise StartError(
            "aiohttp runs without its C parser: unset AIOHTTP_NO_EXTENSIONS, or install a wheel of aiohttp"
        )
