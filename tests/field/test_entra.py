"""Microsoft's issuers: Entra v2 with one tenant, some, any; ADFS; Azure AD B2C."""

from __future__ import annotations

from typing import Any

from tests.field.gateways import Field
from tests.field.issuer import Signer

TENANT = "11111111-2222-4333-8444-555555555555"
OTHER_TENANT = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
THIRD_TENANT = "99999999-0000-4111-8222-333333333333"
APP = "5f6e7d8c-1b2a-4c3d-9e8f-0a1b2c3d4e5f"
CLIENT = "0c0c0c0c-1111-4222-8333-444444444444"
KEY = Signer("Mc7l3Iz93g7uwgNeEmmw")
STRANGER = Signer("Mc7l3Iz93g7uwgNeEmmw", name="stranger")
TEMPLATE = "https://login.microsoftonline.com/{tenantid}/v2.0"


def claims_of(tenant: str = TENANT, **changes: Any) -> dict[str, Any]:
    """Return the claims of a v2 access token of a user (learn.microsoft.com, access token claims reference)."""
    return {
        "aud": APP,
        "iss": f"https://login.microsoftonline.com/{tenant}/v2.0",
        "azp": CLIENT,
        "azpacr": "1",
        "oid": "77777777-1111-4222-8333-444444444444",
        "preferred_username": "ann@corp.example",
        "roles": ["Agent.Operator"],
        "scp": "Agents.Run Agents.Read",
        "sub": "Zx9-pairwise_subject",
        "tid": tenant,
        "ver": "2.0",
        "aio": "AUQAu",
        "rh": "0.AX",
        **changes,
    }


def publish_keys(field: Field, target: str = "/keys") -> None:
    """Publish Entra's key set: a certificate beside each key, and the template of the issuers that they sign for."""
    keys = (KEY, Signer("before", name="field-2"))
    field.issuer.publish(target, *[key.jwk(use="sig", issuer=TEMPLATE, **key.x5c()) for key in keys])


async def test_entra_v2_single_tenant(field: Field) -> None:
    """OfficeDev/office-js-docs-pr#4385, envoyproxy/envoy#26500: shape of the tokens."""
    publish_keys(field, f"/{TENANT}/discovery/v2.0/keys")
    keys = f"{field.issuer.url}/{TENANT}/discovery/v2.0/keys"
    issuer = field.issuer.announce(f"/{TENANT}/v2.0", keys, cloud_instance_name="microsoftonline.com")
    text = f"""
providers:
  entra: {{type: oidc, issuer: "{issuer}", audience: [{APP}, "api://{APP}"]}}
upstreams:
  mastra: {{url: "${{UPSTREAM}}", identity: {{headers: {{X-Roles: roles, X-Client: client}}}}}}
routes:
  /api: {{provider: entra, allow: {{scope: Agents.Run, role: Agent.Operator, client: {CLIENT}}}}}
"""
    own = claims_of(iss=issuer)
    async with field.serving(text) as gateway:
        arrived = await gateway.passes("/api/x", KEY.token(own))
        assert (arrived.all("X-Roles"), arrived.all("X-Client")) == (["Agent.Operator"], [CLIENT])
        await gateway.passes("/api/x", KEY.token({**own, "aud": f"api://{APP}"}))
        # The keys of one cloud sign for all its tenants: the issuer alone keeps them apart.
        await gateway.refuses("/api/x", KEY.token(claims_of(OTHER_TENANT)), "issuer_mismatch")
        await gateway.refuses("/api/x", KEY.token({**own, "aud": CLIENT}), "audience_mismatch")
        await gateway.refuses("/api/x", KEY.token({**own, "scp": "Agents.Runner"}), "insufficient_scope")
        await gateway.refuses("/api/x", KEY.token({**own, "azp": APP}), "access_denied")
        await gateway.refuses("/api/x", STRANGER.token(own), "signature_invalid")


async def test_entra_some_tenants(field: Field) -> None:
    """425show/fastapi_microsoft_identity#16."""
    publish_keys(field)
    text = f"""
providers:
  entra:
    type: oidc
    issuer:
      - https://login.microsoftonline.com/{TENANT}/v2.0
      - https://login.microsoftonline.com/{OTHER_TENANT}/v2.0
    audience: {APP}
    jwks_uri: ${{ISSUER}}/keys
routes:
  /api: {{provider: entra, allow: authenticated}}
"""
    async with field.serving(text) as gateway:
        await gateway.passes("/api/x", KEY.token(claims_of(TENANT)))
        await gateway.passes("/api/x", KEY.token(claims_of(OTHER_TENANT)))
        await gateway.refuses("/api/x", KEY.token(claims_of(THIRD_TENANT)), "issuer_mismatch")
        await gateway.refuses("/api/x", KEY.token(claims_of(THIRD_TENANT, tid=TENANT)), "issuer_mismatch")


ANY_TENANT = f"""
providers:
  entra:
    type: oidc
    issuer: https://login.microsoftonline.com/{{tid}}/v2.0
    audience: {APP}
    jwks_uri: ${{ISSUER}}/keys
routes:
  /api: {{provider: entra, allow: authenticated}}
"""


async def test_entra_any_tenant(field: Field) -> None:
    """openai/codex#38973, kilork/openid#70, microsoft/Agents#626."""
    publish_keys(field)
    bent = {"tid": "x/y", "iss": "https://login.microsoftonline.com/x/y/v2.0"}
    async with field.serving(ANY_TENANT) as gateway:
        for tenant in (TENANT, OTHER_TENANT, THIRD_TENANT):
            await gateway.passes("/api/x", KEY.token(claims_of(tenant)))
        for tenant in (TENANT, OTHER_TENANT, OTHER_TENANT.upper()):
            mixed = claims_of(OTHER_TENANT if tenant != OTHER_TENANT else TENANT, tid=tenant)
            await gateway.refuses("/api/x", KEY.token(mixed), "issuer_mismatch")
        await gateway.refuses("/api/x", STRANGER.token(claims_of(THIRD_TENANT)), "signature_invalid")
        for changes in (
            {"tid": None},
            {"tid": ""},
            {"tid": [THIRD_TENANT]},
            {"tid": THIRD_TENANT + "0"},
            bent,
            {"tid": "..", "iss": "https://login.microsoftonline.com/../v2.0"},
            {"tid": "{tid}", "iss": "https://login.microsoftonline.com/{tid}/v2.0"},
            {"tid": "", "iss": "https://login.microsoftonline.com//v2.0"},
            {"iss": f"https://login.microsoftonline.com.evil.example/{THIRD_TENANT}/v2.0"},
            {"iss": f"https://login.microsoftonline.com/{THIRD_TENANT}/v2.0/"},
            {"iss": f"https://sts.windows.net/{THIRD_TENANT}/"},
        ):
            await gateway.refuses("/api/x", KEY.token(claims_of(THIRD_TENANT, **changes)), "issuer_mismatch")


async def test_entra_any_tenant_by_discovery(field: Field) -> None:
    """As `entra-any-tenant`, with the keys of each tenant where its own document says."""
    for tenant in (TENANT, OTHER_TENANT):
        publish_keys(field, f"/{tenant}/keys")
        field.issuer.announce(f"/{tenant}/v2.0", f"{field.issuer.url}/{tenant}/keys")
    field.issuer.announce("/common/v2.0", f"{field.issuer.url}/{TENANT}/keys")
    text = ANY_TENANT.replace("    jwks_uri: ${ISSUER}/keys\n", "").replace(
        "https://login.microsoftonline.com", "${ISSUER}"
    )

    def own(tenant: str) -> dict[str, Any]:
        return claims_of(tenant, iss=f"{field.issuer.url}/{tenant}/v2.0")

    async with field.serving(text) as gateway:
        await gateway.passes("/api/x", KEY.token(own(TENANT)))
        await gateway.passes("/api/x", KEY.token(own(OTHER_TENANT)))
        await gateway.refuses("/api/x", STRANGER.token(own(TENANT)), "signature_invalid")
        # What nobody announces has no keys; and that is no outage of the issuer's.
        found = await gateway.ask("/api/x", KEY.token(own(THIRD_TENANT)))
        assert found.status in (401, 503) and field.upstream.take()[2:] == []
        asked = len(field.issuer.asked)
        await gateway.refuses("/api/x", KEY.token(own("x/../y")), "issuer_mismatch")
        assert len(field.issuer.asked) == asked, "nothing is fetched for a token that no template fits"


async def test_entra_common_discovery(paper: Field) -> None:
    """openai/codex#38973, panva/openid-client#277: the document of `common` names a template as its issuer."""
    publish_keys(paper, "/common/discovery/v2.0/keys")
    paper.issuer.answer(
        "/common/v2.0/.well-known/openid-configuration",
        {"issuer": paper.issuer.url + "/{tenantid}/v2.0", "jwks_uri": f"{paper.issuer.url}/common/discovery/v2.0/keys"},
    )
    text = f"""
providers:
  entra: {{type: oidc, issuer: "${{ISSUER}}/common/v2.0", audience: {APP}}}
routes:
  /api: {{provider: entra, allow: authenticated}}
"""
    token = KEY.token(claims_of(iss=f"{paper.issuer.url}/common/v2.0"))
    explained = await paper.why(text, "/api/x", token)
    assert (explained["code"], explained["status"]) == ("keys_unavailable", 503)
    assert "{tenantid}" in str(explained), explained


def test_entra_common_is_refused_when_read(paper: Field) -> None:
    """No token has `common`, `organizations` or `consumers` in its issuer: the template is the way out."""
    for tenant in ("common", "organizations", "consumers"):
        status, said = paper.check(f"""
providers:
  entra: {{type: oidc, issuer: "https://login.microsoftonline.com/{tenant}/v2.0", audience: {APP}}}
routes:
  /api: {{provider: entra, allow: authenticated}}
""")
        assert status == 1
        assert "https://login.microsoftonline.com/{tid}/v2.0" in said, said


async def test_entra_groups_overage(field: Field) -> None:
    """oauth2-proxy/oauth2-proxy#3385, #2984, Azure/kubelogin#144, open-webui/open-webui#17510."""
    publish_keys(field)
    text = f"""
providers:
  entra:
    type: oidc
    issuer: https://login.microsoftonline.com/{TENANT}/v2.0
    audience: {APP}
    jwks_uri: ${{ISSUER}}/keys
routes:
  /api: {{provider: entra, allow: {{group: 3a3a3a3a-0000-4000-8000-000000000001}}}}
  /not: {{provider: entra, allow: {{not: {{group: 3a3a3a3a-0000-4000-8000-000000000001}}}}}}
"""
    members = {"endpoint": "https://graph.microsoft.com/v1.0/users/x/getMemberObjects"}
    overage = claims_of(_claim_names={"groups": "src1"}, _claim_sources={"src1": members})
    async with field.serving(text) as gateway:
        await gateway.refuses("/api/x", KEY.token(overage), "access_denied")
        await gateway.refuses("/api/x", KEY.token(claims_of(hasgroups=True)), "access_denied")
        # Who is in too many groups to be told of may be in this one.
        await gateway.refuses("/not/x", KEY.token(overage), "access_denied")
        await gateway.passes("/api/x", KEY.token(claims_of(groups=["3a3a3a3a-0000-4000-8000-000000000001"])))
    for claims in (overage, claims_of(hasgroups=True)):
        advice = await field.advice(text, "/api/x", KEY.token(claims), "access_denied")
        assert "200" in advice and "groups" in advice, advice


async def test_entra_many_groups(field: Field) -> None:
    """Just under the overage: 199 groups make a token of 11 KiB, over the 8 KiB of one field elsewhere (aiohttp)."""
    publish_keys(field)
    text = f"""
providers:
  entra:
    type: entra
    tenant: {TENANT}
    audience: {APP}
    jwks_uri: ${{ISSUER}}/keys
routes:
  /api: {{provider: entra, allow: {{group: 3a3a3a3a-0000-4000-8000-000000000198}}}}
"""
    groups = [f"3a3a3a3a-0000-4000-8000-{number:012}" for number in range(199)]
    token = KEY.token(claims_of(groups=groups))
    assert 10_000 < len(token) < 16_384
    async with field.serving(text) as gateway:
        await gateway.passes("/api/x", token)
        await gateway.refuses("/api/x", KEY.token(claims_of(groups=groups[:-1])), "access_denied")
        await gateway.refuses("/api/x", KEY.token(claims_of(groups=groups * 2)), "token_too_large")


def test_entra_email_unverified(paper: Field) -> None:
    """BerriAI/litellm#5605 on Entra's tokens: an `email` that nobody verified (nOAuth), `xms_edov` says more."""
    text = f"""
providers:
  entra:
    type: oidc
    issuer: https://login.microsoftonline.com/{TENANT}/v2.0
    audience: {APP}MORE
routes:
  /api: {{provider: entra, allow: RULE}}
"""
    status, said = paper.check(text.replace("MORE", "").replace("RULE", "{email_domain: corp.example}"))
    assert status == 0
    assert "warning" in said and "email_verified: required" in said, said
    required = text.replace("MORE", "\n    email_verified: required").replace("RULE", "{email_domain: corp.example}")
    assert "warning" not in paper.check(required)[1]
    assert "warning" not in paper.check(text.replace("MORE", "").replace("RULE", "authenticated"))[1]


async def test_entra_app_specific_keys(field: Field) -> None:
    """nextauthjs/next-auth#5137, OutSystems/docs-odc#36: keys of an application stand at ?appid= only."""
    own = Signer("appkey", name="field-2")
    publish_keys(field, "/t/discovery/v2.0/keys")
    field.issuer.publish("/t/discovery/v2.0/keys?appid=app", own.jwk(use="sig"))
    text = f"""
providers:
  entra:
    type: oidc
    issuer: https://login.microsoftonline.com/{TENANT}/v2.0
    audience: {APP}
    jwks_uri: ${{ISSUER}}/t/discovery/v2.0/keysQUERY
routes:
  /api: {{provider: entra, allow: authenticated}}
"""
    async with field.serving(text.replace("QUERY", "?appid=app")) as gateway:
        await gateway.passes("/api/x", own.token(claims_of()))
        await gateway.refuses("/api/x", KEY.token(claims_of()), "key_unknown")
    async with field.serving(text.replace("QUERY", "")) as gateway:
        await gateway.refuses("/api/x", own.token(claims_of()), "key_unknown")
    advice = await field.advice(text.replace("QUERY", ""), "/api/x", own.token(claims_of()), "key_unknown")
    assert "appkey is not among those of" in advice, advice
