"""What an upstream is told about the caller: identity headers, and a short-lived token of ours."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Final
from urllib.parse import quote

import jwt
from cachetools import LRUCache

from gateway.policy.claim_names import read_claim, steps_of
from gateway.policy.claims import claim_or_fact, told_claim
from gateway.policy.denied import Denied
from gateway.policy.emails import only_email
from gateway.policy.model import Principal
from gateway.policy.onward import Line
from gateway.policy.reasons import Reason
from gateway.policy.upstreams import SIGNED_ISSUER, Fact, Identity

_VISIBLE: Final = "".join(map(chr, range(0x21, 0x7F)))
_SAFE: Final = _VISIBLE.replace("%", "") + " "
_SAFE_MEMBER: Final = _SAFE.replace(",", "")
_REFUSED: Final = re.compile(r"[\r\n\0]")
# The same in JSON text, where they are escaped; backslashes before come in pairs, or they escape something else.
_REFUSED_IN_JSON: Final = re.compile(r"(?<!\\)(?:\\\\)*\\(?:r|n|u0000)")


def identity_lines(identity: Identity, principal: Principal | None) -> list[Line]:
    """Return the headers that tell an upstream who is asking; none for nobody.

    A fact that the token does not state gives no header. Raises `Denied` (IDENTITY_UNSAFE) for a value that
    cannot go through without loss: CR, LF, NUL, half a character.
    """
    if principal is None:
        return []
    lines: list[Line] = []
    for name, fact in identity.headers:
        value = _value_of(fact, principal)
        if value is None:
            continue
        try:
            lines.append((name, _encode_fact(value)))
        except (ValueError, RecursionError) as problem:
            # The problem itself may quote the value, which is personal.
            raise Denied(Reason.IDENTITY_UNSAFE, f"{name} cannot hold its value without loss") from problem
    return lines


@dataclass(frozen=True, slots=True)
class _Signed:
    principal: Principal  # held, so that nobody else gets its `id` while the entry lives
    token: str
    good_until: float


class TokenSigner:
    """Signs tokens for one upstream, and no new one while the last has half its life before it. Bounded."""

    def __init__(self, identity: Identity, max_entries: int = 1024) -> None:
        self._identity = identity
        self._entries: LRUCache[int, _Signed] = LRUCache(max_entries)

    def token_for(self, principal: Principal, now: float) -> str:
        """Return a token as `signed_token` makes it. `now` is Unix seconds. Raises `Denied` (IDENTITY_UNSAFE)."""
        entry = self._entries.get(id(principal))
        if entry is None or now >= entry.good_until:
            token = signed_token(self._identity, principal, now)
            good_until = now + (_expiry(self._identity, principal, now) - now) / 2
            entry = self._entries[id(principal)] = _Signed(principal, token, good_until)
        return entry.token


def signed_token(identity: Identity, principal: Principal, now: float) -> str:
    """Return an HS256 token that says who the principal is, as `jsonwebtoken` verifies it with the shared secret.

    It ends after `ttl_seconds`, rounded up to a whole second, or with the caller's own token if that is sooner.
    `now` is Unix seconds.
    Raises `Denied` (IDENTITY_UNSAFE). Source: RFC 7519, RFC 7518 section 3.2.
    """
    claims = {steps_of(name)[-1]: claim_or_fact(principal, name) for name in identity.claims}
    claims = {name: value for name, value in claims.items() if value is not None}
    # Last: these are ours to say, whatever the file lists.
    claims |= {
        "sub": principal.subject,
        "iss": SIGNED_ISSUER,
        "iat": int(now),
        "exp": ceil(_expiry(identity, principal, now)),
    }
    try:
        return jwt.encode(claims, identity.secret, algorithm="HS256")
    except (ValueError, RecursionError) as problem:
        raise Denied(Reason.IDENTITY_UNSAFE, "the claims cannot be written as JSON") from problem


def _expiry(identity: Identity, principal: Principal, now: float) -> float:
    end = now + identity.ttl_seconds
    # A token that is over but still within leeway was let in: its request needs a token that works.
    if principal.expires_at is not None and now < principal.expires_at < end:
        return principal.expires_at
    return end


def _value_of(fact: Fact, principal: Principal) -> Any:
    is_email = steps_of(fact.name) == steps_of(principal.email_name) if fact.is_claim else fact.name == "email"
    if is_email and principal.email is None:
        # Not told, and no reason to refuse; but a line break in it is no accident.
        written = only_email(read_claim(principal.claims, principal.email_name))
        return written if isinstance(written, str) and _REFUSED.search(written) else None
    if fact.is_claim:
        return told_claim(principal, fact.name)
    match fact.name:
        case "subject":
            return principal.subject
        case "email":
            return principal.email
        case "provider":
            return principal.provider
        case "issuer":
            return principal.issuer
        case "roles":
            return principal.roles
        case "groups":
            return principal.groups
        case "scopes":
            return principal.scopes
        case "permissions":
            return principal.permissions
        case "organization":
            return principal.organization
        case "client":
            return principal.client
        case "kind":
            return principal.kind
        case "actor":
            return principal.actor
    raise AssertionError(f"no fact is called {fact.name}")


def _encode_fact(value: Any) -> str:
    if isinstance(value, str):
        return _encode(value, _SAFE)
    if isinstance(value, (list, tuple)) and all(isinstance(member, str) for member in value):
        return _encode_list(value)
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    if _REFUSED_IN_JSON.search(text):
        raise ValueError("CR, LF or NUL")
    return _encode(text, _SAFE)


def _encode_list(members: Sequence[str]) -> str:
    if len(members) == 1 and not members[0]:
        raise ValueError("one empty member reads like an empty list")
    return ",".join(_encode(member, _SAFE_MEMBER) for member in members)


def _encode(text: str, safe: str) -> str:
    """Return text as visible ASCII; all else, `%`, and spaces at the ends are percent-encoded UTF-8.

    Raises `ValueError` for CR, LF, NUL and lone surrogates. Source: RFC 3986 section 2.1, RFC 9110 section 5.5.
    """
    if _REFUSED.search(text):
        raise ValueError("CR, LF or NUL")
    encoded = quote(text, safe=safe, errors="strict")
    # Parsers trim the ends of a value, so a space there would be lost.
    inner = encoded.strip(" ")
    if len(inner) == len(encoded):
        return encoded
    if not inner:
        return "%20" * len(encoded)
    before = len(encoded) - len(encoded.lstrip(" "))
    return "%20" * before + inner + "%20" * (len(encoded) - before - len(inner))
