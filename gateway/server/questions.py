"""Questions at the admin port about a request: why it would get its answer."""

from __future__ import annotations

import time
from typing import Any

from gateway.explain.explain import explain
from gateway.explain.request import Asked, head_for
from gateway.explain.walk import source_asked
from gateway.server.gateway import Gateway

_MAX_TEXT = 20_000


async def answer(question: dict[str, Any], gateway: Gateway) -> tuple[int, dict[str, Any]]:
    """Return a status, and the explanation or what is wrong with the question. The token is not kept."""
    try:
        asked, token = _read_question(question)
    except ValueError as problem:
        return 400, {"error": str(problem)}
    config, keys, now = gateway.config, gateway.keys, time.time()
    head = head_for(asked, config, token)
    wanted = source_asked(config.policy, head, now, keys)
    if wanted is not None and getattr(keys.find(wanted[0], wanted[1], "", now), "fetch_may_help", False):
        await keys.fetch(*wanted)  # as a request with this token would; the store's own limits hold
    return 200, explain(config.policy, keys, head, now, keys.status_of).as_json()


def _read_question(question: dict[str, Any]) -> tuple[Asked, str | None]:
    """Return the request that is asked about, and its token. Raises `ValueError`."""
    method, path = _text(question, "method", "GET"), _text(question, "path", "")
    token = _text(question, "token", "").strip()
    if not path.startswith("/"):
        raise ValueError("the path does not begin with '/', expected something like /api/agents")
    if not (method.isascii() and method.isalpha() and method.isupper()):
        raise ValueError("expected a method such as GET, in capitals")
    scheme, _, rest = token.partition(" ")
    return Asked(method, path), (rest.strip() if scheme.lower() == "bearer" and rest.strip() else token) or None


def _text(question: dict[str, Any], name: str, default: str) -> str:
    value = question.get(name, default)
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise ValueError(f"expected {name} as text of at most {_MAX_TEXT} characters")
    return value
