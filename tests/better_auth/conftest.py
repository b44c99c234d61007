"""better-auth on loopback: needs Node 20+, and skips with a message without it."""

from __future__ import annotations

import contextlib
import json
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from tests.nodejs import node_with
from tests.processes import free_port, process, status_of
from tests.secrecy import keep_secret

HERE = Path(__file__).parent
SECRET = keep_secret("wohYeequ8aish4ahQuoo4aiPh7aish2eeF0-better-auth")
PASSWORD = "correct horse battery"  # of an account that lives as long as the test

Start = Callable[..., contextlib.AbstractContextManager["BetterAuth"]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.node)
            item.add_marker(pytest.mark.timeout(240))


class BetterAuth:
    """A running better-auth, and somebody who signs up with it."""

    def __init__(self, origin: str, base: str) -> None:
        self.origin = origin
        self.url = origin + base  # its baseURL
        self._at = base or "/api/auth"

    def sign_up(self, email: str) -> str:
        """Make an account; returns the cookie of its session."""
        body = {"name": "Ann", "email": email, "password": PASSWORD}
        with self._ask(f"{self._at}/sign-up/email", body) as answer:
            return str(answer.headers["Set-Cookie"]).partition(";")[0]

    def token(self, cookie: str) -> str:
        """Return a token of the plugin jwt() for a session."""
        with self._ask(f"{self._at}/token", cookie=cookie) as answer:
            return keep_secret(str(json.load(answer)["token"]))

    def verify(self, email: str) -> None:
        """Do what a click on the link in the mail does."""
        self._ask(f"/rig/verify?email={email}").close()

    def _ask(self, path: str, body: Any = None, cookie: str = "") -> HTTPResponse:
        headers = {"Content-Type": "application/json", "Origin": self.origin, "Cookie": cookie}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.origin + path, data, headers)
        answer = urllib.request.urlopen(request, timeout=20)
        assert isinstance(answer, HTTPResponse)
        return answer


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Return a function that runs better-auth for the length of a block."""
    node = node_with(HERE, "to run better-auth")

    @contextlib.contextmanager
    def running(**settings: str) -> Iterator[BetterAuth]:
        port = free_port()
        origin, base = f"http://127.0.0.1:{port}", settings.get("BASE", "")
        up = f"{origin}{base or '/api/auth'}/ok"
        environment = {"PORT": str(port), "BETTER_AUTH_SECRET": SECRET, **settings}
        log = tmp_path_factory.mktemp("better-auth") / "log"
        with process([node, str(HERE / "server.mjs")], log, lambda: status_of(up) == 200, environment):
            yield BetterAuth(origin, base)

    return running


@pytest.fixture(scope="module")
def issuer(start: Start) -> Iterator[BetterAuth]:
    """better-auth as it comes: EdDSA."""
    with start() as running:
        yield running
