"""Names of header fields: one list of what the gateway drops, replaces or distrusts, and one way to compare names.

Whoever asks whether a client may send a field, whether a file may use it for an identity, or whether its value may be
shown or remembered, asks here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from functools import lru_cache
from typing import Final

from gateway.policy.model import Headers

# A name that ends in `*` stands for every name that begins so.
# RFC 9110 sections 7.6.1 and 10.1.1, RFC 9113 section 8.2.2; `Proxy` becomes HTTP_PROXY in CGI: CVE-2016-5385.
HOP_BY_HOP: Final = (
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
# How long a request's body is says whoever sends it on.
FRAMING: Final = ("Content-Length",)
# What servers believe of a proxy, and so of anybody who can write a header.
UNTRUSTED: Final = (
    "Forwarded",
    "X-Forwarded",
    "X-Forwarded-*",
    "X-Real-IP",
    "True-Client-IP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "X-Mastra-Public-Host",
    "X-Mastra-Dev-Playground",  # switches Mastra's own check off
    "X-Mastra-Client-Type",  # selects Mastra's `studio.auth`: see `studio`
    "X-Original-URL",  # CVE-2018-14773
    "X-Original-URI",
    "X-Original-Method",
    "X-Rewrite-URL",
    "X-HTTP-Method",
    "X-HTTP-Method-Override",
    "X-Method-Override",
    "X-Clerk-Auth-*",
    "X-Gateway-*",  # what engines and the gateway say to each other
)
# What the gateway says in the client's place.
REPLACED: Final = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Request-Id")
# What the gateway says of its own spans, where it makes some (W3C Trace Context).
TRACE: Final = ("traceparent", "tracestate")
# Where Mastra reads a credential besides Authorization: `SimpleAuth` takes one from this field and the first cookie,
# every provider takes one from this parameter of the query. The other cookies are sessions of its logins, which its
# providers look at before Authorization (Clerk, Auth0, Okta, WorkOS, Mastra's own platform).
MASTRA_FIELD, MASTRA_PARAMETER = "X-Playground-Access", "apiKey"
MASTRA_COOKIES: Final = frozenset(
    {"mastra-token", "clerk_session", "auth0_session", "okta_session", "wos_session", "wos-session"}
)

# Who is asking, from where, and how the body is read is what was judged: `Connection` cannot name it away.
# RFC 9110 section 7.6.1 forbids naming what is meant for all recipients.
_NEVER_NAMED_AWAY: Final = frozenset(
    {
        "host", "authorization", "cookie", "origin", "content-type", "content-encoding", "content-length",
        "sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol", "sec-websocket-extensions",
    }
)  # fmt: skip
_PLAIN_OPTIONS: Final = frozenset({"close", "keep-alive", "upgrade", "te", "http2-settings", ""})

# About the message or the connection, or somebody's own words: no place for a fact about the caller, nor for a token.
_TAKEN: Final = (
    "Host", "Cookie", "Set-Cookie", "Authorization", "Origin", "Referer", "Range", "Date", "Content-*", "Sec-*",
    "Access-Control-*", MASTRA_FIELD,
)  # fmt: skip

# To a server that reads fields as CGI variables each of these is `_`: `X.Auth.Email` is `X-Auth-Email` (lighttpd, old
# httpd; CVE-2025-64484 and CVE-2026-39858 are its kind).
_FOLDED: Final = {code: "-" for code in range(128) if not chr(code).isalnum()}
_FOLDED_OPTIONS: Final = {**_FOLDED, ord(","): ",", ord(" "): None, ord("\t"): None}

_SECRET: Final = re.compile(
    r"auth|token|key|secret|jwt|session|csrf|xsrf|cookie|passw|signature|assertion|sec-websocket-protocol"
    r"|(?<!allow-)credential|playground-access",
    re.IGNORECASE,
)

# Clients choose names: the memory of their verdicts must not grow with what they send.
_MAX_REMEMBERED_NAMES: Final = 1024
_MAX_REMEMBERED_LENGTH: Final = 64


class Verdict(Enum):
    """What becomes of a client's field: all but KEEP and DROP depend on where the credential of the request stood."""

    DROP = 0
    KEEP = 1
    AUTHORIZATION = 2
    COOKIE = 3
    PROTOCOLS = 4
    MASTRA = 5
    TOKEN = 6


_CREDENTIALS: Final = {
    "authorization": Verdict.AUTHORIZATION,
    "cookie": Verdict.COOKIE,
    "sec-websocket-protocol": Verdict.PROTOCOLS,
    MASTRA_FIELD.lower(): Verdict.MASTRA,
}


def fold(name: str) -> str:
    """Return a name as it is compared: in lower case, every character but letters and digits as `-`."""
    return name.lower().translate(_FOLDED)


class Names:
    """Patterns of names: whole ones, and beginnings that end in `*`."""

    __slots__ = ("_prefixes", "_whole")

    def __init__(self, patterns: Iterable[str]) -> None:
        given = tuple(patterns)
        self._prefixes = tuple(fold(pattern[:-1]) for pattern in given if pattern.endswith("*"))
        self._whole = frozenset(fold(pattern) for pattern in given if not pattern.endswith("*"))

    def __contains__(self, folded: str) -> bool:
        return folded in self._whole or folded.startswith(self._prefixes)


_BUILT_IN: Final = (*HOP_BY_HOP, *FRAMING, *UNTRUSTED, *REPLACED)
_NOT_FREE: Final = Names((*_BUILT_IN, *TRACE, *_TAKEN))


def is_free(name: str) -> bool:
    """True if a file may give a field a meaning: a fact about the caller, a constant, a token.

    What the gateway drops, sets or distrusts, and what servers read in a way of their own, has one already.
    """
    return fold(name) not in _NOT_FREE


# What in the name of a field, parameter or claim says that its value may be a secret, neither shown nor remembered;
# None: nothing does. No function of ours: strangers choose names, and each is looked at.
speaks_of_secret = _SECRET.search


class HeaderRules:
    """Which fields of requests a configuration keeps from its upstreams.

    `strip_headers` are the file's patterns, `own_names` what the gateway says to some upstream, of the caller or as a
    constant: a name that one of them believes is no client's to set for any. `token_names` are the headers in which
    providers look for tokens, as their sources name them.
    """

    def __init__(
        self, strip_headers: Iterable[str] = (), own_names: Iterable[str] = (), token_names: Iterable[str] = ()
    ) -> None:
        self.of_file = (*strip_headers, *own_names)
        self.patterns = (*_BUILT_IN, *self.of_file)
        self.token_names = tuple(dict.fromkeys(token_names))
        self._dropped = Names(self.patterns)
        self._tokens = frozenset(self.token_names)
        self._remembered = lru_cache(_MAX_REMEMBERED_NAMES)(self._judge)

    def verdict_of(self, name: str) -> Verdict:
        """Return what becomes of a client's field of this name."""
        return self._remembered(name) if len(name) <= _MAX_REMEMBERED_LENGTH else self._judge(name)

    def passing(self, name: str) -> tuple[bool, bool]:
        """Return whether a client's field of this name goes on, and whether that is said anew for each request."""
        verdict = self.verdict_of(name)
        if verdict is Verdict.DROP:
            return False, fold(name) in self._tokens  # another spelling of one: it holds a token all the same
        return True, verdict is not Verdict.KEEP

    def is_secret(self, name: str) -> bool:
        """True for a field whose value may be a secret, by its name or because a provider reads tokens there."""
        return speaks_of_secret(name) is not None or fold(name) in self._tokens

    def _judge(self, name: str) -> Verdict:
        folded = name.lower().translate(_FOLDED)  # `fold`, without a call: a stranger may send 256 new names
        if folded == "host":  # a pattern of the file may be wider than meant, and no request lives without
            return Verdict.KEEP
        if folded in self._dropped:
            return Verdict.DROP
        verdict = Verdict.TOKEN if folded in self._tokens else _CREDENTIALS.get(folded, Verdict.KEEP)
        # These are read under their own name only: under another spelling they would go on unread.
        is_read = (verdict is not Verdict.PROTOCOLS and verdict is not Verdict.TOKEN) or name.lower() == folded
        return verdict if is_read else Verdict.DROP


def named_by_connection(headers: Headers) -> frozenset[str]:
    """Return the folded names that `Connection` takes away, most often none."""
    values = headers.all("connection")
    if not values:
        return frozenset()
    # All at once: a stranger may name thousands.
    options = ",".join(values).lower().translate(_FOLDED_OPTIONS).split(",")
    return frozenset(options) - _PLAIN_OPTIONS - _NEVER_NAMED_AWAY
