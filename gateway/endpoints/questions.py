"""Questions at the admin port about a request: why it would get its answer."""

from __future__ import annotations

import time
from typing import Any

from gateway.explain.explain import allowed, explain, with_note_of_scheme
from gateway.explain.request import Asked, head_for, token_in
from gateway.explain.walk import source_asked
from gateway.server.gateway import Gateway

_MAX_TEXT = 20_000


async def answer(question: dict[str, Any], gateway: Gateway) -> tuple[int, dict[str, Any]]:
    """Return a status, and the explanation or what is wrong with the question. The token is not kept."""
    try:
        asked, pasted = _read_question(question)
    except ValueError as problem:
        return 400, {"error": str(problem)}
    config, keys, now = gateway.config, gateway.store, time.time()
    token, has_scheme = token_in(pasted)
    head = head_for(asked, config, token or None)
    wanted = source_asked(config.policy, head, now, keys)
    if wanted is not None and getattr(keys.find(wanted[0], wanted[1], "", now), "fetch_may_help", False):
        await keys.fetch(*wanted)  # as a request with this token would; the store's own limits hold
    allow = allowed(config.policy, keys, head, now)
    counted = None
    if allow is not None and allow.route.budgets:
        counted = await gateway.ledger.left(allow, head.client_ip)
    explanation = explain(config.policy, keys, head, now, keys.status_of, counted=counted)
    if has_scheme:
        explanation = with_note_of_scheme(explanation, config.policy, keys, head_for(asked, config, pasted), now)
    return 200, explanation.as_json()


def _read_question(question: dict[str, Any]) -> tuple[Asked, str]:
    """Return the request that is asked about, and its token as it was pasted. Raises `ValueError`."""
    method, path = _text(question, "method", "GET"), _text(question, "path", "")
    token = _text(question, "token", "").strip()
    if not path.startswith("/"):
        raise ValueError("the path does not begin with '/', expected something like /api/agents")
    if not (method.isascii() and method.isalpha() and method.isupper()):
        raise ValueError("expected a method such as GET, in capitals")
    return Asked(method, path), token


def _text(question: dict[str, Any], name: str, default: str) -> str:
    value = question.get(name, default)
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise ValueError(f"expected {name} as text of at most {_MAX_TEXT} characters")
    return value
