"""One configuration at work: its policy, its upstreams' connections, its header rules.

A request takes the runtime once and keeps it to its end, so that a reload swaps everything in one step and open
streams live on with what they began with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Any

from gateway.config.model import Config
from gateway.express.cork import Cork
from gateway.express.pool import Pool
from gateway.express.requests import Requests
from gateway.policy.addresses import client_of, is_within
from gateway.policy.model import Headers, Principal, RequestHead
from gateway.policy.onward import Line
from gateway.policy.providers import KeySource
from gateway.policy.upstreams import Upstream
from gateway.proxy.cors import cors_lines, vary_by_origin
from gateway.proxy.identity import identity_lines
from gateway.proxy.origin import Origin, ssl_context


class Runtime:
    """A configuration and what it needs open. Made on the running loop.

    Raises OSError for a `ca_file` that cannot be read or used.
    """

    def __init__(self, config: Config, cork: Cork) -> None:
        self.config = config
        self.header_rules = config.policy.header_rules
        contexts = [ssl_context(upstream) for upstream in config.upstreams]  # first: these may fail
        self._origins = {u.name: Origin(u, context) for u, context in zip(config.upstreams, contexts, strict=True)}
        self.requests = Requests(lambda name: self.header_rules.verdict_of(name).passing)
        # Upstreams that the express lane speaks to; one behind TLS is the other road's.
        self._pools = {
            upstream.name: Pool(upstream, time.monotonic, cork)
            for upstream in config.upstreams
            if upstream.url.startswith("http://")
        }
        self._users = 0
        self._is_retired = False

    def origin(self, name: str) -> Origin:
        """Return the connections to an upstream."""
        return self._origins[name]

    def pool(self, name: str) -> Pool | None:
        """Return the express lane's connections to an upstream; None if it has none."""
        return self._pools.get(name)

    def sweep(self) -> None:
        """Close the express lane's connections that have been idle for too long."""
        for pool in self._pools.values():
            pool.sweep()

    def identity_bytes(self, upstream: Upstream, principal: Principal | None, now: float) -> bytes:
        """Return `identity_lines` as they are written, made once for a principal that comes again, and a signed token.

        `now` is Unix seconds. Raises `Denied` (IDENTITY_UNSAFE).
        """
        if principal is None:
            return b""
        known = principal.kept.get(upstream.name)
        if known is None:
            text = "".join(f"{name}: {value}\r\n" for name, value in identity_lines(upstream.identity, principal))
            known = principal.kept[upstream.name] = text.encode("ascii")
        signer = self._origins[upstream.name].signer
        if signer is None:
            return known
        return b"%bAuthorization: Bearer %b\r\n" % (known, signer.token_for(principal, now).encode("ascii"))

    def with_cors(self, lines: list[Line], head: RequestHead) -> list[Line]:
        """Return an answer's header lines with CORS ours, where that is on."""
        rules = self.config.cors
        return lines if rules is None else vary_by_origin([*lines, *cors_lines(rules, head)])

    def key_sources(self) -> list[KeySource]:
        """Return where the providers' keys come from."""
        return [provider.key_source for provider in self.config.providers if provider.key_source is not None]

    def client_of(self, peer: str, scheme: str, headers: Headers) -> tuple[str, str, str]:
        """Return the client's address, the scheme it used, and the `X-Forwarded-For` to send: see `addresses`."""
        trusted = self.config.trusted_proxies
        if not is_within(peer, trusted):
            return peer, scheme, peer
        client, chain = client_of(peer, headers.all("x-forwarded-for"), trusted)
        protos = headers.all("x-forwarded-proto")
        told = protos[0].strip().lower() if len(protos) == 1 else scheme
        return client, told if told in ("http", "https") else scheme, chain

    def is_trusted(self, address: str) -> bool:
        """True for the address of one of `trusted_proxies`."""
        return is_within(address, self.config.trusted_proxies) is True

    def enter(self) -> None:
        """A request begins to use this runtime."""
        self._users += 1

    async def leave(self) -> None:
        """A request has ended; the last one of a retired runtime closes its connections."""
        self._users -= 1
        if self._is_retired and not self._users:
            await self._close()

    def leave_soon(self, run: Callable[[Coroutine[Any, Any, None]], object]) -> None:
        """A request has ended, where nobody can wait; `run` takes what is left to do."""
        self._users -= 1
        if self._is_retired and not self._users:
            run(self._close())

    async def retire(self) -> None:
        """Another runtime has taken over."""
        self._is_retired = True
        for pool in self._pools.values():
            pool.close()  # nobody sweeps them from here on
        if not self._users:
            await self._close()

    async def _close(self) -> None:
        for pool in self._pools.values():
            pool.close()
        for origin in self._origins.values():
            await origin.close()
