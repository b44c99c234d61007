"""The most specific route wins, whatever the order; what comes near a route without being it is refused."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from gateway.policy import routes
from gateway.policy.denied import Denied, MethodNotAllowed
from gateway.policy.fields import Verdict
from gateway.policy.paths import path_segments, split_target
from gateway.policy.providers import BEARER, Provider, TokenSource
from gateway.policy.reasons import Reason
from gateway.policy.routes import Capture, Policy, Route
from gateway.policy.upstreams import Fact, Identity, Upstream

PLAIN = Upstream("plain", "http://127.0.0.1:1")
KEEPS = Upstream("keeps", "http://127.0.0.1:1", keeps_encoded_slash=True)


def route(key: str, exact: bool = False, upstream: Upstream = PLAIN) -> Route:
    methods, _, prefix = key.rpartition(" ")
    segments = tuple(Capture(s[1:-1]) if s.startswith("{") else s for s in path_segments(prefix))
    return Route(key, segments, upstream, frozenset(methods.split(",")) if methods else None, public=True, exact=exact)


def matched(policy: Policy, target: str, method: str = "GET") -> str:
    return policy.match(split_target(target)[0], method).route.key


ROUTES = [
    route("/"),
    route("/api"),
    route("/api/agents/{agent}/stream"),
    route("/api/agents/list"),
    route("/api/agents/{agent}"),
    route("POST,DELETE /api/memory"),
    route("GET /api"),
    route("/health", exact=True),
]


@pytest.mark.parametrize(
    ("method", "target", "key"),
    [
        ("GET", "/", "/"),
        ("GET", "/apiary", "/"),
        ("GET", "/api", "GET /api"),
        ("POST", "/api", "/api"),
        ("POST", "/api/", "/api"),
        ("POST", "/api/x/y", "/api"),
        ("GET", "/api/agents/list", "/api/agents/list"),
        ("GET", "/api/agents/list/x", "/api/agents/list"),
        ("GET", "/api/agents/list/stream", "/api/agents/{agent}/stream"),
        ("GET", "/api/agents/weatherAgent", "/api/agents/{agent}"),
        ("GET", "/api/agents/weatherAgent/stream/x", "/api/agents/{agent}/stream"),
        ("GET", "/api/agents", "GET /api"),
        ("POST", "/api/memory/threads", "POST,DELETE /api/memory"),
        ("PUT", "/api/memory/threads", "/api"),
        ("GET", "/health", "/health"),
        ("GET", "/health/x", "/"),
        ("GET", "/%61pi/x", "GET /api"),
    ],
)
def test_most_specific_route_wins(method: str, target: str, key: str) -> None:
    assert matched(Policy(ROUTES), target, method) == key


def test_order_in_the_file_does_not_matter() -> None:
    for order in itertools.permutations(ROUTES[:5]):
        assert matched(Policy(order), "/api/agents/list/stream") == "/api/agents/{agent}/stream"
        assert matched(Policy(order), "/api/agents/x") == "/api/agents/{agent}"


def test_captures_stand_for_their_segment() -> None:
    policy = Policy([route("/api/agents/{agent}/tools/{tool}", upstream=KEEPS)])
    match = policy.match(split_target("/api/agents/a%2Fb/tools/caf%C3%A9/run")[0], "GET")
    assert match.captures == {"agent": "a/b", "tool": "caf\u00e9"}


def test_nothing_matches() -> None:
    with pytest.raises(Denied) as refusal:
        matched(Policy([route("/api")]), "/apiary/x")
    assert refusal.value.reason is Reason.NO_ROUTE


def test_no_method_matches() -> None:
    policy = Policy([route("GET,HEAD /api"), route("POST /api/x")])
    with pytest.raises(MethodNotAllowed) as refusal:
        matched(policy, "/api/x/y", "DELETE")
    assert refusal.value.reason is Reason.METHOD_NOT_ALLOWED
    assert refusal.value.allowed == ("GET", "HEAD", "POST")


HEADS = [
    route("GET /api"),
    route("HEAD /api"),
    route("/api/x"),
    route("GET /api/x"),
    route("GET /api/y", exact=True),
    route("HEAD /api/y"),
    route("POST /other"),
    route("GET /other/z"),
]


@pytest.mark.parametrize(
    ("target", "key"),
    [
        ("/api", "HEAD /api"),  # by its own name before by GET
        ("/api/z", "HEAD /api"),
        ("/api/x", "GET /api/x"),  # named methods before any: GET names HEAD, too
        ("/api/y", "GET /api/y"),  # exact before prefix
        ("/api/y/z", "HEAD /api/y"),
        ("/other/z", "GET /other/z"),
    ],
)
def test_head_goes_where_get_goes_unless_a_route_names_it(target: str, key: str) -> None:
    for order in itertools.permutations(HEADS[:4]):
        policy = Policy([*order, *HEADS[4:]])
        assert matched(policy, target, "HEAD") == key
        assert policy.find(target, "HEAD")[2].route.key == key


def test_head_on_a_guarded_route_for_get_meets_its_guard_and_no_catch_all_behind_it() -> None:
    assert matched(Policy([route("/"), route("GET /api")]), "/api/x", "HEAD") == "GET /api"


def test_route_for_head_alone_takes_nothing_else() -> None:
    with pytest.raises(MethodNotAllowed) as refusal:
        matched(Policy([route("HEAD /api")]), "/api", "GET")
    assert refusal.value.allowed == ("HEAD",)


def test_allow_lists_head_where_get_is() -> None:
    with pytest.raises(MethodNotAllowed) as refusal:
        matched(Policy([route("GET,POST /api")]), "/api", "PUT")
    assert refusal.value.allowed == ("GET", "HEAD", "POST")
    assert str(refusal.value.detail) == "the path takes GET, HEAD, POST"


def test_root_may_be_exact() -> None:
    policy = Policy([route("/", exact=True)])
    assert matched(policy, "/") == "/"
    with pytest.raises(Denied):
        matched(policy, "/x")


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("/API/x", id="case"),  # a case-insensitive server
        pytest.param("/api;x=1/agents", id="parameters"),  # a servlet container
        pytest.param("/api%3Bx/agents", id="encoded-parameters"),
        pytest.param("/api%20/x", id="trailing-space"),
        pytest.param("/api%2Fx", id="encoded-slash"),
        pytest.param("/%2561pi/x", id="double-encoded"),
        pytest.param("/api/Agents%252Flist", id="deeper"),
        pytest.param("/api/agents/weather/Stream", id="below-a-capture"),
    ],
)
@pytest.mark.parametrize("upstream", [PLAIN, KEEPS], ids=["refuse", "keep"])
def test_segment_spelt_almost_like_a_routes_is_refused(target: str, upstream: Upstream) -> None:
    # A public catch-all must not let through what the server behind could take for a guarded path.
    routes = [route(key, upstream=upstream) for key in ("/", "/api", "/api/agents", "/api/agents/{agent}/stream")]
    with pytest.raises(Denied) as refusal:
        matched(Policy(routes), target)
    assert refusal.value.reason is Reason.TARGET_AMBIGUOUS


def test_encoded_slash_passes_only_where_the_upstream_keeps_it() -> None:
    assert matched(Policy([route("/api/agents", upstream=KEEPS)]), "/api/agents/a%2Fb") == "/api/agents"
    with pytest.raises(Denied) as refusal:
        matched(Policy([route("/api/agents")]), "/api/agents/a%2Fb")
    assert refusal.value.reason is Reason.TARGET_AMBIGUOUS


def test_exact_route_takes_its_own_path_and_leaves_what_is_below() -> None:
    for order in itertools.permutations([route("/a", exact=True), route("GET /a"), route("/")]):
        policy = Policy(list(order))
        assert matched(policy, "/a") == "/a"
        assert matched(policy, "/a/b") == "GET /a"
        assert matched(policy, "/a/b", "POST") == "/"


@pytest.mark.parametrize("target", ["/admin/", "/admin/?x=1", "/%61dmin/"])
@pytest.mark.parametrize("others", [[], [route("/")], [route("/"), route("POST /admin")]])
def test_exact_path_with_a_closing_slash_is_a_near_miss(target: str, others: list[Route]) -> None:
    # Express and many routers serve both alike; behind a public prefix the guard would be walked round.
    with pytest.raises(Denied) as refusal:
        matched(Policy([route("/admin", exact=True), *others]), target)
    assert refusal.value.reason is Reason.TARGET_AMBIGUOUS


def test_closing_slash_is_no_near_miss_of_an_exact_route_with_other_methods_or_another_path() -> None:
    policy = Policy([route("POST /a", exact=True), route("/{x}/{y}", exact=True), route("/{x}/b"), route("/")])
    assert matched(policy, "/a/") == "/"
    assert matched(policy, "/a/b/") == "/{x}/b"
    assert matched(policy, "/a/b/c/") == "/{x}/b"


def test_second_part_of_a_kept_slash_is_no_near_miss() -> None:
    policy = Policy([route("/api"), route("/", upstream=KEEPS)])
    assert matched(policy, "/x%2Fapi") == "/"
    with pytest.raises(Denied):
        matched(policy, "/api%2Fx")


def test_second_part_of_a_kept_slash_behind_a_capture_is_a_near_miss_of_what_lies_below_it() -> None:
    policy = Policy([route("/t/{tenant}/admin", upstream=KEEPS), route("/t/{tenant}", upstream=KEEPS)])
    assert matched(policy, "/t/a%2Fb") == "/t/{tenant}"
    for target in ("/t/a%2Fadmin", "/t/a%252Fadmin", "/t/a%2FADMIN", "/t/a%2Fadmin%2Fx"):
        with pytest.raises(Denied):
            matched(policy, target)


def test_where_a_path_leads_is_remembered_by_method_and_is_bounded() -> None:
    policy = Policy(ROUTES)
    path, query, match = policy.find("/api/memory/x?a=b", "POST")
    assert (path.text, query, match.route.key) == ("/api/memory/x", "?a=b", "POST,DELETE /api/memory")
    again = policy.find("/api/memory/x?c", "POST")
    assert again[0] is path and again[1] == "?c" and again[2] is match
    assert policy.find("/api/memory/x", "PUT")[2].route.key == "/api"
    assert policy.find("/api/memory/x", "PUT")[1] == ""
    for number in range(5000):
        policy.find(f"/api/{number}", "GET")
        assert len(policy._found.known) <= routes._MAX_REMEMBERED
    for length, is_kept in ((routes._MAX_REMEMBERED_LENGTH, True), (routes._MAX_REMEMBERED_LENGTH + 1, False)):
        target = "/api/" + "x" * (length - 5)
        assert policy.find(target, "GET")[2].route.key == "GET /api"
        assert ((target, "GET") in policy._found.known) is is_kept


def test_query_is_looked_at_each_time() -> None:
    policy = Policy(ROUTES)
    policy.find("/api/x", "POST")
    for _ in range(2):
        with pytest.raises(Denied):
            policy.find("/api/x?a\x00b", "POST")


def test_every_covering_route_is_told_the_most_specific_first() -> None:
    path, _ = split_target("/api/agents/list/x")
    assert [route.key for route in Policy(ROUTES).covering(path)] == [
        "/api/agents/list", "/api/agents/{agent}", "GET /api", "/api", "/"
    ]  # fmt: skip
    assert [route.key for route in Policy(ROUTES).covering(split_target("/health")[0])] == ["/health", "/"]
    assert [route.key for route in Policy(ROUTES).covering(split_target("/health/x")[0])] == ["/"]


PROVIDERS = (
    Provider("a", "oidc", frozenset({"RS256"}), token_sources=(BEARER, TokenSource("query", "token"))),
    Provider("b", "jwt", frozenset({"HS256"}), token_sources=(TokenSource("bare"), TokenSource("cookie", "s"))),
)


def test_what_follows_from_a_routes_providers() -> None:
    guarded = Route("/a", ("a",), PLAIN, providers=PROVIDERS)
    assert guarded.provider_names == ("a", "b") and guarded.spent_parameters == ("token", "apiKey")
    assert [source.place for source in guarded.sources] == ["bearer", "query", "bare", "cookie"]
    stays = {source.place for source in guarded.sources if not guarded.withheld(source).authorization}
    assert stays == {"bearer", "bare"}
    assert guarded.withheld(None).authorization and "s" in guarded.withheld(None).cookies
    public = Route("/b", ("b",), PLAIN, public=True)
    assert public.spent_parameters == () and not public.withheld(None).authorization


def test_identity_headers_of_the_routes_are_no_clients_to_set_by_default() -> None:
    told = replace(PLAIN, identity=Identity(headers=(("X-Who", Fact("subject")),)))
    assert Policy([replace(route("/a"), upstream=told)]).header_rules.verdict_of("x.who") is Verdict.DROP
    assert Policy([route("/a")]).header_rules.verdict_of("x.who") is Verdict.KEEP
