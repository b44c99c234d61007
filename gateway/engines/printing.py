"""One engine's whole configuration, or every reason why it cannot have one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from gateway.engines.caddy import print_caddy
from gateway.engines.envoy import print_envoy
from gateway.engines.envoy_gateway import print_envoy_gateway
from gateway.engines.haproxy import print_haproxy
from gateway.engines.nginx import print_nginx
from gateway.engines.objections import Objections, object_to_common
from gateway.engines.plan import Plan, Printed
from gateway.engines.traefik import print_traefik

Printer = Callable[[Plan, Objections], tuple[Printed, ...]]
PRINTERS: Final[Mapping[str, Printer]] = {
    "nginx": print_nginx,
    "envoy": print_envoy,
    "haproxy": print_haproxy,
    "caddy": print_caddy,
    "traefik": print_traefik,
}
# Objects of Kubernetes that stand for a configuration of Envoy.
CRDS: Final[Mapping[str, Printer]] = {"envoy-gateway": print_envoy_gateway}


def print_engine(engine: str, plan: Plan, objections: Objections) -> tuple[Printed, ...]:
    """Return the files of an engine's configuration (or of one of `CRDS`), which count if nothing was objected to."""
    if plan.config.decisions is None:
        objections.refuse(
            ("decisions",),
            "'decisions' is missing, expected where the engine asks",
            "decisions: {listen: unix:/run/gateway/decide.sock}",
        )
    object_to_common(plan, objections)
    printer = PRINTERS.get(engine) or CRDS[engine]
    return printer(plan, objections)
