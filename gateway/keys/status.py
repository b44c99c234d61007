"""What `/status` and the metrics say of keys: of one source, and of many as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import urlsplit

from gateway.keys.entry import Entry, State
from gateway.policy.providers import KeySource

_MAX_KIDS_LOGGED: Final = 10
_WORST: Final[tuple[State, ...]] = ("fresh", "stale", "none")


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


def as_one(statuses: Sequence[SourceStatus]) -> SourceStatus | None:
    """Return several sources of one provider as one: counts add up, of ages and times the worst count; None of none."""
    if len(statuses) < 2:
        return statuses[0] if statuses else None
    worst = max(statuses, key=lambda one: (_WORST.index(one.state), one.age_seconds or 0.0))
    states = {one.state for one in statuses}
    refreshes = [one.next_refresh_seconds for one in statuses if one.next_refresh_seconds is not None]
    return replace(
        worst,
        label=f"{worst.label} and {len(statuses) - 1} more",
        # Of many, none is usable only where that is so of each.
        state="stale" if worst.state == "none" and states != {"none"} else worst.state,
        kids=tuple(sorted({kid for one in statuses for kid in one.kids})),
        age_seconds=max((one.age_seconds for one in statuses if one.age_seconds is not None), default=None),
        next_refresh_seconds=min(refreshes, default=None),
        is_fetching=any(one.is_fetching for one in statuses),
        fetch_count=sum(one.fetch_count for one in statuses),
        failure_count=sum(one.failure_count for one in statuses),
    )


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
