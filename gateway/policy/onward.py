"""What of a client's head goes on to the upstream: what rules may look at is what is sent, nothing else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import Final

from gateway.policy.cookies import plainly_written, without_cookies
from gateway.policy.fields import HeaderRules, Verdict, fold, named_by_connection
from gateway.policy.model import RequestHead

Line = tuple[str, str]

_MIN_TOKEN_LENGTH: Final = 33  # of a sub-protocol
# Three parts between two dots: the one that we read.
_TOKEN_PROTOCOL: Final = re.compile(r",[ \t]*(?=[^, \t]{33})(?P<token>[^,. \t]*\.[^,. \t]*\.[^,. \t]*)[ \t]*(?=,|\Z)")


@dataclass(frozen=True, slots=True)
class Withheld:
    """Which credentials of a request stop here: all that were not verified, and those that the upstream is not to see.

    `cookies` are names. `protocols`: every sub-protocol that looks like a token, but with `keeps_protocol` the one that
    was verified. `mastra`: the other places of `fields` where Mastra reads one. `plain_cookie` is the cookie that was
    verified and goes up, in one spelling. `headers`: those in which any provider looks for tokens, but `keeps_header`.
    """

    authorization: bool = False
    cookies: frozenset[str] = frozenset()
    protocols: bool = False
    keeps_protocol: bool = False
    mastra: bool = False
    plain_cookie: str | None = None
    headers: bool = False
    keeps_header: str = ""

    def what_is_left(self, verdict: Verdict, name: str, value: str) -> str | None:
        """Return a field's value without the credential, or None if the whole line goes."""
        match verdict:
            case Verdict.AUTHORIZATION if self.authorization:
                return None
            case Verdict.MASTRA if self.mastra:
                return None
            case Verdict.TOKEN if self.headers and name.lower() != self.keeps_header:
                return None
            case Verdict.PROTOCOLS if self.protocols:
                return _without_tokens(value, keeps_one=self.keeps_protocol)
            case Verdict.COOKIE if self.cookies or self.plain_cookie is not None:
                left = without_cookies(value, self.cookies)
                if left is None or self.plain_cookie is None:
                    return left
                return plainly_written(left, self.plain_cookie)
        return value


NOTHING: Final = Withheld()
AUTHORIZATION: Final = Withheld(authorization=True, headers=True)


def lines_onward(head: RequestHead, rules: HeaderRules, withheld: Withheld) -> list[Line]:
    """Return the lines of a client's head that go on, in the order they came.

    Whoever sends them adds what belongs to its own connection (Content-Length or Transfer-Encoding, Connection, for a
    WebSocket Upgrade), and what the gateway says. None of these is among them.
    """
    named = named_by_connection(head.headers)
    lines: list[Line] = []
    for name, value in head.headers.lines:
        verdict = rules.verdict_of(name)
        if verdict is Verdict.DROP or (named and fold(name) in named):
            continue
        if verdict is not Verdict.KEEP:
            left = withheld.what_is_left(verdict, name, value)
            if left is None:
                continue
            value = left
        lines.append((name, value))
    return lines


def token_protocols(line: str) -> list[str]:
    """Return the first two WebSocket sub-protocols that can only be tokens: a browser can put one nowhere else."""
    return [match["token"] for match in islice(_TOKEN_PROTOCOL.finditer(f",{line}"), 2)]


def _without_tokens(line: str, *, keeps_one: bool) -> str | None:
    pieces = line.split(",")
    kept = [piece for piece in pieces if not _may_be_token(piece.strip(" \t"), keeps_one=keeps_one)]
    return line if len(kept) == len(pieces) else ",".join(kept).strip(" \t") or None


def _may_be_token(protocol: str, *, keeps_one: bool) -> bool:
    """True for what some server may take for a token, also a JWE or one behind a prefix (Kubernetes has one)."""
    dots = protocol.count(".")
    return len(protocol) >= _MIN_TOKEN_LENGTH and dots >= 2 and not (keeps_one and dots == 2)
