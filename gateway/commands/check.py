"""`gateway check`: every mistake of a file, or its warnings and its routes in words."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.commands.call import BadCall, Command, add_file_option, environment_of, require_file
from gateway.commands.live import look_at_upstreams, print_seen, report_of_seen
from gateway.commands.operations import print_survey, report_of, survey_of
from gateway.commands.printing import print_lines, print_mistakes, print_table
from gateway.config.describe import (
    Row,
    describe,
    entries,
    routes_with,
    words_of_audit,
    words_of_budgets,
    words_of_ends,
)
from gateway.config.document import ConfigError, Problem
from gateway.config.file import load
from gateway.config.model import Config, Expansion
from gateway.config.revoked import load_revoked
from gateway.policy.budgets import Budget, Rate
from gateway.policy.own_words import ownership_lines, ownership_report
from gateway.policy.ownership import Ownership
from gateway.policy.routes import Route, with_head
from gateway.policy.words import listed, words_of

_HEADINGS = ("route", "tokens of", "who may pass", "upstream")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_file_option(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--openapi",
        metavar="URL|FILE",
        help="the server's OpenAPI document: print every operation with the route that takes it and who may pass",
    )
    parser.add_argument(
        "--revoked",
        metavar="FILE",
        type=Path,
        help="besides, every mistake of a list before it becomes that of revoked_file",
    )
    parser.add_argument(
        "--live", action="store_true", help="ask each upstream whether the Studio that it serves calls past the gateway"
    )
    parser.add_argument(
        "--strict", action="store_true", help="with --openapi or --live: exit 1 if something deserves a look"
    )


def _run(call: argparse.Namespace) -> int:
    """Print the report; return 0 if the file can be used, else 1."""
    if call.strict and call.openapi is None and not call.live:
        raise BadCall("--strict is about operations and upstreams: add --openapi URL|FILE, or --live")
    file = require_file(call.file)
    try:
        config = load(file, environment_of(call))
        listed = None if call.revoked is None else load_revoked(call.revoked, config.providers)
    except ConfigError as mistakes:
        if call.json:
            print(json.dumps(_report_mistakes(file, mistakes), indent=2))
        else:
            print_mistakes(mistakes)
        return 1
    found = survey_of(config, call.openapi) if call.openapi is not None else None
    seen = look_at_upstreams(config) if call.live else None
    is_marked = (found is not None and found.marks) or any(one.is_mark for one in seen or ())
    status = 1 if is_marked and call.strict else 0
    if call.json:
        surveyed: dict[str, Any] = {} if found is None else {"openapi": report_of(found)}
        surveyed |= {} if seen is None else {"live": report_of_seen(seen)}
        surveyed |= {} if listed is None else {"revoked": {"file": str(call.revoked), "entries": len(listed.entries)}}
        print(json.dumps(_report(file, config) | surveyed, indent=2))
        return status
    print_lines([(f"{file}: no mistakes", "green")])
    if listed is not None:
        print_lines([(f"{call.revoked}: no mistakes, {entries(len(listed.entries))}", "green")])
    print_lines([("", "")])
    for warning in config.warnings:
        print_lines([(f"warning: {warning}", "yellow"), ("", "")])
    print_table(_HEADINGS, [_cells(row) for row in describe(config)])
    audit = [] if config.audit is None else words_of_audit(config.audit, config.digest)
    for lines in (words_of_budgets(config), words_of_ends(config), audit):
        if lines:
            print_lines([("", ""), *((line, "") for line in lines)])
    _print_expansions(config)
    _print_ownership(config)
    if any(route.methods is not None and with_head(route.methods) != route.methods for route in config.policy.routes):
        print_lines([("", ""), ("A route for GET takes HEAD as well, under the same rules.", "dim")])
    if found is not None:
        print_lines([("", "")])
        print_survey(found)
    if seen is not None:
        print_lines([("", "")])
        print_seen(seen)
    return status


def _print_expansions(config: Config) -> None:
    """Say what presets stand for, as somebody would write it for type oidc."""
    for expansion in config.expansions:
        title, *lines = expansion_lines(expansion)
        print_lines([("", ""), (title, "bold"), *((line, "") for line in lines)])


def _print_ownership(config: Config) -> None:
    """Say whose the things of each upstream are, and how callers are kept to their own."""
    for name, ownership, free in owned_upstreams(config):
        title, *lines = ownership_lines(name, ownership, free)
        print_lines([("", ""), (title, "bold"), *((line, "") for line in lines)])


def owned_upstreams(config: Config) -> list[tuple[str, Ownership, list[str]]]:
    """Return each upstream that says `own`, what counts there, and the keys of its routes with `own: false`."""
    found = []
    for upstream in config.upstreams:
        routes = [one for one in config.policy.routes if one.upstream.name == upstream.name and not one.own]
        owned = [one.own_things for one in routes if one.own_things is not None]
        if upstream.own is not None and owned:
            parted = any(one.by_provider for one in owned)
            free = [one.key for one in routes if one.own_things is None]
            found.append((upstream.name, replace(upstream.own, by_provider=parted), free))
    return found


def expansion_lines(expansion: Expansion) -> list[str]:
    """Return in words what a preset stands for."""
    return [
        f"{expansion.provider}: {expansion.preset} stands for type oidc with",
        *(f"  {name}: {_value(values)}" for name, values in expansion.says),
        *(f"  and the claim {name} is {listed(values)} in every token" for name, values in expansion.claims),
    ]


def _value(values: tuple[str, ...]) -> str:
    return values[0] if len(values) == 1 else f"[{', '.join(values)}]"


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
    return {
        "file": str(file),
        "ok": True,
        "mistakes": [],
        "warnings": list(config.warnings),
        "digest": config.digest,
        "routes": routes,
        "budgets": {one.name: _budget(one, config) for one in config.budgets},
        "presets": {one.provider: _preset(one) for one in config.expansions},
        "own": {name: ownership_report(own, free) for name, own, free in owned_upstreams(config)},
    }


def _budget(budget: Budget, config: Config) -> dict[str, Any]:
    shared = config.shared if budget.failures is None else None
    return {
        "per": budget.per,
        "streams": budget.streams,
        "requests": _rate(budget.requests),
        "failures": _rate(budget.failures),
        "counted_in": "memory" if shared is None else shared.where,
        "routes": None if budget.failures is not None else routes_with(budget, config),
    }


def _rate(rate: Rate | None) -> dict[str, Any] | None:
    return None if rate is None else {"count": rate.count, "seconds": rate.seconds}


def _preset(expansion: Expansion) -> dict[str, Any]:
    return {
        "type": expansion.preset,
        "stands_for": {name: list(values) for name, values in expansion.says},
        "claims": {name: list(values) for name, values in expansion.claims},
    }


def _route(route: Route) -> dict[str, Any]:
    return {
        "route": route.key,
        "methods": sorted(with_head(route.methods)) if route.methods is not None else None,
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


_EXAMPLES = """\
examples:
  gateway check                        gateway.yaml of the working directory
  gateway check -c /etc/gateway.yaml --json
  gateway check --openapi http://localhost:4111/api/openapi.json    who may call what of the server
  gateway check --revoked new.yaml     a list, before it is renamed to what revoked_file names
  gateway check --live                 whether Studio, as the upstreams serve it, works through the gateway
"""
COMMAND = Command(
    "Print every mistake of a file with its place; or, if there is none, its warnings and its routes in words.",
    _add_arguments,
    _run,
    _EXAMPLES,
)
