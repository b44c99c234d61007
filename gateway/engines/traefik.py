"""Traefik: `forwardAuth`, as a static file and a dynamic one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from gateway.engines.envoy_clusters import in_yaml
from gateway.engines.objections import (
    Objections,
    object_to_body_size,
    object_to_cors,
    object_to_query_tokens,
    object_to_several_upstreams,
)
from gateway.engines.plan import KEPT_SECONDS, Plan, Printed, Server, host_and_port, seconds
from gateway.proxy.dialects import FORWARD

LEAST: Final = "3.7.12"
_DYNAMIC: Final = "gateway-dynamic.yaml"


def print_traefik(plan: Plan, objections: Objections) -> tuple[Printed, ...]:
    """Return `traefik.yaml` and the dynamic file that it names."""
    object_to_cors(plan, objections, "Traefik")
    object_to_query_tokens(plan, objections, "Traefik")
    object_to_body_size(plan, objections, "Traefik")
    object_to_several_upstreams(plan, objections, "Traefik")
    if any(isinstance(one, Path) for one in plan.decisions):
        objections.refuse(
            ("decisions", "listen"),
            "Traefik asks over TCP only, expected host:port, such as 127.0.0.1:9191",
            "or name another place for Traefik alone: --decisions 127.0.0.1:9191",
        )
    if len(plan.decisions) > 1:
        objections.refuse(
            ("decisions",),
            "Traefik asks one address, expected one --decisions",
            "put the services behind one name of your network",
        )
    head = plan.comment("Traefik", LEAST)
    return (
        Printed("traefik.yaml", head + _NOTES + in_yaml(_static(plan))),
        Printed(_DYNAMIC, head + in_yaml(_dynamic(plan))),
    )


_NOTES: Final = """\
#
# Run it in the folder of both files: traefik --configFile=traefik.yaml
# Not to be had: Traefik resolves //, .. and their spellings by itself, before the decision, and sends that on; ; in a
# query becomes &; "Expect: 100-continue" is answered before the decision.
"""


def _static(plan: Plan) -> dict[str, Any]:
    limits = plan.limits
    point = {
        "address": f"{host_and_port(plan.listen.host, plan.listen.port)}/tcp",
        "forwardedHeaders": {
            "insecure": False,
            # The decision says the whole chain.
            "notAppendXForwardedFor": True,
            **({"trustedIPs": list(plan.trusted)} if plan.trusted else {}),
        },
        "transport": {
            "respondingTimeouts": {"readTimeout": "0s", "writeTimeout": "0s", "idleTimeout": "75s"},
            "lifeCycle": {"graceTimeOut": seconds(plan.config.drain_timeout_seconds)},
        },
        "http": {
            # X_Auth_Email and X.Auth.Email are X-Auth-Email to some servers.
            "aliasHeadersStrategy": "reject",
            "maxHeaderBytes": limits.header_bytes,
            "encodedCharacters": {
                "allowEncodedSlash": any(one.keeps_encoded_slash for one in plan.config.upstreams),
                "allowEncodedPercent": True,
                "allowEncodedQuestionMark": True,
                "allowEncodedHash": True,
                "allowEncodedSemicolon": True,
                "allowEncodedBackSlash": False,
                "allowEncodedNullCharacter": False,
            },
        },
    }
    return {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "entryPoints": {"public": point},
        "providers": {"file": {"filename": _DYNAMIC, "watch": False}},
    }


def _dynamic(plan: Plan) -> dict[str, Any]:
    server = plan.servers[0]
    routers = {"gateway": _router(plan, "PathPrefix(`/`)", "gateway-plain")}
    if plan.has_websocket:
        rule = "PathPrefix(`/`) && HeaderRegexp(`Upgrade`, `^(?i)websocket$`)"
        routers["gateway-websocket"] = _router(plan, rule)
    http = {
        "routers": routers,
        "middlewares": {
            # h2c and what else a client would like to speak.
            "gateway-plain": {"headers": {"customRequestHeaders": {"Connection": "", "Upgrade": ""}}},
            "gateway-before": {"headers": {"customRequestHeaders": _gone(plan)}},
            "gateway-decision": {"forwardAuth": _asking(plan)},
            "gateway-after": {"headers": {"customRequestHeaders": _gone(plan)}},
        },
        "services": {
            "gateway-upstream": {
                "loadBalancer": {
                    "servers": [{"url": f"{'https' if server.is_https else 'http'}://{server.where}"}],
                    "passHostHeader": True,
                    "responseForwarding": {"flushInterval": "-1ms"},
                    "serversTransport": "gateway-upstream",
                }
            }
        },
        "serversTransports": {"gateway-upstream": _transport(server)},
    }
    return {"http": http, **_tls(plan)}


def _router(plan: Plan, rule: str, *first: str) -> dict[str, Any]:
    return {
        "entryPoints": ["public"],
        "rule": rule,
        "middlewares": [*first, "gateway-before", "gateway-decision", "gateway-after"],
        "service": "gateway-upstream",
        **({"tls": {}} if plan.tls is not None else {}),
    }


def _asking(plan: Plan) -> dict[str, Any]:
    where = plan.decisions[0] if plan.decisions else None
    address = "" if where is None or isinstance(where, Path) else host_and_port(where.host, where.port)
    prefixes = [prefix.lower() for prefix in plan.beginnings]
    own = [prefix for prefix in prefixes if prefix != "x-forwarded-"]
    regex = {"authResponseHeadersRegex": f"(?i)^({'|'.join(own)})"} if own else {}
    return {
        "address": f"http://{address}{plan.asking_at(FORWARD)}",
        # Believed only as far as `trustedIPs` goes: the entry point takes away what others say.
        "trustForwardHeader": bool(plan.trusted),
        "authResponseHeaders": list(plan.told),
        **regex,
        "forwardBody": False,
        "preserveRequestMethod": False,
        "preserveLocationHeader": True,
        "maxResponseBodySize": 65536,
    }


def _gone(plan: Plan) -> dict[str, str]:
    return dict.fromkeys(plan.stripped, "")


def _transport(server: Server) -> dict[str, Any]:
    own: dict[str, Any] = {
        "disableHTTP2": True,
        "forwardingTimeouts": {
            "dialTimeout": seconds(server.connect_seconds),
            "responseHeaderTimeout": seconds(server.response_seconds),
            "idleConnTimeout": seconds(KEPT_SECONDS),
        },
    }
    if server.is_https:
        own["serverName"] = server.host
        if server.ca_file:
            own["rootCAs"] = [str(Path(server.ca_file).absolute())]
    return own


def _tls(plan: Plan) -> dict[str, Any]:
    if plan.tls is None:
        return {}
    files = {"certFile": str(plan.tls.certificate_file.absolute()), "keyFile": str(plan.tls.key_file.absolute())}
    return {
        "tls": {
            "certificates": [files],
            "stores": {"default": {"defaultCertificate": files}},
            "options": {"default": {"minVersion": "VersionTLS12"}},
        }
    }
