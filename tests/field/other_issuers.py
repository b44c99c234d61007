"""Issuers that have no type of their own, as data: what their access tokens look like, and what must be refused."""

from __future__ import annotations

from tests.field.situations import BARE, Situation

PROJECT_ROLES = "urn:zitadel:iam:org:project:roles"
_ORG = "org_id_to_org_member_info"
SITUATIONS = (
    Situation(
        "zitadel",
        'issuer: "https://corp-abc.zitadel.cloud", audience: "2222", '
        'organization_claim: "urn:zitadel:iam:user:resourceowner:id"',
        f'{{organization: "77", claim: {{/{PROJECT_ROLES}/admin/77: corp.example}}}}',
        {
            "iss": "https://corp-abc.zitadel.cloud",
            "aud": ["1111@mastra", "2222"],
            "sub": "163840776835432705",
            "urn:zitadel:iam:user:resourceowner:id": "77",
            PROJECT_ROLES: {"admin": {"77": "corp.example"}},
        },
        (
            ({PROJECT_ROLES: {"reader": {"77": "corp.example"}}}, "access_denied"),
            ({PROJECT_ROLES: {"admin": {"78": "corp.example"}}}, "access_denied"),
            ({PROJECT_ROLES: ["admin"]}, "access_denied"),
            ({"urn:zitadel:iam:user:resourceowner:id": "78"}, "access_denied"),
            ({"aud": ["1111@mastra"]}, "audience_mismatch"),
            ({"iss": "https://corp-abd.zitadel.cloud"}, "issuer_mismatch"),
        ),
        {"X-Organization": "77"},
    ),
    Situation(
        "authentik",
        'issuer: "https://auth.corp.example/application/o/mastra/", audience: "kX9"',
        '{group: "authentik Admins"}',
        {
            "iss": "https://auth.corp.example/application/o/mastra/",
            "aud": "kX9",
            "sub": "b2e4",
            "groups": ["authentik Admins", "ops"],
            "email": "ann@corp.example",
            "email_verified": True,
            "azp": "kX9",
            "uid": "u",
            "acr": "goauthentik.io/providers/oauth2/default",
        },
        (
            ({"iss": "https://auth.corp.example/application/o/mastra"}, "issuer_mismatch"),
            ({"iss": "https://auth.corp.example/application/o/other/"}, "issuer_mismatch"),
            ({"groups": ["authentik", "Admins"]}, "access_denied"),
            ({"groups": "authentik Admins ops"}, "access_denied"),
        ),
        {"X-Email": "ann@corp.example"},
    ),
    Situation(
        "kinde",
        'issuer: "https://corp.kinde.com", audience: none, client: ["c1"], organization_claim: org_code',
        "{organization: org_9f, permission: agents:run}",
        {
            "iss": "https://corp.kinde.com",
            "aud": [],
            "sub": "kp_1",
            "azp": "c1",
            "org_code": "org_9f",
            "permissions": ["agents:run"],
            "feature_flags": {"theme": {"t": "s", "v": "pink"}},
            "scp": ["openid", "offline"],
        },
        (
            ({"azp": "c2"}, "authorized_party_mismatch"),
            ({"azp": None}, "authorized_party_mismatch"),
            ({"org_code": "org_9"}, "access_denied"),
            ({"permissions": ["agents:running"]}, "access_denied"),
        ),
        {"X-Client": "c1"},
        header=BARE,
    ),
    Situation(
        "fusionauth",
        'issuer: "acme.com", audience: "10000000-0000-0002-0000-000000000001", client_claim: applicationId',
        "{role: agent runner, client: 10000000-0000-0002-0000-000000000001}",
        {
            "iss": "acme.com",
            "aud": "10000000-0000-0002-0000-000000000001",
            "sub": "858a4b01-62c8-4c2f-bfa7-6d018833bea7",
            "applicationId": "10000000-0000-0002-0000-000000000001",
            "roles": ["agent runner"],
            "authenticationType": "PASSWORD",
            "email": "ann@corp.example",
            "email_verified": True,
            "tid": "t",
        },
        (
            ({"iss": "https://acme.com"}, "issuer_mismatch"),
            ({"iss": "acme.com/"}, "issuer_mismatch"),
            ({"roles": ["agent", "runner"]}, "access_denied"),
            ({"applicationId": "10000000-0000-0002-0000-000000000002"}, "access_denied"),
        ),
    ),
    Situation(
        "ory-hydra",
        'issuer: "https://hydra.corp.example/", audience: none, client: worker, roles_claim: /ext/roles',
        "{role: runner, scope: [agents.run, offline]}",
        {
            "iss": "https://hydra.corp.example/",
            "aud": [],
            "client_id": "worker",
            "sub": "worker",
            "ext": {"roles": ["runner"]},
            "scp": ["agents.run", "offline"],
            "jti": "j",
        },
        (
            ({"client_id": "other"}, "authorized_party_mismatch"),
            ({"scp": ["agents.run"]}, "insufficient_scope"),
            ({"scp": {"agents.run": True, "offline": True}}, "insufficient_scope"),
            ({"scp": [["agents.run", "offline"]]}, "insufficient_scope"),
            ({"ext": {"roles": {"runner": {}}}}, "access_denied"),
            ({"ext": None, "roles": ["runner"]}, "access_denied"),
        ),
    ),
    Situation(
        "descope",
        'issuer: "https://api.descope.com/v1/apps/P2abc", audience: none, organization_claim: dct, '
        "required_claims: [drn]",
        "{organization: T1, when: \"'runner' in claims.tenants[claims.dct].roles\"}",
        {
            "iss": "https://api.descope.com/v1/apps/P2abc",
            "sub": "U2x",
            "drn": "DS",
            "dct": "T1",
            "tenants": {"T1": {"roles": ["runner"]}, "T2": {"roles": ["admin"]}},
            "amr": ["email"],
        },
        (
            ({"dct": "T2"}, "access_denied"),
            ({"tenants": {"T1": {"roles": []}}}, "access_denied"),
            ({"tenants": {"T2": {"roles": ["runner"]}}}, "access_denied"),
            ({"tenants": None}, "access_denied"),
            ({"drn": None}, "claim_invalid"),
        ),
        {"X-Organization": "T1"},
        header=BARE,
    ),
    Situation(
        "propelauth",
        'issuer: "https://auth.corp.example", audience: none',
        f"{{when: \"claims.{_ORG}.exists(id, claims.{_ORG}[id].org_name == 'Corp' && "
        f"'runner' in claims.{_ORG}[id].user_permissions)\"}}",
        {
            "iss": "https://auth.corp.example",
            "sub": "31c41c16",
            "user_id": "31c41c16",
            "email": "ann@corp.example",
            _ORG: {"1189c444": {"org_name": "Corp", "user_role": "Owner", "user_permissions": ["runner"]}},
        },
        (
            ({_ORG: {"1189c444": {"org_name": "Corp", "user_permissions": []}}}, "access_denied"),
            (
                {
                    _ORG: {
                        "a": {"org_name": "Corp", "user_permissions": []},
                        "b": {"org_name": "x", "user_permissions": ["runner"]},
                    }
                },
                "access_denied",
            ),
            ({_ORG: []}, "access_denied"),
            ({_ORG: None}, "access_denied"),
        ),
        header=BARE,
    ),
    Situation(
        "logto",
        'issuer: "https://corp.logto.app/oidc", audience: "https://agents.corp.example", algorithms: [ES384]',
        "{scope: agents:run, client: app1}",
        {
            "iss": "https://corp.logto.app/oidc",
            "aud": "https://agents.corp.example",
            "sub": "u1",
            "client_id": "app1",
            "scope": "agents:run agents:read",
        },
        (
            ({"aud": "urn:logto:organization:o1"}, "audience_mismatch"),
            ({"scope": "agents:run:all"}, "insufficient_scope"),
            ({"client_id": "app2"}, "access_denied"),
        ),
        algorithm="ES384",
        header={"typ": "at+jwt"},
    ),
    Situation(
        "duende-identityserver",
        'issuer: "https://login.corp.example", audience: mastra, roles_claim: role',
        "{scope: [mastra.run, mastra.read], role: runner}",
        {
            "iss": "https://login.corp.example",
            "aud": ["mastra", "https://login.corp.example/resources"],
            "sub": "818727",
            "client_id": "web",
            "scope": ["openid", "mastra.run", "mastra.read"],
            "role": "runner",
            "idp": "local",
            "amr": ["pwd"],
        },
        (
            ({"scope": ["openid", "mastra.run"]}, "insufficient_scope"),
            ({"role": ["readers"]}, "access_denied"),
            ({"aud": ["https://login.corp.example/resources"]}, "audience_mismatch"),
            ({"iss": "https://LOGIN.corp.example"}, "issuer_mismatch"),
        ),
        header={"typ": "at+jwt"},
    ),
    Situation(
        "frontegg",
        'issuer: "https://app-x.frontegg.com", audience: "v1", organization_claim: tenantId',
        "{organization: t-1, role: Admin, permission: [fe.agents.run]}",
        {
            "iss": "https://app-x.frontegg.com",
            "aud": "v1",
            "sub": "u1",
            "tenantId": "t-1",
            "roles": ["Admin"],
            "permissions": ["fe.agents.run", "fe.*"],
            "type": "userToken",
            "email": "ann@corp.example",
            "email_verified": True,
        },
        (
            ({"tenantId": "t-2", "tenantIds": ["t-1", "t-2"]}, "access_denied"),
            ({"permissions": ["fe.*"]}, "access_denied"),
            ({"roles": ["admin"]}, "access_denied"),
        ),
        header=BARE,
    ),
    Situation(
        "circleci",
        'issuer: "https://oidc.circleci.com/org/o1", audience: o1',
        "{claim: {oidc.circleci.com/project-id: p1}}",
        {
            "iss": "https://oidc.circleci.com/org/o1",
            "aud": "o1",
            "sub": "org/o1/project/p1/user/u1",
            "oidc.circleci.com/project-id": "p1",
            "oidc.circleci.com/context-ids": ["c1"],
        },
        (
            ({"oidc.circleci.com/project-id": "p2"}, "access_denied"),
            ({"oidc.circleci.com/project-id": None, "oidc.circleci.com": {"project-id": "p1"}}, "access_denied"),
            ({"iss": "https://oidc.circleci.com/org/o2"}, "issuer_mismatch"),
        ),
        header=BARE,
    ),
)
