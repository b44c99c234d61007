"""The keys as deciding sees them: one that fits, or why there is none. An answer at once, never a fetch."""

from __future__ import annotations

from dataclasses import dataclass

from mypy_extensions import mypyc_attr

from gateway.policy.denied import Denied
from gateway.policy.jwk import Key
from gateway.policy.providers import KeySource, Provider
from gateway.policy.reasons import Reason
from gateway.policy.token import Token
from gateway.policy.verify import check_signature


@dataclass(frozen=True, slots=True)
class NoKey:
    """No key for a token: whether a fetch may help, and whether it is the issuer that is at fault.

    `is_outage` True: there are no keys at all that may be used now (503); False: the keys are there
    and none of them fits (401). `stranger` says why an issuer of a template has no keys and gets none (401).
    """

    fetch_may_help: bool
    is_outage: bool
    stranger: str = ""


@mypyc_attr(allow_interpreted_subclasses=True)
class Keys:
    """The key store as deciding sees it: an answer at once, never a fetch."""

    __slots__ = ()

    def find(self, source: KeySource, kid: str | None, algorithm: str, now: float) -> Key | NoKey:
        """Return the one key that fits, or why there is none. `now` is Unix seconds."""
        raise NotImplementedError

    def each(self, source: KeySource, algorithm: str) -> tuple[Key, ...]:
        """Return the keys to try in turn, of a source whose keys have no ids."""
        return () if source.keys is None else tuple(key for key in source.keys.keys if algorithm in key.algorithms)

    def confirm(self, source: KeySource) -> bool:
        """Take note that a token of a template's issuer was good. False: the issuer is one too many after all."""
        return True


def without_key(found: NoKey, provider: Provider) -> Denied:
    """Return the refusal of a token for which there is no key."""
    if found.stranger:
        return Denied(Reason.ISSUER_MISMATCH, found.stranger)
    if found.is_outage:
        return Denied(Reason.KEYS_UNAVAILABLE, f"no usable keys of provider {provider.name}")
    return Denied(Reason.KEY_UNKNOWN, f"provider {provider.name} has no key for this kid and algorithm")


def verifying_one(token: Token, keys: tuple[Key, ...]) -> Key:
    """Return the first of several keys that made the token's signature. Raises `Denied`."""
    for number, key in enumerate(keys, start=1):
        try:
            check_signature(token, key)
        except Denied:
            if number == len(keys):
                raise
        else:
            return key
    raise Denied(Reason.KEY_UNKNOWN, "the provider has no key for this algorithm")
