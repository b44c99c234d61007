"""One JWKS document over HTTP: bounded in time and size, from the configured origin only."""

from __future__ import annotations

import asyncio
import json
import os
import zlib
from urllib.parse import urlsplit

import aiohttp

from gateway import __version__
from gateway.config.addresses import is_loopback
from gateway.policy.providers import KeySource

_CHUNK_BYTES = 64 * 1024
# Sources are fetched one at a time each, so this binds only issuers that share a host; other hosts have their own.
_MAX_CONNECTIONS_PER_HOST = 16
_DISCOVERY_PATH = "/.well-known/openid-configuration"


class FetchError(Exception):
    """A fetch that brought no document. The message says what was found and expected, never the answer's body."""


class Fetcher:
    """Fetches JWKS documents. Opens its session at the first fetch, on the running loop."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, source: KeySource) -> bytes:
        """Return the source's JWKS document, found by discovery where the source has no address for it.

        All of it, discovery included, takes at most `source.timeout_seconds`. Raises `FetchError`.
        """
        try:
            async with asyncio.timeout(source.timeout_seconds):
                uri = source.jwks_uri if source.jwks_uri is not None else await self._discover(source)
                return await self._get(uri, source)
        except TimeoutError:
            raise FetchError(f"no complete answer within {source.timeout_seconds:g} s") from None
        except aiohttp.ClientConnectorCertificateError:
            raise FetchError("the server's certificate was not accepted, expected a valid one for its name") from None
        except aiohttp.ClientConnectorDNSError:
            raise FetchError("cannot connect (the name is not known)") from None
        except aiohttp.ClientConnectorError as error:
            raise FetchError(f"cannot connect ({os.strerror(error.errno or 0)})") from None
        # ValueError: an address that is none, or a host that IDNA cannot encode. Texts may hold the address: not shown.
        except (aiohttp.ClientError, OSError, zlib.error, ValueError) as error:
            raise FetchError(f"the exchange broke off ({type(error).__name__}), expected a complete answer") from None

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    async def _discover(self, source: KeySource) -> str:
        """Return `jwks_uri` of the issuer's document. Source: OpenID Connect Discovery 1.0 sections 4.1 and 4.3."""
        if source.issuer is None:
            raise FetchError("found neither an issuer nor an address of keys, expected one of them")
        body = await self._get(source.issuer.removesuffix("/") + _DISCOVERY_PATH, source)
        try:
            document = json.loads(body.decode("utf-8"))
        except (ValueError, RecursionError):
            raise FetchError(
                f"found {len(body)} bytes that are not UTF-8 JSON, expected discovery's document"
            ) from None
        if not isinstance(document, dict) or document.get("issuer") != source.issuer:
            # Mix-up: a document of another issuer would let that one's keys sign for this one.
            raise FetchError("discovery's document names another issuer, expected exactly the configured one")
        uri = document.get("jwks_uri")
        if not isinstance(uri, str):
            raise FetchError("discovery's document has no `jwks_uri`, expected an address")
        if urlsplit(uri).scheme == "http" and urlsplit(source.issuer).scheme == "https":
            # Loopback, too: an issuer out there has no business with what listens on this machine.
            raise FetchError("discovery's `jwks_uri` is http, expected https as the issuer's")
        return uri

    async def _get(self, uri: str, source: KeySource) -> bytes:
        _refuse_plain_http(uri, source.allow_http)
        session = self._open_session()
        # Redirects are not followed at all: the origin of keys is the configured one (RFC 8725 section 3.10, CWE-601).
        async with session.get(uri, allow_redirects=False) as response:
            if response.status != 200:
                hint = "; redirects are not followed" if 300 <= response.status < 400 else ""
                raise FetchError(f"found status {response.status}, expected 200{hint}")
            body = await _read_bounded(response, source.max_bytes)
            encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        return _decode(body, encoding, source.max_bytes)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0,
                    limit_per_host=_MAX_CONNECTIONS_PER_HOST,
                    # Minutes lie between two fetches: a kept connection would mostly be found closed.
                    force_close=True,
                ),
                # Decoded in `_decode`, where the result is bounded: CVE-2025-69223.
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),  # `fetch` has the one clock
                trust_env=False,  # neither a proxy nor ~/.netrc may come from the environment
                headers={
                    "Accept": "application/json",
                    "Accept-Encoding": "identity",
                    "User-Agent": f"mastra-gateway/{__version__}",
                },
            )
        return self._session


def describe_source(source: KeySource) -> str:
    """Return the address of a source for logs and `/status`: no user, password, query or fragment."""
    parts = urlsplit(source.jwks_uri or source.issuer or "")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _refuse_plain_http(uri: str, allow_http: bool) -> None:
    parts = urlsplit(uri)
    if parts.scheme == "https" or (parts.scheme == "http" and (allow_http or is_loopback(parts.hostname or ""))):
        return
    # The configured address was judged when the file was read; discovery's is judged here.
    raise FetchError(
        f"found an address of scheme {parts.scheme[:16]!r}, expected https (http on loopback, or with `allow_http`)"
    )


async def _read_bounded(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) > max_bytes:
            response.close()
            raise FetchError(f"found an answer of more than {max_bytes} bytes, expected at most that")
    return bytes(body)


def _decode(body: bytes, encoding: str, max_bytes: int) -> bytes:
    if encoding == "identity":
        return body
    if encoding != "gzip":  # some servers send it unasked
        raise FetchError("found a content encoding that was not asked for, expected none")
    inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
    decoded = inflater.decompress(body, max_bytes + 1)
    if len(decoded) > max_bytes:
        raise FetchError(f"found an answer of more than {max_bytes} bytes when inflated, expected at most that")
    if not inflater.eof:
        raise FetchError("found a gzip answer that breaks off, expected a complete one")
    return decoded
