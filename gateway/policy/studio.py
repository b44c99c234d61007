"""Mastra Studio, which says what it is in a header that anybody can send: for whom that goes on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from gateway.policy.expressions import Facts
from gateway.policy.fields import fold, named_by_connection
from gateway.policy.onward import Line
from gateway.policy.rules import Rule, evaluate

# What of the gateway's own addresses is Studio's, by the names of `Route.own`.
ASKED: Final = ("capabilities", "me", "permission-patterns")
# It selects `studio.auth` of Mastra's file in place of its other auth.
CLIENT_TYPE: Final = "X-Mastra-Client-Type"
_VALUE: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")


def client_type_lines(rules: Sequence[Rule], facts: Facts) -> tuple[Line, ...]:
    """Return the line that goes on for a caller who meets one of the rules of `studio: {allow: ...}`; else none.

    It is read under its own name and once only: another spelling, or a second one, is nobody's word for Studio.
    """
    headers = facts.head.headers
    values = headers.all(CLIENT_TYPE.lower())
    if len(values) != 1 or not _VALUE.fullmatch(values[0]) or fold(CLIENT_TYPE) in named_by_connection(headers):
        return ()
    if any(evaluate(rule, facts) is True for rule in rules):
        return ((CLIENT_TYPE, values[0]),)
    return ()
