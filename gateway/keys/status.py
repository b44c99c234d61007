"""What `/status` and the metrics say of keys: of one source, and of many as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import urlsplit

from gateway.keys.entry import Entry, State
from gateway.policy.providers import KeySource, Provider

_MAX_KIDS_LOGGED: Final = 10


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """One source as `/status` shows it. Times in seconds; `label` is its address without credentials.

    `age_seconds` None: never fetched. `state` is `fresh`, `stale` (past the TTL) or `none`.
    """

    label: str
    state: State
    kids: tuple[str, ...]
    age_seconds: float | None
    next_refresh_seconds: float | None  # None: never, as of a file, which is read when it changes
    is_fetching: bool
    fetch_count: int
    failure_count: int
    last_error: str | None
    last_error_age_seconds: float | None
    failing_seconds: float | None = None  # since the first failure after the last good answer
    unusable: Mapping[str, str] = field(default_factory=dict)  # by kid, why a published key is left out


def describe_entry(entry: Entry, now: float, *, is_fetching: bool) -> SourceStatus:
    """Return the status of what is known about one source; `now` is of the store's clock."""
    return SourceStatus(
        label=describe_source(entry.source),
        state=entry.state(now),
        kids=tuple(sorted(entry.keys.kids)) if entry.keys is not None else (),
        age_seconds=now - entry.fetched_at if entry.keys is not None else None,
        next_refresh_seconds=None if entry.source.keys is not None else max(0.0, entry.refresh_at - now),
        is_fetching=is_fetching,
        fetch_count=entry.fetch_count,
        failure_count=entry.failure_count,
        last_error=entry.last_error,
        last_error_age_seconds=now - entry.last_error_at if entry.last_error is not None else None,
        failing_seconds=now - entry.failing_since if entry.failing_since is not None else None,
        unusable=entry.keys.unusable if entry.keys is not None else {},
    )


def as_one(provider: Provider, statuses: Sequence[SourceStatus]) -> SourceStatus | None:
    """Return the sources of a provider as one; None if it has none, or none yet. `statuses` begin with the named ones.

    Counts add up, of ages and times the worst counts. The state is the worst of those that the file names, since their
    callers are refused. Of a template's issuers it is the best: one tenant that is gone is nobody's trouble.
    """
    if len(statuses) < 2:
        return statuses[0] if statuses else None
    count = sum(not source.max_issuers for source in provider.key_sources())
    named, tenants = statuses[:count], statuses[count:]
    told = max(named, key=_badness) if named else min(tenants, key=_badness)
    ages = [one.age_seconds for one in statuses if one.age_seconds is not None]
    refreshes = [one.next_refresh_seconds for one in statuses if one.next_refresh_seconds is not None]
    return replace(
        told,
        label=f"{told.label} and {len(statuses) - 1} more",
        kids=tuple(sorted({kid for one in statuses for kid in one.kids})),
        age_seconds=max(ages, default=None),
        next_refresh_seconds=min(refreshes, default=None),
        is_fetching=any(one.is_fetching for one in statuses),
        fetch_count=sum(one.fetch_count for one in statuses),
        failure_count=sum(one.failure_count for one in statuses),
    )


def _badness(status: SourceStatus) -> int:
    return ("fresh", "stale", "none").index(status.state)


def describe_source(source: KeySource) -> str:
    """Return the place of a source for logs and `/status`: no user, password, query or fragment."""
    if source.files:
        return ", ".join(source.files)
    parts = urlsplit(source.jwks_uri or source.issuer or "")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def kids_in_words(kids: frozenset[str]) -> str:
    """Return key ids for the log, as many as a line can bear."""
    names = [ascii(kid[:64]) for kid in sorted(kids)[:_MAX_KIDS_LOGGED]]
    return (", ".join(names) or "keys without id") + ", ..." * (len(kids) > _MAX_KIDS_LOGGED)
