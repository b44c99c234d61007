"""The explanation of a decision: it says what the decision says, why, and what to do, and never shows a secret."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest

from gateway.config.conditions import READERS
from gateway.config.model import Config
from gateway.explain.explain import explain
from gateway.explain.general import general_advice
from gateway.explain.step import STEPS, Explanation, shown
from gateway.explain.token import EXPECTED, moment, span
from gateway.explain.walk import walk
from gateway.keys.status import SourceStatus
from gateway.policy.decision import Allow, Deny, decide
from gateway.policy.jwk import Key
from gateway.policy.key_lookup import Keys, NoKey
from gateway.policy.model import Headers, RequestHead
from gateway.policy.providers import KeySource
from gateway.policy.reasons import Reason
from gateway.policy.routes import Policy
from gateway.policy.verify import CLAIM_CHECKS
from tests.configuring import read
from tests.minting import NOW, SECRET, b64, claims_of, mint, rsa_key

CLERK, AUTH0 = "https://clerk.example.com", "https://tenant.eu.auth0.com/"
FILE = f"""
upstreams:
  mastra:
    url: http://localhost:4111
    identity: {{headers: {{X-Auth-Subject: subject, X-Auth-Plan: "claim:plan"}}}}
    headers: {{X-Upstream-Key: "text:hunter2"}}
providers:
  people:
    type: clerk
    jwks_uri: {CLERK}/.well-known/jwks.json
    issuer: {CLERK}
    authorized_parties: [https://app.example.com]
    token_from: [bearer, {{cookie: __session}}]
  staff: {{type: auth0, domain: tenant.eu.auth0.com, audience: https://mastra}}
  jobs: {{type: jwt, secret: {SECRET.decode()}}}
  edge: {{type: jwt, secret: {SECRET.decode()}, token_from: [{{header: X-Edge-Assertion}}]}}
rules:
  company: {{email_domain: yourcompany.com}}
routes:
  /api: {{provider: [people, staff, jobs], allow: company}}
  /api/agents/{{agent}}:
    provider: [people, staff, jobs]
    allow: [{{when: agent in claims.agents}}, {{role: admin}}, {{all: [company, {{not: {{ip: 10.0.0.0/8}}}}]}}]
    deny: {{claim: {{suspended: true}}}}
  /scoped: {{provider: staff, allow: {{scope: [agents:run, agents:read]}}, websocket: true}}
  /tried: {{provider: staff, allow: {{role: admin}}, enforce: false}}
  /clerk: {{provider: people, allow: company}}
  /jobs: {{provider: jobs, allow: {{permission: run}}}}
  GET /health: {{public: true}}
  /edge: {{provider: edge, allow: {{when: '"x-edge-assertion" in request.headers'}}}}
  /granted: {{provider: staff, allow: {{permission: agents:run}}}}
  /grouped: {{provider: jobs, allow: {{group: g1}}}}
  /either:
    provider: [staff, jobs]
    allow: {{any: [company, {{role: admin}}, {{all: [{{role: editor}}, {{scope: write}}]}}]}}
"""
CONFIG: Config = read(FILE)
KEY = Key("k1", frozenset({"RS256"}), rsa_key().public_key(), "t1")


class HeldKeys(Keys):
    """Two key servers that have one key, or are down."""

    def __init__(self, *, is_down: bool = False) -> None:
        self.is_down = is_down

    def find(self, source: KeySource, kid: str | None, algorithm: str, now: float) -> Key | NoKey:
        if self.is_down:
            return NoKey(fetch_may_help=False, is_outage=True)
        return KEY if kid in (None, "k1") and algorithm == "RS256" else NoKey(fetch_may_help=False, is_outage=False)

    def status_of(self, source: KeySource) -> SourceStatus:
        error = "cannot connect (Connection refused)" if self.is_down else None
        age = None if self.is_down else 42.0
        return SourceStatus("https://keys/jwks", "fresh", ("k1",), age, 400.0, False, 3, 1, error, None)


def clerk(**changes: Any) -> str:
    mine = {"iss": CLERK, "azp": "https://app.example.com", "aud": ..., "exp": NOW + 50, "email": ...}
    return mint(claims_of(**(mine | changes)), rsa_key(), "RS256", kid="k1")


def auth0(kid: str | None = "k1", **changes: Any) -> str:
    mine = {"iss": AUTH0, "aud": "https://mastra", "email": ...}
    return mint(claims_of(**(mine | changes)), rsa_key(), "RS256", kid=kid)


def jobs(key: bytes = SECRET, **changes: Any) -> str:
    return mint(claims_of(**({"iss": ...} | changes)), key)


def head(
    authorization: str | None, path: str = "/api/agents", method: str = "GET", *lines: tuple[str, str]
) -> RequestHead:
    given = [("Host", "gw.test"), *lines]
    if authorization is not None:
        given.append(("Authorization", authorization))
    return RequestHead(method, path, Headers(given), "192.0.2.1", "https")


def explained(request: RequestHead, keys: HeldKeys | None = None) -> Explanation:
    keys = keys or HeldKeys()
    return explain(CONFIG.policy, keys, request, NOW, keys.status_of)


def test_roles_of_clerk_come_with_an_organization() -> None:
    own = read(
        FILE.replace("/clerk: {provider: people, allow: company}", "/clerk: {provider: people, allow: {role: admin}}")
    )
    said = explain(own.policy, HeldKeys(), head(f"Bearer {clerk()}", "/clerk"), NOW, HeldKeys().status_of)
    assert said.advice == (
        "The token has no roles: in Clerk roles belong to organizations, so the session needs an active one.",
    )


TOKENS = {
    "clerk": clerk(),
    "clerk-company": clerk(email="ann@yourcompany.com"),
    "clerk-expired": clerk(exp=NOW - 60, iat=NOW - 120),
    "clerk-azp": clerk(azp="https://evil.example.com"),
    "clerk-pending": clerk(sts="pending"),
    "clerk-subject": clerk(sub=""),
    "clerk-machine": clerk(sub="mch_1"),
    "clerk-header-injection": clerk(email="ann@yourcompany.com", plan="a\r\nb"),
    "auth0": auth0(),
    "auth0-admin": auth0(roles=["admin"], suspended=False),
    "auth0-suspended": auth0(roles=["admin"], suspended=True),
    "auth0-scope": auth0(scope="agents:run agents:read"),
    "auth0-scope-missing": auth0(scope="agents:read"),
    "auth0-audience": auth0(aud="https://other"),
    "auth0-kid": auth0(kid="k9"),
    "auth0-dpop": auth0(cnf={"jkt": "x"}),
    "auth0-future": auth0(iat=NOW + 900),
    "auth0-no-exp": auth0(exp=...),
    "auth0-signature": auth0()[:-6] + "AAAAAA",
    "jobs": jobs(email="ann@yourcompany.com"),
    "jobs-agents": jobs(agents=["a1"], suspended=False),
    "jobs-other-secret": jobs(b"another-secret-of-somebody-else!!"),
    "issuer": jobs(iss="https://nobody.example.com"),
    "none": f"{b64(json.dumps({'alg': 'none'}))}.{b64(json.dumps({'sub': 'x'}))}.",
    "crit": mint(claims_of(), header={"crit": ["x"]}),
    "two-parts": "a.b",
    "empty": "",
}
PATHS = ["/api/agents", "/api/agents/a1", "/api/%61gents/a1", "/scoped", "/tried", "/jobs", "/health", "/x", "/x/../y"]
EXTRA: list[tuple[tuple[str, str], ...]] = [
    (),
    (("Cookie", "__session=" + TOKENS["clerk-company"]),),
    (("Upgrade", "websocket"), ("Connection", "Upgrade")),
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_explanation_never_differs_from_the_decision(path: str, method: str) -> None:
    for token, lines, is_down in itertools.product([None, *TOKENS.values()], EXTRA, [False, True]):
        keys = HeldKeys(is_down=is_down)
        request = head(f"Bearer {token}" if token is not None else None, path, method, *lines)
        decision = decide(Policy(CONFIG.policy.routes), keys, request, NOW, may_fetch=False)
        found = walk(CONFIG.policy, keys, request, NOW, keys.status_of)
        explanation = explain(CONFIG.policy, keys, request, NOW, keys.status_of)
        assert [step.name for step in explanation.steps] == list(STEPS)
        if isinstance(decision, Deny):
            assert found.refusal is not None
            if decision.reason is Reason.WEBSOCKET_REFUSED and decision.route and not decision.route.enforce:
                assert (explanation.code, explanation.steps[-3].verdict) == ("websocket_refused", "no")
                continue
            assert (found.refusal.reason, found.refusal.detail) == (decision.reason, decision.detail)
            assert (explanation.status, explanation.code) == (decision.reason.status, decision.reason.code)
            assert any(step.verdict == "no" for step in explanation.steps)
            assert explanation.advice
            continue
        assert isinstance(decision, Allow)
        if decision.would_deny is not None:
            assert found.refusal is None or found.refusal.reason is decision.would_deny.reason
            assert explanation.would_deny == decision.would_deny.reason.code and explanation.advice
        elif explanation.decision == "deny":
            assert explanation.code == "identity_unsafe"
        else:
            assert all(step.verdict in ("yes", "note", "skipped") for step in explanation.steps)


def test_nothing_secret_is_shown() -> None:
    for token, path in itertools.product(TOKENS.values(), PATHS):
        text = json.dumps(explained(head(f"Bearer {token}", path)).as_json())
        signature = token.rpartition(".")[2]
        assert SECRET.decode() not in text
        assert len(signature) < 10 or signature not in text
        assert not token or len(token) < 20 or token not in text


def test_token_is_not_kept() -> None:
    explained(head(f"Bearer {TOKENS['clerk-company']}"))
    assert len(CONFIG.policy.verified) == 0
    assert (CONFIG.policy.verified.hits, CONFIG.policy.verified.misses) == (0, 0)


@pytest.mark.parametrize("name", READERS)
def test_every_condition_of_the_file_says_what_it_saw(name: str) -> None:
    example = f"{name}: {READERS[name].example}"
    config = read(
        f"upstream: http://x\nproviders: {{p: {{type: jwt, secret: {SECRET.decode()}}}}}\n"
        f"routes: {{/api: {{provider: p, allow: {{{example}}}}}}}"
    )
    explanation = explain(config.policy, HeldKeys(), head(f"Bearer {jobs()}"), NOW, HeldKeys().status_of)
    (rules,) = (step for step in explanation.steps if step.name == "rules")
    assert rules.parts and all(part.found for part in rules.parts)


CAUSES = [
    pytest.param(head(f"Bearer {clerk()}"), "Clerk's session tokens carry no email", id="clerk-email"),
    pytest.param(head(f"Bearer {auth0()}"), "Auth0's access tokens carry no email", id="auth0-email"),
    pytest.param(head(f"Bearer {jobs(email=...)}"), "The token has no email", id="jwt-email"),
    pytest.param(
        head(f"Bearer {auth0(email='a@yourcompany.com', email_verified=False)}"), "not verified", id="unverified"
    ),
    pytest.param(head(f"Bearer {auth0(email='a@dev.yourcompany.com')}"), "`include_subdomains: true`", id="subdomain"),
    pytest.param(head(f"Bearer {auth0(iss=AUTH0[:-1])}"), "has no closing slash", id="issuer-slash"),
    pytest.param(
        head(f"Bearer {clerk(iss='https://bold-cat-12.clerk.accounts.dev')}"), "another Clerk instance", id="instance"
    ),
    pytest.param(head(f"Bearer {auth0(iss='https://x.example')}"), "another tenant", id="issuer"),
    pytest.param(head(f"Bearer {auth0(iss=...)}", "/scoped"), "names no issuer", id="issuer-missing"),
    pytest.param(head("Bearer nRzO7mJ0dHhXQpk3vB1sYw"), "`audience: https://mastra`", id="auth0-opaque"),
    pytest.param(
        head(None, "/jobs", "GET", ("Cf-Access-Jwt-Assertion", jobs())),
        "`token_from: [{header: Cf-Access-Jwt-Assertion}]`",
        id="token-in-a-header",
    ),
    pytest.param(
        head(f"Bearer {jobs()}", "/edge"), "reads the header x-edge-assertion alone", id="token-not-in-its-header"
    ),
    pytest.param(head(jobs(), "/edge"), "reads the header x-edge-assertion alone", id="bare-token-not-in-its-header"),
    pytest.param(head("Bearer a.b.c.d.e"), "`audience: https://mastra`", id="auth0-encrypted"),
    pytest.param(head("Bearer a.b.c.d.e", "/clerk"), "encrypted token", id="encrypted"),
    pytest.param(head("Bearer nRzO7mJ0dHhXQpk3", "/jobs"), "opaque token", id="opaque"),
    pytest.param(head(f"Bearer {auth0(aud='client-id', nonce='x')}"), "It is an ID token", id="id-token"),
    pytest.param(head(f"Bearer {auth0(aud='https://x')}"), "The token is for https://x", id="audience"),
    pytest.param(head(f"Bearer {auth0(aud=...)}"), "names no audience", id="audience-missing"),
    pytest.param(head(f"Bearer {clerk(exp=NOW - 180, iat=NOW - 240)}"), "session tokens live 60 s", id="expired"),
    pytest.param(
        head(f"Bearer {clerk(exp=NOW - 180, iat=NOW - 240)}"),
        "And with a good token: Clerk's session tokens carry no email",
        id="expired-and-no-email",
    ),
    pytest.param(head(f"Bearer {auth0(exp=NOW - 60)}"), "the clocks differ: the gateway's clock says", id="clocks"),
    pytest.param(head(f"Bearer {auth0(exp=NOW - 90000)}"), "expired 25 h ago", id="long-expired"),
    pytest.param(head(f"Bearer {auth0(iat=NOW + 900)}"), "The clocks differ", id="future"),
    pytest.param(head(f"Bearer {auth0(exp=...)}"), "have the issuer write exp", id="no-exp"),
    pytest.param(head(f"Bearer {jobs(exp=...)}", "/jobs"), "`expiry: optional`", id="no-exp-of-a-shared-secret"),
    pytest.param(head(f"Bearer {mint(claims_of(iss=AUTH0))}", "/scoped"), "Signing Algorithm, RS256", id="hs256-auth0"),
    pytest.param(head(f"Bearer {mint(claims_of(iss=CLERK))}", "/clerk"), "shared secret (HS256)", id="hs256-clerk"),
    pytest.param(head(f"Bearer {auth0()}", "/jobs"), "signed with a key pair", id="rs256-jwt"),
    pytest.param(head(f"Bearer {TOKENS['none']}"), "not signed at all", id="none"),
    pytest.param(head(f"Bearer {TOKENS['clerk-azp']}"), "add it to `authorized_parties`", id="azp"),
    pytest.param(head(f"Bearer {clerk(azp=...)}"), "`azp: if_present`", id="azp-missing"),
    pytest.param(
        head(
            "Bearer "
            + mint(
                claims_of(iss=CLERK, azp="https://app.example.com"),
                rsa_key(),
                "RS256",
                kid="k1",
                header={"cat": "cl_B7d4PD222AAA"},
            )
        ),
        "`accept: [session, template]`",
        id="template",
    ),
    pytest.param(
        head(f"Bearer {auth0(scope='agents:read')}", "/scoped"),
        "needs the scopes agents:run and agents:read",
        id="scope",
    ),
    pytest.param(head(auth0()), "without `Bearer` before it", id="bearer-missing"),
    pytest.param(head(f'Bearer "{auth0()}"'), "with quotes around it", id="quotes"),
    pytest.param(head(f'"{auth0()}"'), "with quotes around it", id="quotes-without-bearer"),
    pytest.param(head(f"Bearer Bearer {auth0()}"), "`Bearer` stands twice", id="bearer-twice"),
    pytest.param(head("Bearer undefined"), "in place of a token", id="undefined"),
    pytest.param(
        head("Bearer [object Object]"), "the word [object Object] in place of a token. An object", id="object"
    ),
    pytest.param(head("Bearer [object Promise]"), "was not waited for: `await getToken()`", id="promise"),
    pytest.param(head("Bearer null"), "in place of a token. Nobody is signed in yet", id="null"),
    pytest.param(head('Bearer "null"'), "in place of a token. Nobody is signed in yet", id="null-in-quotes"),
    pytest.param(head("Bearer None"), "Python writes it for what was never set", id="none-of-python"),
    pytest.param(head("Bearer $TOKEN"), "a name that nobody has replaced", id="variable"),
    pytest.param(head("Bearer YOUR_ACCESS_TOKEN"), "a name that nobody has replaced", id="placeholder"),
    pytest.param(head("Bearer ${jwt}"), "a name that nobody has replaced", id="template"),
    pytest.param(head("Bearer "), "holds nothing behind it", id="empty"),
    pytest.param(head("Bearer"), "holds nothing behind it", id="scheme-alone"),
    pytest.param(head(f"Bearer {auth0().rpartition('.')[0]}"), "two of its three parts came", id="cut-to-two-parts"),
    pytest.param(head(f"Bearer {auth0()[:30]}"), "only a piece of its first part came", id="cut-to-one-part"),
    pytest.param(
        head(f"Bearer {auth0()[:-40]}"), "its signature has 302 characters of at least 342", id="cut-in-the-end"
    ),
    pytest.param(
        head(f"Bearer {jobs()[:-9]}", "/jobs"), "its signature has 34 characters of at least 43", id="cut-hs256"
    ),
    pytest.param(head(f"Bearer {auth0()[5:]}"), "The beginning of the token is missing", id="cut-at-its-start"),
    pytest.param(head(f"Bearer {auth0()[:40]} {auth0()[40:]}"), "A space or a line break stands", id="cut-by-a-space"),
    pytest.param(head(f"Bearer {auth0()[:40]}...{auth0()[-40:]}"), "The token is shortened", id="shortened"),
    pytest.param(
        head(f"Bearer {auth0().rpartition('.')[0]}.SIGNATURE_REMOVED_BY_GOOGLE"), "Cloud Run took the", id="cloud-run"
    ),
    pytest.param(head(f"Bearer {auth0(aud='https://mastra/')}"), "it has a closing slash", id="audience-slash"),
    pytest.param(head(f"Bearer {auth0(aud='https://Mastra')}"), "only capitals and small letters", id="audience-case"),
    pytest.param(head(f"Bearer {auth0(aud=['x', 'http://mastra'])}"), "only http and https differ", id="audience-http"),
    pytest.param(head(f"Bearer {auth0(iss=AUTH0.upper())}"), "only capitals and small letters", id="issuer-case"),
    pytest.param(head(f"Bearer {auth0(iss=AUTH0.replace('https', 'http'))}"), "only http and https", id="issuer-http"),
    pytest.param(
        head(f"Bearer {auth0(email='a@yourcompany.com', email_verified='true')}"),
        "email_verified is the text true, and only the boolean true counts",
        id="verified-as-text",
    ),
    pytest.param(
        head(f"Bearer {jobs(_claim_names={'groups': 's'}, permissions=['x'])}", "/grouped"),
        "more than 200",
        id="overage",
    ),
    pytest.param(head("Basic dXNlcjpwYXNz"), "Basic credentials", id="basic"),
    pytest.param(head(None, "/scoped", "GET", ("Cookie", f"__session={clerk()}")), "{cookie: __session}", id="cookie"),
    pytest.param(head(f"Bearer {auth0(kid='k9')}"), "is not among those of https://keys/jwks", id="kid"),
    pytest.param(head(f"Bearer {jobs(b'x' * 40)}"), "signed with another secret", id="secret"),
    pytest.param(head(f"Bearer {jobs(SECRET + bytes([10]))}"), "with the secret and a line end", id="line-end"),
    pytest.param(
        head(f"Bearer {auth0(roles=['Admin'], suspended=False)}", "/api/agents/a1"), "capitals count", id="spelling"
    ),
    pytest.param(head(f"Bearer {jobs(suspended=False)}", "/jobs"), "The token has no permissions", id="permissions"),
    pytest.param(head(f"Bearer {auth0()}", "/granted"), "switch on RBAC", id="auth0-permissions"),
    pytest.param(head(f"Bearer {auth0()}", "/tried"), "The token has no roles", id="observed"),
    pytest.param(head(f"Bearer {auth0()}", "/api/agents/a1"), "also what it cannot decide", id="undecided-deny"),
    pytest.param(
        head(None, "/api", "POST", ("Cookie", f"__session={clerk()}"), ("Origin", "https://evil.example")),
        "add it to `origins`",
        id="origin",
    ),
    pytest.param(head(None, "/api", "POST", ("Cookie", f"__session={clerk()}")), "no Origin came", id="no-origin"),
    pytest.param(head(None, "/ap"), "the nearest is /api", id="no-route"),
    pytest.param(
        head(f"Bearer {jobs(email='a@yourcompany.com')}", "/api", "GET", ("Upgrade", "websocket")),
        "`websocket: true` on the route /api",
        id="websocket",
    ),
]


@pytest.mark.parametrize(("request_head", "advice"), CAUSES)
def test_known_cause_is_named_with_what_to_do(request_head: RequestHead, advice: str) -> None:
    said = explained(request_head).advice
    assert any(advice in one for one in said), said


@pytest.mark.parametrize(
    ("token", "ways"),
    [
        (
            jobs(email="ann@evil.example", roles=["dev"]),
            'email at yourcompany.com (ann@evil.example); or role admin (["dev"]); or role editor (["dev"])'
            " and scope write (the token has no scopes)",
        ),
        (
            jobs(email="ann@evil.example", roles=["Admin"]),
            'role admin (["Admin"]); or email at yourcompany.com (ann@evil.example); or role editor',
        ),
        (jobs(email="ann@yourcompony.com", roles=["dev"]), "email at yourcompany.com (ann@yourcompony.com); or role"),
        (jobs(email=..., roles=["dev"]), 'role admin (["dev"]); or email at yourcompany.com (the token has no email);'),
        (jobs(email=..., roles=["editor"]), "scope write (the token has no scopes); or "),
    ],
    ids=["email-first-in-the-file", "role-in-capitals", "domain-misspelt", "no-email", "one-of-two-open"],
)  # fmt: skip
def test_every_way_in_is_named_and_the_nearest_first(token: str, ways: str) -> None:
    said = explained(head(f"Bearer {token}", "/either")).advice
    assert f"Any one of these would do, the nearest first: {ways}" in said[0], said


def test_only_way_in_is_not_told_twice() -> None:
    assert not any("Any one" in one for one in explained(head(f"Bearer {jobs(permissions=['x'])}", "/jobs")).advice)


HINTS_OF_OTHERS = re.compile(r"Auth0|Clerk|Keycloak|Entra|Google|getAccessTokenSilently", re.IGNORECASE)


@pytest.mark.parametrize("token", [name for name in TOKENS if not name.startswith(("clerk", "auth0"))])
@pytest.mark.parametrize("path", ["/jobs", "/grouped"])
def test_provider_with_a_secret_gets_no_advice_about_others(token: str, path: str) -> None:
    said = explained(head(f"Bearer {TOKENS[token]}", path)).advice
    assert not [one for one in said if HINTS_OF_OTHERS.search(one)]


def test_general_advice_is_that_of_the_providers_type() -> None:
    for reason in Reason:
        assert not HINTS_OF_OTHERS.search(general_advice(reason, {"jwt"}).replace("Clerk session's tasks", ""))
        assert general_advice(reason, {"jwt"}) in general_advice(reason)
    assert "Auth0" in general_advice(Reason.ACCESS_DENIED, {"auth0"}) and "Clerk" in general_advice(
        Reason.ACCESS_DENIED
    )
    assert "Clerk" not in general_advice(Reason.ACCESS_DENIED, {"auth0"})


def test_placeholder_and_cut_token_are_not_called_opaque_as_well() -> None:
    for sent in ("undefined", "null", "[object Object]", auth0()[:30], auth0().rpartition(".")[0]):
        for path in ("/jobs", "/scoped"):
            said = " ".join(explained(head(f"Bearer {sent}", path)).advice)
            assert said and "opaque" not in said, said


def test_head_on_a_route_for_get_is_told() -> None:
    said = explained(head(None, "/health", "HEAD"))
    assert said.decision == "allow"
    route = next(step for step in said.steps if step.name == "route")
    assert route.found == "GET /health; a route for GET takes HEAD as well"


def test_outage_says_what_the_key_server_said() -> None:
    said = explained(head(f"Bearer {auth0()}"), HeldKeys(is_down=True))
    assert said.status == 503
    assert (
        "The keys of https://keys/jwks cannot be had. It says: cannot connect (Connection refused)." in said.advice[0]
    )


def test_key_is_told_with_its_age() -> None:
    key = next(step for step in explained(head(f"Bearer {auth0()}")).steps if step.name == "key")
    assert key.found == "kid k1, fetched 42 s ago (fresh), its keys are k1"


def test_every_condition_is_told_with_the_value_it_saw() -> None:
    token = jobs(agents=["a2"], suspended=False, email="ann@evil.example", roles=["dev"])
    rules = next(step for step in explained(head(f"Bearer {token}", "/api/agents/a1")).steps if step.name == "rules")
    seen = {}
    pending = list(rules.parts)
    while pending:
        part = pending.pop()
        seen[part.name] = (part.verdict, part.found)
        pending += part.parts
    assert seen["deny deny[0]"] == ("no", "false")
    assert seen["allow allow[0]"] == ("no", 'agent = a1, claims.agents = ["a2"]')
    assert seen["allow allow[1]"] == ("no", '["dev"]')
    assert seen["company"] == ("no", "ann@evil.example")
    assert seen["not"][0] == "yes"
    assert seen["address in 10.0.0.0/8"] == ("no", "192.0.2.1")


def test_identity_is_told_as_the_upstream_gets_it() -> None:
    explanation = explained(head(f"Bearer {jobs(email='ann@yourcompany.com', plan='gold')}"))
    identity = explanation.steps[-1]
    assert [(p.name, p.found) for p in identity.parts[1:]] == [
        ("X-Auth-Subject", "user-1"),
        ("X-Auth-Plan", "gold"),
    ]
    assert explanation.outcome == "passes to mastra (http://localhost:4111) as GET /api/agents"


def test_claim_that_cannot_become_a_header_is_told() -> None:
    explanation = explained(head(f"Bearer {TOKENS['clerk-header-injection']}"))
    assert (explanation.status, explanation.code) == (403, "identity_unsafe")


def test_every_claim_check_says_what_it_expects() -> None:
    assert set(EXPECTED) == set(CLAIM_CHECKS)


def test_nothing_steers_a_terminal() -> None:
    assert "\x1b" not in shown("\x1b[31mred") and "\u202e" not in shown("\u202eabc")
    assert len(shown("x" * 5000)) == 300


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(42, "in 42 s"), (-59, "59 s ago"), (-180, "3 min ago"), (7300, "in 2 h"), (-400000, "5 days ago")],
)
def test_span_is_told_in_the_unit_a_person_would_choose(seconds: float, expected: str) -> None:
    assert span(seconds) == expected


def test_moment_beyond_the_calendar_is_told_as_it_is() -> None:
    assert moment(1e300, 0.0).startswith("1e+300")
    assert re.match(r"2027-01-15T08:00:00Z", moment(NOW, NOW))


def test_optional_token_is_told_from_none() -> None:
    provider = f"providers: {{jobs: {{type: jwt, secret: {SECRET.decode()}}}}}"
    policy = read(f"upstream: http://a\n{provider}\nroutes: {{/me: {{optional: jobs}}}}\n").policy
    for lines, decision, said in (
        ([], "allow", "a token is optional, and none came"),
        ([("authorization", f"Bearer {mint(claims_of())}")], "allow", "whoever has a token that counts passes"),
        ([("authorization", "Bearer x")], "deny", "not asked any more"),
    ):
        asked = RequestHead("GET", "/me", Headers(lines), "127.0.0.1", "http")
        found = explain(policy, HeldKeys(), asked, NOW, HeldKeys().status_of)
        assert found.decision == decision
        if decision == "allow":
            assert said in str(found.steps)


def test_a_token_in_a_header_is_told_and_never_shown_nor_are_constants() -> None:
    token = jobs()
    said = explained(head("Basic eA==", "/edge", "GET", ("X-Edge-Assertion", f"Bearer {token}")))
    steps = {step.name: step for step in said.steps}
    assert said.decision == "allow"
    assert steps["token"].found.startswith("the header x-edge-assertion, ")
    assert next((part.name, part.found) for part in steps["identity"].parts) == (
        "X-Upstream-Key",
        "a constant of the file, [hidden]",
    )
    assert token not in repr(said) and "hunter2" not in repr(said)
    public = explained(head(None, "/health"))
    assert [part.name for part in public.steps[-1].parts] == ["X-Upstream-Key"]
