"""The dashboard and the alert rules: every metric and label that they ask for exists, and a real Prometheus answers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import gateway
from gateway.keys.store import SourceStatus
from gateway.policy.reasons import Reason
from gateway.server.exposition import metrics_text
from gateway.server.metrics import Gauges, Metrics
from gateway.server.outcome import ENDINGS, Outcome
from tests.jwks import serving_keys
from tests.minting import SECRET
from tests.processes import free_port, process, served, status_of

FOLDER = Path(gateway.__file__).parent.parent / "config" / "monitoring"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "grafana.json").read_text())
ALERTS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"][0]["rules"]
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
EXPRESSIONS = [*QUERIES, *(rule["expr"] for rule in ALERTS)]
VARIABLES = {"$job": ".*", "$instance": ".*", "$__rate_interval": "1m", "$__range": "1h"}
_NAME = re.compile(r"\b(?:gateway|process)_[a-z_]+")
_LABELS = re.compile(r"\b((?:gateway|process)_[a-z_]+)\{([^}]*)\}")


def metrics() -> dict[str, set[str]]:
    """Return the names of every series that the gateway exports, with its labels."""
    counted = Metrics()
    outcome = Outcome("id", "GET", "/", "192.0.2.1", began_at=0.0)
    outcome.decided_at = outcome.first_byte_at = 0.0
    outcome.would_deny, outcome.is_stream = "access_denied", True
    outcome.note_end()
    counted.record(outcome)
    status = SourceStatus("https://keys", "fresh", ("k",), 1.0, 1.0, False, 1, 0, None, None)
    found: dict[str, set[str]] = {}
    for line in metrics_text(counted, Gauges(keys=(("people", status),))).decode().splitlines():
        series = re.match(r"([a-z_]+)(?:\{(.*)\})? ", line)
        if series is not None:
            found.setdefault(series[1], set()).update(re.findall(r'(\w+)="', series[2] or ""))
    return found


SERIES = metrics()


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_and_label_exists(expression: str) -> None:
    names = set(_NAME.findall(expression)) - set(re.findall(r"job=\"(\w+)\"", expression))
    assert names <= set(SERIES), names - set(SERIES)
    for name, labels in _LABELS.findall(expression):
        asked = set(re.findall(r"(\w+)\s*=~?", labels.replace("!=", "="))) - {"job", "instance"}
        assert asked <= SERIES[name], (name, asked)


def test_every_metric_is_on_the_dashboard_or_in_an_alert() -> None:
    asked = set(_NAME.findall(" ".join([*EXPRESSIONS, json.dumps(DASHBOARD["templating"])])))
    families = {re.sub(r"_(bucket|count|sum|total)$", "", name) for name in SERIES if name.startswith("gateway_")}
    shown = {re.sub(r"_(bucket|count|sum|total)$", "", name) for name in asked}
    assert families - shown == {"gateway_token_cache_entries", "gateway_keys"}, "told in operations.md, not drawn"


def test_codes_and_endings_of_the_alerts_exist() -> None:
    codes = {reason.code for reason in Reason}
    for rule in ALERTS:
        for wanted in re.findall(r'code=~?"([^"]+)"', rule["expr"]):
            assert any(re.fullmatch(wanted, code) for code in codes), wanted
    assert "complete" in ENDINGS


def test_every_alert_says_what_is_wrong() -> None:
    for rule in ALERTS:
        assert rule["annotations"]["summary"] and rule["labels"]["severity"] in ("critical", "warning")


FILE = f"""
upstream: http://127.0.0.1:9
providers:
  jobs: {{type: jwt, secret: {SECRET.decode()}}}
  people: {{type: oidc, issuer: "http://127.0.0.1:9", audience: x}}
  staff: {{type: oidc, issuer: "https://staff.example.com", jwks_uri: "KEYS", audience: x}}
routes:
  /api: {{provider: jobs, allow: authenticated}}
  /staff: {{provider: staff, allow: authenticated}}
  /people: {{provider: people, allow: authenticated}}
  /tried: {{provider: jobs, allow: authenticated, enforce: false}}
  GET /public: {{public: true}}
"""
needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None and "GATEWAY_REQUIRE_PROMETHEUS" not in os.environ,
    reason="Prometheus is not installed",
)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a gateway that has something to tell, and a Prometheus that has scraped it. Gives its address."""
    folder = tmp_path_factory.mktemp("prometheus")
    # One key server is down: it serves, and is not ready.
    with serving_keys() as keys, served(FILE.replace("KEYS", keys), folder, ready_path="/healthz") as gateway:
        for path in ("/api", "/people", "/tried", "/public", "/nowhere"):
            assert status_of(f"http://127.0.0.1:{gateway.port}{path}") in (401, 404, 502, 503)
        shutil.copy(FOLDER / "alerts.yaml", folder)
        config = (FOLDER / "prometheus.yaml").read_text().replace("127.0.0.1:9090", f"127.0.0.1:{gateway.admin}")
        (folder / "prometheus.yaml").write_text(config.replace("15s", "1s"))
        listen = free_port()
        base = f"http://127.0.0.1:{listen}"
        command = [
            "prometheus",
            f"--config.file={folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{listen}",
        ]
        query = f"{base}/api/v1/query?query=count_over_time(gateway_requests_total[1m])%20%3E%202"
        with process(command, folder / "prometheus.log", lambda: bool(ask(query))):
            yield base


def ask(url: str) -> list[Any]:
    """Return the result of a query; empty if nothing answers yet. Raises for a query that is refused."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            result: list[Any] = json.load(answer)["data"]["result"]
            return result
    except urllib.error.HTTPError as problem:
        if problem.code == 503:  # Prometheus is starting
            return []
        raise AssertionError(problem.read()) from None
    except OSError:
        return []


@needs_prometheus
@pytest.mark.slow
def test_every_query_of_the_dashboard_answers(prometheus: str) -> None:
    silent = []
    for query in QUERIES:
        expression = query
        for name, value in VARIABLES.items():
            expression = expression.replace(name, value)
        if not ask(f"{prometheus}/api/v1/query?query={urllib.parse.quote(expression)}"):
            silent.append(expression)
    assert silent == [], "has no series"


@needs_prometheus
@pytest.mark.slow
def test_alerts_are_rules_that_prometheus_takes(prometheus: str) -> None:
    checked = subprocess.run(
        ["promtool", "check", "rules", str(FOLDER / "alerts.yaml")], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr + checked.stdout
    with urllib.request.urlopen(f"{prometheus}/api/v1/rules", timeout=10) as answer:
        rules = json.load(answer)["data"]["groups"][0]["rules"]
    assert {rule["name"] for rule in rules} == {rule["alert"] for rule in ALERTS}
    assert [rule["name"] for rule in rules if rule["health"] == "err"] == []
    # The one that has something to say: a key server that nobody can reach.
    assert next(rule for rule in rules if rule["name"] == "GatewayKeysGone")["alerts"]
