"""Every block of the page about issuers runs as a gateway, in front of what stands in for them.

The stand-in publishes documents of their shapes, on loopback, and makes tokens of theirs: honest ones pass and tell who
somebody is; those of another tenant, client or audience, and emails that nobody verified, do not.
"""

from __future__ import annotations

import json
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import EllipsisType
from typing import Any

import pytest
import yaml

from gateway.commands.check import expansion_lines
from gateway.config.file import load_text
from gateway.config.presets import PRESETS
from tests.issuers.world import PUBLISHED, World, serving_world, token
from tests.minting import SECRET, mint
from tests.processes import gateway_process

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "issuers.md").read_text(encoding="utf-8")
ENVIRONMENT = {"MASTRA_JWT_SECRET": SECRET.decode()}
FACTS = ("subject", "email", "organization", "client", "roles", "groups", "scopes", "permissions")
TENANT, OTHER_TENANT, THIRD_TENANT = (
    "11111111-2222-4333-8444-555555555555",
    "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee",
    "99999999-0000-4111-8222-333333333333",
)
POD_TOKEN = "token.of.the-gateways-own-pod"
POOL = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_"


@dataclass(frozen=True)
class Sent:
    """One token and what becomes of it: the code of its refusal, or facts that are told about the caller."""

    name: str
    shape: tuple[str, str]
    expected: str | Mapping[str, str | None]
    claims: Mapping[str, Any] = field(default_factory=dict)
    header: Mapping[str, Any] = field(default_factory=dict)
    place: str = "Authorization"


def _entra(tenant: str, **more: Any) -> dict[str, Any]:
    return {"iss": f"https://login.microsoftonline.com/{tenant}/v2.0", "tid": tenant, **more}


# By the heading of the section, and the number of the block in it.
BLOCKS: dict[tuple[str, int], list[Sent]] = {
    ("Google", 0): [
        Sent("person", ("google", "person"),
             {"subject": "107691503500061507151", "email": "ann@yourcompany.com", "organization": "yourcompany.com"}),
        Sent("issuer without a scheme", ("google", "person"), {}, {"iss": "accounts.google.com"}),
        Sent("another company", ("google", "person"), "claim_invalid", {"hd": "evil.example"}),
        Sent("a private account", ("google", "person"), "claim_invalid", {"hd": ...}),
        Sent("another application", ("google", "person"), "audience_mismatch",
             {"aud": "9-z.apps.googleusercontent.com"}),
        # Any service account gets a token for any audience: iamcredentials.generateIdToken, and the metadata server.
        Sent("a service account", ("google", "service account"), "claim_invalid",
             {"aud": "123-abc.apps.googleusercontent.com"}),
        Sent("email not verified", ("google", "person"), "access_denied", {"email_verified": False}),
        Sent("nothing about the email", ("google", "person"), "access_denied", {"email_verified": ...}),
    ],
    ("Microsoft Entra ID", 0): [
        Sent("person", ("entra", "person"),
             {"subject": "Zx9-KqS0pairwise_subject", "email": "ann@yourcompany.com", "organization": TENANT,
              "client": "0c0c0c0c-1111-4222-8333-444444444444", "roles": "Agent.Operator"}),
        Sent("version 1", ("entra", "version 1"),
             {"email": "ann@yourcompany.com", "client": "0c0c0c0c-1111-4222-8333-444444444444",
              "scopes": "Agents.Read,Agents.Run"}),
        Sent("another tenant", ("entra", "person"), "issuer_mismatch", _entra(OTHER_TENANT)),
        Sent("another application", ("entra", "person"), "audience_mismatch", {"aud": OTHER_TENANT}),
        # nOAuth: whoever administers a tenant writes any address into `email` (Descope, June 2023).
        Sent("email that nobody verified", ("entra", "person"), {"email": None}, {"xms_edov": ...}),
        Sent("email of a domain that is not the tenant's", ("entra", "person"), {"email": None}, {"xms_edov": False}),
        Sent("text in place of true", ("entra", "person"), {"email": None}, {"xms_edov": "1"}),
        Sent("an application without the scope", ("entra", "application"), "insufficient_scope"),
    ],
    ("Microsoft Entra ID", 1): [
        Sent("one customer", ("entra", "person"), {"organization": TENANT}),
        Sent("another customer", ("entra", "person"), {"organization": OTHER_TENANT}, _entra(OTHER_TENANT)),
        Sent("version 1", ("entra", "version 1"), {"organization": TENANT},
             {"aud": "5f6e7d8c-1b2a-4c3d-9e8f-0a1b2c3d4e5f"}),
        Sent("no customer", ("entra", "person"), "access_denied", _entra(THIRD_TENANT)),
        Sent("tid of a customer, iss of another", ("entra", "person"), "issuer_mismatch",
             _entra(THIRD_TENANT, tid=TENANT)),
        Sent("a tenant that is a path", ("entra", "person"), "issuer_mismatch", _entra("a/b")),
        Sent("no tid", ("entra", "person"), "issuer_mismatch", {"tid": ...}),
    ],
    ("Okta", 0): [
        Sent("person", ("okta", "person"),
             {"subject": "ann@yourcompany.com", "client": "0oa1b2c3d4e5f6g7h8i9", "scopes": "openid,agents:run"}),
        Sent("machine", ("okta", "machine"), {"subject": "0oajobs0000000000000", "client": "0oajobs0000000000000"}),
        Sent("another server", ("okta", "person"), "issuer_mismatch",
             {"iss": "https://yourcompany.okta.com/oauth2/aus1"}),
        Sent("another audience", ("okta", "person"), "audience_mismatch", {"aud": "api://other"}),
        Sent("for Okta itself", ("okta", "of the organization"), "issuer_mismatch"),
        Sent("without the scope", ("okta", "person"), "insufficient_scope", {"scp": ["openid"]}),
    ],
    ("Keycloak", 0): [
        Sent("person", ("keycloak", "person"),
             {"subject": "f1f1f1f1-1111-4222-8333-444444444444", "email": "ann@yourcompany.com", "client": "web",
              "roles": "operator,offline_access,default-roles-corp"}),
        Sent("no audience mapper", ("keycloak", "person"), "audience_mismatch", {"aud": "account"}),
        # The same key signs ID tokens, also where the client's name is the audience.
        Sent("an ID token", ("keycloak", "person"), "claim_invalid", {"typ": "ID"}),
        Sent("another realm", ("keycloak", "person"), "issuer_mismatch",
             {"iss": "https://sso.yourcompany.com/realms/master"}),
        Sent("lightweight", ("keycloak", "lightweight"), "claim_invalid"),
        Sent("by the key for encryption", ("keycloak", "person"), "key_unknown", {},
             {"kid": "pG4dFkqMxB1iZJ1Q0O1yS0nq5cJtQb2n8w3Yh1m2k3E"}),
        Sent("without the role", ("keycloak", "person"), "access_denied", {"realm_access": {"roles": ["guest"]}}),
        Sent("email not verified", ("keycloak", "person"), {"email": None}, {"email_verified": False}),
    ],
    ("Amazon Cognito", 0): [
        Sent("access token", ("cognito", "access"),
             {"subject": "b1b1b1b1-1111-4222-8333-444444444444", "client": "4h57kq9example", "groups": "ops"}),
        # Without aud, tokens of every client of the pool would do: oauth2-proxy/oauth2-proxy#891.
        Sent("another client of the pool", ("cognito", "access"), "authorized_party_mismatch", {"client_id": "other"}),
        Sent("ID token", ("cognito", "id"), "authorized_party_mismatch"),
        Sent("ID token with a client", ("cognito", "id"), "claim_invalid", {"client_id": "4h57kq9example"}),
        Sent("another pool", ("cognito", "access"), "issuer_mismatch", {"iss": f"{POOL}Zz99"}),
    ],
    ("Amazon Cognito", 1): [
        Sent("ID token", ("cognito", "id"),
             {"email": "ann@yourcompany.com", "client": "4h57kq9example", "groups": "ops"}),
        Sent("access token", ("cognito", "access"), "audience_mismatch"),
        Sent("another client of the pool", ("cognito", "id"), "audience_mismatch", {"aud": "other"}),
        Sent("email not verified", ("cognito", "id"), "access_denied", {"email_verified": False}),
    ],
    ("Supabase", 0): [
        Sent("person", ("supabase", "person"),
             {"subject": "0a0a0a0a-1111-4222-8333-444444444444", "email": "ann@yourcompany.com"}),
        Sent("anonymous", ("supabase", "person"), "denied_by_rule", {"is_anonymous": True}),
        Sent("the project's own key", ("supabase", "person"), "claim_invalid", {"role": "service_role"}),
        Sent("nobody", ("supabase", "person"), "claim_invalid", {"role": "anon"}),
        Sent("another project", ("supabase", "person"), "issuer_mismatch",
             {"iss": "https://zzzzzzzzzzzzzzzzzzzz.supabase.co/auth/v1"}),
    ],
    ("Supabase", 1): [Sent("person", ("supabase", "person"), {"email": "ann@yourcompany.com"})],
    ("Firebase", 0): [
        Sent("person", ("firebase", "person"),
             {"subject": "oyXqZ1Yq0MXk1lWfN2Vt8RzZQ2p1", "email": "ann@yourcompany.com", "organization": "corp-x1y2z"}),
        Sent("email not verified", ("firebase", "person"), "access_denied", {"email_verified": False}),
        Sent("another project", ("firebase", "person"), "issuer_mismatch",
             {"iss": "https://securetoken.google.com/other", "aud": "other"}),
        Sent("custom token", ("firebase", "custom token"), "issuer_mismatch"),
    ],
    ("WorkOS", 0): [
        Sent("person", ("workos", "person"),
             {"subject": "user_01HBEQKA6K4QJAS93VPE39W1JT", "organization": "org_01HRDMC6CM357W30QMHMQ96Q0S",
              "roles": "admin", "permissions": "agents:run,agents:read", "email": None}),
        Sent("an older environment", ("workos", "person"), {}, {"iss": "https://api.workos.com"}),
        Sent("another organization", ("workos", "person"), "access_denied", {"org_id": "org_2"}),
        Sent("another environment", ("workos", "person"), "issuer_mismatch",
             {"iss": "https://api.workos.com/user_management/client_2"}),
    ],
    ("better-auth", 0): [
        Sent("person", ("better_auth", "person"),
             {"subject": "Zb1V5pY8nXoEk3Rz2wq0TtqQ3m7iC9sL", "email": "ann@yourcompany.com"}),
        Sent("email not verified", ("better_auth", "person"), "access_denied", {"emailVerified": False}),
        Sent("another application", ("better_auth", "person"), "audience_mismatch", {"aud": "https://other.example"}),
    ],
    ("GitHub Actions", 0): [
        Sent("workflow", ("github_actions", "workflow"), {"subject": "repo:yourcompany/app:ref:refs/heads/main"}),
        Sent("another repository", ("github_actions", "workflow"), "access_denied", {"repository": "evil/app"}),
        Sent("another branch", ("github_actions", "workflow"), "access_denied", {"ref": "refs/pull/1/merge"}),
        Sent("another audience", ("github_actions", "workflow"), "audience_mismatch", {"aud": "sts.amazonaws.com"}),
    ],
    ("Kubernetes service accounts", 0): [
        Sent("pod", ("kubernetes", "service account"), {"subject": "system:serviceaccount:jobs:runner"}),
        Sent("another account", ("kubernetes", "service account"), "access_denied",
             {"sub": "system:serviceaccount:default:default"}),
        Sent("for the cluster's own API", ("kubernetes", "service account"), "audience_mismatch",
             {"aud": ["https://kubernetes.default.svc.cluster.local"]}),
    ],
    ("Google service accounts", 0): [
        Sent("runner", ("google", "service account"),
             {"email": "runner@your-project-1234.iam.gserviceaccount.com", "organization": None}),
        Sent("somebody else's", ("google", "service account"), "access_denied",
             {"email": "runner@evil-project.iam.gserviceaccount.com"}),
        Sent("a person", ("google", "person"), "audience_mismatch"),
    ],
    ("Google service accounts", 1): [
        Sent("self-signed", ("google", "self-signed"), {"subject": "runner@your-project-1234.iam.gserviceaccount.com"}),
        Sent("another account", ("google", "self-signed"), "issuer_mismatch",
             {"iss": "runner@evil-project.iam.gserviceaccount.com"}),
    ],
    ("Identity-Aware Proxy", 0): [
        Sent("person", ("proxies", "iap"), {"email": "ann@yourcompany.com", "organization": "yourcompany.com"},
             place="X-Goog-IAP-JWT-Assertion"),
        Sent("another backend", ("proxies", "iap"), "audience_mismatch",
             {"aud": "/projects/123456789/global/backendServices/1"}, place="X-Goog-IAP-JWT-Assertion"),
        Sent("another header", ("proxies", "iap"), "token_missing"),
    ],
    ("Cloudflare Access", 0): [
        Sent("person", ("proxies", "cloudflare"), {"email": "ann@yourcompany.com"}, place="Cf-Access-Jwt-Assertion"),
        Sent("another application", ("proxies", "cloudflare"), "audience_mismatch", {"aud": ["1" * 64]},
             place="Cf-Access-Jwt-Assertion"),
        Sent("service token", ("proxies", "cloudflare"), "claim_invalid", {"sub": "", "email": ...},
             place="Cf-Access-Jwt-Assertion"),
    ],
    ("AWS load balancers", 0): [
        Sent("access token", ("cognito", "access"), {"client": "4h57kq9example"}, place="X-Amzn-Oidc-Accesstoken"),
        Sent("another client", ("cognito", "access"), "authorized_party_mismatch", {"client_id": "x"},
             place="X-Amzn-Oidc-Accesstoken"),
    ],
    ("AD FS", 0): [
        Sent("person", ("proxies", "adfs"), {"email": "ann@yourcompany.com", "scopes": "openid,agents"}),
        Sent("an ID token", ("proxies", "adfs"), "issuer_mismatch", {"iss": "https://adfs.yourcompany.com/adfs"}),
        Sent("another API", ("proxies", "adfs"), "audience_mismatch", {"aud": "microsoft:identityserver:other"}),
    ],
}  # fmt: skip


def _sections() -> Iterator[tuple[str, str]]:
    for found in re.finditer(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL):
        yield found[1], found[2]


def _blocks(kind: str) -> dict[tuple[str, int], str]:
    pattern = re.compile(rf"^```{kind}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return {
        (title, number): found[1]
        for title, text in _sections()
        for number, found in enumerate(pattern.finditer(text))
    }  # fmt: skip


YAML = _blocks("yaml")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with serving_world() as running:
        yield running


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    """An upstream that answers with the headers it got."""

    class Echo(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def _mounted(path: Path) -> bytes:
    return b"-----BEGIN CERTIFICATE-----"


def _whole(block: str) -> str:
    return f"upstream: http://localhost:4111\n{block}"


def moved(block: str, world: World, upstream: str, folder: Path) -> str:
    """Return a block as a whole file: keys are at the stand-in, and the upstream is told every fact."""
    document = yaml.safe_load(block)
    for provider in load_text(_whole(block), "page.yaml", ENVIRONMENT, read_file=_mounted).providers:
        written = document["providers"][provider.name]
        for source in provider.key_sources():
            if source.jwks_uri is not None:
                written["jwks_uri"] = world.moved(source.jwks_uri)
            elif source.issuer is not None:
                written["issuer"] = world.moved(source.issuer)
        if "ca_file" in written:  # the stand-in speaks no TLS: only its absence is another thing than on the page
            del written["ca_file"]
            (folder / "token").write_text(POD_TOKEN)
            written["jwks"] = {"token_file": str(folder / "token")}
    headers = {f"X-Told-{fact.title()}": fact for fact in FACTS}
    document["upstreams"] = {"mastra": {"url": upstream, "identity": {"headers": headers}}}
    return yaml.safe_dump(document)


def ask(address: str, header: str, value: str) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(f"{address}/api/agents", headers={header: value})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.load(refusal)


def _discovers(text: str, world: World) -> bool:
    return any(
        str(one.get("issuer", "")).startswith(world.origin) for one in yaml.safe_load(text)["providers"].values()
    )


@pytest.mark.parametrize("which", BLOCKS, ids=lambda which: f"{which[0]}-{which[1]}")
def test_block_takes_the_tokens_of_its_issuer_and_no_others(
    which: tuple[str, int], world: World, upstream: str, tmp_path: Path
) -> None:
    text = moved(YAML[which], world, upstream, tmp_path)
    with gateway_process(text, tmp_path / "gateway", ENVIRONMENT) as (address, _):
        for sent in BLOCKS[which]:
            claims: dict[str, Any | EllipsisType] = dict(sent.claims)
            if _discovers(text, world):
                claims.setdefault("iss", world.moved("https://token.actions.githubusercontent.com"))
            made = token(*sent.shape, claims, **sent.header)
            status, said = ask(address, sent.place, f"Bearer {made}" if sent.place == "Authorization" else made)
            if isinstance(sent.expected, str):
                assert (said.get("code"), status >= 400) == (sent.expected, True), sent.name
                continue
            assert status == 200, (sent.name, said)
            told = {fact: said.get(f"x-told-{fact}") for fact in sent.expected}
            assert told == dict(sent.expected), sent.name
        if "token_file" in text:
            assert ("/kubernetes.default.svc/openid/v1/jwks", f"Bearer {POD_TOKEN}") in world.asked
        if which == ("Supabase", 1):
            legacy = {"iss": "https://abcdefghijklmnopqrst.supabase.co/auth/v1", "aud": "authenticated", "sub": "b",
                      "role": "authenticated", "exp": 4_000_000_000}  # fmt: skip
            assert ask(address, "Authorization", f"Bearer {mint(legacy)}")[0] == 200
            strange = mint(legacy, b"not the secret of this project, but 40 b")
            assert ask(address, "Authorization", f"Bearer {strange}")[1]["code"] == "signature_invalid"


def test_every_block_is_run() -> None:
    assert set(BLOCKS) == set(YAML)
    titles = [title for title, _ in _sections()]
    assert all(f"(#{re.sub(r'[^a-z0-9 -]', '', title.lower()).replace(' ', '-')})" in PAGE for title in titles)
    named = {kind for block in YAML.values() for kind in re.findall(r"type: (\w+)", block)}
    assert named >= set(PRESETS)


def test_page_says_what_check_says() -> None:
    texts = list(re.findall(r"^```yaml\n((?:(?!```).)*)```\n\n```text\n((?:(?!```).)*)```$", PAGE, re.M | re.S))
    assert len(texts) == len(PRESETS) + 1  # Entra has two
    for block, shown in texts:
        config = load_text(_whole(block), "page.yaml", ENVIRONMENT)
        assert shown.splitlines() == [line for one in config.expansions for line in expansion_lines(one)]


DISCOVERY = [url for url in PUBLISHED if url.endswith("/openid-configuration")]
# Their keys are at another address than the document says, or for tokens of another issuer than the document's.
ELSEWHERE = ("https://kubernetes.", "https://adfs.")


@pytest.mark.parametrize("url", [url for url in DISCOVERY if not url.startswith(ELSEWHERE)])
def test_rows_say_what_the_issuers_publish(url: str) -> None:
    document = PUBLISHED[url]
    issuer, keys = document["issuer"], document["jwks_uri"]
    config = load_text(_whole_of_presets(), "page.yaml", ENVIRONMENT)
    of_issuer = [one for one in config.providers if one.issuers is not None and issuer in one.issuers]
    if "githubusercontent" in issuer:
        assert not of_issuer  # no preset, but discovery
        return
    published = {keys, keys.replace("/common/discovery/keys", f"/{TENANT}/discovery/v2.0/keys")}  # Entra, version 1
    assert of_issuer
    assert {source.jwks_uri for one in of_issuer for source in one.key_sources()} <= published


def _whole_of_presets() -> str:
    providers: dict[str, Any] = {}
    for number, block in enumerate(YAML.values()):
        document = yaml.safe_load(block)
        providers |= {f"{name}{number}": one for name, one in document["providers"].items() if one["type"] in PRESETS}
    names = list(providers)
    routes = {f"/{name}": {"provider": name, "allow": {"role": "x"}} for name in names}
    return yaml.safe_dump({"upstream": "http://localhost:4111", "providers": providers, "routes": routes})


def test_keys_are_found_by_discovery_in_documents_of_the_real_shapes(
    world: World, upstream: str, tmp_path: Path
) -> None:
    shapes = {
        "google": ("google", "person", "https://accounts.google.com"),
        "entra": ("entra", "person", f"https://login.microsoftonline.com/{TENANT}/v2.0"),
        "okta": ("okta", "person", "https://yourcompany.okta.com/oauth2/default"),
        "keycloak": ("keycloak", "person", "https://sso.yourcompany.com/realms/corp"),
        "cognito": ("cognito", "id", f"{POOL}Ab12Cd34E"),
        "supabase": ("supabase", "person", "https://abcdefghijklmnopqrst.supabase.co/auth/v1"),
        "firebase": ("firebase", "person", "https://securetoken.google.com/your-project-1234"),
    }
    document = {
        "upstream": upstream,
        "providers": {
            name: {"type": "oidc", "issuer": world.moved(issuer), "audience": "none", "algorithms": ["RS256", "ES256"]}
            for name, (_, _, issuer) in shapes.items()
        },
        "routes": {"/api": {"provider": list(shapes), "allow": "authenticated"}},
    }
    with gateway_process(yaml.safe_dump(document), tmp_path / "gateway") as (address, _):
        for name, (data, shape, issuer) in shapes.items():
            made = token(data, shape, {"iss": world.moved(issuer)})
            assert ask(address, "Authorization", f"Bearer {made}")[0] == 200, name
            forged = token(data, shape, {"iss": world.moved(issuer)}, kid="another")
            assert ask(address, "Authorization", f"Bearer {forged}")[0] == 401, name
