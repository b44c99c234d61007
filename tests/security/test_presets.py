"""Well-known issuers by their presets, attacked by what people have: tokens of the same issuer for somebody else.

Their keys are public ones of the stand-in, their tokens have the real shapes; what is changed is one thing at a time.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from cryptography.hazmat.primitives import serialization

from gateway.config.file import load_text
from tests.issuers.world import DATA, World, key_of, serving_world, token
from tests.keyserver import sign_token
from tests.processes import gateway_process
from tests.security.casebook import Case, cases, parameters
from tests.security.judge import Reached, judge_refusal
from tests.security.rig import Answer, Upstream, exchange
from tests.security.tally import Tally

CASES = cases("presets")
TENANT, API = "11111111-2222-4333-8444-555555555555", "5f6e7d8c-1b2a-4c3d-9e8f-0a1b2c3d4e5f"
POOL = {"type": "cognito", "user_pool": "eu-west-1_Ab12Cd34E", "client": "4h57kq9example"}
GOOGLE = {"type": "google", "audience": "123-abc.apps.googleusercontent.com"}
AUDIENCES = [API, f"api://{API}"]
# By the name in `at`: the provider, and whose honest token of which shape is sent.
PROVIDERS: dict[str, tuple[dict[str, Any], str, str]] = {
    "google": (GOOGLE, "google", "person"),
    "google_hd": ({**GOOGLE, "hosted_domain": "yourcompany.com"}, "google", "person"),
    "entra": ({"type": "entra", "tenant": TENANT, "audience": AUDIENCES}, "entra", "person"),
    "entra_v1": ({"type": "entra", "tenant": TENANT, "audience": AUDIENCES}, "entra", "version 1"),
    "entra_any": ({"type": "entra", "tenant": "any", "audience": AUDIENCES}, "entra", "person"),
    "okta": ({"type": "okta", "domain": "yourcompany.okta.com"}, "okta", "person"),
    "keycloak": (
        {"type": "keycloak", "url": "https://sso.yourcompany.com", "realm": "corp", "audience": "mastra"},
        "keycloak",
        "person",
    ),
    "cognito": (POOL, "cognito", "access"),
    "cognito_id": ({**POOL, "token_use": "id"}, "cognito", "id"),
    "supabase": ({"type": "supabase", "project": "abcdefghijklmnopqrst"}, "supabase", "person"),
    "firebase": ({"type": "firebase", "project": "your-project-1234"}, "firebase", "person"),
    "workos": ({"type": "workos", "client_id": "client_01HXYZ"}, "workos", "person"),
    "better_auth": ({"type": "better_auth", "url": "https://app.yourcompany.com"}, "better_auth", "person"),
}
RULES = {"any": "authenticated", "mail": {"email_domain": "yourcompany.com"}}


class Peers:
    """A gateway with a provider for each name and two routes for each, and an upstream that nobody else reaches."""

    def __init__(self, stack: ExitStack, folder: Path, world: World) -> None:
        self.upstream = Upstream()
        stack.callback(self.upstream.close)
        providers = {name: dict(written) for name, (written, _, _) in PROVIDERS.items()}
        routes = {
            f"/{on}/{name}": {"provider": name, "allow": rule} for name in providers for on, rule in RULES.items()
        }
        whole = {"upstream": self.upstream.url, "providers": providers, "routes": routes}
        for provider in load_text(yaml.safe_dump(whole), "f", {}).providers:
            (source,) = provider.key_sources()
            providers[provider.name]["jwks_uri"] = world.moved(source.jwks_uri or "")
        text = "".join(f"{key}: {json.dumps(value)}\n" for key, value in whole.items())
        url, self.log = stack.enter_context(gateway_process(text, folder))
        self.port = urlsplit(url).port or 0

    def call(self, spec: dict[str, Any]) -> Answer:
        """Send the request of a case."""
        self.upstream.take()
        at = spec["at"]["name"] if isinstance(spec["at"], dict) else spec["at"]
        head = (
            f"GET /{spec['on']}/{at} HTTP/1.1\r\nHost: gw.test\r\nAuthorization: Bearer {_token_of(spec, at)}\r\n\r\n"
        )
        return exchange(self.port, head.encode())


def _token_of(spec: dict[str, Any], at: str) -> str:
    _, issuer, shape = PROVIDERS[at]
    shape = spec.get("shape", shape)
    honest = DATA[issuer]["tokens"][shape]
    own = {"{iss}": honest["claims"]["iss"], "{aud}": _first(honest["claims"].get("aud", ""))}
    other = spec["at"]["other"] if isinstance(spec["at"], dict) else ""
    claims = {name: _filled(value, own, other) for name, value in spec.get("claims", {}).items()}
    kid = {"kid": spec["kid"]} if "kid" in spec else {}
    made = token(issuer, shape, claims, **kid)
    return _forged(made, honest["header"]["kid"], spec["forge"]) if "forge" in spec else made


def _filled(value: Any, own: dict[str, str], other: str) -> Any:
    match value:
        case "<absent>":
            return ...
        case "other":
            return other or value
        case str():
            for name, text in own.items():
                value = value.replace(name, text)
            return value
        case list():
            return [_filled(member, own, other) for member in value]
        case dict():
            return {key: _filled(member, own, other) for key, member in value.items()}
        case _:
            return value


def _first(value: Any) -> str:
    return str(value[0] if isinstance(value, list) else value)


def _forged(made: str, kid: str, how: str) -> str:
    """Return the same claims, signed by what anybody has."""
    header, payload = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in made.split(".")[:2])
    body, algorithm = json.dumps(payload).encode(), header["alg"]
    kind = {"RS256": "RSA", "ES256": "P-256", "EdDSA": "Ed25519"}[algorithm]
    if how == "key":
        return sign_token(header, body, algorithm, key_of(f"forger of {kid}", kind))
    if how == "none":
        return sign_token({**header, "alg": "none"}, body, "none", None)
    public = key_of(kid, kind).public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    # PyJWT signs with no PEM; what is inside is as public.
    return sign_token({**header, "alg": "HS256"}, body, "HS256", b"".join(pem.splitlines()[1:-1]))


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peers]:
    with ExitStack() as stack:
        world = stack.enter_context(serving_world())
        yield Peers(stack, tmp_path_factory.mktemp("presets"), world)


@pytest.mark.parametrize("case", parameters(CASES))
def test_case(peers: Peers, tally: Tally, case: Case) -> None:
    with tally.of(case):
        answer = peers.call(case.spec)
        seen = peers.upstream.take()
        if case.spec["expect"] == "pass":
            assert answer.status == 200, answer.raw
            assert len(seen) == 1
            return
        if seen:
            raise Reached(f"the upstream saw {seen[0].raw[:300]!r}")
        assert answer.status == case.spec["expect"], answer.raw
        judge_refusal(answer)


def test_every_preset_is_attacked() -> None:
    attacked = {str(case.spec["at"]) for case in CASES if case.is_attack}
    assert {name for name in PROVIDERS if name not in ("entra_v1", "cognito_id")} <= attacked
