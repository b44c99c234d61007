"""HAProxy: a Lua file of ours asks for the decision, sets the target and the fields, and answers with each refusal."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from gateway.engines.haproxy_lua import lua
from gateway.engines.objections import Objections, object_to_body_size
from gateway.engines.plan import (
    CORS_NAMES,
    KEPT_SECONDS,
    TOO_SLOW,
    UNDECIDED,
    UNREACHABLE,
    Plan,
    Printed,
    Server,
    host_and_port,
    is_address,
)

LEAST: Final = "2.6"
_LUA: Final = "gateway.lua"
_CERTIFICATES: Final = "/etc/ssl/certs/ca-certificates.crt"
_MALFORMED: Final = '{"error":"Bad request","code":"request_malformed"}'
_ALLOWED: Final = "{ var(txn.gateway_allowed) -m str yes }"


def print_haproxy(plan: Plan, objections: Objections) -> tuple[Printed, ...]:
    """Return `haproxy.cfg` and the Lua file beside it."""
    object_to_body_size(plan, objections, "HAProxy")
    tls = plan.tls
    if tls is not None and tls.key_file not in (tls.certificate_file, Path(f"{tls.certificate_file}.key")):
        objections.refuse(
            ("tls", "key_file"),
            f"HAProxy {LEAST} reads a key from the certificate's own file, or from one of the same name and .key",
            f"name it {tls.certificate_file}.key, or put both into one file",
        )
    return (
        Printed("haproxy.cfg", plan.comment("HAProxy", LEAST) + _cfg(plan)),
        Printed(_LUA, plan.comment("HAProxy", LEAST, "--") + lua(plan)),
    )


def _cfg(plan: Plan) -> str:
    limits = plan.limits
    longest = max(max(one.response_seconds, one.idle_seconds) for one in plan.servers)
    return f"""\
#
# Run it in the folder of {_LUA}, or say -C FOLDER. Not to be had: trailers of a request that no field Trailer
# announces pass (HAProxy has no switch for them; Node keeps them apart from fields), and "Expect: 100-continue" is
# answered before the decision.

global
    lua-load {_LUA}
    # A head has to fit twice: as it came, and as it goes on.
    tune.bufsize {max(32768, 2 * limits.header_bytes)}
    tune.maxrewrite {max(16384, limits.header_bytes // 2)}
    tune.http.maxhdr 256

defaults
    mode http
    log global
    option dontlognull
    # Without these the first chunk of a stream waits 0.2 s, and a client that leaves goes unnoticed.
    option http-no-delay
    option abortonclose
    timeout http-request {_ms(limits.header_timeout_seconds)}
    timeout http-keep-alive 75s
    timeout client {_ms(limits.body_idle_timeout_seconds)}
    timeout client-fin 10s
    timeout connect {_ms(max(one.connect_seconds for one in plan.servers))}
    timeout server {_ms(longest)}
    timeout tunnel {_ms(max(one.idle_seconds for one in plan.servers))}
    timeout queue 5s
    retries 1
    http-reuse safe
    # Node closes idle connections after 5 s.
    default-server pool-purge-delay {_ms(KEPT_SECONDS)}

resolvers gateway_dns
    parse-resolv-conf

frontend public
    bind {_bind(plan)}
    maxconn {limits.connections}
{_own_answers()}
{_lines(_before(plan))}
    http-request lua.gateway_decide
    http-request {_answer(503, UNDECIDED)} hdr Retry-After 5 unless {_ALLOWED}
{_lines(_said_on_responses(plan))}
    use_backend gateway_to_%[var(txn.gateway_upstream)] if {_ALLOWED}

{"".join(_backend(server) for server in plan.servers)}"""


def _lines(lines: Iterable[str], indent: int = 4) -> str:
    return "\n".join(" " * indent + line for line in lines)


def _answer(status: int, body: str) -> str:
    return f"return status {status} content-type application/json string '{body}' hdr Cache-Control no-store"


def _own_answers() -> str:
    """Return what HAProxy says by itself where it reaches nobody."""
    answers = {502: UNREACHABLE, 503: UNREACHABLE, 504: TOO_SLOW}
    return _lines(
        f"http-error status {status} content-type application/json string '{body}' hdr Cache-Control no-store"
        for status, body in answers.items()
    )


def _bind(plan: Plan) -> str:
    where = host_and_port(plan.listen.host, plan.listen.port)
    tls = plan.tls
    if tls is None:
        return where
    return f"{where} ssl crt {tls.certificate_file.absolute()} alpn h2,http/1.1 ssl-min-ver TLSv1.2"


def _before(plan: Plan) -> list[str]:
    bad = f"http-request {_answer(400, _MALFORMED)}"
    believed = "{ src " + " ".join(plan.trusted) + " } { req.hdr(x-forwarded-proto) -m str -i http https }"
    lines = [
        f"{bad} unless {{ req.hdr_cnt(host) eq 1 }}",
        f"{bad} if HTTP_1.0 {{ req.hdr_cnt(transfer-encoding) gt 0 }}",
        # What is announced can be refused; see above for what is not.
        f"{bad} if {{ req.hdr_cnt(trailer) gt 0 }}",
        "http-request set-var(txn.gateway_scheme) str(http)",
        "http-request set-var(txn.gateway_scheme) str(https) if { ssl_fc }",
    ]
    if plan.trusted:
        lines.append(f"http-request set-var(txn.gateway_scheme) req.hdr(x-forwarded-proto),lower if {believed}")
    return lines


def _said_on_responses(plan: Plan) -> list[str]:
    names = ["X-Request-Id", *((*CORS_NAMES, "Vary") if plan.owns_cors else ())]
    lines = []
    for name in names:
        variable = f"txn.gateway_{_variable(name)}"
        verb = "add-header" if name == "Vary" else "set-header"
        if name != "Vary":
            lines.append(f"http-response del-header {name}")
        lines.append(f"http-response {verb} {name} %[var({variable})] if {{ var({variable}) -m found }}")
    return lines


def _variable(name: str) -> str:
    return name.lower().replace("-", "_")


def _backend(server: Server) -> str:
    tls = ""
    if server.is_https:
        ca = Path(server.ca_file).absolute() if server.ca_file else _CERTIFICATES
        tls = f" ssl verify required ca-file {ca} sni str({server.host}) verifyhost {server.host} ssl-min-ver TLSv1.2"
    resolved = "" if is_address(server.host) else " resolvers gateway_dns init-addr last,libc,none"
    return f"""\
backend gateway_to_{server.name}
    timeout connect {_ms(server.connect_seconds)}
    timeout server {_ms(max(server.response_seconds, server.idle_seconds))}
    timeout tunnel {_ms(server.idle_seconds)}
    server {server.name} {server.where}{tls}{resolved}

"""


def _ms(value: float) -> str:
    return f"{max(1, round(value * 1000))}ms"
