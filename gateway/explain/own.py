"""How a caller would be kept to what is their own: what is set, what would be asked, and what goes up.

Nothing is asked of an upstream here. Each thing is taken for that of a given owner, or else for the caller's.
"""

from __future__ import annotations

from gateway.explain.step import Step, shown
from gateway.http1.request import RequestRead
from gateway.policy.decision import Allow
from gateway.policy.denied import Denied
from gateway.policy.enquiries import Question, Sent, Told
from gateway.policy.model import Headers, RequestHead
from gateway.policy.owners import Owners
from gateway.policy.ownership import owner_of
from gateway.proxy.enquiry import JSON
from gateway.proxy.parting import Parting

# What is found of a list, and of what leads on to something else.
_ANSWER = {"runs": [], "conversation_id": "conversation"}
_WORDS = {
    "pin": "what is named as an owner is set to the caller's",
    "look_up": "the upstream is asked first whose it is",
    "none": "nothing there has an owner",
}


def explain_own(
    allow: Allow, head: RequestHead, body: bytes = b"", owner: str | None = None
) -> tuple[Step, Denied | None, Sent | None]:
    """Return the step, the refusal, and what goes up. `body` is all that comes; empty: none.

    `owner` is whose the things are that would be asked about; None: the caller's.
    """
    ownership, asked = allow.route.own_things, list[Step]()
    if ownership is None:
        return Step("own", "note", "nothing is asked about owners"), None, None
    try:
        parting = Parting(allow, ownership, _request(head, body), Owners())
        parting.check_head(_request(head, body))
        whose = owner or (None if parting.way == "none" else owner_of(ownership, allow.principal))
        step = parting.begin(body if parting.needs_body else None, 0.0)
        while isinstance(step, Question):
            asked.append(_asked(step))
            step = parting.go_on(Told(200, _ANSWER, whose), 0.0)
    except Denied as no:
        return Step("own", "no", no.detail, "something of the caller's own", tuple(asked)), no, None
    parts = list(asked)
    if step.target != allow.target:
        parts.append(Step("target", "yes", shown(step.target)))
    if step.body is not None:
        parts.append(Step("body", "yes", shown(step.body.decode("utf-8", "replace"))))
    words = _WORDS[parting.way] if ownership.has_owners else "what the path names counts, whatever query and body say"
    found = f"{parting.way}: {words}"
    is_note = parting.way == "none" and not parts
    return Step("own", "note" if is_note else "yes", found, parts=tuple(parts)), None, step


def _asked(question: Question) -> Step:
    return Step("look-up", "note", f"{question.method} {shown(question.target)}", "an answer that says: the caller's")


def _request(head: RequestHead, body: bytes) -> RequestRead:
    lines = list(head.headers.lines)
    if body and "content-type" not in head.headers:
        lines.append(JSON)
    request = RequestRead(head.method, head.target, Headers(lines), head.client_ip, head.scheme)
    request.length_bytes, request.is_websocket = len(body), head.wants_websocket
    return request
