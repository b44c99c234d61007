"""The file's own keys: every section, in one table."""

from __future__ import annotations

from gateway.config.addresses import UPSTREAM_URL
from gateway.config.audit import AUDIT
from gateway.config.budgets import BUDGETS
from gateway.config.cases import TESTS
from gateway.config.decisions import DECISIONS
from gateway.config.lists import MappingOf, check_name
from gateway.config.login import LOGIN
from gateway.config.observing import OBSERVING_FIELDS
from gateway.config.providers import ProviderReader
from gateway.config.records import Field, Record
from gateway.config.revoked import REVOKED_FILE
from gateway.config.route_fields import ROUTE_RECORD, Later
from gateway.config.server import SERVER_FIELDS
from gateway.config.shared import SHARED
from gateway.config.streams import STREAMS
from gateway.config.upstreams import UpstreamReader

UPSTREAM = Field("upstream", UPSTREAM_URL, "the address of the only upstream, which is then named `default`")
UPSTREAMS = Field(
    "upstreams", MappingOf(UpstreamReader(), check_name, "upstreams by name"), "the servers behind the gateway, by name"
)
PROVIDERS = Field(
    "providers", MappingOf(ProviderReader(), check_name, "providers by name"), "who issues tokens that count, by name"
)
RULES = Field(
    "rules",
    Later({"type": "object", "additionalProperties": {"$ref": "#/$defs/alternatives"}}),
    "rules by name, to be used by several routes",
)
ROUTES = Field(
    "routes",
    Later(
        {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"pattern": "^([A-Z]+(,[A-Z]+)* +)?/"},
            "additionalProperties": ROUTE_RECORD.schema(),
        }
    ),
    "what leads where, and past whom: `[METHOD,... ]/prefix`",
)
FILE_RECORD = Record(
    "the file",
    (
        *SERVER_FIELDS,
        *OBSERVING_FIELDS,
        AUDIT,
        DECISIONS,
        BUDGETS,
        SHARED,
        LOGIN,
        REVOKED_FILE,
        STREAMS,
        UPSTREAM,
        UPSTREAMS,
        PROVIDERS,
        RULES,
        ROUTES,
        TESTS,
    ),
)
