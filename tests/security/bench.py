"""The peers of the cases, all running: key server, upstream, a gateway for each profile."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.machines import key_named, line_of
from tests.processes import gateway_process, refusing_port
from tests.security.casebook import FOLDER
from tests.security.forge import ENCODED_SECRET, HS_SECRET, jwk, token_for
from tests.security.judge import Trial
from tests.security.rig import Answer, Keys, KeyServer, Upstream, exchange
from tests.security.sealed import Sealed

HANDSHAKE = [
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
]
PEOPLE = (
    "rsa1",
    "ec1",
    "rsaenc",
    "rsa512only",
    "rsakeyops",
    "ec384",
    "oct1",
    "ed1",
    "ed1named",
    "ed448",
    "ed448lying",
    "rsa1024",
    "rsa512",
    "rsae1",
)


class Bench:
    """`ports` has the public port of each profile."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        environment = self._start_peers(stack, folder)
        self.sealed = Sealed(FOLDER / "gateway-login.yaml", environment, f"{self.keys.url}/idp")
        text = (FOLDER / "gateway.yaml").read_text()
        self.ports: dict[str, int] = {}
        self.logs: list[Path] = []
        profiles = {
            "main": text,
            "catchall": text.replace("  /public:", "  /:"),
            "readings": (FOLDER / "gateway-readings.yaml").read_text(),
            "claims": (FOLDER / "gateway-claims.yaml").read_text(),
            "login": (FOLDER / "gateway-login.yaml").read_text(),
        }
        for profile, configuration in profiles.items():
            url, log = stack.enter_context(gateway_process(configuration, folder / profile, environment))
            self.ports[profile] = urlsplit(url).port or 0
            self.logs.append(log)

    def _start_peers(self, stack: ExitStack, folder: Path) -> dict[str, str]:
        """Start all but gateways, and return the variables of the configurations."""
        self.keys, self.upstream = KeyServer(), Upstream()
        stack.callback(self.keys.close)
        stack.callback(self.upstream.close)
        self.keys.paths["/people"] = Keys([jwk(name) for name in PEOPLE])
        self.keys.paths["/others"] = Keys([jwk("rsaother")])
        issuer = f"{self.keys.url}/idp"
        metadata = {"issuer": issuer, **{f"{name}_endpoint": f"{issuer}/{name}" for name in ("authorization", "token")}}
        self.keys.paths["/idp/.well-known/openid-configuration"] = Keys(body=json.dumps(metadata).encode())
        self.keys.paths["/idp/token"] = Keys(status=400, body=b'{"error": "invalid_grant"}')
        self.bait = Upstream()  # an address that only tokens name: nobody may come
        stack.callback(self.bait.close)
        return {
            "UPSTREAM": self.upstream.url,
            "KEYS": self.keys.url,
            "CLOSED": f"http://127.0.0.1:{stack.enter_context(refusing_port())}",
            "SECRET": HS_SECRET,
            "ENCODED_SECRET": ENCODED_SECRET,
            "KEYS_FILE": str(_keys_file(folder)),
        }

    def try_case(self, spec: dict[str, Any]) -> Trial:
        """Send a case's request, and return what came of it."""
        now = time.time()
        self.upstream.take()
        token = self.token(spec["token"], now) if "token" in spec else None
        data = self.request(spec, token, now)
        answer = exchange(self.ports[spec.get("profile", "main")], data)
        claims = spec.get("token", {}).get("claims", {})
        return Trial(
            expect=spec["expect"],
            target=spec["target"],
            subject=str(claims.get("sub", "user-1")) if token or spec.get("has_token") else None,
            email=_present(spec.get("email", claims.get("email", "alice@example.com"))),
            answer=answer,
            seen=self.upstream.take(),
            token=token,
            goes=spec.get("goes", "sent"),
            leads=spec.get("leads", f"{self.keys.url}/idp/authorization?"),
            arrives={
                name: value and value.replace("{given}", token or "") for name, value in spec.get("arrives", {}).items()
            },
            signs=spec.get("signs", {}),
        )

    def token(self, spec: dict[str, Any], now: float) -> str:
        """Return a case's token; `{bait}` in its header is an address that nobody may contact."""
        header = {name: _baited(value, self.bait.url) for name, value in spec.get("header", {}).items()}
        return token_for({**spec, "header": header}, now)

    def request(self, spec: dict[str, Any], token: str | None, now: float) -> bytes:
        """Return the bytes of a case: `method`, `target`, `token`, `headers` and `body`.

        The token stands in Authorization, or where the texts say `{given}`. `websocket: true` adds a handshake.
        """
        lines = [f"{spec.get('method', 'GET')} {spec['target']} HTTP/1.1", "Host: gw.test"]
        lines += HANDSHAKE if spec.get("websocket") else []
        lines += spec.get("headers", [])
        if token is not None and not any("{given}" in line for line in lines):
            lines.insert(2, f"Authorization: Bearer {token}")
        text = "\r\n".join(lines) + "\r\n\r\n" + spec.get("body", "")
        return self.filled(text.replace("{given}", token or ""), now).encode("latin-1")

    def filled(self, text: str, now: float) -> str:
        """Return a text with `{token}` (a good one) and `{evil}` (a forged one) filled in.

        `{key}` is the key of a machine, `{key:NAME}` the one of that name: only `caller` and `expired` are in the file.
        """
        text = text.replace("{key}", "{key:caller}")
        text = re.sub(r"\{key:(\w+)\}", lambda found: key_named(found[1]), text)
        if "{token}" in text:
            text = text.replace("{token}", token_for({}, now))
        if any(name in text for name in ("{session", "{begun", "{state}", "{id-token}")):
            for name, made in self.sealed.cookies(now).items():
                text = text.replace(f"{{{name}}}", made)
        if "{evil}" in text:
            text = text.replace("{evil}", token_for({"key": "evil", "claims": {"sub": "evil"}}, now))
        return text

    def ask(self, target: str, profile: str = "main") -> Answer:
        """Send an honest request without a token."""
        return exchange(self.ports[profile], f"GET {target} HTTP/1.1\r\nHost: gw.test\r\n\r\n".encode())


def _keys_file(folder: Path) -> Path:
    path = folder / "keys.yaml"
    lines = line_of("caller", "subject: user-1", "roles: [operator]"), line_of("expired", "expires: 2020-01-01")
    path.write_text("".join(lines))
    return path


def _present(value: Any) -> str | None:
    return value if isinstance(value, str) and value != "<absent>" else None


def _baited(value: Any, url: str) -> Any:
    match value:
        case str():
            return value.replace("{bait}", url)
        case list():
            return [_baited(member, url) for member in value]
        case _:
            return value


@contextmanager
def running_bench(folder: Path) -> Iterator[Bench]:
    """Run everything for the length of a block."""
    with ExitStack() as stack:
        yield Bench(stack, folder)
