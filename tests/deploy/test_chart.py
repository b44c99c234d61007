"""The chart as Helm renders it: what a cluster would refuse, what pods may do, and the file that they get."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import gateway
from gateway.commands.main import run_command
from gateway.server.reload import restart_needed
from tests.deploy.chart import CHART, VALUES, objects, rendered_with, requires, run, template, with_values
from tests.server.test_server import make_certificate

pytestmark = requires("helm")

FILES = ["default", "small", "full"]
KUBERNETES = ["1.29.0", "1.33.0", "1.37.0"]  # the oldest that Chart.yaml takes, one between, the newest there is
SECRET = "kJ4v9QzT2mX7bW1cR8yL5nP3sD6fG0hA-deploy"
VARIABLES = {
    "MASTRA_JWT_SECRET": SECRET,
    "OLD_JWT_SECRET": f"old {SECRET}",
    "SUBJECT_SECRET": f"subjects {SECRET}",
    "AUTH0_DOMAIN": "tenant.eu.auth0.com",
}


def kinds(name: str) -> dict[str, list[dict[str, Any]]]:
    """Return the objects of a file of values, by kind."""
    found: dict[str, list[dict[str, Any]]] = {}
    for (kind, _), one in objects(rendered_with(name)).items():
        found.setdefault(kind, []).append(one)
    return found


def pod(name: str, *arguments: str) -> dict[str, Any]:
    """Return the specification of the pods."""
    text = template(*with_values(name), *arguments) if arguments else rendered_with(name)
    (deployment,) = (one for (kind, _), one in objects(text).items() if kind == "Deployment")
    spec: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return spec


def container(name: str, *arguments: str) -> dict[str, Any]:
    (only,) = pod(name, *arguments)["containers"]
    return dict(only)


def file_with(tmp_path: Path, **keys: str) -> tuple[str, ...]:
    """Return the argument for a file of the gateway with these lines, each `key: value`; the rest is there."""
    lines = {"admin": "0.0.0.0:9090", "upstream": "http://mastra:4111", "routes": "{/x: {public: true}}"} | keys
    file = tmp_path / "gateway.yaml"
    file.write_text("".join(f"{key}: {value}\n" for key, value in lines.items() if value))
    return "--set-file", f"config={file}"


@pytest.mark.parametrize("name", FILES)
def test_helm_finds_nothing_to_say_of_it(name: str) -> None:
    done = run("helm", "lint", "--strict", str(CHART), *with_values(name))
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(r"\[(?:WARNING|ERROR)\].*", done.stdout) == []


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("_", [pytest.param(None, marks=requires("kubernetes-validate"), id="strict")])
def test_kubernetes_would_take_every_object(name: str, version: str, _: None, tmp_path: Path) -> None:
    file = tmp_path / "rendered.yaml"
    file.write_text(rendered_with(name))
    done = run("kubernetes-validate", "--strict", "-k", version, str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (done.stdout + done.stderr).count(" passed ") == len(objects(file.read_text()))


@pytest.mark.parametrize("_", [pytest.param(None, marks=requires("kubernetes-validate"), id="strict")])
def test_a_misspelt_key_would_have_been_seen(_: None, tmp_path: Path) -> None:
    file = tmp_path / "rendered.yaml"
    file.write_text(rendered_with("default").replace("readOnlyRootFilesystem", "readOnlyRootFileSystem"))
    done = run("kubernetes-validate", "--strict", "-k", KUBERNETES[0], str(file))
    assert done.returncode == 1 and "readOnlyRootFileSystem" in done.stdout + done.stderr


def test_oldest_kubernetes_that_is_checked_is_the_oldest_that_is_taken() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["kubeVersion"] == f">={KUBERNETES[0]}-0"
    assert chart["appVersion"] == gateway.__version__


@pytest.mark.parametrize("name", FILES)
def test_gateway_takes_the_file_of_the_config_map(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable, value in VARIABLES.items():
        monkeypatch.setenv(variable, value)
    (config_map,) = kinds(name)["ConfigMap"]
    text = config_map["data"]["gateway.yaml"]
    for folder in ("tls", "upstream"):  # what Secrets would bring
        text = text.replace(f"/run/secrets/{folder}/", f"{tmp_path}/")
    (tmp_path / "secret").write_text(f"upstream {SECRET}")
    make_certificate(tmp_path, "tls")
    file = tmp_path / "gateway.yaml"
    file.write_text(text)
    status = run_command(["check", "-c", str(file)])
    printed = capsys.readouterr()
    assert status == 0, printed.out + printed.err


def test_file_that_is_given_stands_there_whole_and_alone() -> None:
    (config_map,) = kinds("full")["ConfigMap"]
    given = yaml.safe_load((VALUES / "full.yaml").read_text())["config"]
    assert config_map["data"]["gateway.yaml"] == given  # comments, braces and all
    (config_map,) = kinds("small")["ConfigMap"]
    given = yaml.safe_load((VALUES / "small.yaml").read_text())["config"]
    assert yaml.safe_load(config_map["data"]["gateway.yaml"]) == given  # nothing of the chart's own file beside it


def test_file_is_mounted_as_a_folder_that_is_swapped_as_a_whole() -> None:
    for name in FILES:
        mounts = {one["name"]: one for one in container(name)["volumeMounts"]}
        assert mounts["file"] == {"name": "file", "mountPath": "/etc/gateway", "readOnly": True}
        assert not any("subPath" in one for one in mounts.values())
        volumes = {one["name"]: one for one in pod(name)["volumes"]}
        (config_map,) = kinds(name)["ConfigMap"]
        assert volumes["file"]["configMap"] == {"name": config_map["metadata"]["name"]}
        assert container(name)["args"] == ["serve", "-c", "/etc/gateway/gateway.yaml"]


def test_secrets_come_as_variables_and_as_folders_and_never_by_value() -> None:
    assert container("default")["envFrom"] == [{"secretRef": {"name": "mastra-gateway"}}]
    assert [one["secretRef"]["name"] for one in container("full")["envFrom"]] == ["gateway-secrets", "gateway-more"]
    mounts = {one["mountPath"]: one["name"] for one in container("full")["volumeMounts"]}
    volumes = {one["name"]: one for one in pod("full")["volumes"]}
    assert volumes[mounts["/run/secrets/tls"]]["secret"] == {"secretName": "gateway-tls", "defaultMode": 0o440}
    assert "envFrom" not in container("small")
    assert all("Secret" not in kinds(name) for name in FILES)


@pytest.mark.parametrize(
    ("delay", "drain", "reserve", "seconds"),
    [
        ("", "", 10, 40),  # the file's own defaults: no delay, 30 s
        ("5s", "30s", 10, 45),
        ("0", "0", 1, 1),
        ("1.5s", "250ms", 10, 12),
        ("", "1.5h", 20, 5420),
        ("500ms", "2m", 10, 131),
    ],
)
def test_grace_is_what_the_file_says_and_a_reserve(
    tmp_path: Path, delay: str, drain: str, reserve: int, seconds: int
) -> None:
    file = file_with(tmp_path, drain_delay=delay, drain_timeout=drain)
    spec = pod("default", *file, "--set", f"terminationReserveSeconds={reserve}")
    assert spec["terminationGracePeriodSeconds"] == seconds
    assert "lifecycle" not in container("default", *file)  # a preStop would count into the same period


@pytest.mark.parametrize("name", FILES)
def test_kubelet_asks_the_admin_port_that_the_file_names(name: str) -> None:
    one = container(name)
    ports = {port["name"]: port["containerPort"] for port in one["ports"]}
    assert ports == {"default": {"public": 8080, "admin": 9090}, "small": {"public": 8080, "admin": 9191},
                     "full": {"public": 8443, "admin": 9999}}[name]  # fmt: skip
    asked = {kind: one[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    assert asked == {
        "startup": {"path": "/healthz", "port": "admin"},
        "liveness": {"path": "/healthz", "port": "admin"},
        "readiness": {"path": "/readyz", "port": "admin"},
    }


def test_pod_that_stops_is_not_ready_before_its_delay_is_over() -> None:
    probe = container("default")["readinessProbe"]
    file = yaml.safe_load((CHART / "files" / "gateway.yaml").read_text())
    assert file["drain_delay"] == "5s" and probe["periodSeconds"] * probe["failureThreshold"] < 5


@pytest.mark.parametrize("name", FILES)
def test_pod_may_do_no_more_than_it_must(name: str) -> None:
    spec, one = pod(name), container(name)
    user = {"default": 65532, "small": None, "full": 10001}[name]
    own = {key: user for key in ("runAsUser", "runAsGroup", "fsGroup") if user is not None}
    assert spec["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}, **own}
    assert one["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "privileged": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False and spec["enableServiceLinks"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    assert one["resources"]["requests"].keys() >= {"cpu", "memory"} and "memory" in one["resources"]["limits"]
    assert all(account["automountServiceAccountToken"] is False for account in kinds(name).get("ServiceAccount", ()))


def test_nothing_can_be_written_but_memory() -> None:
    writable = [one["name"] for one in container("full")["volumeMounts"] if not one.get("readOnly")]
    volumes = {one["name"]: one for one in pod("full")["volumes"]}
    assert writable == ["memory"] and volumes["memory"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "16Mi"}


def test_user_is_that_of_the_image() -> None:
    image = (CHART.parents[1] / "Dockerfile").read_text()
    assert f"USER {pod('default')['securityContext']['runAsUser']}:" in image


def policies(name: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in kinds(name).get("NetworkPolicy", ())}


def test_only_the_gateway_gets_to_mastra() -> None:
    policy = policies("default")["mastra-gateway-upstream"]["spec"]
    labels = {"app.kubernetes.io/name": "mastra-gateway", "app.kubernetes.io/instance": "mastra-gateway"}
    assert policy == {
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "mastra"}},
        "policyTypes": ["Ingress"],
        "ingress": [{"ports": [{"protocol": "TCP", "port": 4111}], "from": [{"podSelector": {"matchLabels": labels}}]}],
    }
    (deployment,) = kinds("default")["Deployment"]
    assert labels.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


def test_gateway_of_another_namespace_is_found_by_the_namespace_as_well() -> None:
    policy = policies("full")["agents-gate-upstream"]
    assert policy["metadata"]["namespace"] == "mastra"
    assert policy["spec"]["podSelector"] == {"matchLabels": {"app": "mastra", "tier": "agents"}}
    (rule,) = policy["spec"]["ingress"]
    assert rule["from"][0]["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": "agents"}}
    assert rule["from"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/name"] == "gate"
    assert len(rule["from"]) == 2  # the other is `alsoFrom`


def test_admin_port_is_for_those_that_are_named() -> None:
    (rule,) = policies("default")["mastra-gateway"]["spec"]["ingress"]
    assert rule == {"ports": [{"protocol": "TCP", "port": 8080}]}  # from anywhere; the admin port from nowhere
    public, admin = policies("full")["agents-gate"]["spec"]["ingress"]
    assert (
        public["ports"] == [{"protocol": "TCP", "port": 8443}] and public["from"][0]["ipBlock"]["cidr"] == "10.0.0.0/8"
    )
    assert admin["ports"] == [{"protocol": "TCP", "port": 9999}]
    (peer,) = admin["from"]  # both selectors in one peer: both must hold
    assert set(peer) == {"namespaceSelector", "podSelector"}
    assert policies("small") == {}


def test_public_service_leads_to_the_public_port_alone() -> None:
    for name, port in (("default", 80), ("full", 443)):
        public, admin = kinds(name)["Service"]
        assert [(one["port"], one["targetPort"]) for one in public["spec"]["ports"]] == [(port, "public")]
        assert admin["spec"]["clusterIP"] == "None" and [one["name"] for one in admin["spec"]["ports"]] == ["admin"]


def test_replicas_are_the_autoscalers_affair_where_there_is_one() -> None:
    (deployment,) = kinds("full")["Deployment"]
    (scaler,) = kinds("full")["HorizontalPodAutoscaler"]
    assert "replicas" not in deployment["spec"] and scaler["spec"]["minReplicas"] == 3
    assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    (alone,) = kinds("small")["Deployment"]
    assert alone["spec"]["replicas"] == 1 and "HorizontalPodAutoscaler" not in kinds("small")


def test_pods_go_one_at_a_time_and_are_spread() -> None:
    (budget,) = kinds("default")["PodDisruptionBudget"]
    (deployment,) = kinds("default")["Deployment"]
    assert budget["spec"]["maxUnavailable"] == 1
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    spread = {one["topologyKey"]: one for one in pod("default")["topologySpreadConstraints"]}
    assert set(spread) == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
    selector = deployment["spec"]["selector"]
    assert all(one["labelSelector"] == selector for one in spread.values()) and budget["spec"]["selector"] == selector
    assert "topologySpreadConstraints" not in pod("small")


@pytest.mark.parametrize("name", FILES)
def test_every_object_has_the_recommended_labels(name: str) -> None:
    wanted = {"name", "instance", "version", "component", "part-of", "managed-by"}
    for one in objects(rendered_with(name)).values():
        assert {f"app.kubernetes.io/{label}" for label in wanted} <= set(one["metadata"]["labels"])


def test_change_rolls_the_pods_only_where_a_restart_is_needed(tmp_path: Path) -> None:
    def rolled_by(**keys: str) -> bool:
        return template(*file_with(tmp_path, **keys)).partition("kind: Deployment")[2] != before

    before = template(*file_with(tmp_path)).partition("kind: Deployment")[2]
    assert not rolled_by(decisions="{from: [10.0.0.0/8]}")
    assert not rolled_by(routes="{/y: {public: true}}", trusted_proxies="[10.0.0.0/8]", cors="{origins: ['*']}")
    fixed = {"listen": "0.0.0.0:8081", "admin": "0.0.0.0:9091", "admin_hosts": "[a.example.com]", "workers": "2",
             "log": "{format: text}", "traces": "opentelemetry", "express": "false",
             "tls": "{key_file: a}", "decisions": "{listen: 127.0.0.1:9191}"}  # fmt: skip
    assert {key for key, value in fixed.items() if rolled_by(**{key: value})} == set(fixed)
    code = inspect.getsource(restart_needed)
    assert set(re.findall(r'"(\w+)"', code)) == set(fixed), "a key that is fixed at the start is one for the chart, too"


@pytest.mark.parametrize("name", FILES)
def test_notes_are_printed(name: str) -> None:
    done = run("helm", "install", "mastra-gateway", str(CHART), "--dry-run=client", "-n", "agents", *with_values(name))
    assert done.returncode == 0, done.stderr
    notes = done.stdout.partition("NOTES:\n")[2]
    assert "<no value>" not in notes and "%!" not in notes
    seconds = pod(name)["terminationGracePeriodSeconds"]
    assert f"A pod that is stopped has {seconds} s" in notes
    assert ("`config` is empty" in notes) == (name == "default")
    assert ("`drain_delay` is not in the file" in notes) == (name != "default")
    assert ("nothing of this chart keeps callers from Mastra" in notes) == (name == "small")
    assert ("`log.subject_secret` is not in the file" in notes) == (name != "full")
