"""Starts sides and upstream, sends the load, and reads what each side used of a core."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPException
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.bench.asking import Asking, WrongAnswerError, check
from tests.bench.peers import MissingPeerError, upstream
from tests.bench.report import Figures
from tests.bench.scenarios import Scenario, groups_of
from tests.bench.setups import ORIGIN, Place, Setup, path_of
from tests.bench.tokens import Tokens
from tests.processes import free_port
from tests.server.test_server import make_certificate

ISSUER, AUDIENCE = "https://issuer.test/", "agents-api"
_TICKS = os.sysconf("SC_CLK_TCK")
_CORES = {"side": "0", "load": "1"}
_START_SECONDS = 60
_WARM_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Side:
    """One that is measured: what starts it at a place, and whether it is a gateway of our own."""

    command: Callable[[Place], list[str]]
    is_own: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What a run gave: the figures, and what was wrong with sides, which then do not count."""

    figures: Figures = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Running:
    asking: Asking
    pid: int


class Bench:
    """The upstream of all, and the sides of one scenario after the other. Raises `RuntimeError` where none starts."""

    def __init__(self, folder: Path, seconds: int) -> None:
        self._folder, self._seconds = folder, seconds
        self._place, key = _prepare(folder)
        self._tokens = Tokens(self._place, key)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Run the upstream for the length of a block."""
        asking = Asking(replace(self._place, port=self._place.upstream_port))
        with self._process(upstream(self._place), "load", asking):
            yield

    def measure(self, sides: dict[str, Side], scenarios: list[Scenario], rounds: int) -> Found:
        """Return the figures of each side that is there and does its work."""
        found, missing = Found({scenario.name: {} for scenario in scenarios}), set[str]()
        for number in range(rounds):
            for setup, group in groups_of(scenarios).items():
                wanted = {name for scenario in group for name in scenario.peers}
                with ExitStack() as stack:
                    running: dict[str, _Running] = {}
                    for name, side in sides.items():
                        if name not in missing and (side.is_own or name in wanted):
                            try:
                                running[name] = stack.enter_context(self._started(side, setup))
                            except MissingPeerError as problem:
                                _say(f"{name} is left out: {problem}")
                                missing.add(name)
                    for scenario in group:
                        _say(f"round {number + 1} of {rounds}: {scenario.name}")
                        # One load after the other, then the other way round: neighbours are compared.
                        for name in running if number % 2 == 0 else reversed(running):
                            if sides[name].is_own or name in scenario.peers:
                                self._measure_one(name, running[name], scenario, found)
        return found

    def _measure_one(self, name: str, side: _Running, scenario: Scenario, found: Found) -> None:
        try:
            if scenario.setup.workers > 1 and len(_family(side.pid)) < 1 + scenario.setup.workers:
                raise WrongAnswerError("found fewer workers than the file says")
            check(side.asking, scenario, self._tokens)
            self._load(scenario, side, _WARM_SECONDS, is_warm_up=True)
            figures = figures_of(*self._load(scenario, side, self._seconds), scenario.expected)
        except (WrongAnswerError, OSError, HTTPException) as problem:
            found.faults.append(f"{scenario.name}: {name} does not count: {problem!r}")
            _say(found.faults[-1])
            return
        found.figures[scenario.name].setdefault(name, []).append(figures)

    @contextmanager
    def _started(self, side: Side, setup: Setup) -> Iterator[_Running]:
        port = free_port()
        # A folder of its own: the files of two sides that run at a time do not meet.
        own = Path(tempfile.mkdtemp(prefix="side-", dir=self._folder))
        for name in ("public.pem", "jwks.json", "blob", "gw.crt", "gw.key", "gw.pem"):
            (own / name).symlink_to(self._folder / name)
        place = replace(self._place, folder=own, port=port, setup=setup)
        asking = Asking(place)
        with self._process(side.command(place), "side", asking) as process:
            yield _Running(asking, process.pid)

    @contextmanager
    def _process(self, command: list[str], core: str, asking: Asking) -> Iterator[subprocess.Popen[bytes]]:
        """Run a process for the length of a block, once it answers."""
        log = self._folder / f"log-{asking.place.port}"
        # Nothing of this folder is imported by a gateway that lies elsewhere.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        with log.open("ab") as errors:
            pinned = ["taskset", "-c", _CORES[core], *command]
            process = subprocess.Popen(
                pinned, stdout=subprocess.DEVNULL, stderr=errors, cwd=self._folder, env=environment
            )
            try:
                deadline = time.monotonic() + _START_SECONDS
                while not asking.is_up():
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise RuntimeError(f"{command[0]} does not start: {log.read_text()[-2000:]}")
                    time.sleep(0.05)
                yield process
            finally:
                process.terminate()
                try:
                    process.wait(40)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def _load(
        self, scenario: Scenario, side: _Running, seconds: int, *, is_warm_up: bool = False
    ) -> tuple[dict[str, Any], float]:
        """Return what wrk counted, and the seconds of a core that the side used meanwhile."""
        result, setup = self._folder / "result.json", scenario.setup
        paths = self._folder / f"paths-{setup.routes}"
        if setup.routes > 1:
            paths.write_text("\n".join(path_of(setup, number) for number in range(setup.routes)) + "\n")
        environment = os.environ | {
            "METHOD": scenario.method,
            "TOKENS": str(self._tokens.file(scenario.tokens)) if scenario.tokens else "",
            "PATHS": str(paths) if setup.routes > 1 else "",
            "VARY": scenario.varies,
            "MORE_FIELDS": str(scenario.more_fields),
            "BODY_BYTES": str(scenario.body_bytes),
            "CHUNK_BYTES": str(scenario.chunk_bytes),
            "PAGE": str(int(scenario.is_page)),
            "ORIGIN": ORIGIN,
            "WARM": str(int(is_warm_up)),
            "RESULT": str(result),
        }
        scheme = "https" if setup.has_tls else "http"
        load = ["wrk", "-t1", f"-c{scenario.connections}", f"-d{seconds}s", "--timeout", "10s"]
        script = ["-s", str(Path(__file__).with_name("load.lua"))]
        address = f"{scheme}://127.0.0.1:{side.asking.place.port}{scenario.path}"
        command = ["taskset", "-c", _CORES["load"], *load, *script, address]
        before = _cpu_seconds(side.pid)
        subprocess.run(command, env=environment, check=True, capture_output=True)
        spent = _cpu_seconds(side.pid) - before
        return json.loads(result.read_text()), spent


def figures_of(found: dict[str, Any], cpu_seconds: float, expected: int) -> dict[str, float]:
    """Return the figures of what wrk counted. Raises `WrongAnswerError` if a response was another, or if none came."""
    wrong = found["status_errors"] if expected == 200 else found["requests"] - found["status_errors"]
    if wrong or found["broken"] or not found["requests"]:
        raise WrongAnswerError(
            f"of {found['requests']} responses {wrong} with another status, {found['broken']} broken"
        )
    return {
        "cpu_us": cpu_seconds / found["requests"] * 1e6,
        "requests_per_s": found["requests"] / found["microseconds"] * 1e6,
        "p50_ms": found["p50"] / 1000,
    }


def _prepare(folder: Path) -> tuple[Place, rsa.RSAPrivateKey]:
    """Write what all sides read, and return the place and the key of the tokens."""
    key = rsa.generate_private_key(65537, 2048)
    public = key.public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / "public.pem").write_bytes(pem)
    jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(public)) | {"kid": "k1", "alg": "RS256", "use": "sig"}
    (folder / "jwks.json").write_text(json.dumps({"keys": [jwk]}))
    (folder / "blob").write_bytes(os.urandom(1 << 20))
    files = make_certificate(folder, "gw")
    (folder / "gw.pem").write_bytes(files.certificate_file.read_bytes() + files.key_file.read_bytes())
    spki = "".join(pem.decode().splitlines()[1:-1])
    body = json.dumps({"agents": ["x" * 400]})
    return Place(folder, 0, free_port(), ISSUER, AUDIENCE, spki, body, free_port()), key


def _family(pid: int) -> list[int]:
    """Return a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


def _cpu_seconds(pid: int) -> float:
    """Return what a process and its children have used of a core."""
    fields = [Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split() for one in _family(pid)]
    return sum(int(field[11]) + int(field[12]) for field in fields) / _TICKS


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201
