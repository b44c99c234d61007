"""The peers of the attacks, with an engine in front: what is tried at the gateway is tried at the engine's port."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.engines.programs import Engine, compiled, running, with_one_upstream, without_queries
from tests.processes import Served, free_port, served
from tests.security.bench import Bench
from tests.security.casebook import FOLDER


@dataclass(frozen=True)
class Front:
    """An engine that asks a gateway. `files` is where its configuration was printed."""

    port: int
    gateway: Served
    files: Path
    pid: int


@contextmanager
def engine_in_front(
    engine: Engine, text: str, folder: Path, environment: dict[str, str] | None = None, *options: str
) -> Iterator[Front]:
    """Serve decisions by a YAML text, and run an engine that asks for them, for the length of a block."""
    folder.mkdir(parents=True, exist_ok=True)
    files = folder / "engine"
    files.mkdir(exist_ok=True)
    port = free_port()
    asked = f"unix:{folder}/decide.sock" if engine.has_sockets else f"127.0.0.1:{free_port()}"
    with served(f"decisions: {{listen: '{asked}'}}\n{text}", folder, environment) as gateway:
        where = (f"--listen=127.0.0.1:{port}", *options)
        compiled(engine.name, folder / "gateway.yaml", files, *where, environment=environment)
        with running(engine, files, port) as started:
            yield Front(port, gateway, files, started.pid)


class EngineBench(Bench):
    """The bench of the attacks behind an engine. `ports` has the engine's port for each profile."""

    def __init__(self, stack: ExitStack, folder: Path, engine: Engine) -> None:
        environment = self._start_peers(stack, folder)
        self.ports: dict[str, int] = {}
        self.logs: list[Path] = []
        for profile, text in _profiles(engine).items():
            front = stack.enter_context(engine_in_front(engine, text, folder / profile, environment))
            self.ports[profile] = front.port
            self.logs.append(front.gateway.log)


def _profiles(engine: Engine) -> dict[str, str]:
    """Return the configurations of the attacks, without what `gateway compile` refuses for the engine."""
    main, readings = ((FOLDER / f"{name}.yaml").read_text(encoding="utf-8") for name in ("gateway", "gateway-readings"))
    if not engine.has_queries:
        main, readings = without_queries(main), without_queries(readings)
    if not engine.has_upstreams:
        main = with_one_upstream(main)
    profiles = {"main": main, "catchall": main.replace("  /public:", "  /:")}
    # What these are about is how several upstreams are told in several ways.
    return profiles | {"readings": readings} if engine.has_upstreams else profiles


@contextmanager
def running_engine_bench(folder: Path, engine: Engine) -> Iterator[EngineBench]:
    """Run everything for the length of a block."""
    with ExitStack() as stack:
        yield EngineBench(stack, folder, engine)
