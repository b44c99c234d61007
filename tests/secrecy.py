"""What no log may hold: every token and secret that a test makes is known here, and every log is searched for them."""

from __future__ import annotations

import json
import logging
import re

_WORD = re.compile(r"[A-Za-z0-9_-]{20,}")
# What is secret whoever made it: sealed cookies, and what a login's addresses and forms hold.
_SHAPES = re.compile(r"eyJhbGciOiJkaXI[\w.-]*|sso/callback\?|\b(?:code_verifier|refresh_token|id_token_hint)=")
_KNOWN_CHARACTERS = 20  # of a word: a log cuts long fields, and half a signature is one too many
_known: set[str] = set()


def keep_secret(text: str) -> str:
    """Remember a secret, or a token: of that the payload and the signature. Returns it."""
    parts = text.split(".")
    for part in parts[1:] if len(parts) == 3 else parts:
        if _WORD.fullmatch(part):
            _known.add(part[:_KNOWN_CHARACTERS])
    return text


def leaks_in(text: str) -> list[str]:
    """Return the words of a log that are, or begin like, something secret."""
    known = [word for word in _WORD.findall(text) if word[:_KNOWN_CHARACTERS] in _known]
    return known + _SHAPES.findall(text)


class Listener(logging.Handler):
    """Hears everything that is logged in this process, and keeps what should not have been said."""

    def __init__(self) -> None:
        super().__init__()
        self.leaks: list[str] = []
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Search one record, its traceback included."""
        self.count += 1
        text = json.dumps(record.msg) if isinstance(record.msg, dict) else self.format(record)
        self.leaks += [f"{record.name}: {text[:300]}" for _ in leaks_in(text)]
