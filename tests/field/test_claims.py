"""What tokens say, in the spellings of their issuers: who, of which organization, in which roles, verified or not."""

from __future__ import annotations

import base64
import time
from typing import Any

import pytest

from tests.field.gateways import Field
from tests.field.issuer import SHARED, Signer
from tests.minting import mint
from tests.secrecy import keep_secret

KEY = Signer("kinde")


def file_with(settings: str = "", allow: str = "authenticated", header: str = "X-Fact: subject") -> str:
    """Return a file whose provider of a shared secret has these settings."""
    return f"""
upstreams:
  mastra: {{url: "${{UPSTREAM}}", identity: {{headers: {{{header}}}}}}}
providers:
  own: {{type: jwt, secret: "${{SECRET}}"{settings}}}
routes:
  /api: {{provider: own, allow: {allow}}}
"""


@pytest.mark.parametrize("claim", ["org_code", "tid", "hd", "tenantId", "https://corp.example/tenant"])
async def test_organization_by_another_claim(field: Field, claim: str) -> None:
    """Entra's tid, Kinde's org_code, Google's hd, Frontegg's tenantId: the tenant is not in org_id."""
    text = file_with(f', organization_claim: "{claim}"', "{organization: org_9f}", "X-Org: organization")
    async with field.serving(text) as gateway:
        arrived = await gateway.passes("/api/x", SHARED.token({"sub": "kp_1", claim: "org_9f"}))
        assert arrived.all("X-Org") == ["org_9f"]
        for wrong in ("org_9", "ORG_9F", ["org_9f"], {"id": "org_9f"}, None):
            await gateway.refuses("/api/x", SHARED.token({"sub": "kp_1", claim: wrong}), "access_denied")
        # The name that was given replaces the usual ones.
        await gateway.refuses("/api/x", SHARED.token({"sub": "kp_1", "org_id": "org_9f"}), "access_denied")
        await gateway.refuses("/api/x", SHARED.token({"sub": "kp_1", claim: "o", "org_id": "org_9f"}), "access_denied")


async def test_subject_is_a_number(field: Field) -> None:
    """jpadilla/pyjwt#1017, tymondesigns/jwt-auth#1186, farcasterxyz/miniapps#440,
    jazzband/djangorestframework-simplejwt#831.
    """
    async with field.serving(file_with(allow='{subject: "42"}')) as gateway:
        for subject in (42, "42"):
            arrived = await gateway.passes("/api/x", SHARED.token({"sub": subject}))
            assert arrived.all("X-Fact") == ["42"]
        for wrong in (True, 42.5, [42], {"id": 42}, "", None):
            await gateway.refuses("/api/x", SHARED.token({"sub": wrong}), "claim_invalid")
        for other in (43, 420, "042"):
            await gateway.refuses("/api/x", SHARED.token({"sub": other}), "access_denied")
        # One number, several spellings: 4.2e1 and 42.0 are no integers in the token's text.
        for written in (b'{"sub": 42.0, "exp": 4102444800}', b'{"sub": 4.2e1, "exp": 4102444800}'):
            await gateway.refuses("/api/x", mint(written), "claim_invalid")


async def test_numbers_that_no_float_holds_are_no_subjects(field: Field) -> None:
    """Ids of Discord and Twitter pass 2^53: JavaScript reads two of them as one (RFC 7493 section 2.2)."""
    async with field.serving(file_with(allow='{subject: ["9007199254740993", "9007199254740992"]}')) as gateway:
        await gateway.passes("/api/x", SHARED.token({"sub": "9007199254740993"}))
        for subject in (9007199254740993, 9007199254740992, -42):
            await gateway.refuses("/api/x", SHARED.token({"sub": subject}), "claim_invalid")


RAW = bytes(range(7, 55))
SHOWN = keep_secret(base64.b64encode(RAW).decode())


async def test_secret_in_base64(field: Field) -> None:
    """Kong/kong#577, #838, auth0/node-jsonwebtoken#365, lcobucci/jwt#217: a secret is given as its issuer shows it."""
    field.environment["SHOWN"] = SHOWN
    text = file_with().replace("${SECRET}", "${SHOWN}")
    claims = {"sub": "u", "exp": int(time.time()) + 60}
    encoded = text.replace('${SHOWN}"', '${SHOWN}", secret_encoding: base64')
    async with field.serving(encoded) as gateway:
        await gateway.passes("/api/x", mint(claims, RAW))
        await gateway.refuses("/api/x", mint(claims, SHOWN.encode()), "signature_invalid")
        await gateway.refuses("/api/x", mint(claims, RAW + b"x"), "signature_invalid")
    async with field.serving(text) as gateway:
        await gateway.passes("/api/x", mint(claims, SHOWN.encode()))
        await gateway.refuses("/api/x", mint(claims, RAW), "signature_invalid")
    # 32 characters of base64 are 24 bytes: too few (RFC 7518 section 3.2).
    field.environment["SHOWN"] = base64.b64encode(RAW[:24]).decode()
    assert field.check(encoded)[0] == 1
    field.environment["SHOWN"] = SHOWN[:-1] + "!"
    status, said = field.check(encoded)
    assert status == 1 and "base64" in said and SHOWN[:10] not in said, said


async def test_secret_in_base64_explained(field: Field) -> None:
    """Kong/kong#577: explain tries the decoded secret; a file of the raw bytes works."""
    field.environment["SHOWN"] = SHOWN
    text = file_with().replace("${SECRET}", "${SHOWN}")
    token = mint({"sub": "u", "exp": int(time.time()) + 60}, RAW)
    advice = await field.advice(text, "/api/x", token, "signature_invalid")
    assert "decoded from base64" in advice and "secret_encoding: base64" in advice, advice
    (field.folder / "raw").write_bytes(RAW)
    async with field.serving(text.replace('secret: "${SHOWN}"', 'secret_file: "${FOLDER}/raw"')) as gateway:
        await gateway.passes("/api/x", token)
        as_shown = mint({"sub": "u", "exp": 2**31}, SHOWN.encode())
        await gateway.refuses("/api/x", as_shown, "signature_invalid")


async def test_roles_in_one_text(field: Field) -> None:
    """istio/api#3547, istio/istio#56873, apache/solr#890: roles: "editor admin"."""
    text = file_with(', roles_separator: " "', "{role: editor}", "X-Roles: roles")
    async with field.serving(text) as gateway:
        for roles in ("editor admin", "admin editor", "editor", " editor ", ["editor", "admin"]):
            await gateway.passes("/api/x", SHARED.token({"sub": "u", "roles": roles}))
        arrived = await gateway.passes("/api/x", SHARED.token({"sub": "u", "roles": "editor admin"}))
        assert arrived.all("X-Roles") == ["editor,admin"]
        for others in ("editors", "co-editor", "editor,admin", "EDITOR", "", {"editor": True}):
            await gateway.refuses("/api/x", SHARED.token({"sub": "u", "roles": others}), "access_denied")
    async with field.serving(file_with("", "{role: editor}")) as gateway:
        # A role may have a space in its name: unasked nothing is parted.
        await gateway.refuses("/api/x", SHARED.token({"sub": "u", "roles": "editor admin"}), "access_denied")


@pytest.mark.parametrize("separator", [",", ";", "|"])
async def test_groups_with_commas(field: Field, separator: str) -> None:
    """Groups in one text with commas (ADFS, LDAP bridges), whose names may be whole DNs when they come as a list."""
    text = file_with(f', roles_separator: "{separator}"', "{group: ops}")
    async with field.serving(text) as gateway:
        await gateway.passes("/api/x", SHARED.token({"sub": "u", "groups": separator.join(["dev", "ops"])}))
        await gateway.refuses(
            "/api/x", SHARED.token({"sub": "u", "groups": separator.join(["dev", "ops2"])}), "access_denied"
        )
    async with field.serving(file_with("", '{group: "CN=ops,OU=corp"}')) as gateway:
        await gateway.passes("/api/x", SHARED.token({"sub": "u", "groups": ["CN=ops,OU=corp"]}))
        await gateway.refuses("/api/x", SHARED.token({"sub": "u", "groups": ["CN=ops", "OU=corp"]}), "access_denied")


async def test_nested_under_an_address(field: Field) -> None:
    """Hasura's claims: an object under https://hasura.io/jwt/claims."""
    name = "https://hasura.io/jwt/claims"
    pointer = "/https:~1~1hasura.io~1jwt~1claims/x-hasura-allowed-roles"
    async with field.serving(file_with(allow=f'{{claim: {{"{pointer}": editor}}}}')) as gateway:
        roles = {"x-hasura-allowed-roles": ["user", "editor"]}
        await gateway.passes("/api/x", SHARED.token({"sub": "u", name: roles}))
        for changes in (
            {name: {"x-hasura-allowed-roles": ["editors"]}},
            {name: {"x-hasura-allowed-roles": [["editor"]]}},
            {name: {"x-hasura-default-role": "editor"}},
            {name: [roles]},
            {pointer: "editor"},
            {"https:": {"": {"hasura.io": {"jwt": {"claims": roles}}}}},
        ):
            await gateway.refuses("/api/x", SHARED.token({"sub": "u", **changes}), "access_denied")


async def test_pointer_in_identity_header(field: Field) -> None:
    """google/jwt_verify_lib#104, ory/oathkeeper: one reader of names, in rules and in headers."""
    text = file_with(allow="{claim: {/app_metadata/plan: pro}}", header='X-Fact: "claim:/app_metadata/plan"')
    async with field.serving(text) as gateway:
        token = SHARED.token({"sub": "u", "app_metadata": {"plan": "pro"}})
        arrived = await gateway.passes("/api/x", token, headers=[("X-Fact", "root")])
        assert arrived.all("X-Fact") == ["pro"]
        literal = {"sub": "u", "/app_metadata/plan": "pro"}
        await gateway.refuses("/api/x", SHARED.token(literal), "access_denied")
    async with field.serving(text.replace("{claim: {/app_metadata/plan: pro}}", "authenticated")) as gateway:
        for claims in (literal, {"sub": "u"}, {"sub": "u", "app_metadata": "pro"}):
            arrived = await gateway.passes("/api/x", SHARED.token(claims), headers=[("X-Fact", "root")])
            assert arrived.all("X-Fact") == []


async def test_litellm_email_in_sub(field: Field) -> None:
    """BerriAI/litellm#5605: the subject is the address."""
    text = file_with(", email_claim: sub", "{email_domain: my-co.example}")
    async with field.serving(text) as gateway:
        await gateway.passes("/api/x", SHARED.token({"sub": "ann@my-co.example"}))
        for subject in (
            "ann@my-co.example.evil.example",
            "ann@evil.example@my-co.example",
            "@my-co.example",
            "my-co.example",
            "ann@sub.my-co.example",
            "ann@evil.example,ann@my-co.example",
            '"x@evil.example"@my-co.example',
        ):
            await gateway.refuses("/api/x", SHARED.token({"sub": subject}), "access_denied")
        flagged: dict[str, Any] = {"sub": "ann@my-co.example", "email_verified": False}
        await gateway.refuses("/api/x", SHARED.token(flagged), "access_denied")


async def test_clock_behind(field: Field) -> None:
    """jpadilla/pyjwt#190, hasura/graphql-engine#2109, orthanc-team/orthanc-auth-service#39: `iat` before our clock."""
    ahead = int(time.time()) + 30
    token = SHARED.token({"sub": "u", "iat": ahead})
    async with field.serving(file_with()) as gateway:
        await gateway.refuses("/api/x", token, "token_not_yet_valid")
    advice = await field.advice(file_with(), "/api/x", token, "token_not_yet_valid")
    assert "clock" in advice and "leeway" in advice, advice
    async with field.serving(file_with(", leeway: 60s")) as gateway:
        await gateway.passes("/api/x", token)
        await gateway.refuses("/api/x", SHARED.token({"sub": "u", "iat": ahead + 60}), "token_not_yet_valid")
        await gateway.refuses("/api/x", SHARED.token({"sub": "u", "nbf": ahead + 60}), "token_not_yet_valid")


def test_two_audiences_of_one_issuer(paper: Field) -> None:
    """agentgateway/agentgateway#3609: two registrations of one tenant on one route, which no token tells apart."""
    text = """
providers:
  a: {type: oidc, issuer: "https://login.example", audience: one}
  b: {type: oidc, issuer: "https://login.example", audience: two}
routes:
  /api: {provider: [a, b], allow: authenticated}
"""
    status, said = paper.check(text)
    assert status == 1 and "routes./api" in said and "audience" in said and "one provider" in said, said
    one = text.replace("audience: one", "audience: [one, two]").replace("provider: [a, b]", "provider: a")
    assert paper.check(one)[0] == 0
