"""Ids of requests: what a client, a log line and an upstream's log have in common."""

from __future__ import annotations

import secrets


class RequestIds:
    """Ids of requests: 128 random bits each, fetched from the system many at a time."""

    def __init__(self) -> None:
        self._left: list[str] = []

    def next(self) -> str:
        """Return an id."""
        if not self._left:
            many = secrets.token_hex(16 * 256)
            self._left = [many[at : at + 32] for at in range(0, len(many), 32)]
        return self._left.pop()
