"""What a team that moves to the gateway does: the same clients, the same tokens, another address."""

from __future__ import annotations

import hmac
import json
import re
import shutil
import subprocess
import sys
import time
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.policy.mastra_roles import ROLES, asked_permissions, covers, permission_patterns
from tests.mastra.conftest import GUIDE_SECRET, HERE, RunNode, StartMastra, arrivals
from tests.minting import b64, mint, rsa_key
from tests.nodejs import give_up
from tests.processes import gateway_process
from tests.security.forge import jwk
from tests.security.rig import Keys, KeyServer

GUIDES = HERE.parents[1] / "docs" / "how-to"
# What jwt.io generates for the guide's secret: no exp. https://mastra.ai/docs/auth/jwt
GUIDE_TOKEN = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
    ".eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiYWRtaW4iOnRydWUsImlhdCI6MTUxNjIzOTAyMn0"
    ".OKP4ZyMbgbVLGTX7G620Ur7gaIAtfeW7vDzzb3MQdQQ"
)
GUIDE_BODY = '{\n    "messages": "Weather in London"\n  }'
TWENTY_WORDS = "".join(f"w{number} " for number in range(20))
SIGNING_SECRET = "kJ4v9QzT2mX7bW1cR8yL5nP3sD6fG0hA-signed"
PAGE_OF_CLERK = "https://app.example.com"  # `authorized_parties` of the guide


def guide_file(page: str, number: int, upstream: str, replaced: dict[str, str] | None = None) -> str:
    """Return a guide's YAML file as a reader pastes it, but for its upstream and for `replaced`, old by new."""
    text: str = re.findall(r"```yaml\n(.*?)```", (GUIDES / page).read_text(), re.DOTALL)[number]
    for old, new in {"http://localhost:4111": upstream, **(replaced or {})}.items():
        assert text.count(old) == 1, f"{page}, file {number}: expected {old!r} once"
        text = text.replace(old, new)
    return text


def curl(url: str, *options: str, bearer: str | None = None) -> tuple[int, dict[str, Any]]:
    """Ask with the real curl; return status and JSON body."""
    if shutil.which("curl") is None:
        give_up("needs curl, the client of Mastra's own guide")
    authorization = ["-H", f"Authorization: Bearer {bearer}"] if bearer else []
    command = ["curl", "-sS", "-w", "\n%{http_code}", url, *options, *authorization]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body)


def refused(answer: tuple[int, dict[str, Any]]) -> tuple[int, str | None, str | None]:
    """Return status, error and code; the latter two are None where the caller was let in."""
    status, body = answer
    return status, body.get("error"), body.get("code")


@pytest.fixture
def keys() -> Iterator[KeyServer]:
    """A key server that publishes the key `idp-1`."""
    server = KeyServer()
    server.paths["/jwks"] = Keys([jwk("idp-1")])
    yield server
    server.close()


def issue(issuer: str, key: str = "idp-1", **claims: Any) -> str:
    """Return an RS256 token that lives for five minutes; its header names the key `idp-1`."""
    now = int(time.time())
    return mint({"iss": issuer, "iat": now, "exp": now + 300, **claims}, rsa_key(key), "RS256", kid="idp-1")


# ---- Mastra's JWT guide ------------------------------------------------------------


def test_guides_token_is_signed_with_the_guides_secret() -> None:
    signed, _, signature = GUIDE_TOKEN.rpartition(".")
    assert b64(hmac.digest(GUIDE_SECRET.encode(), signed.encode(), "sha256")) == signature


@pytest.mark.parametrize("auth", ["none", "jwt"])
def test_steps_of_mastras_jwt_guide_work_with_another_address(
    start_mastra: StartMastra, run_node: RunNode, tmp_path: Path, auth: str
) -> None:
    # https://mastra.ai/docs/auth/jwt, with MastraJwtAuth still in Mastra and without.
    with start_mastra(AUTH=auth) as upstream:
        text = guide_file("from-mastra-jwt-auth.md", 0, upstream)
        with gateway_process(text, tmp_path, {"MASTRA_JWT_SECRET": GUIDE_SECRET}) as (address, _):
            generate = f"{address}/api/agents/weatherAgent/generate"
            body = ["-X", "POST", "-H", "Content-Type: application/json", "-d", GUIDE_BODY]
            status, answer = curl(generate, *body, bearer=GUIDE_TOKEN)
            assert (status, answer["text"]) == (200, TWENTY_WORDS)
            found = run_node("client.mjs", "listAgents", "generate", BASE_URL=address, TOKEN=GUIDE_TOKEN)
            assert found["failed"] == [], found

            assert (let_in := len(arrivals(upstream))) == 3
            assert refused(curl(generate, *body)) == (401, "Authentication required", "token_missing")
            forged = mint({"sub": "1234567890", "admin": True}, b"another secret of at least 32 bytes")
            assert refused(curl(generate, *body, bearer=forged)) == (
                401,
                "Invalid or expired token",
                "signature_invalid",
            )
            assert len(arrivals(upstream)) == let_in, "Mastra heard of a request that was refused"


# ---- the real client -----------------------------------------------------------------


def everyday_file(upstream: str) -> str:
    return f"""
upstream: {upstream}
providers:
  jobs: {{type: jwt, expiry: optional}}
routes:
  /api: {{provider: jobs, allow: authenticated}}
cors:
  origins: [http://app.example]
"""


def test_every_check_of_a_real_client_passes(mastra: str, run_node: RunNode, tmp_path: Path) -> None:
    with gateway_process(everyday_file(mastra), tmp_path, {"MASTRA_JWT_SECRET": GUIDE_SECRET}) as (address, log):
        found = run_node("client.mjs", BASE_URL=address, UPSTREAM=mastra, TOKEN=GUIDE_TOKEN)
        results = found["results"]
        assert found["failed"] == [], {name: results[name] for name in found["failed"]}
        assert len(results) == 16
        for name in ("abort", "abortGenerate"):
            assert 0 <= results[name]["stoppedAfterMs"] <= 100, "the model ran on after the client had left"
        said = {name: (results[name]["body"]["error"], results[name]["body"]["code"]) for name in REFUSED}
        assert said == REFUSED
        assert results["preflight"]["headers"]["access-control-allow-origin"] == "http://app.example"
        reached = {one["headers"].get("x-check") for one in arrivals(mastra)}
        assert set(results) - reached == {*REFUSED, "preflight"}, "these alone are the gateway's to answer"
        lines = log.read_text()
        assert GUIDE_TOKEN not in lines
        assert GUIDE_SECRET not in lines


REFUSED = {
    "wrongToken": ("Invalid or expired token", "signature_invalid"),
    "wrongTokenStream": ("Invalid or expired token", "signature_invalid"),
    "noToken": ("Authentication required", "token_missing"),
}


def test_page_of_another_origin_gets_no_permission(mastra: str, run_node: RunNode, tmp_path: Path) -> None:
    with gateway_process(everyday_file(mastra), tmp_path, {"MASTRA_JWT_SECRET": GUIDE_SECRET}) as (address, _):
        found = run_node("client.mjs", "preflight", BASE_URL=address, ORIGIN="http://evil.example")
        assert "access-control-allow-origin" not in found["results"]["preflight"]["headers"]


@pytest.mark.parametrize("check", ["stream", "workflowStream"])
def test_stream_arrives_as_it_leaves_the_source(mastra: str, run_node: RunNode, tmp_path: Path, check: str) -> None:
    direct = run_node("client.mjs", check, BASE_URL=mastra)["results"][check]
    with gateway_process(everyday_file(mastra), tmp_path, {"MASTRA_JWT_SECRET": GUIDE_SECRET}) as (address, _):
        passed = run_node("client.mjs", check, BASE_URL=address, TOKEN=GUIDE_TOKEN)["results"][check]
    assert passed["types"] == direct["types"]
    assert direct["oneByOne"]
    assert passed["oneByOne"], "chunks came in bunches"
    assert 0.5 < passed["gapMedianMs"] / direct["gapMedianMs"] < 2


# ---- Clerk -----------------------------------------------------------------------------


@pytest.mark.parametrize("issuer", ["https://clerk.example.test", None], ids=["issuer-named", "issuer-of-jwks-uri"])
def test_clerk_session_tokens(
    mastra: str, keys: KeyServer, run_node: RunNode, tmp_path: Path, issuer: str | None
) -> None:
    # Once the file names the issuer, the address of the keys is its business, too: the environment is not asked.
    both = f"type: clerk\n    issuer: {issuer}\n    jwks_uri: ${{CLERK_JWKS_URI}}\n"
    named = {"type: clerk\n": both} if issuer else {}
    issuer = issuer or keys.url
    session = {"sub": "user_1", "azp": PAGE_OF_CLERK, "sid": "sess_1", "v": 2, "o": {"id": "org_1", "rol": "admin"}}

    def token(**changes: Any) -> str:
        return issue(**{"issuer": issuer, **session, **changes})

    with gateway_process(
        guide_file("from-mastra-auth-clerk.md", 0, mastra, named), tmp_path, {"CLERK_JWKS_URI": f"{keys.url}/jwks"}
    ) as (url, _):
        agents, workflows = f"{url}/api/agents", f"{url}/api/workflows"
        found = run_node("client.mjs", "listAgents", "stream", "workflowStream", BASE_URL=url, TOKEN=token())
        assert found["failed"] == [], found
        assert curl(workflows, bearer=token())[0] == 200
        member = token(o={"id": "org_1", "rol": "member"})
        assert curl(agents, bearer=member)[0] == 200
        assert refused(curl(workflows, bearer=member)) == (403, "Access denied", "access_denied")

        invalid = "Invalid or expired token"
        assert refused(curl(agents)) == (401, "Authentication required", "token_missing")
        elsewhere = token(azp="https://evil.test")
        assert refused(curl(agents, bearer=elsewhere)) == (401, invalid, "authorized_party_mismatch")
        assert refused(curl(agents, bearer=token(iss="https://evil.test"))) == (401, invalid, "issuer_mismatch")
        assert refused(curl(agents, bearer=token(sts="pending"))) == (401, invalid, "session_pending")
        assert refused(curl(agents, bearer=token(exp=int(time.time()) - 60))) == (401, invalid, "token_expired")
        assert refused(curl(agents, bearer=token(key="evil"))) == (401, invalid, "signature_invalid")

        cookie = ["-H", f"Cookie: __session={token()}"]
        assert curl(agents, *cookie)[0] == 200
        start = f"{workflows}/weatherWorkflow/create-run"
        assert refused(curl(start, "-X", "POST", *cookie)) == (403, "Access denied", "origin_refused")
        assert curl(start, "-X", "POST", *cookie, "-H", f"Origin: {PAGE_OF_CLERK}")[0] == 200
    assert keys.paths["/jwks"].fetches == 1, "Mastra's own class fetches the keys for every request"


# ---- Auth0 -----------------------------------------------------------------------------

TENANT, AUDIENCE = "tenant.eu.auth0.com", "https://mastra"
EMAIL, EMAIL_VERIFIED = "https://yourcompany.com/email", "https://yourcompany.com/email_verified"


def auth0_token(subject: str, email: str | None, **changes: Any) -> str:
    claims = {"issuer": f"https://{TENANT}/", "aud": [AUDIENCE, f"https://{TENANT}/userinfo"], "sub": subject}
    return issue(**{**claims, **({EMAIL: email} if email else {}), **changes})


def auth0_environment(**more: str) -> dict[str, str]:
    return {"AUTH0_DOMAIN": TENANT, "AUTH0_AUDIENCE": AUDIENCE, **more}


def test_auth0_tokens_and_the_rule_about_the_email(
    mastra: str, keys: KeyServer, run_node: RunNode, tmp_path: Path
) -> None:
    text = guide_file(
        "from-mastra-auth-auth0.md", 0, mastra, {"type: auth0\n": f"type: auth0\n    jwks_uri: {keys.url}/jwks\n"}
    )
    with gateway_process(text, tmp_path, auth0_environment()) as (address, _):
        good = auth0_token("auth0|1", "ann@yourcompany.com")
        found = run_node("client.mjs", "listAgents", "stream", "memory", BASE_URL=address, TOKEN=good)
        assert found["failed"] == [], found

        agents = f"{address}/api/agents"
        verified = auth0_token("auth0|1", "ann@yourcompany.com", **{EMAIL_VERIFIED: True})
        assert curl(agents, bearer=verified)[0] == 200
        not_allowed = {
            # The seed's endsWith lets in neither of the first two, but the third.
            "another company": auth0_token("auth0|2", "eve@elsewhere.test"),
            "a lookalike": auth0_token("auth0|3", "eve@notyourcompany.com"),
            "two at signs": auth0_token("auth0|4", "eve@evil.test@yourcompany.com"),
            "not verified": auth0_token("auth0|5", "eve@yourcompany.com", **{EMAIL_VERIFIED: False}),
            "no email": auth0_token("auth0|6", None),
        }
        for name, token in not_allowed.items():
            assert refused(curl(agents, bearer=token)) == (403, "Access denied", "access_denied"), name
        id_token = auth0_token("auth0|1", "ann@yourcompany.com", aud="client-id")
        assert refused(curl(agents, bearer=id_token)) == (401, "Invalid or expired token", "audience_mismatch")
        assert refused(curl(agents, bearer="an-opaque-token")) == (401, "Invalid or expired token", "token_malformed")
    assert keys.paths["/jwks"].fetches == 1


# ---- the token the gateway signs for Mastra ---------------------------------------------


def test_signed_identity_keeps_threads_apart_and_closes_the_side_door(
    start_mastra: StartMastra, keys: KeyServer, run_node: RunNode, tmp_path: Path
) -> None:
    a, b = auth0_token("auth0|a", "a@yourcompany.com"), auth0_token("auth0|b", "b@yourcompany.com")
    environment = auth0_environment(MASTRA_JWT_SECRET=SIGNING_SECRET)
    with start_mastra(AUTH="jwt", MASTRA_JWT_SECRET=SIGNING_SECRET) as upstream:
        text = guide_file(
            "from-mastra-auth-auth0.md", 1, upstream, {"type: auth0}": f"type: auth0, jwks_uri: {keys.url}/jwks}}"}
        )
        with gateway_process(text, tmp_path, environment) as (address, _):
            assert run_node("isolation.mjs", BASE_URL=address, TOKEN_A=a, TOKEN_B=b) == {
                "owners": ["auth0|a", "auth0|b"],
                "aLists": ["thread-a"],
                "bLists": ["thread-b"],
                "bListsAs": ["thread-b"],
                "bReads": 403,
                "bDeletes": 403,
                "bTakesOver": 403,
                "aReads": 200,
                "aAsksWithoutThread": 200,
            }
            found = run_node("client.mjs", "memory", BASE_URL=address, TOKEN=a)
            assert found["failed"] == [], found
            assert found["results"]["memory"]["resourceId"] == "auth0|a"
        sent = [one["headers"]["authorization"] for one in arrivals(upstream)]
        told = [json.loads(urlsafe_b64decode(one.split(".")[1] + "==")) for one in sent]
        assert {(one["sub"], one["email"]) for one in told} == {
            ("auth0|a", "a@yourcompany.com"),
            ("auth0|b", "b@yourcompany.com"),
        }
        # 60 s is the default `ttl`; both ends are rounded outwards to whole seconds.
        assert {one["exp"] - one["iat"] for one in told} <= {60, 61}

        agents = f"{upstream}/api/agents"
        assert curl(agents)[0] == 401, "beside the gateway there is a way in"
        assert curl(agents, bearer=a)[0] == 401, "the caller's own token opens Mastra"


@pytest.mark.parametrize("has_map", [False, True], ids=["nothing", "mapUserToResourceId"])
def test_mastra_alone_does_not_keep_people_apart(
    start_mastra: StartMastra, keys: KeyServer, run_node: RunNode, tmp_path: Path, has_map: bool
) -> None:
    # Why the guide has `own`: the test above can fail. With the map a thread is taken over by creating it again.
    settings = {"MAP_RESOURCE": "1"} if has_map else {}
    a, b = auth0_token("auth0|a", "a@yourcompany.com"), auth0_token("auth0|b", "b@yourcompany.com")
    environment = auth0_environment(MASTRA_JWT_SECRET=SIGNING_SECRET)
    with start_mastra(AUTH="jwt", MASTRA_JWT_SECRET=SIGNING_SECRET, **settings) as upstream:
        replaced = {"type: auth0}": f"type: auth0, jwks_uri: {keys.url}/jwks}}", "    own: {by: subject}\n": ""}
        text = guide_file("from-mastra-auth-auth0.md", 1, upstream, replaced)
        with gateway_process(text, tmp_path, environment) as (address, _):
            found = run_node("isolation.mjs", BASE_URL=address, TOKEN_A=a, TOKEN_B=b)
    owners, reads = (["auth0|a", "auth0|b"], 403) if has_map else (["forged", "forged"], 200)
    assert (found["owners"], found["bReads"], found["bTakesOver"]) == (owners, reads, 200)
    assert (found["aReads"] == 200) is not has_map
    # Why the guide would have the map taken out: `own` cannot help that.
    assert found["aAsksWithoutThread"] == (500 if has_map else 200)


def test_every_operation_of_mastra_has_a_route_and_a_caller(start_mastra: StartMastra, tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    with start_mastra() as url:
        file.write_text(
            f"upstream: {url}\n"
            f"providers: {{jobs: {{type: jwt, secret: {SIGNING_SECRET}}}}}\n"
            "routes:\n"
            "  /api: {provider: jobs, allow: {role: admin}}\n"
            "  GET /api/agents: {provider: jobs, allow: authenticated}\n"
            "  POST /api/agents/{agent}/generate: {provider: jobs, allow: authenticated}\n"
        )
        asked = [sys.executable, "-m", "gateway", "check", "-c", str(file), "--json", "--openapi"]
        done = subprocess.run([*asked, f"{url}/api/openapi.json"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["openapi"]
    assert len(found["operations"]) > 400 and found["unmet_routes"] == []
    marked = [f"{one['method']} {one['path']}" for one in found["operations"] if one["mark"]]
    assert marked == ["POST /api/agents/{agentId}/generate", "POST /api/agents/{agentId}/generate/vnext"]


def test_callers_secret_is_not_mastras(start_mastra: StartMastra, tmp_path: Path) -> None:
    environment = {"MASTRA_JWT_SECRET": SIGNING_SECRET, "CALLERS_SECRET": GUIDE_SECRET}
    token = mint({"sub": "user-1", "exp": int(time.time()) + 60}, GUIDE_SECRET.encode())
    with start_mastra(AUTH="jwt", MASTRA_JWT_SECRET=SIGNING_SECRET) as upstream:
        with gateway_process(guide_file("from-mastra-jwt-auth.md", 1, upstream), tmp_path, environment) as (address, _):
            assert curl(f"{address}/api/agents", bearer=token)[0] == 200
            assert refused(curl(f"{address}/api/agents", bearer=GUIDE_TOKEN))[2] == "claim_invalid", "it has no exp"
        assert curl(f"{upstream}/api/agents", bearer=token)[0] == 401


# ---- the packages ----------------------------------------------------------------------


def test_lock_file_names_no_registry() -> None:
    text = (HERE / "package-lock.json").read_text()
    assert '"resolved"' not in text
    packages = json.loads(text)["packages"]
    assert len(packages) > 300
    assert [name for name, one in packages.items() if name and "integrity" not in one] == []


def test_roles_and_permissions_are_those_of_the_package(node: str) -> None:
    # A new Mastra with another role, permission or way to compare them is noticed here.
    script = """
import * as ee from '@mastra/core/auth/ee';
const [patterns, asked] = JSON.parse(process.argv[1]);
console.log(JSON.stringify({
  roles: Object.fromEntries(ee.DEFAULT_ROLES.map(role => [role.id, role.permissions])),
  patterns: Object.keys(ee.PERMISSION_PATTERNS),
  covers: patterns.map(pattern => asked.map(one => ee.matchesPermission(pattern, one))),
}));
"""
    patterns, asked = list(permission_patterns()), list(asked_permissions())
    command = [node, "--input-type=module", "-e", script, json.dumps([patterns, asked])]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True, timeout=60)
    theirs = json.loads(done.stdout)
    assert {name: list(own) for name, own in ROLES.items()} == theirs["roles"]
    assert set(patterns) == set(theirs["patterns"])
    assert [[covers((pattern,), (one,), None) for one in asked] for pattern in patterns] == theirs["covers"]
