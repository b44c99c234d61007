"""The operations of a server, by its OpenAPI document, and which route of the file takes each. Pure.

What a document says is believed for nothing but this list: no decision depends on it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import yaml

from gateway.config.describe import who_may_pass
from gateway.policy.denied import Denied
from gateway.policy.paths import split_target
from gateway.policy.routes import Capture, Policy, Route, with_head
from gateway.policy.rules import Authenticated, Named, Rule

Mark = Literal["uncovered", "open write"]

# OpenAPI 3.1 section 4.8.9.1; TRACE is refused on every route.
_METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch")
_WRITES: Final = frozenset({"PUT", "POST", "DELETE", "PATCH"})
_PARAMETER: Final = re.compile(r"\{[^{}/]*\}")
# What a parameter stands for while its route is looked for: nobody gives a literal of a route that name.
_ANY_VALUE: Final = "any-value"


class NotADocumentError(Exception):
    """What was read is no OpenAPI document. The message says what was found and expected."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path; `path` has its parameters in braces."""

    method: str
    path: str


@dataclass(frozen=True, slots=True)
class Covered:
    """An operation, the route that takes it, and who may pass; `route` None: no route does, `who` says why.

    `also` are routes that take it for some values of its parameters. `mark` is what deserves a look.
    """

    operation: Operation
    route: Route | None
    who: str
    also: tuple[str, ...]
    mark: Mark | None


@dataclass(frozen=True, slots=True)
class Survey:
    """Every operation with its route, and the keys of the routes that no operation meets."""

    operations: tuple[Covered, ...]
    unmet: tuple[str, ...]

    @property
    def marks(self) -> int:
        """How much deserves a look."""
        return sum(one.mark is not None for one in self.operations) + len(self.unmet)


def read_operations(document: bytes) -> tuple[Operation, ...]:
    """Return the operations of an OpenAPI 3 document in JSON or YAML. Raises `NotADocumentError`.

    The path of the first server stands before each (OpenAPI 3.1 section 4.8.5).
    """
    try:
        text = document.decode("utf-8")
        found = json.loads(text) if text.lstrip().startswith("{") else yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("paths"), dict):
        raise NotADocumentError(f"found {len(document)} bytes without 'paths', expected an OpenAPI document")
    base = _base_path(found.get("servers"))
    return tuple(
        Operation(method.upper(), base + path)
        for path, item in found["paths"].items()
        if isinstance(path, str) and path.startswith("/") and isinstance(item, dict)
        for method in _METHODS
        if isinstance(item.get(method), dict)
    )


def survey(policy: Policy, operations: Iterable[Operation]) -> Survey:
    """Return which route takes each operation, in their order, and which routes none of them meets."""
    met: set[str] = set()
    rows = []
    for operation in operations:
        segments = tuple(operation.path.split("/")[1:])
        candidates = [route for route in policy.routes if _may_take(route, operation.method, segments)]
        met.update(route.key for route in candidates)
        rows.append(_covered(policy, operation, candidates))
    unmet = [route.key for route in policy.routes if route.key not in met and route.document is None]
    return Survey(tuple(rows), tuple(unmet))


def _covered(policy: Policy, operation: Operation, candidates: Sequence[Route]) -> Covered:
    try:
        path, _ = split_target(_PARAMETER.sub(_ANY_VALUE, operation.path))
        route = policy.match(path, operation.method).route
    except Denied as no:
        also = tuple(one.key for one in candidates)
        return Covered(operation, None, f"nobody: {no.reason.status} {no.reason.code}", also, "uncovered")
    also = tuple(one.key for one in candidates if one is not route and len(one.segments) > len(route.segments))
    is_open = operation.method in _WRITES and (route.public or (any(map(_is_anybodys, route.allow)) and not route.deny))
    return Covered(operation, route, who_may_pass(route), also, "open write" if is_open else None)


def _may_take(route: Route, method: str, segments: Sequence[str]) -> bool:
    """Return whether a route takes an operation for some values of its parameters."""
    if route.methods is not None and method not in with_head(route.methods):
        return False
    if len(segments) < len(route.segments) or (route.exact and len(segments) > len(route.segments)):
        return False
    return all(
        isinstance(own, Capture) or own == asked or _PARAMETER.search(asked) is not None
        for own, asked in zip(route.segments, segments, strict=False)
    )


def _is_anybodys(rule: Rule) -> bool:
    return _is_anybodys(rule.rule) if isinstance(rule, Named) else isinstance(rule, Authenticated)


def _base_path(servers: Any) -> str:
    first = servers[0] if isinstance(servers, list) and servers else None
    url = first.get("url") if isinstance(first, Mapping) else None
    if not isinstance(url, str):
        return ""
    try:
        return urlsplit(url).path.rstrip("/")
    except ValueError:
        return ""
