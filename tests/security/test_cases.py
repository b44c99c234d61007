"""Every case of cases.yaml against the gateway as its users run it: what was answered, and what reached the upstream.

`expect` is one of: pass (200, with the verified identity and nothing else), refuse (4xx, nothing upstream), exact
(200, the target as it was sent), refuse-or-elsewhere (4xx, or sent on as what no reading puts below a guarded
prefix), no-attacker-value (nothing that the client claimed to be), pass-or-400.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

from tests.security.forge import AUDIENCE, HS_SECRET, ISSUER, key_set, token_for
from tests.security.rig import Answer, Gateway, KeyServer, Upstream

CASES: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("cases.yaml").read_text())
EVIL = re.compile(rb"evil|6\.6\.6\.6", re.IGNORECASE)
GUARDED = ("/api", "/jwt", "/hs", "/a0", "/clerk")


class Rig:
    """Key servers, an upstream and two gateways: one with `/public`, one where everything else is public."""

    def __init__(self, folder: Path) -> None:
        self.keys = KeyServer(key_set("rsa1", "ec1", "rsaenc", "rsa512only", "rsakeyops", "ec384", "rsa512"))
        self.other_keys = KeyServer(key_set("rsaother"))
        self.upstream = Upstream()
        self.gateways = {}
        for profile, public in (("main", "/public"), ("catchall", "/")):
            (folder / profile).mkdir()
            self.gateways[profile] = Gateway(self.configuration(public), folder / profile)

    def configuration(self, public: str) -> dict[str, Any]:
        """Return the file of a profile, as a dictionary."""
        oidc = {"type": "oidc", "issuer": ISSUER, "audience": AUDIENCE, "algorithms": ["RS256", "ES256"]}
        oidc["jwks_uri"] = self.keys.url
        other = self.other_keys.url
        clerk = {"type": "clerk", "issuer": "https://clerk.example.test", "jwks_uri": other}
        return {
            "upstreams": {
                "default": {
                    "url": self.upstream.url,
                    "identity": {"headers": {"X-Auth-User-Id": "subject", "X-Auth-Email": "email"}},
                }
            },
            "strip_headers": ["X-User-*", "X-Auth-*", "Remote-User", "X-Remote-User"],
            "providers": {
                "oidc": oidc,
                "verified": {**oidc, "email_verified": "required"},
                "shared": {"type": "jwt", "secret": HS_SECRET},
                "auth0": {
                    "type": "auth0",
                    "domain": "tenant.auth0.example.test",
                    "audience": AUDIENCE,
                    "jwks_uri": other,
                },
                "clerk": {**clerk, "authorized_parties": ["https://app.example.test"]},
            },
            "routes": {
                public: {"public": True},
                "/api": {"provider": "verified", "allow": {"email_domain": "example.com"}},
                "/jwt": {"provider": "oidc", "allow": "authenticated"},
                "/hs": {"provider": "shared", "allow": "authenticated"},
                "/a0": {"provider": "auth0", "allow": "authenticated"},
                "/clerk": {"provider": "clerk", "allow": "authenticated"},
            },
        }

    def close(self) -> None:
        """Stop everything."""
        for gateway in self.gateways.values():
            gateway.close()
        for listener in (self.keys, self.other_keys, self.upstream):
            listener.close()


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    made = Rig(tmp_path_factory.mktemp("security"))
    yield made
    made.close()


def request_of(case: dict[str, Any], now: float) -> bytes:
    good = token_for({"key": "rsa1", "alg": "RS256"}, now)
    evil = token_for({"key": "evil", "alg": "RS256", "claims": {"sub": "evil"}}, now)
    lines = [f"{case.get('method', 'GET')} {case['target']} HTTP/1.1", "Host: gw.test"]
    if "token" in case:
        lines.append(f"Authorization: Bearer {token_for(case['token'], now)}")
    lines += case.get("headers", [])
    text = "\r\n".join(line.replace("{token}", good).replace("{evil}", evil) for line in lines)
    return text.encode("latin-1") + b"\r\n\r\n"


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_case(rig: Rig, case: dict[str, Any]) -> None:
    rig.upstream.take()
    answer = rig.gateways[case.get("profile", "main")].send(request_of(case, time.time()))
    seen = rig.upstream.take()
    assert answer.status < 500, answer.raw[:500]
    match case["expect"]:
        case "pass":
            assert answer.status == 200, answer.raw[:500]
            assert_identity(seen[0])
        case "pass-or-400":
            assert answer.status in (200, 400)
            assert not seen or assert_identity(seen[0])
        case "refuse":
            assert 400 <= answer.status < 500, answer.raw[:500]
            assert seen == []
        case "exact":
            assert answer.status == 200, answer.raw[:500]
            assert seen[0].split(b" ")[1] == case["target"].encode()
        case "refuse-or-elsewhere":
            assert answer.status < 500
            assert not any(is_guarded(request.split(b" ")[1].decode()) for request in seen), seen
        case "no-attacker-value":
            assert not any(EVIL.search(request) for request in seen), seen
        case other:
            raise AssertionError(f"no such expectation: {other}")
    if answer.status == 401:
        assert (answer.header("WWW-Authenticate") or "").startswith("Bearer ")


def assert_identity(request: bytes) -> bool:
    """Hold that the upstream was told the verified subject once, and nothing that the client made up."""
    subjects = re.findall(rb"(?im)^x[-_]auth[-_]user[-_]id:\s*(.*?)\r$", request)
    assert len(subjects) == 1 and not EVIL.search(subjects[0]), request
    return True


def is_guarded(target: str) -> bool:
    """True if any reading of a target lies below a guarded prefix."""
    path = target.partition("?")[0]
    for _ in range(4):
        path = unquote(path, errors="replace")
    for text in (path, path.replace("\\", "/"), re.sub(r";[^/]*", "", path)):
        kept: list[str] = []
        for segment in re.sub(r"/+", "/", text.replace("\\", "/")).split("/"):
            if segment.strip() == "..":
                kept = kept[:-1]
            elif segment.strip() not in ("", "."):
                kept.append(segment.strip().lower())
        if kept and f"/{kept[0]}" in GUARDED:
            return True
    return False


def test_each_family_has_a_control_that_passes() -> None:
    for family in ("jwt", "header", "path"):
        assert any(case["expect"] in ("pass", "exact") for case in CASES if case["family"] == family)


def test_addresses_in_a_token_are_never_fetched(rig: Rig) -> None:
    trap = KeyServer(key_set("evil"))
    for name in ("jku", "x5u"):
        spec = {"key": "evil", "alg": "RS256", "header": {name: trap.url}}
        head = f"GET /jwt/x HTTP/1.1\r\nHost: gw.test\r\nAuthorization: Bearer {token_for(spec, time.time())}\r\n\r\n"
        assert rig.gateways["main"].send(head.encode()).status == 401
    assert trap.connections == 0  # RFC 8725 section 3.10
    trap.close()


def ask(rig: Rig, *lines: str, target: str = "/jwt/x") -> Answer:
    return rig.gateways["main"].send("\r\n".join([f"GET {target} HTTP/1.1", "Host: gw.test", *lines, "", ""]).encode())


def test_refusals_challenge_the_client(rig: Rig) -> None:
    missing = ask(rig)
    assert missing.header("WWW-Authenticate") == 'Bearer realm="mastra-gateway"', (
        "no error without a token: RFC 6750 3.1"
    )
    expired = token_for({"key": "rsa1", "alg": "RS256", "claims": {"exp": "now-3600"}}, time.time())
    for token in ("garbage", expired):
        answer = ask(rig, f"Authorization: Bearer {token}")
        assert answer.status == 401
        assert 'error="invalid_token"' in (answer.header("WWW-Authenticate") or "")
        assert answer.header("Cache-Control") == "no-store"


def test_rule_that_says_no_is_403(rig: Rig) -> None:
    token = token_for({"key": "rsa1", "alg": "RS256", "claims": {"email": "a@evil.com"}}, time.time())
    answer = ask(rig, f"Authorization: Bearer {token}", target="/api/x")
    assert answer.status == 403
    assert b'"Access denied"' in answer.body


def test_refusals_repeat_nothing_of_the_request(rig: Rig) -> None:
    spec = {"key": "evil", "alg": "RS256", "header": {"kid": "<script>alert(1)</script>"}}
    token = token_for(spec, time.time())
    for target in ("/jwt/x?<script>", "/nowhere/<script>", "/jwt/../<script>"):
        answer = ask(rig, f"Authorization: Bearer {token}", target=target)
        assert answer.status >= 400
        assert b"<script" not in answer.raw and b"alert" not in answer.raw
        assert b"Traceback" not in answer.raw


def test_no_secret_is_in_the_log(rig: Rig) -> None:
    token = token_for({"key": "rsa1", "alg": "RS256"}, time.time())
    assert ask(rig, f"Authorization: Bearer {token}", target="/jwt/x?apiKey=in-the-query").status == 200
    for gateway in rig.gateways.values():
        log = gateway.log_path.read_text()
        assert token.split(".")[2] not in log
        assert "in-the-query" not in log
        assert HS_SECRET not in log
