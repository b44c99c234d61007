"""Which machine a key is of: one hash and one look, for a key that counts as for one that does not."""

from __future__ import annotations

from collections.abc import Sequence
from hmac import compare_digest
from typing import Final

from gateway.policy.credentials import Credential, check_place
from gateway.policy.denied import Denied
from gateway.policy.machine_keys import PREFIX, Machine, digest_of, fault_of, is_key
from gateway.policy.model import Principal, RequestHead
from gateway.policy.providers import Provider
from gateway.policy.reasons import Reason
from gateway.policy.routes import Route

_JWS_BEGINS: Final = "ey"


def is_for_machines(text: str, route: Route) -> bool:
    """True if a credential is taken as a key: it begins like one, or the route takes nothing else."""
    return is_key(text) or len(route.keyed) == len(route.providers)


def principal_of_key(head: RequestHead, credential: Credential, providers: Sequence[Provider], now: float) -> Principal:
    """Return whom a key speaks for. Raises `Denied`, as `find_machine` does, or for the place where it stands.

    It is of the configuration, as its key is: there is nothing to remember, and a key that is gone is gone at once.
    """
    machine, provider = find_machine(credential.token, providers, now)
    check_place(head, provider, credential)
    return machine.principal


def find_machine(text: str, providers: Sequence[Provider], now: float) -> tuple[Machine, Provider]:
    """Return the machine of a key, among these providers of type `keys`. `now` is Unix seconds.

    Found by the digest, so that no time tells how near a guess came, and then compared whole. Raises `Denied`
    (KEY_REFUSED; TOKEN_EXPIRED, which only the holder of a real key hears).
    """
    fault = fault_of(text)
    if fault is None:
        digest = digest_of(text)
        for provider in providers:
            machine = provider.machines.get(digest)
            if machine is not None and compare_digest(machine.key.digest, digest):
                _check_expiry(machine, provider, now)
                return machine, provider
        fault = "a key that no file of the route's providers has (any more)"
    elif text.startswith(_JWS_BEGINS):
        fault = f"a JWT, and the route's providers take keys alone, which begin with {PREFIX}"
    raise Denied(Reason.KEY_REFUSED, fault)


def _check_expiry(machine: Machine, provider: Provider, now: float) -> None:
    end = machine.key.expires_at
    if end is not None and now >= end:
        refusal = Denied(Reason.TOKEN_EXPIRED, f"the key {machine.key.name} expired {now - end:.0f} s ago")
        refusal.provider = provider.name
        raise refusal
