"""What goes up with a request, and what comes down with its answer.

Names are compared in lower case with `_` equal to `-`: to a server that reads headers as CGI variables
`X_Auth_Email` is `X-Auth-Email` (CVE-2025-64484, CVE-2026-39858).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache

from gateway.policy.decision import Allow
from gateway.policy.model import Headers, RequestHead

Line = tuple[str, str]

# A name that ends in `*` stands for every name that begins so.
# RFC 9110 sections 7.6.1 and 10.1.1, RFC 9113 section 8.2.2; `Proxy` becomes HTTP_PROXY in CGI: CVE-2016-5385.
HOP_BY_HOP = (
    "Connection",
    "Keep-Alive",
    "Proxy",
    "Proxy-*",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "HTTP2-Settings",
    "Expect",
)
# How long a request's body is says whoever sends it on; see `request_lines`.
FRAMING = ("Content-Length",)
# What servers believe of a proxy, and so of anybody who can write a header.
UNTRUSTED = (
    "Forwarded",
    "X-Forwarded",
    "X-Forwarded-*",
    "X-Real-IP",
    "True-Client-IP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "X-Mastra-Public-Host",
    "X-Mastra-Dev-Playground",  # switches Mastra's own check off
    "X-Original-URL",  # CVE-2018-14773
    "X-Original-URI",
    "X-Original-Method",
    "X-Rewrite-URL",
    "X-HTTP-Method",
    "X-HTTP-Method-Override",
    "X-Method-Override",
    "X-Clerk-Auth-*",
)
# What the gateway says in the client's place.
REPLACED = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Request-Id")

# `Connection` cannot name these away: who is asking and how the body is read is what was judged.
# RFC 9110 section 7.6.1 forbids naming what is meant for all recipients.
_NEVER_NAMED_AWAY = frozenset({"host", "authorization", "cookie", "content-type", "content-encoding", "content-length"})
_PLAIN_OPTIONS = frozenset({"close", "keep-alive", "upgrade", "te", "http2-settings"})

# Clients choose names: the memory of their verdicts must not grow with what they send.
_MAX_REMEMBERED_NAMES = 1024
_MAX_REMEMBERED_LENGTH = 64


class Verdict(Enum):
    """What becomes of a header."""

    KEEP = auto()
    DROP = auto()
    AUTHORIZATION = auto()
    COOKIE = auto()
    PROTOCOLS = auto()
    CORS = auto()


_CREDENTIALS = {
    "authorization": Verdict.AUTHORIZATION,
    "cookie": Verdict.COOKIE,
    "sec-websocket-protocol": Verdict.PROTOCOLS,
}


class HeaderRules:
    """Which request headers a configuration keeps from its upstreams.

    `strip_headers` is `Config.strip_headers`, `identity_names` the identity headers of every upstream: a name that
    one of them believes is no client's to set for any.
    """

    def __init__(self, strip_headers: Iterable[str], identity_names: Iterable[str]) -> None:
        patterns = (*HOP_BY_HOP, *FRAMING, *UNTRUSTED, *REPLACED, *strip_headers, *identity_names)
        self._names, self._prefixes = _compile(patterns)
        self._remembered = lru_cache(_MAX_REMEMBERED_NAMES)(self._judge)

    def verdict_of(self, name: str) -> Verdict:
        """Return what becomes of a client's header of this name."""
        return self._remembered(name) if len(name) <= _MAX_REMEMBERED_LENGTH else self._judge(name)

    def _judge(self, name: str) -> Verdict:
        folded = _fold(name)
        if folded == "host":  # a pattern of the file may be wider than meant, and no request lives without
            return Verdict.KEEP
        if folded in self._names or folded.startswith(self._prefixes):
            return Verdict.DROP
        return _CREDENTIALS.get(folded, Verdict.KEEP)


def passes_all_but_dropped(allow: Allow) -> bool:
    """True if an allowed request's headers go on but for those dropped by name: no credential stops here."""
    return _withheld(allow) is _NOTHING_WITHHELD


def is_answer_line_passed(name: str) -> bool:
    """True if a line of an upstream's answer goes to the client, unless `Connection` or CORS says otherwise."""
    return _verdict_of_answers(name) is not Verdict.DROP


def request_lines(head: RequestHead, allow: Allow, rules: HeaderRules, added: Iterable[Line]) -> list[Line]:
    """Return the header lines of an allowed request for its upstream: the client's in the order they came, then ours.

    `added` is what the gateway says: `REPLACED`, identity, a signed Authorization. The caller adds what belongs to its
    own connection: Content-Length or Transfer-Encoding, Connection, for a WebSocket Upgrade. None of these is returned.
    """
    named = _named_by_connection(head.headers)
    withheld = _withheld(allow)
    lines: list[Line] = []
    for name, value in head.headers.lines:
        verdict = rules.verdict_of(name)
        if verdict is Verdict.DROP or (named and _fold(name) in named):
            continue
        if verdict is not Verdict.KEEP:
            left = withheld.what_is_left(verdict, value)
            if left is None:
                continue
            value = left
        lines.append((name, value))
    # After all that `Connection` could name: CVE-2022-31813, CVE-2024-45410, CVE-2025-48865.
    lines += added
    return lines


def response_lines(lines: Iterable[Line], *, owns_cors: bool) -> list[Line]:
    """Return the header lines of an upstream's answer for the client: all that is end-to-end stays, in its order.

    With `owns_cors` the upstream's Access-Control-* go. Content-Length stays (the answer to HEAD has one). The caller
    adds X-Request-Id, CORS, Transfer-Encoding, and for a WebSocket Upgrade and Connection.
    """
    arrived = list(lines)
    named = _named_by_connection(Headers(arrived))
    kept: list[Line] = []
    for name, value in arrived:
        verdict = _verdict_of_answers(name)
        if verdict is Verdict.DROP or (named and _fold(name) in named) or (owns_cors and verdict is Verdict.CORS):
            continue
        kept.append((name, value))
    return kept


@dataclass(frozen=True, slots=True)
class _Withheld:
    """Which credentials of a request stop here."""

    authorization: bool
    cookies: frozenset[str] = frozenset()
    protocol: str | None = None
    token_protocols: bool = False  # every sub-protocol that looks like a token

    def what_is_left(self, verdict: Verdict, value: str) -> str | None:
        """Return a header's value without the credential, or None if the whole line goes."""
        match verdict:
            case Verdict.AUTHORIZATION:
                return None if self.authorization else value
            case Verdict.COOKIE if self.cookies:
                return _without_cookies(value, self.cookies)
            case Verdict.PROTOCOLS if self.protocol is not None or self.token_protocols:
                return self._without_protocols(value)
        return value

    def _without_protocols(self, line: str) -> str | None:
        pieces = line.split(",")
        kept = [piece for piece in pieces if not self._is_spent(piece.strip(" \t"))]
        return line if len(kept) == len(pieces) else ",".join(kept).strip(" \t") or None

    def _is_spent(self, protocol: str) -> bool:
        return protocol == self.protocol or (self.token_protocols and protocol.count(".") == 2 and len(protocol) > 32)


_NOTHING_WITHHELD = _Withheld(authorization=False)


def _withheld(allow: Allow) -> _Withheld:
    if allow.drops_credentials:  # `enforce: false` let it pass unverified: nothing of it may speak for anybody
        sources = (source for provider in allow.route.providers for source in provider.token_sources)
        cookies = frozenset(source.name for source in sources if source.place == "cookie")
        return _Withheld(authorization=True, cookies=cookies, token_protocols=True)
    if allow.route.upstream.identity.authorization == "forward":
        return _NOTHING_WITHHELD
    # On a public route too: nobody verified that Authorization.
    cookies = frozenset({allow.spent_cookie}) if allow.spent_cookie is not None else frozenset()
    return _Withheld(authorization=True, cookies=cookies, protocol=allow.spent_protocol)


def _without_cookies(line: str, names: frozenset[str]) -> str | None:
    """Return a Cookie line without some cookies, the others byte for byte; None if nothing is left."""
    pieces = line.split(";")
    kept = [piece for piece in pieces if piece.partition("=")[0].strip(" \t") not in names]
    return line if len(kept) == len(pieces) else ";".join(kept).lstrip(" \t") or None


def _named_by_connection(headers: Headers) -> frozenset[str]:
    """Return the folded names that `Connection` takes away, most often none."""
    values = headers.all("connection")
    if not values:
        return frozenset()
    options = {_fold(option.strip(" \t")) for value in values for option in value.split(",")}
    return frozenset(options - _PLAIN_OPTIONS - _NEVER_NAMED_AWAY)


def _fold(name: str) -> str:
    return name.lower().replace("_", "-")


def _compile(patterns: Iterable[str]) -> tuple[frozenset[str], tuple[str, ...]]:
    folded = [_fold(pattern) for pattern in patterns]
    prefixes = tuple(pattern[:-1] for pattern in folded if pattern.endswith("*"))
    return frozenset(pattern for pattern in folded if not pattern.endswith("*")), prefixes


_RESPONSE_NAMES, _RESPONSE_PREFIXES = _compile((*HOP_BY_HOP, "X-Request-Id"))


def _judge_response(name: str) -> Verdict:
    folded = _fold(name)
    if folded in _RESPONSE_NAMES or folded.startswith(_RESPONSE_PREFIXES):
        return Verdict.DROP
    return Verdict.CORS if folded.startswith("access-control-") else Verdict.KEEP


_remembered_of_answers = lru_cache(_MAX_REMEMBERED_NAMES)(_judge_response)


def _verdict_of_answers(name: str) -> Verdict:
    return _remembered_of_answers(name) if len(name) <= _MAX_REMEMBERED_LENGTH else _judge_response(name)
