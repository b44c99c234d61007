"""Browsers on another origin: what today's pages ask for in a preflight, and origins of which there are many."""

from __future__ import annotations

import pytest

from tests.field.gateways import Field, Serving
from tests.field.issuer import SHARED

PAGE = "https://app.corp.example"
FILE = f"""
providers:
  own: {{type: jwt, secret: "${{SECRET}}"}}
routes:
  /api: {{provider: own, allow: authenticated}}
cors: {{origins: ["{PAGE}"]MORE}}
"""


async def granted(gateway: Serving, asked: str, origin: str = PAGE) -> set[str]:
    """Return the headers that a preflight grants; all of none if the origin is not told."""
    fields = [
        ("Origin", origin),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", asked),
    ]
    answer = await gateway.ask("/api/x", method="OPTIONS", headers=fields)
    if answer.header("Access-Control-Allow-Origin") != origin:
        return set()
    return {name.strip().lower() for name in (answer.header("Access-Control-Allow-Headers") or "").split(",")}


@pytest.mark.parametrize(
    "asked",
    [
        "authorization,content-type,user-agent",
        "authorization,content-type,mcp-protocol-version,mcp-session-id,last-event-id",
        "authorization,baggage,content-type,sentry-trace,traceparent,tracestate",
        "authorization,content-type,x-mastra-client-type,x-mastra-dev-playground",
    ],
)
async def test_cors_user_agent_of_sdks(field: Field, asked: str) -> None:
    """vercel/ai#9256, #13330, openai/openai-node#1694, CopilotKit/aimock#158: Safari and Firefox ask for user-agent."""
    async with field.serving(FILE.replace("MORE", "")) as gateway:
        assert set(asked.split(",")) <= await granted(gateway, asked)
        assert await granted(gateway, asked, "https://evil.example") == set()
        assert await granted(gateway, asked, "null") == set()
        assert "x-auth-subject" not in await granted(gateway, f"{asked},x-auth-subject")
        assert field.upstream.take() == [], "a preflight is ours"
        await gateway.refuses("/api/x", None, "token_missing", headers=[("Origin", PAGE)])


async def test_cors_any_header(field: Field) -> None:
    """getsentry/sentry-javascript#6077, assistant-ui/assistant-ui#7236, openai in a page: x-stainless-*."""
    asked = "aui-sdk,authorization,baggage,content-type,sentry-trace,traceparent,x-stainless-arch,x-stainless-lang"
    async with field.serving(FILE.replace("MORE", ", headers: ['*']")) as gateway:
        assert set(asked.split(",")) <= await granted(gateway, asked)
        assert await granted(gateway, asked, "https://evil.example") == set()
        # What passes a preflight may still be stripped.
        arrived = await gateway.passes(
            "/api/x", SHARED.token({"sub": "u"}), headers=[("Origin", PAGE), ("X-Forwarded-User", "root")]
        )
        assert b"root" not in arrived.raw


async def test_cors_of_preview_deployments(field: Field) -> None:
    """koala73/worldmonitor#8178, better-auth/better-auth#2203: a new origin for every branch, here for CORS."""
    pattern = "https://app-*-corp.vercel.app"
    text = FILE.replace(f'["{PAGE}"]MORE', f'["{PAGE}", "{pattern}"]')
    async with field.serving(text) as gateway:
        for origin in (PAGE, "https://app-git-fix-1-corp.vercel.app"):
            assert "authorization" in await granted(gateway, "authorization", origin)
            answer = await gateway.ask("/api/x", SHARED.token({"sub": "u"}), headers=[("Origin", origin)])
            assert answer.header("Access-Control-Allow-Origin") == origin
            assert "Origin" in (answer.header("Vary") or ""), "caches keep origins apart"
        for origin in (
            pattern,
            "https://app-evil.vercel.app",
            "https://app-x.evil.example-corp.vercel.app",
            "https://app-x-corp.vercel.app.evil.example",
            "http://app-x-corp.vercel.app",
            "https://app-x-corp.vercel.app:444",
            "https://evil.example/app-x-corp.vercel.app",
            "https://evil.example#app-x-corp.vercel.app",
        ):
            assert await granted(gateway, "authorization", origin) == set(), origin
            answer = await gateway.ask("/api/x", SHARED.token({"sub": "u"}), headers=[("Origin", origin)])
            assert answer.header("Access-Control-Allow-Origin") is None
