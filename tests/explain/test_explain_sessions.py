"""A session that is explained: how long it has been and will be, and nothing of what it holds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.explain.explain import explain
from gateway.explain.step import Explanation
from gateway.policy.decision import Allow, Deny, decide
from gateway.policy.key_lookup import Keys, NoKey
from gateway.policy.model import Headers, RequestHead
from gateway.policy.providers import KeySource
from gateway.policy.routes import Policy, Route
from gateway.policy.rules import Authenticated
from gateway.policy.session import Session
from tests.login import sealed
from tests.minting import NOW
from tests.running import upstream_at

UPSTREAM = upstream_at("http://upstream.test")
POLICY = Policy(
    [
        Route("/pages", ("pages",), UPSTREAM, providers=(sealed.STAFF,), allow=(Authenticated(),), sealed="x"),
        sealed.own_route("logout", UPSTREAM, "POST"),
    ],
    login=sealed.LOGIN,
)  # fmt: skip


class NoKeys(Keys):
    def find(self, source: KeySource, kid: str | None, algorithm: str, now: float) -> NoKey:
        return NoKey(fetch_may_help=False, is_outage=False)


def _head(cookie: str, method: str = "GET", path: str = "/pages/x", origin: str = "https://gw.test") -> RequestHead:
    lines = [("Host", "gw.test"), ("Cookie", cookie), ("Origin", origin)]
    return RequestHead(method, path, Headers(lines), "192.0.2.1", "https")


def _explained(head: RequestHead, now: float = NOW) -> Explanation:
    return explain(POLICY, NoKeys(), head, now, lambda source: None)


def _step(explanation: Explanation, name: str) -> str:
    return next(step.found for step in explanation.steps if step.name == name)


def test_a_session_says_when_it_began_when_it_ends_and_whether_it_goes_on() -> None:
    explanation = _explained(_head(sealed.cookie(sealed.session())), NOW + 60)
    assert explanation.decision == "allow"
    assert _step(explanation, "token") == (
        "the session in the cookie __Host-gateway: began 2027-01-15T08:00:00Z, 60 s ago; "
        "ends 2027-01-15T09:00:00Z, in 59 min (idle, unless it is used); "
        "the issuer is asked for the next token 2027-01-15T08:49:30Z, in 48 min"
    )
    assert "sealed by this gateway" in _step(explanation, "signature")


def test_a_session_without_a_refresh_token_says_that_it_ends_with_the_issuers() -> None:
    explanation = _explained(_head(sealed.cookie(sealed.session(refresh_token=None))))
    assert "in 50 min (the issuer's token, without a refresh token)" in _step(explanation, "token")
    assert "asked for the next" not in _step(explanation, "token")


def test_nothing_of_a_session_is_shown() -> None:
    session = sealed.session(refresh_token="a-refresh-token-that-is-secret")
    cookie = sealed.cookie(session)
    shown = str(_explained(_head(cookie)))
    assert "a-refresh-token" not in shown
    assert session.id_token.rpartition(".")[2] not in shown
    assert cookie.partition("=")[2][60:] not in shown


@pytest.mark.parametrize(
    ("session", "seconds", "code"),
    [
        (sealed.session(), 3700, "session_expired"),  # idle
        (replace(sealed.session(50000), seen_at=NOW + 43000), 43300, "session_expired"),  # max_age
        (sealed.session(), 3100, "session_expired"),  # the gateway would ask for the next
        (sealed.session(sub=""), 0, "session_invalid"),
        (None, 0, "session_invalid"),
    ],
)
def test_a_session_that_does_not_count_is_told_as_it_is_answered(
    session: Session | None, seconds: float, code: str
) -> None:
    cookie = sealed.cookie(session) if session is not None else "__Host-gateway=bad"
    explanation = _explained(_head(cookie), NOW + seconds)
    assert (explanation.decision, explanation.code) == ("deny", code)
    assert explanation.advice


@pytest.mark.parametrize("path", ["/pages/x", "/own/logout"])
@pytest.mark.parametrize("origin", ["https://gw.test", "https://evil.example"])
@pytest.mark.parametrize("seconds", [0, 2990, 3100, 3700])
@pytest.mark.parametrize("cookie", [sealed.cookie(sealed.session()), "__Host-gateway=bad", "__Host-gateway.1=x", "a=b"])
def test_an_explanation_of_a_session_never_differs_from_the_decision(
    path: str, origin: str, seconds: float, cookie: str
) -> None:
    head = _head(cookie, "POST", path, origin)
    decision = decide(POLICY, NoKeys(), head, NOW + seconds, may_fetch=False)
    explanation = _explained(head, NOW + seconds)
    if isinstance(decision, Deny):
        assert (explanation.decision, explanation.code) == ("deny", decision.reason.code)
    else:
        assert isinstance(decision, Allow)
        assert explanation.decision == "allow"
