"""Logging in: how it begins, how it ends, and what is refused on the way (issue 17, "Bad input")."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from urllib.parse import quote

import pytest

from tests.login.house import PUBLIC_URL, House, house, query_of
from tests.login.idp import CLIENT_ID, CLIENT_SECRET

CALLBACK = "/api/auth/sso/callback"
BEGIN = "/api/auth/sso/login"


async def test_who_logs_in_is_known_on_the_next_request() -> None:
    async with house() as here:
        ann = here.browser()
        assert (await ann.ask("/ann")).code == "token_missing"
        answer = await ann.log_in("/page?a=1%26b=2")
        assert (answer.status, answer.location, answer.body) == (302, "/page?a=1&b=2", b"")
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert (await ann.ask("/ann")).status == 200
        [arrived] = here.arrived
        assert arrived.headers["X-Auth-Subject"] == "ann"


async def test_the_request_to_the_issuer_is_that_of_the_standards() -> None:
    async with house() as here:
        ann = here.browser()
        begun = await ann.ask(BEGIN)
        asked = query_of(begun.json["url"])
        assert begun.json["url"].startswith(f"{here.idp.issuer}/authorize?")
        assert asked["redirect_uri"] == f"{PUBLIC_URL}{CALLBACK}"
        assert (asked["client_id"], asked["response_type"]) == (CLIENT_ID, "code")
        assert (asked["scope"], asked["code_challenge_method"]) == ("openid email profile", "S256")
        assert min(len(asked["state"]), len(asked["nonce"])) >= 43
        await ann.open(await here.authorize(begun.json["url"]))
        [form] = here.idp.seen
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest())
        assert challenge.rstrip(b"=").decode() == asked["code_challenge"]
        pair = base64.b64decode(form["authorization"].removeprefix("Basic ")).decode()
        assert pair == f"{quote(CLIENT_ID, safe='')}:" + quote(CLIENT_SECRET, safe="").replace("%20", "+")
        assert "client_secret" not in form


async def test_two_logins_share_no_secret() -> None:
    async with house() as here:
        first, second = [query_of((await here.browser().ask(BEGIN)).json["url"]) for _ in range(2)]
        assert all(first[name] != second[name] for name in ("state", "nonce", "code_challenge"))


async def test_a_browser_that_opens_the_beginning_is_sent_on() -> None:
    async with house() as here:
        answer = await here.browser().open(f"{BEGIN}?redirect_uri=/x")
        assert answer.status == 302
        assert answer.location.startswith(f"{here.idp.issuer}/authorize?")


@pytest.mark.parametrize("page", ["http://127.0.0.1:4000/agents?a=1", "/agents?a=1"])
@pytest.mark.parametrize("told", ["Sec_Fetch_Site", "Referer"])
async def test_a_login_that_a_page_elsewhere_begins_begins_where_it_ends(page: str, told: str) -> None:
    # Studio, opened at 127.0.0.1 in place of localhost: a cookie of the one is none of the other.
    async with house() as here:
        ann = here.browser()
        begin = f"{BEGIN}?redirect_uri={quote(page)}&max_age=600"
        begun = await ann.ask(begin, Host="127.0.0.1:4000", **{told: "x"})
        assert not begun.set_cookies
        where = begun.json["url"]
        assert where == f"{PUBLIC_URL}{BEGIN}?redirect_uri=/agents%3Fa%3D1&max_age=600"
        answer = await ann.open(where.removeprefix(PUBLIC_URL))
        assert query_of(answer.location)["max_age"] == "600"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:4000"])
async def test_host_leads_nowhere(host: str) -> None:
    async with house() as here:
        for page in ("https://evil.example/x", f"http://{host}//evil.example", f"http://{host}.evil.example/x"):
            begun = await here.browser().ask(f"{BEGIN}?redirect_uri={quote(page)}", Host=host, Referer=page)
            assert begun.json["url"] == f"{PUBLIC_URL}{BEGIN}?redirect_uri=/", page
            opened = await here.browser().open(f"{BEGIN}?redirect_uri={quote(page)}")
            assert opened.location.startswith(f"{here.idp.issuer}/authorize?")


@pytest.mark.parametrize("name", ["login", "callback"])
async def test_a_head_request_uses_nothing_up(name: str) -> None:
    async with house() as here:
        ann = here.browser()
        back = await ann.begin()
        answer = await ann.ask(back if name == "callback" else BEGIN, "HEAD")
        assert (answer.status, answer.headers["Allow"]) == (405, "GET")
        assert not answer.set_cookies
        assert (await ann.open(back)).status == 302


# --- open redirects: CWE-601 ---

ELSEWHERE = [
    "https://evil.example/", "//evil.example/", "///evil.example", "/\\evil.example", "\\\\evil.example",
    "/\t/evil.example", "\t//evil.example", " //evil.example", "/\n/evil.example", "\x00//evil.example",
    "https:evil.example", "http:///evil.example", f"{PUBLIC_URL}@evil.example/", f"{PUBLIC_URL}.evil.example/",
    "http://localhost:4001/", "https://localhost:4000/", "http://localhost/", f"{PUBLIC_URL}//evil.example",
    f"{PUBLIC_URL}\\@evil.example", "http://user@localhost:4000/", "http://:@localhost:4000/", "javascript:alert(1)",
    "data:text/html,x", "evil.example", "?next=//evil.example", "/\u2215evil.example", "\uff0f\uff0fevil.example",
    "http://localhost\u3002evil.example:4000/", "http://[::1/", "", "/" + "x" * 2048,
]  # fmt: skip


@pytest.mark.parametrize("asked", ELSEWHERE)
async def test_nobody_is_sent_elsewhere_behind_the_login(asked: str) -> None:
    async with house() as here:
        answer = await here.browser().log_in(quote(asked, safe=""))
        assert answer.status == 302
        assert answer.location in ("/", "/evil.example", "/?next=//evil.example")  # pages of ours


@pytest.mark.parametrize(
    ("asked", "to"),
    [
        ("/agents/x?tab=1#top", "/agents/x?tab=1#top"),
        (f"{PUBLIC_URL}/agents", "/agents"),
        (PUBLIC_URL, "/"),
        ("HTTP://LOCALHOST:4000/a", "/a"),
        ("/%2F%2Fevil.example", "/%2F%2Fevil.example"),
        ("/%5Cevil.example", "/%5Cevil.example"),
        ("/a//b", "/a//b"),
    ],
)
async def test_one_comes_back_to_the_page_that_asked(asked: str, to: str) -> None:
    async with house() as here:
        assert (await here.browser().log_in(quote(asked, safe=""))).location == to


async def test_the_host_of_a_request_changes_nothing() -> None:
    async with house() as here:
        ann = here.browser()
        begun = await ann.ask(BEGIN, Host="evil.example", X_Forwarded_Host="evil.example")
        assert query_of(begun.json["url"])["redirect_uri"] == f"{PUBLIC_URL}{CALLBACK}"
        sent = await ann.ask("/page", Host="evil.example", Sec_Fetch_Mode="navigate")
        assert sent.location == f"{PUBLIC_URL}{BEGIN}?redirect_uri=/page"


# --- what comes back ---


async def _refused(here: House, path: str, code: str = "login_invalid", status: int = 400) -> None:
    ann = here.browser()
    await ann.begin()
    answer = await ann.open(path)
    assert (answer.status, answer.code) == (status, code)
    assert not answer.set_cookies
    assert not here.idp.seen, "the issuer was asked for a stranger's login"


@pytest.mark.parametrize("query", ["", "?code=x", "?state=&code=x", "?state=foreign&code=x", "?error=access_denied"])
async def test_a_callback_of_no_login_of_ours(query: str) -> None:
    async with house() as here:
        await _refused(here, CALLBACK + query)


async def test_a_login_ends_in_the_browser_that_began_it() -> None:
    """RFC 9700 section 4.7.1: a page that sends its visitor to the callback of its own login (login CSRF)."""
    async with house() as here:
        evil = here.browser()
        await _refused(here, await evil.begin())


async def test_a_state_that_was_changed_is_none() -> None:
    async with house() as here:
        ann = here.browser()
        back = await ann.begin()
        state = query_of(back)["state"]
        answer = await ann.open(back.replace(state, state[:-1] + ("A" if state[-1] != "A" else "B")))
        assert answer.code == "login_invalid"
        assert not here.idp.seen


@pytest.mark.parametrize("name", ["state", "code", "iss"])
async def test_a_parameter_that_stands_there_twice(name: str) -> None:
    """RFC 6749 section 3.1."""
    async with house() as here:
        ann = here.browser()
        back = await ann.begin()
        answer = await ann.open(f"{back}&{name}={quote(query_of(back)[name], safe='')}")
        assert answer.code == "login_invalid"
        assert not here.idp.seen
        assert (await ann.ask(f"{BEGIN}?redirect_uri=/a&redirect_uri=/b")).code == "login_invalid"


@pytest.mark.parametrize("iss", ["https://evil.example", ""])
async def test_an_answer_of_another_issuer(iss: str) -> None:
    """RFC 9207 section 2.4: also where it is missing, and the issuer says that it always sends it."""
    async with house() as here:
        here.idp.settings.iss = iss
        assert (await here.browser().log_in()).code == "login_invalid"
        assert not here.idp.seen


async def test_what_the_issuer_says_no_to() -> None:
    async with house() as here:
        here.idp.settings.error = "access_denied"
        answer = await here.browser().log_in()
        assert (answer.status, answer.code) == (401, "login_refused")


async def test_a_code_counts_once() -> None:
    async with house() as here:
        ann = here.browser()
        back = await ann.begin()
        before = dict(ann.cookies)
        assert (await ann.open(back)).status == 302
        assert (await ann.open(back)).code == "login_invalid"  # the browser has forgotten the login
        ann.cookies = before
        assert (await ann.open(back)).code == "login_invalid"  # one that has not: the issuer refuses


async def test_a_code_of_another_login_does_not_count() -> None:
    """A code that was stolen, put into one's own login: the verifier is not that of the code (RFC 7636)."""
    async with house() as here:
        ann, evil = here.browser(), here.browser()
        stolen, own = query_of(await ann.begin())["code"], await evil.begin()
        answer = await evil.open(own.replace(query_of(own)["code"], stolen))
        assert answer.code == "login_invalid"
        assert "gateway" not in evil.cookies


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"nonce": "another"}, "login_invalid"),
        ({"claims": {"aud": "another"}}, "audience_mismatch"),
        ({"claims": {"iss": "https://evil.example"}}, "issuer_mismatch"),
        ({"claims": {"azp": "another"}}, "authorized_party_mismatch"),
        ({"claims": {"sub": ""}}, "claim_invalid"),
        ({"claims": {"exp": None}}, "claim_invalid"),
        ({"lifetime": -60.0}, "token_expired"),
        ({"lifetime": -2.0}, "token_expired"),  # within the leeway: the session would be over as it begins
        ({"claims": {"iat": 9999999999}}, "token_not_yet_valid"),
        ({"padding": 12000}, "login_invalid"),  # larger than browsers keep
    ],
)
async def test_an_id_token_that_does_not_count(changed: dict[str, object], code: str) -> None:
    async with house() as here:
        ann = here.browser()
        for name, value in changed.items():
            setattr(here.idp.settings, name, value)
        answer = await ann.log_in()
        assert answer.code == code
        assert "gateway" not in ann.cookies


async def test_a_callback_that_comes_too_late() -> None:
    async with house() as here:
        ann = here.browser()
        back = await ann.begin()
        here.clock.now += 601
        assert (await ann.open(back)).code == "login_invalid"


async def test_an_issuer_that_is_down() -> None:
    async with house() as here:
        [source] = here.gateway.runtime.key_sources()
        await here.gateway.store.fetch(source)  # which asks for the same document
        here.idp.settings.is_down, before = True, here.idp.metadata_asked
        # Anybody can begin a login: the issuer is asked once for all, and then left alone for a while (CWE-770).
        for _ in range(2):
            answers = await asyncio.gather(*(here.browser().ask(BEGIN) for _ in range(20)))
            assert {(answer.status, answer.code) for answer in answers} == {(503, "login_unavailable")}
        asked = here.idp.metadata_asked
        here.idp.settings.is_down = False
        assert (await here.browser().ask(BEGIN)).status == 503
        here.clock.now += 5
        ann = here.browser()
        back = await ann.begin()
        here.idp.settings.is_down = True
        assert (await ann.open(back)).code == "login_unavailable"
        assert (asked - before, here.idp.metadata_asked - before) == (1, 2)


async def test_our_own_secret_is_wrong_and_nobody_is_told_to_try_again() -> None:
    async with house() as here:
        here.idp.settings.token_error = "invalid_client"
        assert (await here.browser().log_in()).code == "login_unavailable"


# --- tabs ---


async def test_two_tabs_do_not_disturb_each_other() -> None:
    async with house() as here:
        ann = here.browser()
        first, second = await ann.begin("/one"), await ann.begin("/two")
        assert (await ann.open(first)).location == "/one"
        assert (await ann.open(second)).location == "/two"
        assert not [name for name in ann.cookies if "login" in name]


async def test_logins_that_nobody_ended_do_not_pile_up() -> None:
    async with house() as here:
        ann = here.browser()
        for _ in range(20):
            back = await ann.begin()
        assert len([name for name in ann.cookies if "login" in name]) <= 5
        assert (await ann.open(back)).status == 302


# --- what is begun is no session, nor the other way round ---


async def test_a_begun_login_is_no_session() -> None:
    async with house() as here:
        ann = here.browser()
        await ann.begin()
        [(_, begun)] = ann.cookies.items()
        assert (await ann.ask("/ann", Cookie=f"gateway={begun}")).code == "session_invalid"


async def test_a_session_is_no_begun_login() -> None:
    async with house() as here:
        ann, eve = here.browser(), here.browser()
        await ann.log_in()
        back = await eve.begin()
        [name] = eve.cookies
        eve.cookies = {name: ann.cookies["gateway"]}
        assert (await eve.open(back)).code == "login_invalid"


async def test_the_cookie_of_a_begun_login_that_is_there_twice_counts_not() -> None:
    async with house() as here:
        ann = here.browser()
        back = await ann.begin()
        [(name, value)] = ann.cookies.items()
        answer = await ann.ask(back, Cookie=f"{name}={value}; {name}={value}")
        assert answer.code == "login_invalid"


async def test_cookies_are_for_this_host_and_for_no_script() -> None:
    async with house() as here:
        ann = here.browser()
        begun = await ann.ask(BEGIN)
        [line] = begun.set_cookies.values()
        assert line.endswith("; Path=/; Max-Age=600; HttpOnly; SameSite=Lax")
        answer = await ann.open(await here.authorize(begun.json["url"]))
        assert answer.set_cookies["gateway"].endswith("; Path=/; Max-Age=43200; HttpOnly; SameSite=Lax")
