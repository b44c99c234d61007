"""`own:` at an upstream and on a route: what counts where, whose owners are told apart, and what is a mistake."""

from __future__ import annotations

import pytest

from gateway.policy.model import Principal
from gateway.policy.ownership import Ownership, owner_of
from gateway.policy.reasons import Reason
from gateway.policy.routes import Route
from tests.configuring import SECRET, mistakes, read

OTHER = SECRET[::-1]
TENANTS = "https://login.microsoftonline.com/{tid}/v2.0"


def file_of(own: str, routes: str, providers: str = "") -> str:
    return f"""
upstreams: {{mastra: {{url: "http://localhost:4111", own: {own}}}, other: {{url: "http://localhost:4112"}}}}
providers:
  people: {{type: jwt, secret: {SECRET}, issuer: https://a.example}}
{providers}
routes:
{routes}
"""


def routes_of(text: str) -> dict[str, Route]:
    return {route.key: route for route in read(text).policy.routes}


API = "  /api: {provider: people, allow: authenticated, upstream: mastra}\n"
JOBS = f"  jobs: {{type: jwt, secret: {OTHER}, issuer: https://b.example}}"


def test_it_counts_on_every_route_that_does_not_say_otherwise() -> None:
    routes = routes_of(
        file_of(
            "{by: subject, like: {/my-chat: generate}, prefix: /mastra}",
            "  /mastra: {provider: people, allow: authenticated, upstream: mastra}\n"
            "  /mastra/logs: {provider: people, allow: {role: admin}, upstream: mastra, own: false}\n"
            "  /mastra/tools: {provider: people, allow: authenticated, upstream: mastra, "
            "own: {by: claim:team, like: {'/t/{a}/x': network}}}\n"
            "  GET /mastra/agents: {public: true, upstream: mastra}\n"
            "  /other: {provider: people, allow: authenticated, upstream: other}\n",
        )
    )
    whole = Ownership("subject", "", ("mastra",), ((("my-chat",), "generate"),))
    assert routes["/mastra"].own_things == routes["GET /mastra/agents"].own_things == whole
    assert routes["/mastra/logs"].own_things is routes["/other"].own_things is None
    assert routes["/mastra/tools"].own_things == Ownership(
        "claim", "team", ("mastra",), ((("t", "*", "x"), "network"), (("my-chat",), "generate"))
    )


@pytest.mark.parametrize(
    "own, expected",
    [
        ("{by: sub}", "found 'sub', expected subject, organization, claim:NAME or nobody"),
        ("{by: 'claim:'}", "expected subject, organization, claim:NAME or nobody"),
        (
            "{like: {/chat: genrate}}",
            "found 'genrate', expected generate, network, workflow, none or close (did you mean",
        ),
        ("{like: {chat: generate}}", "found a path without a '/' in front (did you mean '/chat'?)"),
        ("{like: {/: generate}}", "found a path that is '/', which stands for no route"),
        ("{like: [/chat]}", "found a list, expected a mapping of paths, each with what it is treated as"),
        ("{prefix: api}", "expected a path such as /api/agents"),
        ("{pre: /api}", "unknown key (did you mean 'prefix'?)"),
        ("true", "found 'true', expected a mapping"),
        ("{by: nobody, like: {/chat: none}}", "found 'like' beside 'by: nobody': where nothing has an owner"),
        ("{by: nobody, apart: false}", "found 'apart' beside 'by: nobody': where nothing has an owner"),
    ],
)
def test_mistake_of_an_upstream(own: str, expected: str) -> None:
    found = mistakes(file_of(own, API))
    assert len(found) == 1 and expected in found[0], found


@pytest.mark.parametrize(
    "own, expected",
    [
        ("own: true", "found 'true', expected 'false', or what is otherwise here"),
        ("own: [x]", "found a list, expected 'false', or what is otherwise here"),
        ("own: {prefix: /x}", "which is said at the upstream"),
        ("own: {by: nobody, like: {/x: none}}", "found 'like' beside 'by: nobody'"),
    ],
)
def test_mistake_of_a_route(own: str, expected: str) -> None:
    found = mistakes(
        file_of("{}", API + f"  /api/x: {{provider: people, allow: authenticated, upstream: mastra, {own}}}\n")
    )
    assert len(found) == 1 and expected in found[0], found


def test_route_cannot_say_what_its_upstream_does_not() -> None:
    found = mistakes(
        file_of("{}", API + "  /o: {provider: people, allow: authenticated, upstream: other, own: false}\n")
    )
    assert len(found) == 1 and "the upstream 'other' has no 'own:' that says whose its things are" in found[0]


def principal(provider: str = "people", subject: str = "alice", issuer: str | None = "https://a.example") -> Principal:
    return Principal(provider, subject, issuer, {"team": "red", "n": 5}, organization="acme")


@pytest.mark.parametrize("by, owner", [("subject", "alice"), ("organization", "acme"), ("claim:team", "red")])
def test_owner_is_what_the_file_says(by: str, owner: str) -> None:
    own = routes_of(file_of(f"{{by: '{by}'}}", API))["/api"].own_things
    assert own is not None and owner_of(own, principal()) == owner
    assert owner_of(own, None) is None


@pytest.mark.parametrize("by", ["claim:n", "claim:missing"])
def test_caller_without_an_owner_has_nothing(by: str) -> None:
    own = routes_of(file_of(f"{{by: '{by}'}}", API))["/api"].own_things
    assert own is not None
    with pytest.raises(Exception) as refused:
        owner_of(own, principal())
    assert getattr(refused.value, "reason", None) is Reason.NOT_OWNER


@pytest.mark.parametrize("subject", ["", " ", " alice", "alice\n", "a\x00b", "a\u202eb", "x" * 600, "\ud800"])
def test_owner_that_a_database_could_read_as_another_is_none(subject: str) -> None:
    with pytest.raises(Exception) as refused:
        owner_of(Ownership(), principal(subject=subject))
    assert getattr(refused.value, "reason", None) is Reason.NOT_OWNER


def test_same_subject_of_two_providers_is_two_people() -> None:
    text = file_of("{}", API.replace("people", "[people, jobs]"), JOBS)
    own = routes_of(text)["/api"].own_things
    assert own is not None
    assert owner_of(own, principal()) == "people:alice"
    assert owner_of(own, principal("jobs", issuer="https://b.example")) == "jobs:alice"
    (warning,) = [one for one in read(text).warnings if "speak for owners" in one]
    assert "'people' and 'jobs' speak for owners at 'mastra'" in warning and "'people:SUBJECT'" in warning


def test_providers_of_several_routes_count_together() -> None:
    routes = routes_of(file_of("{}", API + API.replace("people", "jobs").replace("/api", "/api/agents"), JOBS))
    assert {route.own_things.by_provider for route in routes.values() if route.own_things} == {True}


def test_provider_whose_callers_see_everything_speaks_for_no_owner() -> None:
    operators = "  /api/logs: {provider: jobs, allow: authenticated, upstream: mastra, own: false}\n"
    own = routes_of(file_of("{}", API + operators, JOBS))["/api"].own_things
    assert own is not None and not own.by_provider


def test_file_may_say_that_they_are_the_same() -> None:
    text = file_of("{apart: false}", API.replace("people", "[people, jobs]"), JOBS)
    own = routes_of(text)["/api"].own_things
    assert own is not None and owner_of(own, principal()) == owner_of(own, principal("jobs")) == "alice"
    assert not [one for one in read(text).warnings if "speak for owners" in one]


def test_same_subject_of_two_issuers_of_one_provider_is_two_people() -> None:
    entra = f"  tenants: {{type: oidc, issuer: '{TENANTS}', audience: x}}"
    own = routes_of(file_of("{}", API.replace("people", "tenants"), entra))["/api"].own_things
    assert own is not None and own.by_issuer == {"tenants"}
    found = {owner_of(own, principal("tenants", issuer=TENANTS.format(tid=tid))) for tid in ("1", "2")}
    assert found == {f"tenants:{TENANTS.format(tid=tid)} alice" for tid in ("1", "2")}
    for issuer in (None, "https://a b"):
        with pytest.raises(Exception) as refused:
            owner_of(own, principal("tenants", issuer=issuer))
        assert getattr(refused.value, "reason", None) is Reason.NOT_OWNER


@pytest.mark.parametrize(
    "key, is_told",
    [("/", True), ("/my", True), ("/chat", False), ("/chat/{agent}", False), ("/flow", False), ("/api/x", False)],
)
def test_guarded_route_that_nobody_knows_is_told_once(key: str, is_told: bool) -> None:
    keys = dict.fromkeys((key, "/b"))
    more = "".join(f"  {one}: {{provider: people, allow: authenticated, upstream: mastra}}\n" for one in keys)
    warnings = read(file_of("{like: {/flow: workflow, /b: none}}", API + more)).warnings
    told = [one for one in warnings if "passes as it is" in one]
    assert len(told) == is_told and all(f"'{key}'" in one for one in told)


def test_other_door_to_the_same_server_is_told() -> None:
    text = file_of("{}", API + "  /o: {provider: people, allow: authenticated, upstream: other}\n")
    assert not [one for one in read(text).warnings if "leads to the server of" in one]
    (warning,) = [one for one in read(text.replace("4112", "4111")).warnings if "leads to the server of" in one]
    assert "/o: leads to the server of 'mastra' by 'other', which has no 'own:'" in warning
    (warning,) = read(text.replace('4112"', '4111", own: {by: nobody}')).warnings
    assert "/o: leads to the server of 'mastra' by 'other', which has nobody's 'own:'" in warning


def test_where_nothing_has_an_owner_nobody_is_told_apart() -> None:
    routes = API + "  /api/x: {provider: [people, jobs], allow: authenticated, upstream: mastra}\n"
    routes += "  /my-chat: {provider: jobs, allow: authenticated, upstream: mastra}\n"
    text = file_of("{by: nobody, prefix: /mastra}", routes, JOBS)
    assert [one for one in read(text).warnings if "routes" in one] == []
    assert {route.own_things for route in read(text).policy.routes} == {Ownership("nobody", prefix=("mastra",))}


def test_route_may_say_that_nothing_has_an_owner_there() -> None:
    routes = routes_of(
        file_of("{}", API + "  /api/x: {provider: people, allow: authenticated, upstream: mastra, own: {by: nobody}}\n")
    )
    assert routes["/api/x"].own_things == Ownership("nobody") and routes["/api"].own_things == Ownership()


NAMED = "tells one 'agentId' from another by the path, and Mastra believes a body that says 'agentId' over it"


@pytest.mark.parametrize(
    "own, routes, expected",
    [
        ("", "/api/agents/secret: {allow: {role: x}}", "/api/agents/secret: "),
        ("", "/api: {allow: authenticated}, /api/agents/secret: {allow: {role: x}}", "/api/agents/secret: "),
        ("", "/api/agents/open: {public: true}", "/api/agents/open: "),
        ("", "'/api/agents/{one}/stream': {allow: {when: one in claims.agents}}", "/api/agents/{one}/stream: "),
        ("", "/api: {allow: {path: [/api/agents/open, /api/tools]}}", "/api: "),
        ("", "/api: {allow: {mastra: 'agents:execute:open'}}", "/api: "),
        ("own: {by: nobody}", "/api/agents/secret: {allow: {role: x}}", ""),
        ("own: {by: subject}", "/api/agents/secret: {allow: {role: x}}", ""),
        ("own: {}", "/api: {allow: authenticated, own: false}, /api/agents/x: {allow: {role: x}}", "/api/agents/x: "),
        ("own: {}", "/api/logs: {allow: {role: x}, own: false}, /api/agents/secret: {allow: {role: x}}", ""),
        ("", "GET /api/agents/secret: {allow: {role: x}}", ""),
        ("", "/api/agents: {allow: {role: x}}", ""),
        ("", "'/api/agents/{one}': {allow: {when: claims.team == 'a'}}", ""),
        ("", "/api: {allow: {when: \"request.path.startsWith('/api/tools')\"}}", ""),
        ("", "/agents/secret: {allow: {role: x}}", ""),
        ("", "/api/mcp/one: {allow: {role: x}}, /api/tools/one: {allow: {role: x}}", ""),
        ("", "/api/custom/secret: {allow: {role: x}}", ""),
        ("", "/api: {allow: {mastra: agents:execute}}", ""),
        ("", "/api/memory/threads: {allow: {mastra: 'agents:read:x'}}", ""),
    ],
)  # fmt: skip
def test_names_that_a_body_walks_round_are_told_once(own: str, routes: str, expected: str) -> None:
    given = routes.replace("{allow", "{provider: people, allow")
    text = f"""
upstreams: {{mastra: {{url: "http://localhost:4111", {own}}}}}
providers: {{people: {{type: jwt, secret: {SECRET}}}}}
routes: {{{given}}}
"""
    told = [one for one in read(text).warnings if "believes a body" in one]
    assert len(told) == bool(expected) and all(f"routes.{expected}{NAMED}" in one for one in told), told
    if "own: false" in routes and told:
        assert "'own: {by: nobody}' in place of 'own: false' at '/api'" in told[0]
    elif told:
        assert ": 'own:' at the upstream 'mastra' takes that out ('by: nobody' does nothing else)" in told[0]


def test_several_of_them_are_told_in_one_line() -> None:
    text = "\n".join(f"  /api/agents/a{number}: {{provider: people, allow: authenticated}}" for number in range(3))
    (told,) = [
        one
        for one in read(file_of("{}", text.replace("people, ", "people, own: false, upstream: mastra, "))).warnings
        if "believes" in one
    ]
    assert "routes./api/agents/a0: tells one 'agentId' from another by the path (and so do 2 more)" in told
