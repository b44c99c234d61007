"""What is counted. Label sets are closed: routes, providers and codes of the file and the table, never a client's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, get_args

from gateway.keys.status import SourceStatus
from gateway.policy.callers import CallerKind
from gateway.record.audit_file import AuditState
from gateway.record.counters import Histogram, added
from gateway.record.outcome import ENDINGS, WAYS, WIRES, Outcome
from gateway.record.reachability import LONG_SECONDS, Upstreams

_SHORT_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
_STREAM_SECONDS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1800.0, 3600.0)
_NO_ROUTE: Final = "-"
RENEWALS: Final = ("renewed", "refused", "unavailable")


@dataclass(frozen=True, slots=True)
class Gauges:
    """What is true at this moment. `keys` are the key sources by provider; a time is Unix seconds."""

    open_requests: int = 0
    open_streams: int = 0
    open_websockets: int = 0
    cache_hits: int = 0
    cache_misses: int = 0
    cache_entries: int = 0
    loaded_at: float = 0.0
    log_lines_dropped: int = 0
    open_connections: int = 0
    connections_shed: Mapping[str, int] = field(default_factory=lambda: {"full": 0, "address": 0})
    connections_refused: Mapping[str, int] = field(default_factory=lambda: {"full": 0, "address": 0})
    owners: int = 0
    held_bodies: int = 0
    held_bytes: int = 0
    held_shed: int = 0
    sessions_seen: int = 0
    ended_sessions: int = 0
    revocations: int = 0
    revoked_reads: Mapping[str, int] = field(default_factory=lambda: {"ok": 0, "failed": 0})
    logouts: Mapping[str, int] = field(default_factory=lambda: {"ok": 0, "refused": 0, "unshared": 0})
    keys: tuple[tuple[str, SourceStatus], ...] = ()
    certificate_expires_at: float | None = None  # of the public port
    upstream_certificates: tuple[tuple[str, float], ...] = ()
    budget_results: Mapping[tuple[str, str], int] = field(default_factory=dict)  # by budget and what was said
    budget_streams: Mapping[str, int] = field(default_factory=dict)
    store_is_down: bool | None = None  # of what replicas share; None: there is none
    store_failures: int = 0


class Metrics:
    """The counters of one gateway."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, str, str, int], int] = {}
        self.would_deny: dict[tuple[str, str], int] = {}
        self.ended: dict[str, int] = dict.fromkeys(ENDINGS, 0)
        self.wires: dict[str, int] = dict.fromkeys(WIRES, 0)
        self.callers: dict[str, int] = dict.fromkeys(get_args(CallerKind), 0)
        self.questions: dict[str, int] = {}
        self.own: dict[str, int] = dict.fromkeys(WAYS, 0)
        self.lookups = {"asked": 0, "kept": 0}
        self.reloads = {"ok": 0, "failed": 0}
        self.audit = AuditState()
        self.session_renewals = dict.fromkeys(RENEWALS, 0)
        self.decision = Histogram(_SHORT_SECONDS)
        self.upstreams = Upstreams()
        self.stream = Histogram(_STREAM_SECONDS)

    def note_renewal(self, result: str) -> None:
        """Count one time that an issuer was asked for the next word on a session: one of `RENEWALS`."""
        self.session_renewals[result] += 1

    @property
    def first_byte(self) -> Histogram:
        """How long all upstreams took to begin their responses."""
        return added(LONG_SECONDS, (one.first_byte for one in self.upstreams.known.values()))

    def record(self, outcome: Outcome) -> None:
        """Count one request that has ended."""
        route, upstream = outcome.route or _NO_ROUTE, outcome.upstream
        series = route, outcome.decision, outcome.code or "", outcome.status
        self.requests[series] = self.requests.get(series, 0) + 1
        self.ended[outcome.ended] += 1
        self.wires[outcome.wire] += 1
        if outcome.kind is not None:
            self.callers[outcome.kind] += 1
        if outcome.asked_by is not None:
            self.questions[outcome.asked_by] = self.questions.get(outcome.asked_by, 0) + 1
        if outcome.own is not None:
            self.own[outcome.own] += 1
            self.lookups["asked"] += outcome.lookups_asked
            self.lookups["kept"] += outcome.lookups_kept
        began_at, decided_at, first_byte_at = outcome.began_at, outcome.decided_at, outcome.first_byte_at
        if decided_at is not None:
            self.decision.observe(decided_at - began_at)
        if upstream is not None:
            self.upstreams.of(upstream.name).note(outcome)
        if outcome.is_stream and first_byte_at is not None and outcome.over_at is not None:
            self.stream.observe(outcome.over_at - first_byte_at)
        if outcome.would_deny is not None:
            observed = route, outcome.would_deny
            self.would_deny[observed] = self.would_deny.get(observed, 0) + 1
