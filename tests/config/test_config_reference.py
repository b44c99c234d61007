"""The reference page and the JSON Schema: nothing that can be written is missing, nothing told is wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from gateway.config.audit import AUDIT_RECORD
from gateway.config.budgets import BUDGET_RECORD
from gateway.config.cases import CASE_RECORD
from gateway.config.conditions import READERS
from gateway.config.document import Source
from gateway.config.key_requests import JWKS_RECORD
from gateway.config.login import LOGIN_RECORD, SESSION_RECORD
from gateway.config.observing import LOG_RECORD
from gateway.config.ownership import OWN_RECORD
from gateway.config.parse import parse
from gateway.config.presets import PRESETS
from gateway.config.provider_fields import KINDS, RECORDS
from gateway.config.reading import Reading
from gateway.config.records import Field, Record
from gateway.config.route_fields import ROUTE_RECORD
from gateway.config.rules import KEYS
from gateway.config.schema import json_schema
from gateway.config.sections import FILE_RECORD
from gateway.config.server import CORS_RECORD, LIMITS_RECORD, TLS_RECORD
from gateway.config.shared import SHARED_RECORD
from gateway.config.streams import STREAMS_RECORD
from gateway.config.upstreams import IDENTITY_RECORD, STUDIO_RECORD, UPSTREAM_RECORD
from tests.configuring import SECRET, read
from tests.keyserver import private_key, public_pem, to_jwk

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "configuration.md").read_text(encoding="utf-8")
SECTIONS = {
    "The file's own keys": FILE_RECORD,
    "tls": TLS_RECORD,
    "limits": LIMITS_RECORD,
    "log": LOG_RECORD,
    "budgets": BUDGET_RECORD,
    "shared": SHARED_RECORD,
    "audit": AUDIT_RECORD,
    "cors": CORS_RECORD,
    "login": LOGIN_RECORD,
    "session": SESSION_RECORD,
    "streams": STREAMS_RECORD,
    "upstreams": UPSTREAM_RECORD,
    "identity": IDENTITY_RECORD,
    "studio": STUDIO_RECORD,
    "own": OWN_RECORD,
    "jwks": JWKS_RECORD,
    "routes": ROUTE_RECORD,
    "tests": CASE_RECORD,
    "providers": Record("", tuple({f.name: f for kind in KINDS for f in RECORDS[kind].fields}.values())),
    **{name: Record("", tuple(one.key for one in row.parameters)) for name, row in PRESETS.items()},
}
MOUNTED = {
    "tls.crt": b"-----BEGIN CERTIFICATE-----",
    "ca.crt": b"-----BEGIN CERTIFICATE-----",
    "tls.key": b"-----BEGIN PRIVATE KEY-----",
    "jwt": SECRET.encode(),
    "budget": SECRET.encode(),
    "redis-ca.pem": b"-----BEGIN CERTIFICATE-----",
    "jwks.json": json.dumps({"keys": [to_jwk(private_key("file"), "k1")]}).encode(),
    "new.pem": public_pem(private_key("new")),
    "old.pem": public_pem(private_key("old")),
    "token": b"eyJ.eyJ.x",
    "client": b"a client's secret\n",
    "session": SECRET.encode(),
    "keys.yaml": b"",
    "revoked.yaml": b"",
}
VARIABLES = {
    "UPSTREAM_KEY": "a constant",
    "BUDGET_SECRET": SECRET,
    "REDIS_PASSWORD": "secret",
    "MASTRA_JWT_SECRET": SECRET,
    "JWT_NEW": SECRET,
    "JWT_OLD": SECRET[::-1],
    "KEY_SERVER_LOGIN": "cHJvajpzZWNyZXQ=",
    "OIDC_CLIENT_SECRET": "a client's secret",
    "CLERK_PUBLISHABLE_KEY": "pk_test_eA==",
    "AUTH0_DOMAIN": "tenant.eu.auth0.com",
    "AUTH0_AUDIENCE": "x",
}


def rows(title: str) -> dict[str, list[str]]:
    """Return the cells of a section's table by the key in its first column."""
    section = re.search(rf"^##+ {re.escape(title)}$(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert section, title
    lines = re.findall(r"^\| `(\w+)` \|(.*)\|$", section[1], re.MULTILINE)
    return {name: [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", rest)] for name, rest in lines}


@pytest.mark.parametrize("title", SECTIONS)
def test_every_key_has_its_row(title: str) -> None:
    found = rows(title)
    assert set(found) == {field.name for field in SECTIONS[title].fields}
    for field in SECTIONS[title].fields:
        *_, meaning, default, _ = found[field.name]
        assert meaning == field.meaning
        assert default.strip("`") == ("required" if field.is_required else field.default or "none")


EXAMPLES = [
    pytest.param(field, rows(title)[field.name][-1].strip("`"), id=f"{title}.{field.name}")
    for title, record in SECTIONS.items()
    for field in record.fields
    if field.name in rows(title)
]


@pytest.mark.parametrize(("field", "written"), EXAMPLES)
def test_example_of_every_key_is_read(field: Field[Any], written: str) -> None:
    reading = Reading(Source("f", written), VARIABLES, Path(), lambda path: MOUNTED[path.name])
    node = parse(written, reading).get(field.name)
    assert node is not None
    field.reader.read(node, reading)
    assert reading.is_clean


@pytest.mark.parametrize("name", KEYS)
def test_every_condition_has_its_row_with_an_example_that_is_read(name: str) -> None:
    found = rows("rules")
    assert set(found) == set(KEYS)
    if name in READERS:
        assert found[name][0] == READERS[name].meaning
    example = found[name][-1].strip("`")
    beside = ", email_domain: a.com" if name == "include_subdomains" else ""
    read(
        f"""
        upstream: http://x
        providers: {{p: {{type: jwt, secret: {SECRET}}}}}
        rules: {{company: {{role: x}}}}
        routes: {{'/api/{{agent}}': {{provider: p, allow: {{{example}{beside}}}}}}}
        """
    )


def test_files_on_the_page_are_read() -> None:
    files = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert files
    for text in files:
        read(text)


def test_defaults_are_those_that_the_page_tells() -> None:
    # One file says nothing, the other says every default: both mean the same.
    def written(record: Record, *left_out: str) -> str:
        said = [f"{f.name}: {f.default}" for f in record.fields if f.default and f.name not in left_out]
        return ", ".join(said)

    head = (
        "providers: {{p: {{type: oidc, issuer: https://i, audience: x{}}}}}\n"
        "routes: {{/api: {{provider: p, allow: authenticated{}}}}}\n"
    )
    little = read("upstreams: {default: {url: http://x}}\ncors: {origins: https://a.example}\n" + head.format("", ""))
    own = "\n".join(f"{f.name}: {f.default}" for f in FILE_RECORD.fields if f.default)
    provider = f", jwks: {{{written(JWKS_RECORD)}}}, algorithms: RS256, leeway: 5s, token_from: bearer"
    much = read(
        f"{own}\nlimits: {{{written(LIMITS_RECORD)}}}\ncors: {{origins: https://a.example, {written(CORS_RECORD)}}}\n"
        f"upstreams: {{default: {{url: http://x, {written(UPSTREAM_RECORD)}, identity: {{authorization: forward}}}}}}\n"
        + head.format(provider, ", " + written(ROUTE_RECORD, "upstream"))
    )
    own_names = ("listen", "admin", "workers", "limits", "drain_delay_seconds", "drain_timeout_seconds")
    for name in (*own_names, "cors", "upstreams", "providers"):
        assert getattr(little, name) == getattr(much, name), name
    assert little.policy.routes == much.policy.routes


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [found for value in node.values() for found in references(value)]
    return [found for value in node for found in references(value)] if isinstance(node, list) else []


def test_schema_knows_every_key_and_refers_to_nothing_unknown() -> None:
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert set(schema["properties"]) == {field.name for field in FILE_RECORD.fields}
    assert {reference.removeprefix("#/$defs/") for reference in references(schema)} <= set(schema["$defs"])
    kinds = schema["properties"]["providers"]["additionalProperties"]["oneOf"]
    for kind in kinds:
        name = kind["properties"]["type"]["const"]
        assert set(kind["properties"]) == {field.name for field in RECORDS[name].fields}
    assert set(schema["$defs"]["rule"]["anyOf"][1]["properties"]) == set(KEYS)
    route = schema["properties"]["routes"]["additionalProperties"]
    assert set(route["properties"]) == {field.name for field in ROUTE_RECORD.fields}
    assert route["additionalProperties"] is False


def test_every_key_says_in_the_schema_what_it_means() -> None:
    properties = json_schema()["properties"]
    assert all(properties[field.name]["description"].startswith(field.meaning) for field in FILE_RECORD.fields)
