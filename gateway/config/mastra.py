"""`mastra:` one of Mastra's roles, or some of its permissions."""

from __future__ import annotations

from gateway.config.document import Items, Node, Text
from gateway.config.lists import some
from gateway.config.readers import Mistake, Scalar, Schema, text_of
from gateway.config.reading import Reading, nearest
from gateway.policy.mastra_roles import (
    ROLES,
    MastraPermission,
    MastraRole,
    permission_patterns,
    resources_with_ids,
)
from gateway.policy.rules import Rule
from gateway.policy.words import listed

_ROLE = f"a role of Mastra's ({listed(ROLES)})"
_PERMISSION = "a permission of Mastra's such as agents:execute, agents:*, '*:read' or agents:read:weatherAgent"
_EXPECTED = f"{_ROLE}, or permissions such as [agents:execute, memory:read]"


def _permission(written: str) -> str:
    if written in ROLES:
        raise Mistake(f"which is a role (it stands alone, and greater ones are meant as well: 'mastra: {written}')")
    resource, action, wanted = (*written.split(":", 2), "")[:3] if ":" in written else (written, "", "")
    known = permission_patterns()
    if written.count(":") < 2:
        if written not in known:
            raise Mistake(f"which no route of Mastra asks for{nearest(written, known)}")
        return written
    if f"{resource}:{action}" not in known and (resource, action) != ("*", "*"):
        raise Mistake(f"which no route of Mastra asks for{nearest(f'{resource}:{action}', known)}")
    if not wanted:
        raise Mistake(f"with nothing behind the last colon (did you mean '{resource}:{action}'?)")
    if resource not in (*resources_with_ids(), "*"):
        raise Mistake(f"with an id, which no path of {resource} has (did you mean '{resource}:{action}'?)")
    return written


_PERMISSIONS = some(Scalar(_PERMISSION, _permission), _PERMISSION)


class MastraReader:
    """`mastra: viewer`, or `mastra: [agents:execute, memory:read]`."""

    def read(self, node: Node, reading: Reading) -> Rule:
        if isinstance(node, Items):
            return MastraPermission(_PERMISSIONS.read(node, reading))
        word = text_of(node, reading, _EXPECTED)
        if word.text in ROLES:
            return MastraRole(word.text)
        if ":" not in word.text and word.text != "*":
            reading.refuse(node, f"found {word.shown}, expected {_EXPECTED}{_hint(word)}")
        return MastraPermission(_PERMISSIONS.read(node, reading))

    def schema(self) -> Schema:
        return {"anyOf": [{"enum": list(ROLES)}, _PERMISSIONS.schema()]}


def _hint(word: Text) -> str:
    return "" if word.is_replaced else nearest(word.text, [*ROLES, *permission_patterns()])
