"""One request at a Mastra whose things have owners: what is set, what is asked first, and what goes no further."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest

from gateway.policy.enquiries import Question, Told
from gateway.policy.mastra_routes import rows
from gateway.policy.own_ids import is_own_id, own_id
from gateway.policy.ownership import Ownership
from gateway.policy.reasons import Reason
from tests.policy.owners import OTHER, OWNER, Mastra, reason, sent_body, treat

AGENT = "/api/agents/weather"
HI = [{"role": "user", "content": "hi"}]
MINE, THEIRS = "mine", "theirs"
BOTH = {MINE: OWNER, THEIRS: OTHER}
ROOT = {"spanId": "r", "parentSpanId": None}


def chat(**more: Any) -> dict[str, Any]:
    return {"messages": "hi", **more}


# ---- the query ------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?resourceId=alice",
        "?resourceId=",
        "?resourceId=alice&resourceId=bob",
        "?resource%49d=alice",
        "?resourceId%5B%5D=alice",
        "?resourceId[]=alice",
        "?resource_id=alice",
        "?RESOURCEID=alice",
        "?[resourceId]=alice",
        "?resourceId[x]=alice",
        "?resourceId",
    ],
)
@pytest.mark.parametrize(
    "method, path",
    [
        ("GET", "/api/memory/threads"),
        ("DELETE", "/api/memory/threads/T"),
        ("GET", "/api/observability/traces"),
        ("HEAD", "/api/memory/threads/T"),
    ],
)
def test_owner_is_put_into_the_query_in_place_of_all_that_could_be_one(method: str, path: str, query: str) -> None:
    assert treat(method, path + query).target == f"{path}?resourceId=bob"


def test_other_parameters_stay_byte_for_byte() -> None:
    assert treat("GET", "/api/memory/threads?agentId=a%2Fb&page=0&x[y]=1").target == (
        "/api/memory/threads?agentId=a%2Fb&page=0&x[y]=1&resourceId=bob"
    )


def test_owner_is_encoded() -> None:
    sent = treat("GET", "/api/memory/threads", owner="auth0|a&b=c ü")
    assert sent.target == "/api/memory/threads?resourceId=auth0%7Ca%26b%3Dc%20%C3%BC"


@pytest.mark.parametrize(
    "method, target, body, sent",
    [
        pytest.param(
            "GET",
            "/api/memory/threads/T?threadId=theirs",
            None,
            "/api/memory/threads/T?resourceId=bob",
            id="what-the-path-says",
        ),
        pytest.param("POST", f"{AGENT}/generate?agentId=other", chat(), f"{AGENT}/generate", id="agent-of-the-path"),
        pytest.param(
            "POST",
            f"{AGENT}/generate?memory[resource]=alice&threadId=t&runId=r",
            chat(),
            f"{AGENT}/generate",
            id="what-the-body-has-not",
        ),
        pytest.param("GET", "/api/workflows/w/runs/R?runId=theirs", None, "/api/workflows/w/runs/R", id="run"),
    ],
)
def test_query_does_not_stand_in_for_path_or_body(method: str, target: str, body: Any, sent: str) -> None:
    # Mastra merges path, query and body, the later over the earlier.
    assert treat(method, target, body, Mastra(runs={"R": OWNER})).target == sent


def test_list_may_be_filtered() -> None:
    sent = treat("GET", "/api/observability/traces?threadId=T&runId=R&userId=u")
    assert sent.target == "/api/observability/traces?threadId=T&runId=R&userId=u&resourceId=bob"


# ---- requestContext -------------------------------------------------------------

FORGED = {
    "user": {"sub": "root"},
    "userId": "root",
    "userRoles": ["admin"],
    "userPermissions": ["*"],
    "user_roles": ["x"],
    "mastra__resourceId": "alice",
    "MastraMemory": {"resourceId": "alice"},
    "organizationId": "o",
    "resourceId": "alice",
    "__mastra_x": 1,
    "mastra:goal": 1,
    "controller": {},
    "authInfo": {"clientId": "x"},
    "USER": 1,
    "tier": "gold",
    "locale": {"user": "de"},
}
CLEAN = {"tier": "gold", "locale": {"user": "de"}}


@pytest.mark.parametrize(
    "encode",
    [
        json.dumps,
        lambda value: base64.b64encode(json.dumps(value).encode()).decode(),
        lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("="),
    ],
    ids=["json", "base64", "base64url"],
)
def test_nobody_says_who_they_are_in_the_query(encode: Any) -> None:
    sent = treat("GET", f"/api/agents?requestContext={quote(encode(FORGED))}")
    assert sent.target == f"/api/agents?requestContext={quote(json.dumps(CLEAN, separators=(',', ':')), safe='')}"


@pytest.mark.parametrize(
    "value",
    [
        "user",
        "%5B%5D",
        "NaN",
        "%7B%22a%22%3ANaN%7D",
        "",
        "{}",
        "!!!!eyJ1c2VyIjoxfQ==",
        "a&requestContext=b",
        "%7B%7D&request%43ontext=%7B%22user%22%3A1%7D",
    ],
)
def test_context_that_is_none_to_us_is_none_to_mastra(value: str) -> None:
    assert treat("GET", f"/api/agents?requestContext={value}").target == "/api/agents"


@pytest.mark.parametrize(
    "target, at",
    [
        (f"{AGENT}/generate", ()),
        (f"{AGENT}/tools/t/execute", ()),
        ("/api/tools/t/execute", ()),
        ("/api/workflows/w/start", ()),
        ("/api/mcp/s/tools/t/execute", ()),
        (f"{AGENT}/send-message", ("ifIdle", "streamOptions")),
    ],
)
def test_nobody_says_who_they_are_in_a_body(target: str, at: tuple[str, ...]) -> None:
    inner: dict[str, Any] = {"requestContext": FORGED}
    body: Any = inner
    for name in reversed(at):
        body = {name: body}
    thread = {"threadId": "T"} if at else {"messages": "hi", "data": 1}
    found = sent_body("POST", target, {**thread, **body})
    for name in at:
        found = found[name]
    assert found["requestContext"] == CLEAN


@pytest.mark.parametrize(
    "method, target, body",
    [
        ("POST", "/api/memory/save-messages", {"messages": []}),
        ("POST", "/api/v1/conversations", {"agent_id": "a"}),
        ("POST", "/api/v1/responses", {"agent_id": "a", "input": "x"}),
        ("POST", "/api/a2a/a", {"method": "tasks/list", "params": {"contextId": MINE}}),
        ("POST", "/api/schedules", {"agentId": "a"}),
        ("PUT", "/api/agent-controller/c/sessions/bob/goal", {}),
        ("POST", "/api/agents/a/threads/abort", {"threadId": "T"}),
    ],
)
def test_nobody_says_who_they_are_in_a_body_that_has_no_place_for_it(method: str, target: str, body: Any) -> None:
    # Mastra reads it in every body, before it knows the route.
    sent = sent_body(method, target, {**body, "requestContext": FORGED}, Mastra(threads=BOTH))
    assert sent["requestContext"] == CLEAN


@pytest.mark.parametrize("at", ["memory", "tracingOptions", "ifIdle"])
def test_context_in_another_place_is_refused(at: str) -> None:
    body = {"thread": "T", "requestContext": {"user": 1}}
    assert reason("POST", f"{AGENT}/generate", chat(**{at: body})) is Reason.NOT_OWNER


@pytest.mark.parametrize("context", ["text", ["user"], 1])
def test_context_of_another_shape_is_refused(context: Any) -> None:
    assert reason("POST", f"{AGENT}/generate", chat(requestContext=context)) is Reason.NOT_OWNER


# ---- agents ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["generate", "stream", "stream-until-idle", "generate/vnext", "stream/vnext", "stream/ui"]
)
def test_memory_is_the_owners(name: str) -> None:
    memory = {
        "thread": {"id": "T", "resourceId": "alice", "title": "t"},
        "resource": "alice",
        "options": {"lastMessages": 1},
    }
    body = sent_body("POST", f"{AGENT}/{name}", chat(memory=memory))
    assert body["memory"] == {
        "thread": {"id": "T", "resourceId": OWNER, "title": "t"},
        "resource": OWNER,
        "options": {"lastMessages": 1},
    }
    assert is_own_id(OWNER, body["runId"])


def test_agent_without_memory_stays_without() -> None:
    assert sent_body("POST", f"{AGENT}/generate", chat()).keys() == {"messages", "runId"}


@pytest.mark.parametrize(
    "more",
    [
        {"memory": "alice"},
        {"memory": ["alice"]},
        {"memory": {"thread": ["T"]}},
        {"memory": {"thread": {"id": 5}}},
        {"memory": {"thread": "T", "resourceId": "alice"}},
        {"memory": {"thread": "T", "Resource": "alice"}},
        {"memory": {"thread": {"id": "T", "resource": "alice"}}},
        {"memory": {"thread": "T", "options": {"resourceId": "a"}}},
        {"messages": [["x"]]},
        {"messages": 5},
        {"messages": [{"role": "user", "resource_id": "alice"}]},
        {"messages": [{"id": 5}], "memory": {"thread": "T"}},
        {"threadId": 5},
        {"runId": ["r"]},
        {"resource_id": "alice"},
        {"options": {"memory": {"resource": "alice"}}},
        {"new": [{"deep": {"threadId": "T"}}]},
        {"RequestContext": {}},
        {"tracingOptions": "x"},
        {"tracingOptions": {"requestContextKeys": ["resourceId"]}},
        {"tracingOptions": {"requestContextKeys": ["user.id"]}},
        {"tracingOptions": {"metadata": "x"}},
    ],
)
def test_carrier_of_an_unknown_shape_or_place_is_refused(more: dict[str, Any]) -> None:
    assert reason("POST", f"{AGENT}/generate", chat(**more)) is Reason.NOT_OWNER


def test_what_a_caller_may_fill_freely_passes() -> None:
    free = {"resourceId": "alice", "memory": {"resource": "alice"}, "properties": {"threadId": {"type": "string"}}}
    body = chat(
        structuredOutput={"schema": free},
        clientTools={"t": free},
        providerOptions=free,
        instructions=[free],
        messages=[{"role": "user", "content": [free], "metadata": free, "parts": [free]}],
    )
    sent = sent_body("POST", f"{AGENT}/generate", body)
    assert {name: sent[name] for name in body} == body


def test_former_names_of_memory_are_the_owners() -> None:
    mastra = Mastra(threads=BOTH)
    body = sent_body(
        "POST", f"{AGENT}/generate-legacy", chat(resourceId="alice", resourceid="alice", threadId=MINE), mastra
    )
    assert (body["resourceId"], body["resourceid"]) == (OWNER, OWNER)
    assert sent_body("POST", f"{AGENT}/stream-legacy", chat(threadId="new"), mastra)["resourceId"] == OWNER
    assert reason("POST", f"{AGENT}/generate-legacy", chat(threadId=THEIRS), mastra) is Reason.NOT_OWNER


def test_trace_that_is_written_into_is_the_owners_or_new() -> None:
    mastra = Mastra(traces={"a": [{**ROOT, "resourceId": OTHER}], "b": [{**ROOT, "resourceId": OWNER}]})
    for trace, refused in (("a", Reason.NOT_OWNER), ("b", None), ("c", None)):
        assert reason("POST", f"{AGENT}/generate", chat(tracingOptions={"traceId": trace}), mastra) is refused
    metadata = {"resourceId": "alice", "userId": "alice", "organizationId": "o", "build": 7}
    sent = sent_body("POST", f"{AGENT}/generate", chat(tracingOptions={"metadata": metadata}))
    assert sent["tracingOptions"] == {"metadata": {"build": 7}}


# ---- ids of messages and runs ----------------------------------------------------


def test_id_of_a_message_stays_only_where_it_is_the_owners() -> None:
    mastra = Mastra(threads=BOTH, messages={"m1": OWNER, "m2": OTHER})
    known = own_id(OWNER, "sent before")
    ids = ["m1", "m2", "new", known]
    messages = [{"role": "user", "content": "x", "id": one} for one in ids]
    body = chat(messages=messages, memory={"thread": MINE})
    sent = sent_body("POST", f"{AGENT}/stream", body, mastra)
    assert [one["id"] for one in sent["messages"]] == ["m1", own_id(OWNER, "m2"), own_id(OWNER, "new"), known]
    assert sent_body("POST", f"{AGENT}/stream", body, mastra)["messages"] == sent["messages"], "the same each time"


def test_ids_are_not_asked_about_where_nothing_is_kept() -> None:
    mastra = Mastra(threads=BOTH)
    body = chat(messages=[{"role": "user", "content": "x", "id": "m"}])
    assert sent_body("POST", f"{AGENT}/stream", body, mastra)["messages"] == body["messages"]
    assert mastra.asked == []


@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_ids_are_made_the_owners_where_mastra_does_not_say(status: int) -> None:
    body = chat(messages=[{"role": "user", "id": "m"}], memory={"thread": MINE})
    sent = sent_body("POST", f"{AGENT}/stream", body, Mastra(status=status))
    assert sent["messages"][0]["id"] == own_id(OWNER, "m")


class Large(Mastra):
    """A Mastra whose answers about more than one message are larger than what is read."""

    def tell(self, question: Question) -> Told:
        told = super().tell(question)
        is_large = "include" in question.target and len(told.json["messages"]) > 1
        return Told(told.status) if is_large else told


def test_ids_are_asked_about_in_smaller_parts_where_messages_are_large() -> None:
    mastra = Large(threads=BOTH, messages={f"m{number}": OWNER for number in range(5)})
    messages = [{"role": "user", "id": f"m{number}"} for number in range(6)]
    sent = sent_body("POST", f"{AGENT}/stream", chat(messages=messages, memory={"thread": MINE}), mastra)
    assert [one["id"] for one in sent["messages"]] == [*(f"m{number}" for number in range(5)), own_id(OWNER, "m5")]


@pytest.mark.parametrize(
    "roots, refused", [([OWNER], None), ([OTHER], Reason.NOT_OWNER), ([OWNER, OTHER], Reason.NOT_OWNER)]
)
def test_large_trace_is_known_by_its_roots(roots: list[str], refused: Reason | None) -> None:
    class Whole(Mastra):
        def tell(self, question: Question) -> Told:
            if question.target == "/api/observability/traces?traceId=T&perPage=100":
                return Told(200, {"spans": [{**ROOT, "resourceId": owner} for owner in roots]})
            return Told(200)

    assert reason("GET", "/api/observability/traces/T", None, Whole()) is refused


def test_id_of_a_signal_is_one_of_a_message() -> None:
    mastra = Mastra(threads=BOTH, messages={"m": OTHER})
    body = {"threadId": MINE, "resourceId": "alice", "signal": {"type": "user", "id": "m", "contents": "x"}}
    sent = sent_body("POST", f"{AGENT}/signals", body, mastra)
    assert (sent["signal"]["id"], sent["resourceId"]) == (own_id(OWNER, "m"), OWNER)


def test_owner_and_thread_of_a_message() -> None:
    mastra = Mastra(threads=BOTH)
    for name, at in (("stream", {"memory": {"thread": MINE}}), ("generate", {})):
        one = {"role": "user", "content": "x", "resourceId": "alice", "threadId": MINE}
        sent = sent_body("POST", f"{AGENT}/{name}", chat(messages=[one], **at), mastra)
        assert sent["messages"][0]["resourceId"] == OWNER
        one["threadId"] = THEIRS
        assert reason("POST", f"{AGENT}/{name}", chat(messages=[one], **at), mastra) is Reason.NOT_OWNER


def test_run_that_a_client_chose_is_brought_home() -> None:
    run = own_id(OWNER, "chosen")
    for chosen in ("chosen", run):
        assert sent_body("POST", f"{AGENT}/stream", chat(runId=chosen))["runId"] == run
        approved = sent_body("POST", f"{AGENT}/approve-tool-call", {"runId": chosen, "toolCallId": "t"})
        assert approved["runId"] == run


@pytest.mark.parametrize(
    "name",
    [
        "approve-tool-call",
        "decline-tool-call",
        "approve-tool-call-generate",
        "decline-tool-call-generate",
        "approve-network-tool-call",
        "decline-network-tool-call",
        "observe",
        "recover",
        "resume-stream",
        "resume-stream-until-idle",
        "send-message",
        "queue-message",
        "signals",
    ],
)
def test_run_of_another_is_met_by_nobody(name: str) -> None:
    mastra = Mastra(suspended={"a": OTHER, "b": OWNER})
    theirs = own_id(OTHER, "x")
    for run, sent in (("a", own_id(OWNER, "a")), ("b", "b"), (theirs, own_id(OWNER, theirs))):
        body = sent_body("POST", f"{AGENT}/{name}", {"runId": run, "resumeData": {}, "toolCallId": "t"}, mastra)
        assert body["runId"] == sent


@pytest.mark.parametrize("name", ["approve-tool-call", "decline-tool-call-generate"])
def test_word_on_a_tool_may_come_with_memory(name: str) -> None:
    # As the client sends it that got it with a run; Mastra's schema takes it away.
    body = {"runId": own_id(OWNER, "r"), "toolCallId": "t", "memory": {"thread": "T", "resource": "alice"}}
    sent = sent_body("POST", f"{AGENT}/{name}", body)
    assert sent == {**body, "memory": {"thread": "T", "resource": OWNER}}


def test_suspended_run_is_found_on_a_later_page() -> None:
    mastra = Mastra(suspended={f"r{number}": OWNER for number in range(150)})
    assert sent_body("POST", f"{AGENT}/observe", {"runId": "r149"}, mastra) == {"runId": "r149"}
    assert len(mastra.asked) == 2


# ---- threads --------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["send-message", "queue-message", "signals", "threads/subscribe", "threads/abort", "send-tool-approval"]
)
def test_who_speaks_to_a_thread_is_the_owner(name: str) -> None:
    for said in ({"resourceId": "alice"}, {"resourceId": ["alice"]}, {}):
        sent = sent_body("POST", f"{AGENT}/{name}", {"threadId": "T", "approved": True, **said})
        assert sent["resourceId"] == OWNER


@pytest.mark.parametrize(
    "name, at",
    [
        ("send-message", ("ifIdle", "streamOptions")),
        ("queue-message", ("ifIdle", "streamOptions")),
        ("signals", ("ifIdle", "streamOptions")),
        ("send-tool-approval", ("streamOptions",)),
    ],
)
def test_options_for_a_thread_at_rest_are_the_owners(name: str, at: tuple[str, ...]) -> None:
    def body(options: Any) -> Any:
        for step in reversed(at):
            options = {step: options}
        return {"threadId": MINE, "resourceId": OWNER, **options}

    mastra = Mastra(threads=BOTH)
    sent = sent_body("POST", f"{AGENT}/{name}", body({"memory": {"thread": MINE, "resource": "alice"}}), mastra)
    for step in at:
        sent = sent[step]
    assert sent["memory"] == {"thread": MINE, "resource": OWNER}
    for options in (
        {"memory": {"thread": THEIRS}},
        {"memory": {"thread": {"id": THEIRS}}},
        {"resourceId": "alice"},
        "x",
        {"threadId": THEIRS},
        {"new": {"resourceId": "alice"}},
    ):
        assert reason("POST", f"{AGENT}/{name}", body(options), mastra) is Reason.NOT_OWNER


def test_thread_is_created_for_the_owner_and_taken_over_by_nobody() -> None:
    mastra = Mastra(threads=BOTH)
    for path in ("/api/memory/threads", "/api/memory/network/threads"):
        assert sent_body("POST", path, {"resourceId": "alice"}, mastra) == {"resourceId": OWNER}
        assert sent_body("POST", path, {"threadId": "new"}, mastra)["resourceId"] == OWNER
        assert (
            reason("POST", f"{path}?agentId=a", {"threadId": THEIRS, "resourceId": OWNER}, mastra) is Reason.NOT_OWNER
        )
    assert mastra.asked[-1] == "GET /api/memory/threads/theirs?agentId=a"


def test_look_up_is_in_the_same_place_as_what_follows() -> None:
    mastra = Mastra(threads=BOTH)
    body = {"threadId": MINE, "resourceId": OWNER, "requestContext": {"tenant": "x", "user": "root"}}
    treat("POST", "/api/memory/threads?agentId=a%2Fb", body, mastra)
    assert mastra.asked == ["GET /api/memory/threads/mine?agentId=a%2Fb&requestContext=%7B%22tenant%22%3A%22x%22%7D"]
    body["requestContext"] = {"tenant": "x" * 5000}
    assert reason("POST", "/api/memory/threads", body, mastra) is Reason.NOT_OWNER


@pytest.mark.parametrize("thread", [".", "..", "a%2Fb", "a\\b", "", " a", "a\n", 5, ["a"], {"id": "a"}, "x" * 2000])
def test_thread_that_two_could_read_differently_is_refused(thread: Any) -> None:
    assert reason("POST", "/api/memory/threads", {"threadId": thread}) is Reason.NOT_OWNER


def test_messages_to_be_kept() -> None:
    mastra = Mastra(threads=BOTH, messages={"m": OTHER})
    one = {"role": "user", "content": "x", "id": "m", "threadId": MINE, "resourceId": "alice"}
    sent = sent_body("POST", "/api/memory/save-messages?agentId=a", {"messages": [one]}, mastra)["messages"][0]
    assert (sent["id"], sent["resourceId"]) == (own_id(OWNER, "m"), OWNER)
    for wrong in ({**one, "threadId": THEIRS}, {**one, "threadId": None}, {**one, "id": 5}, "text"):
        assert reason("POST", "/api/memory/save-messages", {"messages": [wrong]}, mastra) is Reason.NOT_OWNER


@pytest.mark.parametrize("path", ["memory", "memory/network", "agent-controller/c/sessions/bob"])
def test_messages_of_others_are_not_included(path: str) -> None:
    mastra = Mastra(threads=BOTH, messages={"m1": OWNER, "m2": OTHER})
    target = f"/api/{path}/threads/mine/messages?agentId=a&include="
    assert reason("GET", target + quote('[{"id":"m1"}]'), None, mastra) is None
    assert reason("GET", target + quote('[{"id":"m1"},{"id":"m2"}]'), None, mastra) is Reason.NOT_OWNER
    assert reason("GET", target + quote('[{"id":"m1"}]') + "&in%63lude=x", None, mastra) is Reason.NOT_OWNER


def test_network_is_asked_for_its_thread() -> None:
    mastra = Mastra(threads=BOTH)
    body = sent_body("POST", f"{AGENT}/network", chat(memory={"thread": MINE, "resource": "alice"}), mastra)
    assert body["memory"]["resource"] == OWNER
    for thread in (THEIRS, {"id": THEIRS}, "", None):
        assert reason("POST", f"{AGENT}/network", chat(memory={"thread": thread}), mastra) is Reason.NOT_OWNER


# ---- bodies that say more than the path -------------------------------------------


@pytest.mark.parametrize(
    "method, target, body, left",
    [
        ("DELETE", "/api/memory/threads/mine", {"threadId": "theirs", "resourceId": "alice"}, {}),
        ("POST", "/api/workflows/w/runs/R/cancel", {"runId": "theirs", "workflowId": "v"}, {}),
        ("POST", "/api/workflows/w/resume?runId=R", {"runId": "theirs", "step": "s"}, {"step": "s"}),
        ("POST", "/api/memory/messages/delete", {"messageIds": ["m"], "resourceId": "alice"}, {"messageIds": ["m"]}),
        (
            "PATCH",
            "/api/memory/threads/mine",
            {"threadId": "theirs", "title": "t"},
            {"title": "t", "resourceId": OWNER},
        ),
    ],
)
def test_body_does_not_overrule_the_path(method: str, target: str, body: Any, left: Any) -> None:
    assert sent_body(method, target, body, Mastra(threads=BOTH, runs={"R": OWNER, "theirs": OTHER})) == left


def test_run_gets_its_owner_where_no_body_came() -> None:
    for body in (None, b"", b"  "):
        sent = treat("POST", "/api/workflows/w/create-run", body)
        assert sent.body is not None and json.loads(sent.body) == {"resourceId": OWNER}
    assert treat("POST", "/api/workflows/w/runs/R/cancel", None, Mastra(runs={"R": OWNER})).body is None


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"{", b'{"a":1,"a":2}', b"\xff", b'{"__proto__":{}}'])
def test_body_with_two_readings_is_refused(body: bytes) -> None:
    assert reason("POST", f"{AGENT}/generate", body) is Reason.BODY_MALFORMED


# ---- workflows, traces and the rest -----------------------------------------------


@pytest.mark.parametrize(
    "method, target",
    [
        ("GET", "/api/workflows/w/runs/{}"),
        ("DELETE", "/api/workflows/w/runs/{}"),
        ("POST", "/api/workflows/w/runs/{}/cancel"),
        ("POST", "/api/workflows/w/resume-async?runId={}"),
        ("POST", "/api/workflows/w/time-travel?runId={}"),
        ("POST", "/api/workflows/w/restart?runId={}"),
        ("POST", "/api/workflows/w/observe?runId={}"),
        ("POST", "/api/agent-builder/w/resume?runId={}"),
        ("GET", "/api/agent-builder/w/runs/{}"),
    ],
)
def test_run_of_a_workflow_is_asked_for(method: str, target: str) -> None:
    mastra = Mastra(runs={"mine": OWNER, "theirs": OTHER, "nobodys": None})
    assert reason(method, target.format("mine"), None, mastra) is None
    for run in ("theirs", "nobodys", "unknown"):
        assert reason(method, target.format(run), None, mastra) is Reason.NOT_OWNER
    for query in ("&runId=mine", "&run%49d=mine"):
        if "?" in target:
            assert reason(method, target.format("theirs") + query, None, mastra) is Reason.NOT_OWNER
            assert reason(method, target.format("mine") + query, None, mastra) is Reason.NOT_OWNER


@pytest.mark.parametrize("name", ["create-run", "start", "start-async", "stream", "stream-legacy"])
def test_workflow_begins_for_its_owner(name: str) -> None:
    mastra = Mastra(runs={"mine": OWNER, "theirs": OTHER})
    body = {"resourceId": "alice", "inputData": {"resourceId": "free"}}
    for query in ("", "?runId=mine", "?runId=new"):
        sent = sent_body("POST", f"/api/workflows/w/{name}{query}", body, mastra)
        assert sent == {"resourceId": OWNER, "inputData": {"resourceId": "free"}}
    assert reason("POST", f"/api/workflows/w/{name}?runId=theirs", body, mastra) is Reason.NOT_OWNER


@pytest.mark.parametrize(
    "spans, refused",
    [
        pytest.param([{**ROOT, "resourceId": OWNER}, {"parentSpanId": "r", "resourceId": None}], None, id="own"),
        pytest.param([{**ROOT, "resourceId": OTHER}], Reason.NOT_OWNER, id="anothers"),
        pytest.param([{**ROOT, "resourceId": None}], Reason.NOT_OWNER, id="nobodys"),
        pytest.param([{**ROOT, "resourceId": OWNER}, {**ROOT, "resourceId": OTHER}], Reason.NOT_OWNER, id="two-roots"),
        pytest.param(
            [{**ROOT, "resourceId": OWNER}, {**ROOT, "resourceId": None}], Reason.NOT_OWNER, id="root-beside-nobodys"
        ),
        pytest.param(
            [{**ROOT, "resourceId": OWNER}, {"parentSpanId": "r", "resourceId": OTHER}],
            Reason.NOT_OWNER,
            id="span-of-another",
        ),
        pytest.param([], Reason.NOT_OWNER, id="none"),
    ],
)
@pytest.mark.parametrize("below", ["", "/light", "/spans/s", "/trajectory", "/s/scores"])
def test_trace_is_the_owners_with_all_its_spans(spans: Any, refused: Reason | None, below: str) -> None:
    assert reason("GET", f"/api/observability/traces/T{below}", None, Mastra(traces={"T": spans})) is refused


@pytest.mark.parametrize(
    "method, target",
    [
        ("GET", "/api/background-tasks/{}"),
        ("GET", "/api/schedules/{}"),
        ("PATCH", "/api/schedules/{}"),
        ("DELETE", "/api/schedules/{}"),
        ("POST", "/api/schedules/{}/run"),
        ("GET", "/api/schedules/{}/triggers"),
    ],
)
def test_thing_by_its_id_is_asked_for(method: str, target: str) -> None:
    mastra = Mastra(things={"mine": OWNER, "theirs": OTHER})
    assert reason(method, target.format("mine"), None, mastra) is None
    assert reason(method, target.format("theirs"), None, mastra) is Reason.NOT_OWNER
    assert reason(method, target.format("unknown"), None, mastra) is Reason.NOT_OWNER


def test_schedule_is_the_owners() -> None:
    mastra = Mastra(threads=BOTH, things={"S": OWNER})
    assert sent_body("POST", "/api/schedules", {"agentId": "a", "cron": "x"}, mastra)["resourceId"] == OWNER
    assert reason("POST", "/api/schedules", {"agentId": "a", "threadId": THEIRS}, mastra) is Reason.NOT_OWNER
    assert sent_body("PATCH", "/api/schedules/S", {"cron": "x"}, mastra) == {"cron": "x"}
    assert sent_body("PATCH", "/api/schedules/S", {"resourceId": "alice"}, mastra) == {"resourceId": OWNER}


def test_feedback_is_the_owners_on_their_own_trace() -> None:
    mastra = Mastra(traces={"a": [{**ROOT, "resourceId": OTHER}], "b": [{**ROOT, "resourceId": OWNER}]})
    said = {
        "traceId": "b",
        "value": 1,
        "userId": "alice",
        "feedbackUserId": "alice",
        "feedbackId": "x",
        "resourceId": "alice",
    }
    sent = sent_body("POST", "/api/observability/feedback", {"feedback": said}, mastra)
    assert sent == {"feedback": {"traceId": "b", "value": 1, "resourceId": OWNER}}
    for trace in ("a", "unknown", None, 5):
        assert (
            reason("POST", "/api/observability/feedback", {"feedback": {"traceId": trace}}, mastra) is Reason.NOT_OWNER
        )
    assert reason("POST", "/api/observability/scores", {"score": {"traceId": "a"}}, mastra) is Reason.NOT_OWNER


def test_conversations_and_responses() -> None:
    mastra = Mastra(threads=BOTH, responses={"r1": MINE, "r2": THEIRS})
    assert sent_body("POST", "/api/v1/conversations", {"agent_id": "a"}, mastra)["resource_id"] == OWNER
    for conversation, refused in ((MINE, None), (THEIRS, Reason.NOT_OWNER), ("new", None)):
        body = {"agent_id": "a", "conversation_id": conversation, "resource_id": "alice"}
        assert reason("POST", "/api/v1/conversations", body, mastra) is refused
    for method, target in (
        ("GET", "/api/v1/conversations/{}"),
        ("DELETE", "/api/v1/conversations/{}"),
        ("GET", "/api/v1/conversations/{}/items"),
    ):
        assert reason(method, target.format(MINE), None, mastra) is None
        assert reason(method, target.format(THEIRS), None, mastra) is Reason.NOT_OWNER
    for method in ("GET", "DELETE"):
        for query in ("", "?agent_id=a"):
            assert reason(method, f"/api/v1/responses/r1{query}", None, mastra) is None
            assert reason(method, f"/api/v1/responses/r2{query}", None, mastra) is Reason.NOT_OWNER
    for more, refused in (
        ({"conversation_id": MINE}, None),
        ({"conversation_id": THEIRS}, Reason.NOT_OWNER),
        ({"conversation_id": "new"}, Reason.NOT_OWNER),
        ({"previous_response_id": "r1"}, None),
        ({"previous_response_id": "r2"}, Reason.NOT_OWNER),
        ({"conversation": THEIRS}, Reason.NOT_OWNER),
    ):
        assert reason("POST", "/api/v1/responses", {"agent_id": "a", "input": "x", **more}, mastra) is refused
    sent = sent_body("POST", "/api/v1/responses", {"agent_id": "a", "input": "x", "store": True}, mastra)
    assert sent["conversation_id"] == "new-conversation"
    assert "conversation_id" not in sent_body("POST", "/api/v1/responses", {"agent_id": "a", "input": "x"}, mastra)


def call(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": "1", "method": method, "params": params}


def test_message_to_an_agent_is_the_owners() -> None:
    mastra = Mastra(threads=BOTH, tasks={"t1": MINE, "t2": THEIRS})
    for method in ("message/send", "message/stream", "SendMessage", "SendStreamingMessage"):
        message = {"parts": [], "metadata": {"resourceId": "alice", "x": 1}}
        sent = sent_body("POST", "/api/a2a/a", call(method, message=message, metadata={"resourceId": "alice"}), mastra)[
            "params"
        ]
        assert sent["metadata"] == {"resourceId": OWNER} and sent["message"]["metadata"] == {"x": 1}
        assert is_own_id(OWNER, sent["message"]["contextId"])
        for more, refused in (
            ({"contextId": MINE}, None),
            ({"contextId": "new"}, None),
            ({"contextId": THEIRS}, Reason.NOT_OWNER),
            ({"taskId": "t1"}, None),
            ({"taskId": "t2"}, Reason.NOT_OWNER),
            ({"taskId": "unknown"}, Reason.NOT_OWNER),
            ({"threadId": THEIRS}, Reason.NOT_OWNER),
        ):
            assert reason("POST", "/api/a2a/a", call(method, message={"parts": [], **more}), mastra) is refused


@pytest.mark.parametrize(
    "method",
    [
        "tasks/get",
        "tasks/cancel",
        "tasks/resubscribe",
        "GetTask",
        "SubscribeToTask",
        "tasks/pushNotificationConfig/get",
        "DeleteTaskPushNotificationConfig",
    ],
)
def test_task_is_the_owners(method: str) -> None:
    mastra = Mastra(threads=BOTH, tasks={"t1": MINE, "t2": THEIRS, "t3": own_id(OWNER, "x"), "t4": own_id(OTHER, "x")})
    for task, refused in (
        ("t1", None),
        ("t3", None),
        ("t2", Reason.NOT_OWNER),
        ("t4", Reason.NOT_OWNER),
        ("t5", Reason.NOT_OWNER),
    ):
        assert reason("POST", "/api/a2a/a", call(method, id=task), mastra) is refused
        assert reason("POST", "/api/a2a/a", call(method, taskId=task, id="configuration"), mastra) is refused
    # In 0.3 the id counts, in 1.0 the taskId.
    assert reason("POST", "/api/a2a/a", call(method, taskId="t1", id="t2"), mastra) is Reason.NOT_OWNER
    assert reason("POST", "/api/a2a/a", call(method), mastra) is Reason.NOT_OWNER


def test_tasks_are_listed_by_context() -> None:
    mastra = Mastra(threads=BOTH)
    for params, refused in (
        ({"contextId": MINE}, None),
        ({"contextId": THEIRS}, Reason.NOT_OWNER),
        ({}, Reason.NOT_OWNER),
    ):
        assert reason("POST", "/api/a2a/a", call("tasks/list", **params), mastra) is refused
    assert reason("POST", "/api/a2a/a", call("tasks/new"), mastra) is Reason.NOT_OWNER


def test_session_of_a_controller_is_the_owners() -> None:
    mastra = Mastra(threads=BOTH)
    at = "/api/agent-controller/c/sessions"
    assert sent_body("POST", at, {"resourceId": "alice"}, mastra) == {"resourceId": OWNER}
    assert reason("POST", at, {"resourceId": OWNER, "threadId": THEIRS}, mastra) is Reason.NOT_OWNER
    assert reason("GET", f"{at}/bob", None, mastra) is None
    for other in ("alice", "Bob", "bob%20", "b%C3%B6b"):
        assert reason("GET", f"{at}/{other}", None, mastra) is Reason.NOT_OWNER
    assert reason("GET", f"{at}/auth0%7Cx", None, mastra, owner="auth0|x") is None
    assert reason("GET", f"{at}/bob/threads/{THEIRS}/messages", None, mastra) is Reason.NOT_OWNER
    assert reason("POST", f"{at}/bob/thread", {"threadId": THEIRS}, mastra) is Reason.NOT_OWNER
    assert reason("POST", f"{at}/bob/messages", {"message": "x", "resourceId": "alice"}, mastra) is None


# ---- what is closed, and who is nobody --------------------------------------------


@pytest.mark.parametrize(
    "method, target",
    [
        ("POST", "/api/memory/threads/T/transfer"),
        ("POST", "/api/memory/threads/T/%74ransfer"),
        ("POST", f"{AGENT}/model"),
        ("POST", f"{AGENT}/clone"),
        ("POST", "/api/vector/v/query"),
        ("GET", "/api/logs"),
        ("GET", "/api/stored/agents"),
        ("POST", "/api/observability/traces/delete"),
        ("POST", "/api/workflows/w/restart-all-active-workflow-runs"),
        ("GET", "/api/workspaces/w/fs/read"),
        ("GET", "/browser/a/stream"),
        ("POST", "/__refresh"),
        ("GET", "/api/new/route"),
        ("GET", "/api/memory/threads/T/new"),
        ("PUT", "/api/memory/threads"),
        ("GET", "/API/agents"),
        ("GET", "/api;x/agents"),
        ("GET", "/api/Agents"),
        ("OPTIONS", "/api/nothing"),
        ("POST", "/Chat"),
        ("POST", "/chat;x/a"),
    ],
)
def test_what_mastra_cannot_part_by_owner_is_closed(method: str, target: str) -> None:
    assert reason(method, target, {}) is Reason.NOT_OWNER


@pytest.mark.parametrize(
    "method, target",
    [
        ("GET", "/api/agents"),
        ("GET", "/api/tools/t"),
        ("OPTIONS", "/api/memory/threads"),
        ("OPTIONS", "/api/mcp/s/mcp"),
        ("OPTIONS", "/chat"),
        ("GET", "/api"),
        ("GET", "/api/openapi.json"),
        ("GET", "/"),
        ("GET", "/health"),
    ],
)
def test_nobody_may_have_what_is_nobodys(method: str, target: str) -> None:
    assert reason(method, target, owner=None) is None
    assert reason("GET", "/api/memory/threads", owner=None) is Reason.NOT_OWNER
    assert reason("POST", f"{AGENT}/generate", chat(), owner=None) is Reason.NOT_OWNER
    assert reason("POST", "/chat", chat(), owner=None) is Reason.NOT_OWNER


@pytest.mark.parametrize("target", ["/chat", "/chat/weather", "/my-chat", "/teams/a/chat"])
def test_routes_of_the_ai_sdk(target: str) -> None:
    ownership = Ownership(like=((("my-chat",), "generate"), (("teams", "*", "chat"), "generate")))
    sent = treat("POST", target, chat(memory={"thread": "T", "resource": "alice"}), ownership=ownership)
    assert sent.body is not None and json.loads(sent.body)["memory"]["resource"] == OWNER


def test_chat_goes_on_with_its_own_run_and_thread_alone() -> None:
    mastra = Mastra(threads=BOTH)
    assert reason("POST", "/chat", chat(memory={"thread": MINE}), mastra) is None
    for thread in (THEIRS, {"id": THEIRS}):
        assert reason("POST", "/chat/a", chat(memory={"thread": thread}), mastra) is Reason.NOT_OWNER
    run = own_id(OWNER, "chosen")
    for said in ("chosen", run):
        body = sent_body("POST", "/chat/a", {"messages": [], "runId": said, "resumeData": {"approved": True}})
        assert body["runId"] == run
    assert "runId" not in sent_body("POST", "/chat", {"messages": [], "resumeData": {}})


def test_file_says_more_of_a_path_than_the_table() -> None:
    ownership = Ownership(
        like=((("chat",), "close"), (("page",), "none"), (("flow",), "workflow"), (("net",), "network"))
    )
    assert reason("POST", "/chat", chat(), ownership=ownership) is Reason.NOT_OWNER
    assert reason("POST", "/page", b"not json", ownership=ownership) is None
    mastra = Mastra(threads=BOTH)
    assert reason("POST", "/net", chat(memory={"thread": THEIRS}), mastra, ownership=ownership) is Reason.NOT_OWNER
    sent = treat("POST", "/flow", {"inputData": {}, "resourceId": "alice"}, ownership=ownership)
    assert sent.body is not None and json.loads(sent.body)["resourceId"] == OWNER
    assert reason("POST", "/flow", {"runId": "r", "resumeData": {}}, ownership=ownership) is Reason.NOT_OWNER


@pytest.mark.parametrize("status", [401, 429, 500, 503, 302])
def test_look_up_that_fails_lets_nobody_through(status: int) -> None:
    assert reason("GET", "/api/workflows/w/runs/R", None, Mastra(status=status)) is Reason.OWNER_UNKNOWN
    assert reason("POST", "/api/memory/threads", {"threadId": "T"}, Mastra(status=status)) is Reason.OWNER_UNKNOWN


def test_every_kind_of_the_table_is_known() -> None:
    for row in rows():
        for carrier in row.carriers:
            assert carrier.place in ("path", "query", "body"), row
    for row in rows():
        if row.way in ("pin", "look_up"):
            target = "/api" + "".join(f"/{'x' if text[0] == ':' else text}" for text in row.segments)
            method = "POST" if row.method == "ALL" else row.method
            reason(method, target, {}, Mastra(threads={"x": OWNER}, runs={"x": OWNER}, things={"x": OWNER}))
