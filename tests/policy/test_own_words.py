"""The table of Mastra's routes in words: short for people, whole for programs, and true."""

from __future__ import annotations

import re
from collections import Counter

from gateway.policy.mastra_routes import rows
from gateway.policy.own_words import owner_words, ownership_lines, ownership_report
from gateway.policy.ownership import Ownership


def test_people_are_told_in_a_few_lines() -> None:
    ownership = Ownership(prefix=("mastra",), like=((("my-chat",), "generate"), (("chat",), "close")))
    lines = ownership_lines("main", ownership, ["/mastra/logs", "/mastra/stored"])
    assert len(lines) <= 9
    assert lines[0] == "main: things belong to the caller's subject; of Mastra's 416 routes below /mastra"
    counts = dict(
        (way.replace(" ", "_"), int(number))
        for number, way in re.findall(r"^  (\d+) ([a-z ]+):", "\n".join(lines), re.M)
    )
    assert counts == Counter(row.way for row in rows())
    assert lines[-2] == "  elsewhere /chat is close, /chat/{..} is generate and /my-chat is generate"
    assert (
        lines[-1] == "  own: false on /mastra/logs and /mastra/stored: callers there have to do with everybody's things"
    )


def test_owner_is_told_as_it_is() -> None:
    assert owner_words(Ownership("organization")) == "the caller's organization"
    assert owner_words(Ownership("claim", "team", by_provider=True)) == "the claim team at its provider"


def test_programs_are_told_everything() -> None:
    report = ownership_report(Ownership("claim", "team", like=((("t", "*"), "none"),)), ["/x"])
    assert (report["by"], report["prefix"], report["like"], report["own_false"]) == (
        "claim:team",
        "/api",
        {"/t/{..}": "none"},
        ["/x"],
    )
    assert len(report["routes"]) == len(rows())
    (transfer,) = [one for one in report["routes"] if one["path"] == "/memory/threads/:threadId/transfer"]
    assert transfer == {
        "method": "POST",
        "path": transfer["path"],
        "permission": ["memory:write"],
        "way": "close",
        "carriers": [],
    }
    (threads,) = [one for one in report["routes"] if (one["method"], one["path"]) == ("POST", "/memory/threads")]
    assert threads["carriers"] == ["body.resourceId:owner", "body.threadId:new_thread"]
