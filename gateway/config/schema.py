"""The JSON Schema (2020-12) of the file, from the same tables that read it, for editors."""

from __future__ import annotations

from gateway.config.conditions import READERS
from gateway.config.readers import BOOLEAN, Schema
from gateway.config.sections import FILE_RECORD


def json_schema() -> Schema:
    """Return the schema. It accepts every file that is read without a mistake; not every refusal can be said in it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "gateway.yaml: an auth gateway in front of a Mastra server",
        **FILE_RECORD.schema(),
        "required": ["routes"],
        "oneOf": [{"required": ["upstream"]}, {"required": ["upstreams"]}],
        "$defs": {"alternatives": _alternatives(), "rule": _rule()},
    }


def _alternatives() -> Schema:
    one: Schema = {"$ref": "#/$defs/rule"}
    return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}


def _rule() -> Schema:
    """A rule: a name, or conditions that must all hold."""
    rule: Schema = {"$ref": "#/$defs/rule"}
    many: Schema = {"type": "array", "items": rule, "minItems": 1}
    conditions: Schema = {name: {**one.reader.schema(), "description": one.meaning} for name, one in READERS.items()}
    trees: Schema = {
        "include_subdomains": {
            **BOOLEAN.schema(),
            "description": "whether `email_domain` also means what lies below it",
        },
        "enforce": {
            **BOOLEAN.schema(),
            "description": "false: what the rule says is logged and counted, and stops nobody (default: true)",
        },
        "any": {**many, "description": "at least one of these rules holds"},
        "all": {**many, "description": "all of these rules hold"},
        "not": {**rule, "description": "the rule does not hold; one that cannot be decided does not help"},
        "when": {"type": "string", "description": "a CEL expression that is true"},
    }
    mapping: Schema = {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": False,
        "properties": {**conditions, **trees},
        "dependentRequired": {"include_subdomains": ["email_domain"]},
    }
    return {"anyOf": [{"type": "string", "description": "`authenticated`, or the name of a rule"}, mapping]}
