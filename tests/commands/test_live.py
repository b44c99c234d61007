"""`gateway check --live`: what an upstream's page says of itself, and what can go wrong while it is asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gateway.commands.main import run_command
from tests.configuring import file_with
from tests.processes import refusing_port

ROUTES = "routes: {/api: {provider: jobs, allow: authenticated}}"
PAGE = """<script>
window.MASTRA_SERVER_HOST = '{host}'; window.MASTRA_SERVER_PORT = '{port}';
window.MASTRA_SERVER_PROTOCOL = '{protocol}';
window.MASTRA_AUTO_DETECT_URL = '{detects}';
</script>"""


def page(detects: str = "false", host: str = "localhost", port: int = 4111, protocol: str = "http") -> str:
    return PAGE.format(detects=detects, host=host, port=port, protocol=protocol)


@contextmanager
def serving(body: str, status: int = 200, location: str = "") -> Iterator[tuple[str, list[str | None]]]:
    """Answer every request with this; yields an address, and the keys that were sent."""
    keys: list[str | None] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keys.append(self.headers.get("X-Upstream-Key"))
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", keys
        server.shutdown()
        thread.join()


def check(
    folder: Path, capsys: pytest.CaptureFixture[str], upstream: str, *options: str, more: str = "", sections: str = ""
) -> tuple[int, str]:
    """Check a file of one upstream; return the status and what is said of it."""
    file = folder / "gateway.yaml"
    file.write_text(file_with(upstream="", upstreams=f"upstreams: {{m: {{url: '{upstream}'{more}}}}}", routes=ROUTES))
    file.write_text(file.read_text() + sections)
    status = run_command(["check", "-c", str(file), "--live", *options])
    said = capsys.readouterr()
    lines = [line for line in (said.out + said.err).splitlines() if line.startswith("m (")]
    return status, lines[0] if lines else said.out


def test_page_that_calls_past_the_gateway_is_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(page()) as (address, _):
        status, said = check(tmp_path, capsys, address)
        assert status == 0
        assert said == (
            f"m ({address}): Studio's page calls http://localhost:4111, past the gateway unless that is the gateway's "
            "own address: set MASTRA_AUTO_DETECT_URL=true in Mastra's environment"
        )
        assert check(tmp_path, capsys, address, "--strict")[0] == 1


def test_page_that_calls_where_it_was_opened_is_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(page("true")) as (address, _):
        status, said = check(tmp_path, capsys, address, "--strict", more=", studio: {allow: authenticated}")
        assert (status, said) == (0, f"m ({address}): Studio's page calls where it was opened")
        assert "'studio: {allow: ...}'" in check(tmp_path, capsys, address)[1]


@pytest.mark.parametrize(("detected", "is_mark"), [("https://agents.example.com", False), ("https://x.example", True)])
def test_page_that_names_the_public_address_is_good(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], detected: str, is_mark: bool
) -> None:
    sections = """
login:
  provider: staff
  client_id: gateway
  session: {secret: wohYeequ8aish4ahQuoo4aiPh7aish2eeF0}
  public_url: https://agents.example.com
"""
    with serving(page("false", detected.removeprefix("https://"), 443, "https")) as (address, _):
        text = file_with(
            upstream=f"upstream: {address}",
            providers="providers: {staff: {type: oidc, issuer: https://login.example.com, audience: a}}",
            routes="routes: {/api: {provider: staff, allow: authenticated}}",
        )
        (tmp_path / "gateway.yaml").write_text(text + sections)
        assert run_command(["check", "-c", str(tmp_path / "gateway.yaml"), "--live", "--strict"]) == int(is_mark)
    assert ("the gateway's public address" in capsys.readouterr().out) == (not is_mark)


def test_answers_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(page()) as (address, _):
        _, said = check(tmp_path, capsys, address, "--json")
    (one,) = json.loads(said)["live"]
    assert one.pop("words").startswith("Studio's page calls")
    assert one == {
        "upstream": "m",
        "url": address,
        "studio": "past",
        "points_to": "http://localhost:4111",
        "mark": True,
    }


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        pytest.param("<h1>hello</h1>", 200, "no page of Studio at /", id="another-page"),
        pytest.param("", 401, "no page at / (status 401)", id="refused"),
        pytest.param("x" * (1024 * 1024) + page(), 200, "no page of Studio at /", id="too-large"),
        pytest.param(page(host="\x1b[2J\nevil"), 200, "calls http://?:4111,", id="words-for-a-terminal"),
    ],
)
def test_other_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], body: str, status: int, expected: str
) -> None:
    with serving(body, status) as (address, _):
        assert expected in check(tmp_path, capsys, address)[1]


def test_upstream_that_cannot_be_asked_is_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with refusing_port() as port:
        status, said = check(tmp_path, capsys, f"http://127.0.0.1:{port}", "--strict")
    assert status == 1 and "cannot be asked (" in said


def test_constants_go_to_the_upstream_and_to_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    constant = ', headers: {X-Upstream-Key: "text:key-of-the-upstream"}'
    with serving(page()) as (elsewhere, sent_on), serving("", 302, f"{elsewhere}/") as (address, sent):
        _, said = check(tmp_path, capsys, address, more=constant)
    assert (sent, sent_on) == (["key-of-the-upstream"], []) and "status 302" in said and "key-of" not in said
