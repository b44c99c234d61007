"""Whose a thing is, remembered; and who went to make one that is not there yet."""

from __future__ import annotations

from gateway.policy.owners import SECONDS, Owners

THREAD = ("thread", "/api/memory/threads/t1?agentId=a")
AS_ASKED_FOR_ANOTHER_AGENT = ("thread", "/api/memory/threads/t1?agentId=b")


def test_what_is_not_there_is_made_by_one() -> None:
    owners = Owners()
    assert owners.may_make("mastra", THREAD, "ann", 10)
    assert owners.may_make("mastra", THREAD, "ann", 11), "they may try again"
    assert not owners.may_make("mastra", THREAD, "bob", 11)
    assert not owners.may_make("mastra", AS_ASKED_FOR_ANOTHER_AGENT, "bob", 11), "it may be the same store"
    assert owners.may_make("other", THREAD, "bob", 11)
    assert owners.may_make("mastra", ("thread", "/api/memory/threads/t2"), "bob", 11)
    assert owners.may_make("mastra", THREAD, "bob", 10 + SECONDS + 1)


def test_who_went_to_make_something_does_not_own_it() -> None:
    # It may not have come to that, and somebody else may have made it where nobody of us saw it.
    owners = Owners()
    assert owners.may_make("mastra", THREAD, "ann", 10)
    assert owners.find("mastra", THREAD, 11) is None


def test_what_was_deleted_is_made_by_anybody() -> None:
    owners = Owners()
    assert owners.may_make("mastra", THREAD, "ann", 10)
    owners.keep("mastra", THREAD, "ann", 10)
    owners.forget("mastra", THREAD[1])
    assert owners.may_make("mastra", THREAD, "bob", 11)
    assert owners.find("mastra", THREAD, 11) is None
