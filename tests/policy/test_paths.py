"""One reading of a target, or none. Most refusals are known bypasses; their sources stand beside them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.denied import Denied
from gateway.policy.paths import (
    MAX_ESCAPES,
    MAX_SEGMENTS,
    Path,
    canonical_path,
    is_under,
    path_segments,
    plain_readings,
    split_target,
)
from gateway.policy.reasons import Reason


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        pytest.param("/", "/", "", id="root"),
        pytest.param("/api", "/api", "", id="plain"),
        pytest.param("/api/", "/api/", "", id="closing-slash"),
        pytest.param("/%61pi/x", "/api/x", "", id="unreserved-decoded"),
        pytest.param("/api/%7ea%2Db", "/api/~a-b", "", id="unreserved-marks-decoded"),
        pytest.param("/caf%c3%a9", "/caf%C3%A9", "", id="hex-upper-cased"),
        pytest.param("/caf%C3%A9/%E4%B8%AD", "/caf%C3%A9/%E4%B8%AD", "", id="utf-8"),
        pytest.param("/a+b%2Bc", "/a+b%2Bc", "", id="plus-stays-encoded"),
        pytest.param("/x;v=1", "/x;v=1", "", id="parameters-on-a-name"),
        pytest.param("/a%20b", "/a%20b", "", id="space-inside"),
        pytest.param("/...", "/...", "", id="three-dots-are-a-name"),
        pytest.param("/a..b/.well-known", "/a..b/.well-known", "", id="dots-in-names"),
        pytest.param("/100%25", "/100%25", "", id="percent-sign"),
        pytest.param("/api?", "/api", "?", id="bare-question-mark"),  # Mastra's client sends those
        pytest.param("/x?a=1%2F2&b=c+d&&e=%20&f", "/x", "?a=1%2F2&b=c+d&&e=%20&f", id="query-untouched"),
        pytest.param("/x?u=http://a/b/../c%2e%2e?", "/x", "?u=http://a/b/../c%2e%2e?", id="query-like-a-path"),
        pytest.param("/x?q=[{|}^]", "/x", "?q=[{|}^]", id="query-with-raw-brackets"),
    ],
)
def test_target_has_one_reading(target: str, path: str, query: str) -> None:
    found, rest = split_target(target)
    assert (found.text, rest) == (path, query)


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("", id="empty"),
        pytest.param("api", id="no-slash"),
        pytest.param("*", id="asterisk-form"),
        pytest.param("http://gw.test/api/x", id="absolute-form"),  # Mastra serves it as /api/x
        pytest.param("gw.test:443", id="authority-form"),
        pytest.param("//api/x", id="two-slashes-first"),
        pytest.param("//", id="two-slashes"),
        pytest.param("/api//x", id="empty-segment"),
        pytest.param("/api/x//", id="empty-last-segment"),
        pytest.param("/public/../api/x", id="dot-dot"),  # CVE-2026-33494 (Oathkeeper)
        pytest.param("/./api", id="dot"),
        pytest.param("/api/..", id="dot-dot-last"),
        pytest.param("/public/%2e%2e/api/x", id="encoded-dot-dot"),
        pytest.param("/public/.%2E/api/x", id="half-encoded-dot-dot"),
        pytest.param("/public/%252e%252e/api/x", id="double-encoded-dot-dot"),
        pytest.param("/public/%25252e%25252e/api/x", id="triple-encoded-dot-dot"),
        pytest.param("/public/..;/api/x", id="dot-dot-with-parameters"),  # Tomcat's `..;/`
        pytest.param("/public/..%3bx=1/api/x", id="dot-dot-with-encoded-parameters"),
        pytest.param("/;/api/x", id="empty-but-for-parameters"),
        pytest.param("/%20/api", id="space-only"),
        pytest.param("/public/%EF%BC%8E%EF%BC%8E/api", id="dot-dot-of-full-width"),
        pytest.param("/public/%E2%80%A5/api", id="two-dot-leader"),
        pytest.param("/..%20/api", id="dot-dot-and-space"),
        pytest.param("/..%09/api", id="dot-dot-and-tab"),
        pytest.param("/..%0a/api", id="dot-dot-and-newline"),
        pytest.param("/public/..%2fapi/x", id="dot-dot-before-encoded-slash"),
        pytest.param("/a%2f%2fb", id="empty-between-encoded-slashes"),
        pytest.param("/a%2F", id="empty-after-encoded-slash"),
        pytest.param("/\\api/x", id="backslash"),  # WHATWG URL, which Node follows: `\` is `/`
        pytest.param("/public/..\\api", id="dot-dot-backslash"),
        pytest.param("/public/..%5capi/x", id="encoded-backslash"),
        pytest.param("/public%255capi/x", id="double-encoded-backslash"),
        pytest.param("/public/x#/../../api", id="fragment"),
        pytest.param("/public?x#y", id="fragment-after-query"),
        pytest.param("/public/%00/x", id="encoded-nul"),
        pytest.param("/public/%2500", id="double-encoded-nul"),
        pytest.param("/a%0d%0aX:y", id="encoded-crlf"),
        pytest.param("/a%7f", id="encoded-delete"),
        pytest.param("/public/%c0%ae%c0%ae/api", id="overlong-utf-8"),
        pytest.param("/a%ff", id="no-utf-8"),
        pytest.param("/a%ed%a0%80", id="encoded-surrogate"),
        pytest.param("/a%", id="lone-percent"),
        pytest.param("/a%4", id="half-an-escape"),
        pytest.param("/a%zz", id="no-hex"),
        pytest.param("/caf\u00e9", id="raw-non-ascii"),
        pytest.param("/a b", id="raw-space"),
        pytest.param("/a\x00b", id="raw-nul"),
        pytest.param("/a\udcffb", id="stray-byte"),
        pytest.param("/x?q=\u00e9", id="raw-non-ascii-in-query"),
        pytest.param("/" + "%25" * 3 + "2525252525252541", id="encoded-many-times"),
    ],
)
def test_target_with_two_readings_is_refused(target: str) -> None:
    with pytest.raises(Denied) as refusal:
        split_target(target)
    assert refusal.value.reason is Reason.TARGET_AMBIGUOUS


@pytest.mark.parametrize(
    ("raw", "has_encoded_slash"),
    [("/a%2Fb", True), ("/a%2fb/c", True), ("/a%252Fb", True), ("/a/b", False), ("/a%20b", False)],
)
def test_encoded_slash_is_noticed_in_any_encoding(raw: str, has_encoded_slash: bool) -> None:
    assert canonical_path(raw).has_encoded_slash is has_encoded_slash


def test_segments_of_a_path_leave_out_the_closing_slash() -> None:
    assert canonical_path("/api/agents/") == Path("/api/agents/", ("api", "agents"), True)
    assert canonical_path("/").segments == ()


def test_capture_is_decoded_once() -> None:
    path = canonical_path("/agents/a%2Fb%2541")
    assert path.decoded(1) == "a/b%41"


def test_prefix_segments() -> None:
    assert path_segments("/") == ()
    assert path_segments("/api/agents") == ("api", "agents")


@pytest.mark.parametrize(
    ("segment", "readings"),
    [
        ("API", ("api",)),
        ("api;x=1", ("api",)),
        ("api%20", ("api",)),
        ("api%2Fx", ("api", "x")),
        ("api%252Fx", ("api", "x")),
        ("a%5Cb", ("a", "b")),
        ("api..", ("api",)),
        ("api.%20", ("api",)),
        ("api%3Fx", ("api",)),  # to a server that decodes, and then parses again
        ("api%23", ("api",)),
        ("api%20;x", ("api",)),
        ("%EF%BD%81pi", ("api",)),  # a of full width
        ("api%EF%BC%8Fx", ("api", "x")),  # a slash of full width
    ],
)
def test_plain_readings_are_what_a_laxer_parser_sees(segment: str, readings: tuple[str, ...]) -> None:
    assert plain_readings(segment) == readings


@pytest.mark.parametrize(
    ("path", "prefix", "verdict"),
    [
        ("/a/admin", "/a/admin", True),
        ("/a/admin/x", "/a/admin", True),
        ("/a/admin/", "/a/admin", True),
        ("/a", "/a/admin", False),
        ("/a/administrators", "/a/admin", False),
        ("/b/admin", "/a/admin", False),
        ("/x/a/admin", "/a/admin", False),
        ("/a/Admin/x", "/a/admin", None),
        ("/A/admin", "/a/admin", None),
        ("/a/admin;x/y", "/a/admin", None),
        ("/a/admin%20/x", "/a/admin", None),
        ("/a/admin./x", "/a/admin", None),
        ("/a/admin%3Fx", "/a/admin", None),
        ("/a/admin%2Fx", "/a/admin", None),
        ("/a%2Fadmin", "/a/admin", None),
        ("/a%252Fadmin%252Fx", "/a/admin", None),
        ("/a/%2561dmin", "/a/admin", None),
        ("/a/%EF%BD%81dmin", "/a/admin", None),
        ("/a/admin", "/a/Admin", None),
        ("/anything", "/", True),
    ],
)
def test_a_spelling_that_a_laxer_server_takes_for_a_prefix_is_undecided(
    path: str, prefix: str, verdict: bool | None
) -> None:
    assert is_under(canonical_path(path).segments, path_segments(prefix)) is verdict


@pytest.mark.parametrize(
    ("path", "is_refused"),
    [
        ("/a" * MAX_SEGMENTS, False),
        ("/a" * MAX_SEGMENTS + "/", False),
        ("/a" * MAX_SEGMENTS + "/a", True),
        ("/%7E" + "/a" * MAX_SEGMENTS, True),
        ("/" + "%C3%A9" * (MAX_ESCAPES // 2), False),
        ("/" + "%C3%A9" * (MAX_ESCAPES // 2) + "%41", True),
    ],
)
def test_what_a_stranger_may_have_us_look_at_is_bounded(path: str, is_refused: bool) -> None:
    if not is_refused:
        split_target(path + "?" + "/%41" * 5000)
        return
    with pytest.raises(Denied) as refusal:
        split_target(path)
    assert refusal.value.reason is Reason.TARGET_TOO_LONG


@given(st.text(st.sampled_from("/.%25eE2fFcC\\;ab A0\t#?*\u00e9"), max_size=20).map(lambda text: "/" + text))
def test_canonical_form_is_stable_or_refused(target: str) -> None:
    """Judging what is sent on gives the same judgement: nothing is left for a second parser to find."""
    try:
        path, _ = split_target(target)
    except Denied:
        return
    assert canonical_path(path.text) == path
    assert not {"", ".", ".."} & set(path.segments)


def test_a_second_level_that_is_no_utf_8_is_still_one_reading() -> None:
    path, _ = split_target("/a/%25ff")
    assert path.text == "/a/%25ff"
    assert plain_readings("%25ff") == ("\ufffd",)


def test_only_slashes_part_the_segments_of_a_prefix() -> None:
    assert path_segments("/Xa/bX/") == ("Xa", "bX")
    assert path_segments("XX") == ("XX",)
