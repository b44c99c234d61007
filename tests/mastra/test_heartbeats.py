"""Heartbeats in silent streams, and the last event, as the real clients read them: not at all, and as what it is."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.mastra.conftest import RunNode
from tests.minting import mint
from tests.processes import gateway_process

SECRET = "kJ4v9QzT2mX7bW1cR8yL5nP3sD6fG0hA"
SILENCE_SECONDS = 1.3


def text_delta(text: str) -> dict[str, Any]:
    return {"type": "text-delta", "payload": {"text": text}}


AGENT = [f"data: {json.dumps(text_delta(text))}\n\n" for text in ("one", "two", "three")] + ["data: [DONE]\n\n"]
A2A = [
    f"data: {json.dumps({'jsonrpc': '2.0', 'id': '1', 'result': {'text': text}})}\n\n"
    for text in ("one", "two", "three")
]
EVENTS = ["event: named\r\ndata: one\r\n\r\n", "data: two\r\ndata: lines\r\n\r\n", ": said by the upstream\r\n\r\n"]


class _Slow(BaseHTTPRequestHandler):
    """Answers in events, with more than a second between them; the plain ones never end."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self._say(A2A if "/a2a/" in self.path else AGENT)

    def do_GET(self) -> None:
        self._say(EVENTS, ends=False)

    def _say(self, events: list[str], *, ends: bool = True) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for event in events:
                time.sleep(SILENCE_SECONDS)
                data = event.encode()
                self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
                self.wfile.flush()
            if not ends:
                time.sleep(20)
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""


@pytest.fixture
def slow() -> Iterator[str]:
    """A server of slow streams."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Slow)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_clients_read_streams_with_heartbeats_unchanged(slow: str, run_node: RunNode, tmp_path: Path) -> None:
    text = f"""
upstream: {slow}
providers: {{jobs: {{type: jwt, secret: {SECRET}}}}}
streams: {{end: with_token, grace: 1s, heartbeat: 300ms}}
routes:
  /: {{provider: jobs, allow: authenticated}}
"""
    with gateway_process(text, tmp_path) as (address, _):
        token = mint({"sub": "ann", "exp": time.time() + 12}, SECRET.encode())
        found = run_node("heartbeats.mjs", BASE_URL=address, TOKEN=token)["results"]
        assert found == {
            "agent": ["one", "two", "three"],
            "a2a": ["one", "two", "three"],
            "events": ["one", "two\nlines", "token_expired"],
            "errors": 0,
        }
        token = mint({"sub": "ann", "exp": time.time() + 60}, SECRET.encode())
        for path, events, beat in (("agents", AGENT, ": keep-alive\n\n"), ("a2a", A2A, "\n\n")):
            command = ["curl", "-sSN", "-d", "{}", f"{address}/api/{path}/slow", "-H", f"Authorization: Bearer {token}"]
            said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
            assert said.startswith(beat), "before the first event"
            for event in events:
                assert said.count(event) == 1, "each is whole"
            assert re.sub("\n\n+", "\n\n", said.replace(beat, "\n\n")).lstrip("\n") == "".join(events)
