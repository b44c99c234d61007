"""What arrived at the upstream beside the identity: which credentials, which headers, which signed claims."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from tests.security.strict import Seen

_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*")
_UNJUDGED = re.compile(r"evil", re.IGNORECASE)
SIGNED_ISSUER = "mastra-gateway"


class Unjudged(AssertionError):
    """Something arrived that nobody judged, or not as it was judged."""


def check_credentials(request: Seen, token: str | None, goes: str) -> None:
    """Raise `Unjudged` unless exactly the credential arrived that had to.

    `goes`: `sent` (the verified token, once, where it stood), `ours` (a token of the gateway's instead), `nothing`.
    A token, and a credential that the case calls evil, may stand nowhere else: not in a header of any name, not in the
    target.
    """
    head = "\n".join([request.target, *(f"{name}: {value}" for name, value in request.fields)])
    tokens = _TOKEN.findall(head)
    expected = {"sent": [token], "nothing": [], "ours": tokens[:1]}[goes]
    if tokens != expected or (goes == "ours" and signed_claims(request).get("iss") != SIGNED_ISSUER):
        raise Unjudged(f"{len(tokens)} tokens arrived, expected {goes}: {head[:1500]}")
    for value in request.all("Authorization"):
        if re.fullmatch(rf"(?i:bearer +)?{re.escape(tokens[0] if tokens else '')}", value) is None:
            raise Unjudged(f"an Authorization arrived that nobody verified: {value!r}")
    if len(request.all("Authorization")) > 1 or _UNJUDGED.search(_TOKEN.sub("", head)):
        raise Unjudged(f"the client's own words arrived: {head[:1500]}")


def check_headers(request: Seen, expected: dict[str, str | None]) -> None:
    """Raise `Unjudged` unless each of these headers arrived once with this value; None: it must not have arrived."""
    for name, value in expected.items():
        found = request.all(name)
        if found != ([] if value is None else [value]):
            raise Unjudged(f"{name} arrived as {found}, expected {value!r}")


def check_signed(request: Seen, expected: dict[str, Any]) -> None:
    """Raise `Unjudged` unless the gateway's token that arrived says this; None: it must not say it."""
    claims = signed_claims(request)
    for name, value in expected.items():
        if claims.get(name) != value:
            raise Unjudged(f"the token for the upstream says {name} is {claims.get(name)!r}, expected {value!r}")


def signed_claims(request: Seen) -> dict[str, Any]:
    """Return the claims of the one token in Authorization."""
    (value,) = request.all("Authorization")
    payload = value.rpartition(" ")[2].split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))))
