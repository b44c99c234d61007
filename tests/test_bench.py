"""The benchmark: what it fills in, what it counts and what it writes. That it runs is for `make bench`."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.bench.asking import WrongAnswerError
from tests.bench.gateways import configuration, named_gateway
from tests.bench.measuring import figures_of
from tests.bench.report import PAGE, Figures, between_marks, report
from tests.bench.scenarios import CURVES, PARTS, USERS, groups_of
from tests.bench.setups import FILES, SECRET, Place, Setup
from tests.bench.tables import WIDTH, amount, curves_text, ratio, table, users_text
from tests.bench.tokens import padded
from tests.configuring import read
from tests.server.test_server import make_certificate

FIGURES = {
    "one": {"gateway": [{"cpu_us": 50.0}, {"cpu_us": 40.0}, {"cpu_us": 42.0}], "Envoy": [{"cpu_us": 84.0}]},
    "two": {"gateway": [{"cpu_us": 20.4}]},
}
EVERY = [scenario for part in PARTS.values() for scenario in part]
GATEWAYS = ["gateway", "twelve-chars", "compiled"]


def place(folder: Path, setup: Setup) -> Place:
    return Place(folder, 1234, 5678, "https://issuer.test/", "agents-api", "SPKI", "{}", 8765, setup)


def figures(number: float) -> Figures:
    sides = [*GATEWAYS, "Envoy", "HAProxy"]
    return {scenario.name: {side: [{"cpu_us": number}] for side in sides} for scenario in EVERY}


@pytest.mark.parametrize("name", sorted(file.name for file in FILES.iterdir() if file.suffix != ".py"))
@pytest.mark.parametrize(
    "setup",
    [
        pytest.param(Setup(), id="smallest"),
        pytest.param(Setup(has_tls=True, has_https_upstream=True, has_cors=True), id="all"),
    ],
)
def test_every_file_of_a_peer_can_be_filled_in(name: str, setup: Setup, tmp_path: Path) -> None:
    if name.startswith("package"):
        assert "registry" not in (FILES / name).read_text(encoding="utf-8")
        return
    filled = Path(place(tmp_path, setup).fill(name)).read_text()
    assert "$port" not in filled and "$folder" not in filled
    assert ("5678" if name == "upstream.conf" else "1234" if name != "nginx.js" else "SPKI") in filled
    if name in ("envoy.yaml", "haproxy.cfg"):
        assert ("8765" in filled) == setup.has_https_upstream
        assert ("gw." in filled) == setup.has_tls
        assert ("https://app.example.com" in filled) == setup.has_cors


@pytest.mark.parametrize(
    "setup",
    [
        pytest.param(setup, id=str(at), marks=[pytest.mark.slow] if setup.routes > 1000 else [])
        for at, setup in enumerate(groups_of(EVERY))
    ],
)
def test_gateway_reads_its_file_for_every_setup(setup: Setup, tmp_path: Path) -> None:
    made = make_certificate(tmp_path, "gw")
    there = {file.name: file.read_bytes() for file in (made.certificate_file, made.key_file)}
    config = read(configuration(place(tmp_path, setup)), mounted=there)
    assert len(config.policy.routes) == setup.routes + 1
    assert len(config.providers) == setup.providers
    assert (config.workers, config.tls is not None, config.cors is not None) == (
        setup.workers,
        setup.has_tls,
        setup.has_cors,
    )


@pytest.mark.parametrize("size_bytes", [235, 1024, 4096, 8192])
def test_token_is_as_large_as_its_name_says(size_bytes: int) -> None:
    claims = {"iss": "https://issuer.test/", "aud": "agents-api", "exp": 4_000_000_000}
    claims |= {"sub": "u999", "email": "u999@example.com"}
    token = padded(claims, size_bytes)
    assert len(token) == size_bytes
    read_back = jwt.decode(token, SECRET, ["HS256"], audience="agents-api")
    assert {name: read_back[name] for name in claims} == claims


def test_token_that_cannot_be_so_small_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 120"):
        padded({"email": "x" * 100}, 120)


def test_every_scenario_has_a_name_of_its_own_and_one_of_two_parts_is_measured_once() -> None:
    different = dict.fromkeys(EVERY)
    assert len({scenario.name for scenario in different}) == len(different) < len(EVERY)
    assert [scenario for group in groups_of(EVERY).values() for scenario in group].count(USERS[5]) == 1


@pytest.mark.parametrize(
    ("found", "expected", "fault"),
    [
        pytest.param({"status_errors": 0, "broken": 0}, 200, None, id="good"),
        pytest.param({"status_errors": 500, "broken": 0}, 401, None, id="refused"),
        pytest.param({"status_errors": 1, "broken": 0}, 200, "1 with another status", id="one-refused"),
        pytest.param({"status_errors": 499, "broken": 0}, 401, "1 with another status", id="one-let-in"),
        pytest.param({"status_errors": 0, "broken": 2}, 200, "2 broken", id="broken"),
        pytest.param({"requests": 0, "status_errors": 0, "broken": 0}, 200, "of 0 responses", id="none"),
    ],
)
def test_figures_count_only_if_every_response_was_right(
    found: dict[str, Any], expected: int, fault: str | None
) -> None:
    counted = {"requests": 500, "microseconds": 250_000, "p50": 1500.0} | found
    if fault is not None:
        with pytest.raises(WrongAnswerError, match=fault):
            figures_of(counted, 0.02, expected)
        return
    assert figures_of(counted, 0.02, expected) == pytest.approx({"cpu_us": 40, "requests_per_s": 2000, "p50_ms": 1.5})


def test_gateway_is_named_with_its_program() -> None:
    assert named_gateway(f"compiled={sys.executable}") == ("compiled", Path(sys.executable))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param(sys.executable, "expected NAME=PATH", id="no-name"),
        pytest.param(f"={sys.executable}", "expected NAME=PATH", id="empty-name"),
        pytest.param(f"a-name-that-is-too-wide={sys.executable}", "at most 12", id="wide-name"),
        pytest.param("compiled=no/such/gateway", "found no file no/such/gateway", id="no-file"),
    ],
)
def test_gateway_that_cannot_be_started_is_refused(text: str, fault: str) -> None:
    with pytest.raises(ArgumentTypeError, match=fault):
        named_gateway(text)


@pytest.mark.parametrize(
    ("number", "shown"), [(4.0, "4.0"), (99.94, "99.9"), (99.95, "100"), (99.99, "100"), (1234.5, "1234")]
)
def test_amount_has_three_digits_or_all_before_the_point(number: float, shown: str) -> None:
    assert amount(number) == shown


def test_ratio_is_the_middle_one_of_neighbouring_rounds() -> None:
    sides = {"Envoy": [80.0, 90.0, 300.0], "gateway": [40.0, 30.0, 100.0]}
    found = {"one": {side: [{"cpu_us": number} for number in numbers] for side, numbers in sides.items()}}
    assert ratio(found, "one", "Envoy", "gateway") == "3.00"
    assert ratio(found, "one", "HAProxy", "gateway") == ratio(found, "two", "Envoy", "gateway") == ""


def test_table_sets_columns_for_which_there_is_no_room_below() -> None:
    assert table("what", ["a", "bb"], [("one", ["1", "22.5"]), ("three", [])]) == [
        "what   a    bb",
        "one    1  22.5",
        "three",
        "",
    ]
    lines = table("what", ["x" * 30, "y" * 30, "z" * 30], [("one", ["1", "2", "3"])])
    assert [line.split() for line in lines] == [
        ["what", "x" * 30, "y" * 30],
        ["one", "1", "2"],
        [],
        ["what", "z" * 30],
        ["one", "3"],
        [],
    ]


@pytest.mark.parametrize("number", [pytest.param(1.0, id="small"), pytest.param(123456.0, id="large")])
@pytest.mark.parametrize("gateways", [pytest.param(GATEWAYS[:1], id="one"), pytest.param(GATEWAYS, id="three")])
def test_tables_are_at_most_80_columns_wide(number: float, gateways: list[str]) -> None:
    text = users_text(figures(number), gateways, ["Envoy", "HAProxy"]) + curves_text(figures(number), gateways)
    assert WIDTH == 80 and max(map(len, text.splitlines())) <= WIDTH
    for scenario in USERS:
        assert f"\n{scenario.name} " in text


def test_tables_of_some_scenarios_have_only_their_rows() -> None:
    found: Figures = {"TLS in front": {"gateway": [{"cpu_us": 40.0}], "Envoy": [{"cpu_us": 90.0}]}}
    assert users_text(found, ["gateway"], ["Envoy"]).splitlines() == [
        "CPU, µs per request  gateway  Envoy",
        "TLS in front            40.0   90.0",
        "",
        "times the CPU of  gateway",
        "TLS in front",
        "  Envoy              2.25",
    ]
    assert curves_text(found, ["gateway"]) == ""


def test_page_has_a_row_for_each_scenario_of_users_and_each_curve() -> None:
    page = PAGE.read_text(encoding="utf-8")
    shown = {part: page.partition(f"{part}: begin")[2].partition(f"{part}: end")[0] for part in PARTS}
    assert all(f"\n{scenario.name}" in shown["users"] for scenario in USERS)
    assert all(f"\nCPU, µs: {curve.name} " in shown["curves"] for curve in CURVES)


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


@pytest.mark.parametrize("part", list(PARTS))
def test_report_takes_the_place_of_the_last_one(part: str) -> None:
    page = f"a\n<!-- make bench, {part}: begin -->\nold\n<!-- make bench, {part}: end -->\nb"
    once = between_marks(page, part, "new \\1")
    assert "old" not in once and "new \\1" in once and between_marks(once, part, "new \\1") == once
    with pytest.raises(ValueError, match="once each"):
        between_marks("a", part, "new")
    assert between_marks(PAGE.read_text(encoding="utf-8"), part, "x")


def test_peers_locks_name_no_registry() -> None:
    packages = json.loads((FILES / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    assert all("resolved" not in package for package in packages.values()) and len(packages) > 5
