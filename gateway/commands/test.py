"""`gateway test`: the cases beside the rules, what no case covers, and what another file would decide differently."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gateway.commands.call import BadCall, Command, Refusal, add_file_option, environment_of, require_file
from gateway.commands.junit import write_junit
from gateway.commands.printing import Line, counted, print_lines, progress
from gateway.commands.reading import read_file
from gateway.config.cases import load_cases
from gateway.config.document import ConfigError
from gateway.config.env_file import variables_beside
from gateway.config.model import Case, Config
from gateway.explain.coverage import Coverage
from gateway.explain.issuer import StandInIssuer
from gateway.explain.judge import IMPOSSIBLE, Judge, Judged
from gateway.explain.replay import Change, read_log, replay

_EXAMPLES = """\
examples:
  gateway test                                     the cases under `tests:` in gateway.yaml
  gateway test cases/*.yaml --junit results.xml    and those of files of their own, for a CI
  gateway test --against main.yaml                 which decisions does my change of the rules change?
  gateway test --against main.yaml --log gateway.log
                                                   and of the requests in this log?
a case:
  tests:
    - name: colleagues may list the agents
      request: GET /api/agents
      provider: staff
      claims: {email: ann@yourcompany.com}
      expect: allow                                or deny, or a code such as access_denied
"""


@dataclass(frozen=True, slots=True)
class _Report:
    """Everything one call found."""

    results: Sequence[Judged]
    gaps: Sequence[str]
    tried: tuple[int, int]
    changes: Sequence[tuple[Judged, Judged]]
    replayed: Sequence[Change]
    replayed_count: int
    is_compared: bool
    wants_coverage: bool

    @property
    def is_well(self) -> bool:
        """True if every decision is as expected, and nothing is left uncovered where that was asked for."""
        return all(result.is_as_expected for result in self.results) and not (self.wants_coverage and self.gaps)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cases", metavar="FILE", nargs="*", type=Path, help="files with further `tests:`")
    add_file_option(parser)
    parser.add_argument("--against", metavar="OLD", type=Path, help="show every decision that differs from this file's")
    parser.add_argument("--log", metavar="LOG", type=Path, help="with --against: also ask the requests of this log")
    parser.add_argument("--junit", metavar="XML", type=Path, help="write the results for a CI")
    parser.add_argument("--require-coverage", action="store_true", help="exit with 1 if anything is not covered")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _run(call: argparse.Namespace) -> int:
    """Print the results; return 0 if every decision is as expected, else 1."""
    if call.log is not None and call.against is None:
        raise BadCall("--log says which requests to compare; expected --against OLD beside it")
    environment = environment_of(call)
    config = read_file(require_file(call.file), environment)
    # What is read beside the file sees what the file sees, wherever it lies itself.
    environment = variables_beside(call.file, environment)
    old = read_file(require_file(call.against), environment) if call.against is not None else None
    cases = [*config.tests, *(case for path in call.cases for case in _read_cases(path, environment))]
    requests, _ = read_log(_lines_of(call.log)) if call.log is not None else ([], 0)
    if not cases and not requests:
        raise Refusal(f"{call.file} has no cases; write some under `tests:` (gateway test --help shows one)")
    with progress(f"asking {counted(len(cases), 'case')}"):
        report = _judge(config, old, cases, require_coverage=call.require_coverage)
    if old is not None and requests:
        changes, count = replay(requests, old, config)
        report = replace(report, replayed=changes, replayed_count=count)
    if call.junit is not None:
        _write(call.junit, report.results)
    if call.json:
        print(json.dumps(_as_json(report), indent=2))
    else:
        print_lines(_lines(report))
    return 0 if report.is_well else 1


def _judge(config: Config, old: Config | None, cases: Sequence[Case], *, require_coverage: bool) -> _Report:
    issuer, now = StandInIssuer(), time.time()
    judge, coverage = Judge(config, issuer, now), Coverage(config.policy)
    results = [judge.judge(case) for case in cases]
    for result in results:
        if result.verdict != IMPOSSIBLE:
            coverage.note(judge.walk(result.case))
    changes: list[tuple[Judged, Judged]] = []
    if old is not None:
        before = Judge(old, issuer, now)
        pairs = [(before.judge(result.case), result) for result in results]
        changes = [(was, now_is) for was, now_is in pairs if was.words != now_is.words]
    return _Report(results, coverage.gaps, coverage.counts, changes, (), 0, old is not None, require_coverage)


def _read_cases(path: Path, environment: Mapping[str, str]) -> tuple[Case, ...]:
    if not path.is_file():
        raise BadCall(f"{path} is not there; expected a file with `tests:`")
    try:
        return load_cases(path, environment)
    except ConfigError as problem:
        raise Refusal(f"{path} cannot be used", problem.lines()) from problem


def _lines_of(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as problem:
        raise BadCall(f"--log {path} cannot be read: {problem.strerror}") from None


def _write(path: Path, results: Sequence[Judged]) -> None:
    try:
        write_junit(path, results)
    except OSError as problem:
        raise Refusal(f"{path} cannot be written: {problem.strerror}") from None


def _lines(report: _Report) -> Iterator[Line]:
    for result in report.results:
        if result.is_as_expected:
            yield f"ok    {result.case.name}: {result.words}", "green"
            continue
        yield f"FAIL  {result.case.name}: expected {_expected(result.case)}, found {result.words}", "bold red"
        yield (
            f"      {result.case.where}: {result.case.method} {result.case.target}: {result.detail or 'it passes'}",
            "",
        )
    good = sum(1 for result in report.results if result.is_as_expected)
    tried, total = report.tried
    yield "", ""
    yield f"{counted(len(report.results), 'case')}, {good} as expected, {len(report.results) - good} not", "bold"
    yield f"coverage: {tried} of {total} routes and conditions", ""
    for gap in report.gaps:
        yield f"  not covered: {gap}", "yellow"
    if report.is_compared:
        yield from _change_lines(report)


def _change_lines(report: _Report) -> Iterator[Line]:
    yield "", ""
    yield f"against the other file: {len(report.changes)} of {len(report.results)} cases change", "bold"
    for was, now_is in report.changes:
        yield f"  {now_is.case.name}: {was.words} -> {now_is.words}", "yellow"
    if not report.replayed_count:
        return
    count = sum(change.count for change in report.replayed)
    yield f"against the other file: {count} of {report.replayed_count} requests of the log change, or may", "bold"
    for change in report.replayed:
        yield f"  {change.count} x {change.old} -> {change.new}, such as {change.example}", "yellow"


def _expected(case: Case) -> str:
    return f"{case.expect} (would be {case.would_deny})" if case.would_deny else case.expect


def _as_json(report: _Report) -> dict[str, Any]:
    return {
        "ok": report.is_well,
        "cases": [
            {
                "name": result.case.name,
                "where": result.case.where,
                "expected": result.case.expect,
                "found": result.verdict,
                "would_deny": result.would_deny,
                "ok": result.is_as_expected,
                "detail": result.detail,
            }
            for result in report.results
        ],
        "coverage": {"tried": report.tried[0], "of": report.tried[1], "gaps": list(report.gaps)},
        "changes": [{"name": n.case.name, "old": o.words, "new": n.words} for o, n in report.changes],
        "replayed": [
            {"old": change.old, "new": change.new, "count": change.count, "example": change.example}
            for change in report.replayed
        ],
    }


COMMAND = Command(
    "Ask the cases that stand beside the rules, and say what no case covers. Needs no key server and no network.",
    _add_arguments,
    _run,
    _EXAMPLES,
)
