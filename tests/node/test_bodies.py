"""What the gateway reads of a body, beside what Node reads of it: the same, or the body is refused."""

from __future__ import annotations

import base64
import random
import struct
from typing import Any

from gateway.policy.denied import Denied
from gateway.policy.json_edits import Edit, read_object
from tests.node.conftest import RunScript
from tests.policy.test_json_edits import GOOD, LONG, MALFORMED

PIECES = (
    *('"a"', '"\\u0061"', '"\\uD83D\\uDE00"', '"\N{GRINNING FACE}"', '"\\ud83d"', '"\\ude00\\ud83d"', '"\\b\\/\\""'),
    *('"__proto__"', '"constructor"', '"toString"', '"10"', '"2"', '""', '"resource\\u0049d"', '"resourceId"'),
    *("0", "-0", "01", "1e400", "-1E-400", "9007199254740993", "1" * 400, "NaN", "Infinity", "-", "1.", ".5", "0.1"),
    *("true", "null", "nul", "{", "}", "[", "]", ":", ",", " ", "\t", "\n", "\x0b", "\ufeff", "\u2028", "\x00", "//"),
)
COUNT = 4000


def told(value: Any) -> Any:
    """Return a value as `bodies.mjs` tells it; members in Node's order, in which whole numbers come first."""
    match value:
        case float():
            return {"number": struct.pack(">d", value).hex()}
        case str():
            return {"text": units(value)}
        case list():
            return [told(inner) for inner in value]
        case dict():
            numbers = sorted((name for name in value if name in {"10", "2"}), key=int)
            names = numbers + [name for name in value if name not in numbers]
            return {"members": [[units(name), told(value[name])] for name in names]}
        case _:
            return value


def units(text: str) -> str:
    written = text.encode("utf-16-be", "surrogatepass")
    return " ".join(f"{unit:x}" for (unit,) in struct.iter_unpack(">H", written))


def bodies() -> list[bytes]:
    """Return bodies that are JSON, nearly so, or not at all."""
    dice, made = random.Random(7), []  # noqa: S311  # the same bodies each time
    for _ in range(COUNT):
        members = [
            f"{dice.choice(PIECES[:15])}{dice.choice(PIECES[-6:]) if dice.random() < 0.1 else ''}:{value(dice, 0)}"
            for _ in range(dice.randint(0, 3))
        ]
        text = "{" + ",".join(members) + "}"
        if dice.random() < 0.3:
            at = dice.randrange(len(text) + 1)
            text = text[:at] + dice.choice(PIECES) + text[at + dice.randint(0, 1) :]
        body = text.encode()
        if dice.random() < 0.1:
            at = dice.randrange(len(body))
            body = body[:at] + dice.randbytes(1) + body[at + 1 :]
        made.append(body)
    return made


def value(dice: random.Random, depth: int) -> str:
    if depth < 3 and dice.random() < 0.3:
        inner = [value(dice, depth + 1) for _ in range(dice.randint(0, 3))]
        return f"[{', '.join(inner)}]" if dice.random() < 0.5 else f'{{"x":{value(dice, depth + 1)}}}'
    return dice.choice(PIECES[:31])


def test_what_is_read_is_what_node_reads_or_it_is_refused(run_script: RunScript) -> None:
    tried = [*bodies(), *(one for group in (MALFORMED, LONG, GOOD) for one in group.values() if len(one) < 100_000)]
    read: list[tuple[bytes, Any]] = []
    for body in tried:
        try:
            document = read_object(body)
        except Denied:
            continue
        owned = {**document.value, "resourceId": "ann"}
        changed = document.with_edits([Edit(("resourceId",), "ann")])
        read += [(body, document.value), (changed, {name: owned[name] for name in read_object(changed).value})]
    assert len(read) > COUNT / 2
    answers = run_script("bodies.mjs", [base64.b64encode(body).decode() for body, _ in read])
    for (body, ours), theirs in zip(read, answers, strict=True):
        assert theirs == {"read": told(ours)}, body[:300]


def test_what_only_one_of_both_reads_is_there_and_refused(run_script: RunScript) -> None:
    # The rules of this suite can fail: Node reads these, and so would a gateway that looked away.
    names = ["BOM", "doubled", "doubled by an escape", "__proto__", "Latin-1", "raw surrogate", "too deep"]
    answers = run_script("bodies.mjs", [base64.b64encode(MALFORMED[name]).decode() for name in names])
    assert [name for name, answer in zip(names, answers, strict=True) if answer is None] == []
