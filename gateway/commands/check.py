"""`gateway check`: every mistake of a file, or its warnings and its routes in words."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.commands.call import Command, add_file_option, require_file
from gateway.config.describe import Row, describe
from gateway.config.document import ConfigError, Problem
from gateway.config.file import load
from gateway.config.model import Config
from gateway.policy.routes import Route
from gateway.policy.words import words_of

_HEADINGS = ("route", "tokens of", "who may pass", "upstream")
_GAP = "  "


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_file_option(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _run(call: argparse.Namespace) -> int:
    """Print the report; return 0 if the file can be used, else 1."""
    file = require_file(call.file)
    try:
        config = load(file, os.environ)
    except ConfigError as mistakes:
        if call.json:
            print(json.dumps(_report_mistakes(file, mistakes), indent=2))
        else:
            _print(str(mistakes), "red")
        return 1
    if call.json:
        print(json.dumps(_report(file, config), indent=2))
        return 0
    _print(f"{file}: no mistakes\n", "green")
    for warning in config.warnings:
        _print(f"warning: {warning}\n", "yellow")
    _print_table([_cells(row) for row in describe(config)])
    return 0


def _report_mistakes(file: Path, mistakes: ConfigError) -> dict[str, Any]:
    return {"file": str(file), "ok": False, "mistakes": [_mistake(one) for one in mistakes.problems]}


def _mistake(problem: Problem) -> dict[str, Any]:
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "path": problem.path,
        "message": problem.message,
        "note": problem.note,
    }


def _report(file: Path, config: Config) -> dict[str, Any]:
    routes = [_route(route) for route in config.policy.routes]
    return {"file": str(file), "ok": True, "mistakes": [], "warnings": list(config.warnings), "routes": routes}


def _route(route: Route) -> dict[str, Any]:
    return {
        "route": route.key,
        "providers": [provider.name for provider in route.providers],
        "public": route.public,
        "allow": [words_of(rule) for rule in route.allow],
        "deny": [words_of(rule) for rule in route.deny],
        "upstream": route.upstream.name,
        "exact": route.exact,
        "websocket": route.websocket,
        "enforce": route.enforce,
    }


def _cells(row: Row) -> tuple[str, str, str, str]:
    return row.key, row.providers or "-", row.who, row.upstream


def _print(text: str, colour: str) -> None:
    """Print a text: in colour on a terminal (NO_COLOR takes it away), plain in a pipe."""
    if sys.stdout.isatty():
        Console().print(Text(text, style=colour), soft_wrap=True)
    else:
        print(text)


def _print_table(rows: list[tuple[str, str, str, str]]) -> None:
    if sys.stdout.isatty():
        table = Table(*_HEADINGS)
        for row in rows:
            table.add_row(*map(Text, row))  # Text: the brackets of a route are no markup
        Console().print(table)
    else:
        print(_plain_table(rows))


def _plain_table(rows: list[tuple[str, str, str, str]]) -> str:
    lines = [_HEADINGS, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS))]
    return "\n".join(_GAP.join(map(str.ljust, line, widths)).rstrip() for line in lines)


COMMAND = Command(
    "Print every mistake of a file with its place; or, if there is none, its warnings and its routes in words.",
    _add_arguments,
    _run,
)
