"""Real servers without a gateway: every probe gets through, and everything works, or the other tests prove nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.mastra.own.conftest import KINDS, Found, attack


@pytest.mark.timeout(900)
def test_every_probe_gets_through_to_a_mastra_without_a_gateway(node: str, mastras: dict[str, str]) -> None:
    left: tuple[str, ...] = ()
    total = 0
    for kind in KINDS:
        found = attack(node, kind, mastras[kind], *left)
        total = total or len(found)
        left = tuple(name for name, one in found.items() if not one["through"])
        if not left:
            break
    assert sorted(left) == []
    assert total >= 500


def test_everything_works_at_a_mastra_without_a_gateway(own_calls: Callable[[str], Found]) -> None:
    found = own_calls("none")
    assert len(found) >= 120
    assert {name: one for name, one in found.items() if "failed" in one} == {}
