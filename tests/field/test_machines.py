"""Machines that call: GitHub Actions, GitLab CI, Kubernetes, SPIFFE; who they are is said by their claims."""

from __future__ import annotations

from typing import Any

from tests.field.gateways import Field
from tests.field.issuer import Signer

KEY, NEXT, STRANGER = Signer("38826b17"), Signer("001DDCD0", name="field-2"), Signer("38826b17", name="stranger")
AUDIENCE = "https://agents.corp.example"


def publish(field: Field, path: str) -> str:
    """Publish keys and discovery of an issuer; returns it."""
    keys = field.issuer.publish(f"{path}/jwks", KEY.jwk(alg="RS256", use="sig", **KEY.x5c()), NEXT.jwk(use="sig"))
    return field.issuer.announce(path, keys, subject_types_supported=["public", "pairwise"])


async def test_github_actions(field: Field) -> None:
    """pypi/warehouse#10645, chanzuckerberg/happy#887: repository and branch by claim, owner by the subject's begin."""
    issuer = publish(field, "/gha")
    text = f"""
upstreams:
  mastra:
    url: ${{UPSTREAM}}
    identity: {{headers: {{X-Subject: subject, X-Repo: "claim:repository"}}}}
providers:
  ci: {{type: oidc, issuer: "{issuer}", audience: "{AUDIENCE}"}}
routes:
  /api: {{provider: ci, allow: {{claim: {{repository: corp/app, ref: refs/heads/main}}}}}}
  /any:
    provider: ci
    allow: {{when: 'claims.sub.startsWith("repo:corp/") || claims.sub.startsWith("repo:corp@")'}}
"""
    claims = {
        "iss": issuer,
        "aud": AUDIENCE,
        "sub": "repo:corp/app:ref:refs/heads/main",
        "repository": "corp/app",
        "repository_owner": "corp",
        "ref": "refs/heads/main",
        "run_id": "1",
        "actor": "ann",
        "job_workflow_ref": "corp/app/.github/workflows/ci.yml@refs/heads/main",
    }
    async with field.serving(text) as gateway:
        arrived = await gateway.passes("/api/x", KEY.token(claims))
        assert (arrived.all("X-Subject"), arrived.all("X-Repo")) == ([claims["sub"]], ["corp/app"])
        for changes in (
            {"ref": "refs/heads/x"},
            {"ref": "refs/heads/main2"},
            {"ref": None},
            {"repository": "corp/app2"},
            {"repository": "evil/app"},
            {"repository": "Corp/App"},
        ):
            await gateway.refuses("/api/x", KEY.token({**claims, **changes}), "access_denied")
        await gateway.passes("/any/x", KEY.token({**claims, "sub": "repo:corp@1/app@2:ref:refs/heads/main"}))
        await gateway.refuses("/any/x", KEY.token({**claims, "sub": "repo:corp-evil/app:ref:x"}), "access_denied")
        await gateway.refuses("/api/x", KEY.token({**claims, "aud": "https://github.com/corp"}), "audience_mismatch")
        await gateway.refuses("/api/x", STRANGER.token(claims), "signature_invalid")


async def test_gitlab_ci(field: Field) -> None:
    """GitLab's ID tokens: numbers and booleans as text, `groups_direct`, `ref_protected: "true"`."""
    issuer = publish(field, "/gitlab")
    text = f"""
providers:
  ci: {{type: oidc, issuer: "{issuer}", audience: "{AUDIENCE}", groups_claim: groups_direct}}
routes:
  /api: {{provider: ci, allow: {{claim: {{project_id: "42", ref_protected: "true"}}, group: corp/agents}}}}
  /number: {{provider: ci, allow: {{claim: {{project_id: 42}}}}}}
  /bool: {{provider: ci, deny: {{claim: {{ref_protected: false}}}}, allow: authenticated}}
"""
    claims: dict[str, Any] = {
        "iss": issuer,
        "aud": AUDIENCE,
        "sub": "project_path:corp/agents/app:ref_type:branch:ref:main",
        "project_id": "42",
        "namespace_id": "7",
        "ref": "main",
        "ref_protected": "true",
        "groups_direct": ["corp/agents", "corp"],
    }
    async with field.serving(text) as gateway:
        await gateway.passes("/api/x", KEY.token(claims))
        for changes in ({"project_id": 42}, {"project_id": "042"}, {"ref_protected": True}, {"ref_protected": "false"}):
            await gateway.refuses("/api/x", KEY.token({**claims, **changes}), "access_denied")
        await gateway.refuses(
            "/api/x", KEY.token({**claims, "groups_direct": ["corp/agents2", "corp"]}), "access_denied"
        )
        # A number in the file is no text in the token, and what `deny` cannot compare is refused.
        await gateway.refuses("/number/x", KEY.token(claims), "access_denied")
        await gateway.passes("/number/x", KEY.token({**claims, "project_id": 42}))
        await gateway.refuses("/bool/x", KEY.token(claims), "denied_by_rule")
        await gateway.passes("/bool/x", KEY.token({**claims, "ref_protected": True}))


async def test_service_accounts_of_kubernetes(field: Field) -> None:
    """kubernetes.io/docs: projected tokens; audience as a list, namespace and account in an object."""
    issuer = publish(field, "/cluster")
    text = f"""
providers:
  cluster:
    type: oidc
    issuer: {issuer}
    audience: [mastra, mastra-internal]
routes:
  /api: {{provider: cluster, allow: {{claim: {{/kubernetes.io/namespace: agents}}}}}}
  /one: {{provider: cluster, allow: {{subject: "system:serviceaccount:agents:runner"}}}}
"""
    account = {
        "namespace": "agents",
        "pod": {"name": "p", "uid": "1"},
        "serviceaccount": {"name": "runner", "uid": "2"},
    }
    claims: dict[str, Any] = {
        "iss": issuer,
        "aud": ["mastra"],
        "sub": "system:serviceaccount:agents:runner",
        "kubernetes.io": account,
    }
    async with field.serving(text) as gateway:
        for path in ("/api/x", "/one/x"):
            await gateway.passes(path, KEY.token(claims))
            for audience in (["https://kubernetes.default.svc"], [], ["mastra-", ["mastra"]], "mastra mastra-internal"):
                answer = await gateway.ask(path, KEY.token({**claims, "aud": audience}))
                assert answer.status == 401 and field.upstream.take()[1:] == [], audience
                field.upstream.take()
        other = {**account, "namespace": "agents-evil"}
        await gateway.refuses("/api/x", KEY.token({**claims, "kubernetes.io": other}), "access_denied")
        dotted = {**claims, "kubernetes.io": None, "kubernetes": {"io": account}}
        await gateway.refuses("/api/x", KEY.token(dotted), "access_denied")
        other_account = {**claims, "sub": "system:serviceaccount:agents:runner2"}
        await gateway.refuses("/one/x", KEY.token(other_account), "access_denied")


async def test_spiffe_jwt_svid(field: Field) -> None:
    """SPIFFE's JWT-SVID: the subject is a spiffe:// URI, keys of a bundle have the use jwt-svid."""
    field.issuer.publish("/keys", KEY.jwk(use="jwt-svid"), NEXT.jwk(use="x509-svid"), Signer("ordinary", "ES256").jwk())
    text = f"""
providers:
  spire:
    type: oidc
    issuer: https://oidc-discovery.corp.example
    audience: {AUDIENCE}
    algorithms: [RS256, ES256]
    jwks_uri: ${{ISSUER}}/keys
routes:
  /api: {{provider: spire, allow: {{subject: "spiffe://corp.example/ns/agents/sa/runner"}}}}
"""
    claims = {
        "iss": "https://oidc-discovery.corp.example",
        "aud": [AUDIENCE],
        "sub": "spiffe://corp.example/ns/agents/sa/runner",
    }
    ordinary = Signer("ordinary", "ES256")
    async with field.serving(text) as gateway:
        await gateway.passes("/api/x", ordinary.token(claims))
        await gateway.refuses("/api/x", ordinary.token({**claims, "iss": None}), "issuer_mismatch")
        other = {**claims, "sub": "spiffe://corp.example.evil.example/ns/agents/sa/runner"}
        await gateway.refuses("/api/x", ordinary.token(other), "access_denied")
        # A key of another use is not for this (RFC 7517 section 4.2), as SPIRE's own bundle endpoint has them.
        await gateway.refuses("/api/x", KEY.token(claims), "key_unknown")
        await gateway.refuses("/api/x", NEXT.token(claims), "key_unknown")
