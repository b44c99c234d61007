"""A2A, the JSON-RPC of agents to agents: whose a task is, and whom a message is for, by its context."""

from __future__ import annotations

import json
import secrets
from typing import Any, Final

from gateway.policy.denied import Denied
from gateway.policy.enquiries import Asking, Question
from gateway.policy.own_ids import is_own_id, new_id
from gateway.policy.own_names import OWNERS, is_identity, text_of, unknown_shape
from gateway.policy.own_options import refuse_the_rest
from gateway.policy.own_query import folded
from gateway.policy.own_treatment import Treatment, need
from gateway.policy.reasons import Reason

# By both names: those up to 0.3 of the protocol, and those of 1.0.
_SEND: Final = frozenset({"message/send", "message/stream", "SendMessage", "SendStreamingMessage"})
_LIST: Final = frozenset({"tasks/list", "ListTasks"})
_OF_NOBODY: Final = frozenset({"agent/getAuthenticatedExtendedCard", "GetExtendedAgentCard"})
_GET: Final = "tasks/get"
_OF_TASK: Final = frozenset(
    {
        _GET, "tasks/cancel", "tasks/resubscribe", "tasks/pushNotificationConfig/set",
        "tasks/pushNotificationConfig/get", "tasks/pushNotificationConfig/list", "tasks/pushNotificationConfig/delete",
        "GetTask", "CancelTask", "SubscribeToTask", "CreateTaskPushNotificationConfig", "GetTaskPushNotificationConfig",
        "ListTaskPushNotificationConfigs", "DeleteTaskPushNotificationConfig",
    }
)  # fmt: skip


def pin_task(treatment: Treatment) -> Asking:
    """See to one call. Raises `Denied` for a method that is not known here."""
    body = treatment.body
    method, params = body.get("method"), body.get("params")
    if not isinstance(method, str):
        raise unknown_shape("method")
    if params is None:
        params = {}
    if not isinstance(params, dict):
        raise unknown_shape("params")
    refuse_the_rest(body, {"params"})
    if method in _SEND:
        yield from _pin_message(treatment, params)
    elif method in _LIST:
        yield from _need_own_context(treatment, params.get("contextId"))
    elif method in _OF_TASK:
        yield from _need_own_tasks(treatment, params)
    elif method not in _OF_NOBODY:
        raise Denied(Reason.NOT_OWNER, "a method of A2A that is not known here")
    return True


def _pin_message(treatment: Treatment, params: dict[str, Any]) -> Asking:
    message = params.get("message")
    if not isinstance(message, dict):
        raise unknown_shape("params.message")
    _clean_metadata(treatment, ("params", "message", "metadata"), message.get("metadata"))
    _clean_metadata(treatment, ("params", "metadata"), params.get("metadata"))
    # Without one the owner would be the agent.
    if isinstance(params.get("metadata"), dict):
        treatment.put(("params", "metadata", "resourceId"), treatment.owner)
    else:
        treatment.put(("params", "metadata"), {"resourceId": treatment.owner})
    if message.get("taskId") is not None:
        yield from _need_own_task(treatment, message["taskId"])
    context = message.get("contextId")
    if context is None:
        if message.get("taskId") is None:
            treatment.put(("params", "message", "contextId"), new_id(treatment.owner, secrets.token_bytes(16)))
    elif not is_own_id(treatment.owner, text_of(context, "contextId")):
        is_own = yield from treatment.is_own_thread(context, "contextId")
        need(is_own, "context")
    refuse_the_rest(message, {"contextId", "taskId", "metadata", "parts", "referenceTaskIds", "extensions"})
    refuse_the_rest(params, {"message", "metadata", "configuration"})
    return True


def _clean_metadata(treatment: Treatment, path: tuple[str, ...], metadata: Any) -> None:
    if metadata is None:
        return
    if not isinstance(metadata, dict):
        raise unknown_shape(".".join(path))
    for key in metadata:
        if (folded(key) in OWNERS or is_identity(key)) and (*path, key) != ("params", "metadata", "resourceId"):
            treatment.drop((*path, key))


def _need_own_tasks(treatment: Treatment, params: dict[str, Any]) -> Asking:
    """Refuse a call about a task that is not the owner's, by whichever name it may have here.

    In 1.0 `taskId` names it, and `id` a configuration; in 0.3 `id` does, whatever else is there. Which of them the
    server speaks it decides by a header, so an `id` beside a `taskId` may be anything but a task of another's.
    """
    named = params.get("taskId")
    if named is not None:
        yield from _need_own_task(treatment, named)
    if params.get("id") is not None or named is None:
        yield from _need_own_task(treatment, params.get("id"), may_be_none=named is not None)
    refuse_the_rest(params, {"id", "taskId"})
    if any(folded(key) in ("taskid", "id") and key not in ("id", "taskId") for key in params):
        raise unknown_shape("the task of a call")
    return True


def _need_own_task(treatment: Treatment, task: Any, *, may_be_none: bool = False) -> Asking:
    """Ask for the task, then whose its context is."""
    text = text_of(task, "the task of a call")
    call = {"jsonrpc": "2.0", "id": "1", "method": _GET, "params": {"id": text, "historyLength": 0}}
    target = f"{treatment.prefix}/a2a/{treatment.captures['agentId']}"
    told = yield Question("POST", target, json.dumps(call, separators=(",", ":")).encode())
    if told.status != 200 or not isinstance(told.json, dict):
        raise Denied(Reason.OWNER_UNKNOWN, f"the upstream answered {told.status} to the question whose a task is")
    result = told.json.get("result")
    if isinstance(result, dict) and isinstance(result.get("task"), dict):
        result = result["task"]
    if not isinstance(result, dict):
        need(may_be_none and isinstance(told.json.get("error"), dict), "task")
        return True
    need(result.get("id") == text, "task")
    return (yield from _need_own_context(treatment, result.get("contextId")))


def _need_own_context(treatment: Treatment, context: Any) -> Asking:
    if not is_own_id(treatment.owner, text_of(context, "contextId")):
        is_own = yield from treatment.is_own_thread(context, "contextId", may_be_new=False)
        need(is_own, "context")
    return True
