"""A page of another origin that is made with @mastra/react, in Chromium: lists and a chat whose answer streams."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.browser.chromium import MARKS, chromium
from tests.mastra.conftest import HERE as MASTRA
from tests.mastra.conftest import mastra_server
from tests.minting import SECRET, mint
from tests.nodejs import node_with
from tests.processes import free_port, served

pytestmark = [*MARKS, pytest.mark.timeout(240)]
REACT = Path(__file__).parent / "react"
FILE = """
upstream: "{mastra}"
cors: {{origins: ["http://localhost:{page}"]}}
providers:
  people: {{type: jwt, secret: {secret}}}
routes:
  /api: {{provider: people, allow: {{mastra: viewer}}}}
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The page's script, with all that it is made of."""
    node_with(REACT, "to make a page with @mastra/react")
    made = tmp_path_factory.mktemp("react") / "page.js"
    command = [str(REACT / "node_modules" / ".bin" / "esbuild"), "page.jsx", "--bundle", "--jsx=automatic"]
    command += [
        "--format=esm",
        "--loader:.css=empty",
        '--define:process.env.NODE_ENV="production"',
        f"--outfile={made}",
    ]
    subprocess.run(command, cwd=REACT, check=True, capture_output=True, timeout=120)
    return made.read_bytes()


@pytest.fixture(scope="module")
def mastra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    node = node_with(MASTRA, "to run a real Mastra")
    with mastra_server(node, tmp_path_factory.mktemp("mastra")) as address:
        yield address


@contextmanager
def page(script: bytes, gateway: str, token: str) -> Iterator[int]:
    """Serve the page at an origin of its own; gives its port."""
    told = f'<script>gateway="{gateway}";token="{token}"</script>'
    html = f'<div id="root"></div>{told}<script type="module" src="/page.js">'

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = script if self.path == "/page.js" else f"<!doctype html><meta charset=utf-8>{html}</script>".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/javascript" if self.path == "/page.js" else "text/html")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("role", "chats"), [pytest.param("member", True, id="member"), pytest.param("viewer", False, id="viewer")]
)
def test_page_lists_and_chats_as_its_role_lets_it(
    role: str, chats: bool, bundle: bytes, mastra: str, tmp_path: Path
) -> None:
    token = mint({"sub": "ann", "role": role, "exp": time.time() + 600}, SECRET)
    port = free_port()
    with page(bundle, f"http://localhost:{port}", token) as own, chromium() as browser:
        with served(FILE.format(mastra=mastra, page=own, secret=SECRET.decode()), tmp_path, port=port):
            opened: Any = browser.new_page()
            answers: dict[str, int] = {}
            opened.on("response", lambda answer: answers.update({answer.url: answer.status}))
            opened.goto(f"http://localhost:{own}/")
            opened.get_by_text("Weather Agent").wait_for(timeout=20_000)
            with opened.expect_response(lambda answer: "/api/agents/weatherAgent/" in answer.url):
                opened.get_by_text("Ask").click()
            if chats:
                opened.get_by_text("w0 w1 w2 w3 w4").wait_for(timeout=20_000)
    statuses = {status for url, status in answers.items() if f":{port}/api/agents/weatherAgent/" in url}
    assert statuses == ({200} if chats else {403}), answers


def test_page_of_an_origin_that_is_not_listed_reads_nothing(bundle: bytes, mastra: str, tmp_path: Path) -> None:
    token = mint({"sub": "ann", "role": "owner", "exp": time.time() + 600}, SECRET)
    port = free_port()
    with page(bundle, f"http://localhost:{port}", token) as own, chromium() as browser:
        with served(FILE.format(mastra=mastra, page=own + 1, secret=SECRET.decode()), tmp_path, port=port):
            opened: Any = browser.new_page()
            opened.goto(f"http://localhost:{own}/")
            opened.get_by_text("refused: Failed to fetch").wait_for(timeout=60_000)
