"""What an issuer says by itself of a session that is over there (OpenID Connect Back-Channel Logout 1.0).

A logout token is judged by the checks of every token, but for a subject, which it need not name. It speaks of sessions
that began before it, so one that is said again, to this process or another, changes nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import parse_qsl

from gateway.endpoints.issuer import Conversation
from gateway.policy.claim_values import date_of
from gateway.policy.denied import Denied
from gateway.policy.model import RequestHead
from gateway.policy.providers import Provider
from gateway.policy.reasons import Reason
from gateway.policy.token import Token, parse_token
from gateway.policy.verify import CLAIM_CHECKS, pick_provider
from gateway.proxy.own import OwnAnswer, OwnQuestion, json_answer
from gateway.server.revoking import Revoking

EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
FRESH_SECONDS: Final = 300.0  # and the provider's leeway: who says it again later is no issuer
_TYPES: Final = frozenset({"jwt", "logout+jwt"})
_CHECKS: Final = ("typ", "iss", "exp", "nbf", "iat", "aud", "jti", "sid", "cnf")
_FORM: Final = "application/x-www-form-urlencoded"
_MAX_IDS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Logout:
    """Which sessions are over: by the issuer's id of one, or all of a subject. `at` is Unix seconds."""

    sub: str | None = field(repr=False)
    sid: str | None = field(repr=False)
    jti: str = field(repr=False)
    at: float


class Logouts:
    """Hears what the issuer of one login says, and remembers which tokens have counted. `clock` gives Unix seconds."""

    def __init__(self, talk: Conversation, ends: Revoking, clock: Callable[[], float]) -> None:
        self._talk, self._ends, self._clock = talk, ends, clock
        provider = talk.login.id_tokens
        self._provider: Provider = replace(provider, types=_TYPES, requires_expiry=False)
        self._used: OrderedDict[str, float] = OrderedDict()  # until when, by `jti`

    async def hear(self, question: OwnQuestion) -> OwnAnswer:
        """End the sessions that the issuer names, here and for all that share a store. Raises `Denied`.

        LOGIN_UNAVAILABLE: it counts here, others could not be told so far, and will be.
        """
        ends = self._ends
        try:
            logout = await self.read(question.head, question.body)
        except Denied:
            ends.logouts["refused"] += 1
            raise
        ends.end_named(sub=logout.sub, sid=logout.sid, at=logout.at)
        if not await ends.share():
            ends.logouts["unshared"] += 1
            raise Denied(Reason.LOGIN_UNAVAILABLE, "the shared store cannot be asked: so far the logout counts here")
        self.note(logout)
        ends.logouts["ok"] += 1
        return json_answer({"success": True})

    async def read(self, head: RequestHead, body: bytes) -> Logout:
        """Return what a request says. Raises `Denied`: LOGOUT_INVALID, KEYS_UNAVAILABLE."""
        try:
            token = parse_token(_token_of(head, body))
            pick_provider(token, (self._provider,))
            now = self._clock()
            for name in _CHECKS:
                CLAIM_CHECKS[name](token, self._provider, now)
            logout = self._read(token, now)
            await self._talk.check_signed(token)
        except Denied as no:
            if no.reason.status == 503:
                raise
            raise Denied(Reason.LOGOUT_INVALID, f"{no.reason.code}: {no.detail}") from None
        if self._used.get(logout.jti, 0.0) > now:
            raise Denied(Reason.LOGOUT_INVALID, "it has counted already (`jti`)")
        return logout

    def note(self, logout: Logout) -> None:
        """A logout is done."""
        now = self._clock()
        self._used[logout.jti] = logout.at + FRESH_SECONDS + 2 * self._provider.leeway_seconds
        while self._used and (len(self._used) > _MAX_IDS or next(iter(self._used.values())) <= now):
            self._used.popitem(last=False)

    def _read(self, token: Token, now: float) -> Logout:
        claims, leeway = token.claims, self._provider.leeway_seconds
        events = claims.get("events")
        if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict):
            raise Denied(Reason.TOKEN_KIND_REFUSED, f"events has no {EVENT}: it is no logout token")
        if "nonce" in claims:
            raise Denied(Reason.TOKEN_KIND_REFUSED, "it has a nonce, as ID tokens do (section 2.4)")
        issued, jti = date_of(claims, "iat"), claims.get("jti")
        if issued is None or not isinstance(jti, str) or not jti:
            raise Denied(Reason.CLAIM_INVALID, "iat and jti must be there")
        if issued + FRESH_SECONDS + leeway <= now:
            raise Denied(Reason.TOKEN_EXPIRED, f"issued {now - issued:.0f} s ago")
        sub, sid = _name(claims, "sub"), _name(claims, "sid")
        if sub is None and sid is None:
            raise Denied(Reason.CLAIM_INVALID, "neither sub nor sid is there")
        return Logout(sub, sid, jti, issued + leeway)  # the clocks may differ by as much


def _name(claims: Any, name: str) -> str | None:
    found = claims.get(name)
    if found is None:
        return None
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)  # as a subject may be
    if not isinstance(found, str) or not found:
        raise Denied(Reason.CLAIM_INVALID, f"{name} is no text")
    return found


def _token_of(head: RequestHead, body: bytes) -> str:
    """Return the one logout token of a form (section 2.5). Raises `Denied`."""
    kinds = head.headers.all("content-type")
    if len(kinds) != 1 or kinds[0].partition(";")[0].strip().lower() != _FORM:
        raise Denied(Reason.LOGOUT_INVALID, f"the content type is not {_FORM}")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True, max_num_fields=16)
    except ValueError:
        raise Denied(Reason.LOGOUT_INVALID, "the body is no form") from None
    tokens = [value for name, value in pairs if name == "logout_token"]
    if len(tokens) != 1:
        raise Denied(Reason.LOGOUT_INVALID, f"{len(tokens)} parameters logout_token, expected one")
    return tokens[0]
