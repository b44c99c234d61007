"""What upstreams are told in headers: facts about the caller, and constants, which only the gateway can say."""

from __future__ import annotations

import re
from typing import Any, Generic, TypeVar

from gateway.config.addresses import HEADER_NAME
from gateway.config.claim_names import check_claim_name
from gateway.config.document import CONSTANT, Entry, Fields, Node, Text, kind_of
from gateway.config.readers import Mistake, Scalar, Schema
from gateway.config.reading import Reading, Unreadable, nearest
from gateway.policy.fields import HOP_BY_HOP, Names, fold, is_free
from gateway.policy.upstreams import FACTS, Fact
from gateway.policy.words import listed

_HOP_BY_HOP = Names(HOP_BY_HOP)
_VISIBLE = re.compile(r"[\x21-\x7e]+(?: +[\x21-\x7e]+)*")
_MAX_CONSTANT = 8192
_VARIABLE = r"\$\{"
_CONSTANT_EXPECTED = f"{CONSTANT}VALUE, such as {CONSTANT}${{UPSTREAM_KEY}}"
T = TypeVar("T")


def _fact_of(written: str) -> Fact:
    if written.startswith("claim:"):
        return Fact(check_claim_name(written.removeprefix("claim:")), is_claim=True)
    if written not in FACTS:
        raise Mistake(nearest(written, FACTS).strip())
    return Fact(written)


class _Headers(Generic[T]):
    """A mapping from header names to what stands in each."""

    example = "X-Auth-Email"
    names = "a fact: X-Auth-Email: email"
    holds = "carry an identity"
    in_place_of_authorization = "'authorization: sign' puts a token of ours there"

    def read(self, node: Node, reading: Reading) -> tuple[tuple[str, T], ...]:
        if not isinstance(node, Fields):
            reading.refuse(node, f"found {kind_of(node)}, expected header names, each with {self.names}")
        headers: dict[str, tuple[str, T]] = {}
        is_broken = False
        for entry in node.entries:
            try:
                value = self.value_of(entry.value, reading)
                self._check_name(entry, headers, reading)
                headers[fold(entry.key.text)] = entry.key.text, value
            except Unreadable:
                is_broken = True
        if is_broken:
            raise Unreadable
        return tuple(headers.values())

    def value_of(self, node: Node, reading: Reading) -> T:
        raise NotImplementedError

    def value_schema(self) -> Schema:
        raise NotImplementedError

    def schema(self) -> Schema:
        names: Schema = {"pattern": "^[A-Za-z0-9_-]+$"}
        return {"type": "object", "propertyNames": names, "additionalProperties": self.value_schema()}

    def _check_name(self, entry: Entry, others: dict[str, Any], reading: Reading) -> None:
        name = HEADER_NAME.read(entry.key, reading)
        lower, expected = fold(name), f"expected a header like {self.example}"
        if lower in _HOP_BY_HOP:
            reading.refuse(entry.key, f"{name} is hop-by-hop: it ends at the next server, {expected}")
        if lower in ("host", "cookie", "authorization"):
            hint = f" ({self.in_place_of_authorization})" if lower == "authorization" else ""
            reading.refuse(entry.key, f"{name} cannot {self.holds}, {expected}{hint}")
        if not is_free(name):
            why = "has a meaning of its own: the gateway drops, sets or distrusts it"
            reading.refuse(entry.key, f"{name} {why}, {expected}")
        if lower in others:
            twin = others[lower][0]
            reading.refuse(entry.key, f"{name} and {twin} are one header to many servers, expected one of them")


def _constant(value: Text, reading: Reading) -> str:
    """Return what follows `text:`. No message quotes it, nor what stands in its place."""
    reading.hide(value)
    if value.is_broken:
        raise Unreadable
    written = value.text.removeprefix(CONSTANT)
    if not value.written.startswith(CONSTANT):  # what a variable holds never says what a value is
        reading.refuse(value, f"found a value without '{CONSTANT}', expected {_CONSTANT_EXPECTED}")
    if not written.strip():
        reading.refuse(value, f"found nothing behind '{CONSTANT}' (is the variable empty?), expected a constant")
    if not _VISIBLE.fullmatch(written):
        wanted = "expected visible ASCII, with spaces only between"
        reading.refuse(value, f"found a control character, a space at an end, or a character outside ASCII, {wanted}")
    if len(written) > _MAX_CONSTANT:
        reading.refuse(value, f"found {len(written)} characters, expected at most {_MAX_CONSTANT}")
    return written


class IdentityHeaders(_Headers[Fact | str]):
    """Header names, each with a fact, or with a constant, which is a text."""

    _fact = Scalar(f"{listed(FACTS)}, claim:NAME, or text:VALUE", _fact_of)

    def value_of(self, node: Node, reading: Reading) -> Fact | str:
        if isinstance(node, Text) and node.written.startswith(CONSTANT):
            return _constant(node, reading)
        return self._fact.read(node, reading)

    def value_schema(self) -> Schema:
        return {"anyOf": [{"enum": list(FACTS)}, {"type": "string", "pattern": f"^(claim|text):.|{_VARIABLE}"}]}


class ConstantHeaders(_Headers[str]):
    """Header names, each with a constant."""

    example = "X-Upstream-Key"
    names = "a constant: X-Upstream-Key: text:${UPSTREAM_KEY}"
    holds = "be a constant"
    in_place_of_authorization = "the caller's token stands there; Cloud Run reads X-Serverless-Authorization as well"

    def value_of(self, node: Node, reading: Reading) -> str:
        if not isinstance(node, Text) or node.is_nothing:
            reading.hide(node)
            reading.refuse(node, f"found {kind_of(node)}, expected {_CONSTANT_EXPECTED}")
        return _constant(node, reading)

    def value_schema(self) -> Schema:
        return {"type": "string", "pattern": f"^{CONSTANT}.|{_VARIABLE}"}
