"""nginx: `auth_request`, with every status and body of a refusal, and the target that was judged sent byte for byte."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from gateway.engines.nginx_locations import ASKS, asking, kept, lines, passing, plain_answer, refusing, taken
from gateway.engines.objections import Objections
from gateway.engines.plan import (
    KEPT_SECONDS,
    TOO_SLOW,
    UNDECIDED,
    UNREACHABLE,
    Plan,
    Printed,
    Server,
    Where,
    body_limit,
    host_and_port,
    seconds,
)
from gateway.proxy.dialects import STATUS

LEAST: Final = "1.22"
_VARIABLE: Final = re.compile(r"[A-Za-z0-9_-]+")


def print_nginx(plan: Plan, objections: Objections) -> tuple[Printed, ...]:
    """Return `nginx.conf`."""
    for upstream in plan.config.upstreams:
        constants = {name for name, _ in upstream.constants}
        for name in upstream.own_names:
            if not _VARIABLE.fullmatch(name):
                where = ("headers", name) if name in constants else ("identity", "headers", name)
                objections.refuse(
                    ("upstreams", upstream.name, *where),
                    f"nginx has no variable for a field of the name {name}, expected letters, digits, '-' and '_'",
                )
    text = plan.comment("nginx", LEAST) + _main(plan)
    return (Printed("nginx.conf", text),)


def _main(plan: Plan) -> str:
    return f"""\
#
# A beginning of names in `strip_headers` (X-User-*) cannot be deleted here: a request that carries such a field is
# refused by the decision. Not to be had: "Expect: 100-continue" is answered before the decision, by nginx itself.

worker_processes auto;
events {{
    worker_connections {max(1024, min(4 * plan.limits.connections, 65536))};
}}
http {{
    server_tokens off;
    access_log off;
    default_type application/octet-stream;
    # A decision carries cookies and tokens: its head must fit.
    proxy_buffer_size 64k;
    proxy_buffers 4 64k;
    proxy_busy_buffers_size 128k;
    proxy_headers_hash_max_size 1024;
    proxy_headers_hash_bucket_size 128;
    variables_hash_max_size 2048;
    variables_hash_bucket_size 128;

    upstream gateway_decisions {{
{lines(f"server {_server_address(one)} max_fails=0;" for one in plan.decisions)}
        keepalive 64;
    }}
{"".join(_upstream(server) for server in plan.servers)}
{_maps(plan)}
    server {{
{_listen(plan)}
        keepalive_timeout 75s;
        client_header_timeout {seconds(plan.limits.header_timeout_seconds)};
        client_header_buffer_size 4k;
        large_client_header_buffers 4 {max(8, -(-plan.limits.header_bytes // 1024))}k;
        client_body_timeout {seconds(plan.limits.body_idle_timeout_seconds)};
        client_max_body_size {body_limit(plan.limits)};
        ignore_invalid_headers on;
        underscores_in_headers off;

{asking(plan)}
        location / {{
            auth_request {ASKS};
{taken(plan)}
            error_page 401 403 = @gateway_refused;
            error_page 500 502 503 504 = @gateway_undecided;
            # Never a file: the name of a location, from what the decision said.
            root /nonexistent;
            try_files /gateway-decided $gateway_next;
        }}
{"".join(passing(plan, server) for server in plan.servers)}
{refusing(plan)}
{plain_answer("undecided", 503, UNDECIDED, "Retry-After 5")}
{plain_answer("unreachable", 502, UNREACHABLE)}
{plain_answer("too_slow", 504, TOO_SLOW)}
    }}
}}
"""


def _server_address(where: Where) -> str:
    return f"unix:{where}" if isinstance(where, Path) else host_and_port(where.host, where.port)


def _upstream(server: Server) -> str:
    return f"""\
    upstream gateway_to_{server.name} {{
        server {server.where} max_fails=0;
        keepalive 64;
        keepalive_timeout {seconds(KEPT_SECONDS)};
    }}
"""


def _maps(plan: Plan) -> str:
    decided = [f'"~^/[^ ]* {re.escape(one.name)}$" @gateway_pass_{one.name};' for one in plan.servers]
    is_trusted = "\n".join(f"        {network} 1;" for network in plan.trusted)
    upgrade = '"~*^[ \\t]*websocket[ \\t]*$" websocket;' if plan.has_websocket else "# no route takes WebSockets"
    return f"""\
    geo $gateway_is_trusted {{
        default 0;
{is_trusted}
    }}
    # The scheme that a trusted proxy tells of, else that of the connection.
    map "$gateway_is_trusted $http_x_forwarded_proto" $gateway_scheme {{
        "~*^1 https$" https;
        "~*^1 http$" http;
        default $scheme;
    }}
    # What a client's Connection names is for the decision to judge; how long our connection lives is not.
    map $http_connection $gateway_connection {{
        "~*^[ \\t]*(close|keep-alive)?[ \\t]*$" "";
        default $http_connection;
    }}
    # nginx itself copies the challenge of a 401, and of nothing else.
    map {kept(STATUS)} $gateway_challenge {{
        default {kept("WWW-Authenticate")};
        401 "";
    }}
    # Any other protocol ends here, and the request is an ordinary one.
    map $http_upgrade $gateway_asked_upgrade {{
        default "";
        "~*^[ \\t]*websocket[ \\t]*$" $http_upgrade;
    }}
    map $http_upgrade $gateway_upgrade {{
        default "";
        {upgrade}
    }}
    map $gateway_upgrade $gateway_onward_connection {{
        default "";
        websocket upgrade;
    }}
    # Nothing passes that was not told where to, as what.
    map "$gateway_target $gateway_upstream" $gateway_next {{
        default @gateway_undecided;
{lines(decided)}
    }}"""


def _listen(plan: Plan) -> str:
    host = plan.listen.host
    where = host_and_port(host, plan.listen.port)
    tls = plan.tls
    said = [f"listen {where}{' ssl' if tls is not None else ''}{' ipv6only=off' if _is_any6(host) else ''};"]
    if tls is not None:
        said += [
            f"ssl_certificate {tls.certificate_file.absolute()};",
            f"ssl_certificate_key {tls.key_file.absolute()};",
            "ssl_protocols TLSv1.2 TLSv1.3;",
        ]
    return lines(said)


def _is_any6(host: str) -> bool:
    return ":" in host and ip_address(host).is_unspecified
