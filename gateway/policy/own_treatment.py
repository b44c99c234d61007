"""One request while it is treated: what is known of it, what is asked about it, and what is to be changed in it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from gateway.policy.denied import Denied
from gateway.policy.enquiries import Asking, Question, Told, owner_in
from gateway.policy.json_edits import Drop, Edit
from gateway.policy.mastra_routes import Row
from gateway.policy.own_context import NAME as CONTEXT
from gateway.policy.own_context import without_identity
from gateway.policy.own_names import text_of, unknown_shape
from gateway.policy.own_query import Query
from gateway.policy.reasons import Reason

_MAX_CONTEXT = 4096  # characters of `requestContext` that a question of ours carries on
_NO_MEMORY = "Memory is not initialized"


@dataclass(slots=True)
class Treatment:
    """A request of `owner`. `prefix` is the path of Mastra's routes; `captures` are as the target spells them.

    `body` holds the members of the body that go on as they are, but for `edits`; none if there is no body. Not among
    them is `requestContext`, which is `context`.
    """

    row: Row
    owner: str
    prefix: str
    captures: Mapping[str, str]
    query: Query
    body: Mapping[str, Any]
    context: Any = None
    edits: list[Edit | Drop] = field(default_factory=list)

    def put(self, path: Sequence[str | int], value: Any) -> None:
        """Have a value at a place of the body."""
        self.edits.append(Edit(tuple(path), value))

    def drop(self, path: Sequence[str | int]) -> None:
        """Have nothing at a place of the body."""
        self.edits.append(Drop(tuple(path)))

    def agent(self) -> str:
        """Return the agent that the request is about, as text; empty: none. Raises `Denied` where it names two."""
        if "agentId" in self.captures:
            return unquote(self.captures["agentId"])
        name = "agent_id" if self.row.path.startswith("/v1/") else "agentId"
        named = [self.query.value(name), self.body.get(name)]
        found = {text_of(one, "agentId") for one in named if one is not None}
        if len(found) > 1:
            raise Denied(Reason.NOT_OWNER, "the request names two agents")
        return found.pop() if found else ""

    def surroundings(self) -> str:
        """Return the query of a question of ours: the same agent, and the same `requestContext`.

        Memory may be another's for another agent or context, and what was looked for elsewhere proves nothing.
        """
        query = Query("")
        if agent := self.agent():
            query.put("agentId", agent)
        contexts = [self.context, *map(_parsed, self.query.values(CONTEXT))]
        merged: dict[str, Any] = {}
        for context in contexts:
            if context:
                merged |= without_identity(context)
        if merged:
            text = json.dumps(merged, separators=(",", ":"))
            if len(text) > _MAX_CONTEXT:
                raise Denied(Reason.NOT_OWNER, "requestContext is too long to be told where an owner is looked up")
            query.put(CONTEXT, text)
        return query.text

    def is_own(self, kind: str, target: str, *, may_be_new: bool = False) -> Asking:
        """Ask whose a thing is: the owner's, or with `may_be_new` nobody's yet. Raises `Denied` (OWNER_UNKNOWN)."""
        told = yield Question("GET", target, memo=(kind, target))
        return self.says_own(kind, told, may_be_new=may_be_new)

    def says_own(self, kind: str, told: Told, *, may_be_new: bool) -> bool:
        """Return whether an answer says that a thing is the owner's. Raises `Denied` (OWNER_UNKNOWN)."""
        if told.status == 200:
            owner = told.owner if told.owner is not None else owner_in(kind, told.json)
            return owner is not None and owner == self.owner
        if told.status == 403:
            return False
        if told.status == 404 or (told.status == 400 and _says(told.json, _NO_MEMORY)):
            return may_be_new
        raise Denied(Reason.OWNER_UNKNOWN, f"the upstream answered {told.status} to the question whose a {kind} is")

    def is_own_thread(self, thread: Any, name: str, *, may_be_new: bool = True) -> Asking:
        """Ask whose a thread is."""
        target = f"{self.prefix}/memory/threads/{quote(text_of(thread, name), safe='')}{self.surroundings()}"
        return (yield from self.is_own("thread", target, may_be_new=may_be_new))


def need(is_own: bool, what: str) -> None:
    """Refuse what is not the caller's. Raises `Denied` (NOT_OWNER)."""
    if not is_own:
        raise Denied(Reason.NOT_OWNER, f"the {what} is another's, or nobody's")


def _says(answer: Any, error: str) -> bool:
    return isinstance(answer, dict) and answer.get("error") == error


def _parsed(text: str) -> Any:
    # By now the one spelling that is ours: see `own_context.clean_query`.
    value = json.loads(text)
    if not isinstance(value, dict):
        raise unknown_shape(CONTEXT)
    return value
