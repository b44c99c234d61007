"""The locations of nginx: the one that asks, those that pass a request on, and those that answer by themselves."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from gateway.engines.plan import CONNECT_SECONDS, CORS_NAMES, DECISION_SECONDS, Plan, Server, seconds
from gateway.proxy.dialects import BODY, NGINX, STATUS, TARGET, UPSTREAM

ASKS: Final = "/.well-known/gateway-decision"  # `internal`: who asks for it from outside gets a 404
_CERTIFICATES: Final = "/etc/ssl/certs/ca-certificates.crt"
# What a refusal says besides its status and body. WWW-Authenticate: nginx copies it for a 401, and only for that.
_OF_REFUSALS: Final = ("WWW-Authenticate", "Allow", "Retry-After", "Cache-Control", "X-Request-Id")
_STATUSES: Final = (204, 400, 401, 404, 405, 414, 429, 431, 503)
# Words by which an upstream would steer nginx itself.
_STEERING: Final = "X-Accel-Redirect X-Accel-Expires X-Accel-Limit-Rate X-Accel-Buffering X-Accel-Charset"


def lines(lines: Iterable[str], indent: int = 8) -> str:
    return "\n".join(" " * indent + line for line in lines)


def _variable(name: str) -> str:
    return name.lower().replace("-", "_")


def _gone(names: Iterable[str]) -> list[str]:
    return [f'proxy_set_header {name} "";' for name in names]


def asking(plan: Plan) -> str:
    return f"""\
        location = {ASKS} {{
            internal;
            proxy_pass http://gateway_decisions{plan.asking_at(NGINX)};
            proxy_http_version 1.1;
            proxy_pass_request_body off;
            proxy_buffering off;
            proxy_connect_timeout {seconds(CONNECT_SECONDS)};
            proxy_send_timeout {seconds(DECISION_SECONDS)};
            proxy_read_timeout {seconds(DECISION_SECONDS)};
            proxy_next_upstream error timeout;
            proxy_next_upstream_timeout {seconds(DECISION_SECONDS)};
            proxy_set_header Content-Length "";
            proxy_set_header Host $http_host;
            proxy_set_header Connection $gateway_connection;
            proxy_set_header Upgrade $gateway_asked_upgrade;
            proxy_set_header X-Original-Method $request_method;
            proxy_set_header X-Original-URI $request_uri;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $gateway_scheme;
        }}"""


def taken(plan: Plan) -> str:
    """Return the lines that keep what the decision said."""
    names = [TARGET, UPSTREAM, STATUS, BODY, *_OF_REFUSALS, *plan.told]
    if plan.owns_cors:
        names += [*CORS_NAMES, "Vary"]
    by_name = {name.lower(): name for name in reversed(names)}
    said = (f"auth_request_set {kept(name)} $upstream_http_{_variable(name)};" for name in by_name.values())
    return lines(said, 12)


def kept(name: str) -> str:
    return {TARGET: "$gateway_target", UPSTREAM: "$gateway_upstream"}.get(name, f"$gateway_said_{_variable(name)}")


def passing(plan: Plan, server: Server) -> str:
    told = [f"proxy_set_header {name} {kept(name)};" for name in plan.told]
    gone = _gone(plan.stripped)
    return f"""\

        location @gateway_pass_{server.name} {{
            proxy_pass {"https" if server.is_https else "http"}://gateway_to_{server.name}$gateway_target;
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_buffering off;
            proxy_ignore_headers {_STEERING};
            proxy_connect_timeout {seconds(server.connect_seconds)};
            # nginx has one clock for the head of a response and for each of its chunks.
            proxy_read_timeout {seconds(max(server.response_seconds, server.idle_seconds))};
            proxy_send_timeout {seconds(plan.limits.body_idle_timeout_seconds)};
            error_page 502 = @gateway_unreachable;
            error_page 504 = @gateway_too_slow;
{_verified(server)}            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $gateway_upgrade;
            proxy_set_header Connection $gateway_onward_connection;
{lines(told, 12)}
{lines(gone, 12)}
{lines(_said_on_responses(plan), 12)}
        }}
"""


def _verified(server: Server) -> str:
    if not server.is_https:
        return ""
    checks = [
        "proxy_ssl_verify on;",
        "proxy_ssl_verify_depth 5;",
        f"proxy_ssl_trusted_certificate {Path(server.ca_file).absolute() if server.ca_file else _CERTIFICATES};",
        "proxy_ssl_server_name on;",
        f"proxy_ssl_name {server.host};",
        "proxy_ssl_protocols TLSv1.2 TLSv1.3;",
    ]
    return lines(checks, 12) + "\n"


def _said_on_responses(plan: Plan) -> list[str]:
    names = ["X-Request-Id", *(CORS_NAMES if plan.owns_cors else ())]
    said = [f"proxy_hide_header {name};" for name in names]
    said += [f"add_header {name} {kept(name)} always;" for name in names]
    return [*said, f"add_header Vary {kept('Vary')} always;"] if plan.owns_cors else said


def refusing(plan: Plan) -> str:
    names = [*_OF_REFUSALS[1:], *((*CORS_NAMES, "Vary") if plan.owns_cors else ())]
    said = [f"add_header {name} {kept(name)} always;" for name in names]
    body = kept(BODY)
    statuses = [
        f"if ({kept(STATUS)} = {status}) {{ return {status}{'' if status == 204 else f' {body}'}; }}"
        for status in _STATUSES
    ]
    return f"""\

        # What nginx knows is 401 and 403; what the decision said lives on in its variables.
        location @gateway_refused {{
            types {{ }}
            default_type application/json;
{lines(said, 12)}
            add_header WWW-Authenticate $gateway_challenge always;
{lines(statuses, 12)}
            return 403 {body};
        }}
"""


def plain_answer(name: str, status: int, body: str, *fields: str) -> str:
    said = ["Cache-Control no-store", "X-Request-Id $request_id", *fields]
    return f"""\
        location @gateway_{name} {{
            types {{ }}
            default_type application/json;
{lines((f"add_header {one} always;" for one in said), 12)}
            return {status} '{body}';
        }}"""
