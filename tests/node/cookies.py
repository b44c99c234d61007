"""Cookie headers as somebody might write them to have two servers read two things."""

from __future__ import annotations

import random


def nasty_cookies(name: str, good: str, evil: str, count: int) -> list[str]:
    """Return Cookie lines, always the same ones, in which a cookie of this name stands in many ways."""
    choose = random.Random(11).choice  # noqa: S311  # chance that can be repeated is what is wanted here
    names = [name] * 6 + [
        "mastra-token",
        "a",
        name.upper(),
        f"x{name}",
        "",
        f'"{name}"',
        f"{name}\u00a0",
        f"\u00a0{name}",
        "__proto__",
    ]
    equals = ["="] * 6 + [" = ", "\t=", "= ", "==", "", " "]
    values = [good] * 6 + [
        evil,
        f'"{good}"',
        f'"{good}',
        f'{good}"',
        "",
        '"',
        '""',
        "x",
        f"%22{good}%22",
        f"{good}%20",
        f"s:{good}",
        "j:{}",
    ]
    return [
        choose([";", "; ", " ;\t", ";;"]).join(
            choose(names) + choose(equals) + choose(values) for _ in range(number % 4 + 1)
        )
        for number in range(count)
    ]
