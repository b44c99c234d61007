"""Which routes, rules and conditions a set of cases has tried, and with which verdicts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.explain.findings import Findings
from gateway.policy.denied import DeniedByRules
from gateway.policy.expressions import Facts
from gateway.policy.guard import label_of
from gateway.policy.routes import Policy, Route
from gateway.policy.rules import AllOf, AnyOf, Named, Not, Rule, Unenforced, evaluate
from gateway.policy.words import words_of

_Key = tuple[str, str, str]  # route, rule, words of the condition


@dataclass(slots=True)
class _Tried:
    """How often a condition held, and how often it did not (or could not be decided)."""

    yes: int = 0
    no: int = 0


class Coverage:
    """What the cases noted so far have touched. A rule counts as tried where the token was good enough to ask it."""

    def __init__(self, policy: Policy) -> None:
        self._routes = {route.key: 0 for route in policy.routes if not route.own}
        self._conditions: dict[_Key, _Tried] = {
            (route.key, label, words_of(one)): _Tried()
            for route in policy.routes
            for label, rule in _rules(route)
            for one in _conditions(rule)
        }

    def note(self, found: Findings) -> None:
        """Count what one request came upon."""
        route = found.route
        if route is None or route.own:
            return
        self._routes[route.key] += 1
        was_asked = found.refusal is None or isinstance(found.refusal, DeniedByRules)
        if not was_asked or found.principal is None or found.match is None or found.path is None:
            return
        facts = Facts(found.principal, found.head, found.path, found.match.captures, found.now)
        for label, rule in _rules(route):
            for one in _conditions(rule):
                tried = self._conditions[route.key, label, words_of(one)]
                if evaluate(one, facts) is True:
                    tried.yes += 1
                else:
                    tried.no += 1

    @property
    def gaps(self) -> tuple[str, ...]:
        """What no case touches: routes, rules, and conditions that were never asked, never held, or always held."""
        routes = [f"route {key}: no case" for key, count in self._routes.items() if not count]
        return (*routes, *self._condition_gaps())

    @property
    def counts(self) -> tuple[int, int]:
        """How many of the routes and conditions were tried (conditions: both ways), and how many there are."""
        routes = sum(1 for count in self._routes.values() if count)
        conditions = sum(1 for tried in self._conditions.values() if tried.yes and tried.no)
        return routes + conditions, len(self._routes) + len(self._conditions)

    def _condition_gaps(self) -> Iterator[str]:
        untried_rules: set[tuple[str, str]] = set()
        for (route, label, words), tried in self._conditions.items():
            if not self._routes[route]:
                continue  # said once, for the whole route
            if not tried.yes and not tried.no:
                if (route, label) not in untried_rules:
                    untried_rules.add((route, label))
                    yield f"route {route}, {label}: no case gets as far as this rule"
            elif not tried.yes:
                yield f"route {route}, {label}: {words}: holds in no case"
            elif not tried.no:
                yield f"route {route}, {label}: {words}: holds in every case"


def _rules(route: Route) -> Iterator[tuple[str, Rule]]:
    for role, rules in (("deny", route.deny), ("allow", route.allow)):
        for number, rule in enumerate(rules):
            label = label_of(rule, f"[{number}]")
            yield f"{role}{label}" if label.startswith("[") else f"{role} {label}", rule


def _conditions(rule: Rule) -> Iterator[Rule]:
    match rule:
        case AllOf(rules) | AnyOf(rules):
            for member in rules:
                yield from _conditions(member)
        case Named(_, inner) | Not(inner) | Unenforced(inner):
            yield from _conditions(inner)
        case _:
            yield rule
