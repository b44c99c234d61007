"""Engines as they are thought of by who asks: what each puts into a question, and what it makes of the answer."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from gateway.proxy.told import Told

Lines = list[tuple[str, str]]
ENGINES = ("nginx", "haproxy", "forward", "envoy")
HOP_BY_HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "expect", "content-length"}
PEER = "127.0.0.1"


@dataclass
class Sent:
    """What goes up, or what the client gets: `status` 0 means that the request goes on."""

    status: int = 0
    code: str = ""
    method: str = ""
    target: str = ""
    lines: Lines = field(default_factory=list)

    def comparable(self) -> tuple[object, ...]:
        """Return it without what differs each time, and without the order of lines of different names."""
        kept: dict[str, list[str]] = {}
        for name, value in self.lines:
            if name.lower() not in (*HOP_BY_HOP, "x-request-id", "date"):
                kept.setdefault(name.lower(), []).append(value)
        # An engine sets a field once: cookies of several lines are one line for whoever reads them.
        joined = {name: ("; " if name == "cookie" else ", ").join(values) for name, values in kept.items()}
        return self.status, self.code, self.method, self.target, tuple(sorted(joined.items()))


def question(engine: str, method: str, target: str, lines: Lines, printed: str = "") -> bytes:
    """Return the question that an engine asks about a client's request. `printed`: what its path says besides."""
    passed = [(name, value) for name, value in lines if name.lower() not in ("content-length", "transfer-encoding")]
    passed = [(name, value) for name, value in passed if engine != "envoy" or name.lower() != "x-gateway-peer"]
    chain = [value for name, value in passed if name.lower() == "x-forwarded-for"]
    if engine == "envoy":
        return head(method, f"/authz/envoy{printed}{target}", [*passed, ("X-Gateway-Peer", PEER)])
    passed = [(name, value) for name, value in passed if name.lower() not in ("x-forwarded-for", "x-forwarded-proto")]
    passed += [("X-Forwarded-For", ", ".join([*chain, PEER])), ("X-Forwarded-Proto", "http")]
    if engine == "forward":
        host = [value for name, value in passed if name.lower() == "host"]
        names = ("host", "x-forwarded-method", "x-forwarded-uri", "x-forwarded-host")
        passed = [(name, value) for name, value in passed if name.lower() not in names]
        passed += [("X-Forwarded-Method", method), ("X-Forwarded-Uri", target), ("X-Forwarded-Host", host[0])]
        return head("GET", f"/authz/forward{printed}", [("Host", "decide"), *passed])
    passed = [(name, value) for name, value in passed if name.lower() not in ("x-original-method", "x-original-uri")]
    return head(
        "GET", f"/authz/{engine}{printed}", [*passed, ("X-Original-Method", method), ("X-Original-URI", target)]
    )


def head(method: str, target: str, lines: Lines) -> bytes:
    """Return a head as it is written."""
    rows = "".join(f"{name}: {value}\r\n" for name, value in lines)
    return f"{method} {target} HTTP/1.1\r\n{rows}\r\n".encode("utf-8", "surrogateescape")


def read_lines(written: bytes) -> Lines:
    """Return the lines of a head, without its first."""
    rows = written.decode("utf-8", "surrogateescape").split("\r\n")[1:]
    return [(row.partition(":")[0], row.partition(":")[2].strip(" ")) for row in rows if row]


def made_of(engine: str, names: Told, method: str, target: str, lines: Lines, status: int, answer: bytes) -> Sent:
    """Return what an engine does that is answered so. `answer` is head and body."""
    answered, _, body = answer.partition(b"\r\n\r\n")
    told = read_lines(answered)
    if status != 200:
        true_status = next((int(value) for name, value in told if name == "X-Gateway-Status"), status)
        text = next((value for name, value in told if name == "X-Gateway-Body"), body.decode())
        kept = [(n, v) for n, v in told if not n.startswith("X-Gateway-")]
        return Sent(true_status, json.loads(text)["code"] if text else "", lines=kept)
    said = {name.lower(): value for name, value in told}
    gone = {*HOP_BY_HOP, *(name.lower() for name in names.told)}
    if engine in ("nginx", "forward"):
        gone |= {name.lower() for name in names.stripped}
    removed = said.get({"haproxy": "x-gateway-remove", "envoy": "x-envoy-auth-headers-to-remove"}.get(engine, ""), "")
    gone |= {name.strip().lower() for name in removed.split(",")}
    if engine == "envoy":  # they are the answer's by then, and go before the upstream sees them
        gone |= {"x-gateway-target", "x-gateway-upstream"}
    onward = [(name, value) for name, value in lines if name.lower() not in gone]
    onward += [(name, said[name.lower()]) for name in names.told if name.lower() in said]
    sent = said.get("x-gateway-target", target)
    if engine == "envoy" and "?" in target:
        sent = f"{sent}?{target.partition('?')[2]}"
    return Sent(0, "", method, sent, onward)
