"""A login from one end to the other, each a process of its own: the issuer, a gateway with two workers, its restart."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp

from tests.login.house import SECRET
from tests.login.idp import CLIENT_SECRET
from tests.processes import free_port, process, served, status_of
from tests.security.rig import Upstream


@contextmanager
def idp(folder: Path) -> Iterator[str]:
    """Run the stand-in issuer; its address."""
    log = folder / "idp.log"

    def address() -> str:
        text = log.read_text() if log.exists() else ""
        return f"http://127.0.0.1:{json.loads(text)['port']}" if text.endswith("\n") else ""

    with process(
        [sys.executable, "-m", "tests.login.idp"],
        log,
        lambda: address() != "" and status_of(f"{address()}/jwks") == 200,
    ):
        yield address()


def control(issuer: str, **settings: object) -> None:
    request = urllib.request.Request(f"{issuer}/control", json.dumps(settings).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=10):
        pass


async def _get(
    client: aiohttp.ClientSession, url: str, cookies: dict[str, str], **headers: str
) -> tuple[int, dict[str, str], str]:
    """Ask as a browser does that opens a page, on a connection of its own: any worker may answer."""
    lines = {"Sec-Fetch-Mode": "navigate", "Cookie": "; ".join(f"{k}={v}" for k, v in cookies.items()), **headers}
    async with client.get(url, headers=lines, allow_redirects=False) as answer:
        for line in answer.headers.getall("Set-Cookie", []):
            name, _, rest = line.partition("=")
            if "Max-Age=0;" in rest:
                cookies.pop(name, None)
            else:
                cookies[name] = rest.partition(";")[0]
        return answer.status, dict(answer.headers), await answer.text()


async def test_a_login_from_one_end_to_the_other(tmp_path: Path) -> None:
    upstream, port = Upstream(), free_port()
    own = f"http://127.0.0.1:{port}"
    with idp(tmp_path) as issuer:
        text = f"""
workers: 2
upstreams: {{default: {{url: "{upstream.url}", identity: {{headers: {{X-Auth-Subject: subject}}}}}}}}
providers: {{staff: {{type: oidc, issuer: "{issuer}", audience: api}}}}
login:
  provider: staff
  client_id: gateway
  client_secret: {json.dumps(CLIENT_SECRET)}
  session: {{secret: {SECRET}}}
  public_url: {own}
routes:
  /: {{provider: staff, allow: authenticated, login: true}}
  /api: {{provider: staff, allow: authenticated}}
"""
        cookies: dict[str, str] = {}
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as client:
            with served(text, tmp_path / "first", port=port) as gateway:
                url = f"{own}/page?tab=1"
                for _ in range(3):  # to the login, to the issuer, back, and to the page
                    status, headers, _ = await _get(client, url, cookies)
                    assert status == 302
                    url = headers["Location"]
                status, headers, _ = await _get(client, url, cookies)
                assert (status, headers["Location"]) == (302, "/page?tab=1")
                assert list(cookies) == ["gateway"]
                for _ in range(8):
                    status, _, _ = await _get(client, f"{own}/page?tab=1", cookies)
                    assert status == 200
                seen = upstream.take()
                assert [request.all("X-Auth-Subject") for request in seen] == [["ann"]] * 8
                assert not any(request.all("Cookie") for request in seen)
                control(issuer, lifetime=20.0)  # so that it is due at once
                async with client.post(
                    f"{own}/api/auth/refresh", headers={"Origin": own, "Cookie": f"gateway={cookies['gateway']}"}
                ) as answer:
                    assert await answer.json() == {"success": True}
                    cookies["gateway"] = answer.cookies["gateway"].value
                control(issuer, lifetime=3600.0)
                before = cookies["gateway"]
                assert (await _get(client, f"{own}/page", cookies))[0] == 200
                assert cookies["gateway"] != before
                async with client.get(f"http://127.0.0.1:{gateway.admin}/metrics") as answer:
                    metrics = await answer.text()
                assert 'gateway_session_renewals_total{result="renewed"} 2.0' in metrics
            with served(text, tmp_path / "second", port=port):
                assert (await _get(client, f"{own}/page", cookies))[0] == 200
    upstream.close()
    for log in (tmp_path / "first" / "gateway.log", tmp_path / "second" / "gateway.log"):
        logged = log.read_text()
        assert "sso/callback" in logged or "second" in str(log)
        for secret in (cookies["gateway"], "code=", "state=", "eyJ", CLIENT_SECRET):
            assert secret not in logged
