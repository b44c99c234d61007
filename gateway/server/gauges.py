"""What is true of a gateway at this moment, for the metrics."""

from __future__ import annotations

from gateway.keys.status import as_one
from gateway.record.logs import lines_dropped
from gateway.record.metrics import Gauges
from gateway.server.gateway import Gateway


def gauges_of(gateway: Gateway) -> Gauges:
    """Return the gauges of a gateway; times are Unix seconds."""
    verified = gateway.config.policy.verified
    sources = ((p.name, as_one(p, gateway.store.statuses_of(p))) for p in gateway.config.providers)
    ends = ((name, pool.certificate_expires_at) for name, pool in gateway.pools.items())
    login, revoking = gateway.config.policy.login, gateway.revoking
    store = gateway.ledger.store
    return Gauges(
        open_requests=gateway.open_requests,
        open_streams=gateway.open_streams,
        open_websockets=len(gateway.tunnels),
        cache_hits=gateway.earlier_hits + verified.hits,
        cache_misses=gateway.earlier_misses + verified.misses,
        cache_entries=len(verified),
        loaded_at=gateway.loaded_at,
        log_lines_dropped=lines_dropped(),
        open_connections=gateway.room.count,
        connections_shed=dict(gateway.room.shed),
        connections_refused=dict(gateway.room.refused),
        owners=len(gateway.runtime.owners),
        held_bodies=gateway.holding.count,
        held_bytes=gateway.holding.count_bytes,
        held_shed=gateway.holding.shed,
        sessions_seen=0 if login is None else gateway.sessions.count(login.seal, gateway.clock()),
        ended_sessions=0 if revoking.ended is None else len(revoking.ended),
        revocations=len(revoking.listed.entries),
        revoked_reads=dict(revoking.reads),
        logouts=dict(revoking.logouts),
        keys=tuple((name, status) for name, status in sources if status is not None),
        certificate_expires_at=gateway.public.certificate_expires_at,
        upstream_certificates=tuple((name, at) for name, at in ends if at is not None),
        budget_results=gateway.ledger.results,
        budget_streams={
            one.name: gateway.ledger.open_streams.get(one.name, 0)
            for one in gateway.config.budgets
            if one.streams is not None
        },
        store_is_down=None if store is None else store.is_up is False,
        store_failures=0 if store is None else store.failures,
    )
