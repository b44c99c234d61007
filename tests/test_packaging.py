"""What is installed, built and started, as far as reading can hold it. `.ci/run` and a container engine do the rest."""

from __future__ import annotations

import hashlib
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import gateway
from tests.programs import needs

PROJECT = Path(gateway.__file__).parent.parent
KINDS = ("", "-dev", "-build", "-browser", "-bench", "-deploy", "-engines", "-mutants")
LOCKS = tuple(f"requirements{kind}.lock" for kind in KINDS)
PROJECT_FILE: dict[str, Any] = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
COMPOSE: dict[str, Any] = yaml.safe_load((PROJECT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
APACHE_2 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"


class _Loader(yaml.SafeLoader):
    """Reads Compose's own tags as what they stand on."""


def _override(loader: _Loader, node: yaml.Node) -> list[Any]:
    assert isinstance(node, yaml.SequenceNode)
    return list(loader.construct_sequence(node))


_Loader.add_constructor("!override", _override)
SCALE_FILE: dict[str, Any] = yaml.load((PROJECT / "docker-compose.scale.yml").read_text(encoding="utf-8"), _Loader)  # noqa: S506
SCALED: dict[str, dict[str, Any]] = SCALE_FILE["services"]
_PIN = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>\S+)(?: ; [^\\]+)? \\$")


def read_lock(name: str) -> dict[str, int]:
    """Return the number of hashes of each pinned package."""
    hashes: dict[str, int] = {}
    package = ""
    for line in (PROJECT / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("    --hash=sha256:"):
            hashes[package] += 1
        elif not line.startswith("#"):
            pin = _PIN.match(line)
            assert pin, f"{name}: not pinned: {line}"
            package = f"{pin['name']}=={pin['version']}"
            hashes[package] = 0
    return hashes


def name_of(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9_.-]+", requirement)
    assert match
    return match[0].lower().replace("_", "-")


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_hashes(lock: str) -> None:
    hashes = read_lock(lock)
    assert hashes
    assert [package for package, count in hashes.items() if not count] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_names_no_address(lock: str) -> None:
    # Who installs chooses the registry: a mirror, an air-gapped one.
    text = (PROJECT / lock).read_text(encoding="utf-8")
    assert "://" not in text
    assert "--index" not in text


def test_what_is_run_in_production_is_what_is_tested() -> None:
    assert set(read_lock("requirements.lock")) <= set(read_lock("requirements-dev.lock"))
    assert set(read_lock("requirements-build.lock")) <= set(read_lock("requirements-dev.lock"))


def test_every_dependency_has_a_lower_bound_and_is_locked() -> None:
    dependencies = PROJECT_FILE["project"]["dependencies"]
    locked = {package.split("==")[0] for package in read_lock("requirements.lock")}
    assert {name_of(one) for one in dependencies} <= locked
    assert [one for one in dependencies if ">=" not in one] == []


def test_license_is_said_once_and_its_text_comes_along() -> None:
    project = PROJECT_FILE["project"]
    assert project["license"] == "Apache-2.0"
    assert project["license-files"] == ["LICENSE"]
    text = (PROJECT / "LICENSE").read_bytes()
    assert hashlib.sha256(text).hexdigest() == APACHE_2, "the text as the Apache foundation publishes it, to the byte"
    # Who says it in both ways is refused by registries: PEP 639.
    assert [one for one in project["classifiers"] if one.startswith("License ::")] == []


def test_pythons_that_are_named_are_those_that_setup_looks_for() -> None:
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT_FILE["project"]["classifiers"]))
    looked_for = re.search(r"for name in ((?:python3\.\d+ )+)", (PROJECT / "Makefile").read_text(encoding="utf-8"))
    assert looked_for
    assert sorted(f"python{version}" for version in named) == sorted(looked_for[1].split())
    assert PROJECT_FILE["project"]["requires-python"] == f">={named[0]}"


def test_image_has_every_file_that_the_wheel_is_made_of() -> None:
    project = PROJECT_FILE["project"]
    files = {"pyproject.toml", "setup.py", project["readme"], *project["license-files"], "gateway"}
    copied = re.findall(r"^COPY (?!--)(.+) \S+$", (PROJECT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    allowed = (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert files <= {name for names in copied for name in names.split()}
    assert {f"!{name}" for name in files} <= set(allowed)


def stages() -> list[list[str]]:
    """Return the instructions of the Dockerfile, by stage; continued lines are one."""
    text = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
    lines = re.sub(r"(?m)^#.*\n", "", text).replace("\\\n", " ").splitlines()
    found: list[list[str]] = []
    for line in filter(None, lines):
        if line.startswith("FROM "):
            found.append([])
        found[-1].append(line)
    return found


def test_layer_of_dependencies_is_made_of_the_lock_alone() -> None:
    first, _, last = stages()
    assert first[0].endswith(" AS dependencies")
    assert [line for line in first if line.startswith(("COPY", "ADD"))] == ["COPY requirements.lock ./"]
    assert [line for line in first if line.startswith("ARG")] == []  # a value that changes would make another layer
    assert [line for line in last if line.startswith(("COPY", "ADD"))] == [
        "COPY --from=dependencies /opt/gateway /opt/gateway",
        "COPY --from=build /own /opt/gateway",  # nothing but the gateway's own wheel
    ]


def test_what_is_only_an_extra_may_be_missing_where_the_image_is_compiled() -> None:
    # mypyc reads the types of what is imported, and the image has the locked packages alone.
    missing = {one["module"] for one in PROJECT_FILE["tool"]["mypy"]["overrides"] if one["ignore_missing_imports"]}
    for name in PROJECT_FILE["project"]["optional-dependencies"]:
        assert f"{name}.*" in missing


def test_image_says_what_it_is() -> None:
    last = stages()[-1]
    (label,) = (line for line in last if line.startswith("LABEL "))
    said = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', label))
    assert set(said) == {"title", "description", "licenses", "version", "revision"}
    assert said["title"] == PROJECT_FILE["project"]["name"] and said["licenses"] == PROJECT_FILE["project"]["license"]
    assert f"ARG VERSION={gateway.__version__}" in last and said["version"] == "$VERSION"
    assert last[-1] == label, "what changes with each commit comes last, so that it makes no layer anew"


def test_only_the_gateway_is_published() -> None:
    published = [name for name, service in SERVICES.items() if service.get("ports") and "profiles" not in service]
    assert published == ["gateway"]


def test_whatever_is_published_is_for_this_machine_alone() -> None:
    ports = [port for service in (*SERVICES.values(), *SCALED.values()) for port in service.get("ports", ())]
    assert len(ports) == 7 and [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_scaled_gateways_have_no_fixed_port_and_the_balancer_has_it() -> None:
    assert SCALED["gateway"]["ports"] == ["127.0.0.1::9090"]
    assert SCALED["balancer"]["ports"] == ["127.0.0.1:8080:8080"]
    assert SERVICES["gateway"]["ports"][0] == "127.0.0.1:8080:8080"


def test_only_the_balancer_is_believed_about_where_requests_come_from() -> None:
    (network,) = SCALE_FILE["networks"]["balance"]["ipam"]["config"]
    assert SCALED["gateway"]["environment"] == {"TRUSTED_PROXY": network["subnet"], "DRAIN_DELAY": "5s"}
    members = {name for name, service in SCALED.items() if "balance" in service["networks"]}
    assert members == {"gateway", "balancer"} and not any("balance" in one["networks"] for one in networked())
    file = yaml.safe_load((PROJECT / "config" / "compose.yaml").read_text(encoding="utf-8"))
    assert file["trusted_proxies"] == ["${TRUSTED_PROXY:-127.0.0.1}"]
    assert file["drain_delay"] == "${DRAIN_DELAY:-0s}"
    assert SERVICES["gateway"]["stop_grace_period"] == "45s"  # the delay, 30 s of drain_timeout, and 10 s


def networked() -> list[dict[str, Any]]:
    return [service for service in SERVICES.values() if "networks" in service]


def test_envoy_asks_two_gateways_on_a_network_that_nobody_else_is_on() -> None:
    envoy, deciding, printing = SERVICES["envoy"], [SERVICES["decide-1"], SERVICES["decide-2"]], SERVICES["print"]
    assert all(one["profiles"] == ["envoy"] for one in (envoy, *deciding, printing))
    file = yaml.safe_load((PROJECT / "config" / "compose.yaml").read_text(encoding="utf-8"))
    (network,) = COMPOSE["networks"]["decide"]["ipam"]["config"]
    assert file["decisions"]["from"] == ["127.0.0.1", network["subnet"]]
    members = {name for name, service in SERVICES.items() if "decide" in service.get("networks", ())}
    assert members == {"envoy", "decide-1", "decide-2"}
    asked = [word for word in printing["command"] if word.startswith("decide-")]
    assert asked == ["decide-1:9191", "decide-2:9191"]
    assert {one["environment"]["DECISIONS"] for one in deciding} == {"0.0.0.0:9191"}


def test_envoy_sees_no_secret_and_the_gateways_no_more_than_their_file() -> None:
    assert SERVICES["envoy"]["volumes"] == ["engine:/run/engine:ro"]
    assert SERVICES["envoy"]["entrypoint"][-1].startswith("/run/engine/")
    assert SERVICES["print"]["network_mode"] == "none" and "engine:/run/engine" in SERVICES["print"]["volumes"]
    assert all(volume.endswith(":ro") for volume in SERVICES["decide-1"]["volumes"])


def test_monitoring_is_a_profile_with_the_dashboard_in_it() -> None:
    for name in ("prometheus", "grafana"):
        assert SERVICES[name]["profiles"] == ["monitoring"] and "@" not in SERVICES[name]["image"]
        for volume in SERVICES[name]["volumes"]:
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (PROJECT / source).exists(), volume
    folder = PROJECT / "config" / "monitoring"
    (source,) = yaml.safe_load((folder / "grafana/datasources/prometheus.yaml").read_text())["datasources"]
    assert source["type"] == "prometheus" and source["isDefault"] and source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((folder / "grafana/dashboards/gateway.yaml").read_text())["providers"]
    mounted = next(volume.split(":") for volume in SERVICES["grafana"]["volumes"] if "grafana.json" in volume)
    assert mounted[1] == f"{provider['options']['path']}/gateway.json"
    assert SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == mounted[1]
    scraped = yaml.safe_load((folder / "compose.yaml").read_text())
    assert "--config.file=/etc/prometheus/compose.yaml" in SERVICES["prometheus"]["command"]
    (found,) = scraped["scrape_configs"][0]["dns_sd_configs"]
    assert (found["names"], found["port"]) == (["gateway"], 9090)


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(
            ["promtool", "check", "config", "config/monitoring/compose.yaml"], marks=needs("promtool"), id="promtool"
        ),
        pytest.param(["haproxy", "-c", "-f", "config/balancer/haproxy.cfg"], marks=needs("haproxy"), id="haproxy"),
    ],
)
def test_other_programs_take_their_files(command: list[str]) -> None:
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_upstream_is_on_a_network_that_leads_nowhere_else() -> None:
    assert SERVICES["mastra"]["networks"] == ["back"]
    assert COMPOSE["networks"]["back"] == {"internal": True}


def test_redis_asks_for_no_password_and_is_reached_by_gateways_alone() -> None:
    reach = {name for name, service in SERVICES.items() if "store" in service.get("networks", ())}
    assert SERVICES["redis"]["networks"] == ["store"] and COMPOSE["networks"]["store"] == {"internal": True}
    assert reach == {"gateway", "decide-1", "decide-2", "redis"}
    (offered,) = re.findall(r"# (shared: .*?)\s+#", (PROJECT / "config" / "compose.yaml").read_text())
    assert yaml.safe_load(offered) == {"shared": {"url": "redis://redis:6379/0"}}


@pytest.mark.parametrize("name", [*SERVICES, "balancer"])
def test_service_may_do_no_more_than_it_must(name: str) -> None:
    service = SERVICES.get(name) or SCALED[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    # The image's own, which is not root; Envoy's is, and Redis' gives itself up only later, so the file says another.
    assert ("user" in service) is (name in ("envoy", "redis")) and re.fullmatch(
        r"[1-9]\d*:[1-9]\d*", service.get("user", "1:1")
    )


def test_gateway_cannot_write_its_secret() -> None:
    assert "secrets:/run/gateway:ro" in SERVICES["gateway"]["volumes"]
    assert "environment" not in SERVICES["gateway"]


def test_image_does_not_run_as_root() -> None:
    lines = (PROJECT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1])
    assert "STOPSIGNAL SIGTERM" in lines


def test_image_is_built_from_what_is_named_only() -> None:
    # A stray .env or key in the checkout must not end in a layer.
    lines = (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
