"""Well-known causes of a refusal by the key: another algorithm, a key server that is gone."""

from __future__ import annotations

from gateway.explain.step import shown
from gateway.explain.walk import Findings
from gateway.policy.decision import Deny
from gateway.policy.providers import ASYMMETRIC, SYMMETRIC
from gateway.policy.reasons import Reason
from gateway.policy.words import listed


def _algorithm(deny: Deny, found: Findings) -> str | None:
    token = found.token
    if deny.reason is not Reason.ALGORITHM_NOT_ALLOWED or token is None or found.route is None:
        return None
    kinds = {provider.kind for provider in found.route.providers}
    if token.algorithm in SYMMETRIC and "jwt" not in kinds:
        where = "in Auth0: Applications, APIs, your API, Signing Algorithm, RS256" if "auth0" in kinds else "RS256"
        return (
            f"The token is signed with a shared secret ({shown(token.algorithm)}), the provider's tokens "
            "with keys of a "
            f"key server: have the issuer sign with those ({where}), or give the route a provider of type jwt."
        )
    if "oidc" in kinds and token.algorithm in ASYMMETRIC:
        return (
            f"The token is signed by {token.algorithm}, which the provider does not take: if its issuer signs by that, "
            f"write `algorithms: [{token.algorithm}]` on it."
        )
    if kinds != {"jwt"}:
        return None
    if token.algorithm in SYMMETRIC:
        taken = listed(sorted(name for provider in found.route.providers for name in provider.algorithms))
        return (
            f"The token is signed by {token.algorithm}, the route takes {taken}: have its issuer sign by that, or "
            f"write `algorithms: [{token.algorithm}]` on the provider."
        )
    if token.algorithm in ASYMMETRIC:
        return (
            "The token is signed with a key pair, the route takes tokens of a shared secret: another provider is due."
        )
    return None


def _unknown_key(deny: Deny, found: Findings) -> str | None:
    token, status = found.token, found.key_status
    if deny.reason is not Reason.KEY_UNKNOWN or token is None or status is None:
        return None
    if token.kid is None:
        count = len(status.kids)
        return f"The token names no key (kid), and there are {count}: have the issuer name the one it signs with."
    if token.kid in status.kids:
        return (
            f"{status.label} knows the key {shown(token.kid)}, but not for {token.algorithm} (its alg, use or type "
            "says so): have the issuer sign by the algorithm of the key."
        )
    return (
        f"The key {shown(token.kid)} is not among those of {status.label}: the token is of another tenant "
        "or instance, or "
        "was signed by a key that has been taken back. Sign in again."
    )


def _no_keys(deny: Deny, found: Findings) -> str | None:
    if deny.reason is not Reason.KEYS_UNAVAILABLE or found.key_status is None:
        return None
    status = found.key_status
    why = f" It says: {status.last_error}." if status.last_error else ""
    return f"The keys of {status.label} cannot be had.{why} Check the address, DNS, and that this machine may reach it."


CAUSES = (_algorithm, _unknown_key, _no_keys)
