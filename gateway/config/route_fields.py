"""The keys of `routes:`, and what a route's own key may be."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from gateway.config.document import Node
from gateway.config.ownership import OWN_OF_ROUTE
from gateway.config.readers import BOOLEAN, Mistake, Schema
from gateway.config.reading import Reading
from gateway.config.records import Field, Record
from gateway.config.server import read_method
from gateway.config.streams import ROUTE_STREAMS
from gateway.config.targets import read_prefix
from gateway.policy.routes import Segment

_KEY = re.compile(r"(?:(?P<methods>[^/\s,]+(?:\s*,\s*[^/\s,]+)*)\s+)?(?P<prefix>\S.*)")
NAMES: Schema = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
RULES: Schema = {"$ref": "#/$defs/alternatives"}


@dataclass(frozen=True, slots=True)
class Later:
    """A value that is read when the rest of the file is known: names of providers, rules with a route's captures."""

    shape: Any

    def read(self, node: Node, _reading: Reading) -> Node:
        return node

    def schema(self) -> Schema:
        return dict(self.shape)


PUBLIC = Field("public", BOOLEAN, "let everybody in, without a token", "false")
PROVIDER = Field(
    "provider", Later(NAMES), "the provider whose tokens count, or several: the token's issuer picks among them"
)
OPTIONAL = Field(
    "optional",
    Later(NAMES),
    "in place of `public`: let everybody in, and tell who it is where a token of this provider, or of several, comes",
)
ALLOW = Field(
    "allow", Later(RULES), "who may pass: `authenticated`, a rule, the name of one, or a list of which one must hold"
)
DENY = Field("deny", Later(RULES), "who may not, in the same form; wins over `allow`, also where it cannot be decided")
UPSTREAM = Field(
    "upstream", Later({"type": "string"}), "the upstream's name; needed only when there are several", "the only one"
)
WEBSOCKET = Field("websocket", BOOLEAN, "let WebSocket connections through", "false")
EXACT = Field("exact", BOOLEAN, "cover the path alone, not what lies below", "false")
ENFORCE = Field("enforce", BOOLEAN, "`false`: refusals are only logged and counted, for trying a rule out", "true")
LOGIN_PAGES = Field(
    "login", BOOLEAN, "a page that asks without a session is sent to log in; a call gets its 401", "false"
)
MCP = Field(
    "mcp", BOOLEAN, "an MCP server: its clients are told where to log in, and tokens must be meant for it", "false"
)
BUDGET = Field("budget", Later(NAMES), "the budgets that a request uses up some of; all of them must have some left")
_FUNCTION = "a function becomes a rule, such as 'allow: {email_domain: yourcompany.com}'"
ROUTE_RECORD = Record(
    "routes",
    (
        PUBLIC,
        PROVIDER,
        OPTIONAL,
        ALLOW,
        DENY,
        UPSTREAM,
        WEBSOCKET,
        EXACT,
        ENFORCE,
        LOGIN_PAGES,
        MCP,
        OWN_OF_ROUTE,
        ROUTE_STREAMS,
        BUDGET,
    ),
    {"authorizeUser": _FUNCTION, "authorize": _FUNCTION},
)


@dataclass(frozen=True, slots=True)
class RouteKey:
    """`[METHOD,... ]/prefix`, read: no methods means any."""

    methods: frozenset[str] | None
    segments: tuple[Segment, ...]


def read_key(written: str) -> RouteKey:
    """Return what a route's key says. Raises `Mistake` with all its words."""
    found = _KEY.fullmatch(written)
    if found is None:
        raise Mistake("found no path, expected [METHOD,... ]/prefix, such as /api or 'GET,POST /api'")
    methods = _read_methods(found["methods"], found["prefix"]) if found["methods"] else None
    prefix = found["prefix"]
    try:
        return RouteKey(methods, read_prefix(prefix))
    except Mistake as mistake:
        raise Mistake(f"found a path {mistake}") from None


def _read_methods(written: str, prefix: str) -> frozenset[str]:
    names = [name.strip() for name in written.split(",")]
    for name in names:
        try:
            read_method(name)
        except Mistake as mistake:
            said = f" {mistake}" if str(mistake) else ""
            raise Mistake(f"found the method '{name}'{said}, expected GET, POST and their kind, then a path") from None
    if len(set(names)) < len(names):
        raise Mistake("found a method twice, expected each once")
    if written != ",".join(names):
        raise Mistake(f"found spaces between methods, expected '{','.join(names)} {prefix}'")
    return frozenset(names)
