"""Paths in the file: the prefixes of routes with their captures, and those of rules."""

from __future__ import annotations

import re
from urllib.parse import quote

from gateway.config.readers import Mistake, Scalar
from gateway.policy.denied import Denied
from gateway.policy.expressions import VARIABLES
from gateway.policy.paths import canonical_path
from gateway.policy.routes import Capture, Segment

_CAPTURE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
# What CEL keeps for itself: a capture of such a name could not be used in `when`.
_CEL_WORDS = frozenset(
    {
        "as",
        "break",
        "const",
        "continue",
        "else",
        "false",
        "for",
        "function",
        "if",
        "import",
        "in",
        "let",
        "loop",
        "null",
        "package",
        "namespace",
        "return",
        "true",
        "var",
        "void",
        "while",
    }
)
_TAKEN = _CEL_WORDS | {name.partition(".")[0] for name in VARIABLES}


def read_prefix(written: str) -> tuple[Segment, ...]:
    """Return the segments of a route's prefix, which is in canonical form. Raises `Mistake`."""
    if not written.startswith("/"):
        raise Mistake(f"without a '/' in front (did you mean '/{written}'?)")
    if written == "/":
        return ()
    if "?" in written or "#" in written:
        raise Mistake("with a query or fragment, expected a path alone")
    if written.endswith(("/*", "/**")):
        bare = written.rstrip("*").rstrip("/") or "/"
        raise Mistake(f"with a '*' (did you mean '{bare}'? A prefix covers what lies below)")
    if written.endswith("/"):
        raise Mistake(f"with a '/' at its end (did you mean '{written.rstrip('/') or '/'}'?)")
    segments = tuple(_read_segment(segment, written) for segment in written[1:].split("/"))
    names = [segment.name for segment in segments if isinstance(segment, Capture)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise Mistake(f"with the capture {{{twice}}} twice, expected a name for each")
    return segments


def _read_segment(segment: str, written: str) -> Segment:
    found = _CAPTURE.fullmatch(segment)
    if found is not None:
        if found[1] in _TAKEN:
            raise Mistake(f"with the capture {{{found[1]}}}, a name that expressions use for something else")
        return Capture(found[1])
    if re.fullmatch(r":[A-Za-z_]\w*", segment):
        raise Mistake(f"with '{segment}' (did you mean '{{{segment[1:]}}}'?)")
    if "{" in segment or "}" in segment:
        raise Mistake("with a capture that is not a whole segment of letters, digits and '_', such as {agent}")
    if "*" in segment:
        raise Mistake("with a '*', expected a capture such as {agent} for one segment")
    _check_literal(segment, written)
    return segment


def _check_literal(segment: str, written: str) -> None:
    if not segment:
        raise Mistake(f"with an empty segment (did you mean '{re.sub('/+', '/', written)}'?)")
    if not re.fullmatch(r"[\x21-\x7e]+", segment):
        raise Mistake(f"with a character that a request writes in another way: '{quote(segment, errors='replace')}'")
    try:
        path = canonical_path("/" + segment)
    except Denied as refusal:
        raise Mistake(f"that no request can have: {refusal.detail}") from None
    if path.has_encoded_slash:
        raise Mistake("with an encoded slash, which no route can hold (a capture stands for it)")
    if path.segments != (segment,):
        raise Mistake(f"that is not in canonical form (did you mean '{path.segments[0]}' for '{segment}'?)")


def _rule_path(written: str) -> tuple[str, ...]:
    segments = read_prefix(written)
    literals = tuple(segment for segment in segments if isinstance(segment, str))
    if len(literals) < len(segments):
        raise Mistake("with a capture, which only the key of a route can have")
    return literals


RULE_PATH = Scalar("a path such as /api/agents", _rule_path)
