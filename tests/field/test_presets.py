"""The types of well-known issuers, with tokens of their shapes: what a type asks of a token beside what is written."""

from __future__ import annotations

from typing import Any

import pytest

from tests.field.gateways import Field
from tests.field.situations import BARE, Situation, try_situation

TENANT, OTHER_TENANT = "11111111-2222-4333-8444-555555555555", "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
POOL = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Ab12Cd34E"
PROJECT = "https://abcdefghijklmnopqrst.supabase.co/auth/v1"
ANN: dict[str, Any] = {"sub": "u1", "email": "ann@corp.example", "email_verified": True}
CORP = "{email_domain: corp.example}"
SITUATIONS = (
    Situation(
        "google",
        "audience: c, hosted_domain: corp.example",
        CORP,
        {**ANN, "iss": "https://accounts.google.com", "aud": "c", "azp": "c", "hd": "corp.example"},
        (
            ({"hd": None}, "claim_invalid"),
            ({"hd": "evil.example"}, "claim_invalid"),
            ({"hd": ["corp.example"]}, "claim_invalid"),
            ({"email_verified": None}, "access_denied"),
            ({"email_verified": False}, "access_denied"),
            ({"aud": "d"}, "audience_mismatch"),
            ({"iss": "https://accounts.google.com/"}, "issuer_mismatch"),
        ),
        {"X-Organization": "corp.example"},
        type="google",
    ),
    Situation(
        "entra-v2",
        f"tenant: {TENANT}, audience: app",
        "{role: Agent.Operator, scope: Agents.Run}",
        {
            "iss": f"https://login.microsoftonline.com/{TENANT}/v2.0",
            "aud": "app",
            "sub": "s",
            "tid": TENANT,
            "azp": "c",
            "roles": ["Agent.Operator"],
            "scp": "Agents.Run",
            "ver": "2.0",
        },
        (
            ({"iss": f"https://login.microsoftonline.com/{OTHER_TENANT}/v2.0", "tid": OTHER_TENANT}, "issuer_mismatch"),
            ({"iss": "https://login.microsoftonline.com/common/v2.0"}, "issuer_mismatch"),
            ({"iss": f"https://login.microsoftonline.us/{TENANT}/v2.0"}, "issuer_mismatch"),
            ({"aud": "00000003-0000-0000-c000-000000000000"}, "audience_mismatch"),
            ({"roles": None, "wids": ["Agent.Operator"]}, "access_denied"),
        ),
        {"X-Organization": TENANT, "X-Client": "c"},
        type="entra",
    ),
    Situation(
        "entra-v1",
        f'tenant: {TENANT}, audience: "api://app"',
        "{client: c, scope: Agents.Run}",
        {
            "iss": f"https://sts.windows.net/{TENANT}/",
            "aud": "api://app",
            "sub": "s",
            "tid": TENANT,
            "appid": "c",
            "scp": "Agents.Run",
            "ver": "1.0",
        },
        (
            ({"iss": f"https://sts.windows.net/{TENANT}"}, "issuer_mismatch"),
            ({"iss": f"https://sts.windows.net/{OTHER_TENANT}/"}, "issuer_mismatch"),
            ({"appid": "d"}, "access_denied"),
            ({"aud": "app"}, "audience_mismatch"),
        ),
        {"X-Organization": TENANT, "X-Client": "c"},
        type="entra",
    ),
    Situation(
        "entra-email",
        f"tenant: {TENANT}, audience: app",
        CORP,
        {
            "iss": f"https://login.microsoftonline.com/{TENANT}/v2.0",
            "aud": "app",
            "sub": "s",
            "tid": TENANT,
            "email": "ann@corp.example",
            "xms_edov": True,
        },
        (
            # nOAuth (descope.com, 2023): whoever administers a tenant writes any address into `email`.
            ({"xms_edov": None}, "access_denied"),
            ({"xms_edov": False}, "access_denied"),
            ({"xms_edov": None, "email_verified": True}, "access_denied"),
            ({"email": None, "preferred_username": "ann@corp.example"}, "access_denied"),
        ),
        {"X-Email": "ann@corp.example"},
        type="entra",
    ),
    Situation(
        "entra-any-tenant",
        "tenant: any, audience: app",
        f"{{organization: {TENANT}}}",
        {"iss": f"https://login.microsoftonline.com/{TENANT}/v2.0", "aud": "app", "sub": "s", "tid": TENANT},
        (
            ({"tid": OTHER_TENANT}, "issuer_mismatch"),
            ({"tid": OTHER_TENANT, "iss": f"https://sts.windows.net/{TENANT}/"}, "issuer_mismatch"),
            ({"tid": OTHER_TENANT, "iss": f"https://login.microsoftonline.com/{OTHER_TENANT}/v2.0"}, "access_denied"),
            ({"tid": None}, "issuer_mismatch"),
        ),
        {"X-Organization": TENANT},
        type="entra",
    ),
    Situation(
        "okta",
        "domain: corp.okta.com",
        "{scope: agents:run, client: 0oa1}",
        {
            "iss": "https://corp.okta.com/oauth2/default",
            "aud": "api://default",
            "sub": "ann@corp.example",
            "cid": "0oa1",
            "uid": "00u1",
            "scp": ["agents:run"],
            "ver": 1,
        },
        (
            ({"iss": "https://corp.okta.com"}, "issuer_mismatch"),
            ({"iss": "https://corp.okta.com/oauth2/default/"}, "issuer_mismatch"),
            ({"iss": "https://evil.okta.com/oauth2/default"}, "issuer_mismatch"),
            ({"aud": "https://corp.okta.com"}, "audience_mismatch"),
            ({"cid": None, "client_id": "0oa1"}, "access_denied"),
        ),
        {"X-Client": "0oa1"},
        header=BARE,
        type="okta",
    ),
    Situation(
        "keycloak",
        "url: https://sso.corp.example, realm: corp, audience: mastra",
        "{role: operator}",
        {
            **ANN,
            "iss": "https://sso.corp.example/realms/corp",
            "aud": ["mastra", "account"],
            "typ": "Bearer",
            "azp": "web",
            "realm_access": {"roles": ["operator"]},
        },
        (
            ({"typ": "ID"}, "claim_invalid"),
            ({"typ": "Refresh"}, "claim_invalid"),
            ({"typ": None}, "claim_invalid"),
            ({"aud": "account"}, "audience_mismatch"),
            ({"iss": "https://sso.corp.example/realms/corp2"}, "issuer_mismatch"),
            ({"iss": "https://sso.corp.example/auth/realms/corp"}, "issuer_mismatch"),
            ({"realm_access": None, "roles": ["operator"]}, "access_denied"),
            ({"sub": None}, "claim_invalid"),  # a lightweight access token
        ),
        {"X-Client": "web", "X-Email": "ann@corp.example"},
        type="keycloak",
    ),
    Situation(
        "cognito-access",
        "user_pool: eu-west-1_Ab12Cd34E, client: c1",
        "{group: ops, scope: agents/run}",
        {
            "iss": POOL,
            "sub": "u1",
            "token_use": "access",
            "client_id": "c1",
            "scope": "agents/run openid",
            "cognito:groups": ["ops"],
        },
        (
            ({"client_id": "c2"}, "authorized_party_mismatch"),
            ({"client_id": None, "aud": "c1"}, "authorized_party_mismatch"),
            ({"token_use": "id"}, "claim_invalid"),
            ({"token_use": None}, "claim_invalid"),
            ({"iss": POOL.replace("eu-west-1_Ab", "eu-west-1_Bb")}, "issuer_mismatch"),
            ({"cognito:groups": ["ops2"]}, "access_denied"),
        ),
        {"X-Client": "c1"},
        header=BARE,
        type="cognito",
    ),
    Situation(
        "cognito-id",
        "user_pool: eu-west-1_Ab12Cd34E, client: c1, token_use: id",
        CORP,
        {**ANN, "iss": POOL, "aud": "c1", "token_use": "id", "cognito:username": "ann"},
        (
            ({"aud": "c2"}, "audience_mismatch"),
            ({"token_use": "access"}, "claim_invalid"),
            ({"email_verified": "true"}, "access_denied"),
            ({"email_verified": False}, "access_denied"),
        ),
        {"X-Email": "ann@corp.example"},
        header=BARE,
        type="cognito",
    ),
    Situation(
        "supabase",
        "project: abcdefghijklmnopqrst",
        "authenticated",
        {"iss": PROJECT, "aud": "authenticated", "sub": "u1", "role": "authenticated", "session_id": "s"},
        (
            ({"role": "anon"}, "claim_invalid"),
            ({"role": "service_role"}, "claim_invalid"),
            ({"aud": None}, "audience_mismatch"),
            ({"iss": "supabase"}, "issuer_mismatch"),  # the anon and service keys of a project
            ({"iss": PROJECT.replace("abc", "abd")}, "issuer_mismatch"),
        ),
        algorithm="ES256",
        type="supabase",
    ),
    Situation(
        "firebase",
        "project: your-project-1234",
        CORP,
        {
            **ANN,
            "iss": "https://securetoken.google.com/your-project-1234",
            "aud": "your-project-1234",
            "firebase": {"sign_in_provider": "password", "tenant": "t-1"},
        },
        (
            ({"aud": "your-project-12345"}, "audience_mismatch"),
            ({"iss": "https://session.firebase.google.com/your-project-1234"}, "issuer_mismatch"),
            ({"email_verified": False}, "access_denied"),
            ({"email_verified": None}, "access_denied"),
        ),
        {"X-Organization": "t-1", "X-Email": "ann@corp.example"},
        type="firebase",
    ),
    Situation(
        "workos",
        "client_id: client_01HXYZ",
        "{organization: org_1, permission: agents:run, role: admin}",
        {
            "iss": "https://api.workos.com/user_management/client_01HXYZ",
            "sub": "user_1",
            "sid": "session_1",
            "org_id": "org_1",
            "role": "admin",
            "permissions": ["agents:run"],
        },
        (
            ({"iss": "https://api.workos.com/user_management/client_01HXYY"}, "issuer_mismatch"),
            ({"iss": "https://api.workos.com/"}, "issuer_mismatch"),
            ({"org_id": None}, "access_denied"),
            ({"role": "member"}, "access_denied"),
        ),
        {"X-Organization": "org_1"},
        header=BARE,
        type="workos",
    ),
    Situation(
        "better-auth",
        "url: https://app.corp.example",
        CORP,
        {
            "iss": "https://app.corp.example",
            "aud": "https://app.corp.example",
            "sub": "u1",
            "email": "ann@corp.example",
            "emailVerified": True,
        },
        (
            ({"emailVerified": False}, "access_denied"),
            ({"emailVerified": None}, "access_denied"),
            ({"emailVerified": None, "email_verified": True}, "access_denied"),
            ({"aud": "https://other.corp.example"}, "audience_mismatch"),
            ({"iss": "https://app.corp.example/"}, "issuer_mismatch"),
        ),
        {"X-Email": "ann@corp.example"},
        algorithm="EdDSA",
        header=BARE,
        type="better_auth",
    ),
)


@pytest.mark.parametrize("situation", [pytest.param(one, id=one.name) for one in SITUATIONS])
async def test_type(field: Field, situation: Situation) -> None:
    """The page of each issuer about its tokens; what must be refused is the issuer's own, for another purpose."""
    await try_situation(field, situation)
