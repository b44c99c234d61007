"""May this request reach this route? One straight line, almost pure: its only state is a cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.policy.cache import cache_key
from gateway.policy.claims import principal_of
from gateway.policy.credentials import Credential, check_place, find_credential
from gateway.policy.denied import Denied, DeniedByRules, MethodNotAllowed, StepUp
from gateway.policy.expressions import Facts
from gateway.policy.guard import check_rules
from gateway.policy.jwk import Key
from gateway.policy.key_lookup import Keys, NoKey, verifying_one, without_key
from gateway.policy.login import principal_of_session
from gateway.policy.machines import is_for_machines, principal_of_key
from gateway.policy.mastra_names import check_query
from gateway.policy.model import Principal, RequestHead
from gateway.policy.onward import NOTHING, Line, Withheld
from gateway.policy.paths import Path
from gateway.policy.providers import KeySource, Provider, key_source_of
from gateway.policy.reasons import Reason
from gateway.policy.resources import check_resource
from gateway.policy.routes import Match, Policy, Route
from gateway.policy.session import ABOUT_SESSIONS, RENEW_SECONDS, Session
from gateway.policy.studio import client_type_lines
from gateway.policy.token import Token, parse_token
from gateway.policy.verify import check_claims, check_signature, pick_provider

# What `enforce: false` may let pass: who is asking, never how the request is written.
_OBSERVABLE: Final = frozenset({401, 403, 503})
# Refused while looking for the credential, though there was one.
_BROKEN_TOKENS: Final = frozenset({Reason.TOKEN_MALFORMED, Reason.TOKEN_TOO_LARGE})


@dataclass(slots=True, init=False)  # made for every request, as `_Asked`
class Allow:
    """The request may go on, as `target`: the canonical path that was judged, with its query.

    `principal` is None on public routes, and where a token did not count. Credentials in the query are no longer in
    `target`; `withheld` says which of the head's go no further, `said` goes up besides. `would_deny` is what
    `enforce: false` let through.
    """

    route: Route
    target: str
    principal: Principal | None
    withheld: Withheld
    would_deny: Deny | None
    said: tuple[Line, ...]

    def __init__(
        self, route: Route, target: str, principal: Principal | None = None, withheld: Withheld = NOTHING,
        would_deny: Deny | None = None, said: tuple[Line, ...] = (),
    ) -> None:  # fmt: skip
        self.route, self.target, self.principal = route, target, principal
        self.withheld, self.would_deny, self.said = withheld, would_deny, said


@dataclass(slots=True, init=False)  # made for every request, as `_Asked`
class Deny:
    """The request stops here. `detail` is for the log only."""

    reason: Reason
    detail: str
    route: Route | None
    principal: Principal | None
    provider: str | None
    had_token: bool
    allowed_methods: tuple[str, ...]  # METHOD_NOT_ALLOWED
    missing_scopes: tuple[str, ...]  # INSUFFICIENT_SCOPE
    rule: str | None  # the rule that refused, as the file calls it
    step_up: StepUp | None  # LOGIN_TOO_OLD

    def __init__(
        self, reason: Reason, detail: str, route: Route | None = None, principal: Principal | None = None,
        provider: str | None = None, had_token: bool = False, allowed_methods: tuple[str, ...] = (),
        missing_scopes: tuple[str, ...] = (), rule: str | None = None,
    ) -> None:  # fmt: skip
        self.reason, self.detail, self.route, self.principal = reason, detail, route, principal
        self.provider = provider if principal is None else principal.provider
        self.had_token, self.rule, self.step_up = had_token, rule, None
        self.allowed_methods, self.missing_scopes = allowed_methods, missing_scopes


@dataclass(frozen=True, slots=True)
class NeedKey:
    """Nothing stands against the request so far; fetch the keys of `source`, then decide again."""

    source: KeySource
    kid: str | None
    route: Route
    provider: Provider


@dataclass(frozen=True, slots=True)
class NeedSession:
    """Nothing stands against the request so far; ask the issuer for the next word on its session, then decide again."""

    session: Session


Decision = Allow | Deny | NeedKey | NeedSession


def decide(
    policy: Policy,
    keys: Keys,
    head: RequestHead,
    now: float,
    *,
    may_fetch: bool = True,
    renewed: Session | Denied | None = None,
) -> Decision:
    """Return what becomes of a request. `now` is Unix seconds. Never raises for anything a client sends.

    With `may_fetch` False the answer is final: neither `NeedKey` nor `NeedSession` is returned. `renewed` counts in
    place of the session that came with the request: its next state, or why there is none.
    """
    try:
        path, query, match = policy.find(head.target, head.method)
        if query and match.names:
            check_query(match.names, path, query)
    except Denied as refusal:
        allowed = refusal.allowed if isinstance(refusal, MethodNotAllowed) else ()
        return Deny(refusal.reason, refusal.detail, allowed_methods=allowed)
    if match.route.public and not match.route.providers:
        return _with_websocket_checked(Allow(match.route, path.text + query, None, match.route.withheld(None)), head)
    asked = _Asked(policy, keys, head, now, match, path, query, may_fetch, renewed)
    decision = _decide_guarded(asked)
    if isinstance(decision, Allow):
        return _with_websocket_checked(decision, head)
    if isinstance(decision, Deny) and not match.route.enforce and decision.reason.status in _OBSERVABLE:
        return _with_websocket_checked(_let_pass(decision, asked), head)
    return decision


# Not frozen: making a frozen one takes three times as long, and this is made for every request. For the same reason the
# constructor is written: compiled, it is called without a dictionary, and a generated one stays interpreted.
@dataclass(slots=True, init=False)
class _Asked:
    """Everything one decision looks at. Nobody writes to it."""

    policy: Policy
    keys: Keys
    head: RequestHead
    now: float
    match: Match
    path: Path
    query: str
    may_fetch: bool
    renewed: Session | Denied | None

    def __init__(
        self, policy: Policy, keys: Keys, head: RequestHead, now: float, match: Match, path: Path, query: str,
        may_fetch: bool, renewed: Session | Denied | None,
    ) -> None:  # fmt: skip
        self.policy, self.keys, self.head, self.now, self.may_fetch = policy, keys, head, now, may_fetch
        self.match, self.path, self.query, self.renewed = match, path, query, renewed

    def facts(self, principal: Principal, withheld: Withheld) -> Facts:
        """Return what rules may ask about."""
        rules = self.policy.header_rules
        return Facts(principal, self.head, self.path, self.match.captures, self.now, rules, withheld)


def _decide_guarded(asked: _Asked) -> Decision:
    route = asked.match.route
    credential: Credential | None = None
    principal: Principal | None = None
    said: tuple[Line, ...] = ()
    try:
        credential = find_credential(asked.head, asked.query, route.sources)
        if credential is None:
            if route.public:  # a token was optional
                return Allow(route, asked.path.text + route.sent_query(asked.query), None, route.withheld(None))
            return Deny(Reason.TOKEN_MISSING, "no token where the route's providers look for one", route)
        found = _principal(asked, credential)
        if not isinstance(found, Principal):
            return found
        if asked.policy.revoked is not None:
            asked.policy.revoked.check(found)
        principal = found
        withheld = route.withheld(credential.source, principal.provider)
        facts = asked.facts(principal, withheld)
        unenforced = None if route.public else check_rules(route, facts)
        if route.upstream.studio is not None and not route.public:
            said = client_type_lines(route.upstream.studio, facts)
    except Denied as refusal:
        had_token = credential is not None or refusal.reason in _BROKEN_TOKENS
        return _deny(refusal, route, principal, had_token=had_token)
    would_deny = None if unenforced is None else _deny(unenforced, route, principal, had_token=True)
    return Allow(route, asked.path.text + route.sent_query(asked.query), principal, withheld, would_deny, said)


def _deny(refusal: Denied, route: Route, principal: Principal | None, *, had_token: bool) -> Deny:
    deny = Deny(refusal.reason, refusal.detail, route, principal, refusal.provider, had_token)
    if isinstance(refusal, DeniedByRules):
        deny.missing_scopes, deny.rule, deny.step_up = refusal.scopes, refusal.rule, refusal.step_up
    return deny


def _principal(asked: _Asked, credential: Credential) -> Principal | NeedKey | NeedSession:
    """Return whom the token speaks for, from the cache or by verifying it."""
    if credential.source.place == "session":
        return _of_session(asked, credential)
    verified, route, resource = asked.policy.verified, asked.match.route, asked.match.route.resource
    if route.keyed and is_for_machines(credential.token, route):
        return principal_of_key(asked.head, credential, route.keyed, asked.now)
    entry_key = cache_key(credential.token, route.provider_names)
    known = verified.get(entry_key, asked.now)
    if known is not None:
        # While the very key that verified it would be chosen again: a revoked key ends its tokens at once.
        source = known.source
        if source is None or asked.keys.find(source, known.kid, known.algorithm, asked.now) is known.key:
            check_place(asked.head, known.provider, credential)
            if resource is not None:
                check_resource(known.principal.claims, resource)
            return known.principal
    token = parse_token(credential.token)
    provider = pick_provider(token, route.providers)
    try:
        check_place(asked.head, provider, credential)
        check_claims(token, provider, asked.now)
        if resource is not None:
            check_resource(token.claims, resource)
        source = key_source_of(provider, token.claims.get("iss"))
        key = _verifying_key(asked, token, provider, source)
        if isinstance(key, NeedKey):
            return key
        principal = principal_of(token.claims, provider)
        if source is not None and source.pattern is not None and not asked.keys.confirm(source):
            raise Denied(Reason.ISSUER_MISMATCH, f"the {source.pattern.max_issuers} issuers of `max_issuers` are there")
    except Denied as refusal:
        refusal.provider = provider.name
        raise
    looked_up = None if source is None or source.tries_each else source
    verified.put(entry_key, token, principal, provider, looked_up, key, asked.now)
    return principal


def _of_session(asked: _Asked, credential: Credential) -> Principal | NeedSession:
    """Return who logged in. Raises `Denied`."""
    login, route, now, renewed = asked.policy.login, asked.match.route, asked.now, asked.renewed
    assert login is not None  # noqa: S101  # else no provider has this place
    provider = next(one for one in route.providers if one.name == login.provider)
    try:
        check_place(asked.head, provider, credential)
        if isinstance(renewed, Denied):
            raise renewed
        session = renewed or login.seal.open(credential.token, now)
        if asked.policy.revoked is not None:
            asked.policy.revoked.check_session(session)  # first: nobody asks for the next word on it
        if now >= session.good_until - RENEW_SECONDS and renewed is None and route.own not in ABOUT_SESSIONS:
            if session.refresh_token is not None and asked.may_fetch:
                return NeedSession(session)
            if now >= session.good_until:
                raise Denied(Reason.SESSION_EXPIRED, f"the issuer's token ended {now - session.good_until:.0f} s ago")
        if route.resource is not None:
            check_resource(session.claims, route.resource)
        return principal_of_session(session, provider)
    except Denied as refusal:
        refusal.provider = provider.name
        raise


def _verifying_key(asked: _Asked, token: Token, provider: Provider, source: KeySource | None) -> Key | NeedKey:
    """Return the key that made the token's signature. Raises `Denied`."""
    if source is None:
        return verifying_one(token, provider.secrets)
    if source.tries_each:
        return verifying_one(token, asked.keys.each(source, token.algorithm))
    found = asked.keys.find(source, token.kid, token.algorithm, asked.now)
    if isinstance(found, NoKey):
        if found.fetch_may_help and asked.may_fetch:
            return NeedKey(source, token.kid, asked.match.route, provider)
        raise without_key(found, provider)
    check_signature(token, found)
    return found


def _with_websocket_checked(allow: Allow, head: RequestHead) -> Allow | Deny:
    if allow.route.websocket or not head.wants_websocket:
        return allow
    detail = "a WebSocket was asked for on a route without `websocket: true`"
    return Deny(Reason.WEBSOCKET_REFUSED, detail, allow.route, allow.principal)


def _let_pass(deny: Deny, asked: _Asked) -> Allow:
    """What `enforce: false` makes of a refusal: the request passes, and nothing unverified as an identity with it."""
    route, credential = asked.match.route, None
    if deny.principal is not None:  # else the credential was not verified: at the upstream, too, it speaks for nobody
        credential = find_credential(asked.head, asked.query, route.sources)
    withheld = route.withheld(credential.source if credential is not None else None, deny.provider or "")
    return Allow(route, asked.path.text + route.sent_query(asked.query), deny.principal, withheld, deny)
