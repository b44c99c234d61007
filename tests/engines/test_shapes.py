"""Engines in other shapes: TLS on both sides, proxies in front, CORS, HTTP/2, and several services that decide."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import Queue

import pytest

from tests.engines.conftest import BEARER, Stage, request_bytes, stage_of
from tests.engines.front import engine_in_front
from tests.engines.programs import Engine, compiled, running
from tests.minting import SECRET
from tests.processes import free_port, served, wait_until
from tests.security.rig import Answer, Upstream, exchange, first_answer
from tests.server.test_server import make_certificate

pytestmark = pytest.mark.engines
_ORIGIN = "https://app.example.com"
_ONE_ROUTE = (
    "upstream: ${UPSTREAM}\nproviders: {jobs: {type: jwt, secret: '${SECRET}', expiry: optional}}\n"
    "routes: {/api: {provider: jobs, allow: authenticated}}\n"
)


def engines_that(*names: str) -> pytest.MarkDecorator:
    """Try a test with these engines only."""
    return pytest.mark.parametrize("engine", names, indirect=True, scope="module")


@engines_that("nginx", "haproxy", "envoy")
def test_cors_is_the_gateways(engine: Engine, tmp_path: Path) -> None:
    with ExitStack() as stack:
        stage = stage_of(stack, engine, tmp_path, f"cors: {{origins: ['{_ORIGIN}']}}\n")
        asked = ["Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization"]
        preflight = stage.ask("OPTIONS /api/x", f"Origin: {_ORIGIN}", *asked)
        assert preflight.status == 204, preflight.raw
        assert preflight.header("Access-Control-Allow-Origin") == _ORIGIN
        assert "POST" in (preflight.header("Access-Control-Allow-Methods") or "")
        assert stage.upstream.take() == []
        stranger = stage.ask("OPTIONS /api/x", "Origin: https://evil.test", *asked)
        assert stranger.header("Access-Control-Allow-Origin") is None
        for lines in ([BEARER], []):  # allowed, refused
            answer = stage.ask("GET /api/x", f"Origin: {_ORIGIN}", *lines)
            assert answer.header("Access-Control-Allow-Origin") == _ORIGIN, answer.raw
            assert answer.header("Access-Control-Allow-Credentials") == "true"
            assert "Origin" in (answer.header("Vary") or "")


def test_what_a_trusted_proxy_says_is_believed_and_nobody_else(engine: Engine, tmp_path: Path) -> None:
    told = ["X-Forwarded-For: 6.6.6.6, 192.0.2.7", "X-Forwarded-Proto: https"]
    for name, more, expected in (
        ("believed", "trusted_proxies: [127.0.0.0/8]\n", ("192.0.2.7, 127.0.0.1", "https")),
        ("stranger", "trusted_proxies: [10.0.0.0/8]\n", ("127.0.0.1", "http")),
    ):
        with ExitStack() as stack:
            stage = stage_of(stack, engine, tmp_path / name, more)
            assert stage.ask("GET /api/x", BEARER, *told).status == 200
            [seen] = stage.upstream.take()
            assert (seen.all("X-Forwarded-For"), seen.all("X-Forwarded-Proto")) == ([expected[0]], [expected[1]])


def test_tls_on_the_public_port(engine: Engine, tmp_path: Path) -> None:
    tls = make_certificate(tmp_path, "front")
    key = Path(f"{tls.certificate_file}.key")  # where HAProxy looks for it
    key.write_bytes(tls.key_file.read_bytes())
    with ExitStack() as stack:
        more = f"tls: {{certificate_file: '{tls.certificate_file}', key_file: '{key}'}}\n"
        stage = stage_of(stack, engine, tmp_path / "stage", more)
        assert _ask_over_tls(stage.port, tls.certificate_file, "GET /api/x").status == 401
        assert _ask_over_tls(stage.port, tls.certificate_file, "GET /api/x", BEARER).status == 200
        [seen] = stage.upstream.take()
        assert seen.all("X-Forwarded-Proto") == ["https"]


def _ask_over_tls(port: int, certificate: Path, request: str, *lines: str) -> Answer:
    context = ssl.create_default_context(cafile=str(certificate))
    with socket.create_connection(("127.0.0.1", port), timeout=15) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as connection:
            connection.sendall(request_bytes(request, *lines))
            return first_answer(connection)


def test_an_https_upstream_is_verified(engine: Engine, tmp_path: Path) -> None:
    good, bad = make_certificate(tmp_path, "good"), make_certificate(tmp_path, "bad")
    with ExitStack() as stack:
        port = stack.enter_context(_https_upstream(good.certificate_file, good.key_file))
        for trusted, status in ((good, 200), (bad, 502)):
            folder = tmp_path / trusted.certificate_file.stem
            text = (
                f"upstreams: {{default: {{url: 'https://localhost:{port}', ca_file: '{trusted.certificate_file}'}}}}\n"
                "routes: {/public: {public: true}}\n"
            )
            with ExitStack() as own:
                front = own.enter_context(engine_in_front(engine, text, folder))
                answer = exchange(front.port, request_bytes("GET /public/x"))
                assert answer.status == status or (status == 502 and answer.status in (500, 503)), answer.raw


@contextlib.contextmanager
def _https_upstream(certificate: Path, key: Path) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    plain, _ = listening.accept()
                    with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as connection:
                        connection.recv(65536)
                        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]


@engines_that("envoy")
def test_http2_in_front(engine: Engine, tmp_path: Path) -> None:
    with ExitStack() as stack:
        stage = stage_of(stack, engine, tmp_path)
        assert _curl2(stage, "/api/x") == "2 401"
        assert _curl2(stage, "/api/x", "-H", BEARER, "-H", "X-Auth-Subject: evil") == "2 200"
        [seen] = stage.upstream.take()
        assert seen.all("X-Auth-Subject") == ["user-1"]


def _curl2(stage: Stage, path: str, *options: str) -> str:
    url = f"http://127.0.0.1:{stage.port}{path}"
    command = [
        "curl",
        "-sS",
        "--http2-prior-knowledge",
        "-o",
        os.devnull,
        "-w",
        "%{http_version} %{http_code}",
        *options,
    ]
    return subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout


def test_a_name_that_the_file_has_since_counts_though_the_engine_was_printed_before(
    engine: Engine, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        stage = stage_of(stack, engine, tmp_path)
        file = tmp_path / "gateway.yaml"
        text = file.read_text(encoding="utf-8")
        for old, new in (
            ("[Remote-User]", "[Remote-User, X-New-Strip]"),
            ("X-Auth-Email: email", "X-Auth-Email: email, X-New-Email: email"),
            ("headers: {X-Upstream-Key:", "headers: {X-New-Key: 'text:constant', X-Upstream-Key:"),
            ("routes:\n", "routes:\n  /added: {public: true}\n"),
        ):
            assert old in text
            text = text.replace(old, new)
        file.write_text(text, encoding="utf-8")
        os.kill(stage.front.gateway.pid, signal.SIGHUP)
        wait_until(lambda: stage.ask("GET /added/x").status == 200)
        stage.upstream.take()
        for name in ("X-New-Strip", "X-New-Email", "X-New-Key", "x-new-key"):
            for request, lines in (("GET /api/x", [BEARER]), ("GET /plain/x", []), ("GET /added/x", [])):
                answer = stage.ask(request, *lines, f"{name}: forged")
                for seen in stage.upstream.take():
                    assert "forged" not in [value for _, value in seen.fields], f"{request} {name}"
                assert answer.status == (200 if engine.name in ("haproxy", "envoy") else 400), answer.raw
        assert stage.ask("GET /api/x", BEARER, "X-Auth-Email: forged").status == 200
        [seen] = stage.upstream.take()
        assert seen.all("X-Auth-Email") == ["alice@example.com"]


class Service:
    """Where an engine asks, on a socket of its own: each question is on a connection of its own, and in a thread."""

    def __init__(self, path: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def answer(self, question: bytes) -> bytes:
        """Return the answer to a question, or nothing for none."""
        raise NotImplementedError

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._take, args=(connection,), daemon=True).start()

    def _take(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            question = head_of(connection)
            if question:
                connection.sendall(self.answer(question))


class DyingService(Service):
    """It drops each question: the first one when it is let go, until then it is held, and `events` says so."""

    def __init__(self, path: Path, events: Queue[str]) -> None:
        self._events, self._released, self._is_first = events, threading.Event(), True
        super().__init__(path)

    def let_go(self) -> None:
        self._released.set()

    def answer(self, question: bytes) -> bytes:
        if self._is_first:
            self._is_first = False
            self._events.put("held")
            self._released.wait(20)
        return b""


class ClosingService(Service):
    """It asks the gateway, and closes after each yes: an engine has no idle connection that it could ask on instead."""

    def __init__(self, path: Path, gateway: Path) -> None:
        self._gateway = gateway
        super().__init__(path)

    def answer(self, question: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(str(self._gateway))
            asking.sendall(question)
            return head_of(asking).removesuffix(b"\r\n") + b"Connection: close\r\n\r\n"


def head_of(connection: socket.socket) -> bytes:
    """Return what comes, up to the end of a head; nothing if it ends before."""
    read = b""
    while not read.endswith(b"\r\n\r\n"):
        piece = connection.recv(65536)
        if not piece:
            return b""
        read += piece
    return read


@engines_that("envoy", "nginx", "haproxy", "caddy")
def test_a_service_that_drops_a_question_while_others_are_asked_costs_no_request(
    engine: Engine, tmp_path: Path
) -> None:
    # Which one is asked next is each question's own: by then another question may have moved what all of them share.
    upstream, files, port = Upstream(), tmp_path / "engine", free_port()
    environment = {"UPSTREAM": upstream.url, "SECRET": SECRET.decode()}
    request = request_bytes("GET /api/x", BEARER)
    events: Queue[str] = Queue()
    with ExitStack() as stack:
        stack.callback(upstream.close)
        dying, good, gateway = (tmp_path / f"{name}.sock" for name in ("dying", "good", "gateway"))
        text = f"decisions: {{listen: 'unix:{gateway}'}}\n{_ONE_ROUTE}"
        stack.enter_context(served(text, tmp_path / "good", environment))
        service, other = DyingService(dying, events), ClosingService(good, gateway)
        stack.callback(service.close)
        stack.callback(other.close)
        where = [f"--decisions=unix:{path}" for path in (dying, good)]
        file = tmp_path / "good" / "gateway.yaml"
        compiled(engine.name, file, files, f"--listen=127.0.0.1:{port}", *where, environment=environment)
        stack.enter_context(running(engine, files, port))

        def ask() -> int:
            status = exchange(port, request).status
            events.put(f"answered {status}")
            return status

        callers = stack.enter_context(ThreadPoolExecutor(2))
        held = callers.submit(ask)
        while events.get(timeout=20) != "held":  # it went to the good one
            held = callers.submit(ask)
        assert callers.submit(ask).result(20) == 200
        service.let_go()
        assert held.result(20) == 200


@engines_that("envoy", "nginx", "haproxy", "caddy")
def test_one_of_two_services_that_dies_costs_no_request(engine: Engine, tmp_path: Path) -> None:
    upstream, files, port = Upstream(), tmp_path / "engine", free_port()
    environment = {"UPSTREAM": upstream.url, "SECRET": SECRET.decode()}
    request = request_bytes("GET /api/x", BEARER)
    with ExitStack() as stack:
        stack.callback(upstream.close)
        sockets = [tmp_path / f"{name}.sock" for name in ("one", "two")]
        services = [
            stack.enter_context(
                served(f"decisions: {{listen: 'unix:{path}'}}\n{_ONE_ROUTE}", tmp_path / path.stem, environment)
            )
            for path in sockets
        ]
        where = [f"--decisions=unix:{path}" for path in sockets]
        file = tmp_path / "one" / "gateway.yaml"
        compiled(engine.name, file, files, f"--listen=127.0.0.1:{port}", *where, environment=environment)
        stack.enter_context(running(engine, files, port))

        def ask(number: int) -> int:
            if number == 1000:
                os.kill(services[0].pid, signal.SIGKILL)
            return exchange(port, request).status

        with ThreadPoolExecutor(16) as callers:  # many at a time: Envoy's own limit of retries is three
            assert Counter(callers.map(ask, range(8000))) == {200: 8000}
