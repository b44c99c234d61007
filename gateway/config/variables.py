"""Names of variables: those that front-end frameworks give to what the file looks for under its plain name."""

from __future__ import annotations

from collections.abc import Mapping

# What a bundler lets into a browser's code begins with one of these. The value is the same, and no secret.
PREFIXES = ("NEXT_PUBLIC_", "VITE_", "PUBLIC_", "NUXT_PUBLIC_", "REACT_APP_", "EXPO_PUBLIC_", "GATSBY_")
# What other libraries call the same thing.
_SAME = {
    "AUTH0_AUDIENCE": ("AUTH0_API_AUDIENCE", "AUTH0_API_IDENTIFIER"),
    "MASTRA_JWT_SECRET": ("JWT_AUTH_SECRET", "JWT_SECRET"),
}


def plain_name(name: str) -> str:
    """Return a name without the prefix of a framework."""
    return next((name.removeprefix(prefix) for prefix in PREFIXES if name.startswith(prefix)), name)


def with_prefixes(name: str, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names under which frameworks keep a variable, as far as they are set; not its own name."""
    return tuple(prefix + name for prefix in PREFIXES if environment.get(prefix + name, "").strip())


def set_instead(name: str, environment: Mapping[str, str]) -> str:
    """Return ` (NEXT_PUBLIC_X is: write ${NEXT_PUBLIC_X})` for a variable that is there under another name, or nothing.

    Only names are looked at, and only those that stand for the same: whatever else the environment holds is not shown.
    """
    plain = plain_name(name)
    names = (plain, *(prefix + plain for prefix in PREFIXES), *_SAME.get(plain, ()))
    other = next((one for one in names if one != name and environment.get(one, "").strip()), None)
    return f" ({other} is: write ${{{other}}})" if other is not None else ""
