"""Responses in OpenAI's form: each belongs to a conversation, which is a thread of Mastra's."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Final

from gateway.policy.denied import Denied
from gateway.policy.enquiries import Asking, Question, Told
from gateway.policy.own_lookups import need_own
from gateway.policy.own_options import refuse_the_rest
from gateway.policy.own_treatment import Treatment
from gateway.policy.reasons import Reason

_KNOWN: Final = frozenset({"conversation_id", "previous_response_id"})


def pin_response(treatment: Treatment) -> Asking:
    """See to which conversation goes on. A response that is to be kept gets a conversation of the owner's first.

    Mastra would make one whose owner is the conversation itself.
    """
    body = treatment.body
    refuse_the_rest(body, _KNOWN)
    if body.get("conversation_id") is not None:
        if not treatment.agent():
            raise Denied(Reason.NOT_OWNER, "whose a conversation is can be asked only with an agent_id")
        yield from need_own(treatment, "thread", body["conversation_id"], "conversation_id")
    if body.get("previous_response_id") is not None:
        yield from need_own(treatment, "response", body["previous_response_id"], "previous_response_id")
    if all(body.get(name) is None for name in _KNOWN) and body.get("store"):
        conversation = yield from _new_conversation(treatment)
        if conversation is not None:
            treatment.put(("conversation_id",), conversation)
    return True


def _new_conversation(treatment: Treatment) -> Generator[Question, Told, str | None]:
    agent = treatment.agent()
    if not agent:
        return None  # Mastra refuses that itself
    body = json.dumps({"agent_id": agent, "resource_id": treatment.owner}).encode()
    told = yield Question("POST", f"{treatment.prefix}/v1/conversations", body)
    found = told.json.get("id") if told.status == 200 and isinstance(told.json, dict) else None
    if isinstance(found, str):
        return found
    if 400 <= told.status < 500:
        return None  # an agent without memory: nothing is kept, and Mastra says so
    raise Denied(Reason.OWNER_UNKNOWN, f"the upstream answered {told.status} to a new conversation")
