"""`.env` beside the file: variables that count where the real environment has none of the name."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.config.document import ConfigError, Problem

NAME = ".env"
SWITCH = "GATEWAY_ENV_FILE"  # `off`: it is not read. A variable, so that workers hear it as well
_MAX_BYTES = 1024 * 1024
_LINE = "expected NAME=VALUE, export NAME=VALUE or a comment"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The variables for a file: those of the process, then those of `.env`. `watched`: what may change them."""

    variables: Mapping[str, str]
    watched: tuple[Path, ...] = ()
    problems: tuple[Problem, ...] = ()


def surroundings_of(file: Path, environment: Mapping[str, str]) -> Surroundings:
    """Return what the variables of a file may come from. Mistakes are in it; the lines without one count."""
    path = file.parent / NAME
    if environment.get(SWITCH) == "off":
        return Surroundings(environment)
    if not path.is_file():  # a folder of this name holds somebody's Python
        return Surroundings(environment, (path,))
    try:
        found, problems = read_lines(str(path), path.read_bytes())
    except OSError as problem:
        said = f"the file cannot be read: {problem.strerror or type(problem).__name__}"
        return Surroundings(environment, (path,), (Problem(str(path), 0, 0, "", said),))
    return Surroundings({**found, **environment}, (path,), problems)


def variables_beside(file: Path, environment: Mapping[str, str]) -> Mapping[str, str]:
    """Return the variables for a file, for what is read beside it. Raises `ConfigError`."""
    found = surroundings_of(file, environment)
    if found.problems:
        raise ConfigError(found.problems)
    return found.variables


def read_lines(name: str, data: bytes) -> tuple[dict[str, str], tuple[Problem, ...]]:
    """Return the variables of a `.env` file, and the lines that are none. No value is shown.

    Quotes, escapes, `export` and comments are read as everybody does; `$` is just itself, so that no secret is changed.
    """
    if len(data) > _MAX_BYTES:
        return {}, (Problem(name, 0, 0, "", f"found {len(data)} bytes, expected at most 1 MiB"),)
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        found = f"found the byte 0x{data[problem.start]:02x}, expected UTF-8 text"
        return {}, (Problem(name, line, 1, "", found),)
    from dotenv.parser import parse_stream  # most files have none beside them

    variables: dict[str, str] = {}
    problems: list[Problem] = []
    for binding in parse_stream(io.StringIO(text)):
        written = binding.original.string
        line = binding.original.line + len(written) - len(written.lstrip("\n"))
        if binding.error or (binding.key is not None and binding.value is None):
            problems.append(Problem(name, line, 1, "", f"found a line that cannot be read, {_why(written)}"))
        elif binding.key is not None and "\0" in (binding.value or ""):
            problems.append(Problem(name, line, 1, binding.key, "found a NUL, which no variable can hold"))
        elif binding.key is not None:
            variables[binding.key] = binding.value or ""
    return variables, tuple(problems)


def _why(written: str) -> str:
    """Return what is expected in place of a line that cannot be read."""
    value = written.partition("=")[2].strip()
    quote = value[:1]
    if quote not in ("'", '"'):
        return _LINE
    if quote in value[1:]:
        return f"expected nothing but a comment behind the closing {quote}"
    return f"expected a closing {quote} (a value that begins with a quote ends with the same one)"
