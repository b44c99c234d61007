"""The line of the decision, walked once more and told: same functions, same order, and on to the end where it can go.

What is answered is what `decide` says; the walk only tells why, and a test holds that the two never differ.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import NoReturn

from gateway.explain.findings import Findings
from gateway.explain.hiding import without_signatures
from gateway.explain.phrases import first_names, history_of, place_of, said_by, wanted_by
from gateway.explain.rules import explain_rules
from gateway.explain.session import explain_session, tell_revoked
from gateway.explain.step import STEPS, Step, Verdict, shown
from gateway.explain.token import explain_claims
from gateway.keys.status import SourceStatus
from gateway.policy.claims import principal_of
from gateway.policy.credentials import Credential, check_place, find_credential
from gateway.policy.denied import Denied, DeniedByRules
from gateway.policy.expressions import Facts
from gateway.policy.guard import check_rules
from gateway.policy.jwk import Key
from gateway.policy.key_lookup import Keys, NoKey, without_key
from gateway.policy.machine_keys import is_key
from gateway.policy.machines import find_machine, is_for_machines
from gateway.policy.mastra_names import check_query
from gateway.policy.model import RequestHead
from gateway.policy.paths import split_target
from gateway.policy.providers import KeySource, Provider, issuers_of, key_source_of
from gateway.policy.reasons import Reason
from gateway.policy.routes import Policy, Route
from gateway.policy.token import Token, parse_token
from gateway.policy.verify import check_signature, pick_provider
from gateway.policy.words import listed

StatusOf = Callable[[KeySource], SourceStatus | None]


def walk(policy: Policy, keys: Keys, head: RequestHead, now: float, status_of: StatusOf) -> Findings:
    """Return what each step of a decision finds; steps that could not be asked are `skipped`. `now` is Unix seconds."""
    walker = _Walk(Findings(policy, head, now), keys, status_of)
    with contextlib.suppress(_End):
        walker.run()
    found = walker.found
    if found.route is not None and not found.route.enforce and found.steps[-1].name != "websocket":
        walker.ask_websocket(found.route)  # also what `enforce: false` lets pass is asked for this
    asked = {step.name for step in found.steps}
    found.steps += [Step(name, "skipped") for name in STEPS[:-2] if name not in asked]
    found.steps.sort(key=lambda step: STEPS.index(step.name))
    return found


def source_asked(policy: Policy, head: RequestHead, now: float, keys: Keys) -> tuple[KeySource, str | None] | None:
    """Return whose keys the explanation of a request would look at, and the kid; None if nobody's."""
    found = walk(policy, keys, head, now, lambda source: None)
    if found.provider is None or found.token is None:
        return None
    source = key_source_of(found.provider, found.token.claims.get("iss"))
    return None if source is None else (source, found.token.kid)


class _End(Exception):
    """There is nothing left to ask."""


class _Walk:
    def __init__(self, found: Findings, keys: Keys, status_of: StatusOf) -> None:
        self.found = found
        self._keys = keys
        self._status_of = status_of

    def run(self) -> None:
        """Go the whole way. Raises `_End` where there is nothing left to ask."""
        self._path()
        route = self._route()
        credential = self._credential(route) if route.providers else None
        if credential is None:
            asked = (
                "a token is optional, and none came"
                if route.providers
                else "no token is asked for, and none is looked at"
            )
            for name in STEPS[2:-3]:
                self._say(name, "note", f"the route is public: {asked}")
            self.ask_websocket(route)
            return
        if credential.source.place == "session":
            self._session(credential, route)
        elif is_for_machines(credential.token, route):
            self._machine(credential, route)
        else:
            token, provider = self._provider(credential, route)
            # From here on nothing ends the walk: what else would refuse is told in one go.
            self._claims(token, provider, route)
            self._signature(token, provider)
        self._note(tell_revoked(self.found))
        self._rules_of(route)
        self.ask_websocket(route)

    def _rules_of(self, route: Route) -> None:
        if route.public:
            self._say("rules", "note", "the route is public: whoever has a token that counts passes, and is told")
        else:
            self._rules(route)

    def _path(self) -> None:
        found = self.found
        try:
            found.path, found.query = split_target(found.head.target)
        except Denied as no:
            self._refuse("path", no, "a path with one reading")
        written = found.head.target.partition("?")[0]
        rewritten = f", from {shown(written)}" if found.path.text != written else ""
        self._say("path", "yes", shown(found.path.text) + rewritten)

    def _route(self) -> Route:
        found = self.found
        assert found.path is not None  # noqa: S101  # set one step before
        try:
            found.match = found.policy.match(found.path, found.head.method)
        except Denied as no:
            self._refuse("route", no, f"one of {first_names([route.key for route in found.policy.routes])}")
        try:
            check_query(found.match.names, found.path, found.query)
        except Denied as no:
            self._refuse("route", no, "a query that names what the path does, or nothing")
        route = found.match.route
        others = [other.key for other in found.policy.covering(found.path) if other is not route]
        why = f"; more specific than {first_names(others)}" if others else ""
        captures = "".join(f"; {{{name}}} is {shown(value)}" for name, value in found.match.captures.items())
        is_by_get = found.head.method == "HEAD" and route.methods is not None and "HEAD" not in route.methods
        why += "; a route for GET takes HEAD as well" if is_by_get else ""
        observed = "" if route.enforce or route.own else "; enforce: false, so refusals are only logged"
        self._say("route", "yes", f"{route.key}{why}{captures}{observed}")
        return route

    def _credential(self, route: Route) -> Credential | None:
        expected = listed(list(map(place_of, route.sources)))
        try:
            found = find_credential(self.found.head, self.found.query, route.sources)
            if found is None and route.public:
                return None
            if found is None:
                raise Denied(Reason.TOKEN_MISSING, "no token where the route's providers look for one")
        except Denied as no:
            self._refuse("token", no, expected)
        self.found.credential = found
        if found.source.place == "session":
            return found
        if is_for_machines(found.token, route):
            said = "a key" if is_key(found.token) else "no key"
            self._say("token", "yes", f"{place_of(found.source)}, {len(found.token)} characters, {said}", expected)
            return found
        try:
            self.found.token = token = parse_token(found.token)
        except Denied as no:
            self._refuse("token", no, "three parts of base64url, parted by dots, the first two JSON objects")
        members = {name: token.header[name] for name in ("alg", "kid", "typ") if name in token.header}
        said = ", ".join(f"{name} {shown(value)}" for name, value in members.items())
        self._say("token", "yes", f"{place_of(found.source)}, {len(found.token)} characters, {said}", expected)
        return found

    def _session(self, credential: Credential, route: Route) -> None:
        """Judge a session as `decide` does. Raises `_End`."""
        found, login = self.found, self.found.policy.login
        assert login is not None  # noqa: S101  # else no provider has this place
        found.provider = next(one for one in route.providers if one.name == login.provider)
        steps, found.principal, refusal = explain_session(
            login, found.provider, credential, route, found.head, found.now, found.policy.revoked
        )
        found.steps += steps
        found.is_verified = refusal is None
        if refusal is not None:
            self._note(refusal)
            raise _End

    def _provider(self, credential: Credential, route: Route) -> tuple[Token, Provider]:
        token = self.found.token
        assert token is not None  # noqa: S101  # set one step before
        expected = "; or ".join(map(wanted_by, route.providers))
        try:
            provider = pick_provider(token, route.providers)
            self.found.provider = provider
            check_place(self.found.head, provider, credential)
        except Denied as no:
            self._refuse("provider", no, expected)
        issuer = shown(token.claims["iss"]) if "iss" in token.claims else "absent"
        how = f"iss is {issuer}" if len(route.providers) > 1 or issuers_of(provider) else "the only one of the route"
        self._say("provider", "yes", f"{provider.name} ({provider.kind}): {how}", expected)
        return token, provider

    def _machine(self, credential: Credential, route: Route) -> None:
        """Tell of a key: which one it is, by its name in the file, and never what it is."""
        found, expected = self.found, "; or ".join(map(wanted_by, route.keyed))
        try:
            machine, provider = find_machine(credential.token, route.keyed, found.now)
            found.provider = provider
            check_place(found.head, provider, credential)
        except Denied as no:
            self._refuse("key", no, expected)
        found.principal, found.is_verified = machine.principal, True
        self._say("provider", "yes", f"{provider.name} (keys)", expected)
        self._say("claims", "note", f"a key has none; its line says {said_by(machine.key)}")
        self._say("key", "yes", machine.key.name, "a key of the provider's file")
        self._say("signature", "note", "a key has none")

    def _claims(self, token: Token, provider: Provider, route: Route) -> None:
        parts, refusal = explain_claims(token, provider, self.found.now, route.resource)
        try:
            self.found.principal = principal_of(token.claims, provider)
        except Denied as no:  # the check of the subject has said so already
            refusal = refusal or no
        said = refusal.detail if refusal is not None else "every check of the token holds"
        self._note(refusal)
        self._say("claims", "no" if refusal else "yes", said, parts=parts)

    def _signature(self, token: Token, provider: Provider) -> None:
        source = key_source_of(provider, token.claims.get("iss"))
        if source is None:
            count = len(provider.secrets)
            self._say("key", "yes", f"the secret of {provider.name}" + (f", {count} of them" if count > 1 else ""))
            self._verify(token, provider.secrets, "secret")
            return
        self.found.key_source = source
        status = self.found.key_status = self._status_of(source)
        expected = f"a key of {status.label}" if status is not None else "a key of the provider"
        if source.tries_each:
            keys = self._keys.each(source, token.algorithm)
            self._say("key", "yes" if keys else "no", f"{len(keys)} for {token.algorithm}, tried in turn", expected)
            self._verify(token, keys, "key")
            return
        key = self._keys.find(source, token.kid, token.algorithm, self.found.now)
        if isinstance(key, NoKey):
            refusal = without_key(key, provider)
            self._note(refusal)
            self._say("key", "no", refusal.detail + history_of(status), expected)
            return
        self._say("key", "yes", f"{f'kid {shown(key.kid)}' if key.kid else 'no kid'}{history_of(status)}", expected)
        self._verify(token, (key,), "key")

    def _verify(self, token: Token, keys: tuple[Key, ...], what: str) -> None:
        refusal: Denied | None = None
        for number, key in enumerate(keys, start=1):
            try:
                check_signature(token, key)
            except Denied as no:
                refusal = no
                continue
            self.found.is_verified = True
            which = f" with {what} {number} of {len(keys)}" if len(keys) > 1 else ""
            self._say("signature", "yes", f"verifies{which}")
            return
        refusal = refusal or Denied(Reason.KEY_UNKNOWN, f"the provider has no {what} for this algorithm")
        self._note(refusal)
        self._say("signature", "no", refusal.detail, f"{token.algorithm} over header and payload")

    def _rules(self, route: Route) -> None:
        found = self.found
        if found.principal is None or found.match is None or found.path is None:
            return
        source = found.credential.source if found.credential is not None else None
        rules, withheld = found.policy.header_rules, route.withheld(source, found.principal.provider)
        facts = Facts(found.principal, found.head, found.path, found.match.captures, found.now, rules, withheld)
        parts = explain_rules(route, facts)
        hypothetical = " (were the token good)" if found.refusal is not None else ""
        try:
            would = check_rules(route, facts)
        except DeniedByRules as no:
            found.rules_refusal = no if found.refusal is not None else None
            self._note(no)
            self._say("rules", "no", no.detail + hypothetical, parts=parts)
            return
        said = "let the caller pass" if would is None else f"would refuse, and are only logged: {would.detail}"
        self._say("rules", "yes", said + hypothetical, parts=parts)

    def ask_websocket(self, route: Route) -> None:
        """Say whether a WebSocket was asked for, and may be."""
        if not self.found.head.wants_websocket:
            self._say("websocket", "note", "none was asked for")
            return
        if route.websocket:
            self._say("websocket", "yes", "the route says `websocket: true`")
            return
        detail = "a WebSocket was asked for on a route without `websocket: true`"
        self._note(Denied(Reason.WEBSOCKET_REFUSED, detail))
        self._say("websocket", "no", detail)

    def _say(self, name: str, verdict: Verdict, found: str, expected: str = "", parts: tuple[Step, ...] = ()) -> None:
        self.found.steps.append(Step(name, verdict, without_signatures(found), expected, parts))

    def _note(self, refusal: Denied | None) -> None:
        self.found.refusal = self.found.refusal or refusal

    def _refuse(self, name: str, refusal: Denied, expected: str) -> NoReturn:
        self._note(refusal)
        self._say(name, "no", refusal.detail, expected)
        raise _End
