"""By which way keys are asked for: redirects, discovery's addresses, private authorities, proxies and credentials."""

from __future__ import annotations

import json
import logging
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from gateway.keys.asking import FetchError, metadata_addresses, next_address, same_origin
from gateway.keys.fetch import Fetcher
from gateway.keys.store import KeyStore
from gateway.policy.jwk import KeySetError, read_key_set
from gateway.policy.providers import KeySource, Proxy
from tests.authority import private_authority
from tests.keyproxy import ForwardProxy
from tests.keyserver import certificate_pem, private_key

KEYS = b'{"keys": []}'
SECRET = "Basic cHJvajpzZWNyZXQ="


class Site:
    """Answers by path: bytes, a status, or where to go. `heads` are the headers that came, by path."""

    def __init__(self) -> None:
        self.paths: dict[str, bytes | int | str] = {}
        self.counts: Counter[str] = Counter()
        self.heads: dict[str, dict[str, str]] = {}
        self.origin = ""
        self._runner: web.AppRunner | None = None

    async def start(self, context: ssl.SSLContext | None = None) -> Site:
        application = web.Application()
        application.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context).start()
        self.port: int = self._runner.addresses[0][1]
        self.origin = f"{'https' if context else 'http'}://127.0.0.1:{self.port}"
        return self

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.counts[request.path] += 1
        self.heads[request.path] = dict(request.headers)
        found = self.paths.get(request.path, 404)
        if isinstance(found, int):
            return web.Response(status=found)
        if isinstance(found, str):
            return web.Response(status=302, headers={"Location": found})
        return web.Response(body=found)


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    fetcher = Fetcher()
    yield fetcher
    await fetcher.close()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = await Site().start()
    yield made
    await made.stop()


@pytest.fixture
async def elsewhere() -> AsyncIterator[Site]:
    made = await Site().start()
    made.paths["/keys"] = KEYS
    yield made
    await made.stop()


async def refused(fetcher: Fetcher, source: KeySource) -> str:
    with pytest.raises(FetchError) as caught:
        await fetcher.fetch(source)
    return str(caught.value)


# Redirects.


@pytest.mark.parametrize("to", ["/keys/", "{origin}/keys/", "keys/", "/a/../keys/"])
async def test_redirect_within_the_origin_is_followed(fetcher: Fetcher, site: Site, to: str) -> None:
    site.paths.update({"/keys": to.replace("{origin}", site.origin), "/keys/": KEYS, "/a/../keys/": KEYS})
    assert await fetcher.fetch(KeySource(None, f"{site.origin}/keys")) == KEYS


async def test_three_redirects_are_followed_and_a_fourth_or_a_circle_is_not(fetcher: Fetcher, site: Site) -> None:
    site.paths.update({"/1": "/2", "/2": "/3", "/3": "/4", "/4": KEYS, "/0": "/1", "/round": "/round"})
    assert await fetcher.fetch(KeySource(None, f"{site.origin}/1")) == KEYS
    assert "more than 3 redirects" in await refused(fetcher, KeySource(None, f"{site.origin}/0"))
    assert "more than 3 redirects" in await refused(fetcher, KeySource(None, f"{site.origin}/round"))
    assert site.counts["/round"] == 4


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("{other}/keys?token=hush", "found a redirect to {other}, expected the keys at {origin}: redirects to another"),
        ("https://127.0.0.1:{port}/keys", "found a redirect to https://127.0.0.1:{port}, expected"),
        ("//evil.test/keys", "found a redirect to http://evil.test, expected"),
        ("file:///etc/passwd", "found a redirect to file://, expected"),
        ("http://user:hush@127.0.0.1:{port}/keys", "found a redirect to something that is no plain address"),
        ("http://[bad/keys", "found a redirect to something that is no plain address"),
        ("http://127.0.0.1:99999999/keys", "found a redirect to"),
        ("http://127.0.0.1:{port}.evil.test/keys", "found a redirect to"),
    ],
)
async def test_redirect_to_elsewhere_is_refused_and_its_origin_named(
    fetcher: Fetcher, site: Site, elsewhere: Site, to: str, said: str
) -> None:
    # The attacker's keys under the same kid, one redirect away: RFC 8725 section 3.10, CWE-601.
    def filled(text: str) -> str:
        names = {"{other}": elsewhere.origin, "{origin}": site.origin, "{port}": str(site.port)}
        for name, value in names.items():
            text = text.replace(name, value)
        return text

    site.paths["/jwks"] = filled(to)
    found = await refused(fetcher, KeySource(None, f"{site.origin}/jwks", headers=(("Authorization", SECRET),)))
    assert filled(said) in found and "hush" not in found
    assert not elsewhere.counts


async def test_redirect_without_a_place_is_a_status(fetcher: Fetcher, site: Site) -> None:
    site.paths["/keys"] = 302
    assert await refused(fetcher, KeySource(None, f"{site.origin}/keys")) == "found status 302, expected 200"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://a.test/x", "https://A.test:443/y", True),
        ("http://a.test", "http://a.test:80", True),
        ("https://a.test", "http://a.test", False),
        ("https://a.test", "https://a.test:444", False),
        ("https://a.test", "https://a.test.evil", False),
        ("https://a.test", "https://a.test:x", False),
        ("", "", False),
    ],
)
def test_same_origin(one: str, other: str, same: bool) -> None:
    assert same_origin(one, other) == same


@pytest.mark.parametrize("location", ["/a\r\nX: y", "//u@b.test/", "/\x00", "/\u202e"])
def test_redirect_to_what_is_no_plain_address_is_none(location: str) -> None:
    with pytest.raises(FetchError):
        next_address("https://a.test/", location)


# Discovery.


@pytest.mark.parametrize(
    ("issuer", "addresses"),
    [
        (
            "https://a.test",
            (
                "https://a.test/.well-known/openid-configuration",
                "https://a.test/.well-known/oauth-authorization-server",
            ),
        ),
        (
            "https://a.test/t/1/",
            (
                "https://a.test/t/1/.well-known/openid-configuration",
                "https://a.test/.well-known/oauth-authorization-server/t/1",
                "https://a.test/t/1/.well-known/oauth-authorization-server",
            ),
        ),
    ],
)
def test_addresses_of_metadata(issuer: str, addresses: tuple[str, ...]) -> None:
    assert metadata_addresses(issuer) == addresses


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("gone", [404, 405, 410, 501])
async def test_metadata_is_found_wherever_it_is(fetcher: Fetcher, site: Site, place: int, gone: int) -> None:
    issuer = f"{site.origin}/t/1"
    paths = [address.removeprefix(site.origin) for address in metadata_addresses(issuer)]
    site.paths.update(dict.fromkeys(paths, gone))
    site.paths.update({paths[place]: _metadata(issuer, f"{site.origin}/keys"), "/keys": KEYS})
    assert await fetcher.fetch(KeySource(issuer, None)) == KEYS
    assert [site.counts[path] for path in paths] == [1] * (place + 1) + [0] * (2 - place)


@pytest.mark.parametrize("status", [400, 401, 403, 429, 500, 503])
async def test_another_answer_than_not_there_is_not_asked_around(fetcher: Fetcher, site: Site, status: int) -> None:
    issuer = f"{site.origin}/t/1"
    paths = [address.removeprefix(site.origin) for address in metadata_addresses(issuer)]
    site.paths.update({paths[0]: status, paths[1]: _metadata(issuer, f"{site.origin}/keys")})
    assert f"found status {status}, expected 200" in await refused(fetcher, KeySource(issuer, None))
    assert site.counts == {paths[0]: 1}


async def test_issuer_without_any_metadata_says_what_was_looked_for(fetcher: Fetcher, site: Site) -> None:
    said = await refused(fetcher, KeySource(f"{site.origin}/t", None))
    assert said == (
        "found status 404, expected 200 (of openid-configuration, and no oauth-authorization-server either)"
    )


@pytest.mark.parametrize("place", [0, 1])
async def test_mismatch_shows_both_issuers(fetcher: Fetcher, site: Site, place: int) -> None:
    # Mix-up: OpenID Connect Discovery 1.0 section 4.3, RFC 8414 section 3.3.
    issuer = f"{site.origin}/common/v2.0"
    path = metadata_addresses(issuer)[place].removeprefix(site.origin)
    site.paths[path] = _metadata(site.origin + "/{tenantid}/v2.0", f"{site.origin}/keys")
    said = await refused(fetcher, KeySource(issuer, None))
    assert f"found '{site.origin}/{{tenantid}}/v2.0', expected exactly '{issuer}'" in said
    assert not site.counts["/keys"]


async def test_mismatch_is_clipped_and_made_printable(fetcher: Fetcher, site: Site) -> None:
    site.paths["/.well-known/openid-configuration"] = _metadata("\u202e\n" + "x" * 5000, "https://k.test")
    said = await refused(fetcher, KeySource(site.origin, None))
    assert len(said) < 600 and said.isascii() and said.isprintable()


def _metadata(issuer: str, uri: str) -> bytes:
    return json.dumps({"issuer": issuer, "jwks_uri": uri}).encode()


@pytest.mark.parametrize("count", [1, 3])
def test_map_of_certificates_is_named_as_what_it_is(count: int) -> None:
    pem = certificate_pem(private_key("x509")).decode()
    with pytest.raises(KeySetError, match=r"map of key ids to X\.509 certificates .*/service_accounts/v1/jwk/ACCOUNT"):
        read_key_set(json.dumps({f"k{number}": pem for number in range(count)}).encode())


# A private authority.


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Give the files of a private authority, of a certificate for 127.0.0.1 and login.corp.example, and of another."""
    folder = tmp_path_factory.mktemp("authority")
    return private_authority(folder) | {"other": private_authority(folder, "other")["ca"]}


@pytest.fixture
async def tls_site(authority: dict[str, Path]) -> AsyncIterator[Site]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority["certificate"], authority["key"])
    made = await Site().start(context)
    made.paths["/keys"] = KEYS
    yield made
    await made.stop()


async def test_key_server_of_a_private_authority_is_verified_by_it(
    fetcher: Fetcher, tls_site: Site, authority: dict[str, Path]
) -> None:
    uri = f"{tls_site.origin}/keys"
    assert await fetcher.fetch(KeySource(None, uri, ca_file=str(authority["ca"]))) == KEYS
    assert "(`ca_file` names a private authority)" in await refused(fetcher, KeySource(None, uri))
    said = await refused(fetcher, KeySource(None, uri, ca_file=str(authority["other"])))
    assert said.endswith("for its name by an authority of `ca_file`")
    named = f"https://localhost:{tls_site.port}/keys"  # a name that the certificate does not have
    assert "certificate was not accepted" in await refused(
        fetcher, KeySource(None, named, ca_file=str(authority["ca"]))
    )


async def test_authority_that_is_replaced_counts_at_the_next_fetch(
    fetcher: Fetcher, tls_site: Site, authority: dict[str, Path], tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    source = KeySource(None, f"{tls_site.origin}/keys", ca_file=str(file))
    assert "`ca_file` cannot be used" in await refused(fetcher, source)
    file.write_bytes(authority["other"].read_bytes())
    assert "certificate was not accepted" in await refused(fetcher, source)
    file.write_bytes(authority["ca"].read_bytes())
    assert await fetcher.fetch(source) == KEYS


# A proxy.


async def test_https_goes_through_the_proxy_by_connect_and_the_proxy_sees_no_credential_of_the_key_server(
    fetcher: Fetcher, tls_site: Site, authority: dict[str, Path]
) -> None:
    async with ForwardProxy(tls_site.port) as proxy:
        source = KeySource(
            None,
            f"https://login.corp.example:{tls_site.port}/keys",  # a name that only the proxy knows
            ca_file=str(authority["ca"]),
            proxy=Proxy(proxy.url, "me", "p:ss"),
            headers=(("Authorization", SECRET),),
        )
        assert await fetcher.fetch(source) == KEYS
        (head,) = proxy.heads
    assert head.startswith(f"CONNECT login.corp.example:{tls_site.port} HTTP/1.1".encode())
    assert b"Proxy-Authorization: Basic bWU6cDpzcw==" in head and SECRET.encode() not in head
    assert tls_site.heads["/keys"]["Authorization"] == SECRET
    assert "Proxy-Authorization" not in tls_site.heads["/keys"]


async def test_discovery_goes_through_the_proxy_too(fetcher: Fetcher, site: Site) -> None:
    async with ForwardProxy(site.port) as proxy:
        issuer = f"http://idp.corp.example:{site.port}"
        site.paths["/.well-known/openid-configuration"] = _metadata(issuer, f"{issuer}/keys")
        site.paths["/keys"] = KEYS
        source = KeySource(issuer, None, allow_http=True, proxy=Proxy(proxy.url, "me", "p:ss"))
        assert await fetcher.fetch(source) == KEYS
        assert [b"Proxy-Authorization: Basic bWU6cDpzcw==" in head for head in proxy.heads] == [True, True]


async def test_proxy_that_is_down_or_refuses_is_named_without_its_password(
    fetcher: Fetcher, site: Site, authority: dict[str, Path]
) -> None:
    uri = f"https://login.corp.example:{site.port}/keys"
    async with ForwardProxy(site.port) as proxy:
        source = KeySource(None, uri, proxy=Proxy(proxy.url, "me", "hush"), ca_file=str(authority["ca"]))
        for status in (b"407 Proxy Authentication Required", b"403 Forbidden", b"502 Bad Gateway"):
            proxy.status = status
            said = await refused(fetcher, source)
            assert said == f"the proxy {proxy.url} answered {int(status[:3])}, expected 200"
    said = await refused(fetcher, source)
    assert said == f"cannot connect to the proxy {proxy.url} (Connection refused)"


async def test_no_proxy_comes_from_the_environment(
    fetcher: Fetcher, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.paths["/keys"] = KEYS
    async with ForwardProxy(site.port) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert await fetcher.fetch(KeySource(None, f"{site.origin}/keys")) == KEYS
        assert not proxy.heads


# Credentials.


async def test_token_file_is_read_anew_for_each_fetch(fetcher: Fetcher, site: Site, tmp_path: Path) -> None:
    # Kubernetes replaces a mounted service account's token while the pod runs.
    file = tmp_path / "token"
    site.paths["/keys"] = KEYS
    source = KeySource(None, f"{site.origin}/keys", token_file=str(file))
    assert await refused(fetcher, source) == "`token_file` cannot be read, expected a token in it"
    for token in ("one", "two\n"):
        file.write_text(token)
        assert await fetcher.fetch(source) == KEYS
        assert site.heads["/keys"]["Authorization"] == f"Bearer {token.strip()}"


@pytest.mark.parametrize("content", [b"", b" \n", b"two words", b"a\r\nX-Admin: 1", b"\xff", b"x" * 70_000, b"a\x00b"])
async def test_token_file_that_holds_something_else_is_refused_unseen(
    fetcher: Fetcher, site: Site, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    said = await refused(fetcher, KeySource(None, f"{site.origin}/keys", token_file=str(file)))
    assert said.startswith("`token_file` ") and "X-Admin" not in said
    assert not site.counts


async def test_credentials_go_to_the_origin_that_the_file_names_and_to_no_other(
    fetcher: Fetcher, site: Site, elsewhere: Site
) -> None:
    # What discovery names is half-trusted: a credential is for whom the operator gave it.
    site.paths["/.well-known/openid-configuration"] = _metadata(site.origin, f"{elsewhere.origin}/keys")
    source = KeySource(site.origin, None, headers=(("X-Key", "hush"),))
    assert await fetcher.fetch(source) == KEYS
    assert site.heads["/.well-known/openid-configuration"]["X-Key"] == "hush"
    assert "X-Key" not in elsewhere.heads["/keys"]
    elsewhere.paths["/keys"] = 401
    said = await refused(fetcher, source)
    assert said == f"found status 401, expected 200 (credentials go to {site.origin} only)"


async def test_credentials_are_in_no_log_and_no_status(caplog: pytest.LogCaptureFixture, site: Site) -> None:
    caplog.set_level(logging.DEBUG)
    site.paths["/keys"] = 403
    fetcher = Fetcher()
    store = KeyStore(fetcher.fetch)
    source = KeySource(None, f"{site.origin}/keys", headers=(("Authorization", "hush"),))
    proxied = KeySource(
        None, f"{site.origin}/k", headers=(("X", "hush"),), proxy=Proxy("http://127.0.0.1:9", "u", "hush")
    )
    await store.start([source, proxied])
    assert site.heads["/keys"]["Authorization"] == "hush"
    assert "hush" not in str(store.status()) + repr(source) + repr(proxied) + caplog.text
    assert "cannot connect to the proxy http://127.0.0.1:9" in caplog.text
    await store.close()
    await fetcher.close()
