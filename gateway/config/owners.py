"""Whose the things of an upstream are, seen from all its routes: who is told apart from whom, and what has no owner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gateway.config.reading import Reading
from gateway.config.routes import ReadRoute
from gateway.policy.ownership import Ownership, is_named
from gateway.policy.paths import is_under
from gateway.policy.providers import Provider
from gateway.policy.routes import Capture, Route
from gateway.policy.upstreams import Upstream
from gateway.policy.words import listed


def with_owners(routes: Sequence[ReadRoute], reading: Reading) -> tuple[ReadRoute, ...]:
    """Return the routes, each with an ownership that knows how many issuers speak for its upstream's owners."""
    owned: dict[str, list[ReadRoute]] = {}
    for read in routes:
        if read.route.own_things is not None and read.route.own_things.has_owners:
            owned.setdefault(read.route.upstream.name, []).append(read)
    if not owned:
        return tuple(routes)
    speakers = {name: _speakers(several) for name, several in owned.items()}
    _say_of_other_doors(routes, reading)
    for name, several in owned.items():
        _say_who_is_told_apart(several[0], speakers[name], reading)
        _say_what_has_no_owner(several, reading)
    return tuple(_complete(read, speakers.get(read.route.upstream.name, ())) for read in routes)


def _speakers(routes: Sequence[ReadRoute]) -> tuple[Provider, ...]:
    found = {provider.name: provider for read in routes for provider in read.route.providers}
    return tuple(found.values())


def _complete(read: ReadRoute, speakers: Sequence[Provider]) -> ReadRoute:
    own = read.route.own_things
    if own is None or not own.has_owners or not own.apart:
        return read
    by_issuer = frozenset(provider.name for provider in speakers if _has_several(provider))
    by_provider = len(speakers) > 1 or bool(by_issuer)
    if not by_provider:
        return read
    own = replace(own, by_provider=True, by_issuer=by_issuer)
    return replace(read, route=replace(read.route, own_things=own))


def _has_several(provider: Provider) -> bool:
    return bool(provider.issuer_templates) or len(provider.issuers or ()) > 1


def _say_who_is_told_apart(read: ReadRoute, speakers: Sequence[Provider], reading: Reading) -> None:
    own = read.route.own_things
    if own is None or not own.apart:
        return
    several = [provider.name for provider in speakers if _has_several(provider)]
    if len(speakers) < 2 and not several:
        return
    names = listed((f"'{provider.name}'" for provider in speakers), "and")
    who = f"{names} speak for" if len(speakers) > 1 else f"several issuers of {names} speak for"
    shown = f"{speakers[0].name}:{_word(own).upper()}"
    said = f"{who} owners at '{read.route.upstream.name}', so the same {_word(own)} at two of them is two owners"
    hint = f"an owner is '{shown}'; 'own: {{apart: false}}' says that they are the same"
    reading.warn(read.entry.key.place, f"{said}: {hint}")


def _say_of_other_doors(routes: Sequence[ReadRoute], reading: Reading) -> None:
    """Warn of a route to the same server by another upstream, which says nothing of owners."""
    owned = {read.route.upstream.url: read.route.upstream.name for read in routes if _has_owners(read.route.upstream)}
    for read in routes:
        upstream = read.route.upstream
        if not _has_owners(upstream) and upstream.url in owned and not read.is_ours:
            found = "no 'own:'" if upstream.own is None else "nobody's 'own:'"
            said = f"leads to the server of '{owned[upstream.url]}' by '{upstream.name}', which has {found}"
            reading.warn(read.entry.key.place, f"{said}: callers have to do with everybody's things there")


def _has_owners(upstream: Upstream) -> bool:
    return upstream.own is not None and upstream.own.has_owners


def _word(own: Ownership) -> str:
    return own.claim or own.by


def _say_what_has_no_owner(routes: Sequence[ReadRoute], reading: Reading) -> None:
    """Warn once of the guarded routes whose things nobody can tell apart, since the table does not know them."""
    unknown = [read for read in routes if not read.is_ours and _is_unknown(read.route)]
    if unknown:
        keys = listed((f"'{read.route.key}'" for read in unknown[:3]), "and")
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        said = f"what the table of Mastra's routes does not know passes as it is at {keys}{more}"
        hint = "if your team added a route that keeps things, name it: 'own: {like: {/my-chat: generate}}'"
        reading.warn(unknown[0].entry.key.place, f"{said}: {hint}")


def _is_unknown(route: Route) -> bool:
    own = route.own_things
    if own is None or not route.providers:
        return False
    segments = tuple(f"{{{one.name}}}" if isinstance(one, Capture) else one for one in route.segments)
    return is_under(segments, own.prefix) is not True and not is_named(own, route.segments)
