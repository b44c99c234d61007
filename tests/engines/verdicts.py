"""What must come of a case behind an engine: as with the gateway alone, but for what an engine does before it asks.

An engine answers some requests by itself, in its own words: that is a refusal like ours. And it repairs some that the
gateway refuses, before anybody judges them: each such row of cases is named below, with what is still held of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tests.security.casebook import Case
from tests.security.judge import Reached, Trial, judge_refusal, judge_upstream
from tests.security.strict import Violation

# CLEAN: the engine makes a clean request of it: the caller is told as verified, and no word of the forger arrives.
# TOLD: the forger's words arrive in a field that nobody believes; whom the upstream is told of is who was verified.
# MOVED: the engine reads the path before it asks: sent on as what was judged, below the route that was asked for.
# TRAILERS: request trailers go on, which servers keep apart from fields.
# REFUSED: an honest request that this engine cannot send on.
# ONE: of two lines the engine drops the empty one; what arrives is the verified credential alone.
CLEAN, TOLD, MOVED, TRAILERS, REFUSED, ONE = "clean", "told", "moved", "trailers", "refused", "one"
_ONE_PER_LINE = {"connection.names": TOLD, "connection.twice": TOLD, "connection.twice.first-counts": TOLD}
# Whose query would have to change.
_REWRITTEN = dict.fromkeys(
    (f"credentials.api-key{more}" for more in ("", ".beside-cookie", ".signed", ".root-bracket")), REFUSED
)
REPAIRED: Final = {
    "nginx": {
        "header.spoof.malformed-name": CLEAN,
        # Names with other characters than letters, digits and '-' go; of two lines of one name it reads the first.
        "names.ok": TOLD,
        "forwarded.proto": TOLD,
        "connection.ok.untrusted": REFUSED,
        **_ONE_PER_LINE,
    },
    "envoy": {
        "header.spoof.malformed-name": TOLD,
        "header.dup": ONE,
        "names.ok": REFUSED,
        **_REWRITTEN,
        "connection.type-named": REFUSED,
        "connection.never-named": REFUSED,
        "connection.names.behind": TOLD,
        "connection.names.some": TOLD,
        "connection.twice.joined": TOLD,
        **_ONE_PER_LINE,
    },
    "haproxy": {"header.spoof.malformed-name": TOLD, "places.constant.trailer": TRAILERS},
    "caddy": {
        "header.spoof.malformed-name": TOLD,
        "header.trailer": TRAILERS,
        "path.canonical": REFUSED,
        "names.ok": TOLD,
        # An empty X-Forwarded-For of a trusted proxy is none.
        "forwarded.not-the-proxy": TOLD,
        "forwarded.not-beside-the-denied.when": TOLD,
        **_REWRITTEN,
        "connection.ok": REFUSED,
        "connection.type-named": REFUSED,
        "connection.never-named": REFUSED,
        "connection.ok.untrusted": REFUSED,
        **_ONE_PER_LINE,
    },
    "traefik": {
        "header.spoof.malformed-name": TOLD,
        "header.trailer": TRAILERS,
        "path.cross": MOVED,
    },
}


def row_of(case: Case) -> str:
    """Return the name of the row that a case comes from."""
    return case.id.partition("[")[0]


def repaired(engine: str, case: Case) -> str | None:
    """Return what is held of a case instead, or None: all of it."""
    return REPAIRED[engine].get(row_of(case))


def is_passable(engine: str, case: Case, problem: Violation) -> bool:
    """Return whether what arrived breaks only the rule that the engine is known to break."""
    return repaired(engine, case) == TRAILERS and "railer" in str(problem)


def judge_behind(engine: str, case: Case, trial: Trial) -> None:
    """Raise `Reached` if something reached the upstream that must not, `AssertionError` for a wrong answer."""
    how = repaired(engine, case)
    if how == REFUSED and 400 <= trial.answer.status <= 403 and not trial.seen:
        return
    if trial.seen and (how == TOLD or (how is not None and not isinstance(trial.expect, str))):
        _judge_repaired(how, trial)
    else:
        judge_upstream(trial)
    _judge_answer(trial, is_repaired=how is not None)


def _judge_repaired(how: str, trial: Trial) -> None:
    if how == MOVED:
        first = trial.target.split("/")[1]
        for request in trial.seen:
            if request.target.split("/")[1] != first or ".." in request.target:
                raise Reached(f"{trial.target} was sent on as {request.target}")
        return
    if how == CLEAN:
        judge_upstream(replace(trial, expect="clean"))
    subject, email = ("user-1", "alice@example.com") if how == ONE else (trial.subject, trial.email)
    expected = ([] if subject is None else [subject], [] if subject is None or email is None else [email])
    for request in trial.seen:
        told = (request.all("X-Auth-User-Id"), request.all("X-Auth-Email"))
        if told != expected:
            raise Reached(f"the upstream was told {told}, not {expected}")


def _judge_answer(trial: Trial, *, is_repaired: bool) -> None:
    status, shown = trial.answer.status, trial.answer.raw[:500]
    match trial.expect:
        case "pass" | "public" | "exact" | "one":
            assert status == 200, shown
        case int() | list() if not is_repaired:
            # Which status it is says the engine where it answers by itself; a 5xx of ours would be tried again.
            assert status == 0 or status >= 400, shown
        case _:
            assert status in (0, 200) or status >= 400, shown
    if status == 200:
        assert trial.seen, "200 without the upstream"
    elif trial.answer.header("X-Request-Id") and trial.answer.body.startswith(b"{"):
        judge_refusal(trial.answer)
