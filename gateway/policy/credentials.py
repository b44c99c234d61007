"""Find the one credential of a request, where the route's providers look for it."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.policy.cookies import cookie_values
from gateway.policy.denied import Denied
from gateway.policy.fields import named_by_connection
from gateway.policy.model import RequestHead
from gateway.policy.onward import token_protocols
from gateway.policy.origins import Origins
from gateway.policy.parameters import parameter_values
from gateway.policy.providers import BEARER, TokenSource
from gateway.policy.reasons import Reason

MAX_TOKEN_BYTES: Final = 16 * 1024
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})  # RFC 9110 section 9.2.1; TRACE never gets here
_BEARER: Final = re.compile(r"bearer +([^\s,]+)", re.IGNORECASE)  # the scheme in any case: RFC 9110 section 11.1
_BEARER_SCHEME: Final = re.compile(r"bearer(?![A-Za-z0-9])", re.IGNORECASE)
_NOT_BARE: Final = re.compile(r"[\s,]")
TOKEN_CHARACTERS: Final = (string.ascii_letters + string.digits + "._~+/=-").encode()  # RFC 6750 section 2.1, b64token


@dataclass(slots=True, init=False)  # made for every request: see `decision`
class Credential:
    """A token and where it stood."""

    token: str
    source: TokenSource

    def __init__(self, token: str, source: TokenSource) -> None:
        self.token, self.source = token, source

    def __repr__(self) -> str:
        return f"Credential({self.source!r})"


def find_credential(head: RequestHead, query: str, sources: Sequence[TokenSource]) -> Credential | None:
    """Return the request's one token, or None if it has none in any of `sources`.

    A place that `sources` does not name is not looked at; nor are cookies where Authorization or another header holds a
    token, since browsers add them unasked. What was not looked at goes no further: see `onward.Withheld`. Raises
    `Denied` (SEVERAL_CREDENTIALS: gateway and upstream might choose different ones, RFC 6750 section 2;
    TOKEN_MALFORMED; TOKEN_TOO_LARGE).
    """
    if head.bearer is not None and BEARER in sources:  # looked at while it was read
        if len(sources) == 1:
            return Credential(head.bearer, BEARER) if head.bearer else None
        if head.bearer and all(source.place in ("bearer", "cookie") for source in sources):
            return Credential(head.bearer, BEARER)
    if len(head.headers.all("authorization")) > 1:
        raise Denied(Reason.SEVERAL_CREDENTIALS, "more than one Authorization header")
    found = [one for source in sources if source.place in ("bearer", "bare") for one in _in_authorization(head, source)]
    found += [one for source in sources if source.place == "header" for one in _in_header(head, source)]
    looks_at_cookies = not found
    for source in sources:
        match source.place:
            case "cookie" if looks_at_cookies:
                found += _only(cookie_values(head.headers.all("cookie"), source.name), source)
            case "query":
                found += _only(parameter_values(query, source.name), source)
            case "websocket_protocol":
                found += _in_protocols(head, source)
    if len(found) > 1:
        raise Denied(Reason.SEVERAL_CREDENTIALS, f"{len(found)} credentials in one request")
    if not found:
        return None
    _check_shape(found[0].token)
    return found[0]


def check_origin(head: RequestHead, allowed: Origins) -> None:
    """Refuse a cookie that a page of another origin made the browser send (cross-site request forgery).

    Asked for what is not a safe method, and for WebSocket, to which the same-origin policy does not apply.
    Raises `Denied` (ORIGIN_REFUSED).
    """
    if head.method in _SAFE_METHODS and not head.wants_websocket:
        return
    origins = head.headers.all("origin")
    own = f"{head.scheme}://{head.headers.first('host') or ''}".lower()
    if len(origins) != 1 or (origins[0].lower() != own and origins[0] not in allowed):
        found = "no Origin header" if not origins else f"Origin {origins[0][:100]!r}"
        raise Denied(Reason.ORIGIN_REFUSED, f"{found}; a cookie counts only with the gateway's own or a listed one")


def _in_authorization(head: RequestHead, source: TokenSource) -> Iterator[Credential]:
    value = (head.headers.first("authorization") or "").strip(" \t")
    match = _BEARER.fullmatch(value)
    if source.place == "bare":
        if value and _NOT_BARE.search(value) is None and not _BEARER_SCHEME.match(value):
            yield Credential(value, source)
    elif match is not None:
        yield Credential(match[1], source)
    elif _BEARER_SCHEME.match(value):
        raise Denied(Reason.TOKEN_MALFORMED, "Authorization is not 'Bearer' and one token")
    # Another scheme (Basic ...) is none of ours: the request has no token there.


def _in_header(head: RequestHead, source: TokenSource) -> Iterator[Credential]:
    """A header that is there for a token alone: whatever else stands in it is refused, not passed over."""
    lines = head.headers.all(source.name)
    if not lines or source.name in named_by_connection(head.headers):  # it ends here: rules do not see it either
        return
    value = lines[0].strip(" \t")
    # What somebody on the way joined of two lines has a comma: RFC 9110 section 5.3.
    if len(lines) > 1 or "," in value:
        raise Denied(Reason.SEVERAL_CREDENTIALS, f"the header {source.name} is there more than once, or holds a list")
    match = _BEARER.fullmatch(value)
    if match is not None:
        yield Credential(match[1], source)
    elif _NOT_BARE.search(value) is not None or _BEARER_SCHEME.match(value):
        raise Denied(Reason.TOKEN_MALFORMED, f"the header {source.name} is not one token, with 'Bearer' or without")
    elif value:
        yield Credential(value, source)


def _only(values: list[str], source: TokenSource) -> list[Credential]:
    """Return the one credential of a place; servers differ in which of two they take, an empty one too."""
    if len(values) > 1:
        raise Denied(Reason.SEVERAL_CREDENTIALS, f"the {source.place} {source.name} is there more than once")
    return [Credential(value, source) for value in values if value]


def _in_protocols(head: RequestHead, source: TokenSource) -> Iterator[Credential]:
    """A browser's WebSocket can send no header but its list of sub-protocols: one that looks like a JWS is it."""
    if not head.wants_websocket:
        return
    for line in head.headers.all("sec-websocket-protocol"):
        for protocol in token_protocols(line):
            yield Credential(protocol, source)


def _check_shape(token: str) -> None:
    # Before any parsing: a bomb must not get as far as a parser (CVE-2025-30204, CVE-2025-53864).
    if len(token) > MAX_TOKEN_BYTES:
        raise Denied(Reason.TOKEN_TOO_LARGE, f"a token of {len(token)} characters, at most {MAX_TOKEN_BYTES} are read")
    if not _is_token(token):
        raise Denied(Reason.TOKEN_MALFORMED, "the token holds a character that no token has")


def _is_token(text: str) -> bool:
    # Every request comes by here: a regular expression takes three times as long.
    return text.isascii() and not text.encode().translate(None, TOKEN_CHARACTERS)
