"""A mutant keeps its name while its statement means the same, so that the list of those that survive stays good."""

from __future__ import annotations

import ast

import pytest

from tests.mutants import change

OLD = """
def x_read__mutmut_orig(text, limit=5):
    if len(text) > limit:
        raise ValueError("too long")  # CVE-2020-10735
    parts = text.split(".", 5)
    return parts
"""
NEW = OLD.replace("_orig", "_3").replace('split(".", 5)', 'split(".", 6)')
KEY = ("parts = text.split('.', 5)", "parts = text.split('.', 6)")


def changed(old: str, new: str) -> tuple[str, str]:
    return change(ast.parse(old).body[0], ast.parse(new).body[0])


@pytest.mark.parametrize(
    ("text", "reworded"),
    [
        pytest.param("    parts =", "\n    # Two of them.\n    parts =", id="moved-below-a-comment"),
        pytest.param("text.split(", "text.split(  # as RFC 7515 has it\n        ", id="broken-and-commented"),
        pytest.param('"."', "'.'", id="other-quotes"),
        pytest.param(
            '        raise ValueError("too long")  # CVE-2020-10735\n', "        return []\n", id="others-changed"
        ),
        pytest.param("    if len", "    limit += 1\n    if len", id="others-added"),
    ],
)
def test_key_stays_whatever_is_around_the_statement(text: str, reworded: str) -> None:
    assert text in OLD
    assert changed(OLD, NEW) == KEY
    assert changed(OLD.replace(text, reworded), NEW.replace(text, reworded)) == KEY


@pytest.mark.parametrize(
    ("text", "changed_to", "expected"),
    [
        pytest.param("limit=5", "limit=6", ("def(text, limit=5):", "def(text, limit=6):"), id="default"),
        pytest.param("> limit", ">= limit", ("if len(text) > limit:", "if len(text) >= limit:"), id="condition"),
        pytest.param("    return parts\n", "", ("return parts", ""), id="removed"),
    ],
)
def test_key_says_what_was_changed(text: str, changed_to: str, expected: tuple[str, str]) -> None:
    assert changed(OLD, OLD.replace(text, changed_to)) == expected
