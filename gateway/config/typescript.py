"""TypeScript in place of YAML: what somebody pastes who comes from Mastra's own classes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

# Mastra's class, in lower case, and the type that does the same.
CLASSES: Mapping[str, str] = {
    "mastrajwtauth": "jwt",
    "mastraauthclerk": "clerk",
    "mastraauthauth0": "auth0",
    "mastraauthsupabase": "supabase",
    "mastraauthworkos": "workos",
    "mastraauthbetterauth": "better_auth",
}
_VARIABLES = {
    "jwt": "MASTRA_JWT_SECRET",
    "clerk": "CLERK_PUBLISHABLE_KEY",
    "auth0": "AUTH0_DOMAIN and AUTH0_AUDIENCE",
    "supabase": "SUPABASE_URL",
    "workos": "WORKOS_CLIENT_ID",
    "better_auth": "BETTER_AUTH_URL",
}
_STATEMENT = re.compile(
    r"^\s*(?:import\s+(?:type\s+)?(?:[\w*{]|['\"]).*|export\s+(?:const|default|async|function)\b.*|(?:const|let)\s+\w+.*=.*)$"
)
_CLASS = re.compile(r"\bnew\s+(Mastra\w*)\s*\(")


def find_typescript(lines: Sequence[str]) -> tuple[int, int, str] | None:
    """Return line and column, from 1, of the first TypeScript in a text that is no YAML, and what to write.

    Comments are passed over. Nothing of the text but the name of Mastra's class is in the words.
    """
    code = [(number, line) for number, line in enumerate(lines, start=1) if not line.lstrip().startswith(("#", "//"))]
    found = next(((number, *_in(line)) for number, line in code if _in(line) is not None), None)  # type: ignore[misc]
    if found is None:
        return None
    number, column, what = found
    names = [name for _, line in code for name in _CLASS.findall(line)]
    kind = next((CLASSES[name.lower()] for name in names if name.lower() in CLASSES), None)
    way = "such as 'staff: {type: clerk}'"
    if kind is not None:
        way = f"'staff: {{type: {kind}}}', with {_VARIABLES[kind]} in the environment or in .env"
    start = f"`gateway init{f' --type {kind}' if kind else ''}` writes the file"
    return number, column, f"found TypeScript ({what}), expected YAML: below 'providers:' a line {way} ({start})"


def _in(line: str) -> tuple[int, str] | None:
    """Return the column, from 1, and what is TypeScript in a line."""
    made = _CLASS.search(line)
    if made is not None:
        return made.start() + 1, f"new {made[1]}(...)"
    if _STATEMENT.match(line) is not None:
        return len(line) - len(line.lstrip()) + 1, f"'{line.split()[0]}'"
    return None
