"""Every way in that a caller missed, the nearest first."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gateway.explain.step import Step
from gateway.policy.expressions import Facts
from gateway.policy.rules import AllOf, AnyOf, Named, Rule, Unenforced, evaluate

MAX_BRANCHES = 8
_NEAR = 0.75  # of difflib's ratio: `Admin` and `admin`, a domain with one letter less


@dataclass(frozen=True, slots=True)
class Branch:
    """Conditions that would let a caller in together, and those of them that do not hold."""

    failed: tuple[Rule, ...]
    total: int


def branches_of(allow: Sequence[Rule], facts: Facts) -> list[Branch]:
    """Return each set of conditions that would be enough, as far as there are few: trees are multiplied out."""
    found: list[Branch] = []
    for rule in allow:
        for conditions in _ways(rule):
            failed = tuple(condition for condition in conditions if evaluate(condition, facts) is not True)
            found.append(Branch(failed, len(conditions)))
            if len(found) > 4 * MAX_BRANCHES:
                return found
    return found


def missed(allow: Sequence[Rule], facts: Facts, step_of: Callable[[Rule], Step]) -> list[str]:
    """Return in words what each branch lacked, the nearest first: fewest conditions open, then what is nearly right."""
    told = [(branch, [step_of(condition) for condition in branch.failed]) for branch in branches_of(allow, facts)]
    told.sort(key=lambda pair: _rank(*pair))
    return [" and ".join(map(_told, steps)) for _, steps in told]


def _rank(branch: Branch, steps: Sequence[Step]) -> tuple[int, float, int]:
    held = branch.total - len(steps)
    return len(steps), sum(map(_distance, steps)) * len(steps) / branch.total, -held


def _ways(rule: Rule) -> Iterator[tuple[Rule, ...]]:
    match rule:
        case Named(_, inner) | Unenforced(inner):
            yield from _ways(inner)
        case AnyOf(rules):
            for one in rules:
                yield from _ways(one)
        case AllOf(rules):
            yield from _together(rules)
        case _:
            yield (rule,)


def _together(rules: Sequence[Rule]) -> Iterator[tuple[Rule, ...]]:
    if not rules:
        yield ()
        return
    for first in _ways(rules[0]):
        for rest in _together(rules[1:]):
            yield (*first, *rest)


def _told(step: Step) -> str:
    return f"{step.name} ({step.found or 'it does not hold'})"


def _distance(step: Step) -> float:
    """Return how far a condition is from holding: 0 for nearly, 1 for another value, 2 for none at all."""
    if step.verdict == "unknown" and step.found.startswith(("the ", "no ")):  # absent, or it does not count
        return 2.0
    seen = step.found.lower().strip('[]"').rpartition("@")[2]
    ratio = max(difflib.SequenceMatcher(None, wanted, seen).ratio() for wanted in step.name.lower().split())
    return 1.0 - ratio if ratio >= _NEAR else 1.0
