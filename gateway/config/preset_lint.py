"""What a valid file probably does not mean, where a well-known issuer is told by its preset."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.config.lint import asks_email
from gateway.config.reading import Reading
from gateway.config.routes import ReadRoute
from gateway.policy.rules import Authenticated, rules_within


def lint_presets(routes: Sequence[ReadRoute], reading: Reading) -> None:
    """Collect the warnings about routes whose tokens come from well-known issuers."""
    expansions = {one.provider: one for one in reading.expansions}
    for read in routes:
        route, place = read.route, read.entry.key.place
        lets_anybody = any(isinstance(one, Authenticated) for rule in route.allow for one in rules_within(rule))
        for provider in route.providers:
            expansion = expansions.get(provider.name)
            if expansion is None:
                continue
            if expansion.open_to and lets_anybody:
                reading.warn(place, expansion.open_to.format(provider=provider.name))
            if expansion.without_email and asks_email((*route.allow, *route.deny)):
                reading.warn(
                    place,
                    f"the rule asks for an email, and tokens of '{provider.name}' ({expansion.preset}) carry none by "
                    f"default ({expansion.without_email})",
                )
