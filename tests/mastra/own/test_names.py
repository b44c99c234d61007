"""A request is about the agent that its path names, or rules by agents are walked round. Source: `handlerParams`."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mastra.own.conftest import CALLERS_SECRET
from tests.minting import mint
from tests.processes import gateway_process

OTHER = "plainAgent"  # whose name the path of no request here has
DETAILS, GENERATE, TOOL = (
    "/api/agents/weatherAgent",
    "/api/agents/weatherAgent/generate",
    "/api/tools/get-weather/execute",
)
HI = {"messages": "hi"}
FILE = """
upstreams: {{mastra: {{url: {upstream}, own: {{by: {by}}}}}}}
providers: {{people: {{type: jwt, secret: {secret}}}}}
routes:
  /api: {{provider: people, allow: authenticated}}
  /api/agents/{other}: {{provider: people, allow: {{role: nobody}}}}
"""


def ask(address: str, method: str, target: str, body: Any = None) -> tuple[int, Any]:
    """Send one request, with a caller's token; return the status and the JSON."""
    token = mint({"sub": "ann", "exp": time.time() + 600}, CALLERS_SECRET.encode())
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=30)
    lines = {"Authorization": f"Bearer {token}"} | ({} if body is None else {"Content-Type": "application/json"})
    connection.request(method, target, None if body is None else json.dumps(body), lines)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text)


def file_of(upstream: str, by: str) -> str:
    return FILE.format(upstream=upstream, by=by, secret=CALLERS_SECRET, other=OTHER)


@pytest.fixture(params=["nobody", "subject"])
def gateway(request: pytest.FixtureRequest, mastras: dict[str, str], tmp_path: Path) -> Iterator[str]:
    with gateway_process(file_of(mastras["none"], request.param), tmp_path) as (address, _):
        yield address


def test_mastra_itself_believes_query_and_body_over_the_path(mastras: dict[str, str]) -> None:
    mastra = mastras["none"]
    assert ask(mastra, "GET", DETAILS)[1]["name"] == "Weather Agent"
    assert ask(mastra, "POST", f"{GENERATE}?agentId=none", HI)[0] == 404
    assert ask(mastra, "POST", GENERATE, {**HI, "agentId": "none"})[0] == 404
    assert ask(mastra, "POST", GENERATE, HI)[0] == 200
    # Not where a schema drops what it does not know; if that changes, `gateway check` has to warn of these as well.
    assert ask(mastra, "POST", TOOL, {"data": {"city": "London"}, "toolId": "none"})[0] == 200
    assert ask(mastra, "POST", "/api/workflows/tickWorkflow/create-run", {"workflowId": "none"})[0] == 200
    assert ask(mastra, "POST", "/api/mcp/weather/mcp?serverId=none", {})[0] == 404


def test_through_the_gateway_the_path_counts(gateway: str) -> None:
    assert ask(gateway, "GET", f"/api/agents/{OTHER}")[0] == 403
    assert ask(gateway, "GET", f"{DETAILS}?agentId={OTHER}")[1]["name"] == "Weather Agent"
    assert ask(gateway, "GET", f"{DETAILS}?agent%49d={OTHER}&agentId[]={OTHER}")[1]["name"] == "Weather Agent"
    assert ask(gateway, "POST", f"{GENERATE}?agentId=none", HI)[0] == 200
    assert ask(gateway, "POST", GENERATE, {**HI, "agentId": "none"})[0] == 200
    assert ask(gateway, "POST", GENERATE, {"agentId": OTHER, **HI})[0] == 200
    assert ask(gateway, "POST", TOOL, {"data": {"city": "London"}, "toolId": "none"})[0] == 200


def test_nobody_loses_a_thread_where_nothing_has_an_owner(mastras: dict[str, str], tmp_path: Path) -> None:
    thread = {"threadId": "of-the-names", "resourceId": "somebody", "title": "x"}
    with gateway_process(file_of(mastras["none"], "nobody"), tmp_path) as (address, _):
        status, made = ask(address, "POST", "/api/memory/threads?agentId=weatherAgent", thread)
        assert (status, made["resourceId"]) == (200, "somebody")
        memory = {"thread": "of-the-names", "resource": "somebody"}
        assert ask(address, "POST", GENERATE, {**HI, "memory": memory})[0] == 200
        found = ask(address, "GET", "/api/memory/threads/of-the-names/messages?agentId=weatherAgent")[1]
        assert len(found["messages"]) == 2


def test_without_own_a_query_that_names_another_is_refused(mastras: dict[str, str], tmp_path: Path) -> None:
    text = file_of(mastras["none"], "nobody").replace(", own: {by: nobody}", "")
    with gateway_process(text, tmp_path) as (address, _):
        assert ask(address, "GET", f"{DETAILS}?agentId={OTHER}")[1]["code"] == "target_ambiguous"
        assert ask(address, "POST", f"{GENERATE}?agentId={OTHER}", HI)[1]["code"] == "target_ambiguous"
        assert ask(address, "POST", f"{GENERATE}?agentId=weatherAgent", HI)[0] == 200
        # What only reading the body could tell: `gateway check` warns of it.
        assert ask(address, "POST", GENERATE, {**HI, "agentId": "none"})[0] == 404
