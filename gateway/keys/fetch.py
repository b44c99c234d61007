"""One JWKS document over HTTP: bounded in time, size and redirects, by whatever way out there is."""

from __future__ import annotations

import asyncio
import json
import os
import zlib
from urllib.parse import urlsplit

import aiohttp

from gateway import __version__
from gateway.config.addresses import is_loopback
from gateway.keys.asking import FetchError, ask_for, metadata_addresses, next_address, origin_shown, same_origin
from gateway.policy.providers import KeySource

_CHUNK_BYTES = 64 * 1024
# Sources are fetched one at a time each, so this binds only issuers that share a host; other hosts have their own.
_MAX_CONNECTIONS_PER_HOST = 16
# What says that a document is not at this address, and may be at another (RFC 9110 sections 15.5.5, 15.5.6, 15.5.11).
_NOT_THERE = frozenset({404, 405, 410, 501})
_MAX_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_SHOWN = 200


class Fetcher:
    """Fetches JWKS documents. Opens its session at the first fetch, on the running loop."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, source: KeySource) -> bytes:
        """Return the source's JWKS document, found by discovery where the source has no address for it.

        All of it, discovery included, takes at most `source.timeout_seconds`. Raises `FetchError`.
        """
        way = f" by the proxy {source.proxy.url}" if source.proxy is not None else ""
        try:
            async with asyncio.timeout(source.timeout_seconds):
                uri = source.jwks_uri if source.jwks_uri is not None else await self._discover(source)
                return await self._get(uri, source)
        except _StatusError as refusal:
            # Of an issuer that a token named: its server knows it not, and that is an answer, no outage.
            is_refused = source.pattern is not None and 400 <= refusal.status < 500 and refusal.status not in (408, 429)
            raise FetchError(str(refusal), is_refused=is_refused) from None
        except TimeoutError:
            raise FetchError(f"no complete answer within {source.timeout_seconds:g} s{way}") from None
        except aiohttp.ClientHttpProxyError as refusal:
            raise FetchError(f"the proxy {_proxy_of(source)} answered {refusal.status}, expected 200") from None
        except aiohttp.ClientProxyConnectionError as error:
            raise FetchError(
                f"cannot connect to the proxy {_proxy_of(source)} ({os.strerror(error.errno or 0)})"
            ) from None
        except aiohttp.ClientConnectorCertificateError:
            raise FetchError(
                "the server's certificate was not accepted, expected a valid one for its name"
                + (" by an authority of `ca_file`" if source.ca_file else " (`ca_file` names a private authority)")
            ) from None
        except aiohttp.ClientConnectorDNSError:
            raise FetchError(f"cannot connect (the name {'of the proxy ' if way else ''}is not known)") from None
        except aiohttp.ClientConnectorError as error:
            raise FetchError(f"cannot connect{way} ({os.strerror(error.errno or 0)})") from None
        # ValueError: an address that is none, or a host that IDNA cannot encode. Texts may hold the address: not shown.
        except (aiohttp.ClientError, OSError, zlib.error, ValueError) as error:
            raise FetchError(f"the exchange broke off ({type(error).__name__}), expected a complete answer") from None

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    async def _discover(self, source: KeySource) -> str:
        """Return `jwks_uri` of the issuer's document.

        Source: OpenID Connect Discovery 1.0 sections 4.1 and 4.3, RFC 8414 sections 3.1 and 3.3.
        """
        if source.issuer is None:
            raise FetchError("found neither an issuer nor an address of keys, expected one of them")
        document = _document_of(await self._metadata(source.issuer, source))
        named = document.get("issuer") if isinstance(document, dict) else None
        if not isinstance(document, dict) or named != source.issuer:
            # Mix-up: a document of another issuer would let that one's keys sign for this one.
            found = ascii(named[:_MAX_SHOWN]) if isinstance(named, str) else "none"
            raise FetchError(
                f"discovery's document names another issuer: found {found}, expected exactly "
                f"{source.issuer[:_MAX_SHOWN]!a}",
                is_refused=source.pattern is not None,
            )
        uri = document.get("jwks_uri")
        if not isinstance(uri, str):
            raise FetchError("discovery's document has no `jwks_uri`, expected an address")
        if urlsplit(uri).scheme == "http" and urlsplit(source.issuer).scheme == "https":
            # Loopback, too: an issuer out there has no business with what listens on this machine.
            raise FetchError("discovery's `jwks_uri` is http, expected https as the issuer's")
        return uri

    async def _metadata(self, issuer: str, source: KeySource) -> bytes:
        """Return the first metadata document that is there, OpenID Connect's before OAuth's."""
        first: _StatusError | None = None
        for address in metadata_addresses(issuer):
            try:
                return await self._get(address, source)
            except _StatusError as refusal:
                if refusal.status not in _NOT_THERE:
                    raise first or refusal from None
                first = first or refusal
        assert first is not None  # noqa: S101  # there is always an address
        raise _StatusError(f"{first} (of openid-configuration, and no oauth-authorization-server either)", first.status)

    async def _get(self, uri: str, source: KeySource) -> bytes:
        begin = uri
        for _ in range(_MAX_REDIRECTS + 1):
            _refuse_plain_http(uri, source.allow_http)
            answer = await self._ask(uri, source)
            if not isinstance(answer, str):
                return answer
            uri = next_address(uri, answer)
            # The origin of keys is the configured one: RFC 8725 section 3.10, CWE-601.
            if not same_origin(begin, uri):
                raise FetchError(
                    f"found a redirect to {origin_shown(uri)}, expected the keys at {origin_shown(begin)}: redirects "
                    "to another origin are not followed (name that address as `jwks_uri`, if it is the issuer's)"
                )
        raise FetchError(f"found more than {_MAX_REDIRECTS} redirects in a row, expected the document")

    async def _ask(self, uri: str, source: KeySource) -> bytes | str:
        """Return the document at an address, or where it sends us."""
        session = self._open_session()
        reads_files = source.ca_file is not None or source.token_file is not None
        asked = await asyncio.to_thread(ask_for, uri, source) if reads_files else ask_for(uri, source)
        async with session.get(uri, allow_redirects=False, **asked) as response:
            status = response.status
            if status in _REDIRECTS and "Location" in response.headers:
                return response.headers["Location"]
            if status != 200:
                hint = ""
                if status in (401, 403) and not asked["headers"] and (source.headers or source.token_file):
                    hint = f" (credentials go to {origin_shown(source.jwks_uri or source.issuer or '')} only)"
                raise _StatusError(f"found status {status}, expected 200{hint}", status)
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


class _StatusError(FetchError):
    """An answer of another status than 200."""

    def __init__(self, words: str, status: int) -> None:
        super().__init__(words)
        self.status = status


def _document_of(body: bytes) -> object:
    try:
        return json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        raise FetchError(f"found {len(body)} bytes that are not UTF-8 JSON, expected discovery's document") from None


def _proxy_of(source: KeySource) -> str:
    return source.proxy.url if source.proxy is not None else ""


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
