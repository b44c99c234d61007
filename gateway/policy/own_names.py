"""The names that carry an owner, or a thing that has one, as they are compared: letters and digits, in lower case."""

from __future__ import annotations

from typing import Any, Final

from gateway.policy.denied import Denied
from gateway.policy.own_query import folded
from gateway.policy.reasons import Reason

# Who owns. In a body each is set, or its place is known, or the body is refused.
OWNERS: Final = frozenset({"resourceid", "resource", "newresourceid", "ownerid", "authorid", "pinfavoritedfor"})
# What is owned. The same.
OWNED: Final = frozenset(
    {
        "threadid", "thread", "newthreadid", "sourcethreadid", "conversationid", "conversation", "previousresponseid",
        "runid", "contextid", "memory",
    }
)  # fmt: skip
CARRIERS: Final = OWNERS | OWNED
# A query can hold all of a body's names, and what it names stands in for what the body has not.
OF_BODIES: Final = CARRIERS | {"messages", "ifidle", "streamoptions", "tracingoptions", "signal", "message"}
# Who the caller is: the gateway says that, and nobody else. Mastra drops `organizationId` and `mastra__*` itself, not
# `MastraMemory`, by which its own memory is told the thread and whose it is, nor what its controllers leave there.
_IDENTITY: Final = frozenset(
    {
        "user", "userid", "userroles", "userpermissions", "organizationid", "resourceid", "actor",
        "authtoken", "authinfo", "controller", "channel",
    }
)  # fmt: skip
_RESERVED: Final = ("mastra", "__")
_MAX_DEPTH: Final = 64


def is_identity(key: str) -> bool:
    """Return whether a key of `requestContext` says who the caller is, which is not the caller's to say."""
    return key.casefold().lstrip(" [").startswith(_RESERVED) or folded(key) in _IDENTITY


def refuse_carriers(value: Any, depth: int = 0) -> None:
    """Refuse a carrier of an owner at any place of a value where none is known. Raises `Denied` (NOT_OWNER)."""
    if depth > _MAX_DEPTH:
        raise Denied(Reason.NOT_OWNER, "the body is nested too deep to be looked through for owners")
    if isinstance(value, dict):
        for key, inner in value.items():
            if folded(key) in CARRIERS or folded(key) == "requestcontext":
                raise unknown_place()
            refuse_carriers(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            refuse_carriers(inner, depth + 1)


def unknown_place() -> Denied:
    """Return the refusal of a name that carries an owner where the table knows of none."""
    return Denied(Reason.NOT_OWNER, "the body names an owner, or a thing that has one, where none is known to be")


def unknown_shape(name: str) -> Denied:
    """Return the refusal of a carrier that is no text where one is expected, and the like."""
    return Denied(Reason.NOT_OWNER, f"{name} is there in a form that cannot be read as one thing's name")


def text_of(value: Any, name: str) -> str:
    """Return the text that names a thing. Raises `Denied` (NOT_OWNER) for anything that is no plain text.

    It is asked for by its path, so what a server could read there in a second way is refused: dots alone, what is
    encoded already, what cannot be printed.
    """
    if not isinstance(value, str) or not value or len(value) > 1024:
        raise unknown_shape(name)
    if not value.isprintable() or value != value.strip() or set(value) <= {"."} or not {"%", "\\"}.isdisjoint(value):
        raise unknown_shape(name)
    return value
