"""The table of Mastra's routes, held against the list that the real server registers, and its own schemas."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway.policy.denied import Denied
from gateway.policy.enquiries import Told
from gateway.policy.mastra_routes import Row, row_of, rows
from gateway.policy.own_names import CARRIERS, OWNED, OWNERS
from gateway.policy.own_query import folded
from tests.policy.owners import OTHER, OWNER, Mastra, treat

Route = dict[str, Any]
# What is Mastra's to look after, once the owner is there: of a list only what is the owner's is told.
_FILTERS = frozenset({"threadid", "runid"})


@pytest.fixture(scope="module")
def routes(run_node_once: Callable[[str], dict[str, Any]]) -> list[Route]:
    return list(run_node_once("routes.mjs")["routes"])


def _row(route: Route) -> Row:
    (row,) = [one for one in rows() if (one.method, one.path) == (route["method"], route["path"])]
    return row


def _target(row: Row, query: str = "") -> str:
    return "/api" + "".join(f"/{'mine' if text[0] == ':' else text}" for text in row.segments) + query


def test_table_is_the_servers_own_list(routes: list[Route]) -> None:
    theirs = [(one["method"], one["path"], tuple(one["permission"])) for one in routes]
    ours = [(one.method, one.path, one.permission) for one in rows()]
    assert [one for one in theirs if one not in ours] == [], "the server has these, the table does not"
    assert [one for one in ours if one not in theirs] == [], "the table has these, the server does not"


def test_first_route_that_takes_a_path_is_the_first_row(routes: list[Route]) -> None:
    order = [(one["method"], one["path"]) for one in routes]
    for route in routes:
        segments = ("api", *(text.replace(":", "~") for text in _row(route).segments))
        found = row_of("GET" if route["method"] == "ALL" else route["method"], segments)
        assert found is not None
        assert order.index((found.method, found.path)) <= order.index((route["method"], route["path"]))


def _carriers(names: list[str]) -> list[str]:
    return [name for name in names if folded(name.rpartition(".")[2]) in CARRIERS]


def test_route_with_a_field_for_an_owner_is_none_that_just_passes(routes: list[Route]) -> None:
    passing = {
        (one["method"], one["path"]): found
        for one in routes
        if _row(one).way == "none" and (found := _carriers(one["query"]) + _carriers(one["body"]))
    }
    assert passing == {}


class Others(Mastra):
    """A Mastra in which whatever is called `alice` is another's, and whatever is called `mine` the owner's."""

    def __init__(self) -> None:
        both = {OTHER: OTHER, "mine": OWNER}
        spans = {one: [{"parentSpanId": None, "resourceId": owner}] for one, owner in both.items()}
        super().__init__(both, both, {}, spans, both, both, both, both)


def _sent(method: str, target: str, body: Any = None) -> str:
    """Return what goes on, target and body; empty where nothing does."""
    mastra = Others()
    try:
        sent = treat("POST" if method == "ALL" else method, target, body, mastra)
    except Denied:
        return ""
    return sent.target + " " + (sent.body.decode() if sent.body is not None else json.dumps(body))


def _is_let_through(name: str, sent: str) -> bool:
    """Return whether another's name got through. A thread's may, where it is said whose it has to be."""
    if OTHER not in sent:
        return False
    return folded(name.rpartition(".")[2]) in OWNERS or OWNER not in sent


def test_no_field_of_a_query_carries_another(routes: list[Route]) -> None:
    leaks = []
    for route in routes:
        row = _row(route)
        for name in (
            *_carriers(route["query"]),
            *(one[1:] for one in row.segments if one[0] == ":"),
            *CARRIERS,
            "resourceId",
        ):
            sent = _sent(
                row.method, _target(row, f"?{name}={OTHER}"), {} if row.method in ("POST", "PUT", "PATCH") else None
            )
            if _is_let_through(name, sent) and not (folded(name) in _FILTERS and f"resourceId={OWNER}" in sent):
                leaks.append(f"{row.method} {row.path}?{name}")
    assert leaks == []


def _body(name: str) -> Any:
    value: Any = OTHER
    for step in reversed(name.split(".")):
        value = [value] if step == "[]" else {step.removesuffix("[]"): [value] if step.endswith("[]") else value}
    return value


def test_no_field_of_a_body_carries_another(routes: list[Route]) -> None:
    leaks = []
    for route in routes:
        row = _row(route)
        if row.method == "GET":
            continue
        captures = (one[1:] for one in row.segments if one[0] == ":")
        always = ("resourceId", "threadId", "runId", "memory.resource", "memory.thread", "resource_id")
        names = {*_carriers(route["body"]), *captures, *always}
        for name in names:
            body = _body(name)
            if not isinstance(body, dict):
                continue
            sent = _sent(row.method, _target(row), body)
            if _is_let_through(name, sent):
                leaks.append(f"{row.method} {row.path} {name}: {sent}")
    assert leaks == []


def test_a_leak_would_be_seen() -> None:
    assert _is_let_through("resourceId", f'{{"resourceId": "{OTHER}"}}')
    assert _is_let_through("threadId", f'{{"threadId": "{OTHER}"}}')
    assert not _is_let_through("threadId", f'{{"threadId": "{OTHER}", "resourceId": "{OWNER}"}}')
    assert OWNED and Told(200).json is None
