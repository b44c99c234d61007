"""What `mutmut run` has left: `python -m tests.mutants [--write]`.

Exit status 1 if a changed line of the gateway survives all tests and tests/mutants.yaml does not say why that is as it
should be, or if it says so of one that does not survive any more. `--write` writes docs/mutants.md.

A mutant is known by its function and by the statement that was changed, both as `ast.unparse` writes them: who moves
the statement, breaks its line elsewhere, or rewords the comment behind it need not touch the list.
"""

from __future__ import annotations

import ast
import difflib
import re
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
WORK = ROOT / "mutants"
ACCEPTED, PAGE = ROOT / "tests" / "mutants.yaml", ROOT / "docs" / "mutants.md"
_RESULT = re.compile(r"^\s*(\S+): (.+)$", re.MULTILINE)


@dataclass(frozen=True, order=True)
class Mutant:
    """One changed statement. `where` is module and function."""

    where: str
    old: str
    new: str

    def text(self) -> str:
        """Return it on one line."""
        return f"{self.where} | {self.old} | {self.new}"


def results() -> dict[str, str]:
    """Return the outcome of each mutant by mutmut's name for it."""
    command = [sys.executable, "-m", "mutmut", "results", "--all", "true"]
    return dict(_RESULT.findall(subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout))


def mutant(name: str) -> Mutant:
    """Return what a name of mutmut's stands for, from the file in which mutmut keeps all versions of a function."""
    module, _, function = name.rpartition(".")
    functions = _functions((WORK / module.replace(".", "/")).with_suffix(".py"))
    original = f"{function.partition('__mutmut')[0]}__mutmut_orig"
    return Mutant(_where(name), *change(functions[original], functions[function]))


@lru_cache(maxsize=1)
def _functions(file: Path) -> dict[str, ast.AST]:
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    return {node.name: node for node in nodes if isinstance(node, kinds)}


def change(old: ast.AST, new: ast.AST) -> tuple[str, str]:
    """Return the statements of a function that are only in the old one, and those that are only in the new one."""
    before, after = (re.sub(r"\bdef \w+", "def", ast.unparse(one), count=1).splitlines() for one in (old, new))
    lines = [line for line in difflib.ndiff(before, after) if line[0] in "-+"]
    removed, added = ([line[2:].strip() for line in lines if line[0] == sign] for sign in "-+")
    return " ".join(removed), " ".join(added)


def _where(name: str) -> str:
    module, _, function = name.partition("__mutmut")[0].rpartition(".")
    return f"{module.removeprefix('gateway.')}.{re.sub('^x_|^xǁ', '', function).replace('ǁ', '.')}"


def main(*arguments: str) -> int:
    """Compare, and return the exit status."""
    outcomes = results()
    survivors = {mutant(name) for name, outcome in outcomes.items() if outcome not in ("killed", "timeout")}
    reasons: dict[str, list[str]] = yaml.safe_load(ACCEPTED.read_text(encoding="utf-8")) if ACCEPTED.exists() else {}
    accepted = {text for texts in reasons.values() for text in texts}
    unexplained = sorted(one for one in survivors if one.text() not in accepted)
    gone = sorted(accepted - {one.text() for one in survivors})
    for one in unexplained:
        print(f"survives: {one.text()}")
    for text in gone:
        print(f"does not survive any more: {text}")
    table = _table(outcomes, survivors)
    print(table)
    if "--write" in arguments:
        PAGE.write_text(_page(table, reasons), encoding="utf-8")
    return 1 if unexplained or gone else 0


def _table(outcomes: dict[str, str], survivors: set[Mutant]) -> str:
    tried: Counter[str] = Counter(name.partition(".x")[0].removeprefix("gateway.") for name in outcomes)
    alive: Counter[str] = Counter(_module(one.where, tried) for one in survivors)
    rows = ["| module | changed lines tried | survive | score |", "| --- | --- | --- | --- |"]
    rows += [
        f"| `{module}` | {tried[module]} | {alive[module]} | {_score(tried[module], alive[module])} |"
        for module in sorted(tried)
    ]
    total = f"| all | {tried.total()} | {alive.total()} | {_score(tried.total(), alive.total())} |"
    return "\n".join([*rows, total])


def _module(where: str, modules: Counter[str]) -> str:
    return next(module for module in modules if where.startswith(module + "."))


def _score(tried: int, alive: int) -> str:
    return f"{100 * (tried - alive) / tried:.1f} %"


def _page(table: str, reasons: dict[str, list[str]]) -> str:
    parts = [_INTRODUCTION, table, "\n## What survives, and why that is as it should be\n"]
    for why, texts in reasons.items():
        by_function: dict[str, list[str]] = defaultdict(list)
        for text in texts:
            where, old, new = text.split(" | ", 2)
            by_function[where].append(f"`{old}` to `{new}`")
        parts.append(f"### {why}\n")
        parts += [
            f"- `{where}`: {len(changes)} ({changes[0]}{', ...' * (len(changes) > 1)})"
            for where, changes in sorted(by_function.items())
        ]
        parts.append("")
    return "\n".join(parts)


_INTRODUCTION = """# Mutation testing

Each line of what decides is changed in every way that mutmut knows (another operator, constant, argument, text), one
change at a time, and the unit tests run: a change that no test notices *survives*. `make mutants` does it again (about
ten minutes on two cores) and fails if a line survives that `tests/mutants.yaml` does not explain. This page is written
by `python -m tests.mutants --write` from that file.
"""

if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
