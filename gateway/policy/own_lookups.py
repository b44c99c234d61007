"""Whose things are that a request names by their ids: by its path, its query, or a member of its body."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote

from gateway.policy.denied import Denied
from gateway.policy.enquiries import Asking, Question, owner_in
from gateway.policy.own_ids import is_own_id, own_id
from gateway.policy.own_names import text_of
from gateway.policy.own_treatment import Treatment, need
from gateway.policy.reasons import Reason

_PER_PAGE, _MAX_PAGES = 100, 10
# How a thing is asked for, below the prefix. Of a run no more than its head is wanted.
_RUN = "?fields=error&withNestedWorkflows=false"
_WORKFLOW, _BUILDER = "workflow_run", "builder_run"


def look_up(treatment: Treatment, kind: str, thing: str, name: str) -> Asking:
    """Ask whose the thing of a kind is. `thing` is text; a kind `new_...` may be nobody's yet."""
    may_be_new = kind.startswith("new_")
    kind = kind.removeprefix("new_")
    text = text_of(thing, name)
    match kind:
        case "thread":
            return (yield from treatment.is_own_thread(text, name, may_be_new=may_be_new))
        case "workflow_run":
            target = f"/workflows/{_captured(treatment, 'workflowId')}/runs/{quote(text, safe='')}{_RUN}"
        case "builder_run":
            target = f"/agent-builder/{_captured(treatment, 'actionId')}/runs/{quote(text, safe='')}{_RUN}"
            kind = _WORKFLOW
        case "trace":
            return (yield from _is_own_trace(treatment, text, may_be_new=may_be_new))
        case "task":
            target = f"/background-tasks/{quote(text, safe='')}"
        case "schedule":
            target = f"/schedules/{quote(text, safe='')}"
        case "conversation":
            target = f"/v1/conversations/{quote(text, safe='')}{treatment.surroundings()}"
        case "response":
            return (yield from _is_own_response(treatment, text))
        case "owner":
            return text == treatment.owner
        case _:
            raise ValueError(f"nobody knows how to look up a {kind}")
    return (yield from treatment.is_own(kind, treatment.prefix + target, may_be_new=may_be_new))


def _captured(treatment: Treatment, name: str) -> str:
    return treatment.captures[name]


def captured_text(treatment: Treatment, name: str) -> str:
    """Return what a segment of the path stands for."""
    try:
        return unquote(treatment.captures[name], errors="strict")
    except UnicodeDecodeError:
        raise Denied(Reason.NOT_OWNER, "the path names a thing in what is not UTF-8") from None


def _is_own_trace(treatment: Treatment, trace: str, *, may_be_new: bool) -> Asking:
    """Ask for a trace; of one that is larger than what is read of an answer, for its roots alone."""
    traces = f"{treatment.prefix}/observability/traces"
    target = f"{traces}/{quote(trace, safe='')}"
    told = yield Question("GET", target, memo=("trace", target))
    if told.status == 200 and told.json is None and told.owner is None:
        told = yield Question("GET", f"{traces}?traceId={quote(trace, safe='')}&perPage=100")
        return told.status == 200 and owner_in("trace", told.json) == treatment.owner
    return treatment.says_own("trace", told, may_be_new=may_be_new)


def _is_own_response(treatment: Treatment, response: str) -> Asking:
    """Ask for a response's conversation, then whose that is."""
    agent = treatment.agent()
    query = f"?agent_id={quote(agent, safe='')}" if agent else ""
    told = yield Question("GET", f"{treatment.prefix}/v1/responses/{quote(response, safe='')}{query}")
    if told.status in (403, 404):
        return False
    conversation = told.json.get("conversation_id") if isinstance(told.json, dict) else None
    if told.status != 200:
        raise Denied(Reason.OWNER_UNKNOWN, f"the upstream answered {told.status} to the question whose a response is")
    if not isinstance(conversation, str):
        return False  # it was not stored
    kind = "thread" if agent else "conversation"
    return (yield from look_up(treatment, kind, conversation, "conversation_id"))


def own_run(treatment: Treatment, run: Any, name: str) -> Asking:
    """Ask for an agent's run that goes on: True where it is the owner's by this id, False where it is not.

    The id of a run that began here says whose it is. Any other is looked for among the owner's that are suspended.
    """
    text = text_of(run, name)
    if is_own_id(treatment.owner, text):
        return True
    if "agentId" not in treatment.captures:
        return False  # a route that a team added: nobody can be asked, so only what says it itself is the owner's
    suspended = f"{treatment.prefix}/agents/{treatment.captures['agentId']}/suspended-runs"
    query = f"?resourceId={quote(treatment.owner, safe='')}&perPage={_PER_PAGE}"
    for page in range(_MAX_PAGES):
        told = yield Question("GET", f"{suspended}{query}&page={page}")
        runs = told.json.get("runs") if told.status == 200 and isinstance(told.json, dict) else None
        if not isinstance(runs, list):
            return False  # this Mastra cannot list them, or has no such agent, which it will say itself
        if any(isinstance(one, dict) and one.get("runId") == text for one in runs):
            return True
        if len(runs) < _PER_PAGE:
            return False
    return False


def bring_run_home(treatment: Treatment, path: tuple[str | int, ...], run: Any, name: str) -> Asking:
    """Have a run's id that is not the owner's replaced by the one that stands for it in the owner's space.

    A client that chose an id for its run goes on with the one it chose, and meets its own; who names another's meets
    nothing. Returns whether the id stayed.
    """
    is_own = yield from own_run(treatment, run, name)
    if not is_own:
        treatment.put(path, own_id(treatment.owner, run))
    return is_own


def need_own(treatment: Treatment, kind: str, thing: Any, name: str) -> Asking:
    """Refuse a thing that is not the owner's. Raises `Denied` (NOT_OWNER, OWNER_UNKNOWN)."""
    is_own = yield from look_up(treatment, kind, text_of(thing, name), name)
    need(is_own, kind.removeprefix("new_").replace("_", " "))
    return True
