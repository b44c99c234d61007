"""The servers behind the gateway, and what each is told about the caller."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from gateway.policy.ownership import Ownership
from gateway.policy.rules import Rule
from gateway.policy.studio import CLIENT_TYPE

SIGNED_ISSUER: Final = "mastra-gateway"  # `iss` of the tokens that the gateway signs; never that of a caller's
# Facts about a principal, by the names that rules (`user.NAME`) and identity headers use.
FACTS: Final = (
    "subject",
    "email",
    "provider",
    "issuer",
    "roles",
    "groups",
    "scopes",
    "permissions",
    "organization",
    "client",
    "kind",
    "actor",
)


@dataclass(frozen=True, slots=True)
class Fact:
    """Something known about a principal: one of `FACTS`, or with `is_claim` the claim of that literal name."""

    name: str
    is_claim: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """What an upstream is told about the caller.

    `sign` replaces the caller's token by an HS256 token of ours that lives `ttl_seconds` and holds `claims`.
    """

    authorization: Literal["forward", "strip", "sign"] = "forward"
    secret: bytes = b""
    ttl_seconds: float = 60.0
    claims: tuple[str, ...] = ("sub", "email")
    headers: tuple[tuple[str, Fact], ...] = ()

    def __repr__(self) -> str:
        return f"Identity({self.authorization!r})"


@dataclass(frozen=True, slots=True)
class Upstream:
    """A server behind the gateway. `url` is `scheme://host[:port]` with no path.

    `constants` are header lines that go there with every request; their values are secrets. `studio` says who may use
    Mastra's Studio there: one of these rules must hold. None: it is not asked about. `own` says whose its things are.
    """

    name: str
    url: str
    connect_timeout_seconds: float = 5.0
    response_timeout_seconds: float = 190.0
    idle_timeout_seconds: float = 300.0
    keeps_encoded_slash: bool = False
    ca_file: str | None = None
    identity: Identity = Identity()
    constants: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    studio: tuple[Rule, ...] | None = None
    own: Ownership | None = None

    @property
    def own_names(self) -> tuple[str, ...]:
        """The names of headers that only the gateway may say to this upstream."""
        told = (*(name for name, _ in self.constants), *(name for name, _ in self.identity.headers))
        return told if self.studio is None else (*told, CLIENT_TYPE)
