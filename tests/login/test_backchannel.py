"""The issuer says that a session is over: what counts as its word, whom it ends, and who else hears of it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest

from gateway.endpoints.backchannel import EVENT, FRESH_SECONDS
from gateway.endpoints.login import desk_of
from gateway.server.gateway import Gateway
from tests.configuring import read
from tests.login.house import Browser, House, house
from tests.minting import mint, rsa_key
from tests.redisserver import RedisServer, redis_server

PATH = "/api/auth/backchannel-logout"
FORM = "application/x-www-form-urlencoded"


def logout_token(here: House, key: Any = None, headers: dict[str, Any] | None = None, **changes: Any) -> str:
    """Return a logout token for Ann's session `s-ann`; None takes a claim away."""
    now = here.clock.now
    claims = {
        "iss": here.idp.issuer,
        "aud": "gateway",
        "iat": now,
        "exp": now + 120,
        "jti": "l1",
        "sub": "ann",
        "events": {EVENT: {}},
    }
    said = {name: value for name, value in (claims | changes).items() if value is not None}
    return mint(said, key or rsa_key("idp"), "RS256", kid="idp", header=headers)


async def tell(here: House, token: str, body: str | None = None, content_type: str = FORM) -> tuple[int, Any]:
    """Send a logout token as an issuer does."""
    url = f"http://127.0.0.1:{here.gateway.port}{PATH}"
    data = urlencode({"logout_token": token}) if body is None else body
    async with here.client.post(url, data=data, headers={"Content-Type": content_type}) as response:
        return response.status, json.loads(await response.read())


async def person(here: House, user: str, sid: str | None = None) -> Browser:
    here.idp.settings.user, here.idp.settings.claims = user, {} if sid is None else {"sid": sid}
    browser = here.browser()
    assert (await browser.log_in()).status == 302
    here.idp.settings.claims = {}
    return browser


async def is_in(browser: Browser) -> bool:
    answer = await browser.ask("/x")
    assert answer.status == 200 or (answer.status, answer.code) == (401, "session_expired")
    return answer.status == 200


async def test_subject_is_logged_out_everywhere_and_nobody_else() -> None:
    async with house() as here:
        ann, other_browser, bob = await person(here, "ann"), await person(here, "ann"), await person(here, "bob")
        here.clock.now += 60
        assert await tell(here, logout_token(here)) == (200, {"success": True})
        assert [await is_in(one) for one in (ann, other_browser, bob)] == [False, False, True]
        here.clock.now += 10
        assert await is_in(await person(here, "ann")), "who logs in anew is in"
        assert here.gateway.revoking.logouts == {"ok": 1, "refused": 0, "unshared": 0}


async def test_one_session_of_a_subject_ends() -> None:
    async with house() as here:
        first, second = await person(here, "ann", "s1"), await person(here, "ann", "s2")
        here.clock.now += 60
        assert (await tell(here, logout_token(here, sub=None, sid="s1")))[0] == 200
        assert [await is_in(one) for one in (first, second)] == [False, True]


async def test_session_whose_id_nobody_knows_ends_with_its_subject() -> None:
    async with house() as here:
        nameless, named = await person(here, "ann"), await person(here, "ann", "s2")
        here.clock.now += 60
        assert (await tell(here, logout_token(here, sid="s1")))[0] == 200
        assert [await is_in(one) for one in (nameless, named)] == [False, True]


async def test_page_of_who_was_logged_out_leads_to_the_login() -> None:
    async with house() as here:
        ann = await person(here, "ann")
        here.clock.now += 60
        await tell(here, logout_token(here))
        answer = await ann.open("/page")
        assert answer.status == 302 and "/auth/sso/login" in answer.location
        assert not ann.cookies, "and its cookie is gone"


async def test_logout_here_ends_copies_of_the_cookie_too() -> None:
    async with house() as here:
        ann = await person(here, "ann")
        copy = here.browser()
        copy.cookies = dict(ann.cookies)
        assert await is_in(copy)
        assert (await ann.post("/api/auth/logout")).status == 200
        assert not await is_in(copy)


async def test_reload_forgets_no_logout() -> None:
    async with house() as here:
        ann = await person(here, "ann")
        here.clock.now += 60
        await tell(here, logout_token(here))
        await here.reload(here.text)
        assert not await is_in(ann)


NO_WORDS: dict[str, tuple[dict[str, Any], str]] = {
    "no-event": ({"events": None}, "token_kind_refused"),
    "event-of-another-kind": ({"events": {"http://schemas.openid.net/event/x": {}}}, "token_kind_refused"),
    "event-that-is-no-object": ({"events": {EVENT: "yes"}}, "token_kind_refused"),
    "events-in-a-list": ({"events": [EVENT]}, "token_kind_refused"),
    "nonce": ({"nonce": "n"}, "token_kind_refused"),
    "nobody": ({"sub": None}, "claim_invalid"),
    "empty-sub": ({"sub": ""}, "claim_invalid"),
    "sub-that-is-a-list": ({"sub": ["ann"]}, "claim_invalid"),
    "sid-that-is-a-number": ({"sid": 7}, "claim_invalid"),
    "no-jti": ({"jti": None}, "claim_invalid"),
    "no-iat": ({"iat": None}, "claim_invalid"),
    "audience": ({"aud": "api"}, "audience_mismatch"),
    "no-audience": ({"aud": None}, "audience_mismatch"),
    "issuer": ({"iss": "https://evil.example.test"}, "issuer_mismatch"),
    "bound": ({"cnf": {"jkt": "x"}}, "token_kind_refused"),
}


@pytest.mark.parametrize("name", NO_WORDS)
async def test_what_is_no_logout_token_ends_nothing(name: str) -> None:
    changes, why = NO_WORDS[name]
    async with house() as here:
        ann = await person(here, "ann")
        here.clock.now += 60
        status, said = await tell(here, logout_token(here, **changes))
        assert (status, said["code"]) == (400, "logout_invalid")
        assert await is_in(ann)
        assert here.gateway.recent._refusals[0].detail.startswith(f"{why}: ")  # type: ignore[union-attr]


async def test_token_of_another_key_or_kind_or_time_ends_nothing() -> None:
    async with house() as here:
        ann = await person(here, "ann")
        id_token = here.idp.id_token("ann", None, {})
        here.clock.now += 60
        tokens = [
            logout_token(here, key=rsa_key("evil")),
            logout_token(here, headers={"typ": "at+jwt"}),
            logout_token(here, iat=here.clock.now - FRESH_SECONDS - 6),
            logout_token(here, iat=here.clock.now + 60),
            logout_token(here, exp=here.clock.now - 6),
            id_token,
            "x",
            "",
        ]
        for token in tokens:
            status, said = await tell(here, token)
            assert (status, said["code"]) == (400, "logout_invalid")
        assert await is_in(ann)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("", FORM),
        ("logout_token=TOKEN&logout_token=TOKEN", FORM),
        ("logout_token=TOKEN", "application/json"),
        ("logout_token=TOKEN", "text/plain"),
        ('{"logout_token": "TOKEN"}', FORM),
        ("id_token=TOKEN", FORM),
    ],
)
async def test_token_counts_once_and_in_a_form(body: str, content_type: str) -> None:
    async with house() as here:
        ann = await person(here, "ann")
        here.clock.now += 60
        token = logout_token(here)
        status, said = await tell(here, "", body.replace("TOKEN", token), content_type)
        assert (status, said["code"]) == (400, "logout_invalid")
        assert await is_in(ann)


async def test_logout_token_counts_once_and_says_nothing_of_later_sessions() -> None:
    async with house() as here:
        await person(here, "ann")
        here.clock.now += 60
        token = logout_token(here, headers={"typ": "logout+jwt"})
        assert (await tell(here, token))[0] == 200
        here.clock.now += 10
        ann = await person(here, "ann")
        assert (await tell(here, token))[0] == 400
        assert await is_in(ann)


async def test_logout_token_is_nobodys_credential() -> None:
    async with house() as here:
        for headers in ({}, {"typ": "logout+jwt"}):
            token = logout_token(here, aud="api", headers=headers)
            answer = await here.browser().ask("/x", Authorization=f"Bearer {token}")
            assert answer.status == (401 if headers else 200), "only `typ` tells it from an access token"


async def test_body_that_comes_in_pieces_is_read_and_one_that_is_too_large_is_not() -> None:
    async with house() as here:
        ann = await person(here, "ann")
        here.clock.now += 60
        body = urlencode({"logout_token": logout_token(here)}).encode()

        async def ask(head: bytes, *pieces: bytes) -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", here.gateway.port)
            line = f"POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Type: {FORM}\r\n".encode()
            writer.write(line + head + b"\r\n")
            for piece in pieces:
                await writer.drain()
                await asyncio.sleep(0)
                writer.write(piece)
            answer = await reader.readline()
            writer.close()
            return answer

        large = b"Content-Length: 100000\r\n"
        assert b" 413 " in await ask(large, b"a" * 70_000)
        assert await is_in(ann)
        length = b"Content-Length: %d\r\n" % len(body)
        assert b" 200 " in await ask(length, body[:100], body[100:])
        assert not await is_in(ann)
        chunks = b"a\r\n" + body[:10] + b"\r\n0\r\n\r\n"
        assert b" 400 " in await ask(b"Transfer-Encoding: chunked\r\n", chunks)


async def test_only_a_post_is_a_word() -> None:
    async with house() as here:
        for method in ("GET", "PUT", "HEAD"):
            assert (await here.ask(PATH, method, {})).status in (401, 404, 405)


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@asynccontextmanager
async def two(redis: RedisServer) -> AsyncIterator[tuple[House, House]]:
    """Run two gateways that share a store, in front of one upstream and behind one issuer."""
    async with house(more=f'shared: {{url: "redis://127.0.0.1:{redis.port}/0", timeout: 1s}}') as here:
        other = Gateway(read(here.text), clock=here.clock, make_desk=desk_of)
        await other.start()
        try:
            yield here, replace(here, gateway=other)
        finally:
            await other.stop()


async def shared(here: House) -> bool:
    """Tell and hear, until the store answers."""
    for _ in range(100):
        if await here.gateway.revoking.share():
            return True
        await asyncio.sleep(0.05)
    return False


def at(browser: Browser, there: House) -> Browser:
    return Browser(there, dict(browser.cookies))


async def test_logout_is_heard_by_all_who_share_a_store_within_two_seconds(redis: RedisServer) -> None:
    async with two(redis) as (here, there):
        ann, bob = await person(here, "ann"), await person(here, "bob")
        assert await is_in(at(ann, there))
        here.clock.now += 60
        assert (await tell(here, logout_token(here)))[0] == 200
        began = time.monotonic()
        while await is_in(at(ann, there)):
            await asyncio.sleep(0.05)
            assert time.monotonic() - began < 2.0
        copy = at(bob, there)
        assert await is_in(copy)
        assert (await bob.post("/api/auth/logout")).status == 200
        while await is_in(copy):
            await asyncio.sleep(0.05)
            assert time.monotonic() - began < 10.0
        (key,) = redis.command("keys", "gateway:ended:*").splitlines()
        assert int(redis.command("zcard", key)) == 2 and 0 < int(redis.command("ttl", key)) <= 43200


async def test_logout_while_the_store_is_down_counts_here_and_is_told_later(redis: RedisServer) -> None:
    async with two(redis) as (here, there):
        ann = await person(here, "ann")
        assert await shared(here) and await shared(there)
        here.clock.now += 60
        redis.kill()
        status, said = await tell(here, logout_token(here))
        assert (status, said["code"]) == (503, "login_unavailable"), "so that the issuer says it again"
        assert not await is_in(at(ann, here)) and await is_in(at(ann, there))
        assert here.gateway.revoking.logouts["unshared"] == 1
        redis.start()
        assert await shared(here) and await shared(there)
        assert not await is_in(at(ann, there))
        assert (await tell(here, logout_token(here)))[0] == 200, "said again, it counts"


async def test_who_starts_later_hears_of_all_that_was_ended(redis: RedisServer) -> None:
    async with two(redis) as (here, _):
        ann = await person(here, "ann")
        here.clock.now += 60
        await tell(here, logout_token(here))
        here.clock.now += 600
        late = Gateway(read(here.text), clock=here.clock, make_desk=desk_of)
        await late.start()
        try:
            there = replace(here, gateway=late)
            assert await shared(there)
            assert not await is_in(at(ann, there))
        finally:
            await late.stop()
