"""Well-known causes of a refusal, and what to do about each. The order is that of how sure they are.

A cause looks at what the walk found and returns what to do, or None where it is not the cause.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.explain import (
    fact_causes,
    form_causes,
    key_causes,
    mastra_causes,
    opaque_causes,
    preset_causes,
    rule_causes,
    secret_causes,
    token_causes,
)
from gateway.explain.findings import Findings
from gateway.explain.general import general_advice
from gateway.policy.decision import Deny
from gateway.policy.providers import Kind

Cause = Callable[[Deny, Findings], str | None]
_OF_ISSUERS: tuple[Cause, ...] = (*opaque_causes.CAUSES, *preset_causes.CAUSES)
CAUSES: tuple[Cause, ...] = (
    *form_causes.CAUSES,
    *token_causes.CAUSES,
    *key_causes.CAUSES,
    *secret_causes.CAUSES,
    *rule_causes.CAUSES,
    *fact_causes.CAUSES,
    *mastra_causes.CAUSES,
)


def advice_for(deny: Deny, found: Findings) -> tuple[str, ...]:
    """Return what to do about a refusal: every known cause that fits, else what is true of its code in general."""
    known = _known(deny, found) or (general_advice(deny.reason, _kinds(found)),)
    if found.rules_refusal is None:
        return known
    # A token that ran out while its owner read about it would else hide why it was refused before.
    refusal = found.rules_refusal
    later = Deny(refusal.reason, refusal.detail, found.route, found.principal, missing_scopes=refusal.scopes)
    return *known, *(f"And with a good token: {advice}" for advice in _known(later, found))


def _kinds(found: Findings) -> frozenset[Kind]:
    """Return of which types the providers are that have to do with it: nobody needs to hear of Auth0 who has none."""
    if found.provider is not None:
        return frozenset({found.provider.kind})
    return frozenset(provider.kind for provider in found.route.providers) if found.route is not None else frozenset()


def _known(deny: Deny, found: Findings) -> tuple[str, ...]:
    # Who issued a token, or what it is instead of one, says more than what is true of all tokens.
    return _advice(_OF_ISSUERS, deny, found) or _advice(CAUSES, deny, found)


def _advice(causes: tuple[Cause, ...], deny: Deny, found: Findings) -> tuple[str, ...]:
    return tuple(advice for cause in causes if (advice := cause(deny, found)) is not None)
