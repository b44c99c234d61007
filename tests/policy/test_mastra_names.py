"""What a path of Mastra's names, and what may not take its place. Source: @mastra/deployer, `handlerParams`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.policy.claims import principal_of
from gateway.policy.decision import Allow, Deny, decide
from gateway.policy.denied import Denied
from gateway.policy.key_lookup import Keys
from gateway.policy.mastra_access import MastraAccess
from gateway.policy.mastra_names import about_what_is_named, check_query, named_row_of, names_in
from gateway.policy.mastra_routes import row_of, rows
from gateway.policy.model import Headers, RequestHead
from gateway.policy.ownership import Ownership, owner_of, row_in
from gateway.policy.paths import canonical_path, split_target
from gateway.policy.reasons import Reason
from tests.configuring import SECRET, file_with, read
from tests.minting import NOW, mint

API = ("api",)
GENERATE = "/api/agents/open/generate"
NOBODYS = Ownership(by="nobody")


def sent(target: str, body: bytes | None = None, method: str = "POST") -> tuple[str, Any]:
    """Return what goes on: the target, and the body if it changed."""
    row = named_row_of(method, split_target(target)[0].segments, API)
    assert row is not None
    found = about_what_is_named(row, API, target, body)
    return found.target, found.body


# ---- what is taken out, where nothing has an owner ----


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("", ""),
        ("?agentId=secret", ""),
        ("?agentId=open", ""),
        ("?page=1&agent%49d=secret&x=%41", "?page=1&x=%41"),
        ("?agentId[]=secret", ""),
        ("?AGENTID=secret&agent_id=secret", ""),
        ("?resourceId=somebody&threadId=t1&runId=r", "?resourceId=somebody&threadId=t1&runId=r"),
        ("?requestContext=eyJ1c2VyIjoxfQ==", "?requestContext=eyJ1c2VyIjoxfQ=="),
    ],
)
def test_nothing_in_a_query_takes_the_place_of_what_the_path_names(query: str, left: str) -> None:
    assert sent(GENERATE + query) == (GENERATE + left, None)


@pytest.mark.parametrize(
    ("body", "left"),
    [
        (b'{"agentId":"secret","messages":"hi"}', b'{"messages":"hi"}'),
        (b'{ "messages": "hi", "agent\\u0049d": "secret" }', b'{ "messages": "hi" }'),
        (b'{"agentId":["secret"],"agent_id":1,"messages":{"agentId":"x"}}', b'{"messages":{"agentId":"x"}}'),
        (
            b'{"messages": [1, 2], "memory": {"thread": "t", "resource": "somebody"}, "requestContext": {"user": 1}}',
            None,
        ),
        (b'{"resourceId":"x","threadId":"y"}', None),
        (b"", None),
        (b" \n", None),
    ],
)
def test_nothing_in_a_body_takes_the_place_of_what_the_path_names(body: bytes, left: bytes | None) -> None:
    target, changed = sent(GENERATE, body)
    assert target == GENERATE
    if left is None:
        assert changed is None
    else:
        assert changed is not None and json.loads(changed) == json.loads(left)


@pytest.mark.parametrize("body", [b"[]", b'"x"', b'{"agentId":"a","agentId":"b"}', b'{"agentId":"a"', b"\xff{}"])
def test_body_without_one_reading_is_refused(body: bytes) -> None:
    with pytest.raises(Denied) as refusal:
        sent(GENERATE, body)
    assert refusal.value.reason is Reason.BODY_MALFORMED


def test_every_row_that_names_something_is_seen_to_and_no_other() -> None:
    for row in rows():
        segments = (*API, *("x" if text.startswith(":") else text for text in row.segments))
        method = "POST" if row.method == "ALL" else row.method
        taken = row_of(method, segments)
        assert taken is not None
        assert (row_in(NOBODYS, method, canonical_path("/" + "/".join(segments))) is not None) == bool(names_in(taken))


def test_what_is_not_mastras_is_nobodys_business() -> None:
    for path in (
        "/api/agents",
        "/api/agents/a/b/c/d/e",
        "/api/new-route",
        "/chat/x",
        "/x",
        "/api",
        "/browser/a/stream",
    ):
        assert row_in(NOBODYS, "POST", canonical_path(path)) is None
    (provider,) = read(file_with()).policy.routes[0].providers
    assert owner_of(NOBODYS, principal_of({"sub": "ann"}, provider)) is None


# ---- what is refused in a query, where nobody looks into bodies ----


@pytest.mark.parametrize(
    "query",
    [
        "?agentId=secret",
        "?agentId=open&agentId=secret",
        "?agent%49d=secret",
        "?agentId",
        "?agentId=",
        "?agentId[]=open&agentId[]=secret",
        "?agent_id=secret",
        "?x=1&AGENTID=secret",
        "?agentId=%6fpen%00",
        "?+agentId=secret",
    ],
)
def test_query_that_names_another_is_refused(query: str) -> None:
    with pytest.raises(Denied) as refusal:
        check_query({"agentid": 2}, canonical_path(GENERATE), query)
    assert refusal.value.reason is Reason.TARGET_AMBIGUOUS


@pytest.mark.parametrize(
    "query", ["", "?", "?x=1", "?agentId=open", "?agent%49d=%6Fpen", "?threadId=t", "?xagentId=secret"]
)
def test_query_that_names_the_same_or_nothing_passes(query: str) -> None:
    check_query({"agentid": 2}, canonical_path(GENERATE), query)


# ---- where it counts: what the file's routes and rules go by ----

JOBS = f"providers: {{jobs: {{type: jwt, secret: {SECRET}}}}}"
OPEN, ANYBODY = "/api/agents/open", "{provider: jobs, allow: authenticated}"


@pytest.mark.parametrize(
    "routes",
    [
        pytest.param(f"{{/api: {ANYBODY}, /api/agents/secret: {{provider: jobs, allow: {{role: x}}}}}}", id="route"),
        pytest.param(f"{{/api/agents/open: {ANYBODY}}}", id="the only route"),
        pytest.param("{/api/agents/open: {public: true}}", id="public"),
        pytest.param("{'/api/agents/{one}': {provider: jobs, allow: {when: 'one in claims.agents'}}}", id="capture"),
        pytest.param(
            "{/api: {provider: jobs, allow: {when: 'request.path == \"/api/agents/open/generate\"'}}}", id="when"
        ),
        pytest.param("{/api: {provider: jobs, allow: {path: /api/agents/open}}}", id="path"),
        pytest.param("{/api: {provider: jobs, allow: {mastra: 'agents:execute:open'}}}", id="permission"),
        pytest.param(
            "{/api: {provider: jobs, allow: authenticated, deny: {mastra: '*:execute:secret'}}}", id="denied permission"
        ),
        pytest.param(
            "{/api: {provider: jobs, allow: {any: [{role: x}, {not: {path: /api/agents/secret}}]}}}", id="within others"
        ),
    ],
)
def test_query_that_names_another_is_refused_where_rules_go_by_the_name(routes: str) -> None:
    assert code_of(routes, f"POST {GENERATE}") == "allow"
    assert code_of(routes, f"POST {GENERATE}?agentId=open") == "allow"
    assert code_of(routes, f"POST {GENERATE}?agentId=secret") == "target_ambiguous"
    assert code_of(routes, f"POST {GENERATE}?agentId=secret", token=False) == "target_ambiguous"


@pytest.mark.parametrize(
    "routes",
    [
        f"{{/api: {ANYBODY}}}",
        f"{{/api/agents: {ANYBODY}, /api: {ANYBODY}, '/api/agents/{{one}}/generate': {ANYBODY}}}",
        f"{{/api: {ANYBODY}, /api/tools/secret: {{provider: jobs, allow: {{role: x}}}}}}",
        "{/api: {provider: jobs, allow: {mastra: 'agents:*'}}}",
        "{/api: {provider: jobs, allow: {any: [{mastra: 'agents:execute'}, {mastra: 'agents:read:x'}]}}}",
        "{'/api/agents/{one}': {provider: jobs, allow: {when: 'claims.sub == \"user-1\"'}}}",
        f"{{/agents/open: {ANYBODY}, /api: {ANYBODY}}}",
    ],
)
def test_query_passes_where_nothing_goes_by_the_name(routes: str) -> None:
    assert code_of(routes, f"POST {GENERATE}?agentId=secret") == "allow"


def test_own_takes_it_out_instead() -> None:
    routes = f"{{/api: {ANYBODY}, /api/agents/secret: {{provider: jobs, allow: {{role: x}}}}}}"
    for by in ("subject", "nobody"):
        assert code_of(routes, f"POST {GENERATE}?agentId=secret", own=f", own: {{by: {by}}}") == "allow"
    apart = routes.replace(ANYBODY, "{provider: jobs, allow: authenticated, own: false}", 1)
    assert code_of(apart, f"POST {GENERATE}?agentId=secret", own=", own: {}") == "target_ambiguous"


def test_mastras_prefix_is_what_own_says() -> None:
    routes = f"{{/m/v1: {{provider: jobs, allow: authenticated, own: false}}, /m/v1/agents/secret: {ANYBODY}}}"
    target = "POST /m/v1/agents/open/generate?agentId=secret"
    assert code_of(routes, target, own=", own: {prefix: /m/v1}") == "target_ambiguous"
    assert code_of(routes, target, own=", own: {}") == "allow"


def test_menus_hide_nothing_where_nothing_has_an_owner() -> None:
    policy = read(file_of(f"{{/api: {ANYBODY}}}", ", own: {by: nobody}")).policy
    head = RequestHead("GET", "/", Headers([]), "127.0.0.1", "http")
    assert MastraAccess(policy).permissions(principal_of({"sub": "ann"}, policy.routes[0].providers[0]), head, NOW) == (
        "*",
    )


def file_of(routes: str, own: str = "") -> str:
    upstream = f"upstreams: {{mastra: {{url: http://127.0.0.1:4111{own}}}}}"
    return file_with(upstream=upstream, providers=JOBS, routes=f"routes: {routes}")


def code_of(routes: str, asked: str, *, token: bool = True, own: str = "") -> str:
    """Return the code that a caller is refused with, or `allow`."""
    method, target = asked.split()
    claims = {"sub": "user-1", "exp": NOW + 60, "agents": ["open"]}
    bearer = mint(claims, SECRET.encode())
    headers = Headers([("authorization", f"Bearer {bearer}")] if token else [])
    policy = read(file_of(routes, own)).policy
    found = decide(policy, Keys(), RequestHead(method, target, headers, "127.0.0.1", "http"), NOW)
    assert isinstance(found, Allow | Deny)
    return "allow" if isinstance(found, Allow) else found.reason.code
