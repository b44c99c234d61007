"""Envoy: a bootstrap by which Envoy sends requests on, and asks us about each, over HTTP `ext_authz`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from gateway.engines.envoy_clusters import (
    BUFFER_BYTES,
    DECISIONS,
    EXTENSIONS,
    decisions_of,
    in_yaml,
    named,
    seconds_of,
    socket,
    upstream_of,
)  # fmt: skip
from gateway.engines.objections import Objections, object_to_body_size, object_to_query_tokens
from gateway.engines.plan import (
    CORS_NAMES,
    DECISION_SECONDS,
    TOO_SLOW,
    UNDECIDED,
    UNREACHABLE,
    Plan,
    Printed,
    Server,
)
from gateway.proxy.dialects import ENVOY, PEER, TARGET, UPSTREAM

LEAST: Final = "1.40"
_DOWNSTREAM: Final = "downstream_connections.v3"
_NOTES: Final = """\
#
# What keeps this safe, and must stay when it is changed:
#   use_remote_address, skip_xff_append, internal_address_config   a client's address is that of its connection
#   headers_with_underscores_action, path_with_escaped_slashes     one name, one spelling
#   allowed_headers .*, allowed_upstream_headers, clear_route_cache, path_rewrite: what was judged is what is sent
#   failure_mode_allow: false, timeout 6s                          no decision, no request
# Not to be had: "Expect: 100-continue" is answered before the decision, by Envoy itself; a query that the decision
# would send on in another form is refused.
"""
_PREVIOUS: Final = "envoy.retry_host_predicates.previous_hosts"


def print_envoy(plan: Plan, objections: Objections) -> tuple[Printed, ...]:
    """Return `envoy.yaml`, a whole bootstrap."""
    object_to_body_size(plan, objections, "Envoy")
    object_to_query_tokens(plan, objections, "Envoy")
    return (Printed("envoy.yaml", plan.comment("Envoy", LEAST) + _NOTES + in_yaml(_bootstrap(plan))),)


def _bootstrap(plan: Plan) -> dict[str, Any]:
    return {
        "static_resources": {
            "listeners": [_listener(plan)],
            "clusters": [decisions_of(plan), *(upstream_of(plan, server) for server in plan.servers)],
        },
        # Who fills Envoy's memory is turned away before it dies.
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": f"{EXTENSIONS}.resource_monitors.{_DOWNSTREAM}.DownstreamConnectionsConfig",
                        "max_active_downstream_connections": plan.limits.connections,
                    },
                }
            ]
        },
    }


def _listener(plan: Plan) -> dict[str, Any]:
    believed = [
        {"address_prefix": str(net.network_address), "prefix_len": net.prefixlen} for net in plan.config.trusted_proxies
    ]
    chains = [_chain(plan, is_trusted=False)]
    if believed:
        # Of these the scheme is believed that they tell of; of everybody else it is that of the connection.
        match = {"filter_chain_match": {"direct_source_prefix_ranges": believed}}
        chains.insert(0, match | _chain(plan, is_trusted=True))
    tls = {
        "listener_filters": [
            named("envoy.filters.listener.tls_inspector", "filters.listener.tls_inspector.v3.TlsInspector")
        ]
    }
    return {
        "name": "public",
        "address": socket(plan.listen.host, plan.listen.port),
        "per_connection_buffer_limit_bytes": BUFFER_BYTES,
        **(tls if plan.tls is not None else {}),
        "filter_chains": chains,
    }


def _chain(plan: Plan, *, is_trusted: bool) -> dict[str, Any]:
    chain: dict[str, Any] = {"name": "trusted_proxies" if is_trusted else "everybody"}
    if plan.tls is not None:
        common = {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_certificates": [
                {
                    "certificate_chain": {"filename": str(plan.tls.certificate_file.absolute())},
                    "private_key": {"filename": str(plan.tls.key_file.absolute())},
                }
            ],
        }
        context = {"common_tls_context": common}
        chain["transport_socket"] = named(
            "envoy.transport_sockets.tls", "transport_sockets.tls.v3.DownstreamTlsContext", **context
        )
    reads_http = named(
        "envoy.filters.network.http_connection_manager",
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        **_http(plan, is_trusted=is_trusted),
    )
    return chain | {"filters": [reads_http]}


def _http(plan: Plan, *, is_trusted: bool) -> dict[str, Any]:
    limits = plan.limits
    upgrades = {"upgrade_configs": [{"upgrade_type": "websocket"}]} if plan.has_websocket else {}
    return {
        "stat_prefix": "public",
        "codec_type": "AUTO",
        "use_remote_address": not is_trusted,
        "skip_xff_append": True,
        # Nobody is internal: no client's x-envoy-* counts.
        "internal_address_config": {"cidr_ranges": [{"address_prefix": "255.255.255.255", "prefix_len": 32}]},
        "generate_request_id": False,
        "normalize_path": False,
        "merge_slashes": False,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "server_header_transformation": "PASS_THROUGH",
        "common_http_protocol_options": {
            "headers_with_underscores_action": "REJECT_REQUEST",
            "idle_timeout": "75s",
            "max_headers_count": 256,
        },
        "http_protocol_options": {"accept_http_10": False},
        "http2_protocol_options": {
            "max_concurrent_streams": 100,
            "initial_stream_window_size": 65536,
            "initial_connection_window_size": BUFFER_BYTES,
        },
        "max_request_headers_kb": max(8, -(-limits.header_bytes // 1024)),
        "request_headers_timeout": seconds_of(limits.header_timeout_seconds),
        # Agents stream: no limit to the whole, and clocks of their own on each route.
        "stream_idle_timeout": seconds_of(max(server.idle_seconds for server in plan.servers)),
        "request_timeout": "0s",
        **upgrades,
        "local_reply_config": {
            "mappers": [_replaced(502, UNREACHABLE, "UF", "UH", "UC"), _replaced(504, TOO_SLOW, "UT")]
        },
        "http_filters": [_ext_authz(plan), _router()],
        "route_config": {"name": "decided", "virtual_hosts": [_host(plan)]},
    }


def _replaced(status: int, body: str, *flags: str) -> dict[str, Any]:
    """Return what the client gets in place of what Envoy says where an upstream gives no answer."""
    return {
        "filter": {"response_flag_filter": {"flags": list(flags)}},
        "status_code": status,
        "body": {"inline_string": body},
        "body_format_override": {
            "text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"},
            "content_type": "application/json",
        },
    }


def _ext_authz(plan: Plan) -> dict[str, Any]:
    told = [*plan.told, TARGET, UPSTREAM]
    on_success = [*CORS_NAMES, "Vary", "X-Request-Id"] if plan.owns_cors else ["X-Request-Id"]
    uri = {
        "uri": f"http://gateway.decisions{plan.asking_at(ENVOY)}",
        "cluster": DECISIONS,
        "timeout": seconds_of(DECISION_SECONDS),
    }
    return named(
        "envoy.filters.http.ext_authz",
        "filters.http.ext_authz.v3.ExtAuthz",
        transport_api_version="V3",
        failure_mode_allow=False,
        status_on_error={"code": "ServiceUnavailable"},
        validate_mutations=True,
        encode_raw_headers=True,
        clear_route_cache=True,
        allowed_headers={"patterns": [{"safe_regex": {"regex": ".*"}}]},
        http_service={
            "server_uri": uri,
            "path_prefix": plan.asking_at(ENVOY),
            "authorization_request": {
                "headers_to_add": [{"key": PEER, "value": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"}]
            },
            "authorization_response": {
                "allowed_upstream_headers": _exactly(told),
                "allowed_client_headers": {"patterns": [{"safe_regex": {"regex": ".*"}}]},
                "allowed_client_headers_on_success": _exactly(on_success),
            },
            "retry_policy": {
                "retry_on": "connect-failure,reset,refused-stream",
                "num_retries": 2,
                # Of another one: chance alone would choose the dead one again.
                "retry_host_predicate": [named(_PREVIOUS, "retry.host.previous_hosts.v3.PreviousHostsPredicate")],
                "host_selection_retry_max_attempts": 5,
            },
        },
    )


def _exactly(names: Iterable[str]) -> dict[str, Any]:
    return {"patterns": [{"exact": name.lower(), "ignore_case": True} for name in names]}


def _router() -> dict[str, Any]:
    return named("envoy.filters.http.router", "filters.http.router.v3.Router", suppress_envoy_headers=True)


def _host(plan: Plan) -> dict[str, Any]:
    routes = [_route(plan, server) for server in plan.servers]
    # Before the decision every request is this one; after it nobody is, or nobody passes.
    undecided = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 503, "body": {"inline_string": UNDECIDED}},
    }
    hidden = ["x-envoy-upstream-service-time", *(CORS_NAMES if plan.owns_cors else ())]
    return {"name": "all", "domains": ["*"], "response_headers_to_remove": hidden, "routes": [*routes, undecided]}


def _route(plan: Plan, server: Server) -> dict[str, Any]:
    return {
        "match": {
            "prefix": "/",
            "headers": [{"name": UPSTREAM.lower(), "string_match": {"exact": server.name}}],
        },
        "request_headers_to_remove": [UPSTREAM.lower()],
        "route": {
            "cluster": f"gateway_to_{server.name}",
            "path_rewrite": f"%REQ({TARGET.lower()})%",
            "timeout": "0s",
            "idle_timeout": seconds_of(max(server.idle_seconds, server.response_seconds)),
        },
    }
