"""Protected resources (RFC 9728): what an MCP client is told of a route, and which tokens are meant for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from gateway.policy.claim_names import Claims
from gateway.policy.denied import Denied
from gateway.policy.reasons import Reason

WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"  # RFC 9728 section 3


@dataclass(frozen=True, slots=True)
class Resource:
    """A route that its clients know by an address: `identifier`, which the `aud` of their tokens must hold.

    `issuers` are the authorization servers that give out such tokens, `scopes` what the route's rules ask for,
    `challenge` the scopes that are enough for one of its rules.
    """

    identifier: str
    issuers: tuple[str, ...]
    scopes: tuple[str, ...] = ()
    challenge: tuple[str, ...] = ()

    @property
    def metadata_path(self) -> str:
        """Return the path of the document: the well-known one before the resource's own (RFC 9728 section 3.1)."""
        return WELL_KNOWN + urlsplit(self.identifier).path.rstrip("/")

    @property
    def metadata_url(self) -> str:
        """Return the address of the document, for challenges (RFC 9728 section 5.1)."""
        parts = urlsplit(self.identifier)
        return f"{parts.scheme}://{parts.netloc}{self.metadata_path}"

    @property
    def document(self) -> bytes:
        """Return the protected resource metadata as JSON (RFC 9728 section 2)."""
        said = {
            "resource": self.identifier,
            "authorization_servers": list(self.issuers),
            "scopes_supported": list(self.scopes),
            "bearer_methods_supported": ["header"],
        }
        return json.dumps({name: value for name, value in said.items() if value}, separators=(",", ":")).encode()


def check_resource(claims: Claims, resource: Resource) -> None:
    """Refuse a token that its issuer gave out for another resource, though its provider takes both.

    Raises `Denied` (AUDIENCE_MISMATCH). Source: MCP specification, "Token Audience Binding and Validation".
    """
    audience = claims.get("aud")
    if resource.identifier not in (audience if isinstance(audience, list) else [audience]):
        raise Denied(Reason.AUDIENCE_MISMATCH, f"aud does not hold the route's own resource, {resource.identifier}")
