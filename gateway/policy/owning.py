"""The treatment of one request at a Mastra whose things have owners: pinned, looked up first, or closed. No I/O.

A generator: it yields what is to be asked of the upstream, is sent what that said, and returns what goes on.
"""

from __future__ import annotations

from typing import Final

from gateway.policy.denied import Denied
from gateway.policy.enquiries import Asking, Owning, Sent
from gateway.policy.json_edits import read_object
from gateway.policy.mastra_routes import Carrier, Row
from gateway.policy.own_bodies import KINDS
from gateway.policy.own_context import NAME as CONTEXT
from gateway.policy.own_context import clean_query, identity_keys
from gateway.policy.own_lookups import bring_run_home, captured_text, look_up, need_own
from gateway.policy.own_messages import need_own_included
from gateway.policy.own_names import OF_BODIES, text_of
from gateway.policy.own_options import pin_tracing, refuse_the_rest
from gateway.policy.own_query import Query, folded
from gateway.policy.own_responses import pin_response
from gateway.policy.own_tasks import pin_task
from gateway.policy.own_treatment import Treatment, need
from gateway.policy.ownership import Ownership
from gateway.policy.paths import split_target
from gateway.policy.reasons import Reason

# Mastra reads the body of these, whether a route has one or not, and believes it over the path and the query.
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_KINDS: Final = {**KINDS, "a2a": pin_task, "responses": pin_response}


def needs_body(row: Row, method: str) -> bool:
    """Return whether the body of a request is to be read whole, and is JSON or not there at all."""
    is_named_as_nobodys = row.way == "none" and not row.path
    return method in _WITH_BODY and row.way != "close" and not is_named_as_nobodys


def takes_files(row: Row) -> bool:
    """Return whether a body of `multipart/form-data` may go on unread: what is heard has no owner."""
    return any(carrier.kind == "upload" for carrier in row.carriers)


def owning(row: Row, ownership: Ownership, owner: str | None, method: str, target: str, body: bytes | None) -> Owning:
    """Treat a request of an owner (None: nobody is known to ask). `target` is in canonical form.

    `body` None: there is none, or it is not read. Raises `Denied`: NOT_OWNER, OWNER_UNKNOWN, BODY_MALFORMED.
    """
    if row.way == "close":
        raise Denied(Reason.NOT_OWNER, "Mastra does not part by owner what is here (`own: false` is for operators)")
    if owner is None and row.way != "none":
        raise Denied(Reason.NOT_OWNER, "nobody is known to ask, and what is here has an owner")
    path, query_text = split_target(target)
    document = read_object(body) if body is not None and body.strip() else None
    captures = _captures(row, path.segments[len(ownership.prefix) :])
    # What the path or the query says already: Mastra would believe the body over both.
    said = {folded(name) for name in captures} | _names(row, "query")
    members = {} if document is None else document.value
    twice = [name for name in members if folded(name) in said - _names(row, "body")]
    prefix = "".join(f"/{segment}" for segment in ownership.prefix)
    rest = {name: value for name, value in members.items() if name not in twice}
    context = rest.pop(CONTEXT, None)
    treatment = Treatment(row, owner or "", prefix, captures, Query(query_text), rest, context)
    for name in twice:
        treatment.drop((name,))
    for key in identity_keys(context):  # Mastra reads it in every body, before it knows the route
        treatment.drop((CONTEXT, key))
    _clean_query(treatment)
    for carrier in row.carriers:
        if carrier.place != "body":
            yield from _outside_body(treatment, carrier, path.text)
    if method in _WITH_BODY:
        yield from _inside_body(treatment)
    edited = (document or read_object(b"{}")).with_edits(treatment.edits) if treatment.edits else None
    return Sent(path.text + treatment.query.text, edited, row.way)


def _names(row: Row, place: str) -> set[str]:
    return {folded(carrier.name) for carrier in row.carriers if carrier.place == place and carrier.name}


def _captures(row: Row, segments: tuple[str, ...]) -> dict[str, str]:
    return {text[1:]: segments[at] for at, text in enumerate(row.segments) if text.startswith(":")} if row.path else {}


def _clean_query(treatment: Treatment) -> None:
    """Take out of the query what Mastra would take for the path's, for the body's, or for the caller's."""
    query, row = treatment.query, treatment.row
    clean_query(query)
    named = _names(row, "query")
    if "resourceid" in named and row.method == "GET":
        # Filters of a list that is the owner's alone.
        named |= {"threadid", "runid"}
    query.without({folded(name) for name in treatment.captures} | (OF_BODIES - named))


def _outside_body(treatment: Treatment, carrier: Carrier, path: str) -> Asking:
    """See to what the path or the query names."""
    if carrier.kind == "messages":
        return (yield from need_own_included(treatment, path))
    if carrier.place == "query" and carrier.kind == "owner":
        treatment.query.put(carrier.name, treatment.owner)
        return True
    thing = captured_text(treatment, carrier.name) if carrier.place == "path" else treatment.query.value(carrier.name)
    if thing is None:
        return True
    is_own = yield from look_up(treatment, carrier.kind, thing, carrier.name)
    need(is_own, carrier.kind.removeprefix("new_").replace("_", " "))
    return True


def _inside_body(treatment: Treatment) -> Asking:
    """See to the body: to what the row knows of it, and to all the rest."""
    carriers = [carrier for carrier in treatment.row.carriers if carrier.place == "body"]
    for carrier in carriers:
        if carrier.name:
            yield from _member(treatment, carrier)
    kinds = [_KINDS[carrier.kind] for carrier in carriers if carrier.kind in _KINDS]
    for see_to in kinds:
        yield from see_to(treatment)
    if not kinds:
        yield from pin_tracing(treatment, (), treatment.body)
        refuse_the_rest(treatment.body, {*(carrier.name for carrier in carriers), "tracingOptions"})
    return True


def _member(treatment: Treatment, carrier: Carrier) -> Asking:
    """See to one member of the body."""
    if carrier.kind == "owner":
        treatment.put((carrier.name,), treatment.owner)
        return True
    thing = treatment.body.get(carrier.name)
    if thing is None:
        return True
    match carrier.kind:
        case "id":  # Mastra itself looks whose it is
            text_of(thing, carrier.name)
        case "run":
            yield from bring_run_home(treatment, (carrier.name,), thing, carrier.name)
        case kind:
            yield from need_own(treatment, kind, thing, carrier.name)
    return True
