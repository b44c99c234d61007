"""A key server for tests that run the gateway as a process: one JWKS, over a real socket, in a thread."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

from tests.keyserver import to_jwk
from tests.minting import rsa_key


class _Keys(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"keys": [to_jwk(rsa_key(), "k1")]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serving_keys() -> Iterator[str]:
    """Serve the public half of `minting.rsa_key()` as `k1`; gives the address of the key set."""
    with HTTPServer(("127.0.0.1", 0), _Keys) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/jwks"
        finally:
            server.shutdown()
            thread.join()
