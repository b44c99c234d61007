"""What an explanation is made of: steps with a verdict, and the answer that they lead to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from gateway.config.document import printable
from gateway.explain.hiding import without_signatures

# `unknown`: a condition that cannot be decided. `skipped`: the decision fell before. `note`: nothing was asked.
Verdict = Literal["yes", "no", "unknown", "note", "skipped"]

# The line of the decision. Each explanation has all of these, in this order.
STEPS = ("path", "route", "token", "provider", "claims", "key", "signature", "rules", "websocket", "own", "identity")
MAX_SHOWN_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what was asked (`name`), the verdict, what was found and what was expected, and what it is made of."""

    name: str
    verdict: Verdict
    found: str = ""
    expected: str = ""
    parts: tuple[Step, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the step as JSON has it; what is empty is left out."""
        shown: dict[str, Any] = {"name": self.name, "verdict": self.verdict}
        shown |= {"found": self.found} if self.found else {}
        shown |= {"expected": self.expected} if self.expected else {}
        return shown | ({"parts": [part.as_json() for part in self.parts]} if self.parts else {})


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a request would get its answer.

    `status` and `body` are what the client gets; of a request that passes, `status` is None: the upstream answers it.
    `would_deny` is the code that `enforce: false` did not enforce. `advice` is what to do, most likely first.
    """

    request: str
    decision: Literal["allow", "deny"]
    steps: tuple[Step, ...]
    outcome: str
    advice: tuple[str, ...] = ()
    status: int | None = None
    code: str | None = None
    body: str | None = None
    challenge: str | None = None
    would_deny: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the explanation as `gateway explain --json` prints it and the status page draws it."""
        return {
            "request": self.request,
            "decision": self.decision,
            "status": self.status,
            "code": self.code,
            "would_deny": self.would_deny,
            "outcome": self.outcome,
            "body": self.body,
            "challenge": self.challenge,
            "steps": [step.as_json() for step in self.steps],
            "advice": list(self.advice),
        }


def shown(value: object) -> str:
    """Return a value of a token as JSON, cut to what a line can bear, without what could steer a terminal.

    A token within it has no signature.
    """
    text = without_signatures(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
    safe = printable(text)
    return safe if len(safe) <= MAX_SHOWN_CHARACTERS else safe[: MAX_SHOWN_CHARACTERS - 3] + "..."


def type_of(value: object) -> str:
    """Return the JSON type of a claim's value, in words."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    if isinstance(value, str):
        return "text"
    if isinstance(value, (int, float)):
        return "number"
    return "list" if isinstance(value, list) else "object"
