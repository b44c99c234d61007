"""Bodies by what they are: where in each an owner stands, or a thing that has one, and what is done there."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.policy.denied import Denied
from gateway.policy.enquiries import Asking
from gateway.policy.own_ids import new_id
from gateway.policy.own_lookups import bring_run_home, need_own
from gateway.policy.own_messages import pin_ids, pin_messages
from gateway.policy.own_names import text_of, unknown_shape
from gateway.policy.own_options import pin_options, pin_tracing, refuse_the_rest
from gateway.policy.own_query import folded
from gateway.policy.own_treatment import Treatment
from gateway.policy.reasons import Reason

_Path = tuple[str | int, ...]


def _generate(treatment: Treatment) -> Asking:
    body = treatment.body
    known = {"runId"}
    if body.get("runId") is not None:
        yield from bring_run_home(treatment, ("runId",), body["runId"], "runId")
    elif "runId" not in body or body["runId"] is None:
        # So that whoever began it can go on with it, also where nothing else says whose it is.
        treatment.put(("runId",), new_id(treatment.owner, secrets.token_bytes(16)))
    return (yield from pin_options(treatment, (), body, known))


def _resume(treatment: Treatment) -> Asking:
    body = treatment.body
    if body.get("runId") is not None:
        yield from bring_run_home(treatment, ("runId",), body["runId"], "runId")
    return (yield from pin_options(treatment, (), body, {"runId"}))


def _chat(treatment: Treatment) -> Asking:
    """A chat route of the AI SDK: an agent's options, with a run to go on with where there is something for it.

    Whose a thread is the route itself does not ask; Mastra's core of today does, former ones did not.
    """
    if isinstance(treatment.body.get("memory"), dict) and (thread := _thread_of(treatment)):
        yield from need_own(treatment, "new_thread", thread, "memory.thread")
    is_resumed = treatment.body.get("resumeData") is not None
    return (yield from (_resume if is_resumed else _generate)(treatment))


def _network(treatment: Treatment) -> Asking:
    """Mastra's network does not look whose a thread is, so that is asked first."""
    if treatment.body.get("memory") is not None:
        yield from need_own(treatment, "new_thread", _thread_of(treatment), "memory.thread")
    return (yield from _generate(treatment))


def _thread_of(treatment: Treatment) -> Any:
    memory = treatment.body["memory"]
    thread = memory.get("thread") if isinstance(memory, dict) else None
    return thread.get("id") if isinstance(thread, dict) else thread


def _signal(treatment: Treatment) -> Asking:
    """A message to a thread: with options for the case that it is at rest, a second set of all that has an owner."""
    body = treatment.body
    treatment.put(("resourceId",), treatment.owner)
    thread = text_of(body["threadId"], "threadId") if body.get("threadId") is not None else ""
    if body.get("runId") is not None:
        yield from bring_run_home(treatment, ("runId",), body["runId"], "runId")
    for name in ("signal", "message"):
        one = body.get(name)
        if isinstance(one, dict):
            refuse_the_rest(one, {"id", "contents", "content", "parts", "attributes", "metadata"})
            if one.get("id") is not None:
                if not isinstance(one["id"], str):
                    raise unknown_shape("the id of a message")
                yield from pin_ids(treatment, [((name, "id"), one["id"])], thread)
    yield from _pin_idle(treatment, body)
    refuse_the_rest(body, {"resourceId", "threadId", "runId", "signal", "message", "ifIdle"})
    return True


def _pin_idle(treatment: Treatment, body: Mapping[str, Any]) -> Asking:
    idle = body.get("ifIdle")
    if idle is None:
        return True
    if not isinstance(idle, dict):
        raise unknown_shape("ifIdle")
    if idle.get("streamOptions") is not None:
        yield from _pin_stream_options(treatment, ("ifIdle", "streamOptions"), idle["streamOptions"])
    refuse_the_rest(idle, {"streamOptions"})
    return True


def _pin_stream_options(treatment: Treatment, path: _Path, options: Any) -> Asking:
    if not isinstance(options, dict):
        raise unknown_shape("streamOptions")
    if options.get("runId") is not None:
        yield from bring_run_home(treatment, (*path, "runId"), options["runId"], "runId")
    memory = options.get("memory")
    if isinstance(memory, dict) and memory.get("thread") is not None:
        thread = memory["thread"]
        yield from need_own(treatment, "new_thread", thread.get("id") if isinstance(thread, dict) else thread, "thread")
    return (yield from pin_options(treatment, path, options, {"runId"}))


def _approval(treatment: Treatment) -> Asking:
    """A word on a tool of a thread, with options for what follows."""
    body = treatment.body
    treatment.put(("resourceId",), treatment.owner)
    thread = text_of(body["threadId"], "threadId") if body.get("threadId") is not None else ""
    if body.get("streamOptions") is not None:
        yield from _pin_stream_options(treatment, ("streamOptions",), body["streamOptions"])
    yield from pin_messages(treatment, ("messages",), body.get("messages"), thread)
    refuse_the_rest(body, {"resourceId", "threadId", "streamOptions", "messages"})
    return True


def _saved(treatment: Treatment) -> Asking:
    """Messages to be kept: each names its thread and its owner."""
    messages = treatment.body.get("messages")
    if not isinstance(messages, list):
        raise unknown_shape("messages")
    threads: dict[str, list[tuple[_Path, str]]] = {}
    for at, one in enumerate(messages):
        if not isinstance(one, dict):
            raise unknown_shape("messages")
        thread = text_of(one.get("threadId"), "the threadId of a message")
        ids = threads.setdefault(thread, [])
        if one.get("id") is not None:
            if not isinstance(one["id"], str):
                raise unknown_shape("the id of a message")
            ids.append((("messages", at, "id"), one["id"]))
    yield from pin_messages(treatment, ("messages",), messages, None)
    for thread, ids in threads.items():
        yield from pin_ids(treatment, ids, thread)
    refuse_the_rest(treatment.body, {"messages"})
    return True


def _schedule(treatment: Treatment) -> Asking:
    body = treatment.body
    if treatment.row.method == "POST" or body.get("resourceId") is not None:
        treatment.put(("resourceId",), treatment.owner)
    if body.get("threadId") is not None:
        yield from need_own(treatment, "new_thread", body["threadId"], "threadId")
    yield from _pin_idle(treatment, body)
    refuse_the_rest(body, {"resourceId", "threadId", "ifIdle"})
    return True


def _workflow(treatment: Treatment) -> Asking:
    """A workflow route of the AI SDK. It names no workflow, so nobody can be asked whose a run is."""
    body = treatment.body
    if body.get("runId") is not None:
        raise Denied(Reason.NOT_OWNER, "a run of a workflow that is named nowhere cannot be looked up")
    treatment.put(("resourceId",), treatment.owner)
    yield from pin_tracing(treatment, (), body)
    refuse_the_rest(body, {"resourceId", "runId", "tracingOptions"})
    return True


def _conversation(treatment: Treatment) -> Asking:
    body = treatment.body
    treatment.put(("resource_id",), treatment.owner)
    if body.get("conversation_id") is not None:
        yield from need_own(treatment, "new_thread", body["conversation_id"], "conversation_id")
    refuse_the_rest(body, {"resource_id", "conversation_id"})
    return True


def _score(treatment: Treatment) -> Asking:
    """A score or a word of feedback on a trace, which has to be the owner's."""
    name = "feedback" if treatment.row.path.endswith("/feedback") else "score"
    said = treatment.body.get(name)
    if not isinstance(said, dict):
        raise unknown_shape(name)
    yield from need_own(treatment, "trace", said.get("traceId"), f"{name}.traceId")
    for key in said:
        if folded(key) in ("userid", "feedbackuserid", "organizationid", f"{name}id"):
            treatment.drop((name, key))  # who says it, and which one it takes the place of
    treatment.put((name, "resourceId"), treatment.owner)
    known = {"resourceId", "threadId", "runId", "traceId", "metadata"}
    refuse_the_rest(said, known)
    refuse_the_rest(treatment.body, {name})
    return True


KINDS: Final[dict[str, Callable[[Treatment], Asking]]] = {
    "options": _generate,
    "resume": _resume,
    "chat": _chat,
    "network": _network,
    "signal": _signal,
    "approval": _approval,
    "saved": _saved,
    "schedule": _schedule,
    "workflow": _workflow,
    "conversation": _conversation,
    "score": _score,
}
