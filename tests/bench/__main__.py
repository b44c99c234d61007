"""Measure the gateway beside public gateways, and at the work that users have: `make bench`, or

python -m tests.bench [--gateway NAME=PATH]... [--parts NAME,...] [--scenarios TEXT,...] [--peers NAME,...]
                      [--rounds N] [--seconds N] [--figures FILE] [--write]

The gateway of this environment is measured, and each further one that `--gateway` names, by its program. All sides of
a scenario are on the first core, load and upstream on the second; one side at a time has work. A side counts only if
its answers are right and bad tokens are refused. The figure is CPU time per request, from /proc: what does not depend
on who else uses the machine. `--write` puts the tables into docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

from tests.bench.gateways import PURE, command, compiled_modules, named_gateway, own_gateway
from tests.bench.measuring import Bench, Side
from tests.bench.peers import PEERS
from tests.bench.report import Figures, report, write_into_docs
from tests.bench.scenarios import BESIDE, PARTS, Scenario
from tests.bench.tables import curves_text, users_text


def main() -> int:
    """Measure, print, and write if asked to; return the exit status: 1 if a side did not do its work."""
    call = _arguments(sys.argv[1:])
    if shutil.which("wrk") is None:
        sys.exit("bench: found no wrk, which makes the load: apt-get install wrk")
    gateways = {PURE: own_gateway(), **dict(call.gateway)}
    for name, program in gateways.items():
        print(f"{name}: {compiled_modules(program) or 'unknown how many'} modules compiled", file=sys.stderr)  # noqa: T201
    sides = {name: Side(partial(command, program), is_own=True) for name, program in gateways.items()}
    sides |= {name: Side(PEERS[name]) for name in call.peers}
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        bench = Bench(Path(name), call.seconds)
        with bench.serving():
            found = bench.measure(sides, chosen(call.parts, call.scenarios), call.rounds)
    if call.figures is not None:
        call.figures.write_text(json.dumps(found.figures, indent=1))
    for part in [part for part in call.parts if any(scenario.name in found.figures for scenario in PARTS[part])]:
        text = _text(part, found.figures, list(gateways), call.peers)
        print(f"\n{text}")  # noqa: T201
        if call.write:
            write_into_docs(part, text)
    print(*found.faults, sep="\n", file=sys.stderr)  # noqa: T201
    return 1 if found.faults else 0


def _text(part: str, figures: Figures, gateways: list[str], peers: list[str]) -> str:
    match part:
        case "beside":
            return report(figures, [scenario.name for scenario in BESIDE if scenario.name in figures])
        case "users":
            used = [peer for peer in peers if any(peer in scenario.peers for scenario in PARTS[part])]
            return f"```text\n{users_text(figures, gateways, used)}```\n"
        case _:
            return f"```text\n{curves_text(figures, gateways)}```\n"


def chosen(parts: list[str], texts: list[str]) -> list[Scenario]:
    """Return the scenarios of parts, each once; where there are texts, those whose name holds one of them."""
    every = dict.fromkeys(scenario for part in parts for scenario in PARTS[part])
    return [scenario for scenario in every if not texts or any(text in scenario.name for text in texts)]


def _arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("--gateway", action="append", default=[], type=named_gateway, metavar="NAME=PATH")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--parts", type=_names, default=list(PARTS))
    parser.add_argument("--scenarios", type=_names, default=[])
    parser.add_argument("--peers", type=_names, default=list(PEERS))
    parser.add_argument("--figures", type=Path, metavar="FILE")
    parser.add_argument("--write", action="store_true")
    call = parser.parse_args(arguments)
    for found, expected in ((call.parts, PARTS), (call.peers, PEERS)):
        if unknown := [name for name in found if name not in expected]:
            parser.error(f"found {', '.join(unknown)}, expected some of {', '.join(expected)}")
    if call.write and call.scenarios:
        parser.error("found --write and --scenarios: a table on the page has all of its rows")
    if not chosen(call.parts, call.scenarios):
        parser.error(f"found no scenario whose name holds {' or '.join(call.scenarios)}")
    return call


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


if __name__ == "__main__":
    sys.exit(main())
