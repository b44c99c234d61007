"""Two providers that no token could tell apart."""

from __future__ import annotations

from gateway.policy.providers import Provider


def why_twins(first: Provider, second: Provider) -> str | None:
    """Return why a token could be of either provider; None: each token tells them apart."""
    algorithms = first.algorithms & second.algorithms
    if not algorithms:
        return None
    if first.issuers is not None and second.issuers is not None:
        shared = _shared_issuer(first, second)
        return None if shared is None else f"both take {shared} and {min(algorithms)}"
    without = first.name if first.issuers is None else second.name
    return f"both take {min(algorithms)}, and '{without}' takes any issuer"


def _shared_issuer(first: Provider, second: Provider) -> str | None:
    """Return an issuer, or a template, of which tokens could be both providers'; None if there is none."""
    if first.issuers is None or second.issuers is None:
        return None
    shared = first.issuers & second.issuers
    if shared:
        return "the same issuer"
    for one, other in ((first, second), (second, first)):
        for template in one.issuer_templates:
            if any(template.may_be(issuer) for issuer in other.issuers or ()) or any(
                map(template.may_meet, other.issuer_templates)
            ):
                return f"issuers of the form {template.text}"
    return None
