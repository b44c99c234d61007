"""A page of another origin in Chromium: its preflights and its requests are all on the fast wire."""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.browser.chromium import MARKS, chromium
from tests.minting import SECRET, mint
from tests.processes import served

pytestmark = MARKS
FETCHES = """async ([base, token]) => {
  const found = [];
  for (let n = 0; n < 6; n++) {
    const headers = {Authorization: `Bearer ${token}`, "Content-Type": "application/json"};
    const body = n % 2 ? JSON.stringify({n}) : undefined;
    const response = await fetch(`${base}/api/agents/${n}`, {method: n % 2 ? "POST" : "GET", headers, body});
    found.push([response.status, await response.text()]);
  }
  return found;
}"""


class _Site(BaseHTTPRequestHandler):
    """A page, and behind the gateway an upstream: both say hello."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def site() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Site) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_six_fetches_with_a_token_from_another_origin(tmp_path: Path) -> None:
    with site() as page_port, site() as upstream_port:
        text = (
            f"upstream: http://127.0.0.1:{upstream_port}\n"
            f"providers: {{jobs: {{type: jwt, secret: {SECRET.decode()}}}}}\n"
            f"cors: {{origins: ['http://localhost:{page_port}']}}\n"
            "routes: {/api: {provider: jobs, allow: authenticated}}\n"
        )
        with served(text, tmp_path) as gateway, chromium() as browser:
            page = browser.new_page()
            page.goto(f"http://localhost:{page_port}/")
            found = page.evaluate(
                FETCHES, [f"http://127.0.0.1:{gateway.port}", mint({"sub": "user-1", "exp": time.time() + 300})]
            )
            assert found == [[200, "hello"]] * 6
            with urllib.request.urlopen(f"http://127.0.0.1:{gateway.admin}/metrics") as response:
                lines = response.read().decode().splitlines()
    assert 'gateway_wire_requests_total{wire="fast"} 12.0' in lines, "six preflights and six requests"
    assert 'gateway_wire_requests_total{wire="aiohttp"} 0.0' in lines
    preflights = [line for line in lines if 'route="(preflight)"' in line]
    assert preflights and preflights[0].endswith(" 6.0")
