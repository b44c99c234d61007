"""Caddy: `forward_auth`, with every field that it keeps or adds by itself said or taken away."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from gateway.engines.objections import Objections, object_to_cors, object_to_query_tokens
from gateway.engines.plan import (
    CONNECT_SECONDS,
    DECISION_SECONDS,
    KEPT_SECONDS,
    UNREACHABLE,
    Plan,
    Printed,
    Server,
    Where,
    host_and_port,
    seconds,
)
from gateway.proxy.dialects import FORWARD, UPSTREAM

LEAST: Final = "2.11"
# What Connection may name: anything else would make Caddy drop a field that the decision set.
_PLAIN_CONNECTION: Final = r"(?i)^[ \t,]*((close|keep-alive|upgrade|te|http2-settings)[ \t,]*)*$"


def print_caddy(plan: Plan, objections: Objections) -> tuple[Printed, ...]:
    """Return `Caddyfile`."""
    object_to_cors(plan, objections, "Caddy")
    object_to_query_tokens(plan, objections, "Caddy")
    return (Printed("Caddyfile", plan.comment("Caddy", LEAST) + _caddyfile(plan)),)


def _caddyfile(plan: Plan) -> str:
    limits = plan.limits
    tls = plan.tls
    scheme = "http" if tls is None else "https"
    certificate = f"\ttls {tls.certificate_file.absolute()} {tls.key_file.absolute()}\n" if tls is not None else ""
    size = f"\t\trequest_body {{\n\t\t\tmax_size {limits.body_bytes}\n\t\t}}\n" if limits.body_bytes else ""
    return f"""\
#
# Not to be had: a path that is not in its canonical form is refused (Caddy cannot send on another); a refused upload of
# less than 256 KiB on a kept connection is answered after it has been read; "Expect: 100-continue" is answered before
# the decision, by Caddy itself.
{{
	admin off
	persist_config off
	auto_https off
	grace_period {seconds(plan.config.drain_timeout_seconds)}
	servers {{
		protocols h1 h2
		max_header_size {limits.header_bytes}
{_trusted(plan)}		timeouts {{
			read_header {seconds(limits.header_timeout_seconds)}
			idle 75s
		}}
	}}
}}

{scheme}://:{plan.listen.port} {{
	bind {plan.listen.host}
{certificate}	route {{
		@odd_connection {{
			header Connection *
			not header_regexp Connection `{_PLAIN_CONNECTION}`
		}}
		respond @odd_connection `{{"error":"Bad request","code":"request_malformed"}}` 400
{_upgrades(plan)}{size}{_lines(_stripped(plan))}
		forward_auth {" ".join(_asked(one) for one in plan.decisions)} {{
			uri {plan.asking_at(FORWARD)}?
{_lines((f"copy_headers {name}" for name in (*plan.told, UPSTREAM)), 3)}
			lb_policy round_robin
			lb_retries {2 if len(plan.decisions) > 1 else 0}
			fail_duration 1s
			transport http {{
				dial_timeout {seconds(CONNECT_SECONDS)}
				response_header_timeout {seconds(DECISION_SECONDS)}
				keepalive {seconds(KEPT_SECONDS)}
				compression off
				versions 1.1
			}}
		}}
{"".join(_passing(server) for server in plan.servers)}		respond 503
	}}
	handle_errors {{
		header Content-Type application/json
		header Cache-Control no-store
		respond `{UNREACHABLE}`
	}}
}}
"""


def _lines(lines: Iterable[str], tabs: int = 2) -> str:
    return "\n".join("\t" * tabs + line for line in lines)


def _trusted(plan: Plan) -> str:
    if not plan.trusted:
        return ""
    return f"\t\ttrusted_proxies static {' '.join(plan.trusted)}\n\t\ttrusted_proxies_strict\n"


def _upgrades(plan: Plan) -> str:
    if not plan.has_websocket:
        return "\t\trequest_header -Connection\n\t\trequest_header -Upgrade\n"
    return """\
		@websocket header_regexp Upgrade `(?i)^websocket$`
		@plain not header_regexp Upgrade `(?i)^websocket$`
		request_header @plain -Connection
		request_header @plain -Upgrade
		request_header @websocket Connection Upgrade
"""


def _stripped(plan: Plan) -> list[str]:
    """Return the lines that take away what neither the decision nor the upstream is to see."""
    # Of X-Forwarded-* some are for the decision; the others it refuses.
    beginnings = [f"{name}*" for name in plan.beginnings if not "x-forwarded-for".startswith(name.lower())]
    return [f"request_header -{name}" for name in (*plan.stripped, *beginnings)]


def _asked(where: Where) -> str:
    return f"unix/{where}" if isinstance(where, Path) else host_and_port(where.host, where.port)


def _passing(server: Server) -> str:
    tls = ""
    if server.is_https:
        trust = f"\n\t\t\t\ttls_trust_pool file {Path(server.ca_file).absolute()}" if server.ca_file else ""
        tls = f"\n\t\t\t\ttls\n\t\t\t\ttls_server_name {server.host}{trust}"
    return f"""\
		@to_{server.name} header {UPSTREAM} {server.name}
		reverse_proxy @to_{server.name} {server.where} {{
			flush_interval -1
			header_up Host {{http.request.hostport}}
			header_up -{UPSTREAM}
			header_up -X-Forwarded-Host
			header_up -Via
			# Caddy would add to these what the decision has said already.
			header_up X-Forwarded-For {{http.request.header.X-Forwarded-For}}
			header_up X-Forwarded-Proto {{http.request.header.X-Forwarded-Proto}}
			transport http {{
				dial_timeout {seconds(server.connect_seconds)}
				response_header_timeout {seconds(server.response_seconds)}
				read_timeout {seconds(max(server.idle_seconds, server.response_seconds))}
				keepalive {seconds(KEPT_SECONDS)}
				compression off
				versions 1.1{tls}
			}}
		}}
"""
