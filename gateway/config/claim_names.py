"""Names of claims in the file: literal, or a JSON Pointer when they begin with `/`."""

from __future__ import annotations

import re

from gateway.config.readers import Mistake, Scalar

_POINTER = re.compile(r"(?:/(?:[^~/]|~[01])*)+")


def check_claim_name(written: str) -> str:
    """Return a claim's name. Raises `Mistake` for what is neither a name nor a JSON Pointer (RFC 6901)."""
    if not written.strip():
        raise Mistake("without a claim's name")
    if written.startswith("/") and not _POINTER.fullmatch(written):
        hint = "expected /a/b, with ~1 for '/' and ~0 for '~' inside a name"
        raise Mistake(f"that is no JSON Pointer (RFC 6901), {hint}")
    return written


CLAIM_NAME = Scalar("a claim's name, or a JSON Pointer such as /realm_access/roles", check_claim_name)
