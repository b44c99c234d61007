"""Where engines ask for decisions, and who may: `decisions:`."""

from __future__ import annotations

from pathlib import Path

from gateway.config.addresses import ADDRESS, NETWORK, is_loopback
from gateway.config.document import Node
from gateway.config.lists import ListOf
from gateway.config.model import Address, Decisions
from gateway.config.readers import Mistake, Scalar, Schema
from gateway.config.reading import Reading, Unreadable
from gateway.config.records import Field, Record

_SOCKET = "unix:"
_MAX_SOCKET_BYTES = 100  # a kernel takes 103 on macOS, 107 on Linux


def read_place(written: str) -> Address | Path:
    if not written.startswith(_SOCKET):
        return ADDRESS.parse(written)
    path = Path(written.removeprefix(_SOCKET))
    if not path.is_absolute():
        raise Mistake(f"(did you mean 'unix:/run/gateway/{path.name or 'decide.sock'}'?)")
    if len(str(path).encode()) > _MAX_SOCKET_BYTES:
        raise Mistake(f"which is longer than {_MAX_SOCKET_BYTES} bytes, more than the path of a socket may have")
    return path


LISTEN = Field(
    "listen",
    Scalar("a socket such as unix:/run/gateway/decide.sock, or host:port", read_place),
    "the socket or address that engines ask at, never the public port",
    is_required=True,
)
FROM = Field(
    "from",
    ListOf(NETWORK, "networks", or_one=True),
    "networks of the engines, who alone are answered; needed unless `listen` is a socket or loopback",
    "any on a socket or loopback",
)
DECISIONS_RECORD = Record("decisions", (LISTEN, FROM))


class _DecisionsReader:
    """Where and from where may be asked."""

    def read(self, node: Node, reading: Reading) -> Decisions:
        values = DECISIONS_RECORD.read(node, reading)
        listen = values.need(LISTEN)
        if FROM in values and isinstance(listen, Path):
            said = "'from' says nothing of a socket: its folder says who may reach it"
            reading.warn(values.key_place(FROM), said)
        if isinstance(listen, Address) and FROM not in values and not is_loopback(listen.host):
            reading.refuse(
                values.node(LISTEN), f"found {listen.host} without 'from', expected the networks of the engines",
                "decisions: {listen: ..., from: [10.0.0.0/8]}",
            )  # fmt: skip
        if values.broken:
            raise Unreadable
        return Decisions(listen, values.get(FROM, ()))

    def schema(self) -> Schema:
        return DECISIONS_RECORD.schema()


_MEANING = "answer nginx, Envoy, HAProxy, Traefik or Caddy when they ask whether a request may pass"
DECISIONS = Field("decisions", _DecisionsReader(), _MEANING)
