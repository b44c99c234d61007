"""The cases of `budget`: nobody escapes a budget of his own in another dress, and nobody spends what is another's."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.server.gateway import Gateway
from tests.configuring import read
from tests.minting import OTHER_SECRET, SECRET, mint
from tests.rawpeer import RawClient, RawUpstream
from tests.running import running
from tests.security.casebook import Case, cases, parameters
from tests.security.judge import Reached
from tests.security.tally import Tally

ISSUER = "https://idp.example.com"
LONG_SECRET = OTHER_SECRET + SECRET  # HS512 asks for 64 bytes
FILE = """
listen: 127.0.0.1:0
admin: none
upstream: UPSTREAM
providers:
  people: {{type: jwt, secret: {one}, algorithms: [HS256], issuer: "{issuer}", audience: people}}
  staff: {{type: jwt, secret: {two}, algorithms: [HS512], issuer: "{issuer}", audience: staff}}
  jobs: {{type: jwt, secret: {two}, algorithms: [HS384]}}
  named: {{type: jwt, secret: {one}, algorithms: [HS256], issuer: "{issuer}", audience: named, subject_claim: nickname}}
budgets:
  calls: {{per: subject, requests: 1/1h}}
routes:
  /api: {{provider: [people, staff, jobs], allow: authenticated, budget: calls}}
  /other: {{provider: [people, staff, jobs], allow: authenticated, budget: calls}}
  /named: {{provider: named, allow: authenticated, budget: calls}}
""".format(one=SECRET.decode(), two=LONG_SECRET.decode(), issuer=ISSUER)
SIGNS = {
    "people": (SECRET, "HS256"),
    "staff": (LONG_SECRET, "HS512"),
    "jobs": (LONG_SECRET, "HS384"),
    "named": (SECRET, "HS256"),
}
CASES = cases("budget")


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with RawUpstream() as upstream, running(read(FILE.replace("UPSTREAM", upstream.url))) as made:
        yield made


async def _status(gateway: Gateway, asked: dict[str, Any]) -> int:
    """Send what a case says, as the caller `me` unless it says otherwise."""
    provider = asked.get("provider", "people")
    key, algorithm = SIGNS[provider]
    claims = {"sub": asked.get("sub", "{self}"), "exp": time.time() + 600}
    claims |= {} if provider == "jobs" else {"iss": ISSUER, "aud": provider}
    claims |= asked.get("claims", {})
    claims["sub"] = claims["sub"].replace("{self}", "me").replace("{SELF}", "ME")
    method, line = asked.get("method", "POST"), asked.get("line", "X-Plain: x")
    head = f"{method} {asked.get('target', '/api/x')} HTTP/1.1\r\nHost: gw\r\n{line}\r\nContent-Length: 0\r\n"
    async with RawClient.connect(gateway.public.port) as client:
        await client.send(f"{head}Authorization: Bearer {mint(claims, key, algorithm)}\r\n\r\n".encode())
        return int((await client.head()).split(b" ")[1])


@pytest.mark.parametrize("case", parameters(CASES))
async def test_case(case: Case, gateway: Gateway, tally: Tally) -> None:
    with tally.of(case):
        assert await _status(gateway, {}) == 200
        status = await _status(gateway, case.spec["then"])
        if status != case.spec["expect"]:
            raise Reached(f"{case.id}: {status}")


async def test_a_reload_with_another_order_of_budgets_keeps_what_was_counted(gateway: Gateway) -> None:
    assert await _status(gateway, {}) == 200
    upstream = gateway.config.upstreams[0].url
    more = FILE.replace("UPSTREAM", upstream).replace(
        "budgets:\n", "budgets:\n  first: {per: provider, requests: 9/1h}\n"
    )
    await gateway.use(read(more.replace("budget: calls", "budget: [first, calls]")))
    assert await _status(gateway, {}) == 429
