"""Keys of machines for cases: a file has only their hashes, so each is replaced by one whose key is known here.

The decision then runs as it always does; only the keys are ours, as with the tokens of the stand-in issuer.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from gateway.config.model import Config
from gateway.explain.request import NoProviderError
from gateway.policy.machine_keys import digest_of, new_key
from gateway.policy.providers import Provider, TokenSource
from gateway.policy.routes import Policy, Route


def with_known_keys(config: Config) -> Config:
    """Return a configuration in which the key of each name is that of `key_of`."""
    if all(provider.kind != "keys" for provider in config.providers):
        return config
    policy = config.policy
    routes = [replace(route, providers=tuple(map(_known, route.providers))) for route in policy.routes]
    return replace(
        config,
        providers=tuple(map(_known, config.providers)),
        policy=Policy(routes, policy.header_rules, policy.login),
    )


def key_of(name: str, route: Route | None, provider: str | None) -> tuple[str, TokenSource]:
    """Return the key of a name, and where the first provider of the route that has it looks for it.

    Raises `NoProviderError` where none has.
    """
    keyed = [one for one in (route.keyed if route is not None else ()) if provider in (None, one.name)]
    for one in keyed:
        if any(key.name == name for key in one.machine_keys):
            return _stand_in(name), one.token_sources[0]
    known = ", ".join(key.name for one in keyed for key in one.machine_keys) or "none"
    raise NoProviderError(f"the route's providers have no key {name}; they have {known}")


def _known(provider: Provider) -> Provider:
    keys = tuple(replace(key, digest=digest_of(_stand_in(key.name))) for key in provider.machine_keys)
    return replace(provider, machine_keys=keys)


def _stand_in(name: str) -> str:
    return new_key(sha256(name.encode()).digest())
