"""Mastra's routes as a table: which row takes a request, and that no row is written twice or in a way nobody reads."""

from __future__ import annotations

import pytest

from gateway.policy.mastra_routes import Row, row_of, rows
from gateway.policy.paths import split_target


def found(method: str, target: str, prefix: tuple[str, ...] = ("api",)) -> Row | None:
    return row_of(method, split_target(target)[0].segments, prefix)


@pytest.mark.parametrize(
    "method, target, path",
    [
        pytest.param("GET", "/api/agents", "/agents", id="plain"),
        pytest.param("HEAD", "/api/agents", "/agents", id="head-is-get"),
        pytest.param("GET", "/api/agents/a%2Fb", "/agents/:agentId", id="encoded-slash-stays-in-its-segment"),
        pytest.param("GET", "/api/agents/providers", "/agents/providers", id="first-registered-wins"),
        pytest.param("GET", "/api/agents/", "/agents", id="closing-slash-is-taken-by-lax-routers"),
        pytest.param("POST", "/api/memory/threads/T/%74ransfer", "/memory/threads/:threadId/transfer", id="escaped"),
        pytest.param("GET", "/api/observability/traces/light", "/observability/traces/light", id="before-the-capture"),
        pytest.param("DELETE", "/api/mcp/s/mcp", "/mcp/:serverId/mcp", id="every-method"),
        pytest.param("POST", "/api/agents", None, id="no-such-method"),
        pytest.param("GET", "/api/Agents", None, id="another-case"),
        pytest.param("GET", "/api", None, id="the-prefix-alone"),
        pytest.param("GET", "/agents", None, id="not-below-the-prefix"),
        pytest.param("GET", "/API/agents", None, id="prefix-in-another-case"),
        pytest.param("GET", "/api/nothing/here", None, id="unknown"),
    ],
)
def test_row_is_that_of_the_router(method: str, target: str, path: str | None) -> None:
    row = found(method, target)
    assert (row.path if row else None) == path


def test_prefix_may_be_another() -> None:
    row = found("GET", "/mastra/v1/agents", ("mastra", "v1"))
    assert row is not None and row.permission == ("agents:read",)
    assert found("GET", "/api/agents", ("mastra",)) is None


def test_permission_may_be_any_of_several() -> None:
    row = found("POST", "/api/workflows/w/create-run")
    assert row is not None and row.permission == ("workflows:write", "workflows:execute")


def test_every_row_is_there_once_and_can_be_reached() -> None:
    assert len(rows()) == len({(row.method, row.path) for row in rows()}) == 416
    hidden = []
    for row in rows():
        segments = ("api", *(text.replace(":", "~") for text in row.segments))
        if row_of("GET" if row.method == "ALL" else row.method, segments) is not row:
            hidden.append(row.path)
    assert hidden == []


def test_what_has_carriers_has_a_way() -> None:
    assert [row.path for row in rows() if row.carriers and row.way in ("none", "close")] == []
    assert [row.path for row in rows() if not row.carriers and row.way in ("pin", "look_up")] == []
