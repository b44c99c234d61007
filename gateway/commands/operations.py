"""`gateway check --openapi`: every operation of the server, the route that takes it, and who may pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from gateway.commands.call import Refusal
from gateway.commands.fetching import UnfetchedError, fetched, refused
from gateway.commands.printing import counted, print_lines, print_table
from gateway.config.model import Config
from gateway.explain.operations import Covered, NotADocumentError, Survey, read_operations, survey

_MAX_BYTES: Final = 64 * 1024 * 1024
_SECONDS: Final = 10
_HEADINGS: Final = ("look at", "operation", "who may pass", "route")
_WORDS: Final = {
    "uncovered": ("no route", "no route covers it"),
    "open write": ("open write", "it writes, and everybody with a token, or without, may"),
}


def survey_of(config: Config, where: str) -> Survey:
    """Return the survey of a file's routes against the OpenAPI document at an address or in a file.

    Raises `Refusal`.
    """
    document = _fetched(where) if where.startswith(("http://", "https://")) else _read(Path(where))
    try:
        return survey(config.policy, read_operations(document))
    except NotADocumentError as problem:
        raise Refusal(f"{where}: {problem}", (_WAY_OUT,)) from None


def print_survey(found: Survey) -> None:
    """Print a survey for people."""
    print_table(_HEADINGS, [_cells(one) for one in found.operations])
    lines = [("", "")]
    for kind, (short, words) in _WORDS.items():
        count = sum(one.mark == kind for one in found.operations)
        if count:
            lines.append((f"{short}: {counted(count, 'operation')} ({words})", "yellow"))
    lines += [(f"route {key}: no operation of the document meets it", "yellow") for key in found.unmet]
    lines.append((f"{counted(len(found.operations), 'operation')}, {counted(found.marks, 'mark')}", ""))
    print_lines(lines)


def report_of(found: Survey) -> dict[str, Any]:
    """Return a survey as `--json` prints it."""
    return {
        "operations": [
            {
                "method": one.operation.method,
                "path": one.operation.path,
                "route": one.route.key if one.route is not None else None,
                "who": one.who,
                "also": list(one.also),
                "mark": one.mark,
            }
            for one in found.operations
        ],
        "unmet_routes": list(found.unmet),
        "marks": found.marks,
    }


def _cells(one: Covered) -> tuple[str, str, str, str]:
    also = f" (for some values: {', '.join(one.also)})" if one.also else ""
    route = (one.route.key if one.route is not None else "-") + also
    short = _WORDS[one.mark][0] if one.mark is not None else ""
    return short, f"{one.operation.method} {one.operation.path}", one.who, route


_WAY_OUT: Final = (
    "Mastra serves its own at /api/openapi.json under `mastra dev`, or with `server: { build: { openAPIDocs: true } }`"
)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_BYTES)
    except OSError as problem:
        raise Refusal(f"cannot read {path} ({problem.strerror}), expected an OpenAPI document") from None


def _fetched(address: str) -> bytes:
    try:
        return fetched(address, _MAX_BYTES, _SECONDS)
    except UnfetchedError as problem:
        raise refused(address, problem, "an OpenAPI document", _WAY_OUT) from None
