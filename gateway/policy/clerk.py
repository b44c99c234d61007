"""Kinds of Clerk's tokens: one key signs them all, and only what the header and the subject say tells them apart.

| kind | the header's `typ` | the header's `cat` | the subject |
| --- | --- | --- | --- |
| session | JWT | of sessions, or none | a user |
| template | JWT | of templates | a user |
| oauth | at+jwt (RFC 9068) | none, or any but these two | a user |
| machine | JWT | of machines, or none | `mch_...` |

Source: `cat` and `typ` in @clerk/backend, which names the categories; an instance may also be told to write one that
says nothing (`cl_I7d4PD111III`). What fits in no row is of no kind, and counts nowhere.
"""

from __future__ import annotations

from typing import Final

from gateway.policy.providers import ClerkKind, Provider
from gateway.policy.token import Token

_ACCESS_TOKEN: Final = frozenset({"at+jwt", "application/at+jwt"})


def kind_of(token: Token, provider: Provider) -> ClerkKind | None:
    """Return of which kind a token of Clerk is; None where its parts contradict each other, or are unknown."""
    said = category_of(token, provider)
    is_of_machine = is_machine(token, provider)
    typ = token.header.get("typ")
    if isinstance(typ, str) and typ.lower() in _ACCESS_TOKEN:
        return None if is_of_machine or said in ("session", "template") else "oauth"
    if is_of_machine:
        return "machine" if said in ("", "machine") else None
    if said == "":
        return "session"
    return said if said == "session" or said == "template" else None


def category_of(token: Token, provider: Provider) -> ClerkKind | None:
    """Return the kind that the header's `cat` names; empty where it says nothing, None where it is unknown."""
    if "cat" not in token.header:
        return ""
    category = token.header["cat"]
    return provider.preset.categories.get(category) if isinstance(category, str) else None


def is_machine(token: Token, provider: Provider) -> bool:
    """True if the token's own subject is a machine, whatever `subject_claim` names."""
    subject = token.claims.get("sub")
    return isinstance(subject, str) and subject.startswith(provider.preset.machine_prefix)
