"""Sessions at the decision port: an engine gives a browser no cookie, so they count as they came, until they end."""

from __future__ import annotations

import pytest

from tests.login.house import Answer, Browser, House, house

MORE = 'decisions: {listen: "127.0.0.1:0"}'


async def _asks(here: House, path: str, cookie: str, engine: str = "nginx", **lines: str) -> Answer:
    """Ask as an engine does about a browser's request."""
    assert here.gateway.decisions is not None
    own = {
        "X-Original-Method": "GET",
        "X-Original-URI": path,
        "X-Forwarded-For": "192.0.2.1",
        "X-Forwarded-Proto": "http",
    }
    headers = {
        **own,
        "Host": "gw.test",
        "Cookie": cookie,
        **{name.replace("_", "-"): value for name, value in lines.items()},
    }
    port = int(here.gateway.decisions.where.rpartition(":")[2])
    url = f"http://127.0.0.1:{port}/authz/{engine}"
    async with here.client.get(url, headers=headers, allow_redirects=False) as response:
        return Answer(response.status, response.headers, await response.read())


async def _ann(here: House) -> Browser:
    ann = here.browser()
    assert (await ann.log_in()).status == 302
    return ann


@pytest.mark.parametrize("path", ["/page", "/public", "/optional"])
async def test_an_engine_is_told_who_it_is_and_to_send_no_cookie_of_ours(path: str) -> None:
    async with house(more=MORE) as here:
        ann = await _ann(here)
        cookie = f"gateway={ann.cookies['gateway']}"
        answer = await _asks(here, path, f"a=1; {cookie}; gateway-login.3=x; b=2")
        assert answer.status == 200
        assert answer.headers.get("X-Auth-Subject") == (None if path == "/public" else "ann")
        assert answer.headers["Cookie"] == "a=1; b=2"
        assert "Cookie" not in (await _asks(here, path, cookie)).headers  # and so it sends none


async def test_an_engine_renews_nothing() -> None:
    async with house(more=MORE) as here:
        ann = await _ann(here)
        cookie = f"gateway={ann.cookies['gateway']}"
        here.clock.now += 3599
        answer = await _asks(here, "/page", cookie)
        assert (answer.status, answer.headers.getall("Set-Cookie", [])) == (200, [])
        here.clock.now += 1
        answer = await _asks(here, "/page", cookie, Sec_Fetch_Mode="navigate")
        assert (answer.status, answer.headers.getall("Set-Cookie", [])) == (401, [])
        assert b"session_expired" in answer.body
        assert len(here.idp.seen) == 1
        assert (await ann.ask("/page")).code == "session_expired"  # it was idle, too


@pytest.mark.parametrize("path", ["/api/auth/sso/login", "/api/auth/sso/callback?code=x&state=y"])
async def test_an_engine_never_has_the_gateways_own_answers(path: str) -> None:
    async with house(more=MORE) as here:
        answer = await _asks(here, path, "a=1")
        assert answer.status in (401, 403)
        assert answer.headers["X-Gateway-Status"] == "400"
        assert b"engine_limited" in answer.body or "engine_limited" in answer.headers.get("X-Gateway-Body", "")
