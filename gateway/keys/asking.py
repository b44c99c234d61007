"""What is asked of a key server: where its documents may be, and what goes along with the question."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

from gateway.policy.providers import KeySource

_OPENID, _OAUTH = "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"
_PORTS = {"http": 80, "https": 443}
_MAX_TOKEN_BYTES = 64 * 1024
_MAX_SHOWN = 200


class FetchError(Exception):
    """A fetch that brought no document. The message says what was found and expected, never the answer's body.

    `is_refused`: the issuer, which a token named, is none that its server knows.
    """

    def __init__(self, words: str, *, is_refused: bool = False) -> None:
        super().__init__(words)
        self.is_refused = is_refused


def metadata_addresses(issuer: str) -> tuple[str, ...]:
    """Return where an issuer's metadata may be: OpenID Connect's, then OAuth's in both forms.

    Source: OpenID Connect Discovery 1.0 section 4.1; RFC 8414 section 3.1, whose name stands before the issuer's path.
    """
    bare = issuer.removesuffix("/")
    parts = urlsplit(bare)
    inserted = f"{parts.scheme}://{parts.netloc}{_OAUTH}{parts.path}"
    return tuple(dict.fromkeys((bare + _OPENID, inserted, bare + _OAUTH)))


def ask_for(uri: str, source: KeySource) -> dict[str, Any]:
    """Return what a request to an address is made with: whom to trust, by which way, and the credentials.

    Reads files, so it may have to wait. Credentials go to the origin that the file names and to no other, whatever a
    document or a redirect says (RFC 9110 section 15.4: a credential is for whom it was given). Raises `FetchError`.
    """
    is_home = same_origin(uri, source.jwks_uri or source.issuer or "")
    asked: dict[str, Any] = {"headers": dict(_credentials(source)) if is_home else {}}
    if source.ca_file is not None:
        try:
            asked["ssl"] = ssl.create_default_context(cafile=source.ca_file)
        except (OSError, ssl.SSLError):
            raise FetchError("`ca_file` cannot be used, expected certificates in PEM") from None
    if source.proxy is not None:
        asked["proxy"] = source.proxy.url
        if source.proxy.user is not None:
            login = base64.b64encode(f"{source.proxy.user}:{source.proxy.password}".encode()).decode("ascii")
            asked["proxy_headers"] = {"Authorization": f"Basic {login}"}  # aiohttp sends it as Proxy-Authorization
    return asked


def same_origin(one: str, other: str) -> bool:
    """Return whether two addresses are of one scheme, host and port; none that cannot be read is."""
    try:
        return _origin(urlsplit(one)) == _origin(urlsplit(other)) and bool(urlsplit(one).hostname)
    except ValueError:
        return False


def next_address(uri: str, location: str) -> str:
    """Return where a redirect leads. Raises `FetchError` for what is no address, or would send a credential along."""
    try:
        target = urljoin(uri, location)
        if "@" in urlsplit(target).netloc or not location.isprintable():
            raise ValueError
    except ValueError:
        raise FetchError("found a redirect to something that is no plain address, expected the document") from None
    return target


def origin_shown(uri: str) -> str:
    """Return the origin of an address for a message: no path, query, user or password, and not too long."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return "something that is no address"
    return ascii(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"[:_MAX_SHOWN])[1:-1]


def _origin(parts: SplitResult) -> tuple[str, str, int | None]:
    return parts.scheme, (parts.hostname or "").lower(), parts.port or _PORTS.get(parts.scheme)


def _credentials(source: KeySource) -> tuple[tuple[str, str], ...]:
    if source.token_file is None:
        return source.headers
    try:
        with Path(source.token_file).open("rb") as file:
            token = file.read(_MAX_TOKEN_BYTES + 1).decode("ascii").strip()
    except (OSError, ValueError):
        raise FetchError("`token_file` cannot be read, expected a token in it") from None
    if not token or len(token) > _MAX_TOKEN_BYTES or not token.isprintable() or " " in token:
        raise FetchError("`token_file` holds something else, expected one token") from None
    return (*source.headers, ("Authorization", f"Bearer {token}"))
