"""Whatever a body or a query looks like: of what goes on, no place that names an owner names another."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.policy.denied import Denied
from gateway.policy.mastra_routes import Row, rows
from gateway.policy.own_names import CARRIERS, OWNERS, is_identity
from gateway.policy.own_options import FREE
from gateway.policy.own_query import folded
from tests.policy.owners import OTHER, OWNER, Mastra, treat

# Where a caller may write anything, and an owner stands beside it.
_CONTENT = FREE | {"content", "contents", "parts", "metadata", "title", "id", "configuration"}
_NAMES = st.sampled_from(
    [
        "resourceId",
        "resource",
        "resourceid",
        "resource_id",
        "RESOURCEID",
        "resource%49d",
        "threadId",
        "thread",
        "runId",
        "memory",
        "options",
        "messages",
        "message",
        "signal",
        "ifIdle",
        "streamOptions",
        "tracingOptions",
        "traceId",
        "metadata",
        "requestContext",
        "user",
        "mastra__resourceId",
        "MastraMemory",
        "conversation_id",
        "params",
        "contextId",
        "taskId",
        "score",
        "feedback",
        "id",
        "x",
        "inputData",
        "newThreadId",
        "agentId",
        "[resourceId]",
    ]
)
_VALUES = st.recursive(
    st.sampled_from([OTHER, "mine", "", None, 5, True]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=12,
)
_BODIES = st.dictionaries(_NAMES, _VALUES, max_size=6)
_QUERIES = st.lists(st.tuples(_NAMES, st.sampled_from([OTHER, "mine", "", '{"user":1}'])), max_size=4)
_GENERATE = next(row for row in rows() if row.path == "/agents/:agentId/generate")
_ROWS = st.sampled_from([row for row in rows() if row.way in ("pin", "look_up")])
BOTH = {OTHER: OTHER, "mine": OWNER}
SPANS = {one: [{"parentSpanId": None, "resourceId": owner}] for one, owner in BOTH.items()}


def _mastra() -> Mastra:
    return Mastra(BOTH, BOTH, {}, SPANS, BOTH, BOTH, BOTH, BOTH)


def _places(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield every member that a server could read an owner from."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key, inner
            if key == "messages":  # what is within a member of a message is content: a tool's arguments, say
                for message in inner if isinstance(inner, list) else [inner]:
                    yield from message.items() if isinstance(message, dict) else ()
            elif key not in _CONTENT | {"requestContext"}:  # of that only the keys are looked at
                yield from _places(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _places(inner)


def _target(row: Row) -> str:
    owners = {carrier.name for carrier in row.carriers if carrier.place == "path" and carrier.kind == "owner"}
    parts = [OWNER if text[1:] in owners else "mine" if text[0] == ":" else text for text in row.segments]
    return "/api/" + "/".join(parts)


@settings(max_examples=500, deadline=None)
@given(row=_ROWS, body=_BODIES, query=_QUERIES)
@example(row=_GENERATE, body={"messages": {"runId": OTHER}}, query=[])
@example(row=_GENERATE, body={"messages": [{"memory": {"thread": OTHER}}]}, query=[])
def test_nothing_that_goes_on_names_another(row: Row, body: dict[str, Any], query: list[tuple[str, str]]) -> None:
    method = "POST" if row.method == "ALL" else row.method
    written = "&".join(f"{name}={quote(value)}" for name, value in query)
    mastra = _mastra()
    try:
        sent = treat(method, f"{_target(row)}?{written}", None if method == "GET" else body, mastra)
    except Denied:
        return
    parts = urlsplit(sent.target)
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        assert folded(name) not in OWNERS or (name, value) == ("resourceId", OWNER), sent.target
        assert folded(name) != "requestcontext" or not any(map(is_identity, json.loads(value)))
    if method == "GET":
        return
    after = json.loads(sent.body) if sent.body is not None else body
    for name, value in _places(after):
        if name == "requestContext":
            assert value is None or not any(map(is_identity, value))
        elif folded(name) in OWNERS:
            assert value in (OWNER, None), (row, name, value, after)
        elif folded(name) in CARRIERS and value == OTHER:
            # Mastra itself refuses the pair of another's thread and this owner.
            assert OWNER in json.dumps(after) or f"resourceId={OWNER}" in sent.target, (row, name, after)
