"""What the walk along a decision came upon."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.explain.step import Step
from gateway.keys.status import SourceStatus
from gateway.policy.credentials import Credential
from gateway.policy.denied import Denied, DeniedByRules
from gateway.policy.model import Principal, RequestHead
from gateway.policy.paths import Path
from gateway.policy.providers import KeySource, Provider
from gateway.policy.routes import Match, Policy, Route
from gateway.policy.token import Token


@dataclass(slots=True)
class Findings:
    """What the walk came upon, for whoever looks for the cause. `refusal` is the first no; None while all is well."""

    policy: Policy
    head: RequestHead
    now: float
    refusal: Denied | None = None
    rules_refusal: DeniedByRules | None = None  # what the rules would say besides, were the token good
    path: Path | None = None
    query: str = ""
    match: Match | None = None
    credential: Credential | None = None
    token: Token | None = None
    provider: Provider | None = None
    principal: Principal | None = None
    key_source: KeySource | None = None
    key_status: SourceStatus | None = None
    is_verified: bool = False
    steps: list[Step] = field(default_factory=list)

    @property
    def route(self) -> Route | None:
        """The route of the request."""
        return self.match.route if self.match is not None else None
