"""Sessions that go on by their issuer's next word, that do not, and that end by themselves."""

from __future__ import annotations

import asyncio
import re
from urllib.parse import urlencode

import pytest

from gateway.endpoints.state import merge_states, state_of
from gateway.record.exposition import metrics_text
from gateway.server.gauges import gauges_of
from tests.login.house import PUBLIC_URL, Browser, House, house, query_of, turns
from tests.rawpeer import RawUpstream, Visit
from tests.running import config_for, upstream_at
from tests.secrecy import leaks_in

LOGOUT, REFRESH = "/api/auth/logout", "/api/auth/refresh"


async def _ann(here: House) -> Browser:
    ann = here.browser()
    assert (await ann.log_in()).status == 302
    return ann


def _refreshes(here: House) -> int:
    return sum(form["grant_type"] == "refresh_token" for form in here.idp.seen)


def _results(here: House) -> dict[str, int]:
    return {name: count for name, count in here.gateway.metrics.session_renewals.items() if count}


async def test_the_server_asks_for_the_next_word_before_the_last_has_ended() -> None:
    async with house() as here:
        ann = await _ann(here)
        here.idp.settings.claims = {"email": "anna@example.com"}
        here.clock.now += 3600 - 31
        assert not _refreshes(here) and (await ann.ask("/page")).status == 200
        assert not _refreshes(here)
        here.clock.now += 1
        answer = await ann.ask("/page")
        assert answer.status == 200
        assert "gateway" in answer.set_cookies
        assert answer.headers["Cache-Control"] == "private, no-store"
        assert here.arrived[-1].headers["X-Auth-Email"] == "anna@example.com"
        here.clock.now += 3000
        assert (await ann.ask("/page")).status == 200
        assert _results(here) == {"renewed": 1}


async def test_however_many_wait_the_issuer_is_asked_once() -> None:
    async with house() as here:
        ann = await _ann(here)
        here.clock.now += 3580
        here.idp.gate = asyncio.Event()
        waiting = [asyncio.create_task(ann.ask("/page")) for _ in range(10)]
        await here.idp.waiting.wait()
        here.idp.gate.set()
        answers = await asyncio.gather(*waiting)
        assert [answer.status for answer in answers] == [200] * 10
        assert _refreshes(here) == 1


async def test_a_former_cookie_gets_what_was_given_already() -> None:
    """The refresh token in it was used up: issuers end the whole login for a second use (RFC 9700 section 4.14.2)."""
    async with house() as here:
        ann = await _ann(here)
        former = f"gateway={ann.cookies['gateway']}"
        here.clock.now += 3580
        await ann.ask("/page")
        here.clock.now += 10
        answer = await here.browser().ask("/page", Cookie=former)
        assert answer.status == 200
        assert _refreshes(here) == 1


async def test_next_word_reaches_who_is_refused_by_a_rule() -> None:
    """Its refresh token is used up: with the former cookie alone the next process, or a later hour, logs them out."""
    async with house() as here:
        ben = here.browser()
        here.idp.settings.user, here.idp.settings.claims = "ben", {"email": "ben@example.com"}
        assert (await ben.log_in()).status == 302
        here.clock.now += 3580
        answer = await ben.ask("/ann")
        assert (answer.status, _refreshes(here)) == (403, 1)
        assert "gateway" in answer.set_cookies
        here.clock.now += 700  # longer than the process remembers what it gave
        assert (await ben.ask("/page")).status == 200
        assert _refreshes(here) == 1


async def test_next_word_reaches_who_finds_no_place_for_a_stream_either() -> None:
    """Its refresh token is used up: whoever has only the former cookie is logged out by the next process."""

    async def events(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        await visit.wait_for_client_to_leave()

    async with RawUpstream(events) as upstream, house() as here:
        ann = await _ann(here)
        text = re.sub(r"default: .url: [^,]*", f"default: {{url: {upstream.url}", here.text)
        text = text.replace("login: true,", "login: true, budget: one,")
        await here.reload(f"{text}budgets: {{one: {{per: subject, streams: 1}}}}\n")
        lines = {"Cookie": f"gateway={ann.cookies['gateway']}", "Accept": "text/event-stream"}
        async with here.client.get(f"http://127.0.0.1:{here.gateway.port}/page", headers=lines) as first:
            assert first.status == 200
            here.clock.now += 3580
            answer = await ann.ask("/page")
            assert (answer.status, _refreshes(here)) == (429, 1)
            assert "gateway" in answer.set_cookies
            assert len(answer.headers.getall("RateLimit")) == 1


@pytest.mark.parametrize(("refuses", "status"), [(False, 200), (True, 401)])
async def test_a_former_cookie_lives_no_longer_than_what_was_given_for_it(refuses: bool, status: int) -> None:
    async with house() as here:
        here.idp.settings.lifetime = 120.0  # less than what was given is remembered for
        ann = await _ann(here)
        former = f"gateway={ann.cookies['gateway']}"
        here.clock.now += 110
        assert (await ann.ask("/page")).status == 200
        here.idp.settings.refuses_refresh = refuses
        here.clock.now += 120
        assert (await here.browser().ask("/page", Cookie=former)).status == status
        assert _refreshes(here) == 2  # the second time with the token of the first: the former's is used up


async def test_a_stranger_who_guesses_codes_holds_up_nobodys_renewal() -> None:
    """CWE-770: a begun login takes any number of codes, and the issuer has to be asked about each."""
    async with house() as here:
        ann, stranger = await _ann(here), here.browser()
        sent = query_of(await stranger.begin())
        cookie = "; ".join(f"{name}={value}" for name, value in stranger.cookies.items())
        here.clock.now += 590
        here.idp.gate, before = asyncio.Event(), len(here.idp.seen)
        guesses = [
            asyncio.create_task(
                stranger.ask(f"/api/auth/sso/callback?{urlencode(sent | {'code': str(one)})}", Cookie=cookie)
            )
            for one in range(40)
        ]
        await here.idp.waiting.wait()
        renewing = asyncio.create_task(ann.ask("/api/auth/refresh", "POST", Origin=PUBLIC_URL))
        async with asyncio.timeout(5):
            while not _refreshes(here):  # noqa: ASYNC110
                await asyncio.sleep(0.01)  # others' sockets
        assert len(here.idp.seen) - before <= 5, "a few at a time of one address, and hers"
        here.idp.gate.set()
        assert (await renewing).status == 200
        assert {answer.status for answer in await asyncio.gather(*guesses)} == {400}, "each is answered in its turn"
        assert len(here.idp.seen) - before == 41


async def test_a_client_that_leaves_loses_nothing() -> None:
    async with house() as here:
        ann = await _ann(here)
        here.clock.now += 3580
        here.idp.gate = asyncio.Event()
        leaving = asyncio.create_task(ann.ask("/page"))
        await here.idp.waiting.wait()
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        here.idp.gate.set()
        assert (await ann.ask("/page")).status == 200
        assert _refreshes(here) == 1


async def test_without_a_refresh_token_a_session_ends_with_the_issuers_word() -> None:
    async with house() as here:
        here.idp.settings.gives_refresh = False
        ann = await _ann(here)
        here.clock.now += 3599
        assert (await ann.ask("/page")).status == 200
        here.clock.now += 1
        answer = await ann.ask("/page")
        assert (answer.status, answer.code) == (401, "session_expired")
        assert "gateway" not in ann.cookies


async def test_an_issuer_that_gives_no_id_token_again() -> None:
    """OpenID Connect Core 1.0 section 12.2: it need not."""
    async with house() as here:
        ann = await _ann(here)
        here.idp.settings.gives_id_token = False
        for _ in range(3):
            here.clock.now += 3580
            # Idle would be over otherwise.
            answer = await ann.ask("/page")
            assert answer.status == 200, answer.body
        assert _refreshes(here) == 3


async def test_renewals_are_counted_and_nothing_of_a_session_is_told() -> None:
    async with house() as here:
        ann = await _ann(here)
        await ann.post(REFRESH)
        here.idp.settings.is_down = True
        here.clock.now += 3599
        await ann.ask("/page")
        state = state_of(here.gateway)
        assert state["session_renewals"] == {"renewed": 1, "refused": 0, "unavailable": 1}
        assert merge_states([state, state])["session_renewals"]["renewed"] == 2
        text = metrics_text(here.gateway.metrics, gauges_of(here.gateway))
        assert b'gateway_session_renewals_total{result="unavailable"} 1.0' in text
        assert not leaks_in(str(state) + text.decode())


# --- the issuer says no ---


async def test_a_session_that_the_issuer_ends() -> None:
    async with house() as here:
        ann = await _ann(here)
        here.idp.settings.refuses_refresh = True
        here.clock.now += 3580
        answer = await ann.ask("/page")
        assert answer.status == 200  # its word has not ended
        here.clock.now += 20
        answer = await ann.ask("/page")
        assert (answer.status, answer.code) == (401, "session_expired")
        assert "gateway" not in ann.cookies
        assert _results(here) == {"refused": 2}


async def test_a_page_whose_session_the_issuer_ended_is_sent_to_log_in() -> None:
    async with house() as here:
        ann = await _ann(here)
        here.idp.settings.refuses_refresh = True
        here.clock.now += 3600 - 1e-3
        here.clock.now += 1
        answer = await ann.open("/page")
        assert answer.status == 302
        assert answer.location.startswith(f"{PUBLIC_URL}/api/auth/sso/login")
        assert "gateway" not in ann.cookies


async def test_the_next_word_is_of_somebody_else() -> None:
    async with house() as here:
        ann = await _ann(here)
        here.idp.settings.claims = {"sub": "bob"}
        here.clock.now += 3599
        await ann.ask("/page")
        here.clock.now += 10
        assert (await ann.ask("/page")).code == "session_expired"
        assert all(one.headers["X-Auth-Subject"] == "ann" for one in here.arrived)


@pytest.mark.parametrize("claims", [{"aud": "another"}, {"iss": "https://evil.example"}, {"exp": 1}])
async def test_the_next_word_does_not_count(claims: dict[str, object]) -> None:
    async with house() as here:
        ann = await _ann(here)
        here.idp.settings.claims = claims
        here.clock.now += 3600
        assert (await ann.ask("/page")).code == "session_expired"


# --- the issuer says nothing ---


@pytest.mark.parametrize("how", ["down", "client"])
async def test_while_the_issuer_is_down_sessions_live_until_its_word_ends(how: str) -> None:
    async with house() as here:
        ann = await _ann(here)
        here.idp.settings.is_down, here.idp.settings.token_error = how == "down", "invalid_client"
        here.clock.now += 3580
        for _ in range(5):
            assert (await ann.ask("/page")).status == 200
        assert _refreshes(here) == 1  # it is not asked with each request
        here.clock.now += 20
        answer = await ann.ask("/page")
        assert (answer.status, answer.code) == (503, "login_unavailable")
        assert answer.headers["Retry-After"] == "5"
        assert "gateway" in ann.cookies
        assert (await ann.open("/page")).status == 503
        here.idp.settings.is_down, here.idp.settings.token_error = False, ""
        here.clock.now += 11
        assert (await ann.ask("/page")).status == 200


# --- refresh ---


async def test_refresh_by_the_page() -> None:
    async with house() as here:
        ann = await _ann(here)
        before = ann.cookies["gateway"]
        answer = await ann.post(REFRESH)
        assert (answer.status, answer.json) == (200, {"success": True})
        assert ann.cookies["gateway"] != before
        assert _refreshes(here) == 1
        assert (await ann.post(REFRESH)).status == 200
        assert _refreshes(here) == 1, "a page that asks again and again wears out the issuer"
        here.clock.now += 700
        assert (await ann.post(REFRESH)).status == 200
        assert _refreshes(here) == 2


async def test_refresh_of_a_session_that_is_due_asks_once() -> None:
    async with house() as here:
        ann = await _ann(here)
        here.clock.now += 3599
        assert (await ann.post(REFRESH)).status == 200
        assert _refreshes(here) == 1


async def test_refresh_that_the_issuer_refuses() -> None:
    async with house() as here:
        ann = await _ann(here)
        here.idp.settings.refuses_refresh = True
        answer = await ann.post(REFRESH)
        assert (answer.status, answer.code) == (401, "session_expired")
        assert "gateway" not in ann.cookies


async def test_refresh_while_the_issuer_is_down() -> None:
    async with house() as here:
        ann = await _ann(here)
        here.idp.settings.is_down = True
        assert (await ann.post(REFRESH)).code == "login_unavailable"
        assert "gateway" in ann.cookies


async def test_refresh_without_a_session() -> None:
    async with house() as here:
        assert (await here.browser().post(REFRESH)).code == "session_expired"
        assert (await here.browser().ask(REFRESH)).status in (401, 405)


# --- logout ---


async def test_logout_ends_it_here_and_at_the_issuer() -> None:
    async with house() as here:
        ann = await _ann(here)
        answer = await ann.post(LOGOUT)
        assert answer.status == 200
        assert answer.json["success"] is True
        assert answer.json["redirectTo"].startswith(f"{here.idp.issuer}/end?")
        asked = query_of(answer.json["redirectTo"])
        assert (asked["client_id"], asked["post_logout_redirect_uri"]) == ("gateway", f"{PUBLIC_URL}/")
        assert asked["id_token_hint"]
        assert not ann.cookies
        await here.idp.has_revoked.wait()
        assert not here.idp.refresh, "a copy of the cookie would go on for ever"


async def test_logout_of_a_session_that_is_due_asks_the_issuer_nothing() -> None:
    async with house() as here:
        ann = await _ann(here)
        here.clock.now += 3601
        assert (await ann.post(LOGOUT)).status == 200
        assert not _refreshes(here)
        assert not ann.cookies


async def test_logout_while_the_issuer_is_down() -> None:
    async with house() as here:
        ann = await _ann(here)
        here.idp.settings.is_down = True
        here.clock.now += 3601
        answer = await ann.post(LOGOUT)
        assert answer.status == 200
        assert not ann.cookies
        await turns()


async def test_logout_of_nobody() -> None:
    async with house() as here:
        ann = here.browser()
        ann.cookies = {"gateway": "bad"}
        answer = await ann.post(LOGOUT)
        assert answer.status == 200
        assert not ann.cookies
        assert "id_token_hint" not in answer.json["redirectTo"]


@pytest.mark.parametrize("path", [LOGOUT, REFRESH])
@pytest.mark.parametrize("origin", ["https://evil.example", "null", ""])
async def test_a_foreign_page_ends_nothing_and_renews_nothing(path: str, origin: str) -> None:
    async with house() as here:
        ann = await _ann(here)
        answer = await ann.ask(path, "POST", **({"Origin": origin} if origin else {}))
        assert (answer.status, answer.code) == (403, "origin_refused")
        assert not answer.set_cookies
        assert not _refreshes(here)
        assert (await ann.ask("/page")).status == 200


# --- other processes, and a new configuration ---


async def test_a_reload_keeps_sessions_and_begun_logins() -> None:
    async with house() as here:
        ann = await _ann(here)
        back = await ann.begin()
        await here.reload(here.text.replace("/ann:", "/anna:"))
        assert (await ann.ask("/page")).status == 200
        assert (await ann.open(back)).status == 302


async def test_a_reload_forgets_no_session_that_was_renewed() -> None:
    """The former cookie's refresh token is used up: asked for again, issuers end the whole login."""
    async with house() as here:
        ann = await _ann(here)
        former = f"gateway={ann.cookies['gateway']}"
        here.clock.now += 3580
        await ann.ask("/page")
        await here.reload(here.text.replace("/ann:", "/anna:"))
        assert (await here.browser().ask("/page", Cookie=former)).status == 200
        assert _refreshes(here) == 1


async def test_a_mistake_at_the_desk_ends_the_request_that_waits(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def mistaken(*_: object) -> None:
        raise ZeroDivisionError

    async with house() as here:
        ann = await _ann(here)
        monkeypatch.setattr(here.gateway.desk, "renew", mistaken)
        monkeypatch.setattr(here.gateway.desk, "answer", mistaken)
        here.clock.now += 3580
        for answer in (await ann.ask("/page"), await ann.ask("/api/auth/sso/login")):
            assert (answer.status, answer.code) == (500, "internal_error")
    assert caplog.text.count("an errand failed") == 2


async def test_a_file_without_a_login_has_no_sessions() -> None:
    async with house() as here:
        ann = await _ann(here)
        without = here.text[: here.text.index("login:")] + here.text[here.text.index("routes:") :]
        await here.reload(without.replace(", login: true", ""))
        assert (await ann.ask("/page")).code == "token_missing"
        assert (await ann.ask("/api/auth/sso/login")).code == "token_missing"


async def test_another_process_opens_the_same_sessions() -> None:
    async with house() as here, house() as there:
        there.idp.issuer = here.idp.issuer
        await there.reload(here.text)
        ann = await _ann(here)
        answer = await there.browser().ask("/page", Cookie=f"gateway={ann.cookies['gateway']}")
        assert answer.status == 200


def test_a_configuration_without_a_login_has_none() -> None:
    assert config_for(upstream_at("http://upstream.test")).policy.login is None
