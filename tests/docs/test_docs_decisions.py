"""Every page of `docs/decisions` is in the list there, and has its three parts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "decisions"
INDEX = (FOLDER / "README.md").read_text(encoding="utf-8")
PAGES = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")
PARTS = ["Context", "Decision", "Consequences"]
MAX_WORDS = 500  # a page: who needs more has two decisions


def test_list_names_every_page_once_in_order_by_its_title() -> None:
    listed = re.findall(r"^\| \[(\d{4})\]\((\S+)\) \| (.+) \|$", INDEX, re.MULTILINE)
    titles = [path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ") for path in PAGES]
    assert listed == [(path.name[:4], path.name, title) for path, title in zip(PAGES, titles, strict=True)]


def test_numbers_leave_no_gap() -> None:
    assert [int(path.name[:4]) for path in PAGES] == list(range(1, len(PAGES) + 1))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_says_why_what_and_what_follows(page: Path) -> None:
    assert re.fullmatch(r"\d{4}-[a-z0-9]+(-[a-z0-9]+)*\.md", page.name)
    text = page.read_text(encoding="utf-8")
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    assert parts[1::2] == PARTS
    assert all(part.strip() for part in parts[2::2])
    assert "Weighed:" in parts[4], "what else could have been done, and why it was not"
    assert len(text.split()) <= MAX_WORDS
