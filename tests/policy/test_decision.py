"""The line from request to decision, with real tokens and a key store that is a dictionary."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.policy.cache import MAX_AGE_SECONDS, CacheKey, VerifiedTokens, cache_key
from gateway.policy.decision import Allow, Decision, Deny, NeedKey, decide
from gateway.policy.jwk import Key, secret_key
from gateway.policy.key_lookup import Keys, NoKey
from gateway.policy.model import Headers, RequestHead
from gateway.policy.paths import path_segments
from gateway.policy.providers import KeySource, Provider, TokenSource
from gateway.policy.reasons import Reason
from gateway.policy.routes import Capture, Policy, Route
from gateway.policy.rules import Authenticated, EmailDomain, HasAll, HasAny, Rule
from gateway.policy.token import Token
from gateway.policy.upstreams import Upstream
from tests.minting import NOW, OTHER_SECRET, SECRET, claims_of, mint, rsa_key

UPSTREAM = Upstream("default", "http://127.0.0.1:1")
SOURCE = KeySource("https://idp.example.test", "https://idp.example.test/jwks")
OIDC = Provider(
    "partners",
    "oidc",
    frozenset({"RS256"}),
    key_source=SOURCE,
    issuers=frozenset({"https://idp.example.test"}),
    audiences=frozenset({"https://api.example.test"}),
)
KEY = Key("k1", frozenset({"RS256"}), rsa_key().public_key(), "t1")
TOKEN = Token({}, {}, b"a.b", b"c", "HS256", None)
HS = frozenset({"HS256"})
SHARED = Provider("jobs", "jwt", HS, secrets=(secret_key(OTHER_SECRET, HS), secret_key(SECRET, HS)))


class FakeKeys(Keys):
    """Keys by kid; what is not there is `missing`. Counts how often it was asked."""

    def __init__(self, *keys: Key, missing: NoKey | None = None) -> None:
        self.keys = {key.kid: key for key in keys}
        self.missing = missing or NoKey(fetch_may_help=True, is_outage=False)
        self.asked = 0

    def find(self, source: KeySource, kid: str | None, algorithm: str, now: float) -> Key | NoKey:
        assert source is SOURCE
        self.asked += 1
        return self.keys.get(kid, self.missing)


def policy(*providers: Provider, allow: tuple[Rule, ...] = (Authenticated(),), **route: Any) -> Policy:
    guarded = Route("/api", ("api",), UPSTREAM, providers=providers or (OIDC,), allow=allow, **route)
    public = Route("/public", ("public",), UPSTREAM, public=True)
    return Policy([guarded, public])


def head(*lines: tuple[str, str], target: str = "/api/x", method: str = "GET") -> RequestHead:
    return RequestHead(method, target, Headers([("Host", "gw.test"), *lines]), "192.0.2.1", "https")


def bearer(token: str, **options: Any) -> RequestHead:
    return head(("Authorization", f"Bearer {token}"), **options)


def signed(**changes: Any) -> str:
    return mint(claims_of(**changes), rsa_key(), "RS256", kid="k1")


def denied(decision: Decision) -> Deny:
    assert isinstance(decision, Deny), decision
    return decision


def allowed(decision: Decision) -> Allow:
    assert isinstance(decision, Allow), decision
    return decision


def test_good_token_is_allowed_with_its_principal() -> None:
    decision = allowed(decide(policy(), FakeKeys(KEY), bearer(signed(), target="/%61pi/x?a=1"), NOW))
    assert decision.principal is not None
    assert decision.principal.subject == "user-1"
    assert decision.target == "/api/x?a=1"
    assert not decision.withheld.authorization and decision.would_deny is None


def test_public_route_asks_for_nothing() -> None:
    keys = FakeKeys()
    decision = allowed(decide(policy(), keys, bearer("garbage", target="/public/x"), NOW))
    assert decision.principal is None
    assert keys.asked == 0


@pytest.mark.parametrize(
    ("request_head", "reason", "had_token"),
    [
        pytest.param(head(), Reason.TOKEN_MISSING, False, id="no-token"),
        pytest.param(head(method="OPTIONS"), Reason.TOKEN_MISSING, False, id="options"),
        pytest.param(head(method="HEAD"), Reason.TOKEN_MISSING, False, id="head"),
        pytest.param(head(("Authorization", "Bearer")), Reason.TOKEN_MALFORMED, True, id="scheme-only"),
        pytest.param(bearer("not.a.jwt"), Reason.TOKEN_MALFORMED, True, id="garbage"),
        pytest.param(bearer("a" * 20000), Reason.TOKEN_TOO_LARGE, True, id="too-large"),
        pytest.param(bearer(signed(exp=NOW - 60)), Reason.TOKEN_EXPIRED, True, id="expired"),
        pytest.param(bearer(signed(iss="https://evil.test")), Reason.ISSUER_MISMATCH, True, id="issuer"),
        pytest.param(bearer(mint(claims_of(), SECRET)), Reason.ALGORITHM_NOT_ALLOWED, True, id="hs256"),
        pytest.param(head(target="/api/../x"), Reason.TARGET_AMBIGUOUS, False, id="dot-dot"),
        pytest.param(head(target="/nowhere"), Reason.NO_ROUTE, False, id="no-route"),
    ],
)
def test_what_can_be_refused_without_a_key_causes_no_question_for_one(
    request_head: RequestHead, reason: Reason, had_token: bool
) -> None:
    keys = FakeKeys(KEY)
    decision = denied(decide(policy(), keys, request_head, NOW))
    assert (decision.reason, decision.had_token) == (reason, had_token)
    assert keys.asked == 0


def test_method_not_allowed_names_the_methods() -> None:
    decision = denied(decide(policy(methods=frozenset({"GET", "POST"})), FakeKeys(), head(method="PUT"), NOW))
    assert (decision.reason, decision.allowed_methods) == (Reason.METHOD_NOT_ALLOWED, ("GET", "HEAD", "POST"))


def test_unknown_key_is_asked_for_once() -> None:
    missing = decide(policy(), FakeKeys(), bearer(signed()), NOW)
    assert isinstance(missing, NeedKey)
    assert (missing.source, missing.kid, missing.provider) == (SOURCE, "k1", OIDC)
    assert denied(decide(policy(), FakeKeys(), bearer(signed()), NOW, may_fetch=False)).reason is Reason.KEY_UNKNOWN


@pytest.mark.parametrize(
    ("is_outage", "reason"), [(True, Reason.KEYS_UNAVAILABLE), (False, Reason.KEY_UNKNOWN)], ids=["outage", "unknown"]
)
def test_no_key_is_503_only_when_the_issuer_is_at_fault(is_outage: bool, reason: Reason) -> None:
    keys = FakeKeys(missing=NoKey(fetch_may_help=False, is_outage=is_outage))
    assert denied(decide(policy(), keys, bearer(signed()), NOW)).reason is reason


def test_signature_by_another_key_is_refused_and_not_remembered() -> None:
    forged = mint(claims_of(), rsa_key("evil"), "RS256", kid="k1")
    judged = policy()
    for _ in range(2):
        assert denied(decide(judged, FakeKeys(KEY), bearer(forged), NOW)).reason is Reason.SIGNATURE_INVALID
    assert len(judged.verified) == 0


def test_every_secret_of_a_rotation_verifies() -> None:
    assert allowed(decide(policy(SHARED), FakeKeys(), bearer(mint(claims_of(), SECRET)), NOW))
    assert allowed(decide(policy(SHARED), FakeKeys(), bearer(mint(claims_of(), OTHER_SECRET)), NOW))
    third = mint(claims_of(), b"a third secret, which nobody configured")
    assert denied(decide(policy(SHARED), FakeKeys(), bearer(third), NOW)).reason is Reason.SIGNATURE_INVALID
    nothing = replace(SHARED, secrets=())
    assert denied(decide(policy(nothing), FakeKeys(), bearer(third), NOW)).reason is Reason.KEY_UNKNOWN


def test_token_picks_its_provider_on_a_route_with_several() -> None:
    both = policy(OIDC, SHARED)
    shared = allowed(decide(both, FakeKeys(KEY), bearer(mint(claims_of(iss=...), SECRET)), NOW)).principal
    public = allowed(decide(both, FakeKeys(KEY), bearer(signed()), NOW)).principal
    assert shared is not None and public is not None
    assert (shared.provider, public.provider) == ("jobs", "partners")


def test_place_of_the_token_is_its_providers_choice() -> None:
    by_cookie = replace(SHARED, token_sources=(TokenSource("cookie", "s"),))
    token = mint(claims_of(iss=...), SECRET)
    decision = denied(decide(policy(OIDC, by_cookie), FakeKeys(KEY), bearer(token), NOW))
    assert decision.reason is Reason.TOKEN_MISSING
    cookie = head(("Cookie", f"a=1; s={token}"))
    withheld = allowed(decide(policy(OIDC, by_cookie), FakeKeys(KEY), cookie, NOW)).withheld
    assert withheld.authorization and withheld.plain_cookie == "s" and "s" not in withheld.cookies


def test_cookie_needs_an_origin_also_when_the_token_is_known() -> None:
    judged = policy(replace(SHARED, token_sources=(TokenSource("cookie", "s"),)))
    cookie = ("Cookie", f"s={mint(claims_of(), SECRET)}")
    for _ in range(2):
        assert allowed(decide(judged, FakeKeys(), head(cookie), NOW))
        evil = head(cookie, ("Origin", "https://evil.test"), method="POST")
        assert denied(decide(judged, FakeKeys(), evil, NOW)).reason is Reason.ORIGIN_REFUSED


def test_query_token_does_not_go_on() -> None:
    judged = policy(replace(SHARED, token_sources=(TokenSource("bearer"), TokenSource("query", "apiKey"))))
    token = mint(claims_of(), SECRET)
    found = allowed(decide(judged, FakeKeys(), head(target=f"/api/x?a=%2F&apiKey={token}&b"), NOW))
    assert found.target == "/api/x?a=%2F&b"


def test_websocket_protocol_token_goes_on_and_nothing_beside_it() -> None:
    judged = policy(replace(SHARED, token_sources=(TokenSource("websocket_protocol"),)), websocket=True)
    token = mint(claims_of(), SECRET)
    upgrade = head(("Upgrade", "websocket"), ("Sec-WebSocket-Protocol", f"chat, {token}"), ("Authorization", token))
    withheld = allowed(decide(judged, FakeKeys(), upgrade, NOW)).withheld
    assert withheld.authorization and withheld.protocols and withheld.keeps_protocol


def test_websocket_only_where_the_route_says_so() -> None:
    token = mint(claims_of(), SECRET)
    upgrade = head(("Upgrade", "websocket"), ("Authorization", f"Bearer {token}"))
    assert allowed(decide(policy(SHARED, websocket=True), FakeKeys(), upgrade, NOW))
    assert denied(decide(policy(SHARED), FakeKeys(), upgrade, NOW)).reason is Reason.WEBSOCKET_REFUSED
    on_public = head(("Upgrade", "WebSocket"), target="/public")
    assert denied(decide(policy(), FakeKeys(), on_public, NOW)).reason is Reason.WEBSOCKET_REFUSED
    no_token = denied(decide(policy(SHARED), FakeKeys(), head(("Upgrade", "websocket")), NOW))
    assert no_token.reason is Reason.TOKEN_MISSING, "first who, then what"


COMPANY = EmailDomain(frozenset({"example.com"}))
ADMIN = HasAny("roles", frozenset({"admin"}))


@pytest.mark.parametrize(
    ("allow", "deny", "changes", "reason"),
    [
        pytest.param((COMPANY,), (), {}, None, id="rule-holds"),
        pytest.param((ADMIN, COMPANY), (), {}, None, id="one-of-two-holds"),
        pytest.param((COMPANY,), (), {"email": "a@evil.com"}, Reason.ACCESS_DENIED, id="rule-does-not-hold"),
        pytest.param((ADMIN,), (), {}, Reason.ACCESS_DENIED, id="claim-missing"),
        pytest.param((COMPANY,), (ADMIN,), {"roles": ["admin"]}, Reason.DENIED_BY_RULE, id="deny-wins"),
        pytest.param((COMPANY,), (ADMIN,), {"roles": []}, None, id="deny-does-not-hold"),
        pytest.param((COMPANY,), (ADMIN,), {}, Reason.DENIED_BY_RULE, id="deny-undecided"),
    ],
)
def test_rules_decide(allow: tuple[Rule, ...], deny: tuple[Rule, ...], changes: Any, reason: Reason | None) -> None:
    decision = decide(policy(SHARED, allow=allow, deny=deny), FakeKeys(), bearer(mint(claims_of(**changes))), NOW)
    if reason is None:
        assert allowed(decision)
        return
    assert denied(decision).reason is reason
    assert denied(decision).provider == "jobs"


def test_missing_scope_is_told_as_such() -> None:
    judged = policy(SHARED, allow=(ADMIN, HasAll("scopes", ("agents:run", "agents:read"))))
    decision = denied(decide(judged, FakeKeys(), bearer(mint(claims_of(scope="agents:read"))), NOW))
    assert (decision.reason, decision.missing_scopes) == (Reason.INSUFFICIENT_SCOPE, ("agents:run", "agents:read"))


def test_unenforced_route_lets_pass_and_says_what_it_would_have_done() -> None:
    judged = policy(SHARED, allow=(ADMIN,), enforce=False)
    no_token = allowed(decide(judged, FakeKeys(), head(), NOW))
    assert no_token.principal is None and no_token.withheld.authorization
    assert no_token.would_deny is not None and no_token.would_deny.reason is Reason.TOKEN_MISSING
    bad = allowed(decide(judged, FakeKeys(), bearer(mint(claims_of(), b"x" * 40)), NOW))
    assert bad.principal is None and bad.withheld.authorization
    refused_by_rule = allowed(decide(judged, FakeKeys(), bearer(mint(claims_of())), NOW))
    assert refused_by_rule.principal is not None and not refused_by_rule.withheld.authorization
    two = head(("Authorization", "Bearer a"), ("Authorization", "Bearer b"))
    assert denied(decide(judged, FakeKeys(), two, NOW)).reason is Reason.SEVERAL_CREDENTIALS


def test_capture_reaches_the_rule() -> None:
    from gateway.policy.expressions import compile_expression
    from gateway.policy.rules import When

    rule = When(compile_expression("agent in claims.agents", ["agent"]))
    segments: tuple[str | Capture, ...] = (*path_segments("/api/agents"), Capture("agent"))
    judged = Policy([Route("/api/agents/{agent}", segments, UPSTREAM, providers=(SHARED,), allow=(rule,))])
    token = mint(claims_of(agents=["a1"]))
    assert allowed(decide(judged, FakeKeys(), bearer(token, target="/api/agents/a1/stream"), NOW))
    assert denied(decide(judged, FakeKeys(), bearer(token, target="/api/agents/a2"), NOW))


def make_known(judged: Policy, keys: FakeKeys, token: str, target: str = "/api/agents") -> Allow:
    """Have a token verified until it is remembered: from the second time on."""
    for _ in range(2):
        last = allowed(decide(judged, keys, bearer(token, target=target), NOW))
    assert len(judged.verified) == 1
    return last


def test_known_token_is_not_verified_again() -> None:
    judged, keys, token = policy(), FakeKeys(KEY), signed()
    second = make_known(judged, keys, token)
    third = allowed(decide(judged, keys, bearer(token), NOW + 1))
    assert third.principal is second.principal
    assert (judged.verified.hits, judged.verified.misses) == (1, 2)


def test_tokens_that_come_once_push_nobody_out() -> None:
    judged, keys, token = policy(), FakeKeys(KEY), signed()
    known = make_known(judged, keys, token)
    judged.verified = cache = VerifiedTokens(max_bytes=20_000)
    make_known(judged, keys, token)
    assert known.principal is not None
    for number in range(20_000):
        cache.put(cache_key(f"once-{number}", ("p",)), TOKEN, known.principal, SHARED, None, KEY, NOW)
    assert len(cache) == 1 and len(cache._seen_once) <= 8192
    hits = cache.hits
    allowed(decide(judged, keys, bearer(token), NOW))
    assert cache.hits == hits + 1


def test_cached_verdict_does_not_outlive_exp() -> None:
    judged, token = policy(), signed(exp=NOW + 10)
    make_known(judged, FakeKeys(KEY), token)
    assert allowed(decide(judged, FakeKeys(KEY), bearer(token), NOW + 14))
    assert denied(decide(judged, FakeKeys(KEY), bearer(token), NOW + 15)).reason is Reason.TOKEN_EXPIRED


def test_cached_verdict_ends_with_its_key() -> None:
    judged, token = policy(), signed()
    make_known(judged, FakeKeys(KEY), token)
    revoked = FakeKeys(missing=NoKey(fetch_may_help=False, is_outage=False))
    assert denied(decide(judged, revoked, bearer(token), NOW)).reason is Reason.KEY_UNKNOWN
    swapped = replace(KEY, material=rsa_key("evil").public_key())
    assert denied(decide(judged, FakeKeys(swapped), bearer(token), NOW)).reason is Reason.SIGNATURE_INVALID


def test_cache_is_asked_again_about_rules() -> None:
    judged = policy(SHARED, allow=(COMPANY,))
    other = Route("/other", ("other",), UPSTREAM, providers=(SHARED,), allow=(ADMIN,))
    judged = Policy([*judged.routes, other])
    token = mint(claims_of())
    make_known(judged, FakeKeys(), token)
    assert denied(decide(judged, FakeKeys(), bearer(token, target="/other"), NOW)).reason is Reason.ACCESS_DENIED


def test_cache_keeps_one_providers_token_from_another() -> None:
    lax = replace(SHARED, name="lax", leeway_seconds=1000.0)
    judged = Policy(
        [
            Route("/lax", ("lax",), UPSTREAM, providers=(lax,), allow=(Authenticated(),)),
            Route("/api", ("api",), UPSTREAM, providers=(SHARED,), allow=(Authenticated(),)),
        ]
    )
    token = mint(claims_of(exp=NOW - 60))
    make_known(judged, FakeKeys(), token, "/lax")
    assert denied(decide(judged, FakeKeys(), bearer(token), NOW)).reason is Reason.TOKEN_EXPIRED


def test_cache_is_bounded_in_bytes_and_in_time() -> None:
    cache = VerifiedTokens(max_bytes=10_000)
    principal = allowed(decide(policy(SHARED), FakeKeys(), bearer(mint(claims_of(exp=NOW + 9999))), NOW)).principal
    assert principal is not None
    for number in range(100):
        for _ in range(2):
            cache.put(key_of(number), TOKEN, principal, SHARED, None, KEY, NOW)
        assert cache.get(key_of(0), NOW) is not None, "whoever was used last stays"
    assert 0 < len(cache) < 6
    assert cache.get(key_of(1), NOW) is None
    large = replace(TOKEN, signing_input=b"x" * 5000)
    for _ in range(2):
        cache.put(key_of(100), large, principal, SHARED, None, KEY, NOW)
    assert cache.get(key_of(100), NOW) is None, "what alone is over the bound is not kept"
    for _ in range(2):
        cache.put(key_of(99), TOKEN, principal, SHARED, None, KEY, NOW + 1)  # again: it takes the place of itself
    assert cache.get(key_of(99), NOW + MAX_AGE_SECONDS) is not None
    assert cache.get(key_of(99), NOW + MAX_AGE_SECONDS + 1) is None
    for number in range(100):
        cache.get(key_of(number), NOW + 2 * MAX_AGE_SECONDS)
    assert len(cache) == cache._bytes == 0


def key_of(number: int) -> CacheKey:
    return cache_key(f"token-{number}", ("p",))
