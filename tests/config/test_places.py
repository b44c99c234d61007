"""Where the keys of a file stand, for mistakes that are found later."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.places import Places

FILE = """\
upstreams:
  mastra: {url: "${URL}"}
providers:
  jobs:
    token_from: [bearer, {query: token}]
    secret: hidden-hidden
"""


@pytest.mark.parametrize(
    ("keys", "line", "column", "path"),
    [
        (("upstreams",), 1, 1, "upstreams"),
        (("upstreams", "mastra", "url"), 2, 12, "upstreams.mastra.url"),
        (("providers", "jobs", "token_from"), 5, 5, "providers.jobs.token_from"),
        (("providers", "jobs", "token_from", 1), 5, 26, "providers.jobs.token_from[1]"),
        (("providers", "jobs", "token_from", 1, "query"), 5, 27, "providers.jobs.token_from[1].query"),
        (("providers", "jobs", "leeway"), 4, 3, "providers.jobs"),  # as near as the file goes
        (("cors",), 1, 1, ""),
    ],
)
def test_a_mistake_stands_at_its_key(
    tmp_path: Path, keys: tuple[str | int, ...], line: int, column: int, path: str
) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(FILE, encoding="utf-8")
    places = Places(file, {"URL": "http://a"})
    assert places.error() is None
    places.refuse(keys, "cannot be", "do this")
    mistakes = places.error()
    assert mistakes is not None
    [found] = mistakes.problems
    assert (found.line, found.column, found.path) == (line, column, path)
    assert (found.message, found.note) == ("cannot be", "do this")


def test_the_line_that_is_shown_hides_secrets(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(FILE, encoding="utf-8")
    places = Places(file, {"URL": "http://a"})
    places.refuse(("providers", "jobs", "secret"), "cannot be")
    assert "hidden-hidden" not in str(places.error())


def test_mistakes_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(FILE, encoding="utf-8")
    places = Places(file, {"URL": "http://a"})
    places.refuse(("providers",), "second")
    places.refuse(("upstreams",), "first")
    mistakes = places.error()
    assert mistakes is not None
    assert [one.message for one in mistakes.problems] == ["first", "second"]
