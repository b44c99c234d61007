"""Names of claims in the file: literal, or a JSON Pointer when they begin with `/`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.config.document import Node, Text, kind_of
from gateway.config.readers import Mistake, Scalar, Schema
from gateway.config.reading import Reading, Unreadable

_POINTER = re.compile(r"(?:/(?:[^~/]|~[01])*)+")


def check_claim_name(written: str) -> str:
    """Return a claim's name. Raises `Mistake` for what is neither a name nor a JSON Pointer (RFC 6901)."""
    if not written.strip():
        raise Mistake("without a claim's name")
    if written.startswith("/") and not _POINTER.fullmatch(written):
        raise Mistake("that is no JSON Pointer of RFC 6901 (inside a name ~1 stands for '/', and ~0 for '~')")
    return written


CLAIM_NAME = Scalar("a claim's name, or a JSON Pointer such as /realm_access/roles", check_claim_name)


@dataclass(frozen=True, slots=True)
class _Separator:
    """One character between two names in a text. A space, which is nothing anywhere else, is one here."""

    def read(self, node: Node, reading: Reading) -> str:
        expected = 'one character that stands between two roles: " ", ",", ";" or "|"'
        if not isinstance(node, Text):
            reading.refuse(node, f"found {kind_of(node)}, expected {expected}")
        if node.is_broken:
            raise Unreadable
        separator = node.text
        if len(separator) != 1 or separator.isalnum() or not separator.isprintable():
            reading.refuse(node, f"found {node.shown}, expected {expected}")
        return separator

    def schema(self) -> Schema:
        return {"type": "string", "minLength": 1, "maxLength": 1}


SEPARATOR = _Separator()
