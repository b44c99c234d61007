"""What an engine cannot do: at which key of the file, why, and the way out. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from gateway.engines.plan import Plan

_PLAIN_PATH: Final = re.compile(r"[\w./@:+,=~-]+", re.ASCII)
Key = str | int


class Objections(Protocol):
    """Where a printer says what its engine cannot do: at which key of the file, why, and what to do."""

    def refuse(self, keys: Sequence[Key], message: str, note: str = "") -> None: ...

    def has(self, keys: Sequence[Key]) -> bool: ...


def object_to_common(plan: Plan, objections: Objections) -> None:
    """Refuse what no engine can be told."""
    config = plan.config
    wanted = "expected letters, digits and . _ - / alone (engines have quotes and variables of their own)"
    files: list[tuple[tuple[Key, ...], str]] = []
    if config.decisions is not None and isinstance(config.decisions.listen, Path):
        files.append((("decisions", "listen"), str(config.decisions.listen)))
    if config.tls is not None:
        files.append((("tls", "certificate_file"), str(config.tls.certificate_file)))
        files.append((("tls", "key_file"), str(config.tls.key_file)))
    files += [(("upstreams", one.name, "ca_file"), one.ca_file) for one in plan.servers if one.ca_file is not None]
    for keys, path in files:
        if _PLAIN_PATH.fullmatch(path) is None:
            objections.refuse(keys, f"found a path with a character that engines read in their own way, {wanted}")
    if config.policy.login is not None:
        why = "an engine would send the gateway's own answers to the upstream, and gives a browser no cookie with a yes"
        objections.refuse(("login",), why, "let the gateway be the proxy for whatever people open with a browser")
    for route in config.policy.routes:
        if route.resource is not None:
            why = (
                f"the gateway itself answers {route.resource.metadata_path}, which an engine would send to the upstream"
            )
            objections.refuse(("routes", route.key, "mcp"), why, "let the gateway be the proxy for this server")
    for budget in config.budgets:
        used = any(budget in route.budgets for route in config.policy.routes)
        if budget.streams is not None and used:
            why = "no engine says when a stream has ended, so its places would never come back"
            do = "let the gateway be the proxy there, or count 'requests' alone, which engines ask about as ever"
            objections.refuse(("budgets", budget.name, "streams"), why, do)
    for key in (("streams",), *(("routes", route.key, "streams") for route in config.policy.routes)):
        if objections.has(key):
            why = "an engine ends no stream with its token, nor says anything into its silence"
            objections.refuse(key, why, "take 'streams' away, or let the gateway be the proxy where streams are to end")
    parted = {route.upstream.name for route in config.policy.routes if route.own_things is not None}
    for upstream in config.upstreams:
        if upstream.name in parted:
            why = "an engine sends a body as it came, so nobody would keep callers to what is their own there"
            objections.refuse(("upstreams", upstream.name, "own"), why, "let the gateway be the proxy for this server")
        if upstream.studio is not None:
            why = "the gateway itself answers what Studio asks about people, which an engine would send to the upstream"
            objections.refuse(("upstreams", upstream.name, "studio"), why, "let the gateway be the proxy for Studio")


def object_to_body_size(plan: Plan, objections: Objections, engine: str) -> None:
    """Refuse a limit of bodies that an engine could only keep by holding the whole body back."""
    if plan.limits.body_bytes is not None:
        objections.refuse(
            ("limits", "body_size"),
            f"{engine} could only end a body that grows too large by holding all of it back: uploads would not stream",
            "take the line away, or print for nginx or Caddy, or let the gateway be the proxy",
        )


def object_to_query_tokens(plan: Plan, objections: Objections, engine: str) -> None:
    """Refuse tokens in the query for an engine that cannot take them out of it."""
    for provider in plan.config.providers:
        if any(source.place == "query" for source in provider.token_sources):
            objections.refuse(
                ("providers", provider.name, "token_from"),
                f"{engine} cannot take the token out of the query, so every request with one would be refused",
                "take {query: ...} away, or print for nginx or HAProxy, which send on what the decision says",
            )


def object_to_cors(plan: Plan, objections: Objections, engine: str) -> None:
    """Refuse CORS of ours for an engine that takes each 2xx of the decision for leave to go on."""
    if plan.owns_cors:
        objections.refuse(
            ("cors",),
            f"{engine} cannot let a decision answer a preflight: every 2xx means that the request goes on",
            f"take 'cors' away and say it in {engine} in front of what is printed; nginx, HAProxy and Envoy can",
        )


def object_to_several_upstreams(plan: Plan, objections: Objections, engine: str) -> None:
    """Refuse a second upstream for an engine whose routes are chosen before the decision."""
    for server in plan.servers[1:]:
        objections.refuse(
            ("upstreams", server.name),
            f"{engine} chooses the upstream before the decision, by a reading of its own: expected one upstream",
            "print for nginx, HAProxy, Envoy or Caddy, which go where the decision says, or give each its own file",
        )
