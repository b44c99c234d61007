"""What a rule asks of a token or a login, for whoever wants to get one that is enough."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.policy.denied import StepUp
from gateway.policy.freshness import Fresh
from gateway.policy.rules import AllOf, AnyOf, HasAll, Named, Rule, Unenforced


def scopes_of(rule: Rule) -> Iterator[str]:
    """Yield the scopes that a rule asks for, outside `not`."""
    for one in _outside_not(rule):
        if isinstance(one, HasAll) and one.fact == "scopes":
            yield from one.values


def _outside_not(rule: Rule) -> Iterator[Rule]:
    match rule:
        case AllOf(rules) | AnyOf(rules):
            for member in rules:
                yield from _outside_not(member)
        case Named(_, inner) | Unenforced(inner):
            yield from _outside_not(inner)
        case _:
            yield rule


def step_up_of(rule: Rule) -> StepUp:
    """Return what a login must be for a rule, outside `not`: as fresh as its strictest condition asks."""
    asked = [one for one in _outside_not(rule) if isinstance(one, Fresh)]
    ages = [one.within_seconds for one in asked if one.within_seconds is not None]
    classes = dict.fromkeys(acr for one in asked for acr in one.acr)
    return StepUp(int(min(ages)) if ages else None, tuple(classes))
