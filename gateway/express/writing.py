"""Heads as they are written to a socket."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from gateway.policy.onward import Line

STATUS_LINES = {int(status): f"HTTP/1.1 {int(status)} {status.phrase}\r\n".encode() for status in HTTPStatus}


def written(lines: Sequence[Line]) -> bytes:
    """Return header lines as they are written. Raises `ValueError` for one that would make two."""
    text = "".join([f"{name}: {value}\r\n" for name, value in lines])
    if text.count("\r\n") != len(lines) or text.count("\n") != len(lines):
        raise ValueError("a header holds a line break")  # response splitting: the parsers already refuse these
    return text.encode("utf-8", "surrogateescape")
