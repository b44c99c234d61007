"""For all header lists: nobody names an identity but the gateway, and no framing of a client's goes on."""

from __future__ import annotations

import string
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.model import Config
from gateway.policy.decision import Allow, decide
from gateway.policy.fields import HeaderRules
from gateway.policy.jwk import Key
from gateway.policy.key_lookup import Keys, NoKey
from gateway.policy.model import Headers, RequestHead
from gateway.policy.onward import Line
from gateway.policy.providers import KeySource
from gateway.proxy.headers import request_lines, response_lines
from gateway.proxy.identity import identity_lines
from tests.configuring import SECRET, file_with, read
from tests.minting import NOW, mint
from tests.security.conftest import Report

PROPERTIES = settings(settings.get_profile("properties"), max_examples=500)


def config_for(url: str) -> Config:
    return read(
        file_with(
            upstream=f"""
            upstreams:
              default:
                url: {url}
                identity:
                  headers: {{X-Auth-Email: email, X-Auth-Subject: subject, X-Auth-Roles: roles}}
            """,
            providers=f"providers: {{jobs: {{type: jwt, secret: {SECRET}}}}}",
            strip="strip_headers: [Remote-User, X-User-*, x_team]",
            routes="routes: {/api: {provider: jobs, allow: authenticated}, /public: {public: true}}",
        )
    )


CONFIG = config_for("http://localhost:4111")
RULES = HeaderRules(
    CONFIG.strip_headers, [name for upstream in CONFIG.upstreams for name, _ in upstream.identity.headers]
)
TOKEN = mint({"sub": "user-1", "email": "alice@example.com", "exp": NOW + 60}, SECRET.encode())
VERIFIED = {"HTTP_X_AUTH_EMAIL": ["alice@example.com"], "HTTP_X_AUTH_SUBJECT": ["user-1"]}
PROXYS_WORD = [("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "https"), ("X-Request-Id", "0" * 32)]

# Written down again, by the contract and the RFCs: a name that leaves the gateway's own table must be missed here.
IDENTITY = ("X-Auth-Email", "X-Auth-Subject", "X-Auth-Roles", "Remote-User", "X-Team")
IDENTITY_FAMILIES = ("X-User-", "X-Clerk-Auth-")
BELIEVED = (
    *("Forwarded", "X-Real-IP", "True-Client-IP", "X-Client-IP", "X-Cluster-Client-IP", "X-Mastra-Dev-Playground"),
    *("X-Original-URL", "X-Original-URI", "X-Rewrite-URL", "X-HTTP-Method", "X-HTTP-Method-Override"),
    *("X-Method-Override", "X-Request-Id", "X-Forwarded"),
)
BELIEVED_FAMILIES = ("X-Forwarded-",)
HOP_BY_HOP = ("Connection", "Keep-Alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "Proxy", "Expect")
HOP_BY_HOP_FAMILIES = ("Proxy-",)
FRAMING = ("Content-Length", "HTTP2-Settings")
ENDS_TO_ENDS = ("Host", "Authorization", "Cookie", "Content-Type", "Accept", "X-Trace", "X-Auth", "X-Userx", "Via")


@st.composite
def spelled(draw: st.DrawFn, names: tuple[str, ...], families: tuple[str, ...] = ()) -> str:
    """One of the names, or one of a family, in any case and with any of its `-` as `_`."""
    name = draw(st.sampled_from(names + families))
    if name in families:
        name += draw(st.text(st.sampled_from(string.ascii_letters + "-_1"), max_size=8))
    bits = draw(st.integers(0, 2 ** len(name) - 1))
    other = name.swapcase().translate({ord("-"): "_", ord("_"): "-"})
    return "".join(o if bits >> place & 1 else n for place, (n, o) in enumerate(zip(name, other, strict=True)))


NAMES = st.one_of(
    spelled(IDENTITY, IDENTITY_FAMILIES),
    spelled(IDENTITY, IDENTITY_FAMILIES),
    spelled(BELIEVED, BELIEVED_FAMILIES),
    spelled(HOP_BY_HOP + FRAMING, HOP_BY_HOP_FAMILIES),
    spelled(ENDS_TO_ENDS),
    st.text(st.sampled_from(string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~"), min_size=1, max_size=70),
)
OPTIONS = st.lists(st.one_of(NAMES, st.just(""), st.just("close")), max_size=4)
CONNECTION_LINES = st.tuples(
    st.sampled_from(["Connection", "connection", "CONNECTION"]),
    st.tuples(OPTIONS, st.sampled_from([",", ", ", " ,\t"])).map(lambda pair: pair[1].join(pair[0])),
)
LINES = st.lists(
    st.one_of(st.tuples(NAMES, st.text(string.printable, max_size=6).map("evil {}".format)), CONNECTION_LINES),
    max_size=12,
)


class NoKeys(Keys):
    def find(self, source: KeySource, kid: str | None, algorithm: str, now: float) -> Key | NoKey:
        raise AssertionError("no route here takes tokens of a key server")


def as_variables(lines: list[Line]) -> dict[str, list[str]]:
    """Return headers as CGI, WSGI and PHP see them: one name for every spelling (RFC 3875 section 4.1.18)."""
    variables: dict[str, list[str]] = {}
    for name, value in lines:
        variables.setdefault(f"HTTP_{name.upper().replace('-', '_')}", []).append(value)
    return variables


def among(variable: str, names: tuple[str, ...], families: tuple[str, ...] = ()) -> bool:
    return any(variable == as_name(name) for name in names) or variable.startswith(tuple(map(as_name, families)))


def as_name(name: str) -> str:
    return f"HTTP_{name.upper().replace('-', '_')}"


def sent_up(lines: list[Line], *, guarded: bool) -> tuple[list[Line], list[Line]]:
    """Return the lines for the upstream that are the client's, and those that are ours."""
    target, known = ("/api/x", [("Authorization", f"Bearer {TOKEN}")]) if guarded else ("/public/x", [])
    own = [line for line in lines if not (guarded and line[0].lower() == "authorization")]  # two would be a 400
    head = RequestHead("POST", target, Headers([("Host", "gw.test"), *known, *own]), "192.0.2.1", "https")
    allow = decide(CONFIG.policy, NoKeys(), head, NOW)
    assert isinstance(allow, Allow), allow
    added = [*PROXYS_WORD, *identity_lines(allow.route.upstream.identity, allow.principal)]
    result = request_lines(head, allow, RULES, added)
    assert result[len(result) - len(added) :] == added
    theirs = result[: len(result) - len(added)]
    remaining = iter(head.headers.lines)
    assert all(line in remaining for line in theirs)  # unchanged, in order, none invented
    return theirs, added


def test_only_the_gateway_says_who_is_asking_whatever_the_client_sends(report: Report) -> None:
    tried: Counter[bool] = Counter()

    @PROPERTIES
    @given(LINES, st.booleans())
    def holds(lines: list[Line], guarded: bool) -> None:
        lines = [line for line in lines if line[0].lower() != "upgrade"]  # /api takes no WebSocket
        theirs, added = sent_up(lines, guarded=guarded)
        identities = {
            variable: values
            for variable, values in as_variables([*theirs, *added]).items()
            if among(variable, IDENTITY, IDENTITY_FAMILIES)
        }
        assert identities == (VERIFIED if guarded else {})
        tried.update(among(as_name(name), IDENTITY, IDENTITY_FAMILIES) for name, _ in lines)

    holds()
    assert tried[True] > 100
    report(
        f"{tried.total()} headers, {tried[True]} of them identities that the client chose: none reached the upstream"
    )


@pytest.mark.slow
@PROPERTIES
@given(LINES, st.booleans())
def test_framing_and_hop_by_hop_headers_of_the_client_never_go_up(lines: list[Line], guarded: bool) -> None:
    lines = [line for line in lines if line[0].lower() != "upgrade" or not guarded]
    theirs, _ = sent_up(lines, guarded=False)
    for variable in as_variables(theirs):
        assert not among(variable, HOP_BY_HOP + FRAMING, HOP_BY_HOP_FAMILIES), variable
        assert not among(variable, BELIEVED, BELIEVED_FAMILIES), variable


@pytest.mark.slow
@PROPERTIES
@given(LINES, st.booleans())
def test_hop_by_hop_headers_of_the_upstream_never_come_down(lines: list[Line], owns_cors: bool) -> None:
    kept = response_lines(lines, owns_cors=owns_cors)
    remaining = iter(lines)
    assert all(line in remaining for line in kept)
    for variable in as_variables(kept):
        assert not among(variable, HOP_BY_HOP, HOP_BY_HOP_FAMILIES), variable
