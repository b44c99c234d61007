"""The gateways of our own that are measured: which, what their file says, and how much of each is compiled."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

from tests.bench.setups import ORIGIN, SECRET, Place, issuer_of, path_of

PURE = "gateway"
# Prints how many modules of the package that is imported are compiled, and how many there are.
_COUNT = """
import gateway, importlib.machinery, pathlib
folder = pathlib.Path(gateway.__file__).parent
files = [path for path in folder.rglob("*") if path.suffix in (".py", ".so", ".pyd")]
compiled = {path.parent / path.name.split(".")[0] for path in files if path.suffix != ".py"}
print(len(compiled), len(compiled | {path.with_suffix("") for path in files if path.suffix == ".py"}))
"""


def own_gateway() -> Path:
    """Return the gateway of the environment that runs this."""
    return Path(sys.executable).with_name("gateway")


def named_gateway(text: str) -> tuple[str, Path]:
    """Return name and program of `NAME=PATH`. Raises `ArgumentTypeError` where it is anything else."""
    name, separator, path = text.partition("=")
    if not separator or not re.fullmatch(r"[A-Za-z0-9_.-]{1,12}", name):
        raise ArgumentTypeError(
            f"found {text!r}, expected NAME=PATH, the name of at most 12 letters, digits, '_', '.' and '-'"
        )
    program = Path(path).absolute()
    if not program.is_file():
        raise ArgumentTypeError(f"found no file {path}, expected the program `gateway` of an environment")
    return name, program


def compiled_modules(program: Path) -> str:
    """Return how many of a gateway's modules are compiled, as `7 of 90`; empty where no Python lies beside it."""
    python = program.with_name("python")
    if not python.exists():
        return ""
    done = subprocess.run([python, "-I", "-c", _COUNT], capture_output=True, text=True, check=True)
    return " of ".join(done.stdout.split())


def command(program: Path, place: Place) -> list[str]:
    """Return what starts a gateway; writes its file."""
    file = place.folder / f"gateway-{place.port}.yaml"
    file.write_text(configuration(place))
    return [str(program), "serve", "-c", str(file)]


def configuration(place: Place) -> str:
    """Return a gateway's file for a place: a line for each section, with its value as JSON, which is YAML, too."""
    setup, http = place.setup, f"http://127.0.0.1:{place.upstream_port}"
    upstream: dict[str, Any] = {"url": http, "identity": {"headers": {"X-Auth-Subject": "subject"}}}
    upstream["identity"]["headers"]["X-Auth-Email"] = "email"
    if setup.has_https_upstream:
        upstream |= {"url": f"https://localhost:{place.https_port}", "ca_file": f"{place.folder}/gw.crt"}
    guard = {"provider": list(providers := _providers(place)), "allow": _rules(setup.rules)}
    paths = ["/api"] if setup.routes == 1 else [path_of(setup, number) for number in range(setup.routes)]
    whole: dict[str, Any] = {
        "listen": f"127.0.0.1:{place.port}",
        "workers": setup.workers,
        "upstreams": {"mastra": upstream},
        "providers": providers,
        "routes": {path: guard for path in paths} | {"/health": {"public": True}},
    }
    if setup.has_tls:
        whole["tls"] = {"certificate_file": f"{place.folder}/gw.crt", "key_file": f"{place.folder}/gw.key"}
    if setup.has_cors:
        whole["cors"] = {"origins": [ORIGIN]}
    return "\n".join(["admin: none", *(f"{section}: {json.dumps(value)}" for section, value in whole.items()), ""])


def _providers(place: Place) -> dict[str, dict[str, Any]]:
    """Return the section of providers: each has an issuer and an address of keys of its own."""
    known = {"audience": place.audience}
    if place.setup.has_secret:
        return {"jobs": {"type": "jwt", "issuer": place.issuer, "secret": SECRET} | known}
    keys = f"http://127.0.0.1:{place.upstream_port}/jwks"
    return {
        f"issuer-{number}": {"type": "oidc", "issuer": issuer_of(place, number), "jwks_uri": f"{keys}/{number}"} | known
        for number in range(place.setup.providers)
    }


def _rules(number: int) -> list[dict[str, str]]:
    """Return so many rules of which the last one holds."""
    others = [{"email_domain": f"team-{at}.example.org"} for at in range(number - 1)]
    return [*others, {"email_domain": "example.com"}]
