"""What a client says of itself, as a log may hold it: bounded, and with nothing that looks like a token."""

from __future__ import annotations

import re
from typing import Final

MAX_HOST_CHARACTERS: Final = 128
MAX_USER_AGENT_CHARACTERS: Final = 200
# The beginning of every JSON object in base64url, and that of a machine's key.
_TOKEN: Final = re.compile(r"(?:eyJ|gwk_)[A-Za-z0-9_.-]*")
# W3C Trace Context section 3.2: version, trace, parent, flags; later versions may go on behind these.
_TRACE_PARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-|$)")


def shown_user_agent(value: str) -> str:
    """Return a `User-Agent` as the log has it."""
    return (
        _TOKEN.sub("(token)", value)[:MAX_USER_AGENT_CHARACTERS]
        if "eyJ" in value or "gwk_" in value
        else value[:MAX_USER_AGENT_CHARACTERS]
    )


def trace_id_of(traceparent: str) -> str | None:
    """Return the trace that a `traceparent` names; None if it is none."""
    found = _TRACE_PARENT.match(traceparent)
    return None if found is None else found[1]
