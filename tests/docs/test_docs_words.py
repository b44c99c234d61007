"""The words that `docs/words.md` says are not used are not used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORDS = ROOT / "docs" / "words.md"
ABOUT_WORDS = {WORDS, ROOT / "docs" / "style.md"}  # these two name them
READ = sorted(
    {
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "gateway").rglob("*.py"),
        *ROOT.glob("gateway/*/*.html"),
    }
    - ABOUT_WORDS
)
PAGE = WORDS.read_text(encoding="utf-8")


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


OF_OTHERS = re.compile(r"/authz/|ext_authz|jwt_authn|cognito-idp|overload_manager|http_connection_manager")
NOT_USED = re.findall(r"`([^`]+)`", "".join(re.findall(r"^\| (`.+?) \|", section("Not used"), re.MULTILINE)))


@pytest.mark.parametrize("word", NOT_USED)
def test_word_is_not_used(word: str) -> None:
    # Part of a name counts (`token_utils`), part of another word does not (`futile`).
    pattern = re.compile(rf"(?<![a-z]){re.escape(word)}(?![a-z])", re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in READ
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(OF_OTHERS.sub("", line))
    ]
    assert found == []


def test_every_word_has_its_row_once() -> None:
    names = re.findall(r"^\| ([^|]+) \| [^|]+ \|", section("What each word means"), re.MULTILINE)
    words = [word.strip() for name in names[2:] for word in name.split(",")]
    assert len(words) > 40 and len(NOT_USED) > 15
    assert sorted(set(words)) == sorted(words)
    assert not set(words) & set(NOT_USED)
