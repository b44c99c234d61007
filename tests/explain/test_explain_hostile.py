"""The explanation of what nobody means well: it says its line, shows no secret, and neither crashes nor steers.

An attacker's tokens are pasted by the operator, so each of these is a way into his terminal or his browser.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.commands.asking import parse_target
from gateway.commands.main import run_command
from gateway.config.model import Config
from gateway.explain.explain import explain
from gateway.explain.request import Asked, head_for, provider_for
from gateway.explain.step import Explanation
from gateway.explain.token import moment
from gateway.policy.decision import Allow, decide
from gateway.policy.key_lookup import NoKey
from gateway.policy.model import RequestHead
from tests.configuring import read
from tests.explain.test_explain import AUTH0, HeldKeys, auth0, clerk, explained, head, jobs
from tests.minting import NOW, SECRET, b64, claims_of, mint, rsa_key

QUERY = f"""
upstream: http://localhost:4111
providers:
  old: {{type: jwt, secret: {SECRET.decode()}, token_from: [{{query: token}}, bearer], expiry: optional}}
  mail:
    {{type: auth0, domain: tenant.eu.auth0.com, audience: https://mastra, email_claim: mail, email_verified: required}}
  two: {{type: jwt, secret: {SECRET.decode()}, algorithms: [HS256]}}
routes:
  /old: {{provider: old, allow: authenticated}}
  /mail: {{provider: mail, allow: {{email_domain: yourcompany.com}}}}
  /two: {{provider: two, allow: authenticated}}
  /seen:
    provider: two
    allow: {{when: 'request.headers["x-team"] == "a" && request.headers["authorization"] != ""'}}
  /all: {{provider: two, allow: {{when: 'request.headers.exists(name, name == "x-team")'}}}}
"""
CONFIG: Config = read(QUERY)


def said(request: RequestHead, keys: HeldKeys | None = None, now: float = NOW) -> Explanation:
    keys = keys or HeldKeys()
    return explain(CONFIG.policy, keys, request, now, keys.status_of)


def whole(explanation: Explanation) -> str:
    return json.dumps(explanation.as_json(), ensure_ascii=False)


def signature(token: str) -> str:
    return token.rpartition(".")[2]


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", [10**310, -(10**310), 1e308, -1e308, 1e15])
@pytest.mark.parametrize("place", ["/api", "/jobs"])
def test_moment_of_any_size_is_told_in_a_line_one_can_read(claim: str, value: float, place: str) -> None:
    changes: dict[str, Any] = {claim: value}
    told = explained(head(f"Bearer {jobs(**changes)}", place))
    assert all(len(text) < 600 for text in (*told.advice, *(step.found for step in told.steps))), told
    assert not any("00000000000000000" in text for text in told.advice)


def test_moment_far_from_the_calendar_is_short() -> None:
    assert len(moment(-1e308, NOW)) < 40 and len(moment(1e308, NOW)) < 40


@pytest.mark.parametrize("issuer", [["https://clerk.example.com"], {"a": 1}, 5, None])
def test_issuer_of_any_type_chooses_a_provider(issuer: Any) -> None:
    assert provider_for({"iss": issuer}, None, None, CONFIG) is CONFIG.providers[0]


def test_scopes_steer_no_terminal_and_fill_no_screen() -> None:
    scopes = ["\x1b[31mred", "\ud800", *(f"s{number}" for number in range(5000))]
    (advice,) = explained(head(f"Bearer {auth0(scp=scopes)}", "/scoped")).advice
    advice.encode()
    assert "\x1b" not in advice and len(advice) < 1000


def test_cookie_name_steers_no_terminal() -> None:
    line = "Cookie", f"\x1b[31mx={clerk()}"
    assert all("\x1b" not in advice for advice in explained(head(None, "/scoped", "GET", line)).advice)


def test_token_in_the_query_is_hidden() -> None:
    token = mint(claims_of(iss=...))
    told = said(head(None, f"/old?token={token}&x=1"))
    assert told.decision == "allow", told
    assert token not in whole(told) and signature(token) not in whole(told)
    assert "x=1" in told.request


@pytest.mark.parametrize(
    "target", ["/two?jwt={}", "/nowhere/{}", "/two?x=1&tok%65n={}", "/two/../{}", "/two?access_token={}"]
)
def test_signature_is_hidden_wherever_it_stands(target: str) -> None:
    token = mint(claims_of(iss=...))
    told = said(head(None, target.format(token)))
    assert signature(token) not in whole(told)


@pytest.mark.parametrize("name", ["access_token", "token", "api_key", "client_secret", "password"])
def test_opaque_secret_in_the_query_is_hidden(name: str) -> None:
    assert "nRzO7mJ0dHh" not in whole(said(head(None, f"/two?{name}=nRzO7mJ0dHh")))


@pytest.mark.parametrize("path", ["/seen", "/all"])
def test_headers_are_shown_where_a_rule_names_them_and_never_a_credential(path: str) -> None:
    token = jobs()
    lines = ("X-Team", "b"), ("Cookie", "session=crumbs"), ("X-Other", "unasked"), ("Proxy-Authorization", "Basic abc")
    told = whole(said(head(f"Bearer {token}", path, "GET", *lines)))
    assert signature(token) not in told and token.split(".")[1] not in told
    assert "crumbs" not in told and "unasked" not in told and "Basic abc" not in told
    assert ("header x-team = b" in told) is (path == "/seen")


@pytest.mark.parametrize("target", ["/old?", "/old?x=1", "/old", "/old?x=1&", "/old?x=a%20b"])
def test_token_joins_any_query(target: str) -> None:
    token = mint(claims_of(iss=...))
    asked = head_for(Asked("GET", target), CONFIG, token)
    decision = decide(CONFIG.policy, HeldKeys(), asked, NOW, may_fetch=False)
    assert isinstance(decision, Allow), asked.target
    assert "??" not in asked.target


def test_token_with_odd_characters_is_sent_whole_in_a_query() -> None:
    assert head_for(Asked("GET", "/old"), CONFIG, "a&b=c#d").target == "/old?token=a%26b%3Dc%23d"


def test_key_already_written_is_not_advised() -> None:
    told = said(head(f"Bearer {mint(claims_of(iss=..., sub=..., exp=...))}", "/old"))
    assert told.code == "claim_invalid" and "names nobody" in told.advice[0]
    assert not any("expiry: optional" in advice for advice in told.advice)


def test_other_shared_algorithm_is_no_key_pair() -> None:
    told = said(head(f"Bearer {mint(claims_of(iss=...), algorithm='HS512')}", "/two"))
    assert told.code == "algorithm_not_allowed"
    assert any("`algorithms: [HS512]`" in advice for advice in told.advice), told.advice
    assert not any("key pair" in advice for advice in told.advice)


def test_unsigned_token_is_no_key_pair() -> None:
    header, payload = b64(b'{"alg":"none"}'), b64(b'{"sub":"x","exp":99999999999}')
    token = f"{header}.{payload}."
    assert not any("key pair" in advice for advice in said(head(f"Bearer {token}", "/two")).advice)


class ManyKeys(HeldKeys):
    """A key server with two keys, one of them for another algorithm."""

    def find(self, source: Any, kid: str | None, algorithm: str, now: float) -> Any:
        return NoKey(fetch_may_help=False, is_outage=False)

    def status_of(self, source: Any) -> Any:
        return dataclasses.replace(super().status_of(source), kids=("k1", "k2"))


@pytest.mark.parametrize(
    ("kid", "advice"),
    [
        (None, "names no key (kid), and there are 2"),
        ("k2", "knows the key k2, but not for RS256"),
        ("k9", "is not among those of"),
    ],
)
def test_key_that_does_not_fit_is_told_apart(kid: str | None, advice: str) -> None:
    told = explained(head(f"Bearer {auth0(kid)}"), ManyKeys())
    assert any(advice in one for one in told.advice), told.advice


@pytest.mark.parametrize(
    ("claims", "advice", "not_advice"),
    [
        (
            {"mail": "ann@yourcompany.com", "email_verified": ...},
            "does not say that the email is verified",
            "carry no email",
        ),
        ({"mail": "ann@yourcompany.com", "mail_verified": False}, "(mail_verified)", "carry no email"),
        (
            {"mail": "ann@yourcompany.com", "email_verified": ..., "other_email_verified": False},
            "does not say that",
            "is not verified (",
        ),
        ({"email": "ann@yourcompany.com", "email_verified": True}, "carry no email", "does not say that"),
    ],
)
def test_email_of_a_named_claim_is_told_by_its_name(claims: dict[str, Any], advice: str, not_advice: str) -> None:
    token = mint(
        claims_of(**({"iss": AUTH0, "aud": "https://mastra", "email": ...} | claims)), rsa_key(), "RS256", kid="k1"
    )
    told = said(head(f"Bearer {token}", "/mail"))
    assert told.code == "access_denied", told
    assert any(advice in one for one in told.advice), told.advice
    assert not any(not_advice in one for one in told.advice), told.advice


FILE = f"""\
upstream: http://127.0.0.1:4111
providers:
  jobs: {{type: jwt, secret: {SECRET.decode()}}}
routes:
  /jobs:
    provider: jobs
    allow: {{any: [{{scope: run}}, {{when: request.time > timestamp("2026-01-01T00:00:00Z")}}]}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gateway.yaml").write_text(FILE)
    return tmp_path


@pytest.mark.parametrize("flag", ["--token", "--claims"])
def test_standard_input_that_is_no_text_gets_one_line(
    flag: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe\x00"), encoding="utf-8"))
    assert run_command(["explain", "GET", "/jobs", flag, "-"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and "UTF-8" in captured.err


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "1969-12-31T23:59:59Z", "999999999999", "253402300800"])
def test_moment_outside_the_calendar_is_no_moment(at: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["explain", "GET", "/jobs", "--claims", "{}", "--at", at]) == 2
    assert "is no moment" in capsys.readouterr().err


def run(folder: Path, *arguments: str, given: bytes = b"") -> tuple[int, str]:
    """Return the exit status and the output of the command as a process of its own, whose output is strict UTF-8."""
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    command = [sys.executable, "-m", "gateway", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, input=given, capture_output=True, timeout=60)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done.returncode, done.stdout.decode()


@pytest.mark.parametrize("extra", [[], ["--json"]])
def test_half_a_character_and_an_escape_are_printed_as_such(extra: list[str], folder: Path) -> None:
    claims = '{"sub": "x", "exp": 9999999999, "scope": "\\ud800 \\u001b[31m", "\\u001b": 1}'
    status, out = run(folder, "explain", "GET", "/jobs", "--claims", claims, "--at", "0", *extra)
    assert status in (0, 1) and "\x1b" not in out and out


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("http://host:8080?x=1", "/?x=1"),
        ("http://host:8080#top", "/#top"),
        ("http://host/a?b=/c", "/a?b=/c"),
        ("https://host", "/"),
    ],
)
def test_address_is_parted_where_its_host_ends(address: str, target: str) -> None:
    scheme, host, found = parse_target(address)
    assert (scheme, host.partition(":")[0], found) == (address.partition(":")[0], "host", target)


ODD_LINE = json.dumps(
    {
        "time": "\ud800", "decision": "deny", "method": "\x1b[31mGET", "path": "/\ud800\x1b]0;x\x07",
        "client_ip": "::1", "code": "\x1b[2J\ud800",
        "would_deny": "\ud800", "route": "\u202e/api", "provider": "\ud800", "rule": "\x9b",
    }
)  # fmt: skip


@pytest.mark.parametrize("extra", [[], ["--json"]])
@pytest.mark.parametrize(
    "command", [["report", "odd.log"], ["report"], ["test", "--against", "old.yaml", "--log", "odd.log"]]
)
def test_odd_log_neither_crashes_nor_steers(command: list[str], extra: list[str], folder: Path) -> None:
    written = ODD_LINE.encode() + b"\n\xff\xfe no text\n"
    (folder / "odd.log").write_bytes(written)
    (folder / "old.yaml").write_text(FILE.replace("/jobs:", "/other:"))
    status, out = run(folder, *command, *extra, given=written)
    assert (status, bool(out)) == (0, True)
    assert not any(mark in out for mark in "\x1b\x07\x9b\u202e\ud800")
