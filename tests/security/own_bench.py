"""The peers of the cases of ownership: a Mastra with things of two people, and a gateway with `own:` before it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.processes import Served, served
from tests.security.casebook import FOLDER
from tests.security.forge import HS_SECRET, token_for
from tests.security.mastra import Mastra
from tests.security.rig import Answer, exchange


class OwnBench:
    """A gateway with `own:` and the Mastra behind it."""

    def __init__(self, mastra: Mastra, gateway: Served) -> None:
        self.mastra, self.gateway, self.port, self.log = mastra, gateway, gateway.port, gateway.log

    def send(self, case: dict[str, Any]) -> Answer:
        """Send a case's request; gives the answer."""
        return exchange(self.port, request(case))


@contextmanager
def running_own(folder: Path, limits: str = "") -> Iterator[OwnBench]:
    """Run both for the length of a block, with other limits than those of the cases if some are given."""
    mastra = Mastra()
    text = (FOLDER / "gateway-own.yaml").read_text()
    text = re.sub(r"(?m)^limits: .*$", lambda found: limits or found[0], text)
    environment = {"UPSTREAM": mastra.url, "SECRET": HS_SECRET}
    with closing(mastra), served(text, folder, environment) as gateway:
        yield OwnBench(mastra, gateway)


def bearer(claims: dict[str, Any] | None = None) -> str:
    """Return bob's token, or one of other claims."""
    return token_for({"key": "secret", "secret": HS_SECRET, "claims": {"sub": "bob", **(claims or {})}}, time.time())


def request(spec: dict[str, Any]) -> bytes:
    """Return a case's bytes."""
    body = spec.get("body")
    method, target = spec.get("method", "GET"), spec.get("target", "")
    if "both" in spec:
        place, _, body = spec["both"].partition(" {")
        body = "{" + body
        method, _, target = place.rpartition(" ") if " " in place else (method, "", place)
    if "line" in spec:
        method, _, target = spec["line"].partition(" ")
    lines = [line for line in spec.get("headers", []) if line]
    type_ = spec.get("type", "application/json")
    if "form" in spec:
        body = form_of(spec["form"])
        type_ = spec.get("type", "multipart/form-data; boundary=x")
    data = b"" if body is None else body.encode("latin-1")
    if body is not None:
        lines += [f"Content-Type: {type_}"] if type_ not in ("", "none") else []
        match spec.get("framing", "length"):
            case "length":
                lines.append(f"Content-Length: {len(data)}")
            case "chunked":
                lines.append("Transfer-Encoding: chunked")
                data = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in pieces(data)) + b"0\r\n\r\n"
    head = [
        f"{method} {target} HTTP/1.1",
        "Host: gw.test",
        f"Authorization: Bearer {bearer(spec.get('claims'))}",
        *lines,
    ]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + data


def pieces(data: bytes) -> Iterator[bytes]:
    yield from (data[at : at + 50_000] for at in range(0, len(data), 50_000))


def form_of(fields: dict[str, str]) -> str:
    parts = (f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n' for name, text in fields.items())
    return "".join(parts) + "--x--\r\n"
