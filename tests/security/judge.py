"""What must come of a case: of the answer, and of what reached the upstream.

`expect` of a case is one of

- a number: answered with that status, nothing reached the upstream; a list of numbers: one of them;
- pass: 200, and the upstream was told the verified subject and email and nothing else about the caller;
- public: 200, and the upstream was told nothing about the caller;
- one: pass, and the one credential that arrived is the verified one (`goes`, see arrivals.py);
- exact: pass or public, and the target arrived byte for byte as it was sent;
- own: the gateway answered by itself and led to `leads` alone, nothing reached the upstream;
- elsewhere: refused with 4xx, or sent on as what no reading puts below a guarded prefix;
- clean: refused with 4xx, or pass (public) without anything that the client made up (`evil`, 6.6.6.6);
- same: refused with 4xx, or one.

`arrives` (headers) and `signs` (claims of the gateway's token) say more about what reaches the upstream; `email`
says which email it is told, where that is not the token's.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from tests.security.arrivals import Unjudged, check_credentials, check_headers, check_signed
from tests.security.rig import Answer
from tests.security.strict import Seen

EVIL = re.compile(rb"evil|6\.6\.6\.6", re.IGNORECASE)
GUARDED = ("api", "jwt", "strict", "hs", "a0", "clerk", "ed", "ws", "browser", "closed", "read")
_BY_CHANCE = re.compile(rb"Set-Cookie:[^\r]*|(state|nonce|code_challenge)=[\w-]+")  # may spell anything
_INTERNAL = re.compile(rb"Traceback|127\.0\.0\.1|File \"|aiohttp|python", re.IGNORECASE)


class Reached(AssertionError):
    """An attack got through."""


@dataclass(frozen=True)
class Trial:
    """What was tried and what came of it."""

    expect: Any
    target: str
    subject: str | None  # of the token that was sent, if there was one
    email: str | None
    answer: Answer
    seen: list[Seen]
    token: str | None = None
    goes: str = "sent"
    leads: str = ""  # where an answer of the gateway's own may lead
    arrives: dict[str, str | None] = field(default_factory=dict)
    signs: dict[str, Any] = field(default_factory=dict)


def judge(trial: Trial) -> None:
    """Raise `Reached` if something reached the upstream that must not, `AssertionError` for a wrong answer."""
    judge_upstream(trial)
    _judge_answer(trial)


def judge_upstream(trial: Trial) -> None:
    """Raise `Reached` if something reached the upstream that must not; `AssertionError` if nothing did that must."""
    expected = ([], []) if trial.subject is None else ([trial.subject], [] if trial.email is None else [trial.email])
    for request in trial.seen:
        told = tuple([unquote(value) for value in request.all(name)] for name in ("X-Auth-User-Id", "X-Auth-Email"))
        match trial.expect:
            case "pass" | "public" | "exact" | "clean" | "one" | "same":
                if told != expected:
                    raise Reached(f"the upstream was told {told}, not {expected}")
                if EVIL.search(_without_credentials(request, trial.token)):
                    raise Reached(f"the client's own words went up: {request.raw[:600]!r}")
                _judge_arrival(trial, request)
            case "elsewhere":
                if is_guarded(request.target):
                    raise Reached(f"sent on as {request.target!r}")
            case _:
                raise Reached(f"the upstream saw {request.raw[:300]!r}")
    if trial.expect in ("pass", "public", "exact", "one"):
        assert len(trial.seen) == 1, f"{len(trial.seen)} requests went up; the answer: {trial.answer.raw[:400]!r}"
    if trial.expect == "exact" and trial.seen[0].target != trial.target:
        raise Reached(f"sent on as {trial.seen[0].target!r}")


def _judge_arrival(trial: Trial, request: Seen) -> None:
    try:
        if trial.expect in ("one", "same"):
            check_credentials(request, trial.token, trial.goes)
        check_headers(request, trial.arrives)
        if trial.signs:
            check_signed(request, trial.signs)
    except Unjudged as problem:
        raise Reached(str(problem)) from None


def _without_credentials(request: Seen, token: str | None) -> bytes:
    """Return a request without its token, whose base64url may spell anything."""
    kept = [f"{name}: {value}" for name, value in request.fields if name.lower() != "authorization"]
    text = "\n".join([request.target, *kept])
    return (text.replace(token, "") if token else text).encode() + b"\n" + request.body


def _judge_answer(trial: Trial) -> None:
    status, shown = trial.answer.status, trial.answer.raw[:500]
    match trial.expect:
        case int():
            assert status == trial.expect, shown
        case list():
            assert status in trial.expect, shown
        case "pass" | "public" | "exact" | "one":
            assert status == 200, shown
        case "own":
            _judge_own(trial)
            return
        case _:
            assert status == 200 or 400 <= status < 500, shown
    if status == 200:
        assert trial.seen, "200 without the upstream"
    else:
        judge_refusal(trial.answer)


def _judge_own(trial: Trial) -> None:
    answer = trial.answer
    assert answer.status in (200, 302), answer.raw[:500]
    where = answer.header("Location") if answer.status == 302 else json.loads(answer.body)["url"]
    if not (where or "").startswith(trial.leads) or EVIL.search(_BY_CHANCE.sub(b"", answer.raw)):
        raise Reached(f"it leads to {where!r}: {answer.raw[:1500]!r}")


def judge_refusal(answer: Answer) -> None:
    """Hold what every refusal of the gateway promises: a challenge with 401, and nothing of the inside."""
    if answer.status == 401:
        assert (answer.header("WWW-Authenticate") or "").startswith("Bearer "), answer.raw
    if answer.status:
        assert answer.header("X-Request-Id"), answer.raw
        assert answer.header("Cache-Control") == "no-store", answer.raw
    assert EVIL.search(answer.body) is None, f"the refusal repeats what was sent: {answer.raw!r}"
    assert _INTERNAL.search(answer.body) is None, f"the refusal tells of the inside: {answer.raw!r}"


def is_guarded(target: str) -> bool:
    """Return whether any reading of a target lies below a guarded prefix (RFC 3986, WHATWG URL, and laxer ones)."""
    path = re.sub(r"^[a-z]+://[^/]*", "", target.partition("?")[0].partition("#")[0])
    texts = [path]
    for _ in range(4):
        texts.append(unquote(texts[-1], errors="replace"))
    for text in texts:
        for variant in (text, re.sub(r";[^/]*", "", text), text.partition("\0")[0]):
            if _first_segment(variant) in GUARDED:
                return True
    return False


def _first_segment(path: str) -> str:
    kept: list[str] = []
    for segment in re.split(r"[/\\]+", path):
        bare = segment.strip().casefold()
        if bare == "..":
            kept = kept[:-1]
        elif bare not in ("", "."):
            kept.append(bare)
    return kept[0] if kept else ""
