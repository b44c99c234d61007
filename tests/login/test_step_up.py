"""A page that asks for a fresh login gets one, once; and a login that failed is told to a person as a page."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest

from tests.login.house import NAVIGATES, PUBLIC_URL, Answer, Browser, House, house, query_of

ROUTES = """
  /: {provider: staff, allow: authenticated, login: true}
  /fresh: {provider: staff, allow: {fresh: {within: 10m}}, login: true}
  /mfa: {provider: staff, allow: {fresh: {acr: [mfa, "x y&z=1"]}}, login: true}
  /otp: {provider: staff, allow: {fresh: {amr: [otp]}}, login: true}
  /both: {provider: staff, allow: {email: ann@example.com, fresh: {within: 5m, acr: mfa}}, login: true}
  /other: {provider: staff, allow: {email: bob@example.com, fresh: {within: 10m}}, login: true}
  /call: {provider: staff, allow: {fresh: {within: 10m}}}
"""


async def _follow(here: House, ann: Browser, path: str, at_most: int = 3) -> tuple[list[str], Answer]:
    """Open a page as a browser does, and go where it is led; returns the addresses at the issuer, and the end."""
    asked: list[str] = []
    for _ in range(at_most):
        answer = await ann.open(path)
        if answer.status != 302:
            return asked, answer
        where = answer.location
        if where.startswith(f"{here.idp.issuer}/"):
            asked.append(where)
            path = await here.authorize(where)
            at_most += 1
        else:
            path = where.removeprefix(PUBLIC_URL)
    raise AssertionError("it goes in circles")


@pytest.mark.parametrize(
    ("page", "wanted"),
    [
        pytest.param("/fresh/a?b=1", {"max_age": "600"}, id="age"),
        pytest.param("/mfa", {"acr_values": "mfa x y&z=1"}, id="class"),
        pytest.param("/both", {"max_age": "300", "acr_values": "mfa"}, id="both"),
    ],
)
async def test_page_that_asks_for_a_fresh_login_gets_one(page: str, wanted: dict[str, str]) -> None:
    async with house(routes=ROUTES) as here:
        here.idp.settings.logged_in_ago = 4000.0
        ann = here.browser()
        await ann.log_in()
        asked, answer = await _follow(here, ann, page, 6)
        assert (answer.status, answer.body) == (200, b"upstream")
        (where,) = asked
        assert {name: value for name, value in query_of(where).items() if name in ("max_age", "acr_values")} == wanted
        assert str(here.arrived[-1].rel_url) == page
        assert (await ann.open(page)).status == 200, "and once is enough"


async def test_who_is_not_logged_in_at_all_gets_there_too() -> None:
    async with house(routes=ROUTES) as here:
        here.idp.settings.logged_in_ago = 4000.0
        asked, answer = await _follow(here, here.browser(), "/fresh", 8)
        assert answer.status == 200
        assert ["max_age" in query_of(where) for where in asked] == [False, True]


@pytest.mark.parametrize(
    ("page", "settings"),
    [
        pytest.param("/fresh", {"logs_in_anew": False}, id="issuer-ignores-max-age"),
        pytest.param("/fresh", {"logs_in_anew": False, "logged_in_ago": None}, id="issuer-says-no-time"),
        pytest.param("/mfa", {"classes": ()}, id="issuer-knows-no-such-class"),
        pytest.param("/both", {"classes": ()}, id="one-of-two"),
        pytest.param("/otp", {}, id="method-that-cannot-be-asked-for"),
    ],
)
async def test_issuer_that_does_not_do_it_is_asked_once(page: str, settings: dict[str, object]) -> None:
    async with house(routes=ROUTES) as here:
        here.idp.settings.logged_in_ago = 4000.0
        for name, value in settings.items():
            setattr(here.idp.settings, name, value)
        ann = here.browser()
        await ann.log_in()
        before = dict(ann.cookies)
        asked, answer = await _follow(here, ann, page, 6)
        assert (answer.status, len(asked)) == (401, 1)
        assert b"You are not logged in" in answer.body and b"login_refused" in answer.body
        assert f"redirect_uri={page}".encode() in answer.body, "it leads back to the page"
        assert ann.cookies["gateway"] == before["gateway"], "the session that there was goes on"
        assert (await ann.open("/page")).status == 200


@pytest.mark.parametrize("path", ["/other", "/call"])
async def test_who_may_not_pass_is_not_sent_to_log_in(path: str) -> None:
    async with house(routes=ROUTES) as here:
        here.idp.settings.logged_in_ago = 4000.0
        ann = here.browser()
        await ann.log_in()
        answer = await ann.open(path)
        assert (answer.status, answer.code) == ((403, "access_denied") if path == "/other" else (401, "login_too_old"))


async def test_script_gets_the_challenge_and_may_begin_such_a_login_itself() -> None:
    async with house(routes=ROUTES) as here:
        here.idp.settings.logged_in_ago = 4000.0
        ann = here.browser()
        await ann.log_in()
        refused = await ann.ask("/fresh", Sec_Fetch_Mode="cors", Accept="text/html")
        assert (refused.status, refused.code) == (401, "login_too_old")
        assert 'max_age="600"' in refused.headers["WWW-Authenticate"]
        begun = await ann.ask("/api/auth/sso/login?redirect_uri=/fresh&max_age=600&acr_values=mfa%20hwk")
        asked = query_of(begun.json["url"])
        assert (asked["max_age"], asked["acr_values"]) == ("600", "mfa hwk")


@pytest.mark.parametrize(
    "query",
    [
        "max_age=",
        "max_age=-1",
        "max_age=1.5",
        "max_age=1e3",
        "max_age=ten",
        "max_age=%EF%BC%91",
        "max_age=9999999999",
        "max_age=1&max_age=2",
        "acr_values=",
        "acr_values=%20a",
        "acr_values=a%20%20b",
        "acr_values=a%0d%0ab",
        "acr_values=%22",
        "acr_values=%C3%A9",
        "acr_values=" + "a" * 513,
    ],
)
async def test_what_no_issuer_reads_begins_no_login(query: str) -> None:
    async with house() as here:
        answer = await here.browser().ask(f"/api/auth/sso/login?{query}")
        assert (answer.status, answer.code, answer.set_cookies) == (400, "login_invalid", {})


async def test_nothing_else_of_the_query_goes_to_the_issuer() -> None:
    async with house() as here:
        query = "prompt=none&scope=all&login_hint=x&response_mode=form_post&redirect_uri=/a&client_id=evil"
        asked = query_of((await here.browser().ask(f"/api/auth/sso/login?{query}")).json["url"])
        assert not {"prompt", "login_hint", "response_mode"} & asked.keys()
        assert asked["client_id"] == "gateway" and asked["redirect_uri"].startswith(PUBLIC_URL)


# --- the page of a login that failed ---


def _page(answer: Answer) -> str:
    text = answer.body.decode()
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["X-Request-Id"] in text, "what to tell who can help"
    assert "<script" not in text and re.findall(r'(?:src|href)="([^"]*)"', text)
    return text


@pytest.mark.parametrize(
    ("settings", "status", "code"),
    [
        ({"error": "access_denied"}, 401, "login_refused"),
        ({"error": "<script>alert(1)</script>"}, 401, "login_refused"),
        ({"token_error": "invalid_grant"}, 400, "login_invalid"),
        ({"is_down": True}, 503, "login_unavailable"),
        ({"nonce": "other"}, 400, "login_invalid"),
        ({"claims": {"aud": "other"}}, 401, "audience_mismatch"),
        ({"padding": 16_000}, 400, "login_invalid"),
    ],
)
async def test_login_that_failed_is_a_page(settings: dict[str, object], status: int, code: str) -> None:
    async with house() as here:
        ann = here.browser()
        for name in ("error", "nonce", "claims", "token_error", "padding"):
            if name in settings:
                setattr(here.idp.settings, name, settings[name])
        back = await ann.begin("/page?a=%22%3E%3Cb%3E")
        here.idp.settings.is_down = bool(settings.get("is_down"))
        answer = await ann.open(back)
        text = _page(answer)
        assert answer.status == status and code in text
        assert "script>" not in text and "<b>" not in text
        (link,) = re.findall(r'href="([^"]*)"', text)
        assert link.startswith(f"{PUBLIC_URL}/api/auth/sso/login?redirect_uri=/page%3Fa%3D")
        assert ("Retry-After" in answer.headers) == (status == 503)
        here.idp.settings.__init__()  # type: ignore[misc]
        begun = await ann.open(link.replace("&amp;", "&").removeprefix(PUBLIC_URL))
        assert urlsplit(begun.location).path == "/authorize", "the way out works"


async def test_script_gets_json_as_ever() -> None:
    async with house() as here:
        ann = here.browser()
        here.idp.settings.error = "access_denied"
        answer = await ann.ask(await ann.begin())
        assert (answer.status, answer.code) == (401, "login_refused")


@pytest.mark.parametrize(
    "path", ["/api/auth/sso/callback?code=x&state=y", "/api/auth/sso/callback", "/api/auth/sso/login?max_age=x"]
)
async def test_login_that_nobody_began_here_is_a_page_as_well(path: str) -> None:
    async with house() as here:
        answer = await here.browser().open(path)
        text = _page(answer)
        assert (answer.status, "login_invalid" in text) == (400, True)
        assert f'href="{PUBLIC_URL}/api/auth/sso/login?redirect_uri=/"' in text


async def test_beginning_at_an_issuer_that_is_down_is_a_page() -> None:
    async with house() as here:
        here.idp.settings.is_down = True
        text = _page(answer := await here.browser().open("/api/auth/sso/login?redirect_uri=/page"))
        assert (answer.status, "login_unavailable" in text) == (503, True)


@pytest.mark.parametrize("path", ["/page", "/ann", "/api/auth/me"])
async def test_no_other_refusal_is_a_page(path: str) -> None:
    async with house() as here:
        answer = await here.browser().ask(
            path, Authorization="Bearer x", **{k.replace("-", "_"): v for k, v in NAVIGATES.items()}
        )
        assert "html" not in answer.headers["Content-Type"]
