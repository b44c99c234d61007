"""Operations of a server, by its OpenAPI document, and the routes that take them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.explain.operations import NotADocumentError, Operation, Survey, read_operations, survey
from tests.configuring import file_with, read

DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "servers": [{"url": "/api"}, {"url": "/other"}],
    "paths": {
        "/agents/{agentId}": {"get": {}, "parameters": []},
        "/agents/{agentId}/generate": {"post": {}},
        "/memory/threads": {"get": {}, "post": {}},
        "/x-none": {"delete": {}},
        "x-extension": {"get": {}},
    },
}


def surveyed(routes: str, document: dict[str, Any] = DOCUMENT) -> Survey:
    return survey(read(file_with(routes=f"routes:\n{routes}")).policy, read_operations(json.dumps(document).encode()))


def by_operation(found: Survey) -> dict[str, tuple[str | None, str | None]]:
    return {
        f"{one.operation.method} {one.operation.path}": (one.route.key if one.route else None, one.mark)
        for one in found.operations
    }


def test_each_operation_has_its_route_and_marks() -> None:
    found = surveyed(
        "  /api/agents: {provider: jobs, allow: {role: user}}\n"
        "  POST /api/agents/weather/generate: {provider: jobs, allow: authenticated}\n"
        "  GET /api/memory: {provider: jobs, allow: authenticated}\n"
        "  POST /api/memory: {provider: jobs, allow: authenticated}\n"
        "  /health: {public: true, exact: true}\n"
    )
    assert by_operation(found) == {
        "GET /api/agents/{agentId}": ("/api/agents", None),
        "POST /api/agents/{agentId}/generate": ("/api/agents", None),
        "GET /api/memory/threads": ("GET /api/memory", None),
        "POST /api/memory/threads": ("POST /api/memory", "open write"),
        "DELETE /api/x-none": (None, "uncovered"),
    }
    assert found.operations[1].also == ("POST /api/agents/weather/generate",)
    assert found.unmet == ("/health",)
    assert found.marks == 3


@pytest.mark.parametrize(
    ("guard", "is_open"),
    [
        ("{public: true}", True),
        ("{provider: jobs, allow: authenticated}", True),
        ("{provider: jobs, allow: [{role: a}, authenticated]}", True),
        ("{provider: jobs, allow: authenticated, deny: {claim: {guest: true}}}", False),
        ("{provider: jobs, allow: {role: a}}", False),
    ],
)
def test_write_that_anybody_may_do_is_marked(guard: str, is_open: bool) -> None:
    found = by_operation(surveyed(f"  /: {guard}\n"))
    assert (found["DELETE /api/x-none"][1] == "open write") is is_open
    assert found["GET /api/memory/threads"][1] is None


def test_routes_are_met_by_parameters_captures_and_get_for_head() -> None:
    found = surveyed("  GET /api/agents/{x}: {public: true}\n", {"paths": {"/api/agents/{agentId}": {"head": {}}}})
    assert (found.unmet, found.operations[0].mark) == ((), None)
    assert surveyed("  /api: {public: true, exact: true}\n").unmet == ("/api",)


def test_method_that_no_route_names_is_uncovered() -> None:
    found = surveyed("  GET /: {public: true}\n")
    assert [one.who for one in found.operations if one.mark] == ["nobody: 405 method_not_allowed"] * 3


@pytest.mark.parametrize("document", [b"", b"{}", b"[]", b"\xff", b"{", b'{"paths": []}', b"a: [", b"[" * 100_000])
def test_what_is_no_document_is_refused(document: bytes) -> None:
    with pytest.raises(NotADocumentError, match="expected an OpenAPI document"):
        read_operations(document)


@pytest.mark.parametrize(
    ("servers", "path"),
    [
        ("[{url: /api/}]", "/api/a"),
        ("[{url: 'https://a.example.com:1/v1'}]", "/v1/a"),
        ("[{url: 'http://[::1'}]", "/a"),
        ("[]", "/a"),
        ("[x]", "/a"),
        ("x", "/a"),
    ],
)
def test_yaml_and_paths_of_servers(servers: str, path: str) -> None:
    document = (
        f"openapi: 3.0.0\nservers: {servers}\npaths: {{/a: {{get: {{}}, trace: {{}}, x: {{}}, put: 1}}, /b: 1, 3: 4}}"
    )
    assert read_operations(document.encode()) == (Operation("GET", path),)
