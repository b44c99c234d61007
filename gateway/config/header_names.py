"""Which header names mean something in a file, and that none means two things."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gateway.config.document import Fields, Place
from gateway.config.provider_fields import TOKEN_FROM
from gateway.config.reading import Reading, Unreadable
from gateway.config.records import Values
from gateway.config.sections import PROVIDERS
from gateway.config.server import STRIP_HEADERS
from gateway.policy.fields import HeaderRules, Names, fold
from gateway.policy.providers import Provider
from gateway.policy.upstreams import Upstream


def header_rules(
    values: Values,
    upstreams: Mapping[str, Upstream | None],
    providers: Mapping[str, Provider | None],
    own_trace: tuple[str, ...],
    reading: Reading,
) -> HeaderRules:
    """Return which fields of requests no upstream gets to see. What is said to one is no client's to say to any.

    Raises `Unreadable` for a header in which no token could ever arrive.
    """
    stripped = (*values.get(STRIP_HEADERS, ()), *own_trace)
    own = {name: one.name for one in upstreams.values() if one is not None for name in one.own_names}
    taken = {fold(name): upstream for name, upstream in own.items()}
    is_stripped, is_clean = Names(stripped), True
    tokens: dict[str, None] = {}
    for provider, header in _token_headers(providers):
        tokens[header] = None
        why = ""
        if header in is_stripped:
            why = "'strip_headers' takes it away from every request"
        elif header in taken:
            why = f"the gateway alone says it, to the upstream '{taken[header]}'"
        if why:
            place = _place_of(values, provider)
            reading.add(place, f"no token can come in the header {header}: {why}, expected another name")
            is_clean = False
    if not is_clean:
        raise Unreadable
    return HeaderRules(stripped, own, tokens)


def _token_headers(providers: Mapping[str, Provider | None]) -> Iterator[tuple[str, str]]:
    for name, provider in providers.items():
        for source in provider.token_sources if provider is not None else ():
            if source.place == "header":
                yield name, source.name


def _place_of(values: Values, provider: str) -> Place:
    section = values.nodes[PROVIDERS.name]
    node = section.get(provider) if isinstance(section, Fields) else None
    own = node.get(TOKEN_FROM.name) if isinstance(node, Fields) else None
    return own.key_place if own is not None else section.place
