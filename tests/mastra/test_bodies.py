"""How Mastra itself reads bodies and queries, without a gateway: the facts that the rules of `own` rest on.

If one of these fails after an update of Mastra, the rule beside it in `gateway/policy` is to be thought over.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from typing import Any

import pytest

Ask = Callable[..., tuple[int, Any]]
MESSAGES = [{"role": "user", "content": "hi"}]
GENERATE = "/api/agents/weatherAgent/generate"
NOT_READ = (400, "root")  # the body is `undefined` to Mastra, and the schema wants an object


@pytest.fixture
def ask(mastra: str) -> Ask:
    """Return a function that sends one request to Mastra itself."""

    def send(method: str, target: str, body: Any = None, type_: str | None = "application/json") -> tuple[int, Any]:
        connection = http.client.HTTPConnection(mastra.removeprefix("http://"), timeout=20)
        data = body if body is None or isinstance(body, (bytes, str)) else json.dumps(body)
        connection.request(method, target, data, {} if type_ is None else {"Content-Type": type_})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text)

    return send


def form(**fields: str) -> str:
    parts = (f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n' for name, text in fields.items())
    return "".join(parts) + "--x--\r\n"


def put_thread(ask: Ask, owner: str, id: str) -> None:
    assert ask("POST", "/api/memory/threads?agentId=weatherAgent", {"resourceId": owner, "threadId": id})[0] == 200


def owner_of(ask: Ask, id: str) -> Any:
    status, said = ask("GET", f"/api/memory/threads/{id}?agentId=weatherAgent")
    return said["resourceId"] if status == 200 else None


@pytest.mark.parametrize(
    "type_",
    [
        "application/json",
        "application/json; charset=utf-16",
        "text/plain; application/json",
        "application/jsonx",
        "x/y; z=application/json",
    ],
)
def test_json_is_what_has_these_letters_anywhere_in_its_type(ask: Ask, type_: str) -> None:
    assert ask("POST", GENERATE, {"messages": MESSAGES}, type_)[0] == 200


@pytest.mark.parametrize(
    "type_",
    ["Application/JSON", "application/vnd.x+json", "text/plain", "application/x-www-form-urlencoded", None],
)
def test_of_any_other_type_there_is_no_body(ask: Ask, type_: str | None) -> None:
    status, said = ask("POST", GENERATE, json.dumps({"messages": MESSAGES}), type_)
    assert (status, said["issues"][0]["field"]) == NOT_READ


def test_a_form_carries_an_owner_on_every_route(ask: Ask) -> None:
    put_thread(ask, "ann", "of-form")
    memory = json.dumps({"thread": "of-form", "resource": "ann"})
    fields = form(messages=json.dumps(MESSAGES), memory=memory)
    assert ask("POST", GENERATE, fields, "multipart/form-data; boundary=x")[0] == 200
    _, said = ask("GET", "/api/memory/threads/of-form/messages?agentId=weatherAgent")
    assert said["messages"]


def test_a_form_is_looked_for_before_json(ask: Ask) -> None:
    type_ = 'application/json; x="multipart/form-data"'
    assert ask("POST", GENERATE, {"messages": MESSAGES}, type_)[0] == 400


@pytest.mark.parametrize(
    ("text", "owner"),
    [
        (b'{"resourceId":"one","resourceId":"two","threadId":"%b"}', "two"),
        (b'{"resourceId":"one","resource\\u0049d":"two","threadId":"%b"}', "two"),
        (b'\xef\xbb\xbf{"resourceId":"one","threadId":"%b"}', "one"),
        (b'{"resourceId":"o\xff","threadId":"%b"}', "o\ufffd"),
    ],
    ids=["doubled", "doubled by an escape", "BOM", "not UTF-8"],
)
def test_what_has_two_readings_is_read(ask: Ask, text: bytes, owner: str) -> None:
    id = f"of-{len(text)}"
    assert ask("POST", "/api/memory/threads?agentId=weatherAgent", text % id.encode())[0] == 200
    assert owner_of(ask, id) == owner


def test_the_body_of_a_delete_counts_more_than_its_path_and_query(ask: Ask) -> None:
    put_thread(ask, "ann", "of-ann")
    put_thread(ask, "bob", "of-bob")
    mine = "/api/memory/threads/of-bob?agentId=weatherAgent&resourceId=bob"
    assert ask("DELETE", mine, {"threadId": "of-ann", "resourceId": "ann"})[0] == 200
    assert (owner_of(ask, "of-ann"), owner_of(ask, "of-bob")) == (None, "bob")


def test_a_query_names_another_thing_than_the_path_where_the_route_has_no_schema(ask: Ask) -> None:
    put_thread(ask, "ann", "of-ann-2")
    put_thread(ask, "bob", "of-bob-2")
    _, said = ask("GET", "/api/v1/conversations/of-bob-2?conversationId=of-ann-2")
    assert said["thread"]["resourceId"] == "ann"
    assert ask("DELETE", "/api/v1/conversations/of-bob-2?conversationId=of-ann-2")[0] == 200
    assert (owner_of(ask, "of-ann-2"), owner_of(ask, "of-bob-2")) == (None, "bob")


@pytest.mark.parametrize(
    ("query", "more"), [("?agentId=weatherAgent", {}), ("", {"agentId": "weatherAgent"})], ids=["query", "body"]
)
def test_another_agent_answers_than_the_path_names(ask: Ask, query: str, more: dict[str, str]) -> None:
    target = "/api/agents/nobody/generate"
    assert ask("POST", target, {"messages": MESSAGES})[0] == 404
    assert ask("POST", target + query, {"messages": MESSAGES, **more})[0] == 200
