"""Messages in a body: each is the owner's, and has an id that cannot be another's.

Mastra keeps messages by their id alone: one with the id of another's takes that one's place. So an id stays only where
the owner has a message of it already, or where it was made here; any other is replaced by the one that stands for it in
the owner's space, the same each time, so a history that is sent again is still recognised.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from typing import Any, Final
from urllib.parse import quote

from gateway.policy.enquiries import Asking, Question, Told
from gateway.policy.own_ids import is_own_id, own_id
from gateway.policy.own_names import CARRIERS, text_of, unknown_shape
from gateway.policy.own_query import folded
from gateway.policy.own_treatment import Treatment, need

_AT_ONCE: Final = 64  # ids in one question
_MAX_QUESTIONS: Final = 24
_MAX_LENGTH: Final = 128  # of an id that is asked for: others are made here anyway
_Path = tuple[str | int, ...]


def pin_messages(treatment: Treatment, path: _Path, messages: Any, thread: str | None) -> Asking:
    """See to the messages at a place of the body, which are for a thread (None: they are not kept).

    Raises `Denied` for what is no text, message, or list of these.
    """
    if messages is None or isinstance(messages, str):
        return True
    if isinstance(messages, dict):
        found = [(path, messages)]
    elif isinstance(messages, list):
        found = [((*path, at), one) for at, one in enumerate(messages) if not isinstance(one, str)]
    else:
        raise unknown_shape("messages")
    ids: list[tuple[_Path, str]] = []
    for place, message in found:
        if not isinstance(message, dict):
            raise unknown_shape("messages")
        yield from _pin_owner(treatment, place, message, thread)
        if message.get("id") is not None:
            if not isinstance(message["id"], str):
                raise unknown_shape("the id of a message")
            ids.append(((*place, "id"), message["id"]))
    if thread is not None:
        yield from pin_ids(treatment, ids, thread)
    return True


def _pin_owner(treatment: Treatment, place: _Path, message: dict[str, Any], thread: str | None) -> Asking:
    for key, value in message.items():
        if folded(key) not in CARRIERS:
            continue
        if key == "resourceId":
            treatment.put((*place, key), treatment.owner)
        elif key == "threadId":
            if value is not None and value != thread:
                is_own = yield from treatment.is_own_thread(value, "the threadId of a message")
                need(is_own, "thread of a message")
        else:
            raise unknown_shape("a message's owner")
    return True


def pin_ids(treatment: Treatment, ids: Sequence[tuple[_Path, str]], thread: str) -> Asking:
    """Replace the ids of messages that are not the owner's, at their places of the body."""
    strange = [one for _, one in ids if not is_own_id(treatment.owner, one)]
    stored = yield from _stored_ids(treatment, list(dict.fromkeys(strange)), thread)
    for path, one in ids:
        if one not in stored:
            mapped = own_id(treatment.owner, one)
            if mapped != one:
                treatment.put(path, mapped)
    return True


def _stored_ids(treatment: Treatment, ids: Sequence[str], thread: str) -> Generator[Question, Told, set[str]]:
    """Ask which of these ids belong to messages that the owner has already.

    Where Mastra does not say, none do: then a message may stand twice in the owner's own thread, and nothing worse.
    """
    found: set[str] = set()
    asked = [one for one in ids if len(one) <= _MAX_LENGTH and one.isprintable()]
    if not thread or not asked:
        return found
    where = f"{treatment.prefix}/memory/threads/{quote(text_of(thread, 'the thread'), safe='')}/messages"
    around = treatment.surroundings()
    query = f"{around or '?'}{'&' if around else ''}resourceId={quote(treatment.owner, safe='')}&perPage=0"
    pending = [asked[at : at + _AT_ONCE] for at in range(0, len(asked), _AT_ONCE)]
    for _ in range(_MAX_QUESTIONS):
        if not pending:
            break
        some = pending.pop(0)
        include = json.dumps([{"id": one} for one in some], separators=(",", ":"))
        told = yield Question("GET", f"{where}{query}&include={quote(include, safe='')}")
        if told.status == 200 and told.json is None and len(some) > 1:
            # Larger than what is read of an answer: messages hold files.
            pending += [some[: len(some) // 2], some[len(some) // 2 :]]
            continue
        messages = told.json.get("messages") if told.status == 200 and isinstance(told.json, dict) else None
        if isinstance(messages, list):
            found.update(one["id"] for one in messages if _is_message_of(one, treatment.owner))
        elif told.status != 200:
            break
    return found


def _is_message_of(one: Any, owner: str) -> bool:
    return isinstance(one, dict) and one.get("resourceId") == owner and isinstance(one.get("id"), str)


def need_own_included(treatment: Treatment, path: str) -> Asking:
    """Refuse a list of messages that would include another's: `include` takes them by id alone.

    Asked as it would be, without the thread's own. Raises `Denied` (NOT_OWNER).
    """
    include = treatment.query.value("include")
    if include is None:
        return True
    around = treatment.surroundings()
    query = f"{around or '?'}{'&' if around else ''}resourceId={quote(treatment.owner, safe='')}&perPage=0"
    told = yield Question("GET", f"{path}{query}&include={quote(include, safe='')}")
    messages = told.json.get("messages") if told.status == 200 and isinstance(told.json, dict) else None
    is_own = isinstance(messages, list) and all(
        isinstance(one, dict) and one.get("resourceId") == treatment.owner for one in messages
    )
    need(is_own, "message that is to be included")
    return True
