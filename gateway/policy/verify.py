"""Token and provider to principal: every check of a token, once, for all kinds of provider.

What can be refused without a key is refused without a key, so that no stranger makes us fetch one.
"""

from __future__ import annotations

import math
from typing import Any

from jwt.algorithms import get_default_algorithms

from gateway.policy.claims import principal_of
from gateway.policy.jwk import Key
from gateway.policy.model import Principal
from gateway.policy.providers import Provider
from gateway.policy.reasons import Denied, Reason
from gateway.policy.token import Token

_ALGORITHMS = get_default_algorithms()

# Clerk's header `cat` names the kind of a token; the same key signs them all.
_CLERK_CATEGORIES = {"cl_B7d4PD111AAA": "session", "cl_I7d4PD111III": "session", "cl_B7d4PD222AAA": "template"}


def pick_provider(token: Token, providers: tuple[Provider, ...]) -> Provider:
    """Return the provider whose tokens look like this one, by issuer and algorithm family.

    The file is refused when two providers of a route could both be it. The token only chooses; what it must
    hold comes from the provider (RFC 8725 section 3.1). Raises `Denied` (ISSUER_MISMATCH, ALGORITHM_NOT_ALLOWED).
    """
    issuer = token.claims.get("iss")
    of_issuer = [p for p in providers if p.issuers is None or (isinstance(issuer, str) and issuer in p.issuers)]
    if not of_issuer:
        expected = " or ".join(sorted({name for p in providers for name in p.issuers or ()}))
        raise Denied(Reason.ISSUER_MISMATCH, f"iss is {_shown(issuer)}, the route expects {expected}")
    for provider in of_issuer:
        if token.algorithm in provider.algorithms:
            return provider
    expected = ", ".join(sorted({algorithm for p in of_issuer for algorithm in p.algorithms}))
    raise Denied(Reason.ALGORITHM_NOT_ALLOWED, f"alg is {_shown(token.algorithm)}, expected {expected}")


def check_claims(token: Token, provider: Provider, now: float) -> Principal:
    """Return the principal that the token would speak for, had its signature been verified.

    `now` is Unix seconds. Raises `Denied`. Source: RFC 7519 section 4.1, RFC 8725 sections 3.8 to 3.12, RFC 9068.
    """
    claims = token.claims
    _check_type(token, provider)
    _check_times(claims, provider, now)
    _check_audience(claims, provider)
    principal = principal_of(claims, provider)
    if provider.kind == "clerk":
        _check_clerk(token, provider, principal)
    if provider.kind == "auth0" and isinstance(claims.get("cnf"), dict) and "jkt" in claims["cnf"]:
        # Sent as Bearer it proves nothing about its holder: RFC 9449 section 7.2.
        raise Denied(Reason.TOKEN_KIND_REFUSED, "the token is bound to a DPoP key (cnf.jkt) and was sent as Bearer")
    return principal


def check_signature(token: Token, key: Key) -> None:
    """Return if the signature was made with this key. Raises `Denied` (SIGNATURE_INVALID, ALGORITHM_NOT_ALLOWED)."""
    if token.algorithm not in key.algorithms:
        raise Denied(Reason.ALGORITHM_NOT_ALLOWED, f"alg is {_shown(token.algorithm)}, the key is not for it")
    try:
        is_valid = _ALGORITHMS[token.algorithm].verify(token.signing_input, key.material, token.signature)
    except Exception as problem:  # a wrong pairing of key and algorithm raises TypeError, AttributeError, ...: all no
        raise Denied(Reason.SIGNATURE_INVALID, f"verification failed with {type(problem).__name__}") from None
    if is_valid is not True:
        raise Denied(Reason.SIGNATURE_INVALID, "the signature does not verify")


def _check_type(token: Token, provider: Provider) -> None:
    kind = token.header.get("typ")
    if kind is None and "typ" not in token.header:
        return
    name = kind.lower().removeprefix("application/") if isinstance(kind, str) else None
    if name not in provider.types:
        # Logout tokens, security events, DPoP proofs: signed by the same keys, meant for something else.
        expected = " or ".join(sorted(provider.types))
        raise Denied(Reason.TOKEN_KIND_REFUSED, f"typ is {_shown(kind)}, expected {expected}")


def _check_times(claims: Any, provider: Provider, now: float) -> None:
    leeway = provider.leeway_seconds
    expiry = _date(claims, "exp")
    if expiry is None and provider.requires_expiry:
        raise Denied(Reason.CLAIM_INVALID, "exp is missing (`expiry: optional` on the provider lets such tokens in)")
    if expiry is not None and expiry + leeway <= now:
        raise Denied(Reason.TOKEN_EXPIRED, f"expired {now - expiry:.0f} s ago")
    not_before = _date(claims, "nbf")
    if not_before is not None and not_before - leeway > now:
        raise Denied(Reason.TOKEN_NOT_YET_VALID, f"valid in {not_before - now:.0f} s")
    issued = _date(claims, "iat")
    if issued is not None and issued - leeway > now:
        raise Denied(Reason.TOKEN_NOT_YET_VALID, f"issued {issued - now:.0f} s in the future: do the clocks differ?")


def _date(claims: Any, name: str) -> float | None:
    """Return a NumericDate (RFC 7519 section 2): a JSON number, which a string or a boolean is not."""
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Denied(Reason.CLAIM_INVALID, f"{name} is no number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Denied(Reason.CLAIM_INVALID, f"{name} is no date")
    return number


def _check_audience(claims: Any, provider: Provider) -> None:
    if provider.audiences is None:
        return
    audience = claims.get("aud")
    members = audience if isinstance(audience, list) else [audience]
    if not all(isinstance(member, str) for member in members) or provider.audiences.isdisjoint(members):
        expected = " or ".join(sorted(provider.audiences))
        raise Denied(Reason.AUDIENCE_MISMATCH, f"aud is {_shown(audience)}, expected {expected}")


def _check_clerk(token: Token, provider: Provider, principal: Principal) -> None:
    claims = token.claims
    if "cat" in token.header:
        category = token.header["cat"]
        kind = _CLERK_CATEGORIES.get(category) if isinstance(category, str) else None
        if kind not in provider.clerk_kinds:
            accepted = ", ".join(sorted(provider.clerk_kinds))
            found = f"cat is {_shown(category)} ({kind or 'unknown'})"
            raise Denied(Reason.TOKEN_KIND_REFUSED, f"{found}, accepted: {accepted}")
    if principal.subject.startswith("mch_"):
        raise Denied(Reason.TOKEN_KIND_REFUSED, "the subject is a machine (mch_), not a session")
    if claims.get("sts") == "pending":
        raise Denied(Reason.SESSION_PENDING, "sts is pending")
    if provider.authorized_parties is None:
        return
    party = claims.get("azp")
    if party is None and "azp" not in claims and not provider.requires_authorized_party:
        return
    if not isinstance(party, str) or party not in provider.authorized_parties:
        expected = " or ".join(sorted(provider.authorized_parties))
        raise Denied(Reason.AUTHORIZED_PARTY_MISMATCH, f"azp is {_shown(party)}, expected {expected}")


def _shown(value: object) -> str:
    """Return a client's value for the log: what it is, and no more of it than a line can bear."""
    if value is None:
        return "missing"
    return repr(value)[:100] if isinstance(value, (str, list, int)) else type(value).__name__
