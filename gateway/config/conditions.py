"""The conditions of a rule, one row each: how it is read, what it means, its place in the schema."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from gateway.config.addresses import NETWORK
from gateway.config.claim_names import check_claim_name
from gateway.config.document import Entry, Fields, Items, Node, Text, kind_of
from gateway.config.domains import EMAIL, EMAIL_DOMAIN
from gateway.config.json_values import json_scalar
from gateway.config.lists import some
from gateway.config.mastra import MastraReader
from gateway.config.readers import Mistake, Reader, Scalar, Schema, duration, one_of, text
from gateway.config.reading import Reading, Unreadable, attempt_each
from gateway.config.records import Field, Record
from gateway.config.server import METHOD
from gateway.config.targets import RULE_PATH
from gateway.policy.callers import CallerKind
from gateway.policy.claim_names import steps_of
from gateway.policy.freshness import Fresh
from gateway.policy.rules import (
    AddressIn,
    AllOf,
    Claim,
    EmailDomain,
    Equals,
    HasAll,
    HasAny,
    MethodIs,
    PathUnder,
    Rule,
)


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition: what reads it, and what it means to whoever writes it."""

    reader: Reader[Rule]
    meaning: str
    example: str


@dataclass(frozen=True, slots=True)
class _Made:
    """Values of one kind, made into a condition."""

    values: Reader[Any]
    make: Callable[[Any], Rule]

    def read(self, node: Node, reading: Reading) -> Rule:
        return self.make(self.values.read(node, reading))

    def schema(self) -> Schema:
        return self.values.schema()


def _scope_name(written: str) -> str:
    if re.search(r"[\s,]", written):
        parts = [part for part in re.split(r"[\s,]+", written) if part]
        raise Mistake(f"with a space or comma (did you mean [{', '.join(parts)}]?)")
    return written


class _Claims:
    """`claim: {NAME: x}`: every claim that is named must fit."""

    def read(self, node: Node, reading: Reading) -> Rule:
        if not isinstance(node, Fields) or not node.entries:
            reading.refuse(node, f"found {kind_of(node)}, expected a claim's name and its value: {{plan: enterprise}}")
        _warn_of_a_pair(node, reading)
        claims = attempt_each(_claim, node.entries, reading)
        return claims[0] if len(claims) == 1 else AllOf(claims)

    def schema(self) -> Schema:
        one: Schema = {"type": ["string", "number", "boolean", "null"]}
        value: Schema = {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}
        return {"type": "object", "minProperties": 1, "additionalProperties": value}


WITHIN = Field("within", duration(), "how long ago the login was at most")
ACR = Field("acr", some(text("a class such as mfa"), "classes"), "`acr` of the token is one of these")
AMR = Field("amr", some(text("a method such as otp"), "methods"), "`amr` of the token holds one of these")
FRESH_RECORD = Record("fresh", (WITHIN, ACR, AMR))


class _Fresh:
    """`fresh: {within: 10m}`: what a login must be."""

    def read(self, node: Node, reading: Reading) -> Rule:
        values = FRESH_RECORD.read(node, reading)
        if values.broken:
            raise Unreadable
        if not values.nodes:
            reading.refuse(node, "found an empty mapping, expected 'within', 'acr' or 'amr': {within: 10m}")
        return Fresh(values.get(WITHIN), values.get(ACR, ()), values.get(AMR, ()))

    def schema(self) -> Schema:
        return {**FRESH_RECORD.schema(), "minProperties": 1}


# How a claim and its value are written elsewhere: `{name: plan, equals: free}` asks for two claims here.
_NAMES, _VALUES = {"name", "claim", "key", "path"}, {"equals", "value", "values", "is", "eq", "in", "contains", "has"}


def _warn_of_a_pair(node: Fields, reading: Reading) -> None:
    entries = {entry.key.text.lower(): entry for entry in node.entries}
    name = next((entries[word] for word in entries if word in _NAMES), None)
    value = next((entries[word] for word in entries if word in _VALUES), None)
    if name is None or value is None or len(entries) > 2 or not isinstance(name.value, Text):
        return
    meant = value.value.shown if isinstance(value.value, Text) else "[...]"
    words = (
        f"this asks for two claims, '{name.key.text}' and '{value.key.text}'; a claim's name stands before the colon "
        f"(did you mean {{{name.value.shown}: {meant}}}?)"
    )
    reading.warn(name.key.place, words)


def _claim(entry: Entry, reading: Reading) -> Claim:
    key, value = entry.key, entry.value
    name = key.text
    if not name:
        reading.refuse_at(key.place, "found an empty name, expected a claim's")
    try:
        check_claim_name(name)
    except Mistake as mistake:
        reading.refuse_at(key.place, f"found something {mistake}")
    members = value.members if isinstance(value, Items) else (value,)
    if not members:
        reading.refuse(value, "found an empty list, expected the value that the claim must have, or several")
    return Claim(name, steps_of(name), attempt_each(json_scalar, members, reading))


def _texts(expected: str, make: Callable[[tuple[str, ...]], Rule]) -> _Made:
    return _Made(some(text(expected), expected), make)


_SCOPES = Scalar("a scope such as agents:run", _scope_name)
READERS: dict[str, Condition] = {
    "email_domain": Condition(
        _Made(some(EMAIL_DOMAIN, "domains"), lambda domains: EmailDomain(frozenset(domains))),
        "the email's domain is one of these, compared whole, in any case",
        "[yourcompany.com, yourcompany.co.uk]",
    ),
    "email": Condition(
        _Made(some(EMAIL, "emails"), lambda values: Equals("email", frozenset(values))),
        "the email is one of these",
        "alice@yourcompany.com",
    ),
    "subject": Condition(
        _texts("a subject", lambda values: Equals("subject", frozenset(values))),
        "the subject is one of these",
        "user-17",
    ),
    "organization": Condition(
        _texts("an organization's id", lambda values: Equals("organization", frozenset(values))),
        "the organization's id is one of these",
        "org_2aBcD",
    ),
    "client": Condition(
        _texts("a client's id", lambda values: Equals("client", frozenset(values))),
        "the client's id (`azp`, `client_id`, `cid` or `appid`) is one of these",
        "batch-runner",
    ),
    "kind": Condition(
        _Made(some(one_of(*get_args(CallerKind)), "kinds"), lambda values: Equals("kind", frozenset(values))),
        "the caller is a `human`, a `service` (a program with a token or key of its own) or an `agent` (its token has "
        "`act`)",
        "human",
    ),
    "actor": Condition(
        _texts("an actor's subject", lambda values: Equals("actor", frozenset(values))),
        "who acts for the caller (`sub` of the innermost `act`) is one of these; nobody is none of them",
        "agent-7",
    ),
    "role": Condition(
        _texts("a role", lambda values: HasAny("roles", frozenset(values))),
        "the caller has any of these roles",
        "[admin, owner]",
    ),
    "group": Condition(
        _texts("a group", lambda values: HasAny("groups", frozenset(values))),
        "the caller is in any of these groups",
        "ops",
    ),
    "scope": Condition(
        _Made(some(_SCOPES, "scopes"), lambda values: HasAll("scopes", values)),
        "the token has all of these scopes (`scope` and `scp`, string or array)",
        "[agents:run, agents:read]",
    ),
    "permission": Condition(
        _texts("a permission", lambda values: HasAll("permissions", values)),
        "the caller has all of these permissions",
        "[agents:run, agents:read]",
    ),
    "claim": Condition(
        _Claims(),
        "each claim named equals the value, or contains it where it is an array; a list means any of these",
        "{https://example.com/plan: enterprise}",
    ),
    "mastra": Condition(
        MastraReader(),
        "the caller has this role of Mastra's (viewer, member, admin, owner) or a greater one, and it covers what "
        "Mastra asks for on the route; or what Mastra asks for there is one of these permissions",
        "viewer",
    ),
    "fresh": Condition(
        _Fresh(),
        "the login was `within` this time, in one of the classes `acr`, by one of the methods `amr`, of which at least "
        "one is named",
        "{within: 10m, acr: [mfa]}",
    ),
    "method": Condition(
        _Made(some(METHOD, "methods"), lambda methods: MethodIs(frozenset(methods))),
        "the method is one of these",
        "[GET, HEAD]",
    ),
    "path": Condition(
        _Made(some(RULE_PATH, "paths"), PathUnder), "the path is one of these, or below it", "/api/agents/weatherAgent"
    ),
    "ip": Condition(
        _Made(some(NETWORK, "networks"), AddressIn), "the client's address is in one of these networks", "10.0.0.0/8"
    ),
}
