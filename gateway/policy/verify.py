"""Token and provider to principal: every check of a token, once, for all kinds of provider.

What can be refused without a key is refused without a key, so that no stranger makes us fetch one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from jwt.algorithms import get_default_algorithms

from gateway.policy.callers import actor_of
from gateway.policy.claim_values import date_of, shown_value
from gateway.policy.claims import subject_of
from gateway.policy.clerk import category_of, is_machine, kind_of
from gateway.policy.conditions import CONDITIONS
from gateway.policy.denied import Denied
from gateway.policy.jwk import Key
from gateway.policy.providers import Provider, issuers_of
from gateway.policy.reasons import Reason
from gateway.policy.token import Token
from gateway.policy.upstreams import SIGNED_ISSUER

_ALGORITHMS: Final = get_default_algorithms()
_PKCS1, _SHA256 = PKCS1v15(), SHA256()  # RFC 7518 section 3.3


def pick_provider(token: Token, providers: tuple[Provider, ...]) -> Provider:
    """Return the provider whose tokens look like this one, by issuer and algorithm family.

    The file is refused when two providers of a route could both be it. The token only chooses; what it must
    hold comes from the provider (RFC 8725 section 3.1). Raises `Denied` (ISSUER_MISMATCH, ALGORITHM_NOT_ALLOWED).
    """
    issuer = token.claims.get("iss")
    of_issuer = [p for p in providers if p.takes_issuer(issuer, token.claims)]
    if not of_issuer:
        raise Denied(Reason.ISSUER_MISMATCH, _strange_issuer(issuer, token, providers))
    for provider in of_issuer:
        if token.algorithm in provider.algorithms:
            return provider
    expected = ", ".join(sorted({algorithm for p in of_issuer for algorithm in p.algorithms}))
    raise Denied(Reason.ALGORITHM_NOT_ALLOWED, f"alg is {shown_value(token.algorithm)}, expected {expected}")


def _strange_issuer(issuer: object, token: Token, providers: tuple[Provider, ...]) -> str:
    """Return what is said of an issuer that no provider takes: which ones they do, or what a template misses."""
    templates = [template for provider in providers for template in provider.issuer_templates]
    near = [template for template in templates if isinstance(issuer, str) and template.may_be(issuer)]
    if near:
        return f"iss is {shown_value(issuer)}, but {near[0].fault(str(issuer), token.claims)}"
    names = {name for provider in providers for name in issuers_of(provider)}
    return f"iss is {shown_value(issuer)}, the route expects {' or '.join(sorted(names))}"


def check_claims(token: Token, provider: Provider, now: float) -> None:
    """Return if the token says all that its provider asks for, whoever signed it.

    `now` is Unix seconds. Raises `Denied`. Source: RFC 7519 section 4.1, RFC 8725 sections 3.8 to 3.12, RFC 9068.
    """
    for check in _ALWAYS:
        check(token, provider, now)
    if provider.has_conditions:
        for check in _ASKED:
            check(token, provider, now)


def check_signature(token: Token, key: Key) -> None:
    """Return if the signature was made with this key. Raises `Denied` (SIGNATURE_INVALID, ALGORITHM_NOT_ALLOWED)."""
    if token.algorithm not in key.algorithms:
        raise Denied(Reason.ALGORITHM_NOT_ALLOWED, f"alg is {shown_value(token.algorithm)}, the key is not for it")
    try:
        if token.algorithm == "RS256":  # the most common one: as PyJWT has it, but for the objects that it makes anew
            key.material.verify(token.signature, token.signing_input, _PKCS1, _SHA256)
            return
        is_valid = _ALGORITHMS[token.algorithm].verify(token.signing_input, key.material, token.signature)
    except InvalidSignature:
        is_valid = False
    except Exception as problem:  # a wrong pairing of key and algorithm raises TypeError, AttributeError, ...: all no
        raise Denied(Reason.SIGNATURE_INVALID, f"verification failed with {type(problem).__name__}") from None
    if is_valid is not True:
        raise Denied(Reason.SIGNATURE_INVALID, "the signature does not verify")


def _check_type(token: Token, provider: Provider, now: float) -> None:
    kind = token.header.get("typ")
    if kind is None and "typ" not in token.header:
        return
    name = kind.lower().removeprefix("application/") if isinstance(kind, str) else None
    if name not in provider.types:
        # Logout tokens, security events, DPoP proofs: signed by the same keys, meant for something else.
        expected = " or ".join(sorted(provider.types))
        raise Denied(Reason.TOKEN_KIND_REFUSED, f"typ is {shown_value(kind)}, expected {expected}")


def _check_expiry(token: Token, provider: Provider, now: float) -> None:
    expiry = date_of(token.claims, "exp")
    if expiry is None and provider.requires_expiry:
        way = " (`expiry: optional` on the provider lets such tokens in)" if provider.kind == "jwt" else ""
        raise Denied(Reason.CLAIM_INVALID, f"exp is missing{way}")
    if expiry is not None and expiry + provider.leeway_seconds <= now:
        raise Denied(Reason.TOKEN_EXPIRED, f"expired {now - expiry:.0f} s ago")


def _check_not_before(token: Token, provider: Provider, now: float) -> None:
    not_before = date_of(token.claims, "nbf")
    if not_before is not None and not_before - provider.leeway_seconds > now:
        raise Denied(Reason.TOKEN_NOT_YET_VALID, f"valid in {not_before - now:.0f} s")


def _check_issued(token: Token, provider: Provider, now: float) -> None:
    issued = date_of(token.claims, "iat")
    if issued is not None and issued - provider.leeway_seconds > now:
        raise Denied(Reason.TOKEN_NOT_YET_VALID, f"issued {issued - now:.0f} s in the future: do the clocks differ?")


def _check_audience(token: Token, provider: Provider, now: float) -> None:
    if provider.audiences is None:
        return
    audience = token.claims.get("aud")
    members = audience if isinstance(audience, list) else [audience]
    if not all(isinstance(member, str) for member in members) or provider.audiences.isdisjoint(members):
        expected = " or ".join(sorted(provider.audiences))
        raise Denied(Reason.AUDIENCE_MISMATCH, f"aud is {shown_value(audience)}, expected {expected}")


def _check_not_ours(token: Token, provider: Provider, now: float) -> None:
    # Made for an upstream, which may show it to somebody: an echo, an error page, an agent's tool. No caller has one.
    if token.claims.get("iss") == SIGNED_ISSUER:
        raise Denied(Reason.TOKEN_KIND_REFUSED, f"iss is {SIGNED_ISSUER}: the gateway signed it for an upstream")


def _check_is_text(name: str) -> Callable[[Token, Provider, float], None]:
    def check(token: Token, provider: Provider, now: float) -> None:
        if not isinstance(token.claims.get(name, ""), str):
            raise Denied(Reason.CLAIM_INVALID, f"{name} is {shown_value(token.claims[name])}, expected a text")

    return check


def _check_subject(token: Token, provider: Provider, now: float) -> None:
    subject_of(token.claims, provider)


def _check_category(token: Token, provider: Provider, now: float) -> None:
    if not provider.preset.categories:
        return
    kind = kind_of(token, provider)
    if kind in provider.clerk_kinds:
        return
    accepted = f"accepted: {', '.join(sorted(provider.clerk_kinds))}"
    if is_machine(token, provider):
        raise Denied(
            Reason.TOKEN_KIND_REFUSED, f"the subject is a machine ({provider.preset.machine_prefix}), {accepted}"
        )
    category = shown_value(token.header.get("cat"))
    found = f"cat is {category} ({category_of(token, provider) or 'unknown'})" if "cat" in token.header else "no cat"
    typ = f", typ is {shown_value(token.header['typ'])}" if kind in (None, "oauth") and "typ" in token.header else ""
    raise Denied(Reason.TOKEN_KIND_REFUSED, f"{found}{typ}, {accepted}")


def _check_session(token: Token, provider: Provider, now: float) -> None:
    if provider.preset.refuses_pending and token.claims.get("sts") == "pending":
        raise Denied(Reason.SESSION_PENDING, "sts is pending")


def _check_authorized_party(token: Token, provider: Provider, now: float) -> None:
    _check_azp_is_text(token, provider, now)
    if not provider.preset.compares_azp or provider.authorized_parties is None:
        return
    party = token.claims.get("azp")
    # An application that asked by OAuth, or a machine, has no page.
    if party is None and (not provider.requires_authorized_party or kind_of(token, provider) in ("oauth", "machine")):
        return
    if party not in provider.parties:
        expected = " or ".join(sorted(provider.authorized_parties))
        raise Denied(Reason.AUTHORIZED_PARTY_MISMATCH, f"azp is {shown_value(party)}, expected {expected}")


_check_azp_is_text = _check_is_text("azp")


def _check_binding(token: Token, provider: Provider, now: float) -> None:
    binding = token.claims.get("cnf", {})
    if not isinstance(binding, dict):
        raise Denied(Reason.CLAIM_INVALID, f"cnf is {shown_value(binding)}, expected an object (RFC 7800 section 3.1)")
    if binding:
        # Sent as Bearer it proves nothing about its holder: RFC 9449 section 7.2, RFC 8705 section 3.
        member = shown_value(next(iter(binding)))
        raise Denied(
            Reason.TOKEN_KIND_REFUSED, f"the token is bound to a key (cnf has {member}) and was sent as Bearer"
        )


def _check_actor(token: Token, provider: Provider, now: float) -> None:
    actor_of(token.claims)


# In this order, by the header member or claim that each is about. Each raises `Denied`, or is content.
_OF_EVERY_TOKEN: Final[Mapping[str, Callable[[Token, Provider, float], None]]] = {
    "typ": _check_type,
    "iss": _check_not_ours,
    "exp": _check_expiry,
    "nbf": _check_not_before,
    "iat": _check_issued,
    "aud": _check_audience,
    "sub": _check_subject,
    # Texts by RFC 7519 section 4.1.7, RFC 8693 section 4.3 and OpenID Connect's logout; another library refuses others.
    "jti": _check_is_text("jti"),
    "client_id": _check_is_text("client_id"),
    "sid": _check_is_text("sid"),
    "cat": _check_category,
    "sts": _check_session,
    "azp": _check_authorized_party,
    "cnf": _check_binding,
    "act": _check_actor,
}
CLAIM_CHECKS: Final[Mapping[str, Callable[[Token, Provider, float], None]]] = {**_OF_EVERY_TOKEN, **CONDITIONS}
_ALWAYS: Final = tuple(_OF_EVERY_TOKEN.values())
_ASKED: Final = tuple(CONDITIONS.values())
