"""An agent's options, in a body or within one: memory, messages, trace and context, and whose they may be."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping
from typing import Any, Final

from gateway.policy.enquiries import Asking, Question, Told
from gateway.policy.own_context import NAME as CONTEXT
from gateway.policy.own_context import identity_keys
from gateway.policy.own_lookups import need_own
from gateway.policy.own_messages import pin_messages
from gateway.policy.own_names import (
    CARRIERS,
    OWNERS,
    is_identity,
    refuse_carriers,
    text_of,
    unknown_place,
    unknown_shape,
)
from gateway.policy.own_query import folded
from gateway.policy.own_treatment import Treatment

# What a caller may fill with anything: no server reads an owner in there.
FREE: Final = frozenset(
    {
        "activeTools", "args", "arguments", "attributes", "clientTools", "context", "data", "initialState",
        "input", "inputData", "instructions", "metadata", "modelSettings", "nestedStepsContext", "output",
        "params", "payload", "prompt", "providerOptions", "resumeData", "scorers", "state", "stopWhen",
        "structuredOutput", "suspendPayload", "system", "toolChoice", "tools", "toolsets", "versions",
        "workingMemory",
    }
)  # fmt: skip
_Path = tuple[str | int, ...]


def clean_context(treatment: Treatment, path: _Path, options: Mapping[str, Any]) -> None:
    """Have no key of a `requestContext` say who the caller is."""
    for key in identity_keys(options.get(CONTEXT)):
        treatment.drop((*path, CONTEXT, key))


def refuse_the_rest(options: Mapping[str, Any], known: Collection[str]) -> None:
    """Refuse a carrier of an owner among members that nobody saw to, at any depth."""
    for name, value in options.items():
        if name in known:
            continue
        if folded(name) in CARRIERS or folded(name) == CONTEXT.casefold():
            raise unknown_place()
        if name not in FREE:
            refuse_carriers(value)


def pin_tracing(treatment: Treatment, path: _Path, options: Mapping[str, Any]) -> Asking:
    """See to `tracingOptions`: which trace is written into, and whose it says it is."""
    tracing = options.get("tracingOptions")
    if tracing is None:
        return True
    if not isinstance(tracing, dict):
        raise unknown_shape("tracingOptions")
    place = (*path, "tracingOptions")
    if tracing.get("traceId") is not None:
        yield from need_own(treatment, "new_trace", tracing["traceId"], "traceId")
    metadata, keys = tracing.get("metadata"), tracing.get("requestContextKeys")
    for key in metadata if isinstance(metadata, dict) else ():
        if folded(key) in OWNERS or is_identity(key):
            treatment.drop((*place, "metadata", key))
    if not isinstance(metadata, dict | None) or not isinstance(keys, list | None):
        raise unknown_shape("tracingOptions")
    for key in keys or ():
        if not isinstance(key, str) or any(folded(step) in OWNERS or is_identity(step) for step in key.split(".")):
            raise unknown_place()
    refuse_the_rest(tracing, {"traceId", "metadata", "requestContextKeys"})
    return True


def pin_memory(treatment: Treatment, path: _Path, options: Mapping[str, Any]) -> str | None:
    """Set the owner of `memory` where there is one; gives its thread, None where nothing is kept."""
    memory = options.get("memory")
    if memory is None:
        return None
    if not isinstance(memory, dict):
        raise unknown_shape("memory")
    place = (*path, "memory")
    treatment.put((*place, "resource"), treatment.owner)
    thread = memory.get("thread")
    if isinstance(thread, dict):
        if thread.get("resourceId") is not None:
            treatment.put((*place, "thread", "resourceId"), treatment.owner)
        refuse_the_rest(thread, {"id", "resourceId", "title", "metadata"})
        thread = thread.get("id")
    if not isinstance(thread, str | None):
        raise unknown_shape("memory.thread")
    refuse_the_rest(memory, {"resource", "thread"})
    return text_of(thread, "memory.thread") if thread else ""


def pin_options(treatment: Treatment, path: _Path, options: Mapping[str, Any], known: Collection[str] = ()) -> Asking:
    """See to the options of an agent: memory, messages, run, trace and context."""
    thread = pin_memory(treatment, path, options)
    seen = {"memory", "messages", "tracingOptions", CONTEXT, *known}
    if path and options.get("resourceId") is not None:
        raise unknown_place()
    if not path:
        thread = yield from _pin_legacy(treatment, options, thread, seen)
    if path:
        clean_context(treatment, path, options)
    yield from pin_tracing(treatment, path, options)
    yield from pin_messages(treatment, (*path, "messages"), options.get("messages"), thread)
    refuse_the_rest(options, seen)
    return True


def _pin_legacy(
    treatment: Treatment, options: Mapping[str, Any], thread: str | None, seen: set[str]
) -> Generator[Question, Told, str | None]:
    """See to `resourceId`, `resourceid` and `threadId` beside `memory`, as former clients send them."""
    seen.update(("resourceId", "resourceid", "threadId"))
    for name in ("resourceId", "resourceid"):
        if options.get(name) is not None:
            treatment.put((name,), treatment.owner)
    named = options.get("threadId")
    if named is None:
        return thread
    text = text_of(named, "threadId")
    yield from need_own(treatment, "new_thread", text, "threadId")
    if options.get("resourceId") is None and options.get("resourceid") is None:
        treatment.put(("resourceId",), treatment.owner)
    return text if thread is None else thread
