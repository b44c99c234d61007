"""`gateway check --openapi`: from a file and from an address, in words and as JSON, and what it says of neither."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from gateway.commands.main import run_command
from tests.configuring import file_with
from tests.processes import refusing_port

DOCUMENT = json.dumps({"paths": {"/api/a": {"get": {}, "post": {}}, "/x": {"get": {}}}})
FILE = file_with(routes="routes: {/api: {provider: jobs, allow: authenticated}, /old: {public: true}}")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working directory, with a file of routes and a document."""
    (tmp_path / "gateway.yaml").write_text(FILE)
    (tmp_path / "openapi.json").write_text(DOCUMENT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@contextmanager
def publishing(status: int, body: str) -> Iterator[str]:
    """Answer every request with this; yields an address."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/api/openapi.json"
        server.shutdown()


def test_words_and_status(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["check", "--openapi", "openapi.json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("look at"))
    assert [" ".join(line.split()) for line in lines[at:]] == [
        "look at operation who may pass route",
        "GET /api/a any token that counts /api",
        "open write POST /api/a any token that counts /api",
        "no route GET /x nobody: 404 no_route -",
        "",
        "no route: 1 operation (no route covers it)",
        "open write: 1 operation (it writes, and everybody with a token, or without, may)",
        "route /old: no operation of the document meets it",
        "3 operations, 3 marks",
    ]
    assert run_command(["check", "--openapi", "openapi.json", "--strict"]) == 1
    (folder / "openapi.json").write_text('{"paths": {"/api/a": {"get": {}}, "/old": {"get": {}}}}')
    assert run_command(["check", "--openapi", "openapi.json", "--strict"]) == 0


def test_json_has_the_operations(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with publishing(200, DOCUMENT) as address:
        assert run_command(["check", "--json", "--openapi", address]) == 0
    found = json.loads(capsys.readouterr().out)["openapi"]
    assert found["unmet_routes"] == ["/old"] and found["marks"] == 3
    assert found["operations"][2] == {
        "method": "GET", "path": "/x", "route": None, "who": "nobody: 404 no_route", "also": [], "mark": "uncovered",
    }  # fmt: skip


def test_what_is_no_document_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with refusing_port() as port, publishing(404, "") as missing, publishing(200, "<html>") as page:
        for where, said in (
            ("nowhere.json", "cannot read nowhere.json (No such file or directory)"),
            (".", "cannot read . (Is a directory)"),
            (f"http://127.0.0.1:{port}/", "cannot be fetched ("),
            (missing, "found status 404, expected an OpenAPI document"),
            (page, "without 'paths', expected an OpenAPI document"),
        ):
            assert run_command(["check", "--openapi", where]) == 1
            assert said in capsys.readouterr().err


def test_strict_alone_is_no_call(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["check", "--strict"]) == 2
    assert "add --openapi URL|FILE" in capsys.readouterr().err
