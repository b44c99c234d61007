"""Keys of machines in the line from request to decision: which count, where they stand, and where they go."""

from __future__ import annotations

import string
from dataclasses import replace
from typing import Any

import pytest

from gateway.policy.decision import Allow, decide
from gateway.policy.machine_keys import MachineKey, digest_of, fault_of, new_key
from gateway.policy.model import Principal
from gateway.policy.onward import lines_onward
from gateway.policy.providers import API_KEY, BEARER, Provider, TokenSource
from gateway.policy.reasons import Reason
from gateway.policy.resources import Resource
from gateway.policy.rules import Equals, HasAny, Not
from gateway.policy.upstreams import Identity
from gateway.record.outcome import Outcome
from tests.machines import key_named
from tests.minting import NOW, SECRET, claims_of, mint
from tests.policy.test_decision import (
    KEY,
    OIDC,
    SHARED,
    UPSTREAM,
    FakeKeys,
    allowed,
    bearer,
    denied,
    head,
    policy,
    signed,
)

KEYS = FakeKeys(KEY)
LINE = MachineKey("nightly", digest_of(key_named("nightly")), "batch", ("operator",), ("ops",), ("run",), NOW + 60)
OTHER = MachineKey("worker", digest_of(key_named("worker")), "worker")
WORKERS = Provider(
    "workers", "keys", frozenset(), issuers=frozenset(), token_sources=(BEARER, API_KEY), machine_keys=(LINE, OTHER)
)


def ask(*lines: tuple[str, str], providers: tuple[Provider, ...] = (WORKERS,), now: float = NOW, **route: Any) -> Any:
    return decide(policy(*providers, **route), KEYS, head(*lines), now)


def by_bearer(key: str, **options: Any) -> Any:
    return ask(("Authorization", f"Bearer {key}"), **options)


def test_key_speaks_for_what_its_line_says() -> None:
    principal = allowed(by_bearer(key_named("nightly"))).principal
    assert isinstance(principal, Principal)
    assert (principal.provider, principal.subject, principal.client) == ("workers", "batch", "nightly")
    assert (principal.roles, principal.groups, principal.scopes) == (("operator",), ("ops",), ("run",))
    assert principal.email is None and principal.expires_at == NOW + 60


@pytest.mark.parametrize("name", ["X-Api-Key", "x-api-key"])
def test_key_counts_in_its_own_header(name: str) -> None:
    assert allowed(ask((name, key_named("worker")))).principal is not None


def test_two_keys_are_none() -> None:
    key = key_named("worker")
    assert denied(ask(("X-Api-Key", key), ("Authorization", f"Bearer {key}"))).reason is Reason.SEVERAL_CREDENTIALS


def test_a_line_without_roles_says_that_there_are_none() -> None:
    # Of a token without the claim nothing would be known, and `not` would close.
    not_banned = (Not(HasAny("roles", frozenset({"banned"}))),)
    assert allowed(by_bearer(key_named("worker"), allow=not_banned))
    # An email it cannot have: what asks for one stays undecided.
    assert denied(by_bearer(key_named("worker"), allow=(Not(Equals("email", frozenset({"a@b.c"}))),)))


def test_rules_name_a_key_as_a_client() -> None:
    nightly = (Equals("client", frozenset({"nightly"})),)
    assert allowed(by_bearer(key_named("nightly"), allow=nightly))
    assert denied(by_bearer(key_named("worker"), allow=nightly)).reason is Reason.ACCESS_DENIED


def test_key_ends_at_the_second_without_leeway() -> None:
    assert allowed(by_bearer(key_named("nightly"), now=NOW + 59.999))
    refused = denied(by_bearer(key_named("nightly"), now=NOW + 60))
    assert (refused.reason, refused.provider) == (Reason.TOKEN_EXPIRED, "workers")
    assert refused.detail == "the key nightly expired 0 s ago"


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (key_named("stranger"), "a key that no file of the route's providers has (any more)"),
        (key_named("worker")[:-1], "a key of 47 characters behind gwk_, expected 48: was it cut?"),
        (f"{key_named('worker')}A", "a key of 49 characters behind gwk_, expected 48: was it cut?"),
        (key_named("worker")[:-1] + "~", "a key whose checksum is wrong: it was mistyped, or changed on the way"),
        (key_named("worker").upper(), "no key of a machine, which begins with gwk_"),
        ("sk-live-of-somebody-else", "no key of a machine, which begins with gwk_"),
        (mint({"sub": "a"}), "a JWT, and the route's providers take keys alone, which begin with gwk_"),
    ],
)
def test_what_is_no_key_of_ours_is_refused_and_says_why(key: str, why: str) -> None:
    refused = denied(by_bearer(key))
    assert (refused.reason, refused.detail, refused.had_token) == (Reason.KEY_REFUSED, why, True)
    assert key not in refused.detail


def test_every_other_spelling_of_a_key_is_none() -> None:
    key = key_named("worker")
    for place in range(len(key)):
        for other in (string.ascii_letters + string.digits + "-_=+/").replace(key[place], ""):
            assert fault_of(key[:place] + other + key[place + 1 :]) is not None


def test_hash_of_what_somebody_thought_of_is_no_key() -> None:
    # Whoever hashes a password of their own has no 256 random bits behind it: the checksum is not there.
    weak = "gwk_" + "a" * 48
    line = MachineKey("weak", digest_of(weak), "weak")
    assert denied(by_bearer(weak, providers=(replace(WORKERS, machine_keys=(line,)),))).reason is Reason.KEY_REFUSED


def test_shape_tells_keys_from_tokens_on_one_route() -> None:
    both = (SHARED, WORKERS)
    token = mint(claims_of(iss=...), SECRET)
    assert allowed(by_bearer(token, providers=both)).principal.provider == "jobs"  # type: ignore[union-attr]
    assert allowed(by_bearer(key_named("worker"), providers=both)).principal.provider == "workers"  # type: ignore[union-attr]
    assert denied(by_bearer(key_named("stranger"), providers=both)).reason is Reason.KEY_REFUSED
    assert denied(by_bearer("a.b", providers=both)).reason is Reason.TOKEN_MALFORMED
    # Nor does a key make the issuer of a token any other.
    refused = denied(by_bearer(mint(claims_of(iss="https://evil.example")), providers=(OIDC, WORKERS)))
    assert refused.reason is Reason.ISSUER_MISMATCH


def test_key_of_a_provider_that_the_route_does_not_name_does_not_count() -> None:
    assert denied(by_bearer(key_named("worker"), providers=(SHARED,))).reason is Reason.TOKEN_MALFORMED
    other = replace(WORKERS, name="others", machine_keys=())
    assert denied(by_bearer(key_named("worker"), providers=(other,))).reason is Reason.KEY_REFUSED


def test_key_where_its_provider_takes_none_is_refused() -> None:
    header_only = replace(WORKERS, token_sources=(API_KEY,))
    refused = denied(by_bearer(key_named("worker"), providers=(SHARED, header_only)))
    assert refused.reason is Reason.TOKEN_MISSING


def test_page_of_another_origin_cannot_send_a_key_in_a_cookie() -> None:
    source = TokenSource("cookie", "key")
    cookies = replace(WORKERS, token_sources=(source,))
    lines = (("Cookie", f"key={key_named('worker')}"), ("Origin", "https://evil.example"))
    found = decide(policy(cookies), KEYS, head(*lines, method="POST"), NOW)
    assert denied(found).reason is Reason.ORIGIN_REFUSED


@pytest.mark.parametrize("authorization", ["forward", "strip", "sign"])
@pytest.mark.parametrize("name", ["Authorization", "X-Api-Key"])
@pytest.mark.parametrize("enforce", [True, False])
def test_key_goes_up_nowhere(authorization: Any, name: str, enforce: bool) -> None:
    value = f"Bearer {key_named('worker')}"
    upstream = replace(UPSTREAM, identity=Identity(authorization, b"x" * 32))
    rules = (Equals("subject", frozenset({"worker" if enforce else "nobody"})),)
    own = policy(SHARED, WORKERS, allow=rules, enforce=enforce)
    own = type(own)([replace(own.routes[0], upstream=upstream)])
    request = head((name, value), ("X-Other", "stays"))
    allow = allowed(decide(own, KEYS, request, NOW))
    sent = lines_onward(request, own.header_rules, allow.withheld)
    assert [name for name, _ in sent] == ["Host", "X-Other"] or [name for name, _ in sent] == ["X-Other"]


def test_a_token_beside_still_goes_up_as_it_came() -> None:
    request = bearer(mint(claims_of(iss=...), SECRET))
    own = policy(SHARED, WORKERS)
    allow = allowed(decide(own, KEYS, request, NOW))
    assert any(name == "Authorization" for name, _ in lines_onward(request, own.header_rules, allow.withheld))


def test_optional_route_counts_a_key_and_refuses_a_bad_one() -> None:
    optional: Any = {"public": True, "allow": ()}
    found = by_bearer(key_named("worker"), **optional)
    assert isinstance(found, Allow) and found.principal is not None
    assert denied(by_bearer(key_named("stranger"), **optional)).reason is Reason.KEY_REFUSED


def test_key_counts_on_an_mcp_route_since_it_was_given_out_for_this_gateway_alone() -> None:
    resource = Resource("https://agents.example.com/api/mcp", ("https://idp.example.test",))
    assert allowed(by_bearer(key_named("worker"), providers=(OIDC, WORKERS), resource=resource))


def test_nothing_of_a_key_is_in_a_repr() -> None:
    key = key_named("worker")
    digest = digest_of(key)
    for shown in (repr(WORKERS), repr(WORKERS.machines[digest].principal), repr(policy(WORKERS).routes[0])):
        assert key not in shown and digest.hex() not in shown


def test_key_is_made_of_all_of_its_random_bytes() -> None:
    assert fault_of(new_key(bytes(32))) is None
    made = {new_key(bytes([*bytes(place), 1, *bytes(31 - place)])) for place in range(32)}
    assert len(made) == 32 and all(len(key) == 52 and key.startswith("gwk_") for key in made)


def test_log_says_that_a_caller_is_known_by_a_key() -> None:
    outcome = Outcome("id", "GET", "/", "192.0.2.1")
    outcome.note_allow(allowed(by_bearer(key_named("nightly"))))
    assert outcome.credential == "key"
    outcome.note_allow(allowed(decide(policy(), KEYS, bearer(signed()), NOW)))
    assert outcome.credential == "token"
