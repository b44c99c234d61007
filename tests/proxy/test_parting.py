"""Two callers who were both told that a thing is not there: one makes it."""

from __future__ import annotations

import json

import pytest

from gateway.http1.request import RequestRead
from gateway.policy.decision import Allow
from gateway.policy.denied import Denied
from gateway.policy.enquiries import Question, Sent, Told
from gateway.policy.model import Headers, Principal
from gateway.policy.owners import Owners
from gateway.policy.ownership import Ownership
from gateway.policy.reasons import Reason
from gateway.policy.routes import Route
from gateway.policy.upstreams import Upstream
from gateway.proxy.parting import Parting

CREATE = "/api/memory/threads?agentId=a"
BODY = json.dumps({"threadId": "t1", "resourceId": "x"}).encode()
GET = "/api/memory/threads/t1?agentId=a"


def parting_of(subject: str, owners: Owners, method: str = "POST", target: str = CREATE) -> Parting:
    headers = Headers((("Host", "gw.test"), ("Content-Type", "application/json")))
    request = RequestRead(method, target, headers, "192.0.2.1", "http")
    route = Route("/api", ("api",), Upstream("mastra", "http://127.0.0.1:1"), own_things=Ownership())
    return Parting(Allow(route, target, Principal("people", subject, None, {})), Ownership(), request, owners)


def test_thread_is_made_by_who_went_first() -> None:
    owners = Owners()
    ann, bob = parting_of("ann", owners), parting_of("bob", owners)
    assert isinstance(ann.begin(BODY, 10), Question)
    assert isinstance(bob.begin(BODY, 10), Question)
    assert isinstance(bob.go_on(Told(404), 11), Sent)
    with pytest.raises(Denied) as no:
        ann.go_on(Told(404), 11)
    assert no.value.reason is Reason.NOT_OWNER


def test_who_only_asks_keeps_nobody_from_making_it() -> None:
    owners = Owners()
    bob = parting_of("bob", owners, "POST", "/api/workflows/w/runs/r1/cancel")
    assert isinstance(bob.begin(b"", 10), Question)
    with pytest.raises(Denied):
        bob.go_on(Told(404), 10)
    ann = parting_of("ann", owners, "POST", "/api/workflows/w/start-async?runId=r1")
    step = ann.begin(b"{}", 11)
    while isinstance(step, Question):
        step = ann.go_on(Told(404), 11)
    assert isinstance(step, Sent)
