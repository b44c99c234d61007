"""What is printed, before each engine's own checker, in several shapes. Traefik has none: it is started, and asked."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.engines.programs import Engine, compiled
from tests.minting import SECRET
from tests.server.test_server import make_certificate

pytestmark = pytest.mark.engines
_ROUTES = """\
providers: {jobs: {type: jwt, secret: "${SECRET}", expiry: optional}}
routes:
  /api: {provider: jobs, allow: authenticated, websocket: true, upstream: mastra}
"""
_PLAIN = "upstreams: {mastra: {url: 'http://127.0.0.1:4111'}}\n"
_TWO = (
    "upstreams:\n"
    "  mastra: {url: 'http://127.0.0.1:4111', response_timeout: 1500ms, identity: {headers: {X-Auth-Email: email}}}\n"
    "  other_one: {url: 'http://[::1]:4111', encoded_slash: keep}\n"
)
_OTHER = "  /other: {public: true, upstream: other_one}\n"
SHAPES = {
    "plain": _PLAIN + _ROUTES,
    "believing": f"trusted_proxies: [10.0.0.0/8, 'fd00::/8']\n{_PLAIN}{_ROUTES}",
    "stripping": f"strip_headers: [Remote-User, X-User-*]\n{_PLAIN}{_ROUTES}",
    "traced": f"traces: opentelemetry\nlimits: {{header_size: 64KiB, header_timeout: 1500ms}}\n{_PLAIN}{_ROUTES}",
    "several": _TWO + _ROUTES + _OTHER,
    "cors": f"cors: {{origins: ['https://app.example.com']}}\n{_PLAIN}{_ROUTES}",
    "bodies": f"limits: {{body_size: 5MiB}}\n{_PLAIN}{_ROUTES}",
    "https": "upstreams: {mastra: {url: 'https://localhost:4111', ca_file: '${CA}'}}\n" + _ROUTES,
}
# What `gateway compile` refuses: tests/engines/test_printing.py.
_REFUSED: dict[str, set[str]] = {
    "nginx": set(),
    "envoy": {"bodies"},
    "haproxy": {"bodies"},
    "caddy": {"cors"},
    "traefik": {"several", "cors", "bodies"},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_checker_accepts_it(engine: Engine, shape: str, tmp_path: Path) -> None:
    if engine.check is None and shape not in _REFUSED[engine.name]:
        pytest.skip("it has no checker: the other tests start it")
    authority = make_certificate(tmp_path, "authority").certificate_file
    file = tmp_path / "gateway.yaml"
    file.write_text("decisions: {listen: '127.0.0.1:9191'}\n" + SHAPES[shape], encoding="utf-8")
    environment = {"SECRET": SECRET.decode(), "CA": str(authority)}
    if shape in _REFUSED[engine.name]:
        with pytest.raises(AssertionError, match=r"gateway\.yaml:\d+:\d+: "):
            compiled(engine.name, file, tmp_path / "made", environment=environment)
        return
    compiled(engine.name, file, tmp_path / "made", environment=environment)
    assert engine.check is not None
    command = engine.check(engine.program, tmp_path / "made")
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path / "made", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warn" not in (done.stdout + done.stderr).lower().replace("no warning", ""), done.stdout + done.stderr
