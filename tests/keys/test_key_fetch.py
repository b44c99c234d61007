"""Fetching a JWKS over real sockets: what is taken for an answer, and what never is."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import tracemalloc
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from gateway import __version__
from gateway.config.addresses import is_loopback
from gateway.keys.asking import FetchError
from gateway.keys.fetch import Fetcher
from gateway.keys.status import describe_source
from gateway.keys.store import KeyStore
from gateway.policy.jwk import Key, read_key_set
from gateway.policy.key_lookup import NoKey
from gateway.policy.providers import KeySource
from tests.keyserver import DISCOVERY_PATH, JWKS_PATH, KeyServer, private_key


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    fetcher = Fetcher()
    yield fetcher
    await fetcher.close()


@pytest.fixture
async def issuer() -> AsyncIterator[KeyServer]:
    async with KeyServer() as server:
        yield server


def at(issuer: KeyServer, **settings: Any) -> KeySource:
    return KeySource(issuer.issuer, issuer.jwks_uri, **settings)


def found_at(issuer: KeyServer, **settings: Any) -> KeySource:
    return KeySource(issuer.issuer, None, **settings)


async def refused_text(fetcher: Fetcher, source: KeySource) -> str:
    with pytest.raises(FetchError) as caught:
        await fetcher.fetch(source)
    return str(caught.value)


async def test_a_document_is_fetched_from_its_address(fetcher: Fetcher, issuer: KeyServer) -> None:
    assert read_key_set(await fetcher.fetch(at(issuer))).kids == {"rsa-1", "ec-1", "ed-1"}
    assert issuer.counts == {JWKS_PATH: 1}


async def test_the_request_says_who_asks_and_carries_nothing_else(
    fetcher: Fetcher, issuer: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A proxy of the environment would see, and could replace, every key.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    issuer.headers = {"Set-Cookie": "tracked=1"}
    source = KeySource(None, f"http://localhost:{issuer.port}{JWKS_PATH}")  # aiohttp keeps no cookies of an address
    await fetcher.fetch(source)
    await fetcher.fetch(source)
    headers = issuer.requests[1].headers
    assert headers["User-Agent"] == f"mastra-gateway/{__version__}"
    assert headers["Accept-Encoding"] == "identity"
    assert "Cookie" not in headers and "Authorization" not in headers


async def test_discovery_leads_to_the_keys(fetcher: Fetcher, issuer: KeyServer) -> None:
    assert await fetcher.fetch(found_at(issuer)) == issuer.document
    assert issuer.counts == {DISCOVERY_PATH: 1, JWKS_PATH: 1}


@pytest.mark.parametrize("path", ["/realms/one", "/realms/one/", "/"])
async def test_discovery_keeps_the_issuers_path_and_one_slash(fetcher: Fetcher, issuer: KeyServer, path: str) -> None:
    # OpenID Connect Discovery 1.0 section 4.1; Auth0's issuers end in a slash.
    issuer.discovery = {"issuer": issuer.issuer + path, "jwks_uri": issuer.jwks_uri}
    await fetcher.fetch(KeySource(issuer.issuer + path, None))
    assert issuer.counts[path.rstrip("/") + DISCOVERY_PATH] == 1


async def test_a_configured_address_needs_no_discovery(fetcher: Fetcher, issuer: KeyServer) -> None:
    await fetcher.fetch(KeySource("https://idp.test", issuer.jwks_uri))
    assert issuer.counts == {JWKS_PATH: 1}


@pytest.mark.parametrize(
    ("document", "found"),
    [
        pytest.param({"issuer": "https://evil.test"}, "another issuer", id="other-issuer"),
        pytest.param({"issuer": "{issuer}/"}, "another issuer", id="issuer-with-a-slash"),
        pytest.param({"issuer": ["{issuer}"]}, "another issuer", id="issuer-list"),
        pytest.param({"jwks_uri": "{issuer}/.well-known/jwks.json"}, "another issuer", id="no-issuer"),
        pytest.param({"issuer": "{issuer}"}, "no `jwks_uri`", id="no-jwks-uri"),
        pytest.param({"issuer": "{issuer}", "jwks_uri": 5}, "no `jwks_uri`", id="jwks-uri-number"),
        pytest.param({"issuer": "{issuer}", "jwks_uri": "file:///etc/passwd"}, "scheme 'file'", id="file"),
        pytest.param({"issuer": "{issuer}", "jwks_uri": "//idp.test/jwks"}, "scheme ''", id="no-scheme"),
        pytest.param({"issuer": "{issuer}", "jwks_uri": "http://idp.test/jwks"}, "expected https", id="plain-http"),
        pytest.param({"issuer": "{issuer}", "jwks_uri": "https://[bad/jwks"}, "broke off", id="no-address"),
        pytest.param({"issuer": "{issuer}", "jwks_uri": "https://" + "a" * 70 + ".test/"}, "", id="no-host-name"),
    ],
)
async def test_a_discovery_document_must_name_the_issuer_and_a_safe_address(
    fetcher: Fetcher, issuer: KeyServer, document: dict[str, Any], found: str
) -> None:
    # Mix-up and SSRF: OpenID Connect Discovery 1.0 section 4.3, CWE-918.
    issuer.discovery = {
        name: value.replace("{issuer}", issuer.issuer)
        if isinstance(value, str)
        else [issuer.issuer]
        if isinstance(value, list)
        else value
        for name, value in document.items()
    }
    assert found in await refused_text(fetcher, found_at(issuer))
    assert issuer.fetches == 0


@pytest.mark.parametrize(
    "body", [b"<html>", b"", b"\xff", b"[]", b"[" * 100_000, b'{"x":' + b"9" * 5000 + b"}"], ids=range(6)
)
async def test_a_discovery_answer_that_is_no_document_is_refused(body: bytes, fetcher: Fetcher) -> None:
    async with _RawServer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)) as address:
        assert "discovery's document" in await refused_text(fetcher, KeySource(address, None))


async def test_a_source_without_any_address_is_refused(fetcher: Fetcher) -> None:
    assert "neither an issuer nor an address" in await refused_text(fetcher, KeySource(None, None))


async def test_discovery_of_an_https_issuer_never_leads_to_http(
    fetcher: Fetcher, issuer: KeyServer, tls_issuer: tuple[str, dict[str, str]]
) -> None:
    # An issuer elsewhere must not make us call what listens on our own loopback (SSRF, CWE-918).
    address, document = tls_issuer
    document.update(issuer=address, jwks_uri=issuer.jwks_uri)
    trusting = _TrustingFetcher()
    assert "is http, expected https" in await refused_text(trusting, KeySource(address, None))
    await trusting.close()
    assert issuer.fetches == 0


@pytest.mark.parametrize("status", [201, 204, 206, 304, 401, 404, 429, 500, 503])
async def test_only_200_counts_whatever_the_body(fetcher: Fetcher, issuer: KeyServer, status: int) -> None:
    issuer.status = status
    assert await refused_text(fetcher, at(issuer)) == f"found status {status}, expected 200"


@pytest.mark.parametrize("use_discovery", [False, True])
async def test_a_redirect_to_another_origin_is_not_followed(
    fetcher: Fetcher, issuer: KeyServer, use_discovery: bool
) -> None:
    # RFC 8725 section 3.10, CWE-601: the attacker's keys under the same kid, one redirect away.
    async with KeyServer() as evil:
        issuer.redirect_to = evil.jwks_uri
        source = found_at(issuer) if use_discovery else at(issuer)
        said = await refused_text(fetcher, source)
        assert said.startswith(f"found a redirect to {evil.issuer}, expected the keys at {issuer.issuer}:")
        assert not evil.counts


async def test_an_answer_of_the_largest_size_is_taken_and_one_byte_more_is_not(
    fetcher: Fetcher, issuer: KeyServer
) -> None:
    issuer.body = b"x" * 1000
    assert len(await fetcher.fetch(at(issuer, max_bytes=1000))) == 1000
    issuer.body = b"x" * 1001
    assert "more than 1000 bytes" in await refused_text(fetcher, at(issuer, max_bytes=1000))


async def test_an_endless_answer_is_cut_off_while_it_is_read(fetcher: Fetcher) -> None:
    sent = 0

    async def pour(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while sent < 100 * 1024 * 1024:
            await response.write(b" " * 65536)
            sent += 65536
        return response

    application = web.Application()
    application.router.add_get("/", pour)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    source = KeySource(None, f"http://127.0.0.1:{runner.addresses[0][1]}/")
    assert "more than 1048576 bytes" in await refused_text(fetcher, source)
    await runner.cleanup()
    assert sent < 50 * 1024 * 1024


async def test_a_gzip_answer_sent_unasked_is_decoded(fetcher: Fetcher, issuer: KeyServer) -> None:
    document = issuer.document
    issuer.body, issuer.headers = gzip.compress(document), {"Content-Encoding": "gzip"}
    assert await fetcher.fetch(at(issuer)) == document


async def test_a_gzip_bomb_is_not_inflated_beyond_the_limit(fetcher: Fetcher, issuer: KeyServer) -> None:
    issuer.body, issuer.headers = gzip.compress(b"0" * 50_000_000), {"Content-Encoding": "gzip"}
    tracemalloc.start()
    try:
        assert "when inflated" in await refused_text(fetcher, at(issuer))
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 10_000_000


@pytest.mark.parametrize(
    ("body", "encoding", "found"),
    [
        # CVE-2025-69223: 10 MB of zeros are 10 KB on the wire.
        pytest.param(gzip.compress(b"0" * 10_000_000), "gzip", "more than 1048576 bytes when inflated", id="bomb"),
        pytest.param(gzip.compress(b"0" * 1000)[:-9], "gzip", "breaks off", id="cut"),
        pytest.param(b"not gzip", "gzip", "broke off (error)", id="no-gzip"),
        pytest.param(b"x", "br", "content encoding", id="brotli"),
        pytest.param(b"x", "gzip, gzip", "content encoding", id="twice"),
    ],
)
async def test_an_encoding_that_is_broken_or_unknown_is_refused(
    fetcher: Fetcher, issuer: KeyServer, body: bytes, encoding: str, found: str
) -> None:
    issuer.body, issuer.headers = body, {"Content-Encoding": encoding}
    assert found in await refused_text(fetcher, at(issuer))


async def test_a_slow_answer_ends_at_the_total_timeout(fetcher: Fetcher, issuer: KeyServer) -> None:
    issuer.gate.clear()
    assert await refused_text(fetcher, at(issuer, timeout_seconds=0.05)) == "no complete answer within 0.05 s"


async def test_the_timeout_binds_an_answer_that_trickles(fetcher: Fetcher) -> None:
    start = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"
    async with _RawServer(start, keeps_open=True) as address:
        source = KeySource(None, address, timeout_seconds=0.05)
        assert await refused_text(fetcher, source) == "no complete answer within 0.05 s"


async def test_cancelling_a_fetch_is_no_failed_answer(fetcher: Fetcher, issuer: KeyServer) -> None:
    issuer.gate.clear()
    task = asyncio.create_task(fetcher.fetch(at(issuer)))
    await issuer.arrivals.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_closed_port_is_named(fetcher: Fetcher, issuer: KeyServer) -> None:
    await issuer.stop()
    assert await refused_text(fetcher, at(issuer)) == "cannot connect (Connection refused)"


async def test_a_host_without_address_is_named(fetcher: Fetcher) -> None:
    source = KeySource(None, "https://no-such-host.invalid/jwks")  # RFC 6761 section 6.4
    assert await refused_text(fetcher, source) == "cannot connect (the name is not known)"


async def test_a_truncated_answer_is_no_answer(fetcher: Fetcher, issuer: KeyServer) -> None:
    issuer.cuts_short = True
    assert "broke off" in await refused_text(fetcher, at(issuer))


async def test_what_is_not_http_is_no_answer(fetcher: Fetcher) -> None:
    async with _RawServer(b"SSH-2.0-OpenSSH_9.9\r\n") as address:
        assert "broke off" in await refused_text(fetcher, KeySource(None, address))


async def test_a_certificate_that_does_not_verify_is_refused(
    fetcher: Fetcher, tls_issuer: tuple[str, dict[str, str]]
) -> None:
    assert "certificate was not accepted" in await refused_text(fetcher, KeySource(None, tls_issuer[0]))


async def test_plain_http_needs_loopback_or_consent(fetcher: Fetcher, issuer: KeyServer) -> None:
    # 0.0.0.0 reaches this machine here, yet is no loopback address by itself.
    uri = f"http://0.0.0.0:{issuer.port}{JWKS_PATH}"
    assert "expected https" in await refused_text(fetcher, KeySource(None, uri))
    assert issuer.fetches == 0
    assert await fetcher.fetch(KeySource(None, uri, allow_http=True)) == issuer.document


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.1.2.3", "::1"])
def test_loopback_hosts(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "0.0.0.0", "10.0.0.1", "localhost.evil.test", "127.0.0.1.evil.test", "2130706433"]
)
def test_other_hosts_are_not_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("source", "label"),
    [
        (KeySource(None, "https://u:p@idp.test:8443/jwks?key=hush#x"), "https://idp.test:8443/jwks"),
        (KeySource("https://idp.test/", None), "https://idp.test/"),
        (KeySource("https://idp.test/", "https://keys.test/jwks"), "https://keys.test/jwks"),
    ],
)
def test_a_source_is_described_without_credentials(source: KeySource, label: str) -> None:
    assert describe_source(source) == label


async def test_a_fetcher_that_was_never_used_closes() -> None:
    await Fetcher().close()


# The store with the real fetcher.


async def ask(store: KeyStore, source: KeySource, kid: str) -> Key | NoKey:
    answer = store.find(source, kid, "RS256", 0.0)
    if isinstance(answer, NoKey) and answer.fetch_may_help:
        await store.fetch(source, kid)
    return store.find(source, kid, "RS256", 0.0)


async def test_a_store_over_sockets_herds_rotates_and_survives(fetcher: Fetcher, issuer: KeyServer) -> None:
    store, source = KeyStore(fetcher.fetch), found_at(issuer, cooldown_seconds=60)
    issuer.gate.clear()
    herd = [asyncio.create_task(ask(store, source, "rsa-1")) for _ in range(200)]
    await issuer.arrivals.wait()
    issuer.gate.set()
    assert all(isinstance(answer, Key) for answer in await asyncio.gather(*herd))
    assert issuer.counts == {DISCOVERY_PATH: 1, JWKS_PATH: 1}
    issuer.rotate("rsa-2")
    assert isinstance(await ask(store, source, "rsa-2"), Key)
    await issuer.stop()
    for number in range(50):
        assert await ask(store, source, f"k{number}") == NoKey(fetch_may_help=False, is_outage=False)
    assert isinstance(await ask(store, source, "rsa-1"), Key)
    assert (store.status()[0].fetch_count, store.status()[0].failure_count) == (3, 1)
    await store.close()


async def test_a_hanging_key_server_delays_no_other_source(fetcher: Fetcher, issuer: KeyServer) -> None:
    # Bulkhead, CWE-400. Many hang, on one host, and the other host still answers.
    async with KeyServer() as hanging:
        hanging.gate.clear()
        store = KeyStore(fetcher.fetch)
        slow = [KeySource(None, f"http://localhost:{hanging.port}/{number}") for number in range(150)]
        store.use(slow)
        await hanging.arrivals.wait()
        assert isinstance(await ask(store, at(issuer), "rsa-1"), Key)
        assert all(one.is_fetching for one in store.status() if "localhost" in one.label)
        await store.close()


async def test_a_minted_token_names_a_published_key(issuer: KeyServer) -> None:
    # The stand-in itself: other tests lean on it.
    import jwt

    for algorithm, kid in (("RS256", "rsa-1"), ("PS256", "rsa-1"), ("ES256", "ec-1"), ("EdDSA", "ed-1")):
        token = issuer.mint(issuer.claims(email="a@b.test", exp=None), algorithm)
        key = read_key_set(issuer.document).find(kid, algorithm)
        assert key is not None
        claims = jwt.decode(token, key.material, [algorithm], options={"verify_iat": False})
        assert (claims["iss"], claims["email"], "exp" in claims) == (issuer.issuer, "a@b.test", False)
    token = issuer.mint({"sub": "x"}, "HS256", kid=None, key=b"s" * 32, header={"typ": "at+jwt"})
    assert jwt.decode(token, b"s" * 32, ["HS256"]) == {"sub": "x"}
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "at+jwt"}
    assert issuer.mint({"sub": "x"}, "none", key=None).endswith(".")


class _RawServer:
    """Sends one answer, byte for byte, to whoever connects."""

    def __init__(self, answer: bytes, *, keeps_open: bool = False) -> None:
        self._answer = answer
        self._keeps_open = keeps_open
        self._is_over = asyncio.Event()

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aexit__(self, *_: object) -> None:
        self._is_over.set()
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(self._answer)
        await writer.drain()
        if self._keeps_open:
            await self._is_over.wait()
        writer.close()


class _TrustingFetcher(Fetcher):
    """Verifies no certificate, so that a test can be an https issuer."""

    def _open_session(self) -> Any:
        session = super()._open_session()
        session.connector._ssl = False  # type: ignore[union-attr]  # a test's own session
        return session


@pytest.fixture
async def tls_issuer(tmp_path: Path) -> AsyncIterator[tuple[str, dict[str, str]]]:
    """Give the address of an https server with a self-signed certificate, and the document it answers."""
    key = private_key("tls", "P-256")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = (
        builder.serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    )
    certificate = builder.sign(key, hashes.SHA256())
    pem = tmp_path / "tls.pem"
    pem.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(Encoding.PEM)
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    document: dict[str, str] = {}

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(document)

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    listening = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listening, ssl_context=context).start()
    yield f"https://localhost:{listening.getsockname()[1]}", document
    await runner.cleanup()
