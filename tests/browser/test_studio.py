"""The real Studio, of the package `mastra`, opened in Chromium at the gateway: a real Mastra behind it, and an issuer.

Studio asks https://models.dev for pictures of models: that is blocked here. To no other address than the gateway's does
any request go, but for the issuer's pages. `GATEWAY_SCREENSHOTS=folder` keeps pictures.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.browser.chromium import MARKS, chromium
from tests.login.idp import CLIENT_SECRET
from tests.mastra.conftest import HERE as MASTRA
from tests.mastra.conftest import arrivals, mastra_server
from tests.minting import SECRET, mint
from tests.nodejs import node_with
from tests.processes import Served, free_port, process, served, status_of

pytestmark = [*MARKS, pytest.mark.timeout(240)]
SESSION_SECRET = "wohYeequ8aish4ahQuoo4aiPh7aish2eeF0"
STUDIOS_OWN = "models.dev"  # blocked, and named in docs/how-to/studio.md
FILE = """
upstreams:
  mastra: {{url: "{mastra}", studio: {{allow: developers}}}}
providers:
  jobs: {{type: jwt, secret: {secret}}}
  staff: {{type: oidc, issuer: "{issuer}", audience: api}}
rules:
  developers: {{email_domain: example.com}}
{login}
routes:
  /api: {{provider: [jobs, staff], allow: developers}}
  GET /refresh-events: {{provider: [jobs, staff], allow: developers}}
  GET /: {{public: true}}
"""
LOGIN = """
login:
  provider: staff
  client_id: gateway
  client_secret: {client_secret}
  session: {{secret: {session_secret}}}
  public_url: "{address}"
"""
BY_ROLE = """
upstreams:
  mastra: {{url: "{mastra}", studio: {{allow: {{mastra: viewer}}}}}}
providers:
  jobs: {{type: jwt, secret: {secret}}}
  staff: {{type: oidc, issuer: "{issuer}", audience: api, mastra_role_claim: /app/role}}
{login}
routes:
  /api: {{provider: staff, allow: {{mastra: viewer}}}}
  /api/logs: {{provider: staff, allow: {{mastra: admin}}}}
  /api/observability: {{provider: staff, allow: {{mastra: admin}}}}
  GET /refresh-events: {{provider: staff, allow: authenticated}}
  GET /: {{public: true}}
"""


@dataclass
class Opened:
    """Studio in a tab of its own, and each request that it made."""

    page: Any
    address: str
    requests: list[tuple[str, str]] = field(default_factory=list)
    answers: dict[str, int] = field(default_factory=dict)

    @property
    def hosts(self) -> set[str]:
        return {urlsplit(url).netloc for _, url in self.requests}

    def go(self, path: str) -> None:
        self.page.goto(self.address + path)

    def see(self, text: str) -> None:
        self.page.get_by_text(text).first.wait_for(timeout=20_000)

    def until_nobody(self) -> None:
        """Wait until the gateway takes this browser for nobody."""
        for _ in range(80):
            if self.page.evaluate("fetch('/api/auth/me').then(answer => answer.json())") is None:
                return
            self.page.wait_for_timeout(250)  # polls another process; nothing is ordered by it
        raise AssertionError("the session goes on")

    def picture(self, name: str) -> None:
        folder = os.environ.get("GATEWAY_SCREENSHOTS")
        if folder is not None:
            self.page.screenshot(path=Path(folder) / f"studio-{name}.png")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def node() -> str:
    return node_with(MASTRA, "to run a real Mastra with its Studio")


@pytest.fixture(scope="module")
def mastra(node: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Mastra as docs/how-to/studio.md says to run it."""
    with mastra_server(node, tmp_path_factory.mktemp("mastra"), STUDIO="1", MASTRA_AUTO_DETECT_URL="true") as address:
        yield address


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with subprocess.Popen([sys.executable, "-m", "tests.login.idp"], stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        yield f"http://127.0.0.1:{json.loads(running.stdout.readline())['port']}"
        running.terminate()


@contextmanager
def gateway(
    mastra: str, issuer: str, folder: Path, *, with_login: bool, file: str = FILE, port: int = 0, more: str = ""
) -> Iterator[Served]:
    port = port or free_port()
    said = {"client_secret": json.dumps(CLIENT_SECRET), "session_secret": SESSION_SECRET}
    login = LOGIN.format(address=f"http://localhost:{port}", **said) if with_login else ""
    text = file.format(mastra=mastra, issuer=issuer, secret=SECRET.decode(), login=login)
    text += more
    with served(text, folder, port=port) as running:
        yield running


@contextmanager
def studio(browser: Any, port: int, issuer: str, beside: str = "") -> Iterator[Opened]:
    """Open a browser that knows nobody yet; what would leave for elsewhere is noted, and goes nowhere."""
    context = browser.new_context()
    opened = Opened(context.new_page(), f"http://localhost:{port}")
    own = (f"{opened.address}/", f"{issuer}/", f"{beside or issuer}/")
    context.route(lambda url: not url.startswith(own), lambda route: route.abort())
    opened.page.on("request", lambda request: opened.requests.append((request.method, request.url)))
    opened.page.on("response", lambda answer: opened.answers.update({urlsplit(answer.url).path: answer.status}))
    try:
        yield opened
    finally:
        context.close()


def chat(opened: Opened) -> None:
    """Have a chat with the agent, whose answer is a stream."""
    opened.go("/agents/weatherAgent/chat/new")
    message = opened.page.locator("textarea").first
    message.fill("n=5 ms=10")
    message.press("Enter")
    opened.see("w0 w1 w2 w3 w4")


def from_studio(mastra: str) -> set[str | None]:
    """Return what Mastra heard of `X-Mastra-Client-Type` with the calls below /api."""
    return {seen["headers"].get("x-mastra-client-type") for seen in arrivals(mastra) if seen["path"].startswith("/api")}


def test_studio_works_with_a_header(mastra: str, issuer: str, browser: Any, tmp_path: Path) -> None:
    token = mint({"sub": "job", "email": "job@example.com", "exp": time.time() + 600}, SECRET)
    with (
        gateway(mastra, issuer, tmp_path, with_login=False) as running,
        studio(browser, running.port, issuer) as opened,
    ):
        opened.go("/")
        opened.see("Authentication Required")
        opened.picture("header-form")
        opened.page.get_by_text("Add Header").click()
        opened.page.locator('[name="headers.0.name"]').fill("Authorization")
        opened.page.locator('[name="headers.0.value"]').fill(f"Bearer {token}")
        opened.page.get_by_text("Save Headers").click()
        opened.see("Weather Agent")
        opened.picture("header-agents")
        chat(opened)
        opened.picture("header-chat")
        assert live(tmp_path) == ["here"]
    assert opened.hosts - {STUDIOS_OWN} == {f"localhost:{running.port}"}
    assert "studio" in from_studio(mastra), "Mastra hears that it is Studio, of a caller who may use it"


def test_studio_shows_its_own_login(mastra: str, issuer: str, browser: Any, tmp_path: Path) -> None:
    with gateway(mastra, issuer, tmp_path, with_login=True) as running, studio(browser, running.port, issuer) as opened:
        opened.go("/agents")
        opened.see("Sign in to continue")
        opened.picture("login")
        opened.page.get_by_text("Sign in with").click()
        opened.see("Weather Agent")
        assert urlsplit(opened.page.url).path == "/agents", "back to the page that was asked for"
        chat(opened)
        opened.picture("login-chat")
        # An EventSource sends no header: the cookie counts.
        assert opened.answers["/refresh-events"] == 200
        opened.page.locator("button").filter(has_text=re.compile("^A$")).first.click()
        opened.picture("login-menu")
        opened.page.get_by_text("Sign out").first.click()
        opened.see("Sign in to continue")
    assert opened.hosts - {STUDIOS_OWN} == {f"localhost:{running.port}", urlsplit(issuer).netloc}
    assert [path for path in map(_path, opened.requests) if "/auth/sso" in path or path.endswith("/logout")] == [
        "/api/auth/sso/login",
        "/api/auth/sso/callback",
        "/api/auth/logout",
    ]


def test_login_ends_well_where_studio_was_opened_by_another_name(
    mastra: str, issuer: str, browser: Any, tmp_path: Path
) -> None:
    with gateway(mastra, issuer, tmp_path, with_login=True) as running:
        other = f"http://127.0.0.1:{running.port}"
        with studio(browser, running.port, issuer, beside=other) as opened:
            opened.page.goto(f"{other}/agents")
            opened.page.get_by_text("Sign in with").click()
            opened.see("Weather Agent")
            assert opened.page.url == f"{opened.address}/agents", "back to the page, at public_url"


MENU = ("Agents", "Workflows", "MCP Servers", "Metrics", "Traces", "Logs", "Request Context")


@pytest.mark.parametrize(
    ("role", "hidden"),
    [
        pytest.param("viewer", {"Metrics", "Traces", "Logs", "Request Context"}, id="viewer"),
        pytest.param("admin", {"Request Context"}, id="admin"),
        pytest.param("owner", set(), id="owner"),
    ],
)
def test_menu_shows_what_the_role_may_use(
    role: str, hidden: set[str], mastra: str, issuer: str, browser: Any, tmp_path: Path
) -> None:
    with (
        gateway(mastra, issuer, tmp_path, with_login=True, file=BY_ROLE) as running,
        studio(browser, running.port, issuer) as opened,
    ):
        control(issuer, claims={"app": {"role": role}})
        try:
            opened.go("/agents")
            opened.page.get_by_text("Sign in with").click()
            opened.see("Weather Agent")
            for name in set(MENU) - hidden:
                opened.page.locator("a").filter(has_text=name).first.wait_for(timeout=20_000)
            opened.page.wait_for_load_state("networkidle")
            opened.picture(f"role-{role}")
            links = {link.strip() for link in opened.page.locator("a").all_inner_texts()}
            refused = {path for path, status in opened.answers.items() if status == 403}
            # What is hidden is refused as well, and by the routes alone.
            answer = opened.page.evaluate("fetch('/api/logs/transports').then(answer => answer.status)")
        finally:
            control(issuer, claims={})
    assert set(MENU) - links == hidden
    assert answer == (403 if "Logs" in hidden else 200)
    assert refused == set(), "Studio asks for nothing that it was not told of"


def test_session_that_the_issuer_ends_leads_back_to_the_login(
    mastra: str, issuer: str, browser: Any, tmp_path: Path
) -> None:
    with gateway(mastra, issuer, tmp_path, with_login=True) as running, studio(browser, running.port, issuer) as opened:
        control(issuer, lifetime=1.0)  # each request asks the issuer for the next word
        try:
            opened.go("/agents")
            opened.page.get_by_text("Sign in with").click()
            opened.see("Weather Agent")
            control(issuer, refuses_refresh=True)
            opened.until_nobody()  # its last word is good for another second
            opened.go("/agents")
            opened.see("Sign in to continue")
        finally:
            control(issuer, lifetime=3600.0, refuses_refresh=False)


@contextmanager
def standalone(node: str, port: int, folder: Path) -> Iterator[int]:
    """Run `mastra studio` of npm, which is told to call the gateway at `port`; gives its own port."""
    own = free_port()
    command = [node, str(MASTRA / "node_modules" / "mastra" / "dist" / "index.js"), "studio", "--port", str(own)]
    command += ["--server-host", "localhost", "--server-port", str(port)]
    quiet = {"MASTRA_TELEMETRY_DISABLED": "1", "DO_NOT_TRACK": "1", "HOME": str(folder)}
    with process(command, folder / "studio.log", lambda: status_of(f"http://localhost:{own}/") == 200, quiet):
        yield own


@pytest.mark.parametrize("is_listed", [True, False])
def test_standalone_studio_works_by_cors(
    is_listed: bool, mastra: str, issuer: str, node: str, browser: Any, tmp_path: Path
) -> None:
    token = mint({"sub": "job", "email": "job@example.com", "exp": time.time() + 600}, SECRET)
    port = free_port()
    with standalone(node, port, tmp_path) as own:
        listed = f"http://localhost:{own if is_listed else own + 1}"
        with (
            gateway(mastra, issuer, tmp_path, with_login=False, port=port, more=f'cors: {{origins: ["{listed}"]}}'),
            studio(browser, own, issuer, beside=f"http://localhost:{port}") as opened,
        ):
            opened.go("/")
            if not is_listed:
                opened.see("Mastra instance URL")  # it cannot read who may log in, and asks where Mastra is
                opened.picture("standalone-refused")
                return
            opened.see("Authentication Required")
            opened.page.get_by_text("Add Header").click()
            opened.page.locator('[name="headers.0.name"]').fill("Authorization")
            opened.page.locator('[name="headers.0.value"]').fill(f"Bearer {token}")
            opened.page.get_by_text("Save Headers").click()
            opened.see("Weather Agent")
            chat(opened)
            opened.picture("standalone-chat")
    assert opened.hosts - {STUDIOS_OWN} == {f"localhost:{own}", f"localhost:{port}"}
    preflights = {path for method, path in map(_method_and_path, opened.requests) if method == "OPTIONS"}
    assert all(opened.answers[path] < 400 for path in preflights | {"/api/agents"})


def test_page_that_points_past_the_gateway_is_seen_here(node: str, issuer: str, browser: Any, tmp_path: Path) -> None:
    # What MASTRA_AUTO_DETECT_URL=true is for; and the proof that these tests see a request that leaves.
    with (
        mastra_server(node, tmp_path, STUDIO="1") as past,
        gateway(past, issuer, tmp_path, with_login=True) as running,
        studio(browser, running.port, issuer) as opened,
    ):
        opened.go("/")
        opened.see("Mastra instance URL")
        opened.picture("past-the-gateway")
        marked = live(tmp_path)
    assert marked == ["past"], "`gateway check --live` sees it as well"
    assert urlsplit(past).netloc in opened.hosts


def live(folder: Path) -> list[str | None]:
    """Return what `gateway check --live` says of the upstreams."""
    command = [sys.executable, "-m", "gateway", "check", "-c", str(folder / "gateway.yaml"), "--live", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return [one["studio"] for one in json.loads(done.stdout)["live"]]


def control(issuer: str, **settings: Any) -> None:
    request = urllib.request.Request(f"{issuer}/control", json.dumps(settings).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=5):
        pass


def _method_and_path(request: tuple[str, str]) -> tuple[str, str]:
    return request[0], _path(request)


def _path(request: tuple[str, str]) -> str:
    return urlsplit(request[1]).path
