"""What Studio asks about people: Mastra's shapes, to the letter, and never a 401."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.config.describe import describe
from gateway.endpoints.login import LoginDesk, desk_of
from gateway.policy.denied import Denied
from gateway.policy.reasons import Reason
from gateway.policy.session import Session
from gateway.server.gateway import Gateway
from tests.configuring import SECRET as FILE_SECRET
from tests.configuring import mistakes, read
from tests.minting import NOW, mint, rsa_key
from tests.rawpeer import RawClient, RawUpstream
from tests.running import WIRE

ISSUER = "https://login.example.com"
SESSION_SECRET = "wohYeequ8aish4ahQuoo4aiPh7aish2eeF0"
UPSTREAM = "upstreams: {{mastra: {{url: '{url}', studio: {{allow: {{role: admin}}}}}}}}"
JWT = "jobs: {{type: jwt, secret: {secret}}}"
STAFF = "staff: {{type: oidc, issuer: https://login.example.com, audience: api}}"
WITHOUT_LOGIN = f"""
listen: 127.0.0.1:0
{UPSTREAM}
providers:
  {JWT}
routes:
  /api: {{{{provider: jobs, allow: authenticated}}}}
"""
WITH_LOGIN = f"""
listen: 127.0.0.1:0
{UPSTREAM}
providers:
  {JWT}
  {STAFF}
login:
  provider: staff
  client_id: gateway
  session: {{{{secret: {SESSION_SECRET}}}}}
  public_url: http://localhost:4000
routes:
  /api: {{{{provider: [staff, jobs], allow: authenticated}}}}
  GET /refresh-events: {{{{provider: staff, allow: authenticated}}}}
  GET /browser: {{{{provider: staff, allow: authenticated, websocket: true}}}}
"""
SSO = {"provider": "oidc", "text": "Sign in with login.example.com", "url": "/api/auth/sso/login"}
NOBODY_WITH_LOGIN = {"enabled": True, "login": {"type": "sso", "sso": SSO}}
NOBODY = {"enabled": True, "login": None}
ALL = {"roles": [], "permissions": ["*"]}  # any token counts below /api
ANN = {"id": "ann", "email": "ann@example.com", "name": "Ann", "avatarUrl": "https://pictures.example.com/ann"}


class _Refuses(LoginDesk):
    """Of an issuer that ends every session."""

    async def renew(self, session: Session) -> Session:
        raise Denied(Reason.SESSION_EXPIRED, "the issuer said no")


@dataclass
class Answer:
    status: int
    head: str
    body: Any

    @property
    def ended_cookies(self) -> list[str]:
        lines = self.head.split("\r\n")
        return [
            one.split(" ")[1].partition("=")[0] for one in lines if one.startswith("Set-Cookie") and "Max-Age=0" in one
        ]


@dataclass
class House:
    gateway: Gateway
    upstream: RawUpstream

    async def ask(self, path: str, *lines: str, method: str = "GET") -> Answer:
        async with RawClient.connect(self.gateway.port) as client:
            head = "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost:4000", *lines])
            await client.send(f"{head}\r\n\r\n".encode())
            status, answered, body = await client.answer()
        return Answer(status, answered.decode(), json.loads(body) if body and body != b"ok" else None)

    def cookie(self, good_for: float = 3000.0, refresh_token: str | None = None, **claims: Any) -> str:
        """Return the cookie line of Ann's session."""
        login = self.gateway.config.policy.login
        assert login is not None
        said = {"iss": ISSUER, "sub": "ann", "aud": "gateway", "exp": NOW + good_for, "email": "ann@example.com"}
        said |= {"email_verified": True, "name": "Ann", "picture": "https://pictures.example.com/ann", **claims}
        token = mint(said, rsa_key("idp"), "RS256", kid="idp")
        session = Session("s", "staff", token, said, NOW - 10, NOW - 10, NOW + good_for, refresh_token)
        return f"Cookie: gateway={login.seal.close(session)}"


@asynccontextmanager
async def house(text: str, make_desk: Any = desk_of) -> AsyncIterator[House]:
    async with RawUpstream() as upstream:
        config = read(text.format(url=upstream.url, secret=FILE_SECRET), WIRE)
        gateway = Gateway(config, clock=lambda: NOW, make_desk=make_desk)
        await gateway.start()
        try:
            yield House(gateway, upstream)
        finally:
            await gateway.stop()


def bearer(**claims: Any) -> str:
    return f"Authorization: Bearer {mint({'sub': 'job-1', 'exp': NOW + 60, **claims}, FILE_SECRET.encode())}"


async def test_nobody_is_told_how_people_log_in() -> None:
    async with house(WITH_LOGIN) as here:
        capabilities, me = await here.ask("/api/auth/capabilities"), await here.ask("/api/auth/me")
    assert (capabilities.status, capabilities.body) == (200, NOBODY_WITH_LOGIN)
    assert (me.status, me.body, here.upstream.visits) == (200, None, [])
    assert "Cache-Control: no-store" in capabilities.head


async def test_without_a_login_studio_asks_for_a_header_itself() -> None:
    async with house(WITHOUT_LOGIN) as here:
        assert (await here.ask("/api/auth/capabilities")).body == NOBODY
        known = await here.ask("/api/auth/capabilities", bearer(email="job@example.com"))
        me = await here.ask("/api/auth/me", bearer())
    can = {"user": True, "session": False, "sso": False, "rbac": True, "acl": False}
    user = {"id": "job-1", "email": "job@example.com"}
    assert known.body == NOBODY | {"user": user, "capabilities": can, "access": ALL}
    assert me.body == {"id": "job-1", **ALL}


async def test_who_logged_in_is_told_who_they_are() -> None:
    async with house(WITH_LOGIN) as here:
        known = await here.ask("/api/auth/capabilities", here.cookie())
        me = await here.ask("/api/auth/me", here.cookie())
    can = {"user": True, "session": True, "sso": True, "rbac": True, "acl": False}
    assert known.body == NOBODY_WITH_LOGIN | {"user": ANN, "capabilities": can, "access": ALL}
    assert me.body == ANN | ALL


@pytest.mark.parametrize(
    ("claims", "user"),
    [
        pytest.param({"email_verified": False}, {"email": None}, id="email-not-verified"),
        pytest.param({"email": "ann@evil.com,@example.com"}, {"email": None}, id="email-that-rules-do-not-read"),
        pytest.param({"name": ["Ann"]}, {"name": None}, id="name-that-is-no-text"),
        pytest.param({"name": ""}, {"name": None}, id="empty-name"),
        pytest.param({"picture": "javascript:alert(1)"}, {"avatarUrl": None}, id="picture-that-is-a-script"),
        pytest.param({"picture": "http://pictures.example.com/a"}, {"avatarUrl": None}, id="picture-in-the-clear"),
    ],
)
async def test_of_the_claims_only_what_counts_is_told(claims: dict[str, Any], user: dict[str, Any]) -> None:
    async with house(WITH_LOGIN) as here:
        me = await here.ask("/api/auth/me", here.cookie(**claims))
    assert me.body == {name: value for name, value in (ANN | ALL | user).items() if value is not None}


@pytest.mark.parametrize("path", ["/api/auth/capabilities", "/api/auth/me"])
@pytest.mark.parametrize(
    "line",
    [
        pytest.param(bearer(exp=NOW - 3600), id="expired"),
        pytest.param("Authorization: Bearer not-a-token", id="no-token"),
        pytest.param(f"Authorization: Bearer {mint({'sub': 'x', 'exp': NOW + 9}, b'x' * 31 + b'y')}", id="forged"),
        pytest.param("Authorization: Basic dXNlcjpwYXNz", id="basic"),
    ],
)
async def test_bad_token_is_nobody_and_never_a_401(path: str, line: str) -> None:
    async with house(WITH_LOGIN) as here:
        answer = await here.ask(path, line)
        refused = await here.ask("/api/agents", line)
    assert answer.status == 200 and answer.body == (None if path.endswith("me") else NOBODY_WITH_LOGIN)
    assert refused.status == 401, "only Studio's own questions are answered so"


# CWE-307: an answer that says whether a token counts is one to a guess, whatever its status is.
@pytest.mark.parametrize("path", ["/api/auth/capabilities", "/api/auth/me"])
async def test_bad_token_counts_as_a_failure_there_too(path: str) -> None:
    bad = f"Authorization: Bearer {mint({'sub': 'job-1', 'exp': NOW + 60}, b'another secret than the one of the file')}"
    async with house(WITH_LOGIN + "budgets: {{guesses: {{per: ip, failures: 3/1h}}}}") as here:
        for lines in ((), (bearer(),), (here.cookie(),)):
            for _ in range(4):
                assert (await here.ask(path, *lines)).status == 200, "who sends none, or a good one, has not failed"
        assert [(await here.ask(path, bad)).status for _ in range(4)] == [200, 200, 200, 429]


@pytest.mark.parametrize("path", ["/api/auth/capabilities", "/api/auth/me"])
@pytest.mark.parametrize("kind", ["ended", "forged", "refused"])
async def test_dead_session_is_nobody_and_its_cookies_are_cleared(path: str, kind: str) -> None:
    def refusing(gateway: Gateway) -> LoginDesk:
        keys = gateway.store
        return _Refuses(gateway.config.policy, gateway.fetcher, keys, keys.fetch, gateway.revoking, gateway.clock)

    async with house(WITH_LOGIN, refusing) as here:
        cookie = {
            "ended": here.cookie(good_for=-5.0),
            "forged": "Cookie: gateway=eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..a.b.c",
            "refused": here.cookie(good_for=-5.0, refresh_token="r"),
        }[kind]
        answer = await here.ask(path, cookie)
        refused = await here.ask("/api/agents", cookie)
    assert answer.status == 200 and answer.body == (None if path.endswith("me") else NOBODY_WITH_LOGIN)
    assert answer.ended_cookies == ["gateway"]
    assert refused.status == 401


async def test_good_session_keeps_its_cookies() -> None:
    async with house(WITH_LOGIN) as here:
        assert "Set-Cookie" not in (await here.ask("/api/auth/me", here.cookie())).head


@pytest.mark.parametrize(
    ("method", "path", "error"),
    [
        ("GET", "/api/auth/sso/login", "SSO not configured"),
        ("POST", "/api/auth/logout", "Logout not configured"),
        ("POST", "/api/auth/refresh", "Session refresh not configured"),
    ],
)
async def test_without_a_login_its_addresses_say_what_a_mastra_without_auth_says(
    method: str, path: str, error: str
) -> None:
    async with house(WITHOUT_LOGIN) as here:
        answer = await here.ask(path, "Content-Length: 0", method=method)
    assert (answer.status, answer.body, here.upstream.visits) == (404, {"error": error}, [])


WITH_ROLES = WITHOUT_LOGIN.replace(
    "  /api: {{provider: jobs, allow: authenticated}}",
    """  /api: {{provider: jobs, allow: {{mastra: viewer}}}}
  /api/logs: {{provider: jobs, allow: {{mastra: admin}}}}
  /api/observability: {{provider: jobs, allow: {{mastra: admin}}}}""",
)


@pytest.mark.parametrize(
    ("roles", "told", "may", "may_not"),
    [
        pytest.param(
            ["viewer"], ["viewer"], ["agents:read", "memory:read"], ["agents:execute", "logs:read"], id="viewer"
        ),
        pytest.param(["member"], ["member"], ["agents:execute"], ["agents:write", "observability:read"], id="member"),
        pytest.param(
            ["admin", "viewer"], ["admin", "viewer"], ["logs:*", "agents:write"], ["agents:delete"], id="admin"
        ),
        pytest.param(["owner"], ["owner"], ["*"], ["agents:read"], id="owner"),
        pytest.param(["support"], [], [], ["agents:read"], id="none-of-them"),
    ],
)
async def test_studio_is_told_what_the_routes_let_pass(
    roles: list[str], told: list[str], may: list[str], may_not: list[str]
) -> None:
    async with house(WITH_ROLES) as here:
        known = await here.ask("/api/auth/capabilities", bearer(roles=roles))
        me = await here.ask("/api/auth/me", bearer(roles=roles))
    access = known.body["access"]
    assert access == {"roles": me.body["roles"], "permissions": me.body["permissions"]}
    assert access["roles"] == told
    assert set(may) <= set(access["permissions"]) and set(may_not).isdisjoint(access["permissions"])


async def test_patterns_of_permissions_are_told_to_callers_alone() -> None:
    path = "/api/auth/permission-patterns"
    async with house(WITH_ROLES) as here:
        nobody, forged = await here.ask(path), await here.ask(path, "Authorization: Bearer x")
        known = await here.ask(path, bearer())
        visits = here.upstream.visits
    assert [(one.status, one.body["code"]) for one in (nobody, forged)] == [
        (401, "token_missing"),
        (401, "token_malformed"),
    ]
    assert (known.status, visits) == (200, [])
    assert {"*", "*:read", "agents:*", "agents:read", "stored:read"} <= set(known.body["patterns"])


# An EventSource cannot carry a header, nor can the WebSocket of a page: the cookie counts on any route.
async def test_events_of_studio_count_the_cookie() -> None:
    async with house(WITH_LOGIN) as here:
        assert (await here.ask("/refresh-events")).status == 401
        assert (await here.ask("/refresh-events", here.cookie())).status == 200
    (visit,) = here.upstream.visits
    assert b"gateway=" not in visit.head, "the session is the gateway's own"


@pytest.mark.parametrize(
    ("origin", "status"), [("http://localhost:4000", 502), ("https://evil.example", 403), (None, 403)]
)
async def test_socket_of_studio_counts_the_cookie_from_its_own_pages(origin: str | None, status: int) -> None:
    handshake = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    async with house(WITH_LOGIN) as here:
        lines = [here.cookie(), *handshake, key, *([] if origin is None else [f"Origin: {origin}"])]
        answer = await here.ask("/browser/weather/stream", *lines)
    passed = len(here.upstream.visits) == 1
    assert passed == (status != 403) and (answer.status == 403) == (status == 403)


@pytest.mark.parametrize(
    "key", ["GET /api/auth/me", "/api/auth/me", "GET,POST /api/auth/capabilities", "POST /api/auth/logout"]
)
def test_route_of_the_file_at_the_same_place_is_a_mistake(key: str) -> None:
    text = WITHOUT_LOGIN.format(url="http://127.0.0.1:1", secret=FILE_SECRET)
    (found,) = mistakes(f"{text}  {key}: {{public: true}}\n")
    assert found.startswith("8:3: routes.") and "the gateway itself answers" in found and "('studio:')" in found


def test_without_studio_there_are_no_such_routes() -> None:
    text = WITHOUT_LOGIN.replace(", studio: {{allow: {{role: admin}}}}", "")
    config = read(text.format(url="http://127.0.0.1:1", secret=FILE_SECRET))
    assert [route.key for route in config.policy.routes] == ["/api"]


def test_check_says_why_the_gateway_answers_there() -> None:
    config = read(WITHOUT_LOGIN.format(url="http://127.0.0.1:1", secret=FILE_SECRET))
    rows = {row.key: row.who for row in describe(config)}
    assert rows["GET /api/auth/me exactly"] == "everybody: the gateway itself answers (studio)"
    assert rows["GET /api/auth/permission-patterns exactly"] == "everybody: the gateway itself answers (studio)"
    assert rows["POST /api/auth/logout exactly"] == "everybody: the gateway itself answers (studio)"


async def test_of_two_providers_that_no_token_tells_apart_that_of_the_lists_counts() -> None:
    other = "another secret of at least 32 bytes"
    text = WITHOUT_LOGIN.replace(
        "routes:\n",
        f"  others: {{{{type: jwt, secret: {other}}}}}\nroutes:\n"
        "  /other: {{provider: others, allow: authenticated}}\n",
    )
    async with house(text) as here:
        assert (await here.ask("/api/auth/me", bearer())).body == {"id": "job-1", **ALL}
        token = mint({"sub": "job-2", "exp": NOW + 60}, other.encode())
        assert (await here.ask("/api/auth/me", f"Authorization: Bearer {token}")).body is None
