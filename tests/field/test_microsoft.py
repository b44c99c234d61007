"""Microsoft's other issuers: ADFS, Azure AD B2C, and the header of App Service."""

from __future__ import annotations

from tests.field.gateways import Field
from tests.field.issuer import Signer

KEY = Signer("adfs")
STRANGER = Signer("adfs", name="stranger")


async def test_adfs_http_issuer_name(field: Field) -> None:
    """aspnet/Security#1852, openid/AppAuth-Android#642, MicrosoftDocs/windowsserverdocs#551: the issuer is a name."""
    field.issuer.publish("/adfs/discovery/keys", KEY.jwk(use="sig"))
    text = """
providers:
  adfs:
    type: oidc
    issuer: http://adfs.corp.example/adfs/services/trust
    audience: microsoft:identityserver:mastra
    jwks_uri: ${ISSUER}/adfs/discovery/keys
routes:
  /api: {provider: adfs, allow: {client: x, scope: openid}}
"""
    claims = {
        "aud": "microsoft:identityserver:mastra",
        "iss": "http://adfs.corp.example/adfs/services/trust",
        "sub": "S-1-5",
        "apptype": "Public",
        "appid": "x",
        "ver": "1.0",
        "scp": "openid",
    }
    async with field.serving(text) as gateway:
        await gateway.passes("/api/x", KEY.token(claims))
        https = "https://adfs.corp.example/adfs/services/trust"
        await gateway.refuses("/api/x", KEY.token({**claims, "iss": https}), "issuer_mismatch")
        await gateway.refuses("/api/x", KEY.token({**claims, "appid": "y"}), "access_denied")
        await gateway.refuses("/api/x", STRANGER.token(claims), "signature_invalid")
    # A name is never asked for keys: without an address of them it is an address, which must be https.
    without = text.replace("    jwks_uri: ${ISSUER}/adfs/discovery/keys\n", "")
    status, said = field.check(without)
    assert status == 1 and "providers.adfs.issuer" in said, said
    plain = text.replace("${ISSUER}/adfs", "http://adfs.corp.example/adfs")
    status, said = field.check(plain)
    assert status == 1 and "providers.adfs.jwks_uri" in said, said


async def test_emails_is_a_list(field: Field) -> None:
    """requarks/wiki#7052, AzureAD/passport-azure-ad#97: `emails` of Azure AD B2C."""
    field.issuer.publish("/keys", KEY.jwk(use="sig"))
    text = """
upstreams:
  mastra: {url: "${UPSTREAM}", identity: {headers: {X-Email: email}}}
providers:
  b2c:
    type: oidc
    issuer: https://corp.b2clogin.com/t/v2.0/
    audience: app
    jwks_uri: ${ISSUER}/keys
    email_claim: NAME
routes:
  /api: {provider: b2c, allow: {email_domain: corp.example}}
"""
    claims = {"iss": "https://corp.b2clogin.com/t/v2.0/", "aud": "app", "sub": "u", "tfp": "B2C_1_signin"}
    ann, mallory = "ann@corp.example", "mallory@evil.example"
    async with field.serving(text.replace("NAME", "emails")) as gateway:
        arrived = await gateway.passes("/api/x", KEY.token({**claims, "emails": [ann]}))
        assert arrived.all("X-Email") == [ann]
        for emails in (
            [mallory, ann],
            [ann, mallory],
            [ann, ann],
            [],
            [[ann]],
            [{"value": ann}],
            [mallory],
            [ann, None],
        ):
            await gateway.refuses("/api/x", KEY.token({**claims, "emails": emails}), "access_denied")
    async with field.serving(text.replace("NAME", "/emails/0")) as gateway:
        await gateway.passes("/api/x", KEY.token({**claims, "emails": [ann]}))
        await gateway.refuses("/api/x", KEY.token({**claims, "emails": [mallory, ann]}), "access_denied")


async def test_app_service_header(field: Field) -> None:
    """Azure App Service hands the access token on as X-MS-TOKEN-AAD-ACCESS-TOKEN, bare (oauth of the platform)."""
    field.issuer.publish("/keys", KEY.jwk(use="sig"))
    text = """
providers:
  entra:
    type: oidc
    issuer: https://sts.windows.net/t/
    audience: api://app
    jwks_uri: ${ISSUER}/keys
    token_from: [{header: X-MS-TOKEN-AAD-ACCESS-TOKEN}]
routes:
  /api: {provider: entra, allow: {client: c}}
"""
    token = KEY.token({"iss": "https://sts.windows.net/t/", "aud": "api://app", "sub": "s", "appid": "c", "ver": "1.0"})
    async with field.serving(text) as gateway:
        await gateway.passes("/api/x", headers=[("X-MS-TOKEN-AAD-ACCESS-TOKEN", token)])
        await gateway.refuses("/api/x", token, "token_missing")
        # The spelling with `_` is another name in HTTP, and the same one to many upstreams.
        await gateway.refuses("/api/x", None, "token_missing", headers=[("X_MS_TOKEN_AAD_ACCESS_TOKEN", token)])
        twice = [("X-MS-TOKEN-AAD-ACCESS-TOKEN", token)] * 2
        await gateway.refuses("/api/x", None, "several_credentials", headers=twice)
