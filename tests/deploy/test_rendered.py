"""`deploy/kubernetes`: the chart with its default values, for who has no Helm."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.deploy.chart import PROJECT, RENDERED, objects, requires, run
from tests.deploy.render import rendered

PAGE = (PROJECT / "docs" / "how-to" / "kubernetes.md").read_text()
KUSTOMIZATION = yaml.safe_load((RENDERED / "kustomization.yaml").read_text())


def test_every_file_is_named_and_every_name_is_a_file() -> None:
    files = {file.name for file in RENDERED.glob("*.yaml")} - {"kustomization.yaml"}
    assert sorted(files) == KUSTOMIZATION["resources"]


@pytest.mark.parametrize("_", [pytest.param(None, marks=requires("helm"), id="helm")])
def test_files_are_what_the_chart_renders(_: None) -> None:
    assert {name: (RENDERED / name).read_text() for name in KUSTOMIZATION["resources"]} == rendered(), "make kubernetes"


@pytest.mark.parametrize("_", [pytest.param(None, marks=requires("kubectl", "kubernetes-validate"), id="kubectl")])
def test_kustomize_makes_the_same_objects(_: None, tmp_path: Path) -> None:
    done = run("kubectl", "kustomize", str(RENDERED))
    assert done.returncode == 0, done.stderr
    built = objects(done.stdout)
    written = objects("---\n".join((RENDERED / name).read_text() for name in KUSTOMIZATION["resources"]))
    assert set(built) == set(written)
    for one, other in ((built[key], written[key]) for key in built):
        labels = one["metadata"].pop("labels"), other["metadata"].pop("labels")
        assert labels[0]["app.kubernetes.io/managed-by"] == "kustomize"
        assert one == other
    file = tmp_path / "built.yaml"
    file.write_text(done.stdout)
    done = run("kubernetes-validate", "--strict", "-k", "1.37.0", str(file))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("_", [pytest.param(None, marks=requires("kubectl"), id="kubectl")])
def test_overlay_of_the_page_brings_a_file_of_its_own_under_the_same_name(_: None, tmp_path: Path) -> None:
    blocks = re.findall(r"```\n# kustomization.yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "base").symlink_to(RENDERED)
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    (overlay / "gateway.yaml").write_text("admin: 0.0.0.0:9090\n")
    (overlay / "kustomization.yaml").write_text(blocks[0].replace("mastra-auth-gateway/deploy/kubernetes", "base"))
    done = run("kubectl", "kustomize", str(overlay), "--load-restrictor=LoadRestrictionsNone")
    assert done.returncode == 0, done.stderr
    built = objects(done.stdout)
    # With a suffix made of its contents every change would roll the pods.
    assert built["ConfigMap", "mastra-gateway"]["data"] == {"gateway.yaml": "admin: 0.0.0.0:9090\n"}
    spec = built["Deployment", "mastra-gateway"]["spec"]["template"]["spec"]
    assert spec["containers"][0]["image"] == "IMAGE:TAG" and spec["terminationGracePeriodSeconds"] == 135
    assert built["NetworkPolicy", "mastra-gateway-upstream"]["spec"]["podSelector"] == {
        "matchLabels": {"app": "mastra"}
    }
    assert {one["metadata"]["namespace"] for one in built.values()} == {"agents"}


@pytest.mark.parametrize("_", [pytest.param(None, marks=requires("helm"), id="helm")])
def test_file_and_call_of_the_page_are_rendered(_: None, tmp_path: Path) -> None:
    (call,) = re.findall(r"```\nhelm upgrade --install (\S+ \S+ -n agents .*?)\nkubectl", PAGE, re.DOTALL)
    (file,) = re.findall(r"```yaml\n# gateway.yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "gateway.yaml").write_text(file)
    arguments = call.replace("\\\n", " ").replace("config=", f"config={tmp_path}/").split()
    done = run("helm", "template", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    built = objects(done.stdout)
    assert built["ConfigMap", "mastra-gateway"]["data"]["gateway.yaml"] == file
    spec = built["Deployment", "mastra-gateway"]["spec"]["template"]["spec"]
    assert spec["containers"][0]["image"] == "IMAGE:TAG" and spec["terminationGracePeriodSeconds"] == 135
    assert built["NetworkPolicy", "mastra-gateway-upstream"]["spec"]["podSelector"] == {
        "matchLabels": {"app": "mastra"}
    }
