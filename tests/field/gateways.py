"""The gateway of a file, as a process or in the test's own loop, between an issuer and an upstream that keep what came.

async with field.serving(TEXT) as gateway:
    arrived = await gateway.passes("/api/x", token)
    await gateway.refuses("/api/x", other, "issuer_mismatch")
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
import urllib.request
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

from gateway.commands.main import run_command
from gateway.config.file import load
from gateway.config.model import Address
from gateway.endpoints.admin import Admin
from gateway.endpoints.local import LocalState
from gateway.policy.reasons import Reason
from gateway.server.gateway import Gateway
from tests.field.issuer import Issuer
from tests.minting import SECRET
from tests.processes import Served, served, status_of, wait_until
from tests.rawpeer import ask
from tests.running import WIRE
from tests.security.judge import judge_refusal
from tests.security.rig import Answer, Upstream
from tests.security.strict import Seen

Headers = Iterable[tuple[str, str]]


class Serving:
    """A gateway that is up, and who calls it."""

    def __init__(self, port: int, admin: int, upstream: Upstream) -> None:
        self.port, self._admin, self._upstream = port, admin, upstream

    async def ask(
        self, path: str, token: str | None = None, *, method: str = "GET", headers: Headers = (), port: int = 0
    ) -> Answer:
        """Return the answer to a request without a body; `token` goes as Bearer."""
        fields = [
            ("Host", "gateway.test"),
            *([] if token is None else [("Authorization", f"Bearer {token}")]),
            *headers,
        ]
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        _, head, body = await ask(port or self.port, f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode())
        return Answer(head + body)

    async def passes(self, path: str, token: str | None = None, *, method: str = "GET", headers: Headers = ()) -> Seen:
        """Hold that a request gets through; return it as it arrived."""
        self._upstream.take()
        answer = await self.ask(path, token, method=method, headers=headers)
        assert answer.status == 200, answer.raw.decode()
        (arrived,) = self._upstream.take()
        return arrived

    async def refuses(
        self, path: str, token: str | None, code: str, *, method: str = "GET", headers: Headers = ()
    ) -> Answer:
        """Hold that a request is refused with a code, its status, and all that a refusal owes; nobody hears of it."""
        self._upstream.take()
        answer = await self.ask(path, token, method=method, headers=headers)
        assert self._upstream.take() == [], answer.raw.decode()
        found = json.loads(answer.body)["code"] if answer.status != 200 else "(passed)"
        assert (found, answer.status) == (code, Reason[code.upper()].value.status), answer.raw.decode()
        judge_refusal(answer)
        return answer

    async def ready(self) -> tuple[int, str]:
        """Return status and reason of `/readyz`."""
        answer = await self.ask("/readyz", port=self._admin)
        return answer.status, str(json.loads(answer.body)["why"])

    async def troubles(self) -> str:
        """Return what `/status` complains of."""
        answer = await self.ask("/status", port=self._admin)
        return json.dumps(json.loads(answer.body)["troubles"])


class Field:
    """An issuer and an upstream on loopback, and what the commands say of a file beside them.

    A file names them `${ISSUER}`, `${UPSTREAM}`, `${SECRET}` (a shared one) and `${FOLDER}`; where it has no upstream,
    there is that one.
    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self._stack = folder, stack
        self.issuer, self.upstream = Issuer(), Upstream()
        stack.callback(self.issuer.close)
        stack.callback(self.upstream.close)
        self.environment = {
            "UPSTREAM": self.upstream.url,
            "ISSUER": self.issuer.url,
            "SECRET": SECRET.decode(),
            "FOLDER": str(folder),
            "GATEWAY_STATE_DIR": str(folder),
        }

    def text_of(self, text: str) -> str:
        """Return a file's whole text."""
        return text if "upstreams:" in text else f"upstream: ${{UPSTREAM}}\n{text}"

    async def why(self, text: str, path: str, token: str, method: str = "GET") -> dict[str, Any]:
        """Return what `gateway explain --json` says of a request with a token."""
        status, said = await asyncio.to_thread(self._command, text, "explain", method, path, "--json", "--token", token)
        explained: dict[str, Any] = json.loads(said)
        assert status == (explained["decision"] == "deny")
        return explained

    async def advice(self, text: str, path: str, token: str, code: str) -> str:
        """Return what `gateway explain` advises where a request is refused with a code."""
        explained = await self.why(text, path, token)
        assert explained["code"] == code, explained
        return "\n".join(explained["advice"])

    def check(self, text: str) -> tuple[int, str]:
        """Return exit status and words of `gateway check`."""
        return self._command(text, "check")

    def _command(self, text: str, *words: str) -> tuple[int, str]:
        file = self.folder / "asked.yaml"
        file.write_text(self.text_of(text))
        said = io.StringIO()
        with patch.dict("os.environ", self.environment), redirect_stdout(said), redirect_stderr(said):
            status = run_command([*words, "-c", str(file)])
        return status, said.getvalue()

    @asynccontextmanager
    async def serving(self, text: str) -> AsyncIterator[Serving]:
        """Serve a file in the test's own loop for the length of a block."""
        file = self.folder / "gateway.yaml"
        file.write_text(f"listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\n{self.text_of(text)}")
        gateway = Gateway(load(file, WIRE | self.environment))
        admin = Admin(LocalState(gateway))
        try:
            await gateway.start()
            await admin.start(Address("127.0.0.1", 0))
            yield Serving(gateway.port, admin.port, self.upstream)
        finally:
            await admin.stop()
            await gateway.stop()


class Standing:
    """A gateway that runs as a process and reads one file after the other: a start for each would take minutes."""

    def __init__(self, gateway: Served, folder: Path) -> None:
        self.gateway, self._folder, self._number = gateway, folder, 0

    def load(self, text: str) -> None:
        """Have a text read and in force. Each has a route of its own, by which it is known."""
        self._number += 1
        path, before = f"/.loaded/{self._number}", self._mistakes()
        listening = f"listen: 127.0.0.1:{self.gateway.port}\nadmin: 127.0.0.1:{self.gateway.admin}\n"
        marked = text.replace("routes:\n", f"routes:\n  {path}: {{public: true}}\n")
        fresh = self._folder / "next.yaml"
        fresh.write_text(listening + marked)
        fresh.replace(self._folder / "gateway.yaml")  # in one step: who looks at it sees all of it
        os.kill(self.gateway.pid, signal.SIGHUP)

        def is_loaded() -> bool:
            if status_of(f"http://127.0.0.1:{self.gateway.port}{path}") != 404:
                return True
            assert self._mistakes() in (None, before), self._mistakes()
            return False

        wait_until(is_loaded)

    def _mistakes(self) -> str | None:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.gateway.admin}/status", timeout=5) as answer:
            found: str | None = json.load(answer)["configuration"]["reload_error"]
        return found


EMPTY = "upstream: http://127.0.0.1:9\nroutes:\n  /.empty: {public: true}\n"


@contextmanager
def standing(folder: Path) -> Iterator[Standing]:
    """Run a gateway for many files for the length of a block."""
    with served(EMPTY, folder) as gateway:
        yield Standing(gateway, folder)


class StandingField(Field):
    """The same with a gateway that runs as a process."""

    def __init__(self, folder: Path, stack: ExitStack, gateway: Standing) -> None:
        super().__init__(folder, stack)
        self._standing = gateway

    @asynccontextmanager
    async def serving(self, text: str) -> AsyncIterator[Serving]:
        """Serve a file for the length of a block."""
        filled = re.sub(r"\$\{(\w+)\}", lambda name: self.environment[name[1]], self.text_of(text))
        try:
            self._standing.load(filled)
            self.upstream.take()
            yield Serving(self._standing.gateway.port, self._standing.gateway.admin, self.upstream)
        finally:
            self._standing.load(EMPTY)  # with it what was remembered of the keys goes
