"""Whether the head of a request says of its body what the gateway read it as: JSON in UTF-8, or nothing at all.

Mastra (@mastra/deployer, Hono) looks for letters anywhere in the type, and not in any case: `multipart/form-data` makes
it read a form, each field of it as JSON; else `application/json` makes it read JSON in UTF-8, whatever the charset; and
else there is no body for it. So only the one spelling passes that no two readers take for two things. Seen in
`tests/mastra/test_bodies.py`.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.policy.denied import Denied
from gateway.policy.model import Headers
from gateway.policy.reasons import Reason

# The type in these very letters: `Application/JSON` is no body to Mastra, and nothing of what we set in it would count.
# No parameter but the charset: a boundary, or another type in quotes, is for somebody else.
_JSON: Final = re.compile(r'application/json[ \t]*+(?:;[ \t]*+(?i:charset)=(?i:utf-8|"utf-8")[ \t]*+)?')
# A form and nothing else: with the letters of JSON in its type, Mastra would look for `requestContext` in it as JSON.
_FORM: Final = re.compile(r'multipart/form-data;[ \t]*+boundary=("?)[0-9A-Za-z\'+_.=-]{1,70}\1[ \t]*+')


def is_form(headers: Headers) -> bool:
    """Return whether the body is said to be a form of files and fields, to every reader."""
    types = headers.all("content-type")
    return len(types) == 1 and _FORM.fullmatch(types[0]) is not None and not headers.all("content-encoding")


def check_json_head(headers: Headers, *, has_body: bool) -> None:
    """Return if the body is said to be JSON in UTF-8 and not compressed, or there is none and no word of one.

    Raises `Denied` (BODY_UNSUPPORTED). What the body then holds is for `json_edits`.
    """
    if headers.all("content-encoding"):
        raise Denied(Reason.BODY_UNSUPPORTED, "a Content-Encoding: expected none")
    types = headers.all("content-type")
    if not types and not has_body:
        return
    if len(types) != 1:
        raise Denied(Reason.BODY_UNSUPPORTED, f"{len(types) or 'no'} lines of Content-Type: expected one")
    if _JSON.fullmatch(types[0]) is None:
        # Not told: what stands there is the caller's text.
        raise Denied(Reason.BODY_UNSUPPORTED, "Content-Type: expected application/json, with charset=utf-8 or nothing")
