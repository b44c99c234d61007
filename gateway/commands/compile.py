"""`gateway compile`: the whole configuration of an engine that asks us for decisions."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import gateway
from gateway.commands.call import BadCall, Command, Refusal, add_file_option, environment_of, require_file, say
from gateway.commands.printing import print_mistakes
from gateway.commands.reading import read_file
from gateway.config.addresses import ADDRESS, is_loopback
from gateway.config.decisions import read_place
from gateway.config.model import Address, Config
from gateway.config.places import Places
from gateway.config.readers import Mistake
from gateway.engines.plan import Printed, plan_of
from gateway.engines.printing import CRDS, PRINTERS, print_engine

Place = TypeVar("Place")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("engine", choices=sorted(PRINTERS), help="which engine stands in front")
    add_file_option(parser)
    parser.add_argument(
        "--crd", choices=sorted(CRDS), help="with envoy: an object of Kubernetes in place of a bootstrap"
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help="write the files there (default: print them)")
    parser.add_argument(
        "--listen", metavar="HOST:PORT", help="where the engine listens (default: 'listen' of the file)"
    )
    parser.add_argument(
        "--decisions",
        metavar="WHERE",
        action="append",
        default=[],
        help="where it asks, host:port or unix:PATH, once for each service (default: 'decisions' of the file)",
    )


def _run(call: argparse.Namespace) -> int:
    """Print or write the configuration; return 0, or 1 with what the engine cannot do."""
    if call.crd is not None and call.engine != "envoy":
        raise BadCall(f"--crd is for envoy, not for {call.engine}")
    file = require_file(call.file)
    environment = environment_of(call)
    config = read_file(file, environment)
    listen = _read(ADDRESS.parse, call.listen, "--listen") if call.listen is not None else None
    asked = [_read(read_place, where, "--decisions") for where in call.decisions]
    plan = plan_of(config, head=_head(call, file), listen=listen, decisions=asked)
    places = _places(file, environment)
    printed = print_engine(call.crd or call.engine, plan, places)
    mistakes = places.error()
    if mistakes is not None:
        print_mistakes(mistakes)
        return 1
    if call.out is None:
        print("\n".join(_shown(one, is_alone=len(printed) == 1) for one in printed), end="")
    else:
        _write(printed, call.out)
    if listen is None and call.crd is None:
        _warn_of_one_port(config)
    return 0


def _read(parse: Callable[[str], Place], written: str, option: str) -> Place:
    try:
        return parse(written)
    except Mistake as mistake:
        found = " ".join(part for part in (f"found {written}", str(mistake)) if part)
        raise BadCall(f"{option}: {found}, expected host:port") from None


def _places(file: Path, environment: Mapping[str, str]) -> Places:
    try:
        return Places(file, environment)
    except OSError as problem:
        raise Refusal(f"{file} cannot be read again: {problem.strerror}") from None


def _head(call: argparse.Namespace, file: Path) -> tuple[str, ...]:
    options = "".join(
        [
            *([f" --crd {call.crd}"] if call.crd else []),
            *([f" --listen {call.listen}"] if call.listen else []),
            *(f" --decisions {where}" for where in call.decisions),
            *([f" --out {call.out}"] if call.out else []),
        ]
    )
    return (
        f"Printed from {file.name} by gateway {gateway.__version__}. Do not edit: print it again when that changed.",
        f"    gateway compile {call.engine} -c {file}{options}",
        "Every request is asked about at the gateway's decision API; what is not allowed there does not pass.",
    )


def _shown(printed: Printed, *, is_alone: bool) -> str:
    return printed.text if is_alone else f"# ---- file: {printed.name}\n{printed.text}"


def _write(printed: tuple[Printed, ...], folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for one in printed:
            (folder / one.name).write_text(one.text, encoding="utf-8")
    except OSError as problem:
        raise Refusal(f"{folder} cannot be written: {problem.strerror or type(problem).__name__}") from None
    say(f"gateway compile: wrote {', '.join(str(folder / one.name) for one in printed)}")


def _warn_of_one_port(config: Config) -> None:
    """Say that the gateway and the engine cannot both have the public port, where both are on one machine."""
    where = config.decisions.listen if config.decisions is not None else None
    if isinstance(where, Path) or (isinstance(where, Address) and is_loopback(where.host)):
        port = config.listen.port
        say(
            f"gateway compile: the engine listens on port {port}, as the gateway does: on one machine give the engine"
            " another with --listen, or the gateway"
        )


_EXAMPLES = """\
examples:
  gateway compile nginx > /etc/nginx/nginx.conf
  gateway compile haproxy --out /etc/haproxy      several files
  gateway compile envoy --listen 0.0.0.0:8443     beside a gateway on :8080
  gateway compile envoy --decisions 10.0.0.5:9191 --decisions 10.0.0.6:9191
  gateway compile envoy --crd envoy-gateway --decisions gateway.mastra:9191
"""
COMMAND = Command(
    "Print the whole configuration of an engine that asks the gateway for decisions.\n"
    "What the engine cannot do safely is exit 1, with the place in the file.",
    _add_arguments,
    _run,
    _EXAMPLES,
)
