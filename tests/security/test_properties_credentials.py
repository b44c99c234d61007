"""For all requests to a guarded route: only the verified credential goes up, and what was judged is what Node reads."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.policy.decision import Allow, decide
from gateway.policy.expressions import Facts, compile_expression
from gateway.policy.jwk import Key
from gateway.policy.key_lookup import Keys, NoKey
from gateway.policy.model import Headers, RequestHead
from gateway.policy.onward import Line
from gateway.policy.providers import KeySource
from gateway.proxy.headers import request_lines
from tests.configuring import SECRET, read
from tests.minting import NOW, OTHER_SECRET, mint
from tests.security.conftest import Report
from tests.security.node_readings import READERS, as_node_joins

PROPERTIES = settings(settings.get_profile("properties"), max_examples=300)
MODES = {"forward": "", "strip": "authorization: strip", "sign": f"authorization: sign, secret: {SECRET}-2"}
SOURCES = {
    "bearer": "bearer",
    "cookie": "{cookie: session}",
    "query": "{query: token}",
    "socket": "websocket_protocol",
    "bare": "bare",
    "header": "{header: X-Edge-Token}",
}
SETS = {**{name: [name] for name in SOURCES}, "any": ["bearer", "cookie", "query", "socket", "header"]}


def configuration() -> str:
    upstreams = "".join(f"\n  {mode}: {{url: http://h:1, identity: {{{text}}}}}" for mode, text in MODES.items())
    providers = "".join(
        f"\n  {name}: {{type: jwt, secret: {SECRET}, token_from: [{', '.join(SOURCES[one] for one in several)}]}}"
        for name, several in SETS.items()
    )
    routes = "".join(
        f"\n  /{mode}/{name}: {{provider: {name}, allow: authenticated, websocket: true, upstream: {mode}}}"
        for mode in MODES
        for name in SETS
    )
    return f"upstreams:{upstreams}\nproviders:{providers}\nroutes:{routes}\n"


POLICY = read(configuration()).policy
GOOD = mint({"sub": "good", "exp": NOW + 60}, SECRET.encode())
EVIL = mint({"sub": "evil", "exp": NOW + 60}, OTHER_SECRET)
TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class NoKeys(Keys):
    def find(self, source: KeySource, kid: str | None, algorithm: str, now: float) -> Key | NoKey:
        raise AssertionError("no route here takes tokens of a key server")


@dataclass(frozen=True)
class Sent:
    """What goes up of a request that was let in."""

    target: str
    lines: list[Line]

    def all(self, name: str) -> list[str]:
        return [value for found, value in self.lines if re.sub(r"[^a-z0-9]", "-", found.lower()) == name]


def sent(path: str, query: str, lines: list[Line]) -> tuple[Allow, Sent] | None:
    """Return what goes up, or None if the request is refused."""
    head = RequestHead("GET", path + query, Headers([("Host", "gw.test"), *lines]), "192.0.2.1", "http")
    decision = decide(POLICY, NoKeys(), head, NOW)
    if not isinstance(decision, Allow):
        return None
    assert decision.principal is not None and decision.principal.subject == "good"
    return decision, Sent(decision.target, request_lines(head, decision, POLICY.header_rules, []))


PAIRS = st.tuples(
    st.sampled_from(
        ["session"] * 4
        + [
            "mastra-token",
            "Session",
            "sessions",
            "xsession",
            "a",
            "",
            '"session"',
            "session\u00a0",
            "\u00a0session",
            "\u00e9",
        ]
    ),
    st.sampled_from(["=", "=", "=", " = ", "\t=", "= ", "==", "", " "]),
    st.sampled_from(
        [GOOD] * 4 + [EVIL, f'"{GOOD}"', f'"{GOOD}', f'{GOOD}"', "", '"', '""', "x", f"{GOOD} x", f"%20{GOOD}"]
    ),
).map("".join)
COOKIES = st.lists(
    st.tuples(st.lists(PAIRS, max_size=4), st.sampled_from([";", "; ", " ;\t", ";;"])).map(lambda p: p[1].join(p[0])),
    min_size=1,
    max_size=2,
)


def test_every_cookie_that_is_judged_is_the_one_that_node_reads(report: Report) -> None:
    let_in: Counter[bool] = Counter()

    @settings(PROPERTIES, max_examples=800)
    @given(COOKIES)
    def holds(values: list[str]) -> None:
        found = sent("/forward/cookie", "", [("Cookie", value) for value in values])
        let_in[found is not None] += 1
        if found is not None:
            text = as_node_joins(found[1].all("cookie"))
            for name, reader in READERS.items():
                assert reader(text, "session") == GOOD, (name, text)
                assert reader(text, "mastra-token") is None, (name, text)

    holds()
    assert min(let_in.values()) > 50
    report(f"{let_in.total()} Cookie headers, {let_in[True]} let in: what was judged is what four parsers of Node read")


AUTHORIZATIONS = st.tuples(
    st.sampled_from(["Authorization", "authorization", "AUTHORIZATION"]),
    st.sampled_from(
        [
            f"Bearer {GOOD}",
            f"bearer  {GOOD}",
            GOOD,
            EVIL,
            f"Bearer {EVIL}",
            "Basic evil",
            f"DPoP {EVIL}",
            "Bearer",
            "",
            "evil",
        ]
    ),
)
PROTOCOLS = st.tuples(
    st.sampled_from(["Sec-WebSocket-Protocol", "sec-websocket-protocol"]),
    st.lists(st.sampled_from(["chat", "v1.json", GOOD, EVIL, ""]), min_size=1, max_size=3).map(", ".join),
)
PLAYGROUND = st.tuples(
    st.sampled_from(["X-Playground-Access", "x_playground_access", "X.Playground-Access"]),
    st.sampled_from([EVIL, GOOD, "evil"]),
)
EDGE = st.tuples(
    st.sampled_from(["X-Edge-Token", "x-edge-token", "X_Edge_Token", "X.Edge-Token", "x-edge.token"]),
    st.sampled_from([EVIL, GOOD, f"Bearer {EVIL}", f"Bearer {GOOD}", f"{GOOD}, {EVIL}", "evil", ""]),
)
OTHERS = st.sampled_from(
    [
        ("Connection", "Upgrade"),
        ("Connection", "authorization, cookie"),
        ("Connection", "X-Edge-Token"),
        ("Upgrade", "websocket"),
        ("Accept", "*/*"),
    ]
)
LISTS = st.lists(
    st.one_of(
        AUTHORIZATIONS, COOKIES.map(lambda values: ("Cookie", values[0])), PROTOCOLS, PLAYGROUND, EDGE, OTHERS, OTHERS
    ),
    max_size=6,
)
QUERIES = st.lists(
    st.sampled_from(
        [
            f"token={GOOD}",
            f"token={EVIL}",
            "apiKey=evil",
            f"%61piKey={EVIL}",
            "apiKey[]=evil",
            "api%4bey",
            "apiKey%5B0%5d=x",
            "a=1",
            "",
            "apikey=x",
            "b[]=%20",
        ]
    ),
    max_size=3,
).map(lambda pieces: "?" + "&".join(pieces) if pieces else "")


OWN: dict[str, list[Line]] = {
    "bearer": [("Authorization", f"Bearer {GOOD}")],
    "bare": [("Authorization", GOOD)],
    "cookie": [("Cookie", f"a=1; session={GOOD}")],
    "socket": [("Upgrade", "websocket"), ("Sec-WebSocket-Protocol", f"chat, {GOOD}")],
    "header": [("X-Edge-Token", GOOD)],
    "query": [],
}
# Where another of this name beside would be a second credential, which is refused.
SECOND = {
    "bearer": ("Authorization",),
    "bare": ("Authorization",),
    "cookie": ("Cookie",),
    "socket": ("Sec-WebSocket",),
    "header": ("X-Edge-Token", "Connection"),
}


def with_own(place: str, lines: list[Line], query: str) -> tuple[list[Line], str]:
    """Return a request whose verified token stands in a place, among all that it had."""
    if place == "query":
        rest = [piece for piece in query[1:].split("&") if not piece.startswith("token")]
        return lines, "?" + "&".join([f"token={GOOD}", *rest])
    others = [line for line in lines if not line[0].title().startswith(SECOND[place])]
    return [*others[::2], *OWN[place], *others[1::2]], query


def test_no_credential_goes_up_but_the_verified_one(report: Report) -> None:
    let_in: Counter[str] = Counter()

    @settings(PROPERTIES, max_examples=1000)
    @given(st.sampled_from(sorted(MODES)), st.sampled_from(sorted(SETS)), LISTS, QUERIES, st.integers(0, 7))
    def holds(mode: str, name: str, lines: list[Line], query: str, chance: int) -> None:
        if chance:  # else whatever comes
            lines, query = with_own(SETS[name][chance % len(SETS[name])], lines, query)
        found = sent(f"/{mode}/{name}", query, lines)
        let_in["refused" if found is None else mode] += 1
        if found is None:
            return
        up = found[1]
        authorizations = up.all("authorization")
        assert len(authorizations) <= 1
        for value in authorizations:
            assert re.fullmatch(rf"(?i:bearer +)?{re.escape(GOOD)}", value), value
        cookies = [reader(as_node_joins(up.all("cookie")), "mastra-token") for reader in READERS.values()]
        if "cookie" in SETS[name]:
            read_as = [reader(as_node_joins(up.all("cookie")), "session") for reader in READERS.values()]
            assert set(read_as) in ({GOOD}, {None})
            cookies += [] if read_as[0] == GOOD and mode == "forward" and not authorizations else read_as
        assert set(cookies) == {None}
        if "socket" in SETS[name]:
            protocols = [one.strip() for line in up.all("sec-websocket-protocol") for one in line.split(",")]
            assert [one for one in protocols if TOKEN.fullmatch(one)] in ([], [GOOD])
        assert up.all("x-playground-access") == []
        edges = up.all("x-edge-token")
        assert edges in ([], [GOOD], [f"Bearer {GOOD}"])
        assert not edges or ("header" in SETS[name] and mode == "forward" and not authorizations)
        parameters = {
            key.partition("[")[0] for key, _ in parse_qsl(up.target.partition("?")[2], keep_blank_values=True)
        }
        assert "apiKey" not in parameters and ("query" not in SETS[name] or "token" not in parameters)
        if mode != "forward":
            assert authorizations == []

    holds()
    assert min(let_in[mode] for mode in MODES) > 50
    report(
        f"{let_in.total()} requests, {let_in.total() - let_in['refused']} let in: only the verified credential went up"
    )


HEADERS_SEEN = compile_expression('"x" in request.headers')
FIRST_COUNTS = frozenset({"content-type", "user-agent", "referer", "authorization", "from", "host"})
NAMES = st.sampled_from(
    [
        "X-Tenant",
        "x-tenant",
        "X_Tenant",
        "X.Tenant",
        "Content-Type",
        "content-type",
        "User-Agent",
        "X-Other",
        "Cookie",
        "Te",
        "X-Forwarded-For",
        "X-Mastra-Dev-Playground",
        "Keep-Alive",
        "Referer",
        "Authorization-X",
    ]
)
NAMED = st.lists(
    st.one_of(NAMES, st.sampled_from(["close", "keep-alive", "upgrade", "te", "", " ", "*", "authorization", "host"])),
    max_size=4,
)
CONNECTIONS = st.tuples(
    st.sampled_from(["Connection", "connection", "CONNECTION"]),
    st.tuples(NAMED, st.sampled_from([",", ", ", "\t,", ",,"])).map(lambda pair: pair[1].join(pair[0])),
)


@settings(PROPERTIES, max_examples=300)
@given(st.lists(st.one_of(st.tuples(NAMES, st.sampled_from(["a", "b", ""])), CONNECTIONS), max_size=8))
def test_expressions_never_judge_what_is_not_sent(lines: list[Line]) -> None:
    lines = [("Authorization", f"Bearer {GOOD}"), *lines]
    found = sent("/forward/bearer", "", lines)
    assert found is not None
    allow, up = found
    head = RequestHead("GET", "/forward/bearer", Headers([("Host", "gw.test"), *lines]), "192.0.2.1", "http")
    assert allow.principal is not None
    path = POLICY.find(head.target, head.method)[0]
    facts = Facts(allow.principal, head, path, {}, NOW, POLICY.header_rules, allow.withheld)
    judged = HEADERS_SEEN.values(facts).get("request.headers")
    # As Node makes one value of several lines: http.IncomingMessage, "message.headers".
    arrived: dict[str, list[str]] = {}
    for name, value in up.lines:
        arrived.setdefault(name.lower(), []).append(value)
    folded = {re.sub("[^a-z0-9]", "-", name) for name in arrived}
    has_two_readings = len(folded) < len(arrived) or any(len(arrived.get(name, ())) > 1 for name in FIRST_COUNTS)
    assert (judged is None) is has_two_readings  # then no rule holds, and none is passed by
    if judged is None:
        return
    assert judged == {name: ("; " if name == "cookie" else ", ").join(values) for name, values in arrived.items()}


@pytest.mark.parametrize("name", ["x-tenant", "X_TENANT", "x.tenant", "keep-alive , X-Tenant"])
def test_what_connection_names_is_not_judged(name: str) -> None:
    found = sent("/forward/bearer", "", [("Authorization", f"Bearer {GOOD}"), ("X-Tenant", "a"), ("Connection", name)])
    assert found is not None and found[1].all("x-tenant") == []
