"""One reading of a request target, or none.

A route judged on one path and served on another is the oldest hole of proxies (CVE-2025-54576,
CVE-2026-33494, CVE-2018-14773). So the path is brought to one canonical form, whatever could be read in
a second way is refused, and exactly the form that was judged is sent on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import unquote, unquote_to_bytes

from gateway.policy.reasons import Denied, Reason

# The common case in one match: segments of plain characters, none of them `.` or `..`.
_PLAIN = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9\-._~!$&'()*+,=:@]+)*/?")
_TARGET = re.compile(r"[\x21-\x7e]+")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})?")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_MAX_LEVELS = 4  # of percent-encoding; deeper nesting has no honest use


@dataclass(frozen=True, slots=True)
class Path:
    """A canonical path: its text as it is sent, and its segments (a closing slash adds none)."""

    text: str
    segments: tuple[str, ...]
    ends_with_slash: bool
    has_encoded_slash: bool = False

    def decoded(self, index: int) -> str:
        """Return one segment percent-decoded once, as a capture stands for it."""
        return unquote(self.segments[index], errors="strict")


def split_target(target: str) -> tuple[Path, str]:
    """Return the canonical path of a request target, and its query with the `?` (empty if there is none).

    The query is the client's, byte for byte. Raises `Denied` (TARGET_AMBIGUOUS).
    Source: RFC 3986 sections 3.3 and 6.2.2; WHATWG URL (which Node follows: `\\` is `/`, `%2e` is `.`).
    """
    if not target.startswith("/"):
        raise Denied(Reason.TARGET_AMBIGUOUS, "the target does not begin with '/'")
    if not _TARGET.fullmatch(target):
        raise Denied(Reason.TARGET_AMBIGUOUS, "the target holds a character outside printable ASCII")
    if "#" in target:
        raise Denied(Reason.TARGET_AMBIGUOUS, "the target holds a fragment")
    raw, mark, query = target.partition("?")
    return canonical_path(raw), mark + query


def canonical_path(raw: str) -> Path:
    """Return the one form of a path: unreserved characters decoded, hexadecimal digits in upper case.

    Raises `Denied` (TARGET_AMBIGUOUS) for everything that a second parser could read in another way:
    dot segments, empty segments, backslashes, control characters, bad escapes or UTF-8, in any encoding.
    """
    if _PLAIN.fullmatch(raw):
        return _path(raw)
    text = _ESCAPE.sub(_canonical_escape, raw)
    path = _path(text)
    has_encoded_slash = False
    for segment in path.segments:
        readings = _single_readings(segment)
        has_encoded_slash = has_encoded_slash or len(readings) > 1
    return replace(path, has_encoded_slash=has_encoded_slash)


def path_segments(prefix: str) -> tuple[str, ...]:
    """Return the segments of a route's prefix that is already in canonical form."""
    return tuple(prefix.strip("/").split("/")) if prefix.strip("/") else ()


def plain_readings(segment: str) -> tuple[str, ...]:
    """Return what a laxer parser could take a segment for, piece by piece, in lower case.

    Every level of encoding taken off, `;params` cut, white space trimmed, encoded slashes split. Used to
    refuse a segment that comes near a route's literal without being it: `/API`, `/api;x`, `/api%2Fx`.
    """
    text = _fully_decoded(segment)
    pieces = text.replace("\\", "/").split("/")
    return tuple(piece.partition(";")[0].strip().casefold() for piece in pieces)


def _path(text: str) -> Path:
    ends_with_slash = text.endswith("/")
    inner = text[1:-1] if ends_with_slash else text[1:]
    segments = tuple(inner.split("/")) if inner else ()
    if "" in segments or text == "//":
        raise Denied(Reason.TARGET_AMBIGUOUS, "the path has an empty segment")
    return Path(text, segments, ends_with_slash)


def _canonical_escape(match: re.Match[str]) -> str:
    if match[1] is None:
        raise Denied(Reason.TARGET_AMBIGUOUS, "a '%' is not followed by two hexadecimal digits")
    character = chr(int(match[1], 16))
    return character if character in _UNRESERVED else match[0].upper()


def _single_readings(segment: str) -> list[str]:
    """Return a segment fully decoded and split at encoded slashes, or refuse it."""
    if "%" in segment:
        try:
            unquote_to_bytes(segment).decode("utf-8", "strict")
        except UnicodeDecodeError:
            raise Denied(Reason.TARGET_AMBIGUOUS, "an escape is not UTF-8") from None
    text = _fully_decoded(segment)
    if "\\" in text:
        raise Denied(Reason.TARGET_AMBIGUOUS, "the path holds a backslash")
    readings = text.split("/")
    for reading in readings:
        bare = reading.partition(";")[0].strip()
        # `.` alone or between spaces, `..;a=b`, `%252e%252e`, `%20`, `;x`: some parser drops or climbs here.
        if bare in ("", ".", ".."):
            raise Denied(Reason.TARGET_AMBIGUOUS, "the path has a segment that is empty or of dots")
    if any(character < " " or character == "\x7f" for character in text):
        raise Denied(Reason.TARGET_AMBIGUOUS, "the path holds a control character")
    return readings


def _fully_decoded(segment: str) -> str:
    text = segment
    for _ in range(_MAX_LEVELS):
        if "%" not in text:
            return text
        further = unquote(text, errors="replace")
        if further == text:
            return text
        text = further
    raise Denied(Reason.TARGET_AMBIGUOUS, "the path is percent-encoded many times over")
