"""What is asked of an upstream before a request goes on, what it says, and what goes on then: words of ownership."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, Final

# Whose an answer is asked for: where in it the owner stands.
_OWNER_AT: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "thread": (("resourceId",),),
    "workflow_run": (("resourceId",),),
    "task": (("resourceId",),),
    "schedule": (("resourceId",),),
    "conversation": (("thread", "resourceId"),),
}


@dataclass(frozen=True, slots=True)
class Question:
    """A request to the upstream that the one in hand is for. `target` is in canonical form.

    `memo` names the thing whose owner is asked for (its kind, and where it is): what `owner_in` finds in a 200 may be
    kept for a bounded time, and told in place of asking. None: never. A 404 is never kept: somebody may create it.
    """

    method: str
    target: str = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    memo: tuple[str, str] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Told:
    """An answer: its status, and its JSON (None: it has none, or more than is read). `owner`: as it was kept."""

    status: int
    json: Any = field(default=None, repr=False)
    owner: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Sent:
    """What goes on: the target, and the body where it is another than came (None: as it came)."""

    target: str = field(repr=False)
    body: bytes | None = field(repr=False)
    way: str


Asking = Generator[Question, Told, bool]  # asks, and says whether it is the caller's
Owning = Generator[Question, Told, Sent]


def owner_in(kind: str, json: Any) -> str | None:
    """Return the owner that an answer about a thing of a kind names; None: nobody, or it cannot be read."""
    if kind == "trace":
        return _owner_of_trace(json)
    for steps in _OWNER_AT[kind]:
        value = json
        for step in steps:
            value = value.get(step) if isinstance(value, dict) else None
        if isinstance(value, str) and value:
            return value
    return None


def _owner_of_trace(json: Any) -> str | None:
    """Return whose a trace is: every root of it says so, and no span of it says another.

    Who chose the id of a trace may have put a root of theirs beside that of another.
    """
    spans = json.get("spans") if isinstance(json, dict) else None
    if not isinstance(spans, list) or not all(isinstance(span, dict) for span in spans):
        return None
    roots = {span.get("resourceId") for span in spans if span.get("parentSpanId") is None}
    named = {span.get("resourceId") for span in spans} - {None}
    if len(roots) != 1 or roots != named:
        return None
    (owner,) = roots
    return owner if isinstance(owner, str) and owner else None
