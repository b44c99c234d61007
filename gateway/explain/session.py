"""A session as the decision judges it, told: when it began, when it ends, and what for; nothing of what it holds."""

from __future__ import annotations

from dataclasses import replace

from gateway.explain.findings import Findings
from gateway.explain.phrases import place_of
from gateway.explain.step import Step
from gateway.explain.token import moment
from gateway.policy.credentials import Credential, check_place
from gateway.policy.denied import Denied
from gateway.policy.login import Login, principal_of_session
from gateway.policy.model import Principal, RequestHead
from gateway.policy.providers import Provider
from gateway.policy.reasons import Reason
from gateway.policy.resources import check_resource
from gateway.policy.revocation import Revoked
from gateway.policy.routes import Route
from gateway.policy.session import ABOUT_SESSIONS, RENEW_SECONDS, Session

_OF_A_PAGE = "a page of `public_url`, or of the provider's `origins`"


def explain_session(
    login: Login,
    provider: Provider,
    credential: Credential,
    route: Route,
    head: RequestHead,
    now: float,
    revoked: Revoked | None = None,
) -> tuple[list[Step], Principal | None, Denied | None]:
    """Return what is found of a session, in the order of `decide`, whom it speaks for, and the first no.

    `now` is Unix seconds. The issuer is not asked: a session that it would be asked about is told as it came.
    """
    place = place_of(credential.source)
    expected = f"{place}, sealed for this issuer and client with the secret of `login.session`"
    try:
        check_place(head, provider, credential)
    except Denied as no:
        return [Step("provider", "no", no.detail, _OF_A_PAGE)], None, no
    try:
        session = login.seal.open(credential.token, now)
        if revoked is not None:
            revoked.check_session(session)
    except Denied as no:
        return [Step("token", "no", no.detail, expected)], None, no
    told = _story_of(session, login, now)
    if now >= session.good_until and route.own not in ABOUT_SESSIONS:
        ended = Denied(Reason.SESSION_EXPIRED, f"the issuer's token has ended: {told}")
        return [Step("token", "no", ended.detail, expected)], None, ended
    steps = [
        Step("token", "yes", f"{place}: {told}", expected),
        Step("provider", "yes", f"{provider.name} ({provider.kind}): its people log in"),
    ]
    try:
        if route.resource is not None:
            check_resource(session.claims, route.resource)
        principal = principal_of_session(session, provider)
    except Denied as no:
        return [*steps, Step("claims", "no", no.detail)], None, no
    steps.append(Step("claims", "yes", "every check of the ID token held when it came"))
    said = "not asked again: the session is sealed by this gateway"
    steps += [Step(name, "note", said) for name in ("key", "signature")]
    return steps, principal, None


def tell_revoked(found: Findings) -> Denied | None:
    """Return the refusal of a caller who counts no more, and say so where his claims are told."""
    revoked, principal = found.policy.revoked, found.principal
    refusal = revoked.refusal(principal) if revoked is not None and principal is not None else None
    if refusal is None:
        return None
    for number, step in enumerate(found.steps):
        if step.name == "claims":
            found.steps[number] = replace(step, verdict="no", found=f"{refusal.detail}; {step.found}")
    return refusal


def _story_of(session: Session, login: Login, now: float) -> str:
    """Return how long a session has been and will be, in words; nothing of what it holds. `now` is Unix seconds."""
    seal, is_renewable = login.seal, session.refresh_token is not None
    limits = [
        (session.begun_at + seal.max_age_seconds, "max_age"),
        (session.seen_at + seal.idle_seconds, "idle, unless it is used"),
        *([] if is_renewable else [(session.good_until, "the issuer's token, without a refresh token")]),
    ]
    end, why = min(limits)
    next_word = f"; the issuer is asked for the next token {moment(session.good_until - RENEW_SECONDS, now)}"
    return f"began {moment(session.begun_at, now)}; ends {moment(end, now)} ({why}){next_word if is_renewable else ''}"
