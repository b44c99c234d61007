"""Issuers as they are written: compared as they stand, in lists, in templates, and as discovery says them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.field.gateways import Field
from tests.field.issuer import Signer

KEY = Signer("k")


def file_with(issuer: str, settings: str = 'jwks_uri: "${ISSUER}/keys"') -> str:
    """Return a file whose provider has this issuer."""
    return f"""
providers:
  p: {{type: oidc, issuer: {issuer}, audience: c{", " if settings else ""}{settings}}}
routes:
  /api: {{provider: p, allow: authenticated}}
"""


@pytest.mark.parametrize(
    "issuer",
    [
        "https://login.corp.example:8443/realms/x",
        "https://login.corp.example/realms/x?tenant=a",
        "https://Login.Corp.Example/",
        "https://login.corp.example",
        "urn:corp:login",
        "login.corp.example",
        "joe",
        "runner@p.iam.gserviceaccount.com",
    ],
)
async def test_issuer_is_compared_as_it_stands(field: Field, issuer: str) -> None:
    """OpenID Connect Core 3.1.3.7, RFC 8725 section 3.8: exactly; port, query, case and slash are part of the name."""
    field.issuer.publish("/keys", KEY.jwk(use="sig"))
    async with field.serving(file_with(f'"{issuer}"')) as gateway:
        claims = {"iss": issuer, "aud": "c", "sub": "u"}
        await gateway.passes("/api/x", KEY.token(claims))
        others = {f"{issuer}/", issuer.removesuffix("/") + "/", issuer.rstrip("/"), issuer.lower(), issuer.upper()}
        others |= {issuer.replace(":8443", ""), issuer.partition("?")[0], f" {issuer}", f"{issuer}#", f"{issuer}\u0000"}
        for other in others - {issuer}:
            await gateway.refuses("/api/x", KEY.token({**claims, "iss": other}), "issuer_mismatch")
        wrong: tuple[Any, ...] = ([issuer], {"iss": issuer}, "", 1, True)
        for value in wrong:
            answer = await gateway.ask("/api/x", KEY.token({**claims, "iss": value}))
            assert answer.status == 401 and field.upstream.take() == [], value
        await gateway.refuses("/api/x", KEY.token({**claims, "iss": None}), "issuer_mismatch")


@pytest.mark.parametrize("path", ["/app", "/app/", ""])
async def test_discovery_by_an_issuer_with_and_without_slash(field: Field, path: str) -> None:
    """auth0/node-jwks-rsa#104, authentik's and Auth0's closing slash: the document stands below it either way."""
    keys = field.issuer.publish("/keys", KEY.jwk(use="sig"))
    issuer = field.issuer.url + path
    field.issuer.answer(
        f"{path.removesuffix('/')}/.well-known/openid-configuration", {"issuer": issuer, "jwks_uri": keys}
    )
    other = issuer.removesuffix("/") if issuer.endswith("/") else f"{issuer}/"
    async with field.serving(file_with(f'"{issuer}"', "")) as gateway:
        await gateway.passes("/api/x", KEY.token({"iss": issuer, "aud": "c", "sub": "u"}))
        await gateway.refuses("/api/x", KEY.token({"iss": other, "aud": "c", "sub": "u"}), "issuer_mismatch")
    # The file has the slash that the document lacks, or the other way: no keys, and both are shown.
    async with field.serving(file_with(f'"{other}"', "")) as gateway:
        await gateway.refuses("/api/x", KEY.token({"iss": other, "aud": "c", "sub": "u"}), "keys_unavailable")
        troubles = await gateway.troubles()
        assert f"'{issuer}'" in troubles and f"'{other}'" in troubles, troubles


async def test_template_takes_no_more_issuers_than_it_may(field: Field) -> None:
    """A token names the issuer that is asked: who invents issuers must not make us ask for each (max_issuers)."""
    keys = field.issuer.publish("/keys", KEY.jwk(use="sig"))
    for tenant in ("one", "two", "three"):
        field.issuer.announce(f"/{tenant}", keys)

    def token(tenant: str) -> str:
        return KEY.token({"iss": f"{field.issuer.url}/{tenant}", "tenant": tenant, "aud": "c", "sub": "u"})

    text = file_with('"${ISSUER}/{tenant}"', "max_issuers: 2")
    async with field.serving(text) as gateway:
        await gateway.passes("/api/x", token("one"))
        await gateway.passes("/api/x", token("two"))
        asked = len(field.issuer.asked)
        await gateway.refuses("/api/x", token("three"), "issuer_mismatch")
        for number in range(20):
            await gateway.refuses("/api/x", token(f"t{number}"), "issuer_mismatch")
        assert len(field.issuer.asked) == asked
        await gateway.passes("/api/x", token("one"))


@pytest.mark.parametrize(
    "template",
    [
        "https://{tid}/v2.0",
        "https://{tid}.example/v2.0",
        "{iss}",
        "https://login.example/{tid",
        "https://login.example/{}",
        "https://login.example/x{tid}y/v2.0",
        "{scheme}://login.example/x",
        "https://user:{tid}@login.example/x",
        "https://login.example:{port}/x",
    ],
)
def test_template_that_lets_a_token_choose_the_host_is_refused(paper: Field, template: str) -> None:
    """Braces name a claim that fills one segment of a path; above all never the host, whose keys would count."""
    status, said = paper.check(file_with(f'"{template}"', ""))
    assert status == 1 and "providers.p.issuer" in said, said


async def test_template_beside_exact_issuers(field: Field) -> None:
    """A list with both; the claims of a template are looked at in the signed token."""
    field.issuer.publish("/keys", KEY.jwk(use="sig"))
    text = file_with('["https://exact.example", "https://login.example/{org}/{env}"]')
    claims = {"aud": "c", "sub": "u"}
    async with field.serving(text) as gateway:
        await gateway.passes("/api/x", KEY.token({**claims, "iss": "https://exact.example"}))
        both = {**claims, "org": "a", "env": "b"}
        await gateway.passes("/api/x", KEY.token({**both, "iss": "https://login.example/a/b"}))
        for other in ("/b/a", "/a/b/", "/a", "/a/b/c", "//b", "/a/%62", "/a/b?x", "/{org}/{env}"):
            token = KEY.token({**both, "iss": f"https://login.example{other}"})
            await gateway.refuses("/api/x", token, "issuer_mismatch")
        numbers = {**claims, "org": 1, "env": "b", "iss": "https://login.example/1/b"}
        await gateway.refuses("/api/x", KEY.token(numbers), "issuer_mismatch")
