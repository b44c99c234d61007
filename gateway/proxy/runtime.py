"""One configuration at work: its policy, its header rules, its upstreams.

A request takes the runtime once and keeps it to its end, so that a reload swaps everything in one step and open
streams live on with what they began with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import unquote

from gateway.config.model import Config
from gateway.http1.fields import written
from gateway.http1.request import RequestRead, Requests
from gateway.policy.addresses import Network, client_of, is_within
from gateway.policy.denied import Denied
from gateway.policy.memory import Remembered
from gateway.policy.model import Headers, Principal
from gateway.policy.owners import Owners
from gateway.policy.providers import KeySource
from gateway.policy.reasons import Reason
from gateway.policy.session import sealed_names
from gateway.policy.upstreams import Upstream
from gateway.proxy.cors import cors_lines, origin_of
from gateway.proxy.identity import TokenSigner, identity_lines
from gateway.proxy.told import Told, told_of
from gateway.proxy.wire import Connections
from gateway.record.audit import Auditing

_MAX_PRINTED: Final = 16  # configurations of engines, printed one after the other
_MAX_ORIGINS: Final = 256  # of which the lines are remembered: those that are listed, as they were written


def client_told(trusted: Sequence[Network], peer: str, scheme: str, headers: Headers) -> tuple[str, str, str]:
    """Return the client's address, the scheme it used, and the `X-Forwarded-For` to send: see `addresses`."""
    if not is_within(peer, trusted):
        return peer, scheme, peer
    client, chain = client_of(peer, headers.all("x-forwarded-for"), trusted)
    protos = headers.all("x-forwarded-proto")
    told = protos[0].strip().lower() if len(protos) == 1 else scheme
    return client, told if told in ("http", "https") else scheme, chain


class Runtime:
    """A configuration, and the connections to its upstreams by their names."""

    def __init__(self, config: Config, upstreams: Mapping[str, Connections], audit: Auditing | None = None) -> None:
        self.config = config
        self.audit = audit
        self.header_rules = config.policy.header_rules
        self.upstreams = upstreams
        self.counts_failures = any(budget.failures is not None for budget in config.budgets)
        self.requests = Requests(self.header_rules.passing)
        self.told = told_of(config)
        self._told_as_printed: Remembered[str, Told] = Remembered(_MAX_PRINTED)
        self.owners = Owners()
        self.outdated: dict[str, tuple[str, ...]] = {}  # by who asks: names that its configuration lacks
        login = config.policy.login
        # Of sessions, folded: no upstream may set them. Empty: there are no logins.
        self.sealed_cookies = frozenset() if login is None else frozenset(map(str.lower, sealed_names(login.cookie)))
        self._constants = {upstream.name: written(upstream.constants) for upstream in config.upstreams}
        self._cors_bytes: Remembered[str, bytes] = Remembered(_MAX_ORIGINS)
        self._signers = {
            upstream.name: TokenSigner(upstream.identity)
            for upstream in config.upstreams
            if upstream.identity.authorization == "sign"
        }

    def identity_bytes(self, upstream: Upstream, principal: Principal | None, now: float) -> bytes:
        """Return what an upstream is told besides the request: its constants, `identity_lines`, and a signed token.

        The lines are made once for a principal that comes again. `now` is Unix seconds. Raises `Denied`
        (IDENTITY_UNSAFE).
        """
        if principal is None:
            return self._constants.get(upstream.name, b"")
        known = principal.kept.get(upstream.name)
        if known is None:
            lines = written(identity_lines(upstream.identity, principal))
            known = principal.kept[upstream.name] = self._constants.get(upstream.name, b"") + lines
        signer = self._signers.get(upstream.name)
        if signer is None:
            return known
        return b"%bAuthorization: Bearer %b\r\n" % (known, signer.token_for(principal, now).encode("ascii"))

    def cors_bytes(self, headers: Headers) -> bytes:
        """Return the CORS lines of a response as they are written, by the request's headers; empty where CORS is off.

        They are made once for an origin that is listed; what strangers name is not remembered.
        """
        rules = self.config.cors
        origin = None if rules is None else origin_of(headers)
        if rules is None or origin is None:
            return b""
        known = self._cors_bytes.known.get(origin)
        if known is None:
            known = written(cors_lines(rules, origin))
            if known and rules.pages.lists(origin):
                self._cors_bytes.keep(origin, known)
        return known

    def told_to(self, engine: str, printed: str) -> Told:
        """Return the names for an engine whose configuration was printed with these of the file, as `printed_in` says.

        Empty: it does not say so, and is taken for one of this very file.
        """
        if not printed:
            return self.told
        known = self._told_as_printed.known.get(printed)
        if known is None:
            known = told_of(self.config, frozenset(unquote(printed).lower().split(",")))
            self._told_as_printed.keep(printed, known)
        if known.unprinted:
            self.outdated[engine] = tuple(sorted(known.unprinted))
        elif self.outdated:
            self.outdated.pop(engine, None)
        return known

    def key_sources(self) -> list[KeySource]:
        """Return where the providers' keys come from."""
        return [source for provider in self.config.providers for source in provider.key_sources()]

    def check_body(self, request: RequestRead) -> None:
        """Refuse a request whose body is announced and cannot be. Raises `Denied` (BODY_TOO_LARGE, REQUEST_MALFORMED).

        RFC 6455 section 4.1: a handshake is a GET, after whose head frames begin.
        """
        max_bytes = self.config.limits.body_bytes
        if max_bytes is not None and request.length_bytes > max_bytes:
            raise Denied(Reason.BODY_TOO_LARGE, f"Content-Length {request.length_bytes}, at most {max_bytes} pass")
        if request.is_websocket:
            raise Denied(Reason.REQUEST_MALFORMED, "a WebSocket handshake came with a body")

    def client_of(self, peer: str, scheme: str, headers: Headers) -> tuple[str, str, str]:
        """Return the client's address, the scheme it used, and the `X-Forwarded-For` to send."""
        return client_told(self.config.trusted_proxies, peer, scheme, headers)

    def is_trusted(self, address: str) -> bool:
        """True for the address of one of `trusted_proxies`."""
        return is_within(address, self.config.trusted_proxies) is True
