"""What is whose, as an exchange sees to it: bodies held whole, look-ups, and what goes up then."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from gateway.policy.json_edits import weigh
from gateway.proxy.holding import MAX_BODY_BYTES, Holding
from gateway.proxy.states import HOLDING
from tests.minting import NOW
from tests.proxy.playbook import Player, dialogues, play

OWNED = r"""
# a body that came with its head is changed
>> request PATCH /things/memory/threads/t1 token json length 13 body {"title":"x"}
<< upstream begin PATCH /things/memory/threads/t1 as user-1 length 35 body {"resourceId":"user-1","title":"x"}
>> response 200 length 2 body ok << client write 200 length 2 body ok; client ended keep-alive, complete
# a body is held until all of it is there
>> request PATCH /things/memory/threads/t1 token json length 13 body {"ti
>> clock 29
>> client sends tle":"
>> client sends x"}GET
<< upstream begin PATCH /things/memory/threads/t1 as user-1 length 35 body {"resourceId":"user-1","title":"x"}
<< client keeps GET
# a body by chunks goes on with a length
>> request PATCH /things/memory/threads/t1 token json chunked body 2\r\n{"\r\n
>> client sends b\r\ntitle":"x"}\r\n
>> client sends 0\r\n\r\nGET
<< upstream begin PATCH /things/memory/threads/t1 as user-1 length 35 body {"resourceId":"user-1","title":"x"}
<< client keeps GET
# a body by chunks that stays as it came
>> request POST /things/workflows/w/runs/r/cancel token json chunked body 2\r\n{}\r\n0\r\n\r\n
<< upstream begin GET /things/workflows/w/runs/r?fields=error&withNestedWorkflows=false as user-1
>> response 200 length 23 body {"resourceId":"user-1"}
<< upstream begin POST /things/workflows/w/runs/r/cancel as user-1 chunked body 2\r\n{}\r\n0\r\n\r\n
>> response 200 length 2 body ok << client write 200 length 2 body ok; client ended keep-alive, complete
# a body where none came
>> request POST /things/workflows/w/create-run token
<< upstream begin POST /things/workflows/w/create-run as user-1 length 23 body {"resourceId":"user-1"}
>> response 200 length 2 body ok << client write 200 length 2 body ok; client ended keep-alive, complete
# a body that waits to be asked for
>> request PATCH /things/memory/threads/t1 token json length 13 expect << client write 100
>> client sends {"title":"x"}
<< upstream begin PATCH /things/memory/threads/t1 as user-1 length 35 body {"resourceId":"user-1","title":"x"}
# a body that was held back before
>> request PATCH /both/memory/threads/t1 token json length 90000 body {"title":" << budgets people of user-1, a stream
>> client sends x*70000 << client held
>> budget lends << client freed
# a body that stops coming
>> request PATCH /things/memory/threads/t1 token json length 13 body {
>> clock 30 << client write 408 close request_timeout; client ended lingers, refused
# a body that takes too long
-- limit body_timeout_seconds 40
>> request PATCH /things/memory/threads/t1 token json length 13 body {
>> clock 29
>> client sends "
>> clock 10
>> clock 1 << client write 408 close request_timeout; client ended lingers, refused
# a body whose sender leaves
>> request PATCH /things/memory/threads/t1 token json length 13 body {
>> client leaves << client ended close, client_gone
# a body of a sender that was slow
>> request PATCH /things/memory/threads/t1 token json length 13 body {
>> client slow
>> clock 50
>> client takes again
>> clock 29
>> clock 1 << client write 408 close request_timeout; client ended lingers, refused
# a body while the gateway stops
>> request PATCH /things/memory/threads/t1 token json length 13 body {
>> shut down << client write 503 close shutting_down; client ended lingers, shut_down
# a body that is no JSON
>> request PATCH /things/memory/threads/t1 token json length 2 body {x << client write 400 close body_malformed
<< client ended lingers, refused
# a body that is no JSON in the end, and what is behind it
>> request PATCH /things/memory/threads/t1 token json length 2 body {
>> client sends xGET << client write 400 close body_malformed; client ended lingers, refused
# a body of another kind
>> request PATCH /things/memory/threads/t1 token text length 2 body {} << client write 415 body_unsupported
<< client ended keep-alive, refused
# no body of another kind
>> request POST /things/workflows/w/create-run token text << client write 415 body_unsupported
<< client ended keep-alive, refused
# a body that is compressed
>> request PATCH /things/memory/threads/t1 token json gzip length 2 body {} << client write 415 body_unsupported
<< client ended keep-alive, refused
# a body that is too large by its length
>> request PATCH /things/memory/threads/t1 token json length 4718593 << client write 413 close body_too_large
<< client ended lingers, refused
# a body that is just not too large by its length
>> request PATCH /things/memory/threads/t1 token json length 4718592
# a body that the file finds too large
-- limit body_bytes 5
>> request PATCH /things/memory/threads/t1 token json length 6 << client write 413 close body_too_large
<< client ended lingers, refused
# a body that becomes too large
-- limit body_bytes 5
>> request PATCH /things/memory/threads/t1 token json chunked
>> client sends 6\r\nabcdef\r\n << client write 413 close body_too_large; client ended lingers, refused
# a body has broken chunks
>> request PATCH /things/memory/threads/t1 token json chunked
>> client sends zz\r\n << client write 400 close request_malformed; client ended lingers, refused
# a body of a stranger is not held
>> request PATCH /things/memory/threads/t1 json length 13 body { << client write 401 close token_missing
<< client ended lingers, refused
# a file is not read
>> request POST /things/agents/a/voice/listen token form length 6 body abc
<< upstream begin POST /things/agents/a/voice/listen as user-1 length 6 unfinished; upstream write abc
>> client sends def << upstream has all; upstream write def
# a body that nobody reads
>> request GET /things/memory/threads/t1 token length 2 body {} << client write 415 body_unsupported
<< client ended keep-alive, refused
# a body that nobody reads, of what is nobody's
>> request GET /things/agents token length 2 body {} << upstream begin GET /things/agents as user-1 length 2 body {}
# the target is changed
>> request GET /things/memory/threads/t1 token
<< upstream begin GET /things/memory/threads/t1?resourceId=user-1 as user-1
>> upstream breaks kept << new upstream begin GET /things/memory/threads/t1?resourceId=user-1 as user-1
# whose it is is asked first
>> request GET /things/workflows/w/runs/r token
<< upstream begin GET /things/workflows/w/runs/r?fields=error&withNestedWorkflows=false as user-1
>> response 200 length 23 body {"resourceId":"user-1"} << upstream begin GET /things/workflows/w/runs/r as user-1
>> upstream breaks kept << new upstream begin GET /things/workflows/w/runs/r as user-1
# another's
>> request GET /things/workflows/w/runs/r token
<< upstream begin GET /things/workflows/w/runs/r?fields=error&withNestedWorkflows=false as user-1
>> response 200 length 23 body {"resourceId":"user-2"} << client write 403 not_owner; client ended keep-alive, refused
# nobody's
>> request GET /things/workflows/w/runs/r token
<< upstream begin GET /things/workflows/w/runs/r?fields=error&withNestedWorkflows=false as user-1
>> response 404 length 0 << client write 403 not_owner; client ended keep-alive, refused
# an answer in pieces
>> request GET /things/workflows/w/runs/r token
<< upstream begin GET /things/workflows/w/runs/r?fields=error&withNestedWorkflows=false as user-1
>> response 200 chunked body {"resourceId"
>> piece :"user-1"
>> last piece } << upstream begin GET /things/workflows/w/runs/r as user-1
# an answer that is no JSON
>> request GET /things/workflows/w/runs/r token
<< upstream begin GET /things/workflows/w/runs/r?fields=error&withNestedWorkflows=false as user-1
>> response 200 length 1 body x << client write 403 not_owner; client ended keep-alive, refused
# an answer that is too long
>> request GET /things/workflows/w/runs/r token
<< upstream begin GET /things/workflows/w/runs/r?fields=error&withNestedWorkflows=false as user-1
>> response 200 chunked
>> piece x*600000
>> piece x*3600000 << upstream abort; client write 403 not_owner; client ended keep-alive, refused
# an answer that is an error
>> request GET /things/workflows/w/runs/r token
<< upstream begin GET /things/workflows/w/runs/r?fields=error&withNestedWorkflows=false as user-1
>> response 500 length 0 << client write 503 owner_unknown; client ended keep-alive, refused
# no answer
>> request GET /things/workflows/w/runs/r token
<< upstream begin GET /things/workflows/w/runs/r?fields=error&withNestedWorkflows=false as user-1
>> upstream breaks << client write 502 upstream_broken; client ended keep-alive, refused
# no answer on a connection that was kept
>> request GET /things/workflows/w/runs/r token
<< upstream begin GET /things/workflows/w/runs/r?fields=error&withNestedWorkflows=false as user-1
>> upstream breaks kept
<< new upstream begin GET /things/workflows/w/runs/r?fields=error&withNestedWorkflows=false as user-1
>> response 200 length 23 body {"resourceId":"user-1"} << upstream begin GET /things/workflows/w/runs/r as user-1
# no answer twice
>> request GET /things/workflows/w/runs/r token
<< upstream begin GET /things/workflows/w/runs/r?fields=error&withNestedWorkflows=false as user-1
>> upstream breaks kept
<< new upstream begin GET /things/workflows/w/runs/r?fields=error&withNestedWorkflows=false as user-1
>> upstream breaks kept << client write 502 upstream_broken; client ended keep-alive, refused
# half an answer
>> request GET /things/workflows/w/runs/r token
<< upstream begin GET /things/workflows/w/runs/r?fields=error&withNestedWorkflows=false as user-1
>> response 200 length 23 broken body {"resourceId" << client write 502 upstream_broken
<< client ended keep-alive, refused
# the question has not left
>> request GET /things/workflows/w/runs/r token
<< upstream begin GET /things/workflows/w/runs/r?fields=error&withNestedWorkflows=false as user-1
>> upstream breaks unsent
<< new upstream begin GET /things/workflows/w/runs/r?fields=error&withNestedWorkflows=false as user-1
# the upstream switches protocols at a question
>> request GET /things/workflows/w/runs/r token
<< upstream begin GET /things/workflows/w/runs/r?fields=error&withNestedWorkflows=false as user-1
>> upstream switches << client write 502 upstream_broken; client ended keep-alive, refused
# an answer that takes too long
>> request GET /things/workflows/w/runs/r token
<< upstream begin GET /things/workflows/w/runs/r?fields=error&withNestedWorkflows=false as user-1
>> clock 189
>> clock 1 << client write 504 upstream_timeout; upstream abort; client ended keep-alive, refused
# an answer that takes too long, and a client that was slow
>> request GET /things/workflows/w/runs/r token
<< upstream begin GET /things/workflows/w/runs/r?fields=error&withNestedWorkflows=false as user-1
>> client slow
>> clock 10
>> client takes again
>> clock 179
>> clock 1 << client write 504 upstream_timeout; upstream abort; client ended keep-alive, refused
# nobody waits for an answer any more
>> request GET /things/workflows/w/runs/r token
<< upstream begin GET /things/workflows/w/runs/r?fields=error&withNestedWorkflows=false as user-1
>> client leaves << upstream abort; client ended close, client_gone
# the gateway stops while one is waited for
>> request GET /things/workflows/w/runs/r token
<< upstream begin GET /things/workflows/w/runs/r?fields=error&withNestedWorkflows=false as user-1
>> shut down << client write 503 close shutting_down; upstream abort; client ended close, shut_down
# what nobody can tell apart
>> request POST /things/memory/threads/t1/transfer token json length 2 body {} << client write 403 not_owner
<< client ended keep-alive, refused
# what nobody knows
>> request GET /things/none token << client write 403 not_owner; client ended keep-alive, refused
# what is nobody's
>> request GET /things/agents token << upstream begin GET /things/agents as user-1
# a WebSocket
>> request GET /things/memory/threads/t1 token websocket << client write 403 close not_owner
<< client ended close, refused
# a WebSocket where nothing is anybody's
>> request GET /things/agents token websocket << upstream begin GET /things/agents as user-1 websocket
# a place in a budget comes first
>> request PATCH /both/memory/threads/t1 token json length 13 body { << budgets people of user-1, a stream
>> budget lends
>> client sends "title":"x"}
<< upstream begin PATCH /both/memory/threads/t1 as user-1 length 35 body {"resourceId":"user-1","title":"x"}
>> client leaves << upstream abort; budgets given back; client ended close, client_gone
# a place in a budget goes back with a refusal
>> request PATCH /both/memory/threads/t1/transfer token json length 2 body {} << budgets people of user-1, a stream
>> budget lends << client write 403 not_owner; budgets given back; client ended keep-alive, refused
# it counts also where no rule does
>> request POST /watched/memory/threads/t1/transfer token json length 2 body {} << client write 403 not_owner
<< client ended keep-alive, refused
# nobody has nothing, also where no rule counts
>> request PATCH /watched/memory/threads/t1 json length 13 body {"title":"x"} << client write 403 not_owner
<< client ended keep-alive, refused
"""
RUN = "?fields=error&withNestedWorkflows=false"
PATCH = "request PATCH /things/memory/threads/t1 token json"


@pytest.mark.parametrize("dialogue", dialogues(OWNED))
async def test_what_is_told_is_followed_by_these_commands(dialogue: str) -> None:
    player = play(dialogue)
    assert not player.host.holding.count_bytes or player.exchange.state is HOLDING


async def test_what_becomes_too_large_to_be_held_is_refused() -> None:
    player = play(rf">> {PATCH} chunked body 480001\r\n")
    assert player.feed(f"client sends x*{MAX_BODY_BYTES // 2}") == []
    assert player.feed(f"client sends x*{MAX_BODY_BYTES // 2 + 1}") == [
        "client write 413 close body_too_large", "client ended lingers, refused",
    ]  # fmt: skip
    assert player.host.outcomes[0].bytes_in == MAX_BODY_BYTES + 1


async def test_one_that_is_just_not_too_large_is_held() -> None:
    player = play(f">> {PATCH} length {MAX_BODY_BYTES}")
    before, behind = '{"title":"', '"}'
    player.feed(f"client sends {before}")
    player.feed(f"client sends x*{MAX_BODY_BYTES - len(before) - len(behind)}")
    (begun,) = player.feed(f"client sends {behind}")
    assert begun.startswith(f"upstream begin PATCH /things/memory/threads/t1 as user-1 length {MAX_BODY_BYTES + 22}")
    player.feed("response 200 length 2 body ok")
    assert player.host.outcomes[0].bytes_in == MAX_BODY_BYTES, "what the client sent"


async def test_of_too_many_bodies_the_oldest_goes_of_who_has_most() -> None:
    holding, gone = Holding(100), list[str]()
    names = {"old": "ann", "first": "bob", "second": "bob"}
    old, first, second = [holding.begin(who, partial(gone.append, name)) for name, who in names.items()]
    holding.grow(old, 40)
    holding.grow(second, 30)
    holding.grow(first, 30)
    assert gone == [] and holding.count_bytes == 100
    holding.grow(old, 1)
    assert gone == ["first"] and holding.count_bytes == 71 and holding.shed == 1
    holding.end(first)
    assert holding.count_bytes == 71, "it was counted out once"
    holding.grow(second, 100)
    assert gone == ["first", "second"] and holding.count_bytes == 41 and holding.count == 1


async def test_a_body_that_has_to_go_is_answered() -> None:
    player = Player([])
    player.host.holding.max_bytes = 10
    player.feed(f"{PATCH} length 13 body 0123456789")
    assert player.feed("client sends 0") == ["client write 503 close bodies_full", "client ended lingers, refused"]
    assert not player.host.holding.count


async def test_what_was_read_of_a_body_counts_while_its_request_waits() -> None:
    player = Player([])
    body = '{"a":[' + "[]," * 50 + "[]]}"
    run = "request POST /things/workflows/w/runs/r/cancel token json length"
    player.feed(f"{run} {len(body)} body {body}")
    assert player.host.holding.count_bytes == weigh(body.encode()) > len(body)
    player.feed("client leaves")
    assert not player.host.holding.count_bytes
    player.host.holding.max_bytes = 2 * len(body)
    assert player.feed(f"{run} {len(body)} body {body}") == [
        "client write 503 bodies_full", "client ended keep-alive, refused",
    ]  # fmt: skip


async def test_a_look_up_goes_in_the_name_of_who_waits_for_it_and_takes_nothing_else_along() -> None:
    words = "token json origin range cookie condition keep-alive"
    player = Player([])
    player.feed(f"request GET /things/workflows/w/runs/r {words}")
    head, _, body = player.upstreams[-1].begun.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    assert first == f"GET /things/workflows/w/runs/r{RUN} HTTP/1.1" and body == b""
    assert [line.partition(":")[0] for line in lines] == [
        "Host", "Authorization", "Cookie", "Accept", "X-Forwarded-For", "X-Forwarded-Proto", "X-Request-Id",
        "X-Auth-Subject", "X-Auth-Email",
    ]  # fmt: skip
    assert "Accept: application/json" in lines and f"X-Request-Id: {player.host.begun[0].request_id}" in lines


async def test_what_was_said_of_a_thing_is_kept_for_a_minute() -> None:
    player = Player([])
    ask = f"upstream begin GET /things/workflows/w/runs/r{RUN} as user-1"
    said = 'response 200 length 23 body {"resourceId":"user-1"}'
    go_on = "upstream begin GET /things/workflows/w/runs/r as user-1"
    ok = "response 200 length 2 body ok"
    request = "request GET /things/workflows/w/runs/r token"
    assert player.feed(request) == [ask]
    assert player.feed(said) == [go_on]
    player.feed(ok)
    assert player.feed(request) == [go_on]
    player.feed(ok)
    player.now += 59
    assert player.feed(request) == [go_on]
    player.feed(ok)
    player.now += 1
    assert player.feed(request) == [ask]


async def test_what_goes_is_asked_for_again() -> None:
    player = Player([])
    player.feed("request GET /things/workflows/w/runs/r token")
    player.feed('response 200 length 23 body {"resourceId":"user-1"}')
    player.feed("response 200 length 2 body ok")
    assert player.feed("request DELETE /things/workflows/w/runs/r token") == [
        "upstream begin DELETE /things/workflows/w/runs/r as user-1 length 0"
    ]
    player.feed("response 200 length 2 body ok")
    assert player.feed("request GET /things/workflows/w/runs/r token") == [
        f"upstream begin GET /things/workflows/w/runs/r{RUN} as user-1"
    ]


async def test_another_is_not_let_in_by_what_was_kept() -> None:
    player = Player([])
    player.host.runtime.owners.keep("default", ("workflow_run", f"/things/workflows/w/runs/r{RUN}"), "user-2", NOW)
    assert player.feed("request GET /things/workflows/w/runs/r token")[0] == "client write 403 not_owner"


@pytest.mark.parametrize(
    ("dialogue", "expected"),
    [
        (f">> {PATCH} length 2 body {{}}", ("pin", "allow", None, None)),
        (">> request GET /things/agents token", (None, "allow", None, None)),
        (">> request GET /public/x", (None, "allow", None, None)),
        (">> request GET /things/none token", ("close", "deny", "not_owner", None)),
        (">> request POST /things/memory/threads/t/transfer token", ("close", "deny", "not_owner", None)),
        (">> request POST /watched/memory/threads/t/transfer token", ("close", "deny", "not_owner", None)),
    ],
)
async def test_the_record_says_how_it_was_kept_to_its_own(dialogue: str, expected: Any) -> None:
    player = Player([])
    player.feed(dialogue.removeprefix(">> "))
    if player.upstreams:
        player.feed("response 200 length 2 body ok")
    (outcome,) = player.host.outcomes
    assert (outcome.own, outcome.decision, outcome.code, outcome.would_deny) == expected
    assert outcome.route == dialogue.split("/")[1].partition(" ")[0].join(("/", ""))
    assert outcome.subject == (None if "public" in dialogue else "user-1")


async def test_a_mistake_of_our_own_behind_the_last_piece_is_answered(caplog: Any) -> None:
    player = play(f">> {PATCH} length 13 body {{")
    player.feed("mistake")
    assert player.feed('client sends "title":"x"}') == [
        "client write 500 internal_error", "client ended keep-alive, failed",
    ]  # fmt: skip
    assert len(caplog.records) == 1
