"""One configuration at work: its policy, its upstreams' connections, its header rules.

A request takes the runtime once and keeps it to its end, so that a reload swaps everything in one step and open
streams live on with what they began with.
"""

from __future__ import annotations

from ipaddress import ip_address

from gateway.config.model import Config
from gateway.policy.model import Headers
from gateway.policy.providers import KeySource
from gateway.proxy.headers import HeaderRules
from gateway.proxy.origin import Origin, ssl_context
from gateway.server.tracing import TRACE_HEADERS


class Runtime:
    """A configuration and what it needs open. Made on the running loop.

    Raises OSError for a `ca_file` that cannot be read or used.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        names = [name for upstream in config.upstreams for name, _ in upstream.identity.headers]
        own_trace = TRACE_HEADERS if config.traces == "opentelemetry" else ()
        self.header_rules = HeaderRules((*config.strip_headers, *own_trace), names)
        contexts = [ssl_context(upstream) for upstream in config.upstreams]  # first: these may fail
        self._origins = {u.name: Origin(u, context) for u, context in zip(config.upstreams, contexts, strict=True)}
        self._users = 0
        self._is_retired = False

    def origin(self, name: str) -> Origin:
        """Return the connections to an upstream."""
        return self._origins[name]

    def key_sources(self) -> list[KeySource]:
        """Return where the providers' keys come from."""
        return [provider.key_source for provider in self.config.providers if provider.key_source is not None]

    def client_of(self, peer: str, scheme: str, headers: Headers) -> tuple[str, str, str]:
        """Return the client's address, the scheme it used, and the `X-Forwarded-For` to send.

        Nobody's word counts but that of `trusted_proxies`: from the right, the first address that is none of theirs
        is the client's (CVE-2026-76835 and its kind: a proxy that believes everybody).
        """
        if not self._is_trusted(peer):
            return peer, scheme, peer
        chain = [part.strip() for value in headers.all("x-forwarded-for") for part in value.split(",") if part.strip()]
        client = peer
        for address in reversed(chain):
            client = address
            if not self._is_trusted(address):
                break
        protos = headers.all("x-forwarded-proto")
        told = protos[0].strip().lower() if len(protos) == 1 else scheme
        return (
            client if _is_address(client) else peer,
            told if told in ("http", "https") else scheme,
            ", ".join([*(address for address in chain if _is_address(address)), peer]),
        )

    def _is_trusted(self, address: str) -> bool:
        if not self.config.trusted_proxies:
            return False
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self.config.trusted_proxies)

    def enter(self) -> None:
        """A request begins to use this runtime."""
        self._users += 1

    async def leave(self) -> None:
        """A request has ended; the last one of a retired runtime closes its connections."""
        self._users -= 1
        if self._is_retired and not self._users:
            await self._close()

    async def retire(self) -> None:
        """Another runtime has taken over."""
        self._is_retired = True
        if not self._users:
            await self._close()

    async def _close(self) -> None:
        for origin in self._origins.values():
            await origin.close()


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
