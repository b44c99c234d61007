"""Cookies as the parsers of Node read them, or not at all."""

from __future__ import annotations

import pytest

from gateway.policy.cookies import cookie_values, plainly_written, without_cookies


@pytest.mark.parametrize(
    ("lines", "values"),
    [
        (["s=a"], ["a"]),
        (["x=1; s=a; y=2"], ["a"]),
        (["x=1;s=a;y=2"], ["a"]),
        ([" s =a"], ["a"]),
        (["\ts\t=\ta\t"], ["a"]),
        (['s="a"'], ["a"]),
        (['s=""a""'], ['"a"']),
        (['s="a'], ['"a']),
        (['s="'], ['"']),
        (['s=""'], [""]),
        (["s=a=b="], ["a=b="]),
        (["s="], [""]),
        (["s"], [""]),
        (["x; s"], [""]),
        (["s=a; s=b"], ["a", "b"]),
        (["s=; s=b"], ["", "b"]),
        (["s; s=b"], ["", "b"]),
        (["s=a", "s=b"], ["a", "b"]),
        (["s=1; s=2; s=3"], ["1", "2"]),
        (["S=a"], []),
        (["xs=a; sx=b; s-=c"], []),
        (["x=s; y= s=a"], []),
        (['x="; s=a"'], ['a"']),  # quotes mean nothing to where a cookie ends
        ([], []),
        ([";;; ;"], []),
        (["s=\u00a0a"], ["\u00a0a"]),
    ],
)
def test_cookies_of_a_name(lines: list[str], values: list[str]) -> None:
    assert cookie_values(lines, "s") == values


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("s=a", None),
        ("s", None),
        ("s=a; t=b", None),
        ("s=a; x=1", "x=1"),
        ("x=1; s=a", "x=1"),
        ("x=1;  t ; y=2", "x=1; y=2"),
        (" x=1; s=a; y=2 ", " x=1; y=2 "),
        ("x=1; sx=2", "x=1; sx=2"),
        ("", ""),
        (" ", " "),
        (";s=a", ""),
    ],
)
def test_others_stay_byte_for_byte(line: str, left: str | None) -> None:
    assert (without_cookies(line, frozenset({"s", "t"})) or None) == (left or None)


def test_nothing_is_removed_without_names() -> None:
    assert without_cookies("s=a; ", frozenset()) == "s=a; "


@pytest.mark.parametrize(
    ("line", "plain"),
    [('x=1; s = "a" ;y', "x=1; s=a;y"), ("s=a", "s=a"), ("xs=1", "xs=1"), ("a.b=1; s", "a.b=1; s=")],
)
def test_a_cookie_in_its_one_spelling(line: str, plain: str) -> None:
    assert plainly_written(line, "s") == plain


def test_name_is_literal() -> None:
    assert cookie_values(["axb=1; a.b=2"], "a.b") == ["2"]
