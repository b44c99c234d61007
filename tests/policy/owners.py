"""A Mastra that answers questions whose things are, for dialogues with `owning`: no socket, no clock."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from gateway.policy.denied import Denied
from gateway.policy.enquiries import Question, Sent, Told
from gateway.policy.ownership import Ownership, row_in
from gateway.policy.owning import needs_body, owning
from gateway.policy.paths import split_target
from gateway.policy.reasons import Reason

OWNER, OTHER = "bob", "alice"
NOT_FOUND = Told(404, {"error": "not found"})


@dataclass
class Mastra:
    """What it has, each thing by its id with its owner. `asked` is what was asked."""

    threads: Mapping[str, str] = field(default_factory=dict)
    runs: Mapping[str, str | None] = field(default_factory=dict)
    suspended: Mapping[str, str] = field(default_factory=dict)
    traces: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    things: Mapping[str, str] = field(default_factory=dict)  # tasks, schedules
    responses: Mapping[str, str] = field(default_factory=dict)  # with their conversation
    tasks: Mapping[str, str] = field(default_factory=dict)  # of A2A, with their context
    messages: Mapping[str, str] = field(default_factory=dict)
    status: int = 200
    asked: list[str] = field(default_factory=list)

    def tell(self, question: Question) -> Told:
        self.asked.append(f"{question.method} {question.target}")
        if self.status != 200:
            return Told(self.status, {"error": "broken"})
        parts = urlsplit(question.target)
        query = parse_qs(parts.query)
        match [unquote(one) for one in parts.path.split("/")[2:]]:
            case ["memory", "threads", thread]:
                return self._of(self.threads, thread)
            case ["memory" | "agent-controller", *_, "threads", thread, "messages"]:
                if thread not in self.threads:
                    return NOT_FOUND
                wanted = [one["id"] for one in json.loads(query["include"][0])]
                found = [{"id": one, "resourceId": self.messages[one]} for one in wanted if one in self.messages]
                return Told(200, {"messages": found})
            case ["workflows" | "agent-builder", _, "runs", run]:
                return self._of(self.runs, run)
            case ["agents", _, "suspended-runs"]:
                own = [run for run, owner in self.suspended.items() if [owner] == query["resourceId"]]
                page = int(query["page"][0])
                return Told(200, {"runs": [{"runId": run} for run in own[page * 100 : page * 100 + 100]]})
            case ["observability", "traces", trace]:
                return Told(200, {"spans": self.traces[trace]}) if trace in self.traces else NOT_FOUND
            case ["background-tasks" | "schedules", thing]:
                return self._of(self.things, thing)
            case ["v1", "conversations", thread]:
                return (
                    Told(200, {"thread": {"resourceId": self.threads[thread]}}) if thread in self.threads else NOT_FOUND
                )
            case ["v1", "conversations"]:
                assert json.loads(question.body)["resource_id"] == OWNER
                return Told(200, {"id": "new-conversation"})
            case ["v1", "responses", response]:
                conversation = self.responses.get(response)
                return Told(200, {"conversation_id": conversation}) if conversation else NOT_FOUND
            case ["a2a", _]:
                call = json.loads(question.body)
                assert call["method"] == "tasks/get"
                task = call["params"]["id"]
                if task not in self.tasks:
                    return Told(200, {"error": {"code": -32001}})
                return Told(200, {"result": {"id": task, "contextId": self.tasks[task]}})
        raise AssertionError(question)

    @staticmethod
    def _of(things: Mapping[str, str | None], thing: str) -> Told:
        return Told(200, {"id": thing, "resourceId": things[thing]}) if thing in things else NOT_FOUND


def treat(
    method: str,
    target: str,
    body: Any = None,
    mastra: Mastra | None = None,
    owner: str | None = OWNER,
    ownership: Ownership | None = None,
) -> Sent:
    """Return what goes on of a request, after every question was answered. Raises `Denied`."""
    ownership, mastra = ownership or Ownership(), mastra or Mastra()
    path, query = split_target(target)
    row = row_in(ownership, method, path)
    if row is None:
        return Sent(path.text + query, None, "unknown")
    raw = json.dumps(body).encode() if body is not None and not isinstance(body, bytes) else body
    treatment = owning(row, ownership, owner, method, path.text + query, raw if needs_body(row, method) else None)
    try:
        question = next(treatment)
        while True:
            question = treatment.send(mastra.tell(question))
    except StopIteration as end:
        sent: Sent = end.value
        return sent


def sent_body(method: str, target: str, body: Any, mastra: Mastra | None = None) -> Any:
    """Return the JSON that goes on."""
    sent = treat(method, target, body, mastra)
    return json.loads(sent.body) if sent.body is not None else body


def reason(method: str, target: str, body: Any = None, mastra: Mastra | None = None, **more: Any) -> Reason | None:
    """Return why a request is refused; None if it is not."""
    try:
        treat(method, target, body, mastra, **more)
    except Denied as denied:
        return denied.reason
    return None
