"""`gateway demo`: a gateway and a stand-in for Mastra on loopback, and lines to paste that show what it does."""

from __future__ import annotations

import argparse
import secrets
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from gateway.commands.call import BadCall, Command, Refusal
from gateway.commands.health import ask
from gateway.commands.mint import mint_token
from gateway.commands.standin import StandinThread
from gateway.processes.run import serve

_PORT = 8080
_TOKEN_SECONDS = 24 * 3600
_POLL_SECONDS = 0.05
_FILE = """\
# The demo's file. Change it while the demo runs: it is read again.
listen: 127.0.0.1:{port}
admin: 127.0.0.1:{admin_port}
upstreams:
  mastra:
    url: http://127.0.0.1:{upstream_port}
    identity:
      headers: {{X-Auth-Subject: subject, X-Auth-Email: email}}
providers:
  demo: {{type: jwt, secret: "${{DEMO_SECRET}}"}}
routes:
  GET /health: {{public: true}}
  /api: {{provider: demo, allow: {{email_domain: yourcompany.com}}}}
"""
_POST = """-H 'Content-Type: application/json' -d '{"messages":"Weather in Lisbon?"}'"""
# Each as it is printed: the status that it will give, what it shows; the call.
_CALLS = (
    ("200 a public route needs no token", "curl -i $GATEWAY/health"),
    ("401 no token", "curl -i $GATEWAY/api/agents"),
    ("401 an expired token", 'curl -i -H "Authorization: Bearer $EXPIRED" $GATEWAY/api/agents'),
    ("403 a good token, of another company", 'curl -i -H "Authorization: Bearer $STRANGER" $GATEWAY/api/agents'),
    ("200 a good token of yourcompany.com", 'curl -i -H "Authorization: Bearer $STAFF" $GATEWAY/api/agents'),
    ("200 what the upstream learns of the caller", 'curl -i -H "Authorization: Bearer $STAFF" $GATEWAY/api/whoami'),
    (
        "200 an agent answers",
        f'curl -i -H "Authorization: Bearer $STAFF" {_POST} $GATEWAY/api/agents/weatherAgent/generate',
    ),
    (
        "200 an agent streams, one event at a time",
        f'curl -iN -H "Authorization: Bearer $STAFF" {_POST} $GATEWAY/api/agents/weatherAgent/stream',
    ),
    ("404 no route covers the path", 'curl -i -H "Authorization: Bearer $STAFF" $GATEWAY/admin'),
)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, help=f"the gateway's port on 127.0.0.1 (default: {_PORT}, or a free one)")


def _run(call: argparse.Namespace) -> int:
    port = _choose_port(call.port)
    admin_port = _free_port()
    secret = secrets.token_urlsafe(32)
    upstream_port = StandinThread().wait_for_port()
    with tempfile.TemporaryDirectory(prefix="gateway-demo-") as folder:
        file = Path(folder) / "gateway.yaml"
        file.write_text(_FILE.format(port=port, admin_port=admin_port, upstream_port=upstream_port), encoding="utf-8")
        # The lines come when the gateway answers, and the gateway holds this thread until it ends.
        lines = _lines(f"http://127.0.0.1:{port}", admin_port, secret.encode(), file)
        threading.Thread(target=_print_when_well, args=(admin_port, lines), daemon=True).start()
        try:
            return serve(file, {"DEMO_SECRET": secret, "GATEWAY_STATE_DIR": str(file.parent)})
        except KeyboardInterrupt:  # pressed before the gateway listens for it
            return 0


def _lines(address: str, admin_port: int, secret: bytes, file: Path) -> Iterator[str]:
    yield f"# A gateway on {address}, in front of a stand-in for Mastra. Its file: {file}"
    yield f"# Its status page: http://127.0.0.1:{admin_port}"
    yield "# Paste these lines into another terminal."
    yield f"export GATEWAY={address}"
    for name, claims in _tokens(int(time.time())):
        yield f"export {name}={mint_token(claims, secret)}"
    for status_and_meaning, command in _CALLS:
        yield f"\n# {status_and_meaning}\n{command}"
    yield "\n# Ctrl-C ends the demo."


def _tokens(now: int) -> Iterator[tuple[str, dict[str, str | int]]]:
    """Yield tokens by the name of their variable. `now` is Unix seconds."""
    alice: dict[str, str | int] = {"sub": "alice", "email": "alice@yourcompany.com", "exp": now + _TOKEN_SECONDS}
    yield "STAFF", alice
    yield "STRANGER", {**alice, "sub": "eve", "email": "eve@yourcompany.com.example"}
    yield "EXPIRED", {**alice, "exp": now - 3600}


def _print_when_well(admin_port: int, lines: Iterator[str]) -> None:
    while ask(admin_port, "/healthz") != 200:
        time.sleep(_POLL_SECONDS)
    # One write, since log lines may come at the same time; and at once, even into a pipe.
    sys.stdout.write("\n".join([*lines, ""]))
    sys.stdout.flush()


def _choose_port(wanted: int | None) -> int:
    if wanted is None:
        return _PORT if _is_free(_PORT) else _free_port()
    if not 1 <= wanted <= 65535:
        raise BadCall(f"--port {wanted} is no port; expected 1 to 65535")
    if not _is_free(wanted):
        raise Refusal(f"127.0.0.1:{wanted} is in use; without --port a free one is taken")
    return wanted


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # else a port just left counts as in use
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


_EXAMPLES = """\
examples:
  gateway demo                              then paste the lines that it prints
  gateway demo --port 9000
"""
COMMAND = Command(
    "Run a gateway in front of a stand-in for Mastra, both on loopback, and print lines to paste. Ctrl-C ends it.",
    _add_arguments,
    _run,
    _EXAMPLES,
)
