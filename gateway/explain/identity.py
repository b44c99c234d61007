"""What the upstream would be told about the caller."""

from __future__ import annotations

from gateway.explain.hiding import HIDDEN
from gateway.explain.step import Step, shown
from gateway.policy.decision import Allow
from gateway.policy.denied import Denied
from gateway.policy.upstreams import Identity
from gateway.policy.words import listed
from gateway.proxy.identity import identity_lines, signed_token


def explain_identity(allow: Allow, now: float) -> tuple[Step, Denied | None]:
    """Return the step, and the refusal of a claim that cannot be passed on without loss. `now` is Unix seconds."""
    upstream, principal = allow.route.upstream, allow.principal
    identity = upstream.identity
    constants = tuple(Step(name, "yes", f"a constant of the file, {HIDDEN}") for name, _ in upstream.constants)
    if principal is None:
        route = allow.route
        why = "no token came" if route.providers else "nobody was asked for"
        why = why if route.public else "the token did not count"
        return Step("identity", "note", f"none: {why}", parts=constants), None
    try:
        lines = identity_lines(identity, principal)
        if identity.authorization == "sign":
            signed_token(identity, principal, now)  # would say so if it could not
    except Denied as no:
        return Step("identity", "no", no.detail), no
    parts = (*constants, *(Step(name, "yes", shown(value)) for name, value in (*lines, *allow.said)))
    is_keyed = any(provider.name == principal.provider for provider in allow.route.keyed)
    return Step("identity", "yes", _authorization(identity, is_keyed=is_keyed), parts=parts), None


def _authorization(identity: Identity, *, is_keyed: bool) -> str:
    match identity.authorization:
        case "forward" if is_keyed:
            return "no Authorization: the key of a machine goes up nowhere"
        case "forward":
            return "Authorization: the caller's token, as it came"
        case "strip":
            return "no Authorization"
        case "sign":
            names = listed(("sub", *(name for name in identity.claims if name != "sub")), "and")
            return f"Authorization: a token of the gateway's own with {names}, good for {identity.ttl_seconds:g} s"
