"""For all request targets: refused, or judged and sent as one and the same path, which nobody reads as another route.

The second reader below is written from the WHATWG URL standard and from what servers are known to do, and shares
nothing with `gateway.policy.paths`.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from yarl import URL

from gateway.policy.decision import Allow, decide
from gateway.policy.jwk import Key
from gateway.policy.key_lookup import Keys, NoKey
from gateway.policy.model import Headers, RequestHead
from gateway.policy.paths import split_target
from gateway.policy.providers import KeySource
from gateway.policy.routes import Capture, Policy, Route
from gateway.policy.rules import Authenticated
from gateway.policy.upstreams import Upstream
from tests.minting import NOW, mint
from tests.running import SHARED
from tests.security.conftest import Report

PROPERTIES = settings(settings.get_profile("properties"), max_examples=1500)
UPSTREAM = Upstream("default", "http://127.0.0.1:1")
KEEPS = replace(UPSTREAM, keeps_encoded_slash=True)


def public(*segments: str | Capture) -> Route:
    return Route(f"/{'/'.join(map(str, segments))}", segments, UPSTREAM, public=True)


def guarded(*segments: str | Capture) -> Route:
    key = f"/{'/'.join(map(str, segments))}"
    return Route(key, segments, UPSTREAM, providers=(SHARED,), allow=(Authenticated(),))


POLICIES = (
    Policy([public(), guarded("api")]),
    Policy([public(), guarded("api"), public("api", "public")]),
    Policy([replace(public(), upstream=KEEPS), replace(guarded("api"), upstream=KEEPS)]),
    Policy([public(), guarded(Capture("t"), "admin")]),
    Policy([public("x"), public("api"), guarded("api", "admin"), guarded(Capture("t"), "admin")]),
)

# For all targets

HOSTILE = (
    *("/", "/", "/", "//", "\\", ".", "..", "/..", "/../", "/..;/", "/%2e%2e;x/", "/./", "..."),
    *(";", ";x=1", "..;", ":", "@", "?", "#", "*", "+"),
    *("%", "%%", "%2", "%zz", "%u002e", "%25", "%2525", "%252525", "%2e", "%2E", "%2e%2e", "%252e", "%25252e"),
    *("%2f", "%2F", "%252f", "%25252f", "%5c", "%5C", "%255c", "%3b", "%253b", "%3f", "%23", "%3a", "%40"),
    *("%00", "%09", "%0a", "%0d", "%20", "%7f", "%2500", "%c0%ae", "%c0%af", "%e0%80%af", "%ff", "%c3%a9", "%C5%BF"),
    *("%61", "%41", "%2561", "%70", "%69", "a", "p", "i", "api", "API", "Api", "admin", "aDmin", "public", "x", "y"),
    *("\t", "\n", "\r", " ", "\x00", "\x7f", "é", "\u017f", "/", "\u2024", "\u2215", "\udcff", "http://h", "~", "_"),
)
SOUP = st.lists(st.sampled_from(HOSTILE), max_size=14).map("".join)
KNOWN = ("/api", "/api/", "/api/x", "/x/../api/y", "/api/admin", "/api/public/z", "/x/admin", "/y/admin/", "/x/y", "/")


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A path of the policies with some characters encoded, once or more, and something hostile put in."""
    text = draw(st.sampled_from(KNOWN))
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(1, len(text)))
        text = text[:place] + draw(st.sampled_from(HOSTILE)) + text[place:]
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(1, max(1, len(text) - 1)))
        levels = "%" + "25" * draw(st.integers(0, 3))
        text = (
            text[:place] + "".join(f"{levels}{ord(c) % 256:02x}" for c in text[place : place + 1]) + text[place + 1 :]
        )
    return text


# What should pass, so that the properties speak of something.
HONEST = (
    "x",
    "y",
    "api",
    "public",
    "admin",
    "a%20b",
    "%c3%a9",
    "%61pi",
    "x:y@z",
    "v1.2",
    "..a",
    "%7Ex",
    "a;b=c",
    "100%25",
)
POLITE = (
    st.lists(st.sampled_from(HONEST), max_size=4)
    .map("/".join)
    .flatmap(lambda path: st.sampled_from([f"/{path}", f"/{path}/", f"/{path}?a=/../api&b=%2e%2e;"]))
)
TARGETS = st.one_of(damaged(), POLITE, SOUP.map("/".__add__), SOUP, st.text(max_size=12).map("/".__add__))

# The second reader


def readings(target: str) -> Iterator[tuple[str, ...]]:
    """Give the segments that a server behind us may see, over every mixture of habits."""
    for path in {re.split(r"[?#]", target)[0], target.partition("?")[0]}:
        for levels in range(4):
            for habits in itertools.product((False, True), repeat=5):
                yield second_reading(path, levels, *habits)


def second_reading(
    path: str, levels: int, eager: bool, slashes: bool, params: bool, trims: bool, folds: bool
) -> tuple[str, ...]:
    """Return a path's segments, decoded `levels` times; `eager` readers resolve dot segments after each."""
    text = path
    for level in range(levels + 1):
        if level:
            text = unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")
        if slashes:
            text = text.replace("\\", "/")
        if params:
            text = re.sub(r";[^/]*", "", text)
        if trims:  # WHATWG drops these wherever they stand, others at the ends of a segment
            text = re.sub(r"[\t\r\n\0]", "", text)
            text = re.sub(r" *(/|\Z) *", r"\1", text)
        if eager or level == levels:
            text = without_dots(text)
    return tuple(text.casefold().split("/")) if folds and text else tuple(text.split("/")) if text else ()


def without_dots(path: str) -> str:
    """Return a path without empty segments and dots, and without the slash before it."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    return "/".join(kept)


def route_below(policy: Policy, segments: tuple[str, ...]) -> Route | None:
    """Return the most specific route that covers the segments, by a matcher of its own."""
    covering = [
        route
        for route in policy.routes
        if len(route.segments) <= len(segments)
        and all(isinstance(own, Capture) or own == seen for own, seen in zip(route.segments, segments, strict=False))
    ]
    return max(
        covering, key=lambda r: (len(r.segments), [not isinstance(s, Capture) for s in r.segments]), default=None
    )


class NoKeys(Keys):
    def find(self, source: KeySource, kid: str | None, algorithm: str, now: float) -> Key | NoKey:
        raise AssertionError("no route here takes tokens of a key server")


def head_of(target: str, *, with_token: bool) -> RequestHead:
    lines = [("Authorization", f"Bearer {mint({'sub': 'u', 'exp': NOW + 60})}")] if with_token else []
    return RequestHead("GET", target, Headers([("Host", "gw.test"), *lines]), "192.0.2.1", "https")


def test_every_target_is_refused_or_has_one_route_in_every_reading(report: Report) -> None:
    seen: Counter[str] = Counter()

    @PROPERTIES
    @given(TARGETS, st.sampled_from(POLICIES))
    @example("/%2561pi/x", POLICIES[0])
    @example("/y%2fadmin", POLICIES[3])
    @example("/y%252fadmin", POLICIES[3])
    @example("/x/..;/api/y", POLICIES[0])
    @example("/x/.%252e;a=b/api", POLICIES[2])
    def holds(target: str, policy: Policy) -> None:
        decision = decide(policy, NoKeys(), head_of(target, with_token=True), NOW)
        if not isinstance(decision, Allow):
            assert decision.reason.status in (400, 404)  # type: ignore[union-attr]  # no key is ever asked for
            seen["refused"] += 1
            return
        seen["public" if decision.route.public else "guarded"] += 1
        judged, query = split_target(target)
        assert decision.target == judged.text + query
        assert query == "" or target.endswith(query)
        # As `Origin.open` builds it: yarl must not touch a byte.
        assert (
            URL.build(scheme="http", authority="u", path=decision.target, encoded=True).raw_path_qs == decision.target
        )
        for reading in set(readings(decision.target)):
            assert route_below(policy, reading) is decision.route, reading

    holds()
    assert min(seen["public"], seen["guarded"]) > 50  # or nothing was tried
    report(f"{seen.total()} targets: {seen['refused']} refused, {seen['public']} public, {seen['guarded']} guarded")


@pytest.mark.slow
@PROPERTIES
@given(TARGETS, st.sampled_from([POLICIES[0], POLICIES[2]]))
def test_no_reading_of_what_a_client_sent_is_guarded_where_it_was_judged_public(target: str, policy: Policy) -> None:
    """For readers beside us, too: a log, a firewall, an upstream that is told the original target."""
    decision = decide(policy, NoKeys(), head_of(target, with_token=False), NOW)
    if isinstance(decision, Allow):
        assert {reading for reading in readings(target) if reading[:1] == ("api",)} == set()
