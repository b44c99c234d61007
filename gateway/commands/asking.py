"""What a command is told of a request: method, path, headers, a token or claims, a moment."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.commands.call import BadCall
from gateway.config.readers import Mistake, moment

_METHOD_HINT = "expected GET, POST, PUT, PATCH, DELETE, HEAD or OPTIONS"
_MAX_CLAIMS_BYTES = 1024 * 1024


def parse_target(text: str) -> tuple[str, str, str]:
    """Return scheme, host and target of a path, or of a whole address. Raises `BadCall`."""
    if text.startswith(("http://", "https://")):
        scheme, _, rest = text.partition("://")
        end = next((i for i, character in enumerate(rest) if character in "/?#"), len(rest))  # RFC 3986 section 3.2
        host, path = rest[:end], rest[end:]
        return scheme, host, path if path.startswith("/") else f"/{path}"
    if not text.startswith("/"):
        raise BadCall(f"the path {text!r} does not begin with '/'; expected something like /api/agents")
    return "http", "localhost", text


def parse_method(text: str) -> str:
    """Return a method. Raises `BadCall` for what is none; case counts (RFC 9110 section 9.1)."""
    if not text.isascii() or not text.isalpha():
        raise BadCall(f"{text!r} is no method; {_METHOD_HINT}")
    if text != text.upper():
        raise BadCall(f"{text!r} is no method; did you mean {text.upper()}? Methods are written in capitals")
    return text


def parse_headers(lines: Sequence[str]) -> list[tuple[str, str]]:
    """Return header lines of `Name: value`. Raises `BadCall`."""
    found: list[tuple[str, str]] = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadCall(f"--header {line[:40]!r} is no header; expected 'Name: value'")
        found.append((name, value.strip()))
    return found


def parse_moment(text: str | None, now: float) -> float:
    """Return a moment in Unix seconds: ISO 8601 (UTC unless it says else), or the seconds themselves; None is now."""
    if text is None:
        return now
    try:
        return moment().parse(text)
    except Mistake:
        raise BadCall(f"--at {text!r} is no moment; expected {moment().expected}") from None


def read_claims(text: str) -> dict[str, Any]:
    """Return the claims of a file, of standard input (`-`), or of JSON written on the spot. Raises `BadCall`."""
    return read_object(text, "--claims", 'the payload of a token: {"sub": ...}')


def read_object(text: str, option: str, expected: str) -> dict[str, Any]:
    """Return the object of a JSON file, of standard input (`-`), or written on the spot. Raises `BadCall`."""
    if text.lstrip().startswith("{"):
        where, written = option, text
    else:
        where, written = f"{option} {text}", _read(text, option)
    try:
        found = json.loads(written)
    except (ValueError, RecursionError) as problem:
        raise BadCall(f"{where} is no JSON: {problem}") from None
    if not isinstance(found, dict):
        raise BadCall(f"{where} is JSON, but no object; expected {expected}")
    return found


def read_token(text: str) -> str:
    """Return what was given as the token, or standard input for `-`, without space around it. Raises `BadCall`."""
    token = (_standard_input("--token") if text == "-" else text).strip()
    if not token:
        raise BadCall("--token is empty (is the variable set?); expected a token, or - to read one from standard input")
    return token


def _read(name: str, option: str) -> str:
    if name == "-":
        return _standard_input(option)
    try:
        return Path(name).read_text(encoding="utf-8")
    except OSError as problem:
        raise BadCall(f"{option} {name} cannot be read: {problem.strerror}") from None
    except UnicodeDecodeError:
        raise BadCall(f"{option} {name} is not UTF-8 text") from None


def _standard_input(flag: str) -> str:
    try:
        return sys.stdin.buffer.read(_MAX_CLAIMS_BYTES).decode("utf-8")
    except UnicodeDecodeError:
        raise BadCall(f"{flag} -: standard input is not UTF-8 text") from None
