"""Cases judged: what a configuration decides of each, and whether that is what was expected."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.config.model import ALLOW, DENY, Case, Config
from gateway.explain.explain import decide_whole, explain
from gateway.explain.findings import Findings
from gateway.explain.issuer import StandInIssuer, complete_claims
from gateway.explain.known_keys import key_of, with_known_keys
from gateway.explain.request import Asked, NoProviderError, head_for, provider_for, route_of
from gateway.explain.step import Explanation
from gateway.explain.walk import walk
from gateway.policy.decision import Allow
from gateway.policy.enquiries import Sent
from gateway.policy.model import RequestHead

IMPOSSIBLE = "impossible"  # not a public code: the case cannot be asked of this file


@dataclass(frozen=True, slots=True)
class Judged:
    """What a configuration makes of a case. `verdict` is `allow` or a public code, `detail` why."""

    case: Case
    verdict: str
    would_deny: str | None
    detail: str
    sent: Mapping[str, Any] | None = None  # the body that goes up

    @property
    def is_as_expected(self) -> bool:
        """True if the decision is what the case expects."""
        if self.verdict == IMPOSSIBLE:
            return False
        is_right = self.verdict != ALLOW if self.case.expect == DENY else self.verdict == self.case.expect
        if self.case.sent is not None and self.case.sent != self.sent:
            return False
        return is_right and self.case.would_deny in (None, self.would_deny)

    @property
    def words(self) -> str:
        """The decision in a few words."""
        words = f"{self.verdict} (would be {self.would_deny})" if self.would_deny else self.verdict
        if self.case.sent is None or self.verdict != ALLOW:
            return words
        return f"{words}, and {'no body' if self.sent is None else json.dumps(self.sent)} goes up"


class Judge:
    """Asks one configuration. Tokens are signed by a stand-in issuer; the decision is that of `serve`."""

    def __init__(self, config: Config, issuer: StandInIssuer, now: float) -> None:
        self._config = with_known_keys(config)
        self._issuer = issuer
        self._now = now

    def judge(self, case: Case) -> Judged:
        """Return what becomes of a case."""
        try:
            head = self._head(case)
        except NoProviderError as problem:
            return Judged(case, IMPOSSIBLE, None, str(problem))
        body = b"" if case.body is None else json.dumps(case.body).encode()
        decided = decide_whole(self._config.policy, self._issuer, head, self._moment(case), body, case.owner)
        decision = decided.decision
        if isinstance(decision, Allow):
            would = decision.would_deny
            sent = _sent(decided.sent, case)
            return Judged(case, ALLOW, would.reason.code if would else None, would.detail if would else "", sent)
        return Judged(case, decision.reason.code, None, decision.detail)

    def walk(self, case: Case) -> Findings:
        """Return what the decision of a case came upon. Raises `NoProviderError`."""
        return walk(self._config.policy, self._issuer, self._head(case), self._moment(case), self._issuer.status_of)

    def explain(self, case: Case) -> Explanation:
        """Return why. Raises `NoProviderError`."""
        moment = self._moment(case)
        head, body = self._head(case), b"" if case.body is None else json.dumps(case.body).encode()
        return explain(self._config.policy, self._issuer, head, moment, self._issuer.status_of, body)

    def _head(self, case: Case) -> RequestHead:
        asked = Asked(case.method, case.target, case.headers, case.ip)
        if case.key is not None:
            route = route_of(self._config, case.method, case.target)
            token, source = key_of(case.key, route, case.provider)
            return head_for(asked, self._config, token, source)
        if case.claims is None:
            return head_for(asked, self._config, None)
        route = route_of(self._config, case.method, case.target)
        provider = provider_for(case.claims, route, case.provider, self._config)
        claims = complete_claims(provider, case.claims, self._moment(case))
        return head_for(asked, self._config, self._issuer.token(claims, provider))

    def _moment(self, case: Case) -> float:
        return self._now if case.at is None else case.at


def _sent(sent: Sent | None, case: Case) -> Mapping[str, Any] | None:
    """Return the body that goes up: another than came, or that."""
    if sent is None or sent.body is None:
        return case.body
    body: Mapping[str, Any] = json.loads(sent.body)
    return body
