"""From 401 to tools/list by the MCP Inspector's command line, as somebody types it: its own login, in a browser."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.mcp.conftest import HERE, peer
from tests.mcp.test_mcp import GATEWAY
from tests.processes import free_port, served

INSPECTOR = HERE / "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"
# Which opens what it is given, follows every redirect, and so ends at the Inspector's callback.
BROWSER = '#!/bin/sh\nexec curl -sSL -o /dev/null "$1"\n'


def test_inspector_logs_in_and_lists_the_tools(node: str, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("browser", "xdg-open"):
        (programs / name).write_text(BROWSER)
        (programs / name).chmod(0o755)
    own = {
        **os.environ,
        "HOME": str(tmp_path),
        "PATH": f"{programs}:{os.environ['PATH']}",
        "BROWSER": str(programs / "browser"),
        "MCP_AUTO_OPEN_ENABLED": "true",  # though there is no terminal
        "MCP_INSPECTOR_SECRET_STORE": "memory",
    }
    with peer(node, "issuer.mjs", tmp_path) as issuer, peer(node, "server.mjs", tmp_path) as server:
        port = free_port()
        environment = {"MCP": str(server), "ISSUER": str(issuer), "PORT": str(port)}
        with served(GATEWAY, tmp_path, environment, port=port) as gateway:
            command = [
                node, str(INSPECTOR), "--cli",
                "--server-url", f"http://127.0.0.1:{port}/api/mcp/one/mcp", "--transport", "http",
                "--callback-url", f"http://127.0.0.1:{free_port()}/oauth/callback",
                "--method", "tools/list", "--format", "json",
            ]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True, env=own, timeout=120, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            said = [json.loads(line) for line in gateway.log.read_text().splitlines()]
            codes = [line.get("code") for line in said if "path" in line]
    (tool,) = json.loads(done.stdout.splitlines()[-1])["result"]["tools"]
    assert tool["name"] == "weather-one"
    assert codes[0] == "token_missing" and set(codes) == {"token_missing", None}
