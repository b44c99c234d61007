"""One user against another through the gateway, at Mastras without auth and with their own: nothing gets through.

And everything that a client does with what is its own works as without a gateway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.mastra.own.conftest import CALLERS_SECRET, MASTRA_SECRET, Found, attack, calls
from tests.processes import gateway_process

TOGETHER = "8"  # as none is expected to get through, several can share a victim
# Mastra answers a message without a context with one of its own; the gateway has to choose it first.
DIFFERENT = {"a2a.sendMessage", "a2a.getTask"}


@dataclass(frozen=True)
class Way:
    """How the gateway stands before a Mastra, and how the two know the caller."""

    kind: str
    identity: str
    secret: str

    def file(self, upstream: str) -> str:
        return f"""
upstreams:
  mastra: {{url: {upstream}, own: {{by: subject, like: {{/my-chat: generate}}}}, identity: {self.identity}}}
providers:
  people: {{type: jwt, secret: {self.secret}}}
routes:
  /api: {{provider: people, allow: authenticated}}
  /chat: {{provider: people, allow: authenticated}}
  /my-chat: {{provider: people, allow: authenticated}}
  /api/vector: {{provider: people, allow: {{role: admin}}, own: false}}
  POST /api/memory/threads/{{thread}}/transfer: {{provider: people, allow: {{role: admin}}, own: false}}
"""


SIGN = f"{{authorization: sign, secret: {MASTRA_SECRET}, claims: [sub]}}"
FORWARD = "{authorization: forward}"
WAYS = {
    "without-auth": Way("none", "{}", CALLERS_SECRET),
    "jwt-signed": Way("jwt", SIGN, CALLERS_SECRET),
    "jwt-forwarded": Way("jwt", FORWARD, MASTRA_SECRET),
    "mapped-signed": Way("mapped", SIGN, CALLERS_SECRET),
    "mapped-forwarded": Way("mapped", FORWARD, MASTRA_SECRET),
}

Serve = Callable[[str], AbstractContextManager[tuple[Way, str, str]]]


@pytest.fixture
def serve(mastras: dict[str, str], tmp_path: Path) -> Serve:
    """Return a function that puts a gateway before a Mastra in this way; gives the way, and both addresses."""

    @contextmanager
    def start(name: str) -> Iterator[tuple[Way, str, str]]:
        way = WAYS[name]
        upstream = mastras[way.kind]
        with gateway_process(way.file(upstream), tmp_path) as (address, _):
            yield way, upstream, address

    return start


def through(found: Found) -> dict[str, list[str]]:
    """Return what got through, and how."""
    return {name: [*one["through"], *one["said"]] for name, one in found.items() if one["through"]}


@pytest.mark.parametrize(
    ("name", "part", "at_least"),
    [
        ("without-auth", "1/1", 520),
        ("mapped-signed", "1/1", 520),
        ("jwt-forwarded", "1/3", 160),
        ("jwt-signed", "2/3", 160),
        ("mapped-forwarded", "3/3", 160),
    ],
)
def test_nobody_gets_at_what_is_anothers(node: str, serve: Serve, name: str, part: str, at_least: int) -> None:
    with serve(name) as (way, upstream, address):
        found = attack(node, way.kind, upstream, BASE_URL=address, SECRET=way.secret, PART=part, TOGETHER=TOGETHER)
    assert through(found) == {}
    assert len(found) >= at_least


def test_operators_get_at_what_the_file_leaves_to_them(node: str, serve: Serve) -> None:
    # The same probes by an operator: what gets through are the two routes that say `own: false`.
    with serve("without-auth") as (way, upstream, address):
        found = attack(
            node,
            way.kind,
            upstream,
            *OPERATORS,
            BASE_URL=address,
            SECRET=way.secret,
            ATTACKER='{"roles": ["admin"]}',
        )
    assert set(found) == set(OPERATORS)
    assert set(through(found)) == {name for name, is_theirs in OPERATORS.items() if is_theirs}


OPERATORS = {
    "memory: transfer for oneself": True,
    "door: vectors queried": True,
    "memory: threads, of the other": False,
    "memory: messages, of the other": False,
    "memory: delete": False,
    "memory: take over": False,
    "memory: clone": False,
    "run: approve-tool-call": False,
    "run: approve-tool-call, without memory": False,
    "run: workflow, resume-async": False,
    "record: trace, get": False,
    "record: traces deleted": False,
    "record: schedule by id": False,
    "door: conversation, items": False,
    "door: stored agent": False,
}


@pytest.mark.parametrize("name", ["without-auth", "jwt-forwarded", "mapped-signed"])
def test_what_is_ones_own_works_as_without_a_gateway(
    node: str, serve: Serve, own_calls: Callable[[str], Found], name: str
) -> None:
    with serve(name) as (way, upstream, address):
        found = calls(node, way.kind, upstream, BASE_URL=address, SECRET=way.secret)
    differ = {name: (one, found[name]) for name, one in own_calls(way.kind).items() if one != found[name]}
    assert set(differ) == DIFFERENT, differ
    # With `mapUserToResourceId`, Mastra itself refuses an agent that has memory and is called without a thread.
    refused = [name for name, one in found.items() if "must be provided when using Memory" in one.get("failed", "")]
    assert len(refused) == (10 if way.kind == "mapped" else 0), refused
    assert len([one for one in found.values() if "failed" in one]) == len(refused)
