"""The cases of `cases/*.yaml`, read: data only, one record for each thing that is tried.

`each` maps names to lists; the case stands for every combination, and `{name}` in its texts stands for the value. A
text that is nothing but `{name}` becomes the value itself, whatever its type.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

_EVERY = 4
FOLDER = Path(__file__).with_name("cases")
_REPEATED = re.compile(r"<(.+?)\*(\d+)>", re.DOTALL)


@dataclass(frozen=True)
class Case:
    """One case: `spec` holds what its family needs."""

    id: str
    family: str
    is_attack: bool
    spec: dict[str, Any]

    def __str__(self) -> str:
        return self.id


def cases(family: str) -> list[Case]:
    """Return the cases of a family, in the order of the file. Raises `ValueError` for two of one id."""
    written = yaml.safe_load((FOLDER / f"{family}.yaml").read_text(encoding="utf-8")) or []
    found = [case for entry in written for case in _expanded(family, entry)]
    ids = [case.id for case in found]
    if len(set(ids)) != len(ids):
        twice = sorted({id for id in ids if ids.count(id) > 1})
        raise ValueError(f"{family}.yaml: two cases of one id: {twice[:5]}")
    return found


def parameters(of: Iterable[Case]) -> list[Any]:
    """Return cases as parameters of a test; of each row the first and every fourth are tried in the quick run as well.

    `make security` tries all of them.
    """
    rows = itertools.groupby(of, key=lambda case: (case.family, case.id.partition("[")[0]))
    return [
        pytest.param(case, id=str(case), marks=[pytest.mark.slow] if number % _EVERY else [])
        for _, row in rows
        for number, case in enumerate(row)
    ]


def _expanded(family: str, entry: dict[str, Any]) -> Iterator[Case]:
    rest = dict(entry)
    name, kind, each = rest.pop("id"), rest.pop("kind", "attack"), rest.pop("each", {})
    for field in ("policy", "source"):
        if not rest.get(field):
            raise ValueError(f"{family}.yaml: {name} has no {field}")
    labels: Counter[str] = Counter()
    for choice in itertools.product(*each.values()):
        label = "-".join(_label(value) for value in choice)
        labels[label] += 1
        alike = f"~{labels[label]}" if labels[label] > 1 else ""
        values = dict(zip(each, choice, strict=True))
        spec = {key: _filled(value, values) for key, value in rest.items()}
        yield Case(f"{name}[{label}]{alike}" if each else name, family, kind == "attack", spec)


def _label(value: Any) -> str:
    """Return a value as it may stand in the name of a test."""
    return re.sub(r"[^!-~]|[\[\]]", "_", value if isinstance(value, str) else repr(value))[:32]


def _filled(value: Any, values: dict[str, Any]) -> Any:
    match value:
        case str():
            for name, chosen in values.items():
                if value == f"{{{name}}}":
                    return _filled(chosen, {})
                value = value.replace(f"{{{name}}}", str(chosen))
            return _REPEATED.sub(lambda found: found[1] * int(found[2]), value)
        case list():
            return [_filled(member, values) for member in value]
        case dict():
            return {_filled(key, values): _filled(member, values) for key, member in value.items()}
        case _:
            return value
