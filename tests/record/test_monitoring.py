"""The dashboard and the alert rules: every metric and label that they ask for exists, and a real Prometheus answers."""

from __future__ import annotations

import json
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
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

import gateway
from gateway.keys.status import SourceStatus
from gateway.policy.reasons import Reason
from gateway.policy.upstreams import Upstream
from gateway.record.exposition import metrics_text
from gateway.record.metrics import Gauges, Metrics
from gateway.record.outcome import ENDINGS, Outcome
from tests.jwks import serving_keys
from tests.minting import SECRET
from tests.processes import free_port, process, served, status_of
from tests.programs import needs

FOLDER = Path(gateway.__file__).parent.parent / "config" / "monitoring"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "grafana.json").read_text())
GROUPS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]
ALERTS = [rule for rule in RULES if "alert" in rule]
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
MARKS = [mark["expr"] for mark in DASHBOARD["annotations"]["list"]]
EXPRESSIONS = [*QUERIES, *MARKS, *(rule["expr"] for rule in RULES)]
VARIABLES = {"$job": ".*", "$instance": ".*", "$route": ".*", "$__rate_interval": "1m", "$__range": "1h"}
_NAME = re.compile(r"(?<!:)\b(?:gateway|process)_[a-z_]+")
_LABELS = re.compile(r"\b((?:gateway|process)_[a-z_]+)\{([^}]*)\}")


def metrics() -> dict[str, set[str]]:
    """Return the names of every series that the gateway exports, with its labels."""
    counted = Metrics()
    outcome = Outcome("id", "GET", "/", "192.0.2.1", began_at=0.0)
    outcome.decided_at = outcome.first_byte_at = 0.0
    outcome.upstream = Upstream("default", "http://mastra")
    outcome.would_deny, outcome.is_stream = "access_denied", True
    outcome.note_end()
    counted.record(outcome)
    status = SourceStatus("https://keys", "fresh", ("k",), 1.0, 1.0, False, 1, 0, None, None)
    found: dict[str, set[str]] = {}
    for line in (
        metrics_text(
            counted,
            Gauges(
                keys=(("people", status),),
                certificate_expires_at=1.0,
                upstream_certificates=(("default", 1.0),),
                budget_results={("people", "refused"): 1},
                budget_streams={"people": 1},
                store_is_down=True,
            ),
        )
        .decode()
        .splitlines()
    ):
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
    assert families - shown == {
        "gateway_token_cache_entries",
        "gateway_keys",
        "gateway_wire_requests",
        "gateway_callers",
    }, "told in operations.md, not drawn"


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
upstreams: {{down: {{url: "http://127.0.0.1:9"}}, up: {{url: "KEYS"}}}}
providers:
  jobs: {{type: jwt, secret: {SECRET.decode()}}}
  people: {{type: oidc, issuer: "http://127.0.0.1:9", audience: x}}
  staff: {{type: oidc, issuer: "https://staff.example.com", jwks_uri: "KEYS/jwks", audience: x}}
budgets: {{visitors: {{per: ip, streams: 3, requests: 60/1m}}}}
shared: {{url: "redis://127.0.0.1:9"}}
routes:
  /api: {{provider: jobs, allow: authenticated, upstream: down}}
  /staff: {{provider: staff, allow: authenticated, upstream: down}}
  /people: {{provider: people, allow: authenticated, upstream: down}}
  /tried: {{provider: jobs, allow: authenticated, enforce: false, upstream: down}}
  GET /public: {{public: true, upstream: down, budget: visitors}}
  GET /jwks: {{public: true, upstream: up}}
"""
needs_prometheus = needs("prometheus")


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a gateway that has something to tell, and a Prometheus that has scraped it. Gives its address."""
    folder = tmp_path_factory.mktemp("prometheus")
    # One key server is down: it serves, and is not ready.
    with serving_keys() as keys, served(FILE.replace("KEYS", keys[:-5]), folder, ready_path="/healthz") as gateway:
        for path in ("/api", "/people", "/tried", "/public", "/nowhere"):
            assert status_of(f"http://127.0.0.1:{gateway.port}{path}") in (401, 404, 502, 503)
        assert status_of(f"http://127.0.0.1:{gateway.port}/jwks") == 200
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


def test_dashboard_is_of_the_shape_that_grafana_publishes() -> None:
    # Grafana's own models of its JSON: what they do not know, or would write otherwise, is lost on the way.
    plugins.register_default_plugins()
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(DASHBOARD)))
    lost = {path.rpartition("/")[2] for path in missing_of(DASHBOARD, again)}
    # Of the models only Prometheus' own part of an annotation is left out: public/app/plugins/datasource/prometheus.
    assert lost <= {"titleFormat", "textFormat", "useValueForTime", "step"}


def missing_of(ours: Any, theirs: Any, path: str = "") -> list[str]:
    """Return where the second one lacks, or changes, something of the first."""
    match ours, theirs:
        case dict(), dict():
            return [found for key in ours for found in missing_of(ours[key], theirs.get(key, ...), f"{path}/{key}")]
        case list(), list() if len(ours) == len(theirs):
            pairs = enumerate(zip(ours, theirs, strict=True))
            return [found for number, (own, other) in pairs for found in missing_of(own, other, f"{path}/{number}")]
        case _:
            return [] if ours == theirs else [path]


def test_panels_lie_side_by_side_and_have_numbers_of_their_own() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not own & taken and place["x"] + place["w"] <= 24, panel["title"]
        taken |= own


def test_error_rate_thresholds_routes_and_reload_marks_are_on_the_dashboard() -> None:
    by_title = {panel["title"]: panel for panel in DASHBOARD["panels"]}
    steps = by_title["Error rate"]["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [step["value"] for step in steps] == [None, 0.001, 0.01]
    assert "route" in {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert all("$route" in target["expr"] for target in by_title["By route"]["targets"])
    assert [mark["name"] for mark in DASHBOARD["annotations"]["list"]] == ["Reloads", "Reloads that failed"]


BURN = """
rule_files: [alerts.yaml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {series: 'gateway_requests_total{job="gateway", status="200"}', values: "0+98x600"}
      - {series: 'gateway_requests_total{job="gateway", status="502"}', values: "0+0x300 0+2x300"}
    alert_rule_test:
      - {eval_time: 299m, alertname: GatewayErrorsBurnFast, exp_alerts: []}
      - {eval_time: 303m, alertname: GatewayErrorsBurnFast, exp_alerts: []}
      - eval_time: 400m
        alertname: GatewayErrorsBurnFast
        exp_alerts: [{exp_labels: {job: gateway, severity: critical}, exp_annotations: FAST}]
"""


@needs_prometheus
def test_burn_rate_alert_waits_for_the_long_window_and_ends_with_the_short_one(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "alerts.yaml", tmp_path)
    rule = next(rule for rule in ALERTS if rule["alert"] == "GatewayErrorsBurnFast")
    told = rule["annotations"] | {
        "summary": "gateway: 2% of requests are answered 5xx, which uses up 2 % of a month's errors in an hour"
    }
    (tmp_path / "burn.yaml").write_text(BURN.replace("FAST", json.dumps(told)))
    done = subprocess.run(
        ["promtool", "test", "rules", str(tmp_path / "burn.yaml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


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
    # The gateway of this test has no certificate, nor has an upstream; those queries were taken all the same.
    assert ["certificate_expires" in query for query in silent] == [True, True], silent
    for mark in MARKS:  # one of them has nothing to mark: it is enough that Prometheus takes it
        for name, value in VARIABLES.items():
            mark = mark.replace(name, value)
        ask(f"{prometheus}/api/v1/query?query={urllib.parse.quote(mark)}")


@needs_prometheus
@pytest.mark.slow
def test_alerts_are_rules_that_prometheus_takes(prometheus: str) -> None:
    checked = subprocess.run(
        ["promtool", "check", "rules", str(FOLDER / "alerts.yaml")], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr + checked.stdout
    with urllib.request.urlopen(f"{prometheus}/api/v1/rules", timeout=10) as answer:
        rules = [rule for group in json.load(answer)["data"]["groups"] for rule in group["rules"]]
    assert {rule["name"] for rule in rules} == {rule.get("alert") or rule["record"] for rule in RULES}
    assert [rule["name"] for rule in rules if rule["health"] == "err"] == []
    # The one that has something to say: a key server that nobody can reach.
    assert next(rule for rule in rules if rule["name"] == "GatewayKeysGone")["alerts"]
