"""`gateway report`: a log summed up."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gateway.commands.call import BadCall, Command, Refusal
from gateway.commands.printing import counted, print_lines, print_table
from gateway.explain.report import Group, Kind, Report, sum_log

_HEADINGS = ("requests", "callers", "route", "provider", "code", "rule", "last", "such as")
_EXAMPLES = """\
examples:
  gateway report gateway.log                      who was refused, and who would be under `enforce: false`
  docker compose logs --no-log-prefix gateway | gateway report
  gateway report --would-deny *.log               only what `enforce: false` let pass
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "logs", metavar="LOG", nargs="*", default=["-"], help="logs as JSON; - is standard input (default)"
    )
    parser.add_argument("--would-deny", action="store_true", help="only what `enforce: false` let pass")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _run(call: argparse.Namespace) -> int:
    """Print the sums; return 0, or 1 if the logs hold no request at all."""
    report = sum_log(_lines_of(call.logs))
    if not report.requests:
        raise Refusal(
            f"found no request in {report.skipped} lines; expected the gateway's JSON log (`--log-format json`)"
        )
    if call.json:
        print(json.dumps(_as_json(report, only_would=call.would_deny), indent=2))
        return 0
    requests, others = counted(report.requests, "request"), counted(report.skipped, "other line")
    print_lines([(f"{requests}, {report.allowed} let in; {others}", "bold")])
    _print_groups("would be refused (enforce: false)", report.of("would be refused"))
    if not call.would_deny:
        _print_groups("refused", report.of("refused"))
    return 0


def _lines_of(names: Sequence[str]) -> Iterator[str]:
    for name in names:
        if name == "-":
            yield from (line.decode("utf-8", "replace") for line in sys.stdin.buffer)
            continue
        try:
            with Path(name).open(encoding="utf-8", errors="replace") as log:
                yield from log
        except OSError as problem:
            raise BadCall(f"{name} cannot be read: {problem.strerror}") from None


def _print_groups(title: str, groups: Sequence[Group]) -> None:
    print_lines([("", ""), (f"{title}: {sum(group.count for group in groups)}", "bold")])
    if groups:
        print_table(_HEADINGS, [_cells(group) for group in groups])


def _cells(group: Group) -> tuple[str, ...]:
    known = (group.route, group.provider, group.code, group.rule, group.last, group.example)
    return str(group.count), group.caller_count, *known


def _as_json(report: Report, *, only_would: bool) -> dict[str, Any]:
    kinds: tuple[Kind, ...] = ("would be refused",) if only_would else ("would be refused", "refused")
    return {
        "requests": report.requests,
        "allowed": report.allowed,
        "other_lines": report.skipped,
        "groups": [
            {
                "kind": group.kind,
                "requests": group.count,
                "callers": group.caller_count,
                "route": group.route,
                "provider": group.provider,
                "code": group.code,
                "rule": group.rule,
                "last": group.last,
                "example": group.example,
            }
            for kind in kinds
            for group in report.of(kind)
        ],
    }


COMMAND = Command(
    "Sum a log: who was refused, who would be under `enforce: false`, and by which rule.",
    _add_arguments,
    _run,
    _EXAMPLES,
)
