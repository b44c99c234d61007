"""`${NAME}`, `${NAME:-default}` and `$$` in a value that is parsed already.

What a variable holds is text and stays text: it can hold colons, quotes, line breaks or another `${...}`, and never
becomes structure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.config.variables import set_instead

_REFERENCE = re.compile(r"\$\$|\$\{(?P<inside>[^}]*)(?P<end>\}?)")
# How JavaScript names a variable: `process.env.NAME`, `import.meta.env.NAME`.
_JAVASCRIPT = re.compile(r"(?:process|import\.meta)\.env(?:\.|\[['\"])(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:['\"]\])?!?")
_INSIDE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>.*))?", re.DOTALL)


class SubstitutionError(ValueError):
    """A reference that cannot be replaced. `offset` is where it begins in the text, from 0."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


def substitute(text: str, environment: Mapping[str, str]) -> str:
    """Return a text with its variables replaced. A `$` before anything else but `{` and `$` is just itself.

    `:-` gives what counts when the variable is unset or empty, as in a shell. Raises `SubstitutionError`.
    """
    pasted = _JAVASCRIPT.fullmatch(text)
    if pasted is not None:
        raise SubstitutionError(f"found TypeScript ({text}), expected ${{{pasted['name']}}}", 0)
    if "$" not in text:
        return text
    pieces: list[str] = []
    end = 0
    for found in _REFERENCE.finditer(text):
        pieces.append(text[end : found.start()])
        pieces.append("$" if found[0] == "$$" else _value(found, environment))
        end = found.end()
    pieces.append(text[end:])
    return "".join(pieces)


def _value(found: re.Match[str], environment: Mapping[str, str]) -> str:
    if not found["end"]:
        raise SubstitutionError("'${' without its '}' (write '$$' for a plain dollar sign)", found.start())
    if "${" in found["inside"]:
        raise SubstitutionError("a '${...}' inside another one is not replaced", found.start())
    inside = _INSIDE.fullmatch(found["inside"])
    pasted = _JAVASCRIPT.fullmatch(found["inside"])
    if pasted is not None:
        raise SubstitutionError(f"found TypeScript ({found[0]}), expected ${{{pasted['name']}}}", found.start())
    if inside is None:
        raise SubstitutionError(
            "a '${...}' that names no variable, expected ${NAME} or ${NAME:-default} ('$$' is a plain dollar sign)",
            found.start(),
        )
    name, default = inside["name"], inside["default"]
    value = environment.get(name)
    if default is not None:
        return value or default
    if value is None:
        instead = set_instead(name, environment) or ", expected it there or in .env beside the file"
        raise SubstitutionError(f"the environment variable {name} is not set{instead}", found.start())
    return value
