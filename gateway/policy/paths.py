"""One reading of a request target, or none.

A route judged on one path and served on another is the oldest hole of proxies (CVE-2025-54576,
CVE-2026-33494, CVE-2018-14773). So the path is brought to one canonical form, whatever could be read in
a second way is refused, and exactly the form that was judged is sent on.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import unquote

from gateway.policy.denied import Denied
from gateway.policy.reasons import Reason

# The common case in one match: segments of plain characters, none of them `.` or `..`.
_PLAIN: Final = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9\-._~!$&'()*+,=:@]+)*/?")
_TARGET: Final = re.compile(r"[\x21-\x7e]+")
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
# What an escape becomes, by its two digits in any case: a look for each costs a stranger less of us than a call.
_HEX: Final = "0123456789ABCDEFabcdef"
_CANONICAL_ESCAPES: Final = {
    a + b: chr(int(a + b, 16)) if chr(int(a + b, 16)) in _UNRESERVED else f"%{a}{b}".upper() for a in _HEX for b in _HEX
}
_END_OF_NAME: Final = re.compile(r"[;?#]")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_MAX_LEVELS: Final = 4  # of percent-encoding; deeper nesting has no honest use
# What comes before authentication is bounded (CWE-400): nobody honest has so many, and each costs a look of its own.
MAX_SEGMENTS: Final = 128
MAX_ESCAPES: Final = 1024  # some 340 characters of Japanese


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

    The query is the client's, byte for byte. Raises `Denied` (TARGET_AMBIGUOUS, TARGET_TOO_LONG).
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
    dot segments, empty segments, backslashes, control characters, bad escapes or UTF-8, in any encoding;
    TARGET_TOO_LONG for more than `MAX_SEGMENTS` or `MAX_ESCAPES`.
    """
    if raw.count("/") - raw.endswith("/") > MAX_SEGMENTS:
        raise Denied(Reason.TARGET_TOO_LONG, f"the path has more than {MAX_SEGMENTS} segments")
    if raw.count("%") > MAX_ESCAPES:
        raise Denied(Reason.TARGET_TOO_LONG, f"the path has more than {MAX_ESCAPES} escapes")
    if _PLAIN.fullmatch(raw):
        return _path(raw)
    path = _path(_with_canonical_escapes(raw))
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

    Every level of encoding taken off, `;params` cut, white space and closing dots trimmed, encoded slashes split, and
    characters that only look different brought together (Unicode's compatibility form). Used to refuse a segment that
    comes near a route's literal without being it: `/API`, `/api;x`, `/api%2Fx`.
    """
    text = unicodedata.normalize("NFKC", _fully_decoded(segment))
    pieces = text.replace("\\", "/").split("/")
    # Decoded once more, `?` and `#` end a path as well.
    return tuple(_END_OF_NAME.split(piece, 1)[0].strip().rstrip(". ").casefold() for piece in pieces)


def is_under(segments: tuple[str, ...], prefix: tuple[str, ...]) -> bool | None:
    """Return whether a path's segments are a prefix or below it; None if only a laxer parser could think so.

    Express reads `/a/Admin` as `/a/admin`, servlet containers drop `;x`, many split at `%2F` (CVE-2025-54576 and its
    kind): such a path is clearly neither below the prefix nor beside it.
    """
    if segments[: len(prefix)] == prefix:
        return True
    # As many pieces as the prefix has, and no more: a segment gives one piece at least.
    lax = [reading for segment in segments[: len(prefix)] for reading in plain_readings(segment)]
    wanted = [reading for segment in prefix for reading in plain_readings(segment)]
    return None if lax[: len(wanted)] == wanted else False


def _path(text: str) -> Path:
    ends_with_slash = text.endswith("/")
    inner = text[1:-1] if ends_with_slash else text[1:]
    segments = tuple(inner.split("/")) if inner else ()
    if "" in segments or text == "//":
        raise Denied(Reason.TARGET_AMBIGUOUS, "the path has an empty segment")
    return Path(text, segments, ends_with_slash)


def _with_canonical_escapes(raw: str) -> str:
    first, *rest = raw.split("%")
    try:
        return first + "".join([_CANONICAL_ESCAPES[piece[:2]] + piece[2:] for piece in rest])
    except KeyError:
        problem = "a '%' is not followed by two hexadecimal digits"
        raise Denied(Reason.TARGET_AMBIGUOUS, problem) from None


def _single_readings(segment: str) -> list[str]:
    """Return a segment fully decoded and split at encoded slashes, or refuse it."""
    try:
        once = unquote(segment, errors="strict")
    except UnicodeDecodeError:
        raise Denied(Reason.TARGET_AMBIGUOUS, "an escape is not UTF-8") from None
    text = _fully_decoded(once, _MAX_LEVELS - 1)
    if "\\" in text:
        raise Denied(Reason.TARGET_AMBIGUOUS, "the path holds a backslash")
    readings = text.split("/")
    for reading in unicodedata.normalize("NFKC", text).split("/"):
        bare = reading.partition(";")[0].strip()
        # `.` alone or between spaces, `..;a=b`, `%252e%252e`, `%20`, `;x`, dots of full width: some parser drops or
        # climbs here.
        if bare in ("", ".", ".."):
            raise Denied(Reason.TARGET_AMBIGUOUS, "the path has a segment that is empty or of dots")
    if _CONTROL.search(text):
        raise Denied(Reason.TARGET_AMBIGUOUS, "the path holds a control character")
    return readings


def _fully_decoded(segment: str, levels: int = _MAX_LEVELS) -> str:
    text = segment
    for _ in range(levels):
        if "%" not in text:
            return text
        further = unquote(text, errors="replace")
        if further == text:
            return text
        text = further
    raise Denied(Reason.TARGET_AMBIGUOUS, "the path is percent-encoded many times over")
