"""Values as JSON has them, written in YAML: nothing is guessed that JSON would not say."""

from __future__ import annotations

import re
from typing import Any

from gateway.config.document import Fields, Items, Node, Text, kind_of
from gateway.config.readers import Schema
from gateway.config.reading import Reading, Unreadable, attempt_each
from gateway.policy.likeness import Value

# RFC 8259 section 6; `010`, `1_000` and `0x1F` are text.
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,18})(?:\.[0-9]{1,18})?(?:[eE][+-]?[0-9]{1,2})?")


class JsonObject:
    """A mapping read as a JSON object, whatever is in it: the claims of a token."""

    def read(self, node: Node, reading: Reading) -> dict[str, Any]:
        """Return the object. Raises `Unreadable`."""
        if not isinstance(node, Fields):
            reading.refuse(node, f"found {kind_of(node)}, expected names and values: {{email: ann@yourcompany.com}}")
        value: dict[str, Any] = _json_tree(node, reading)
        return value

    def schema(self) -> Schema:
        """Return the schema."""
        return {"type": "object"}


def _json_tree(node: Node, reading: Reading) -> Any:
    match node:
        case Fields(entries=entries):
            values = attempt_each(_json_tree, [entry.value for entry in entries], reading)
            return {entry.key.text: value for entry, value in zip(entries, values, strict=True)}
        case Items(members=items):
            return list(attempt_each(_json_tree, items, reading))
        case Text():
            return json_scalar(node, reading)


def json_scalar(node: Node, reading: Reading) -> Value:
    """Return what a scalar is in JSON. Quoted, or from a variable, it is always text."""
    if not isinstance(node, Text):
        reading.refuse(node, f"found {kind_of(node)}, expected text, a number, true, false or null")
    if node.is_broken:
        raise Unreadable
    if node.style == "plain" and node.written == node.text:
        if node.text in ("true", "false"):
            return node.text == "true"
        if node.text == "null":
            return None
        if node.text in ("", "~"):
            reading.refuse(node, "found nothing, expected the value that the claim must have ('' is an empty text)")
        if _INTEGER.fullmatch(node.text):
            return int(node.text)
        if _DECIMAL.fullmatch(node.text):
            return float(node.text)
    return node.text
