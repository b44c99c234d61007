"""A whole gateway in the test's own loop, in front of a given upstream."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from gateway.config.model import Address, Config, Limits
from gateway.policy.jwk import secret_key
from gateway.policy.providers import Provider
from gateway.policy.routes import Policy, Route
from gateway.policy.rules import Authenticated
from gateway.policy.upstreams import Fact, Identity, Upstream
from gateway.server.gateway import Gateway
from tests.minting import SECRET, mint

HS256 = frozenset({"HS256"})
SHARED = Provider("jobs", "jwt", HS256, secrets=(secret_key(SECRET, HS256),), requires_expiry=False)
TOKEN = mint({"sub": "user-1", "email": "alice@example.com"})
# With GATEWAY_EXPRESS=off llhttp reads everything, whatever a test's configuration says: `make reference`.
WIRE = {"GATEWAY_EXPRESS": os.environ.get("GATEWAY_EXPRESS", "on")}
IS_FAST = WIRE["GATEWAY_EXPRESS"] != "off"
BEARER = f"Authorization: Bearer {TOKEN}\r\n".encode()


def upstream_at(url: str, **settings: Any) -> Upstream:
    """Return an upstream that is told subject and email."""
    identity = Identity(headers=(("X-Auth-Subject", Fact("subject")), ("X-Auth-Email", Fact("email"))))
    return Upstream("default", url, **{"identity": identity, **settings})


def config_for(upstream: Upstream, **settings: Any) -> Config:
    """Return `/public` for everybody and `/api` for holders of a token; `settings` replace members of the Config."""
    routes = [
        Route("/public", ("public",), upstream, public=True, websocket=True),
        Route("/api", ("api",), upstream, providers=(SHARED,), allow=(Authenticated(),), websocket=True),
        Route("/plain", ("plain",), upstream, public=True),
    ]
    config = Config(
        listen=Address("127.0.0.1", 0),
        admin=None,
        tls=None,
        workers=1,
        trusted_proxies=(),
        limits=Limits(),
        drain_timeout_seconds=5.0,
        strip_headers=(),
        upstreams=(upstream,),
        providers=(SHARED,),
        policy=Policy(routes),
        cors=None,
        warnings=(),
        sources=(),
        express=IS_FAST,
    )
    return replace(config, **settings)


@asynccontextmanager
async def running(config: Config) -> AsyncIterator[Gateway]:
    """Run a gateway for the length of a block."""
    gateway = Gateway(replace(config, express=config.express and IS_FAST))
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop()
