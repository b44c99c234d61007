"""Pages of another origin in Chromium: one made with @mastra/react, and one that logs in with @auth0/auth0-react."""

from __future__ import annotations

import hashlib
import json
import secrets
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.browser.chromium import MARKS, chromium
from tests.keyserver import to_jwk
from tests.mastra.conftest import HERE as MASTRA
from tests.mastra.conftest import mastra_server
from tests.minting import SECRET, b64, mint, rsa_key
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


def bundled(name: str, made: Path) -> bytes:
    """Return the script of a page, with all that it is made of."""
    node_with(REACT, "to make a page with React")
    command = [str(REACT / "node_modules" / ".bin" / "esbuild"), name, "--bundle", "--jsx=automatic"]
    command += [
        "--format=esm",
        "--loader:.css=empty",
        '--define:process.env.NODE_ENV="production"',
        f"--outfile={made}",
    ]
    subprocess.run(command, cwd=REACT, check=True, capture_output=True, timeout=120)
    return made.read_bytes()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The script of the page that is given its token."""
    return bundled("page.jsx", tmp_path_factory.mktemp("react") / "page.js")


@pytest.fixture(scope="module")
def mastra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    node = node_with(MASTRA, "to run a real Mastra")
    with mastra_server(node, tmp_path_factory.mktemp("mastra")) as address:
        yield address


@contextmanager
def page(script: bytes, gateway: str, token: str = "", **more: str) -> Iterator[int]:
    """Serve the page at an origin of its own, with what it is told; gives its port."""
    told = "".join(
        f"{name}={json.dumps(value)};" for name, value in {"gateway": gateway, "token": token, **more}.items()
    )
    html = f'<div id="root"></div><script>{told}</script><script type="module" src="/page.js">'

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = script if self.path == "/page.js" else f"<!doctype html><meta charset=utf-8>{html}</script>".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/javascript" if self.path == "/page.js" else "text/html")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with serving(Site) as port:
        yield port


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    """Serve on loopback for the length of a block; gives the port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
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


AUDIENCE = "https://agents.example.com"
FILE_OF_AUTH0 = """
upstream: "{mastra}"
cors: {{origins: ["http://localhost:{page}"]}}
providers:
  people:
    type: oidc
    issuer: "http://localhost:{issuer}/"
    jwks_uri: "http://localhost:{issuer}/jwks"
    audience: "{audience}"
routes:
  /api: {{provider: people, allow: {{scope: read:agents}}}}
"""


@contextmanager
def auth0(scope: str) -> Iterator[int]:
    """A stand-in for the addresses of Auth0 that its library asks: a code with PKCE (RFC 7636), and tokens for it."""
    begun: dict[str, dict[str, str]] = {}

    class Issuer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            if self.path == "/jwks":
                self.say(200, {"keys": [to_jwk(rsa_key(), "first", alg="RS256", use="sig")]})
                return
            assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
            code = secrets.token_urlsafe(16)
            begun[code] = asked
            self.send_response(302)
            back = urlencode({"code": code, "state": asked["state"]})
            self.send_header("Location", f"{asked['redirect_uri']}?{back}")
            self.end_headers()

        def do_OPTIONS(self) -> None:
            self.say(200, {})

        def do_POST(self) -> None:
            sent = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            asked = begun.pop(sent["code"][0])
            challenge = b64(hashlib.sha256(sent["code_verifier"][0].encode()).digest())
            assert challenge == asked["code_challenge"]
            now = int(time.time())
            own = {
                "iss": f"http://{self.headers['Host']}/",
                "sub": "auth0|ann",
                "iat": now,
                "exp": now + 600,
            }
            access = {**own, "aud": [asked["audience"], f"{own['iss']}userinfo"], "azp": "page", "scope": scope}
            known = {**own, "aud": "page", "nonce": asked["nonce"], "name": "Ann"}
            tokens = [mint(claims, rsa_key(), "RS256", kid="first") for claims in (access, known)]
            said = {"access_token": tokens[0], "id_token": tokens[1], "token_type": "Bearer", "expires_in": 600}
            self.say(200, {**said, "scope": scope})

        def say(self, status: int, said: dict[str, Any]) -> None:
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Access-Control-Allow-Headers", "*")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with serving(Issuer) as port:
        yield port


@pytest.mark.parametrize(
    ("scope", "seen"),
    [
        pytest.param("openid read:agents", "Weather Agent", id="may"),
        pytest.param("openid", "refused: ", id="may not"),
    ],
)
def test_page_logs_in_with_auth0s_own_library(
    scope: str, seen: str, mastra: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    script = bundled("auth0.jsx", tmp_path_factory.mktemp("auth0") / "page.js")
    port = free_port()
    with auth0(scope) as issuer, chromium() as browser:
        told = {"issuer": f"http://localhost:{issuer}", "audience": AUDIENCE}
        with page(script, f"http://localhost:{port}", **told) as own:
            text = FILE_OF_AUTH0.format(mastra=mastra, page=own, issuer=issuer, audience=AUDIENCE)
            with served(text, tmp_path, port=port):
                opened: Any = browser.new_page()
                statuses: list[int] = []
                opened.on("response", lambda one: statuses.append(one.status) if f":{port}/" in one.url else None)
                opened.goto(f"http://localhost:{own}/")
                opened.get_by_text("Log in").click()
                opened.get_by_text(seen).wait_for(timeout=20_000)
    assert statuses and statuses[-1] == (200 if seen == "Weather Agent" else 403)
