"""Issuers of many forms and keys of many places, seen from a client of the running gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway.config.file import load
from gateway.endpoints.local import LocalState
from gateway.record.exposition import metrics_text
from gateway.server.gateway import Gateway
from gateway.server.gauges import gauges_of
from gateway.server.reload import Reloader
from tests.keyserver import KeyServer, private_key, private_pem, public_pem, to_jwk
from tests.rawpeer import RawUpstream, ask
from tests.running import WIRE


class Tenants(KeyServer):
    """An issuer for each tenant: `ISSUER/TENANT/v2.0`, with discovery and one key of its own, named `k`."""

    def __init__(self) -> None:
        super().__init__()
        self.unknown: set[str] = set()

    async def __aenter__(self) -> Tenants:
        await self.start()
        return self

    def of(self, tenant: str) -> str:
        return f"{self.issuer}/{tenant}/v2.0"

    def token(self, tenant: str, **changes: Any) -> str:
        key = changes.pop("key", private_key(f"tenant-{tenant}", "P-256"))
        claims = {"iss": self.of(tenant), "tid": tenant, **changes}
        return self.mint(self.claims(**claims), "ES256", kid="k", key=key)

    async def _answer(self, request: Any) -> Any:
        self.counts[request.path] += 1
        tenant, _, rest = request.path.lstrip("/").partition("/")
        if tenant in self.unknown:
            return web.Response(status=400)
        if rest.endswith("keys"):
            return web.json_response({"keys": [to_jwk(private_key(f"tenant-{tenant}", "P-256"), "k")]})
        document = {"issuer": self.of(tenant), "jwks_uri": f"{self.issuer}/{tenant}/keys"}
        return web.json_response(document)

    @property
    def asked(self) -> set[str]:
        """The tenants that were asked about."""
        return {path.lstrip("/").partition("/")[0] for path in self.counts}


@asynccontextmanager
async def gateway_for(provider: str, folder: Path) -> AsyncIterator[Gateway]:
    async with RawUpstream() as upstream:
        file = folder / "gateway.yaml"
        file.write_text(
            f"""
listen: 127.0.0.1:0
upstream: {upstream.url}
providers:
  people: {{type: oidc, audience: none, {provider}}}
routes:
  /api: {{provider: people, allow: authenticated}}
"""
        )
        gateway = Gateway(load(file, WIRE))
        await gateway.start()
        try:
            await gateway.store.start(gateway.runtime.key_sources())
            yield gateway
        finally:
            await gateway.stop()


async def call(gateway: Gateway, token: str) -> tuple[int, str]:
    request = f"GET /api/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"
    status, _, body = await ask(gateway.port, request.encode())
    return status, json.loads(body)["code"] if body.startswith(b"{") and b'"code"' in body else ""


def template_of(idp: Tenants, *more: str) -> str:
    return ", ".join((f"issuer: '{idp.issuer}/{{tid}}/v2.0'", "algorithms: ES256", *more))


# Templates.


async def test_tenants_of_a_template_are_each_judged_by_their_own_keys(tmp_path: Path) -> None:
    async with Tenants() as idp, gateway_for(template_of(idp), tmp_path) as gateway:
        for tenant in ("one", "two"):
            assert await call(gateway, idp.token(tenant)) == (200, "")
        # Mix-up: the keys of one tenant must not speak for another, though both publish the same kid.
        crossed = idp.token("two", key=private_key("tenant-one", "P-256"))
        assert await call(gateway, crossed) == (401, "signature_invalid")
        assert await call(gateway, idp.token("one", iss=idp.of("two"))) == (401, "issuer_mismatch")
        assert await call(gateway, idp.token("one", tid=None)) == (401, "issuer_mismatch")
        assert idp.asked == {"one", "two"}


async def test_good_token_of_one_tenant_is_remembered_for_its_keys_alone(tmp_path: Path) -> None:
    async with Tenants() as idp, gateway_for(template_of(idp), tmp_path) as gateway:
        token = idp.token("one")
        for _ in range(4):
            assert await call(gateway, token) == (200, "")
        verified = gateway.config.policy.verified
        assert verified.hits >= 1
        (entry,) = verified._entries.values()
        assert entry.source is not None and entry.source.issuer == idp.of("one")


async def test_issuer_beyond_the_bound_is_a_401_and_nobody_is_asked(tmp_path: Path) -> None:
    async with Tenants() as idp, gateway_for(template_of(idp, "max_issuers: 2"), tmp_path) as gateway:
        assert await call(gateway, idp.token("one")) == (200, "")
        assert await call(gateway, idp.token("two")) == (200, "")
        assert await call(gateway, idp.token("three")) == (401, "issuer_mismatch")
        assert idp.asked == {"one", "two"}
        assert await call(gateway, idp.token("one")) == (200, "")


async def test_names_of_strangers_lock_nobody_out(tmp_path: Path) -> None:
    async with Tenants() as idp, gateway_for(template_of(idp, "max_issuers: 2"), tmp_path) as gateway:
        forger = private_key("forger", "P-256")
        idp.unknown = {f"x{number}" for number in range(30)}
        for number in range(30):
            assert await call(gateway, idp.token(f"x{number}", key=forger)) == (401, "issuer_mismatch")
            assert await call(gateway, idp.token(f"real{number}", key=forger)) == (401, "signature_invalid")
        assert await call(gateway, idp.token("one")) == (200, "")
        assert await call(gateway, idp.token("two")) == (200, "")


@pytest.mark.parametrize(
    "tid", ["../admin", "..", "x/y", "x%2fy", "x?y", "x#y", "@evil.test", "x\r\n", "", "\uff58", "x" * 200]
)
async def test_claim_that_would_lead_elsewhere_causes_no_fetch(tmp_path: Path, tid: str) -> None:
    async with Tenants() as idp, gateway_for(template_of(idp), tmp_path) as gateway:
        forged = idp.token("one", tid=tid, iss=idp.of(tid), key=private_key("forger", "P-256"))
        assert await call(gateway, forged) == (401, "issuer_mismatch")
        assert not idp.counts


async def test_key_server_of_a_template_that_is_down_is_a_503(tmp_path: Path) -> None:
    idp = Tenants()
    await idp.start()
    token = idp.token("one")
    await idp.stop()
    async with gateway_for(template_of(idp), tmp_path) as gateway:
        assert gateway.is_ready()
        assert await call(gateway, token) == (503, "keys_unavailable")


async def test_one_address_of_keys_serves_all_tenants(tmp_path: Path) -> None:
    async with Tenants() as idp:
        provider = f"issuer: 'https://login.example/{{tid}}/v2.0', algorithms: ES256, jwks_uri: '{idp.issuer}/one/keys'"
        async with gateway_for(provider, tmp_path) as gateway:
            key = private_key("tenant-one", "P-256")
            for tenant in ("one", "two"):
                issuer = f"https://login.example/{tenant}/v2.0"
                assert await call(gateway, idp.token(tenant, iss=issuer, key=key)) == (200, "")
                assert await call(gateway, idp.token(tenant, iss=issuer, tid="x", key=key)) == (401, "issuer_mismatch")
            assert idp.counts == {"/one/keys": 1}


async def test_status_and_metrics_name_the_issuers_that_have_a_place_and_no_label_is_a_tenants(tmp_path: Path) -> None:
    async with Tenants() as idp, gateway_for(template_of(idp), tmp_path) as gateway:
        local = LocalState(gateway)
        (provider,) = (await local.status())["providers"]
        assert (provider["keys"], provider["sources"], provider["max_issuers"]) == (None, [], 100)
        await call(gateway, idp.token("stranger", key=private_key("forger", "P-256")))
        for tenant in ("one", "two"):
            await call(gateway, idp.token(tenant))
        (provider,) = (await local.status())["providers"]
        assert provider["issuers"] == [f"{idp.issuer}/{{tid}}/v2.0"]
        assert {source["label"] for source in provider["sources"]} == {idp.of("one"), idp.of("two")}
        assert (provider["keys"]["state"], provider["keys"]["fetch_count"]) == ("fresh", 2)
        metrics = metrics_text(gateway.metrics, gauges_of(gateway)).decode()
        assert 'gateway_key_fetches_total{provider="people",result="ok"} 2.0' in metrics
        assert "/v2.0" not in metrics


# Lists.


async def test_each_issuer_of_a_list_is_discovered_and_judged_by_its_own_keys(tmp_path: Path) -> None:
    async with Tenants() as idp:
        provider = f"issuer: ['{idp.of('one')}', '{idp.of('two')}'], algorithms: ES256"
        async with gateway_for(provider, tmp_path) as gateway:
            assert idp.asked == {"one", "two"}, "before a token came"
            assert await call(gateway, idp.token("one")) == (200, "")
            assert await call(gateway, idp.token("two", tid=None)) == (200, "")
            assert await call(gateway, idp.token("two", key=private_key("tenant-one", "P-256"))) == (
                401, "signature_invalid",
            )  # fmt: skip
            assert await call(gateway, idp.token("three")) == (401, "issuer_mismatch")
            assert idp.asked == {"one", "two"}


async def test_trouble_of_one_issuer_of_a_list_is_told_with_its_name(tmp_path: Path) -> None:
    async with Tenants() as idp:
        idp.unknown = {"two"}
        provider = f"issuer: ['{idp.of('one')}', '{idp.of('two')}'], algorithms: ES256"
        async with gateway_for(provider, tmp_path) as gateway:
            state = await LocalState(gateway).status()
            (trouble,) = state["troubles"]
            assert f"provider people for {idp.of('two')} has no usable keys" in trouble["what"]
            assert gateway.is_ready(), "one issuer's outage takes nobody else's callers away"


# Files.


def own_token(name: str, kid: str | None, alg: str = "ES256") -> str:
    idp = KeyServer()
    return idp.mint(idp.claims(iss="https://jobs.example"), alg, kid=kid, key=private_key(name, "P-256"))


async def test_keys_of_a_file_count_and_change_with_it(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"

    def publish(*names: str) -> None:
        file.write_text(json.dumps({"keys": [to_jwk(private_key(name, "P-256"), name) for name in names]}))

    publish("one", "two")
    provider = "issuer: 'https://jobs.example', algorithms: ES256, jwks_file: jwks.json"
    async with gateway_for(provider, tmp_path) as gateway:
        assert gateway.is_ready()
        one, two = own_token("one", "one"), own_token("two", "two")
        for _ in range(3):
            assert await call(gateway, one) == (200, "")
        assert await call(gateway, own_token("two", "one")) == (401, "signature_invalid")
        assert await call(gateway, own_token("three", "three")) == (401, "key_unknown")
        publish("two")
        assert await Reloader(gateway, tmp_path / "gateway.yaml", WIRE).reload()
        assert await call(gateway, one) == (401, "key_unknown"), "also one that was remembered"
        assert await call(gateway, two) == (200, "")


NONSENSE = [
    b"",
    b"{}",
    b'{"keys": []}',
    b"nonsense",
    private_pem(private_key("one", "P-256")),
    b'{"keys": [{"d": "x"}]}',
]


@pytest.mark.parametrize("nonsense", NONSENSE, ids=range(len(NONSENSE)))
@pytest.mark.parametrize("key", ["jwks_file", "public_key_files"])
async def test_key_file_that_becomes_nonsense_leaves_the_old_keys_and_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, key: str, nonsense: bytes
) -> None:
    file, one = tmp_path / "keys", private_key("one", "P-256")
    good = json.dumps({"keys": [to_jwk(one, "one")]}).encode() if key == "jwks_file" else public_pem(one)
    file.write_bytes(good)
    provider = f"issuer: 'https://jobs.example', algorithms: ES256, {key}: keys"
    async with gateway_for(provider, tmp_path) as gateway:
        reloader, local = Reloader(gateway, tmp_path / "gateway.yaml", WIRE), LocalState(gateway)
        watching = asyncio.create_task(reloader.watch())
        file.write_bytes(nonsense)
        assert not await reloader.reload()
        assert await call(gateway, own_token("one", "one")) == (200, "")
        is_ready, said = await local.ready()
        assert is_ready and "the configuration before is in force: " in said["why"]
        assert f"providers.people.{key}" in said["why"] and "keys: " in said["why"]
        assert f"providers.people.{key}" in caplog.text
        assert any("is not in force" in trouble["what"] for trouble in (await local.status())["troubles"])
        file.write_bytes(good)
        assert await reloader.reload()
        assert await local.ready() == (True, {"why": None})
        watching.cancel()


async def test_pem_keys_are_tried_in_turn_whatever_the_token_calls_its_key(tmp_path: Path) -> None:
    for name in ("new", "old"):
        (tmp_path / f"{name}.pem").write_bytes(public_pem(private_key(name, "P-256")))
    provider = "issuer: 'https://jobs.example', algorithms: [ES256, RS256], public_key_files: [new.pem, old.pem]"
    async with gateway_for(provider, tmp_path) as gateway:
        for name in ("new", "old", "new"):
            for kid in (None, "any"):
                token = own_token(name, kid)
                assert [await call(gateway, token) for _ in range(3)] == [(200, "")] * 3
        assert await call(gateway, own_token("other", None)) == (401, "signature_invalid")
        rs256 = KeyServer().mint(
            KeyServer().claims(iss="https://jobs.example"), "RS256", kid=None, key=private_key("rsa")
        )
        assert await call(gateway, rs256) == (401, "key_unknown"), "no key is for that algorithm"
