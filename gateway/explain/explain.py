"""Explain one request: the decision of `decide`, the walk that led there, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.explain.causes import advice_for
from gateway.explain.findings import Findings
from gateway.explain.hiding import without_credentials
from gateway.explain.identity import explain_identity
from gateway.explain.own import explain_own
from gateway.explain.spent import Counted, explain_budgets
from gateway.explain.step import Explanation, Step, shown
from gateway.explain.walk import StatusOf, walk
from gateway.policy.decision import Allow, Deny, NeedKey, NeedSession, decide
from gateway.policy.denied import Denied
from gateway.policy.enquiries import Sent
from gateway.policy.key_lookup import Keys
from gateway.policy.model import RequestHead
from gateway.policy.providers import token_sources
from gateway.policy.reasons import Reason
from gateway.policy.routes import Policy
from gateway.proxy.refusal import refusal_body, refusal_lines

_REQUEST_ID = "the request's own id"


@dataclass(frozen=True, slots=True)
class Decided:
    """What `serve` would do, as far as no upstream is asked. `sent` is what goes up where things have owners."""

    decision: Allow | Deny
    own: Step
    identity: Step
    sent: Sent | None = None
    budgets: tuple[Step, ...] = ()  # one, where the route has some


def explain(
    policy: Policy,
    keys: Keys,
    head: RequestHead,
    now: float,
    status_of: StatusOf,
    body: bytes = b"",
    counted: Counted | None = None,
) -> Explanation:
    """Return why a request gets its answer. `now` is Unix seconds; keys are taken as they are, none is fetched.

    `counted` is what is left of the caller's budgets; None: nobody knows. Neither the token nor the body is kept.
    """
    decided = decide_whole(policy, keys, head, now, body, counted=counted)
    found = walk(policy, keys, head, now, status_of)
    found.steps += (*decided.budgets, decided.own, decided.identity)
    return _explained(decided.decision, found)


def with_note_of_scheme(
    explanation: Explanation, policy: Policy, keys: Keys, as_pasted: RequestHead, now: float
) -> Explanation:
    """Return an explanation with what would come of the token as it was pasted, `Bearer` before it.

    `now` is Unix seconds.
    """
    decision = decide_whole(policy, keys, as_pasted, now).decision
    gets = (
        "gets in all the same"
        if isinstance(decision, Allow)
        else f"gets {decision.reason.status} {decision.reason.code}"
    )
    note = (
        "`Bearer` was taken off what was given as the token, since it belongs to the header. "
        f"A client that has it in its token sends it twice, and {gets}."
    )
    return replace(explanation, advice=(note, *explanation.advice))


def allowed(policy: Policy, keys: Keys, head: RequestHead, now: float) -> Allow | None:
    """Return what lets a request pass, as far as budgets are not asked; None: it is refused."""
    decision = _decided(policy, keys, head, now)
    return decision if isinstance(decision, Allow) else None


def _decided(policy: Policy, keys: Keys, head: RequestHead, now: float) -> Allow | Deny:
    decision = decide(Policy(policy.routes, policy.header_rules, policy.login), keys, head, now, may_fetch=False)
    if isinstance(decision, (NeedKey, NeedSession)):  # with may_fetch False there is none
        raise AssertionError("a final decision was asked for")
    return decision


def decide_whole(
    policy: Policy,
    keys: Keys,
    head: RequestHead,
    now: float,
    body: bytes = b"",
    owner: str | None = None,
    counted: Counted | None = None,
) -> Decided:
    """Return what `serve` would do, with what the upstream would be told: a claim that cannot be told is refused, too.

    `now` is Unix seconds. The decision is made by a copy of the policy with an empty cache. `owner` is whose the things
    are that an upstream would be asked about; None: the caller's.
    """
    decision = _decided(policy, keys, head, now)
    if isinstance(decision, Deny):
        return Decided(decision, Step("own", "skipped"), Step("identity", "skipped"))
    spent, refusal = explain_budgets(decision, head, counted)
    if refusal is not None:
        skipped = Step("own", "skipped"), Step("identity", "skipped")
        return Decided(_denied(refusal, decision), *skipped, budgets=spent)
    own, refusal, sent = explain_own(decision, head, body, owner)
    if refusal is not None:
        return Decided(_denied(refusal, decision), own, Step("identity", "skipped"), budgets=spent)
    if sent is not None:
        allow = decision
        decision = Allow(allow.route, sent.target, allow.principal, allow.withheld, allow.would_deny, allow.said)
    identity, refusal = explain_identity(decision, now)
    return Decided(decision if refusal is None else _denied(refusal, decision), own, identity, sent, spent)


def _denied(no: Denied, allow: Allow) -> Deny:
    return Deny(no.reason, no.detail, allow.route, allow.principal)


def _explained(decision: Allow | Deny, found: Findings) -> Explanation:
    hidden = {source.name for route in found.policy.routes for source in token_sources(route.providers)}
    request = f"{found.head.method} {shown(without_credentials(found.head.target, hidden))}"
    if isinstance(decision, Allow):
        upstream = decision.route.upstream
        if decision.route.own:
            own = f"answered by the gateway itself ({decision.route.own})"
            return Explanation(request, "allow", tuple(found.steps), own)
        passed = f"passes to {upstream.name} ({upstream.url}) as {found.head.method} "
        passed += shown(without_credentials(decision.target, hidden))
        if decision.would_deny is None:
            return Explanation(request, "allow", tuple(found.steps), passed)
        would = decision.would_deny.reason
        passed = f"{passed}; `enforce: false` lets pass what would be {would.status} {would.code}"
        advice = advice_for(decision.would_deny, found)
        return Explanation(request, "allow", tuple(found.steps), passed, advice, would_deny=would.code)
    return _refused(decision, found, request)


def _refused(deny: Deny, found: Findings, request: str) -> Explanation:
    reason = deny.reason
    lines = refusal_lines(
        reason,
        had_token=deny.had_token,
        missing_scopes=deny.missing_scopes,
        allowed_methods=deny.allowed_methods,
        resource=deny.route.resource if deny.route is not None else None,
        step_up=deny.step_up,
    )
    return Explanation(
        request,
        "deny",
        tuple(found.steps),
        _outcome(reason),
        advice_for(deny, found),
        reason.status,
        reason.code,
        refusal_body(reason, _REQUEST_ID).decode(),
        next((value for name, value in lines if name == "WWW-Authenticate"), None),
    )


def _outcome(reason: Reason) -> str:
    return f"{reason.status} {reason.code}: {reason.value.meaning}"
