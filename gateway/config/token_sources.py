"""`token_from:` the places where a token may stand."""

from __future__ import annotations

import re

from gateway.config.document import Fields, Node, kind_of
from gateway.config.readers import Schema, text_of
from gateway.config.reading import Reading, nearest
from gateway.policy.providers import BEARER, TokenSource

_BARE: dict[str, TokenSource] = {
    "bearer": BEARER,
    "bare": TokenSource("bare"),
    "websocket_protocol": TokenSource("websocket_protocol"),
}
_NAMED = ("cookie", "query")
_EXPECTED = "bearer, bare, websocket_protocol, {cookie: NAME} or {query: NAME}"
_COOKIE_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 6265 section 4.1.1
_PARAMETER_NAME = re.compile(r"[^\x00-\x20\x7f&=#+%]+")


class TokenSourceReader:
    """One place where a token may stand."""

    def read(self, node: Node, reading: Reading) -> TokenSource:
        if isinstance(node, Fields):
            return self._named(node, reading)
        word = text_of(node, reading, _EXPECTED)
        if word.text in _NAMED:
            reading.refuse(node, f"found {word.shown} without a name, expected {{{word.text}: NAME}}")
        if word.text not in _BARE:
            reading.refuse(node, f"found {word.shown}, expected {_EXPECTED}{nearest(word.text, _BARE)}")
        return _BARE[word.text]

    def schema(self) -> Schema:
        named: list[Schema] = [
            {
                "type": "object",
                "additionalProperties": False,
                "required": [place],
                "properties": {place: {"type": "string"}},
            }
            for place in _NAMED
        ]
        return {"anyOf": [{"enum": list(_BARE)}, *named]}

    def _named(self, node: Fields, reading: Reading) -> TokenSource:
        if len(node.entries) != 1 or node.entries[0].key.text not in _NAMED:
            keys = ", ".join(entry.key.text for entry in node.entries)
            reading.refuse(node, f"found {kind_of(node) if not keys else f'the keys {keys}'}, expected {_EXPECTED}")
        place = node.entries[0].key.text
        name = text_of(node.entries[0].value, reading, f"the {place}'s name")
        good = _COOKIE_NAME if place == "cookie" else _PARAMETER_NAME
        if not good.fullmatch(name.text):
            what = "cookie" if place == "cookie" else "query parameter"
            reading.refuse(
                name, f"found {name.shown}, which no {what} can be called, expected a name such as __session"
            )
        return TokenSource("cookie" if place == "cookie" else "query", name.text)
