"""From 401 to tools/list by the MCP SDK itself: challenge, document, registration, login, step-up; two resources."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.mcp.conftest import HERE, peer
from tests.processes import free_port, served

GATEWAY = """
upstreams: {mastra: {url: "http://127.0.0.1:${MCP}", identity: {authorization: strip}}}
providers:
  partners:
    type: oidc
    issuer: http://127.0.0.1:${ISSUER}
    audience: ["http://127.0.0.1:${PORT}/api/mcp/one/mcp", "http://127.0.0.1:${PORT}/api/mcp/two/mcp"]
routes:
  /api/mcp/one: {provider: partners, allow: {scope: mcp}, mcp: true}
  /api/mcp/two: {provider: partners, allow: {scope: [mcp, admin]}, mcp: true}
"""


def test_sdk_walks_from_401_to_tools_on_two_resources(node: str, tmp_path: Path) -> None:
    with peer(node, "issuer.mjs", tmp_path) as issuer, peer(node, "server.mjs", tmp_path) as server:
        port = free_port()
        environment = {"MCP": str(server), "ISSUER": str(issuer), "PORT": str(port)}
        with served(GATEWAY, tmp_path, environment, port=port):
            servers = {name: f"http://127.0.0.1:{port}/api/mcp/{name}/mcp" for name in ("one", "two")}
            command, given = [node, str(HERE / "client.mjs")], json.dumps({"servers": servers})
            done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["one"] == {
        "tools": ["weather-one"],
        "told": "authorization: none",  # the server never gets the token (MCP, "Token Passthrough")
        "asked": [{"scope": "mcp", "resource": servers["one"]}],
    }
    # The issuer leaves `admin` out at first: the 403 lists what is needed, and the SDK asks once more.
    assert found["two"]["asked"] == [{"scope": "mcp admin", "resource": servers["two"]}] * 2
    assert found["two"]["tools"] == ["weather-two"]
    assert found["swapped"] == {"status": 401, "code": "audience_mismatch"}
