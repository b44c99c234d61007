"""JSON as callers may write it: with white space, escapes and numbers of any kind, and where each value stands."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

SPACE = st.text(" \t\r\n", max_size=2)
NAMES = st.sampled_from(["id", "resourceId", "memory", "a", "", "é", "\N{GRINNING FACE}", '"', "\\", "x\ud83d"])
TEXTS = st.one_of(NAMES, st.text(st.characters(), max_size=6))
NUMBERS = st.sampled_from(["0", "-0", "1e5", "1E+400", "-1.50", "9" * 5000, "0.1e-9", "12345678901234567890"])
Path = tuple[str | int, ...]
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS.map(lambda text: ("number", text)) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=4)


class Written:
    """A JSON text, and where the value of each path stands in it."""

    def __init__(self, value: dict[str, Any], data: st.DataObject) -> None:
        self.text = ""
        self.spans: dict[Path, tuple[int, int]] = {}
        self._draw = data.draw
        self._space()
        self._value(value, ())
        self._space()

    def _space(self) -> None:
        self.text += self._draw(SPACE)

    def _value(self, value: Any, path: Path) -> None:
        begin = len(self.text)
        match value:
            case ("number", str(text)):
                self.text += text
            case str():
                self._string(value)
            case dict() | list():
                steps = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
                self.text += "{" if isinstance(value, dict) else "["
                for number, (step, inner) in enumerate(steps):
                    self.text += "," if number else ""
                    self._space()
                    if isinstance(value, dict):
                        self._string(step)
                        self._space()
                        self.text += ":"
                        self._space()
                    self._value(inner, (*path, step))
                    self._space()
                if not steps:
                    self._space()
                self.text += "}" if isinstance(value, dict) else "]"
            case _:
                self.text += json.dumps(value)
        self.spans[path] = (begin, len(self.text))

    def _string(self, value: str) -> None:
        signs = [self._sign(sign) for sign in value]
        self.text += f'"{"".join(signs)}"'

    def _sign(self, sign: str) -> str:
        if sign < " " or sign in '"\\' or "\ud800" <= sign <= "\udfff" or self._draw(st.booleans()):
            units = sign.encode("utf-16-be", "surrogatepass").hex()
            escaped = "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
            return escaped if self._draw(st.booleans()) else escaped.upper().replace("\\U", "\\u")
        return sign


def plain(value: Any) -> Any:
    """Return what Node reads: numbers as floats."""
    match value:
        case ("number", str(text)):
            return float(text)
        case list():
            return [plain(inner) for inner in value]
        case dict():
            return {name: plain(inner) for name, inner in value.items()}
        case _:
            return value
