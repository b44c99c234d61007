"""Mutated input for the pure functions underneath: each may refuse it in its own words, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from gateway.config.document import ConfigError
from gateway.config.file import load_text
from gateway.policy.decision import Allow, decide
from gateway.policy.denied import Denied
from gateway.policy.fields import HeaderRules
from gateway.policy.jwk import Key, KeySetError, read_key_set
from gateway.policy.key_lookup import Keys, NoKey
from gateway.policy.model import Headers, RequestHead
from gateway.policy.paths import split_target
from gateway.policy.providers import KeySource
from gateway.policy.routes import Policy
from gateway.policy.token import parse_token
from gateway.proxy.cors import is_preflight
from gateway.proxy.frames import FrameBorders
from gateway.proxy.headers import request_lines, response_lines
from tests.fuzz.wire import Finding
from tests.security.casebook import FOLDER
from tests.security.forge import HS_SECRET, jwk
from tests.security.judge import is_guarded

_ENVIRONMENT = {"UPSTREAM": "http://127.0.0.1:1", "KEYS": "http://127.0.0.1:2", "CLOSED": "http://127.0.0.1:3"}
_ENVIRONMENT["SECRET"] = HS_SECRET
_FILES = sorted((Path(__file__).parents[2] / "config").glob("*.yaml"))
_NOW = 1_800_000_000.0


class _NoKeys(Keys):
    def find(self, source: KeySource, kid: str | None, algorithm: str, now: float) -> Key | NoKey:
        return NoKey(fetch_may_help=True, is_outage=False)


def _policy() -> Policy:
    text = (FOLDER / "gateway.yaml").read_text().replace("  /public:", "  /:")
    text = text.replace(
        "  GET /read:", "  /read:"
    )  # beside a public `/`, its other methods would be public by the file
    return load_text(text, "gateway.yaml", _ENVIRONMENT).policy


POLICY = _policy()
RULES = HeaderRules(("x-user-*", "remote-user"), ("X-Auth-User-Id",))


def _target(data: bytes) -> None:
    text = data.decode("latin-1")
    try:
        path, query = split_target(text)
    except Denied:
        return
    again, same_query = split_target(path.text + query)
    if (again.text, same_query) != (path.text, query):
        raise Finding("the canonical form is not the canonical form of itself")


def _head(data: bytes) -> None:
    """A request's head, as aiohttp would hand it over: judged, and its lines for the upstream built."""
    first, *rest = data.decode("latin-1").split("\r\n")
    method, _, target = first.partition(" ")
    lines = [(name, value.strip(" ")) for name, colon, value in (line.partition(":") for line in rest) if colon]
    head = RequestHead(method, target.removesuffix(" HTTP/1.1"), Headers(lines), "192.0.2.1", "http")
    decision = decide(POLICY, _NoKeys(), head, _NOW)
    is_preflight(head)
    response_lines(lines, owns_cors=True)
    if isinstance(decision, Allow):
        if decision.principal is None and is_guarded(decision.target):
            raise Finding(f"public as {decision.target!r}")
        sent = request_lines(head, decision, RULES, [("X-Auth-User-Id", "us")])
        told = [value for name, value in sent if name.lower().replace("_", "-") == "x-auth-user-id"]
        if told != ["us"]:
            raise Finding(f"the upstream would be told {told}")


def _token(data: bytes) -> None:
    try:
        parse_token(data.decode("latin-1"))
    except Denied:
        return


def _file(data: bytes) -> None:
    try:
        load_text(data.decode("utf-8", "replace"), "gateway.yaml", _ENVIRONMENT)
    except ConfigError as mistakes:
        places = [(problem.line, problem.column) for problem in mistakes.problems]
        # 0:0 is the file as a whole: too large, or no UTF-8.
        if not places or any(place < (1, 1) and place != (0, 0) for place in places):
            raise Finding(f"mistakes at {places}") from None


def _keys(data: bytes) -> None:
    try:
        read_key_set(data)
    except KeySetError:
        return


def _frames(data: bytes) -> None:
    whole, pieces = FrameBorders(), FrameBorders()
    whole.feed(data)
    for place in range(0, len(data), 7):
        pieces.feed(data[place : place + 7])
    if (whole.is_at_border, whole.has_close) != (pieces.is_at_border, pieces.has_close):
        raise Finding("frames end elsewhere when they come in pieces")


CHECKS: dict[str, Callable[[bytes], None]] = {
    "target": _target,
    "head": _head,
    "token": _token,
    "file": _file,
    "keys": _keys,
    "frames": _frames,
}


def seeds(name: str, requests: list[bytes]) -> list[bytes]:
    """Return what the mutations of a check begin with; `requests` are those of the wire."""
    match name:
        case "target":
            return [data.split(b" ", 2)[1] for data in requests if data.count(b" ") >= 2]
        case "token":
            return [data.partition(b"Bearer ")[2].partition(b"\r\n")[0] for data in requests if b"Bearer ey" in data]
        case "file":
            return [file.read_bytes() for file in _FILES] + [(FOLDER / "gateway.yaml").read_bytes()]
        case "keys":
            return [
                json.dumps({"keys": [jwk(key) for key in keys]}).encode() for keys in (("rsa1", "ec1"), ("ed1", "oct1"))
            ]
        case "frames":
            return [
                b"\x81\x05hello",
                b"\x82\x7e\x01\x00" + b"x" * 256,
                b"\x88\x82\0\0\0\0\x03\xe8",
                b"\x81\x7f" + b"\0" * 8,
            ]
    return requests


def check(name: str, data: bytes) -> None:
    """Hold what must hold of one function. Raises `Finding`, also in place of anything that is no refusal."""
    try:
        CHECKS[name](data)
    except Finding:
        raise
    except Exception as surprise:
        raise Finding(f"{name}: {type(surprise).__name__}: {surprise}") from surprise
