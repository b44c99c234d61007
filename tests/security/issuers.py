"""A gateway in front of key servers that a test controls."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.processes import gateway_process
from tests.security.forge import AUDIENCE, ISSUER, token_for
from tests.security.judge import judge_refusal
from tests.security.rig import Answer, Keys, KeyServer, Upstream, exchange

SLACK_SECONDS = 3.0  # of a busy machine


class Issuers:
    """A gateway with a route `/NAME` for each key set of that name, and the servers behind it."""

    def __init__(self, stack: ExitStack, folder: Path, sets: dict[str, Keys], jwks: dict[str, str]) -> None:
        self.upstream, self.server = Upstream(), KeyServer()
        stack.callback(self.upstream.close)
        stack.callback(self.server.close)
        self.server.paths.update({f"/{name}": keys for name, keys in sets.items()})
        provider = {
            "type": "oidc",
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "algorithms": ["RS256", "ES256"],
            "jwks": jwks,
        }
        configuration = {
            "upstream": self.upstream.url,
            "providers": {name: {**provider, "jwks_uri": f"{self.server.url}/{name}"} for name in sets},
            "routes": {f"/{name}": {"provider": name, "allow": "authenticated"} for name in sets},
        }
        url, self.log = stack.enter_context(gateway_process(_as_block(configuration), folder))
        self.port = urlsplit(url).port or 0

    def call(self, name: str, token: dict[str, Any] | None = None) -> Answer:
        """Call a route with a token (a good one of rsa1), and hold that a refusal reached nobody."""
        self.upstream.take()
        text = token_for(token or {}, time.time())
        request = f"GET /{name} HTTP/1.1\r\nHost: gw.test\r\nAuthorization: Bearer {text}\r\n\r\n"
        answer = exchange(self.port, request.encode())
        assert answer.status != 500
        if answer.status != 200:
            judge_refusal(answer)
        return answer

    def until(self, status: int, seconds: float, name: str, token: dict[str, Any] | None = None) -> float:
        """Call until the answer has a status; return the seconds that took. Fails after `seconds` (and slack)."""
        began = time.monotonic()
        while (answer := self.call(name, token)).status != status:
            assert time.monotonic() - began < seconds + SLACK_SECONDS, f"still {answer.status}, expected {status}"
            time.sleep(0.05)  # polls another process
        return time.monotonic() - began


def _as_block(configuration: dict[str, Any]) -> str:
    """Return YAML whose top level may follow other lines; JSON is YAML below that."""
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in configuration.items())


@contextmanager
def issuers(folder: Path, sets: dict[str, Keys], jwks: dict[str, str]) -> Iterator[Issuers]:
    """Run a gateway in front of these key sets for the length of a block."""
    with ExitStack() as stack:
        yield Issuers(stack, folder, sets, jwks)
