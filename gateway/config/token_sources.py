"""`token_from:` the places where a token may stand."""

from __future__ import annotations

import re

from gateway.config.addresses import HEADER_NAME
from gateway.config.document import Fields, Node, Text, kind_of
from gateway.config.readers import Schema, text_of
from gateway.config.reading import Reading, nearest
from gateway.policy.fields import is_free
from gateway.policy.providers import BEARER, TokenSource

_BARE: dict[str, TokenSource] = {
    "bearer": BEARER,
    "bare": TokenSource("bare"),
    "websocket_protocol": TokenSource("websocket_protocol"),
}
_NAMED = ("header", "cookie", "query")
_EXPECTED = "bearer, bare, websocket_protocol, {header: NAME}, {cookie: NAME} or {query: NAME}"
_PLAIN_HEADER_NAME = re.compile(r"[A-Za-z0-9-]+")
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
        if place == "header":
            return TokenSource("header", _header(name, reading))
        good = _COOKIE_NAME if place == "cookie" else _PARAMETER_NAME
        if not good.fullmatch(name.text):
            what = "cookie" if place == "cookie" else "query parameter"
            reading.refuse(
                name, f"found {name.shown}, which no {what} can be called, expected a name such as __session"
            )
        return TokenSource("cookie" if place == "cookie" else "query", name.text)


def _header(name: Text, reading: Reading) -> str:
    written = HEADER_NAME.read(name, reading)
    if written.lower() == "authorization":
        reading.refuse(name, "found Authorization, expected the word bearer (or bare: a token without 'Bearer')")
    if not is_free(written):
        why = "which has a meaning of its own: the gateway drops, sets or distrusts it"
        reading.refuse(name, f"found {name.shown}, {why}, expected a header such as X-Goog-IAP-JWT-Assertion")
    # To many servers `_` and `.` are `-`, and engines drop such names: of several spellings one alone is read.
    if not _PLAIN_HEADER_NAME.fullmatch(written):
        reading.refuse(name, f"found {name.shown}, expected a name of letters, digits and '-' alone")
    return written.lower()
