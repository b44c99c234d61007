"""Who counts no more: what an entry fits, whatever the token calls it, and what a decision makes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.policy.decision import Allow, Deny, decide
from gateway.policy.ended_sessions import MAX_MARKS, EndedSessions
from gateway.policy.model import Headers, Principal, RequestHead
from gateway.policy.reasons import Reason
from gateway.policy.revocation import Revocation, RevocationList, Revoked
from gateway.policy.routes import Policy, Route
from gateway.policy.rules import Authenticated
from gateway.policy.seen_sessions import MAX_SESSIONS, SeenSessions
from gateway.policy.upstreams import Upstream
from tests.login import sealed
from tests.minting import NOW, mint
from tests.policy.test_decision import FakeKeys
from tests.running import SHARED

UPSTREAM = Upstream("default", "http://127.0.0.1:1")
CLAIMS = {"sub": "user-1", "sid": "s1", "jti": "t1", "iat": NOW}


def caller(provider: str = "jobs", subject: str = "user-1", **claims: Any) -> Principal:
    said = {name: value for name, value in (CLAIMS | claims).items() if value is not None}
    return Principal(provider, subject, None, said)


def revoked(*entries: Revocation, keyed: frozenset[str] = frozenset()) -> Revoked:
    return Revoked(RevocationList(entries, keyed))


def entry(**members: Any) -> Revocation:
    return Revocation("revoked.yaml:1", **members)


FITS = {
    "sub": (entry(subject="user-1"), True),
    "other-sub": (entry(subject="user-2"), False),
    "sub-in-another-case": (entry(subject="User-1"), False),
    "beginning-of-a-sub": (entry(subject="user"), False),
    "sid": (entry(session="s1"), True),
    "jti": (entry(token="t1"), True),
    "sid-is-no-jti": (entry(token="s1"), False),
    "sub-of-this-provider": (entry(subject="user-1", provider="jobs"), True),
    "sub-of-another-provider": (entry(subject="user-1", provider="staff"), False),
    "before": (entry(before=NOW + 1), True),
    "not-before": (entry(before=NOW), False),
    "sub-and-before": (entry(subject="user-1", before=NOW + 1), True),
    "sub-and-not-before": (entry(subject="user-1", before=NOW - 1), False),
    "other-sub-and-before": (entry(subject="user-2", before=NOW + 1), False),
    "sub-and-sid": (entry(subject="user-1", session="s1"), True),
    "sub-and-other-sid": (entry(subject="user-1", session="s2"), False),
    "all-before-of-another-provider": (entry(before=NOW + 1, provider="staff"), False),
}


@pytest.mark.parametrize("name", FITS)
def test_entry_fits_where_all_that_it_names_does(name: str) -> None:
    one, fits = FITS[name]
    refusal = revoked(entry(subject="somebody"), one).refusal(caller())
    assert (refusal is not None) is fits
    if refusal is not None:
        assert refusal.reason is Reason.TOKEN_REVOKED and refusal.provider == "jobs"
        assert refusal.detail == "revoked at revoked.yaml:1", "a place, and nobody's name"


@pytest.mark.parametrize(
    ("claims", "fits"),
    [({"iat": None}, True), ({"iat": NOW + 0.5}, True), ({"iat": NOW + 2}, False)],
)
def test_token_that_does_not_say_when_it_was_issued_may_be_older(claims: dict[str, Any], fits: bool) -> None:
    assert (revoked(entry(before=NOW + 1)).refusal(caller(**claims)) is not None) is fits


def test_subject_is_found_by_either_name() -> None:
    mapped = caller(subject="ann@example.com")
    for name in ("ann@example.com", "user-1"):
        assert revoked(entry(subject=name)).refusal(mapped) is not None
    number = caller(subject="42", sub=42)
    assert revoked(entry(subject="42")).refusal(number) is not None
    assert revoked(entry(subject="")).refusal(caller(sub=None, subject="x")) is None, "an absent claim is nobody's"


def test_keys_of_machines_are_revoked_by_name_and_not_by_time() -> None:
    worker = Principal("machines", "worker", None, {"sub": "worker", "client_id": "nightly"})
    keyed = frozenset({"machines"})
    assert revoked(entry(before=NOW * 2), keyed=keyed).refusal(worker) is None
    assert revoked(entry(subject="worker"), keyed=keyed).refusal(worker) is not None


def test_session_is_as_old_as_its_login_however_often_it_was_renewed() -> None:
    old = replace(sealed.session(), begun_at=NOW - 100, claims={**sealed.session().claims, "iat": NOW})
    revoked(entry(before=NOW - 50)).check_session(replace(old, begun_at=NOW - 10))
    with pytest.raises(Exception, match="token_revoked"):
        revoked(entry(before=NOW - 50)).check_session(old)


def head(token: str) -> RequestHead:
    return RequestHead("GET", "/api/x", Headers([("Authorization", f"Bearer {token}")]), "192.0.2.1", "https")


def test_memory_of_verified_tokens_obeys_at_once() -> None:
    policy = Policy([Route("/api", ("api",), UPSTREAM, providers=(SHARED,), allow=(Authenticated(),))])
    token = mint(CLAIMS)
    for _ in range(3):
        assert isinstance(decide(policy, FakeKeys(), head(token), NOW), Allow)
    assert len(policy.verified) == 1
    policy.revoked = revoked(entry(subject="user-1"))
    refused = decide(policy, FakeKeys(), head(token), NOW)
    assert isinstance(refused, Deny) and refused.reason is Reason.TOKEN_REVOKED and refused.provider == "jobs"
    policy.revoked = None
    assert isinstance(decide(policy, FakeKeys(), head(token), NOW), Allow)


def test_nobody_is_told_who_was_revoked_where_nothing_is_enforced() -> None:
    route = Route("/api", ("api",), UPSTREAM, providers=(SHARED,), allow=(Authenticated(),), enforce=False)
    policy = Policy([route])
    policy.revoked = revoked(entry(subject="user-1"))
    passed = decide(policy, FakeKeys(), head(mint(CLAIMS)), NOW)
    assert isinstance(passed, Allow) and passed.principal is None, "as any bad token: it passes as nobody"
    assert passed.would_deny is not None and passed.would_deny.reason is Reason.TOKEN_REVOKED
    assert passed.withheld.authorization


def test_token_that_is_optional_and_revoked_is_a_bad_one() -> None:
    policy = Policy([Route("/api", ("api",), UPSTREAM, providers=(SHARED,), public=True)])
    policy.revoked = revoked(entry(subject="user-1"))
    assert isinstance(decide(policy, FakeKeys(), head(mint(CLAIMS)), NOW), Deny)


def test_forged_token_of_the_revoked_is_forged() -> None:
    policy = Policy([Route("/api", ("api",), UPSTREAM, providers=(SHARED,), allow=(Authenticated(),))])
    policy.revoked = revoked(entry(subject="user-1"))
    refused = decide(policy, FakeKeys(), head(mint(CLAIMS, b"another secret of more than 32 bytes")), NOW)
    assert isinstance(refused, Deny) and refused.reason is Reason.SIGNATURE_INVALID, "nobody learns who is on the list"


SEAL = sealed.LOGIN.seal


def test_ended_session_is_known_by_its_marks_until_no_such_can_be_left() -> None:
    ended = EndedSessions(SEAL)
    one = sealed.session(sid="s1")
    (mark,) = ended.marks_of(sub=None, sid="s1")
    assert ended.add(mark, NOW, NOW) and not ended.add(mark, NOW - 1, NOW), "the later word counts"
    assert ended.has(one) and not ended.has(replace(one, begun_at=NOW + 1)), "a later login is another session"
    assert not ended.has(sealed.session(sid="s2")) and not ended.has(sealed.session())
    assert not ended.add(mark, NOW - SEAL.max_age_seconds - 1, NOW), "no session is as old"
    assert ended.add(b"another", NOW + SEAL.max_age_seconds + 1, NOW + SEAL.max_age_seconds + 1)
    assert len(ended) == 1, "the first is forgotten"


def test_marks_are_bounded_and_tell_nobody_anything() -> None:
    ended = EndedSessions(SEAL)
    for number in range(MAX_MARKS + 10):
        ended.add(number.to_bytes(32), NOW, NOW)
    assert len(ended) == MAX_MARKS
    marks = ended.marks_of(sub="ann", sid="s1")
    assert all(len(mark) == 32 and b"ann" not in mark for mark in marks) and len(set(marks)) == 2


def test_seen_sessions_are_counted_within_their_idle_time_and_bounded() -> None:
    seen, one = SeenSessions(), sealed.session()
    for number in range(MAX_SESSIONS + 10):
        seen.note(replace(one, id=f"s{number}"), NOW)
    assert seen.count(SEAL, NOW) == MAX_SESSIONS
    seen.note(one, NOW + 10)
    assert seen.count(SEAL, NOW + SEAL.idle_seconds) == 1
    seen.forget(one)
    assert seen.count(SEAL, NOW + SEAL.idle_seconds) == 0


def test_session_ends_by_itself_and_not_with_the_token_of_its_issuer() -> None:
    seen, renewable = SeenSessions(), sealed.session(100.0)
    assert seen.end_of(sealed.session(100.0, None), SEAL) == NOW + 100, "nobody can renew it"
    assert seen.end_of(renewable, SEAL) == NOW + SEAL.idle_seconds
    seen.note(renewable, NOW + 600)
    assert seen.end_of(renewable, SEAL) == NOW + 600 + SEAL.idle_seconds, "its requests go on"
    seen.note(renewable, NOW + SEAL.max_age_seconds - 1)
    assert seen.end_of(renewable, SEAL) == NOW + SEAL.max_age_seconds
