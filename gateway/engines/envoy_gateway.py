"""Envoy Gateway: a SecurityPolicy, for clusters whose Envoy is configured by Kubernetes' objects.

It is weaker than the bootstrap of `envoy`: Envoy Gateway sends only the fields that are listed by whole names, does not
say who is connected, and sends the path on as it came. What rests on these is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from gateway.engines.envoy_clusters import in_yaml
from gateway.engines.objections import (
    Objections,
    object_to_body_size,
    object_to_query_tokens,
    object_to_several_upstreams,
)
from gateway.engines.plan import DECISION_SECONDS, Plan, Printed, is_address, seconds
from gateway.policy.routes import Route
from gateway.policy.rules import AddressIn, Rule, When, rules_within
from gateway.proxy.dialects import ENVOY, PEER

LEAST: Final = "1.5"
_ENGINE: Final = "Envoy Gateway"
_IP: Final = "request.ip"
# What is decided by, besides credentials and what rules name.
_READ: Final = (
    "Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers", "Connection", "Upgrade",
    "Sec-WebSocket-Key", "X-Forwarded-Proto",
)  # fmt: skip
_NAMED_FIELD: Final = re.compile(r"""request\.headers\[\s*["']([^"']+)["']|["']([^"']+)["']\s+in\s+request\.headers""")
_NOTES: Final = """\
#
# For the HTTPRoute `mastra` in the same namespace: change the name. Only what stands in headersToExtAuth is judged by;
# a field that begins as X-Forwarded- or Proxy- and is none of those that proxies send goes on unseen, and the path goes
# on as it came. Take `identity: {authorization: sign}`.
"""


def print_envoy_gateway(plan: Plan, objections: Objections) -> tuple[Printed, ...]:
    """Return `securitypolicy.yaml`."""
    object_to_body_size(plan, objections, _ENGINE)
    object_to_query_tokens(plan, objections, _ENGINE)
    object_to_several_upstreams(plan, objections, _ENGINE)
    _object_to_unseen(plan, objections)
    _object_to_service(plan, objections)
    text = plan.comment(_ENGINE, LEAST) + _NOTES + in_yaml(_policy(plan))
    return (Printed("securitypolicy.yaml", text),)


def _object_to_unseen(plan: Plan, objections: Objections) -> None:
    config = plan.config
    if plan.owns_cors:
        why = f"{_ENGINE} does not put what a decision says on the responses of allowed requests"
        objections.refuse(("cors",), why, "say it as 'cors' of a SecurityPolicy, or print the bootstrap for Envoy")
    if config.trusted_proxies:
        why = f"{_ENGINE} does not say who is connected, so nobody can be believed"
        objections.refuse(("trusted_proxies",), why, "take it away, or print the bootstrap for Envoy")
    for number, name in enumerate(config.strip_headers):
        if name.endswith("*"):
            why = f"{_ENGINE} sends fields by whole names: one that begins as {name} would go on unseen"
            objections.refuse(("strip_headers", number), why, "name each, or print the bootstrap for Envoy")
    for route in config.policy.routes:
        if any(_asks_address(one) for one in _all(route)):
            why = f"a rule asks for the client's address, and {_ENGINE} does not say who is connected"
            objections.refuse(("routes", route.key), why, "take that condition away, or print the bootstrap for Envoy")


def _object_to_service(plan: Plan, objections: Objections) -> None:
    for where in plan.decisions:
        if isinstance(where, Path) or is_address(where.host) or where.host == "localhost":
            objections.refuse(
                ("decisions", "listen"),
                "a SecurityPolicy names a Service of the cluster, expected its name and port",
                "say --decisions gateway:9191, or gateway.NAMESPACE:9191",
            )


def _asks_address(rule: Rule) -> bool:
    return isinstance(rule, AddressIn) or (isinstance(rule, When) and _IP in rule.expression.names)


def _all(route: Route) -> Iterator[Rule]:
    for rule in (*route.allow, *route.deny):
        yield from rules_within(rule)


def _policy(plan: Plan) -> dict[str, Any]:
    return {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "SecurityPolicy",
        "metadata": {"name": "gateway-decisions"},
        "spec": {
            "targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "mastra"}],
            "extAuth": {
                "failOpen": False,
                "timeout": seconds(DECISION_SECONDS),
                "headersToExtAuth": _sent(plan),
                "http": {
                    "backendRefs": [_service(plan)],
                    "path": plan.asking_at(ENVOY),
                    "headersToBackend": [name.lower() for name in plan.told],
                },
            },
        },
    }


def _sent(plan: Plan) -> list[str]:
    texts = (one.expression.text for route in plan.config.policy.routes for one in _all(route) if isinstance(one, When))
    named = (found[1] or found[2] for text in texts for found in _NAMED_FIELD.finditer(text))
    names = dict.fromkeys(name.lower() for name in (*plan.told, *plan.stripped, *_READ, *named))
    # Nobody but Envoy may say who is connected, and here it does not: the client is unknown.
    return [name for name in names if name != PEER.lower()]


def _service(plan: Plan) -> dict[str, Any]:
    where = plan.decisions[0] if plan.decisions else None
    if where is None or isinstance(where, Path):
        return {}
    name, _, rest = where.host.partition(".")
    namespace = {"namespace": rest.partition(".")[0]} if rest else {}
    return {"name": name, **namespace, "port": where.port}
