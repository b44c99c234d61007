"""`gateway health`: does an admin port answer? For health checks of containers; not in the list of commands."""

from __future__ import annotations

import argparse
from http.client import HTTPConnection, HTTPException

from gateway.commands.call import Command, Refusal

_TIMEOUT_SECONDS = 3.0


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=9090, help="the admin port on 127.0.0.1 (default: 9090)")
    parser.add_argument("--path", default="/healthz", help="what to ask for (default: /healthz; also: /readyz)")


def _run(call: argparse.Namespace) -> int:
    """Return 0 if the answer is 200. Raises `Refusal` if it is not."""
    status = ask(call.port, call.path)
    if status != 200:
        raise Refusal(f"http://127.0.0.1:{call.port}{call.path} says {status or 'nothing'}, expected 200")
    return 0


def ask(port: int, path: str) -> int | None:
    """Return the status that a port on loopback answers with, or None if nothing answers."""
    connection = HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


COMMAND = Command("Ask a port on loopback whether it is well: 0 if it says 200.", _add_arguments, _run)
