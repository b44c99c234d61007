"""A log summed up: who was refused, who would be (`enforce: false`), and by which rule. Bounded."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

MAX_CALLERS = 10_000  # told apart in one group; from there on it says `10000+`
_MAX_GROUPS = 10_000

Kind = Literal["refused", "would be refused"]


@dataclass(slots=True)
class Group:
    """Requests that were refused, or would be, for the same reason on the same route."""

    kind: Kind
    route: str
    code: str
    rule: str
    provider: str
    count: int = 0
    last: str = ""
    example: str = ""
    callers: set[str] = field(default_factory=set)

    @property
    def caller_count(self) -> str:
        """How many subjects it were, as far as they were known."""
        return f"{MAX_CALLERS}+" if len(self.callers) >= MAX_CALLERS else str(len(self.callers))


@dataclass(slots=True)
class Report:
    """The sums of a log. `skipped` lines are no requests."""

    requests: int = 0
    allowed: int = 0
    skipped: int = 0
    groups: list[Group] = field(default_factory=list)

    def of(self, kind: Kind) -> list[Group]:
        """Return the groups of a kind, the largest first."""
        return sorted((group for group in self.groups if group.kind == kind), key=lambda group: -group.count)


def sum_log(lines: Iterable[str]) -> Report:
    """Return what a log says in sum. Lines that are no requests are counted and left out."""
    report = Report()
    groups: dict[tuple[str, ...], Group] = {}
    for line in lines:
        said = _request_in(line)
        if said is None:
            report.skipped += 1
            continue
        report.requests += 1
        code, would = said.get("code"), said.get("would_deny")
        if code is None:
            report.allowed += 1
        if would is not None:
            _count(groups, "would be refused", str(would), said)
        if code is not None:
            _count(groups, "refused", str(code), said if would is None else said | {"rule": "-"})
    report.groups = list(groups.values())
    return report


def _count(groups: dict[tuple[str, ...], Group], kind: Kind, code: str, said: dict[str, Any]) -> None:
    route, rule, provider = (str(said.get(name, "-")) for name in ("route", "rule", "provider"))
    key = kind, route, code, rule, provider
    group = groups.get(key)
    if group is None:
        if len(groups) >= _MAX_GROUPS:
            return
        group = groups[key] = Group(kind, route, code, rule, provider)
    group.count += 1
    group.last = max(group.last, str(said.get("time", "")))
    group.example = f"{said.get('method')} {said.get('path')}"
    subject = said.get("subject")
    if isinstance(subject, str) and len(group.callers) < MAX_CALLERS:
        group.callers.add(subject)


def _request_in(line: str) -> dict[str, Any] | None:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) and "decision" in said and "path" in said else None
