"""What Envoy connects to: us, for decisions, and the upstreams; and how its documents are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

from gateway.engines.plan import CONNECT_SECONDS, KEPT_SECONDS, Plan, Server, Where, is_address, seconds
from gateway.proxy.dialects import PEER, TARGET

EXTENSIONS: Final = "type.googleapis.com/envoy.extensions"
_HTTP_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_CERTIFICATES: Final = "/etc/ssl/certs/ca-certificates.crt"
DECISIONS: Final = "gateway_decisions"
_OF_ENVOY: Final = ("Original-Path", "Expected-Rq-Timeout-Ms", "Internal", "External-Address")
BUFFER_BYTES: Final = 1024 * 1024


class _Whole(yaml.SafeDumper):
    """Writes every value where it stands: no anchors, which readers of the file would have to follow."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def in_yaml(document: object) -> str:
    """Return a document as YAML that is read from top to bottom."""
    return yaml.dump(document, Dumper=_Whole, sort_keys=False, width=118, default_flow_style=False, allow_unicode=True)


def upstream_of(plan: Plan, server: Server) -> dict[str, Any]:
    # After the router, which needs the target. Hop-by-hop fields Envoy leaves to others, and the decision to Envoy.
    own = [TARGET, PEER, *(f"X-Envoy-{name}" for name in _OF_ENVOY)]
    hidden = [{"remove": name.lower()} for name in (*own, "Keep-Alive", "TE", "Trailer", "HTTP2-Settings")]
    mutations = {"request_mutations": [*hidden, {"remove_on_match": {"key_matcher": {"prefix": "proxy-"}}}]}
    options = {
        "common_http_protocol_options": {"idle_timeout": seconds_of(KEPT_SECONDS)},
        "explicit_http_config": {"http_protocol_options": {}},
        "http_filters": [
            named(
                "envoy.filters.http.header_mutation",
                "filters.http.header_mutation.v3.HeaderMutation",
                mutations=mutations,
            ),
            named("envoy.filters.http.upstream_codec", "filters.http.upstream_codec.v3.UpstreamCodec"),
        ],
    }
    return {
        "name": f"gateway_to_{server.name}",
        # Names are looked up again and again, both families, and the first address that answers counts.
        "type": "STATIC" if is_address(server.host) else "LOGICAL_DNS",
        "dns_lookup_family": "ALL",
        "connect_timeout": seconds_of(server.connect_seconds),
        "per_connection_buffer_limit_bytes": BUFFER_BYTES,
        "circuit_breakers": _breakers(plan),
        "typed_extension_protocol_options": {_HTTP_OPTIONS: typed("upstreams.http.v3.HttpProtocolOptions", **options)},
        "load_assignment": _assignment(f"gateway_to_{server.name}", [socket(server.host, server.port)]),
        **_verified(server),
    }


def _verified(server: Server) -> dict[str, Any]:
    if not server.is_https:
        return {}
    ca = str(Path(server.ca_file).absolute()) if server.ca_file else _CERTIFICATES
    context = {
        "sni": server.host,
        "auto_sni_san_validation": True,
        "common_tls_context": {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            "validation_context": {"trusted_ca": {"filename": ca}},
        },
    }
    socket = named("envoy.transport_sockets.tls", "transport_sockets.tls.v3.UpstreamTlsContext", **context)
    return {"transport_socket": socket}


def decisions_of(plan: Plan) -> dict[str, Any]:
    options = {
        "common_http_protocol_options": {"idle_timeout": seconds_of(KEPT_SECONDS)},
        "explicit_http_config": {"http_protocol_options": {}},
    }
    return {
        "name": DECISIONS,
        "type": "STATIC" if all(_is_static(one) for one in plan.decisions) else "STRICT_DNS",
        "dns_lookup_family": "V4_PREFERRED",
        "connect_timeout": seconds_of(CONNECT_SECONDS),
        # A service that was killed is left out after one failure; what was under way is asked again, of another.
        "outlier_detection": {
            "consecutive_local_origin_failure": 1,
            "split_external_local_origin_errors": True,
            "base_ejection_time": "1s",
            "interval": "1s",
            "max_ejection_percent": 99 if len(plan.decisions) > 1 else 0,
        },
        "circuit_breakers": _breakers(plan),
        "typed_extension_protocol_options": {_HTTP_OPTIONS: typed("upstreams.http.v3.HttpProtocolOptions", **options)},
        "load_assignment": _assignment(DECISIONS, [_address(one) for one in plan.decisions]),
    }


def _breakers(plan: Plan) -> dict[str, Any]:
    """Return as many of each as there may be clients: by default 1,024 streams are all, and three retries at a time."""
    most = plan.limits.connections
    names = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    return {"thresholds": [dict.fromkeys(names, most)]}


def _is_static(where: Where) -> bool:
    return isinstance(where, Path) or is_address(where.host)


def _address(where: Where) -> dict[str, Any]:
    return {"pipe": {"path": str(where)}} if isinstance(where, Path) else socket(where.host, where.port)


def socket(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _assignment(name: str, addresses: list[dict[str, Any]]) -> dict[str, Any]:
    endpoints = [{"endpoint": {"address": address}} for address in addresses]
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]}


def typed(kind: str, **settings: Any) -> dict[str, Any]:
    return {"@type": f"{EXTENSIONS}.{kind}", **settings}


def named(name: str, kind: str, **settings: Any) -> dict[str, Any]:
    return {"name": name, "typed_config": typed(kind, **settings)}


def seconds_of(value: float) -> str:
    """Return a duration as protobuf's JSON has it."""
    return seconds(value) if value == round(value) else f"{value:g}s"
