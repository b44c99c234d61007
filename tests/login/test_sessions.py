"""Sessions: what their cookie may be, how long they last, who may use them, and where the cookie never goes."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from gateway.policy.denied import Denied
from gateway.policy.login import principal_of_session
from gateway.policy.providers import Provider
from gateway.policy.reasons import Reason
from gateway.policy.seal import MAX_KNOWN, Seal
from gateway.policy.session import Session
from tests.login.house import NAVIGATES, PUBLIC_URL, SECRET, Browser, House, house
from tests.minting import NOW, mint, rsa_key
from tests.running import IS_FAST


async def _ann(here: House) -> Browser:
    ann = here.browser()
    assert (await ann.log_in()).status == 302
    return ann


def _changed(text: str, at: int) -> str:
    return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]


# --- the cookie ---


async def test_the_cookie_tells_nobody_anything() -> None:
    async with house() as here:
        cookie = (await _ann(here)).cookies["gateway"]
        for part in cookie.split("."):
            read = base64.urlsafe_b64decode(part + "==")
            assert b"ann" not in read
            assert here.idp.issuer.encode() not in read


async def test_a_cookie_that_was_changed_anywhere_is_none() -> None:
    async with house() as here:
        ann = await _ann(here)
        cookie = ann.cookies["gateway"]
        places = [1, len(cookie) // 3, len(cookie) // 2, len(cookie) - 3, cookie.index(".."), cookie.rindex(".")]
        for at in places:
            answer = await here.browser().ask("/ann", Cookie=f"gateway={_changed(cookie, at)}")
            assert (answer.status, answer.code) == (401, "session_invalid")
            assert "Max-Age=0" in answer.set_cookies["gateway"]
        assert not here.arrived


@pytest.mark.parametrize("cut", [1, 20, 500])
async def test_a_cookie_that_was_cut_is_none(cut: int) -> None:
    async with house() as here:
        ann = await _ann(here)
        cookie = ann.cookies["gateway"]
        for left in (cookie[:-cut], cookie[cut:]):
            assert (await ann.ask("/ann", Cookie=f"gateway={left}")).code == "session_invalid"


@pytest.mark.parametrize("value", ["x", "a.b.c", "a.b.c.d.e", "....", "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..a.b.c"])
async def test_a_cookie_of_somebody_elses_making_is_none(value: str) -> None:
    async with house() as here:
        assert (await here.browser().ask("/ann", Cookie=f"gateway={value}")).code == "session_invalid"


async def test_a_token_in_the_place_of_a_session_is_none() -> None:
    """A good token of the very issuer: it is for the place of tokens."""
    async with house() as here:
        now = here.clock()
        claims = {"iss": here.idp.issuer, "sub": "ann", "aud": ["api", "gateway"], "iat": now, "exp": now + 60}
        token = mint(claims, rsa_key("idp"), "RS256", kid="idp")
        assert (await here.browser().ask("/page", Authorization=f"Bearer {token}")).status == 200
        assert (await here.browser().ask("/page", Cookie=f"gateway={token}")).code == "session_invalid"


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"alg": "none"}, "no signature"),
        ({"alg": "dir", "enc": "A128CBC-HS256"}, "another way of sealing"),
        ({"alg": "dir", "enc": "A256GCM", "zip": "DEF"}, "a bomb"),
        (
            {"alg": "PBES2-HS256+A128KW", "enc": "A256GCM", "p2c": 2**31, "p2s": "AAAA"},
            "CVE-2023-6681: work without end",
        ),
        ({"alg": "dir", "enc": "A256GCM", "crit": ["x"], "x": 1}, "RFC 7516 section 4.1.13"),
        ({"alg": "RSA-OAEP", "enc": "A256GCM"}, "our public key there is none"),
        ([], "no object"),
    ],
)
async def test_a_header_that_is_not_ours_is_refused(header: object, reason: str) -> None:
    async with house() as here:
        *_, rest = (await _ann(here)).cookies["gateway"].partition(".")
        written = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
        assert (await here.browser().ask("/ann", Cookie=f"gateway={written}.{rest}")).code == "session_invalid"


async def test_a_cookie_that_is_there_twice_counts_not() -> None:
    async with house() as here:
        ann, bob = await _ann(here), here.browser()
        here.idp.settings.user = "bob"
        await bob.log_in()
        both = f"gateway={ann.cookies['gateway']}; gateway={bob.cookies['gateway']}"
        assert (await here.browser().ask("/page", Cookie=both)).code == "several_credentials"


@pytest.mark.parametrize(
    "change",
    [
        (SECRET, SECRET[::-1]),
        ("client_id: gateway", "client_id: another"),
        ("audience: api}", "audience: api, required_claims: [groups]}"),
    ],
    ids=["secret", "client", "required_claims"],
)
async def test_a_session_ends_with_what_it_was_sealed_for(change: tuple[str, str]) -> None:
    async with house() as here:
        ann = await _ann(here)
        await here.reload(here.text)
        assert (await ann.ask("/ann")).status == 200
        await here.reload(here.text.replace(*change))
        answer = await ann.ask("/ann")
        assert (answer.status, answer.code) == (401, "session_invalid")
        assert "gateway" not in ann.cookies


async def test_a_session_of_another_issuer_with_the_same_secret_is_none() -> None:
    async with house() as here, house() as there:
        ann = await _ann(here)
        assert (await there.browser().ask("/ann", Cookie=f"gateway={ann.cookies['gateway']}")).code == "session_invalid"


async def test_a_session_whose_claims_make_nobody_any_more() -> None:
    async with house() as here:
        ann = await _ann(here)
        await here.reload(here.text.replace("audience: api}", "audience: api, subject_claim: employee}"))
        answer = await ann.ask("/ann")
        assert (answer.status, answer.code) == (401, "session_invalid")
        assert "gateway" not in ann.cookies
        assert (await ann.log_in()).code == "claim_invalid"  # and goes in no circle


# --- in parts ---


async def test_a_large_session_stands_in_several_cookies() -> None:
    async with house() as here:
        here.idp.settings.padding = 4000
        ann = await _ann(here)
        assert sorted(ann.cookies) == ["gateway", "gateway.1", "gateway.2"]
        assert all(len(name) + len(value) < 4096 - 100 for name, value in ann.cookies.items())
        assert (await ann.ask("/ann")).status == 200
        here.idp.settings.padding = 0
        await ann.log_in()
        assert sorted(ann.cookies) == ["gateway"]  # nothing of the former is left
        assert (await ann.ask("/ann")).status == 200


@pytest.mark.parametrize("lost", ["gateway", "gateway.1", "gateway.2"])
async def test_a_part_that_is_missing(lost: str) -> None:
    async with house() as here:
        here.idp.settings.padding = 4000
        ann = await _ann(here)
        del ann.cookies[lost]
        answer = await ann.ask("/ann")
        assert answer.code == ("token_missing" if lost == "gateway" else "session_invalid")


async def test_parts_of_two_sessions_make_none() -> None:
    async with house() as here:
        here.idp.settings.padding = 4000
        ann, bob = await _ann(here), here.browser()
        here.idp.settings.user = "bob"
        await bob.log_in()
        for name in ("gateway", "gateway.1", "gateway.2"):
            mixed = here.browser()
            mixed.cookies = {**bob.cookies, name: ann.cookies[name]}
            assert (await mixed.ask("/page")).code == "session_invalid"


# --- how long ---


async def test_a_session_ends_a_while_after_it_began_however_much_it_is_used() -> None:
    async with house(", max_age: 2h, idle: 1h") as here:
        here.idp.settings.lifetime = 9e4
        ann = await _ann(here)
        for _ in range(4):
            here.clock.now += 1750
            assert (await ann.ask("/ann")).status == 200
        here.clock.now += 200
        answer = await ann.ask("/ann")
        assert (answer.status, answer.code) == (401, "session_expired")
        assert "gateway" not in ann.cookies


async def test_a_session_ends_when_nobody_uses_it() -> None:
    async with house(", max_age: 10h, idle: 20m") as here:
        here.idp.settings.lifetime = 9e4
        ann = await _ann(here)
        here.clock.now += 1199
        assert (await ann.ask("/ann")).status == 200
        here.clock.now += 1199
        assert (await ann.ask("/ann")).status == 200
        here.clock.now += 1200
        assert (await ann.ask("/ann")).code == "session_expired"


async def test_the_cookie_is_written_anew_in_time_and_not_with_each_request() -> None:
    async with house(", idle: 20m") as here:
        ann = await _ann(here)
        here.clock.now += 299
        assert not (await ann.ask("/ann")).set_cookies
        here.clock.now += 1
        answer = await ann.ask("/ann")
        assert "Max-Age=42900;" in answer.set_cookies["gateway"]  # what is left of 12 hours
        assert not (await ann.ask("/ann")).set_cookies


async def test_a_response_with_a_cookie_is_kept_by_no_cache() -> None:
    """RFC 9111 section 3, RFC 9213: one person's cookie would be everybody's."""
    async with house() as here:
        ann = await _ann(here)
        here.answers_with |= {
            "Cache-Control": "public, max-age=600", "CDN-Cache-Control": "max-age=600",
            "Surrogate-Control": "max-age=600",
        }  # fmt: skip
        plain = await ann.ask("/ann")
        assert plain.headers["Cache-Control"] == "public, max-age=600"
        here.clock.now += 600
        answer = await ann.ask("/ann")
        assert "gateway" in answer.set_cookies
        assert answer.headers.getall("Cache-Control") == ["private, no-store"]
        assert "CDN-Cache-Control" not in answer.headers
        assert "Surrogate-Control" not in answer.headers


# --- who may use it ---


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:4001", "https://localhost:4000", ""]
)
async def test_a_page_of_another_origin_posts_nothing_in_ones_name(origin: str) -> None:
    async with house() as here:
        ann = await _ann(here)
        lines = {"Origin": origin} if origin else {}
        answer = await ann.ask("/ann", "POST", **lines)
        assert (answer.status, answer.code) == (403, "origin_refused")
        assert not here.arrived
        assert "gateway" in ann.cookies
        assert (await ann.post("/ann")).status == 200


async def test_a_token_counts_before_a_session() -> None:
    """Browsers send cookies unasked: who says who he is by a header means that."""
    async with house() as here:
        ann = await _ann(here)
        now = here.clock()
        claims = {"iss": here.idp.issuer, "sub": "bob", "aud": "api", "iat": now, "exp": now + 60}
        token = mint(claims, rsa_key("idp"), "RS256", kid="idp")
        await ann.ask("/page", Authorization=f"Bearer {token}")
        assert here.arrived[-1].headers["X-Auth-Subject"] == "bob"
        assert (await ann.ask("/page", Authorization="Bearer bad")).code == "token_malformed"


async def test_an_id_token_is_no_token_for_the_api() -> None:
    async with house() as here:
        token = here.idp.id_token("ann", None, {})
        assert (await here.browser().ask("/page", Authorization=f"Bearer {token}")).code == "audience_mismatch"


async def test_rules_see_a_session_as_they_see_a_token() -> None:
    async with house() as here:
        here.idp.settings.user = "bob"
        bob = here.browser()
        await bob.log_in()
        answer = await bob.ask("/ann")
        assert (answer.status, answer.code) == (403, "access_denied")
        assert (await bob.ask("/page")).status == 200


async def test_an_optional_session() -> None:
    async with house() as here:
        ann = await _ann(here)
        await ann.ask("/optional")
        assert here.arrived[-1].headers["X-Auth-Subject"] == "ann"
        await here.browser().ask("/optional")
        assert "X-Auth-Subject" not in here.arrived[-1].headers
        assert (await here.browser().ask("/optional", Cookie="gateway=bad")).code == "session_invalid"


# --- pages ---


async def test_a_page_without_a_session_is_sent_to_log_in_and_a_call_is_told() -> None:
    async with house() as here:
        answer = await here.browser().open("/agents?tab=1")
        assert (answer.status, answer.body) == (302, b"")
        assert answer.location == f"{PUBLIC_URL}/api/auth/sso/login?redirect_uri=/agents%3Ftab%3D1"
        assert answer.headers["Cache-Control"] == "no-store"
        assert (await here.browser().ask("/agents", Sec_Fetch_Mode="cors", Accept="text/html")).code == "token_missing"
        assert (await here.browser().ask("/agents", Accept="application/json")).status == 401
        assert (await here.browser().ask("/agents", Accept="text/html,*/*")).status == 302
        lines = {name.replace("-", "_"): value for name, value in NAVIGATES.items()}
        assert (await here.browser().ask("/agents", "HEAD", **lines)).status == 401
        assert (await here.browser().ask("/agents", "POST", **lines)).status == 401
        assert (await here.browser().open("/ann")).status == 401  # without `login: true`


async def test_who_may_not_is_not_sent_round_in_circles() -> None:
    routes = "\n  /: {provider: staff, allow: {email: ann@example.com}, login: true}\n"
    async with house(routes=routes) as here:
        bob = here.browser()
        here.idp.settings.user = "bob"
        await bob.log_in()
        assert (await bob.open("/page")).code == "access_denied"
        assert (await bob.ask("/page", Authorization="Bearer x", Sec_Fetch_Mode="navigate")).code == "token_malformed"


@pytest.mark.parametrize("cookie", ["gateway=bad"])
async def test_a_page_with_a_session_that_is_over_is_sent_to_log_in(cookie: str) -> None:
    async with house() as here:
        ann = await _ann(here)
        answer = await here.browser().ask("/page", Cookie=cookie, Sec_Fetch_Mode="navigate")
        assert answer.status == 302
        assert "Max-Age=0" in answer.set_cookies["gateway"]
        here.clock.now += 50_000
        assert (await ann.open("/page")).status == 302
        assert "gateway" not in ann.cookies


# --- where the cookie never goes ---


@pytest.mark.parametrize("path", ["/page", "/public", "/optional", "/watched"])
@pytest.mark.parametrize("padding", [0, 4000])
async def test_no_upstream_sees_a_cookie_of_ours(path: str, padding: int) -> None:
    async with house() as here:
        here.idp.settings.padding = padding
        ann = await _ann(here)
        await ann.begin()  # one that is under way
        ann.cookies = {"first": "1", **ann.cookies, "last": "2"}
        for method in ("GET", "POST"):
            await ann.ask(path, method, Origin=PUBLIC_URL)
            assert here.arrived[-1].headers["Cookie"] == "first=1; last=2"
        await ann.ask(path, Connection="Upgrade", Upgrade="websocket", Origin=PUBLIC_URL)
        assert here.arrived[-1].headers["Cookie"] == "first=1; last=2"


async def test_what_is_left_over_of_a_session_is_not_sent_on_either() -> None:
    async with house() as here:
        await here.browser().ask("/public", Cookie="gateway.3=left; gateway-login.15=left; gateway=x; a=1")
        assert here.arrived[-1].headers["Cookie"] == "a=1"
        await here.browser().ask("/watched", Cookie="gateway=bad")
        assert "Cookie" not in here.arrived[-1].headers


async def test_a_websocket_counts_the_session_of_its_own_page_alone() -> None:
    async with house() as here:
        ann = await _ann(here)
        wire = {
            "Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": "13",
            "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }  # fmt: skip
        assert (await ann.ask("/page", **wire, Origin="https://evil.example")).code == "origin_refused"
        here.clock.now += 600
        answer = await ann.ask("/page", **wire, Origin=PUBLIC_URL)
        assert answer.status == 101
        assert "gateway" in answer.set_cookies
        assert "Cookie" not in here.arrived[-1].headers


def test_a_secret_of_the_same_bytes_seals_two_things_in_two_ways() -> None:
    one, other = (Seal(SECRET.encode(), 60.0, 60.0, purpose) for purpose in ("a", "b"))
    assert one.open_begun(one.close_begun({"a": 1})) == {"a": 1}
    assert other.open_begun(one.close_begun({"a": 1})) is None


def test_the_wire_is_the_one_that_was_asked_for() -> None:
    assert isinstance(IS_FAST, bool)


async def test_no_upstream_sets_or_ends_a_session() -> None:
    async with house() as here:
        ann = await _ann(here)
        here.answers_with["Set-Cookie"] = "gateway=; Max-Age=0; Path=/"
        for path in ("/page", "/public"):
            assert (await ann.open(path)).set_cookies == {}
        here.clock.now += 600  # the session is said anew: ours alone
        assert "gateway=;" not in (await ann.open("/page")).set_cookies["gateway"]
        here.answers_with["Set-Cookie"] = "theme=dark"
        assert list((await ann.open("/page")).set_cookies) == ["theme"]


# --- what is remembered of one ---


def _session(**changes: Any) -> Session:
    claims = {"iss": "https://i", "sub": "ann", "role": "admin", "exp": NOW + 900}
    token = mint(claims, rsa_key("idp"), "RS256", kid="idp")
    return Session("s", "staff", token, claims, NOW, NOW, NOW + 900, **changes)


class _Counting(Seal):
    opened = 0

    def _session(self, text: str) -> Session:
        self.opened += 1
        return super()._session(text)


def test_a_cookie_is_opened_once_and_its_age_is_asked_each_time() -> None:
    seal = _Counting(SECRET.encode(), 100.0, 60.0, "a")
    text = seal.close(_session())
    assert seal.open(text, NOW) is seal.open(text, NOW + 59)
    assert seal.opened == 1
    for later, why in ((60.0, "idle"), (100.0, "began")):
        with pytest.raises(Denied, match=why):
            seal.open(text, NOW + later)
    assert seal.opened == 1


def test_of_a_cookie_that_does_not_open_nothing_is_remembered() -> None:
    seal = _Counting(SECRET.encode(), 100.0, 60.0, "a")
    text = seal.close(_session())
    seal.open(text, NOW)
    for bad in (_changed(text, 200), text[:-1], Seal(SECRET.encode(), 100.0, 60.0, "b").close(_session())):
        for _ in range(2):
            with pytest.raises(Denied) as refused:
                seal.open(bad, NOW)
            assert refused.value.reason is Reason.SESSION_INVALID
    assert seal.opened == 7


def test_sessions_that_are_remembered_are_bounded() -> None:
    seal = _Counting(SECRET.encode(), 100.0, 60.0, "a")
    for number in range(MAX_KNOWN + 50):
        seal.open(seal.close(_session(refresh_token=str(number))), NOW)
    assert len(seal._known.known) <= MAX_KNOWN


def test_whom_a_session_speaks_for_is_kept_for_one_provider_alone() -> None:
    session = _session()
    one, other = (Provider("staff", "oidc", frozenset({"RS256"}), roles_claim=name) for name in ("role", "sub"))
    known = principal_of_session(session, one)
    assert principal_of_session(session, one) is known and known.roles == ("admin",)
    assert known.credential == "session", "the log says so"
    # As after a reload: the same session, and a provider that reads another claim.
    assert principal_of_session(session, other).roles == ("ann",)
    assert principal_of_session(session, one).roles == ("admin",)
    assert principal_of_session(session.seen(NOW + 1), one).session == session.seen(NOW + 1)
