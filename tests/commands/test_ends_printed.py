"""What `gateway check` says of streams that end, and of the list of the revoked."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.commands.main import run_command
from tests.configuring import SECRET

FILE = f"""\
upstream: http://localhost:4111
providers:
  people: {{type: jwt, secret: {SECRET}}}
STREAMS
revoked_file: revoked.yaml
routes:
  /api: {{provider: people, allow: authenticated}}
  /chat: {{provider: people, allow: authenticated}}
  /jobs: {{provider: people, allow: authenticated, streams: {{end: with_token, grace: 0s, max: none, heartbeat: none}}}}
"""


def checked(folder: Path, capsys: pytest.CaptureFixture[str], streams: str, revoked: str) -> str:
    (folder / "revoked.yaml").write_text(revoked)
    (folder / "gateway.yaml").write_text(FILE.replace("STREAMS", streams))
    assert run_command(["check", "-c", str(folder / "gateway.yaml")]) == 0
    return capsys.readouterr().out


def test_ends_are_said_by_kind_with_their_routes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    streams = "streams: {end: with_token, grace: 90s, max: 2h, heartbeat: 15s}"
    assert checked(tmp_path, capsys, streams, "revoked: [{sub: HUSH}]").endswith("""
streams
  end 90s after their token or session, last 2h at most, say that they live after 15s of silence; on /api, /chat
  end with their token or session; on /jobs
revoked by revoked.yaml: 1 entry, read again when it changes
""")


def test_route_without_an_end_is_not_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert checked(tmp_path, capsys, "", "").endswith("""
streams
  end with their token or session; on /jobs
revoked by revoked.yaml: 0 entries, read again when it changes
""")
