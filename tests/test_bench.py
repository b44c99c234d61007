"""The benchmark beside public peers: what it fills in and what it writes. That it runs is for `make bench`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench.peers import FILES, Place
from tests.bench.report import PAGE, between_marks, report

FIGURES = {
    "one": {"gateway": [{"cpu_us": 50.0}, {"cpu_us": 40.0}, {"cpu_us": 42.0}], "Envoy": [{"cpu_us": 84.0}]},
    "two": {"gateway": [{"cpu_us": 20.4}]},
}


@pytest.mark.parametrize("name", sorted(file.name for file in FILES.iterdir() if file.suffix != ".py"))
def test_every_file_of_a_peer_can_be_filled_in(name: str, tmp_path: Path) -> None:
    if name.startswith("package"):
        assert "registry" not in (FILES / name).read_text(encoding="utf-8")
        return
    place = Place(tmp_path, 1234, 5678, "https://issuer.test/", "agents-api", "SPKI", "{}")
    filled = Path(place.fill(name)).read_text()
    assert "$port" not in filled and "$folder" not in filled
    assert ("5678" if name == "upstream.conf" else "1234" if name != "nginx.js" else "SPKI") in filled


def test_report_is_a_table_and_bars_of_the_middle_round() -> None:
    lines = report(FIGURES, ["one", "two"]).splitlines()
    assert lines[:4] == [
        "| CPU, µs per request | gateway | Envoy |",
        "| --- | --- | --- |",
        "| one | 42 | 84 |",
        "| two | 20 |  |",
    ]
    gateway, envoy = f"  gateway  {'█' * 24} 42", f"  Envoy    {'█' * 48} 84"
    assert lines[5:] == ["```text", "one", gateway, envoy, "two", f"  gateway  {'█' * 48} 20", "```"]


def test_report_takes_the_place_of_the_last_one() -> None:
    page = "a\n<!-- make bench: begin -->\nold\n<!-- make bench: end -->\nb"
    once = between_marks(page, "new \\1")
    assert "old" not in once and "new \\1" in once and between_marks(once, "new \\1") == once
    with pytest.raises(ValueError, match="once each"):
        between_marks("a", "new")
    assert between_marks(PAGE.read_text(encoding="utf-8"), "x")


def test_peers_locks_name_no_registry() -> None:
    packages = json.loads((FILES / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    assert all("resolved" not in package for package in packages.values()) and len(packages) > 5
