"""The unit for systemd: that it is one, that it leaves little, and that the gateway runs with the hardest of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from gateway.config.model import Limits
from gateway.transport.descriptors import room_for
from tests.deploy.chart import CHART, PROJECT, found, requires
from tests.processes import free_port, process, status_of

UNIT = PROJECT / "deploy" / "systemd" / "mastra-gateway.service"
MOST_EXPOSURE = "15"  # of 100; it has 12: the network, sockets of this machine, a group that may write
_PROGRAM = "/opt/mastra-gateway/bin/gateway"

# The program that is started begins with what MemoryDenyWriteExecute asks of the kernel (Linux 6.3; prctl(2)).
_DENIED = """
import ctypes, runpy, sys
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) != 0:
    sys.exit("PR_SET_MDWE is not known")
sys.argv[0] = "gateway"
runpy.run_module("gateway", run_name="__main__")
"""


def settings() -> dict[str, list[str]]:
    """Return the values of each setting, in their order."""
    read: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            read.setdefault(name, []).append(value)
    return read


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [found("systemd-analyze") or "systemd-analyze", *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("_", [pytest.param(None, marks=requires("systemd-analyze"), id="systemd")])
def test_systemd_takes_every_line(_: None, tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace(_PROGRAM, "/bin/true"))  # what is not installed here would be a mistake
    done = analyze("verify", "--man=no", str(unit))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("_", [pytest.param(None, marks=requires("systemd-analyze"), id="systemd")])
def test_it_may_do_little(_: None) -> None:
    done = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSURE}", str(UNIT))
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_is_reloaded_and_stopped_by_the_signals_that_the_gateway_knows() -> None:
    unit = settings()
    assert unit["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert unit["KillSignal"] == ["SIGTERM"] and unit["KillMode"] == ["mixed"]
    assert unit["ExecStart"] == [f"{_PROGRAM} serve -c /etc/mastra-gateway/gateway.yaml"]
    assert unit["EnvironmentFile"] == ["-/etc/mastra-gateway/environment"]
    assert unit["RuntimeDirectory"] == ["gateway"] and unit["StateDirectory"] == ["mastra-gateway"]


def test_it_has_time_to_drain_and_descriptors_for_all() -> None:
    unit = settings()
    file = yaml.safe_load((CHART / "files" / "gateway.yaml").read_text())  # with a delay, and the default time
    seconds = sum(int(file[key].removesuffix("s")) for key in ("drain_delay", "drain_timeout"))
    assert int(unit["TimeoutStopSec"][0]) >= seconds + 10
    limits = Limits()
    assert room_for(limits, int(unit["LimitNOFILE"][0]))[0] == limits.connections


def test_gateway_runs_where_no_memory_becomes_executable(tmp_path: Path) -> None:
    assert settings()["MemoryDenyWriteExecute"] == ["yes"]
    probe = subprocess.run([sys.executable, "-c", _DENIED, "schema"], capture_output=True, text=True, check=False)
    if "PR_SET_MDWE" in probe.stderr or sys.platform != "linux":
        pytest.skip("this kernel cannot deny it")
    port = free_port()
    file = tmp_path / "gateway.yaml"
    file.write_text(
        f"listen: 127.0.0.1:{free_port()}\nadmin: 127.0.0.1:{port}\nupstream: http://127.0.0.1:1\n"
        "providers: {a: {type: oidc, issuer: 'http://127.0.0.1:1', audience: x}}\n"
        "routes: {/x: {provider: a, allow: [{when: claims.sub == 'a'}]}}\n"  # CEL has code of its own
    )
    command = [sys.executable, "-c", _DENIED, "serve", "-c", str(file)]
    with process(command, tmp_path / "log", lambda: status_of(f"http://127.0.0.1:{port}/healthz") == 200):
        assert status_of(f"http://127.0.0.1:{port}/metrics") == 200
