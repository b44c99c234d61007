"""Measure the gateway beside public gateways at the same work: `make bench`, or

python -m tests.bench [--rounds N] [--seconds N] [--peers NAME,...] [--write]

Each peer runs alone on the first core, load and upstream on the second, one round of each after the other. It counts
only if it lets the good token in and refuses the others. The figure is CPU time per request, from /proc: what does
not depend on who else uses the machine. `--write` puts table and plot into docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.bench.peers import PEERS, MissingPeerError, Place, upstream
from tests.bench.report import write_report
from tests.processes import free_port

ISSUER, AUDIENCE = "https://issuer.test/", "agents-api"
_TICKS = os.sysconf("SC_CLK_TCK")
_CORES = {"peer": "0", "load": "1"}


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of work. `tokens` is a file of those below."""

    name: str
    tokens: str
    path: str = "/api/agents"
    method: str = "GET"
    varies: bool = False
    body_bytes: int = 0
    connections: int = 64
    expected: int = 200


SCENARIOS = (
    Scenario("one token, every head different", "one", varies=True),
    Scenario("1,000 tokens", "thousand"),
    Scenario("every token new", "new"),
    Scenario("flood without a token", "", expected=401),
    Scenario("flood of tokens with a wrong signature", "wrong", expected=401),
    Scenario("POST of 10 KB", "thousand", method="POST", body_bytes=10_240),
    Scenario("1 MB down", "one", path="/api/blob", connections=8),
)
Figures = dict[str, dict[str, list[dict[str, float]]]]  # by scenario and peer, a round each


def main() -> int:
    """Measure, print, and write if asked to; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--write", action="store_true")
    call = parser.parse_args()
    names = call.peers.split(",")
    if unknown := [name for name in names if name not in PEERS]:
        parser.error(f"found {', '.join(unknown)}, expected some of {', '.join(PEERS)}")
    if shutil.which("wrk") is None:
        sys.exit("bench: found no wrk, which makes the load: apt-get install wrk")
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        bench = _Bench(Path(name), call.seconds)
        with bench.running(upstream(bench.place), "load", "/health"):
            figures = bench.measure(names, call.rounds)
    write_report(figures, [scenario.name for scenario in SCENARIOS], into_docs=call.write)
    return 0


class _Bench:
    def __init__(self, folder: Path, seconds: int) -> None:
        self._folder, self._seconds = folder, seconds
        key = rsa.generate_private_key(65537, 2048)
        public = key.public_key()
        pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        (folder / "public.pem").write_bytes(pem)
        jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(public)) | {"kid": "k1", "alg": "RS256", "use": "sig"}
        (folder / "jwks.json").write_text(json.dumps({"keys": [jwk]}))
        (folder / "blob").write_bytes(os.urandom(1 << 20))
        spki = "".join(pem.decode().splitlines()[1:-1])
        body = json.dumps({"agents": ["x" * 400]})
        self.place = Place(folder, 0, free_port(), ISSUER, AUDIENCE, spki, body)
        self._good, self._bad = _write_tokens(folder, key)

    def measure(self, names: list[str], rounds: int) -> Figures:
        """Return the figures of every peer that is there and that verifies."""
        figures: Figures = {scenario.name: {} for scenario in SCENARIOS}
        for number in range(rounds):
            for name in names if number % 2 == 0 else reversed(names):
                place = replace(self.place, port=free_port())
                try:
                    command = PEERS[name](place)
                except MissingPeerError as problem:
                    print(f"{name} is left out: {problem}", file=sys.stderr)  # noqa: T201
                    continue
                with self.running(command, "peer", "/health", place.port) as process:
                    self._check(name, place.port)
                    for scenario in SCENARIOS:
                        found = self._load(scenario, place.port, process.pid)
                        figures[scenario.name].setdefault(name, []).append(found)
        return figures

    @contextmanager
    def running(self, command: list[str], core: str, path: str, port: int = 0) -> Iterator[subprocess.Popen[bytes]]:
        """Run a peer for the length of a block."""
        log = (self._folder / "log").open("ab")
        pinned = ["taskset", "-c", _CORES[core], *command]
        process = subprocess.Popen(pinned, stdout=subprocess.DEVNULL, stderr=log, cwd=Path(__file__).parents[2])
        try:
            deadline = time.monotonic() + 30
            while self._status(path, None, port or self.place.upstream_port) != 200:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{command[0]} does not start: {(self._folder / 'log').read_text()[-2000:]}")
                time.sleep(0.05)
            yield process
        finally:
            process.terminate()
            process.wait(20)
            log.close()

    def _check(self, name: str, port: int) -> None:
        """A gateway that does not verify does not count."""
        found = {what: self._status("/api/agents", token, port) for what, token in self._bad.items()}
        found["good"] = self._status("/api/agents", self._good, port)
        expected = {what: 200 if what == "good" else 403 if what == "foreign email" else 401 for what in found}
        if found != expected | {what: found[what] for what in ("wrong audience",) if found[what] in (401, 403)}:
            raise RuntimeError(f"{name} does not verify: {found}")

    def _status(self, path: str, token: str | None, port: int) -> int:
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
        if token is not None:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as problem:
            return problem.code
        except OSError:
            return 0

    def _load(self, scenario: Scenario, port: int, pid: int) -> dict[str, float]:
        result = self._folder / "result.json"
        environment = os.environ | {
            "METHOD": scenario.method,
            "TOKENS": str(self._folder / scenario.tokens) if scenario.tokens else "",
            "VARY": "1" if scenario.varies else "0",
            "BODY_BYTES": str(scenario.body_bytes),
            "RESULT": str(result),
        }
        load = ["wrk", "-t1", f"-c{scenario.connections}", f"-d{self._seconds}s", "--timeout", "10s"]
        script = ["-s", str(Path(__file__).with_name("load.lua")), f"http://127.0.0.1:{port}{scenario.path}"]
        before = _cpu_seconds(pid)
        subprocess.run(
            ["taskset", "-c", _CORES["load"], *load, *script], env=environment, check=True, capture_output=True
        )
        spent = _cpu_seconds(pid) - before
        found: dict[str, Any] = json.loads(result.read_text())
        wrong = found["status_errors"] if scenario.expected == 200 else found["requests"] - found["status_errors"]
        if wrong or found["broken"]:
            raise RuntimeError(f"{scenario.name}: {wrong} answers with another status, {found['broken']} broken")
        return {
            "cpu_us": spent / found["requests"] * 1e6,
            "requests_per_s": found["requests"] / found["microseconds"] * 1e6,
            "p50_ms": found["p50"] / 1000,
        }


def _write_tokens(folder: Path, key: rsa.RSAPrivateKey) -> tuple[str, dict[str, str | None]]:
    """Write the files of tokens; return a good one, and some that must be refused."""
    now = int(time.time())

    def token(number: int, **changes: Any) -> str:
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": f"user-{number}", "email": f"user-{number}@example.com"}
        claims |= {"iat": now, "exp": now + 86400, "jti": f"{number:032x}"} | changes
        return jwt.encode(claims, key, "RS256", headers={"kid": "k1"})

    # More than any cache of tokens holds, or than one round asks for.
    many = [token(number) for number in range(20_000)]
    (folder / "one").write_text(many[0] + "\n")
    (folder / "thousand").write_text("\n".join(many[:1000]) + "\n")
    (folder / "new").write_text("\n".join(many) + "\n")
    swapped = [f"{many[at].rpartition('.')[0]}.{many[at - 1].rpartition('.')[2]}" for at in range(len(many))]
    (folder / "wrong").write_text("\n".join(swapped) + "\n")
    return many[0], {
        "none": None,
        "no token": "x",
        "wrong signature": swapped[0],
        "expired": token(0, exp=now - 60),
        "wrong issuer": token(0, iss="https://evil.test/"),
        "wrong audience": token(0, aud="other"),
        "foreign email": token(0, email="user@evil.test"),
    }


def _cpu_seconds(pid: int) -> float:
    """Return what a process and its children have used of a core."""
    pids = [pid, *(int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    fields = [Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split() for one in pids]
    return sum(int(field[11]) + int(field[12]) for field in fields) / _TICKS


if __name__ == "__main__":
    sys.exit(main())
