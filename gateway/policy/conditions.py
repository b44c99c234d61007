"""What a provider may ask of its tokens besides what every token must say: a client, a lifetime, claims."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.policy.claim_names import read_claim
from gateway.policy.claim_values import date_of, shown_value
from gateway.policy.claims import client_of
from gateway.policy.denied import Denied
from gateway.policy.providers import Provider
from gateway.policy.reasons import Reason
from gateway.policy.token import Token


def _check_client(token: Token, provider: Provider, now: float) -> None:
    if provider.clients is None:
        return
    client = client_of(token.claims, provider)
    if client is None or client not in provider.clients:
        expected = " or ".join(sorted(provider.clients))
        found = found_clients(token.claims, provider)
        raise Denied(Reason.AUTHORIZED_PARTY_MISMATCH, f"the client is {found}, expected {expected}")


def found_clients(claims: Mapping[str, Any], provider: Provider) -> str:
    """Return what the claims that name a client say, for the log: `azp 'web', cid 'job'`."""
    said = {name: read_claim(claims, name) for name in provider.client_claims}
    there = [f"{name} {shown_value(value)}" for name, value in said.items() if value is not None and value != ""]
    return ", ".join(there) or f"missing ({', '.join(provider.client_claims)})"


def _check_lifetime(token: Token, provider: Provider, now: float) -> None:
    longest = provider.max_lifetime_seconds
    if longest is None:
        return
    expiry, issued = date_of(token.claims, "exp"), date_of(token.claims, "iat")
    if expiry is None:
        raise Denied(Reason.CLAIM_INVALID, "exp is missing, and `max_lifetime` on the provider asks for an end")
    if issued is not None:
        lifetime, since = expiry - issued, "iat"
    else:
        # How long it has lived nobody knows: what is left of it is the least that it can be.
        lifetime, since = expiry - now - provider.leeway_seconds, "now (iat is missing)"
    if lifetime > longest:
        raise Denied(
            Reason.CLAIM_INVALID, f"exp is {lifetime:.0f} s after {since}, `max_lifetime` allows {longest:g} s"
        )


def _check_required(token: Token, provider: Provider, now: float) -> None:
    for name in provider.required_claims:
        value = read_claim(token.claims, name)
        # `false` and 0 say something; these say nothing.
        if value is None or value == [] or value == {} or (isinstance(value, str) and not value.strip()):
            found = "missing" if value is None else "empty"
            raise Denied(Reason.CLAIM_INVALID, f"{name} is {found}, and `required_claims` on the provider asks for it")


def _check_expected(token: Token, provider: Provider, now: float) -> None:
    for name, texts in provider.expected_claims:
        value = read_claim(token.claims, name)
        if not isinstance(value, str) or value not in texts:
            expected = " or ".join(sorted(texts))
            raise Denied(Reason.CLAIM_INVALID, f"{name} is {shown_value(value)}, expected {expected}")


# In this order, behind the checks of every token, and only where the provider asks for one of them.
CONDITIONS: Final[Mapping[str, Callable[[Token, Provider, float], None]]] = {
    "client": _check_client,
    "lifetime": _check_lifetime,
    "required": _check_required,
    "expected": _check_expected,
}
