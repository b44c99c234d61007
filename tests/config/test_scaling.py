"""Twice the routes, twice the work: counted in steps of the interpreter, and not timed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from gateway.config.document import ConfigError
from gateway.config.file import load_text
from tests.configuring import SECRET

HEAD = f"upstream: http://localhost:4111\nproviders: {{jobs: {{type: jwt, secret: {SECRET}}}}}\n"
GUARDED = "{provider: jobs, allow: authenticated}"
PUBLIC = "{public: true}"
FEW = 60


def file_of(lines: list[str], rules: str = "") -> str:
    return "\n".join([HEAD + rules + "routes:", *(f"  {line}" for line in lines)])


def agents(count: int) -> str:
    keys = ["/api/agents/agent-{0}", "POST /api/agents/agent-{0}/generate", "GET /api/agents/agent-{0}/generate"]
    return file_of([f"{key.format(number)}: {GUARDED}" for number in range(count) for key in keys])


def tenants(count: int) -> str:
    """Captures of many names at one level, each with its methods, and an exact one."""
    lines = []
    for number in range(count):
        lines += [f"'GET,POST /t/{{t{number}}}/a-{number}': {GUARDED}", f"'/t/{{u{number}}}/a-{number}': {PUBLIC}"]
        lines.append(f"'/t/{{v{number}}}/b-{number}': {GUARDED[:-1]}, exact: true}}")
    return file_of(lines)


def warned(count: int) -> str:
    return file_of([f"/api: {GUARDED}", *(f"/api/open-{number}: {PUBLIC}" for number in range(count))])


def unused(count: int) -> str:
    rules = "".join(f"  rule-{number}: authenticated\n" for number in range(count))
    return file_of([f"/api: {GUARDED}"], f"rules:\n{rules}")


def alike(count: int) -> str:
    """One shape, many names: mistakes, and a method that only the second half has in common."""
    halves = [("GET", "x"), ("POST", "y")]
    return file_of([f"'{method} /t/{{{name}{n}}}': {PUBLIC}" for method, name in halves for n in range(count)])


def steps_of(text: str) -> int:
    """Return how many instructions are run to read a text, or to find its mistakes."""
    steps = 0

    def note(frame: Any, event: str, argument: Any) -> Any:
        nonlocal steps
        frame.f_trace_opcodes = True
        steps += event == "opcode"
        return note

    before = sys.gettrace()
    sys.settrace(note)
    try:
        load_text(text, "gateway.yaml", {})
    except ConfigError:
        pass
    finally:
        sys.settrace(before)
    return steps


@pytest.mark.parametrize("made", [agents, tenants, warned, unused, alike])
def test_twice_the_routes_are_twice_the_work(made: Callable[[int], str]) -> None:
    few, many = steps_of(made(FEW)), steps_of(made(2 * FEW))
    assert many / few < 2.1, f"{few} steps for {FEW}, {many} for twice as many"
