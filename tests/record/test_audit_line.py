"""Lines of the audit: who is in them and under which name, bounded, and nothing that is secret."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.config.model import Audit
from gateway.policy.model import Principal
from gateway.record.audit_line import AuditLines
from gateway.record.outcome import Outcome
from gateway.record.subject import SubjectHash
from tests.minting import SECRET, mint
from tests.running import config_for, upstream_at
from tests.secrecy import leaks_in

CONFIG = replace(config_for(upstream_at("http://127.0.0.1:9")), digest="d1")
HASH = SubjectHash(b"k")


def principal(**claims: Any) -> Principal:
    return Principal("jobs", "user-1", "https://issuer", claims, email="a@example.com", actor="agent-1", kind="agent")


def line_of(
    of: Principal | None = None, audit: Audit | None = None, path: str = "/api/x", **outcome: Any
) -> dict[str, Any]:
    found = Outcome("r1", outcome.pop("method", "POST"), path, "192.0.2.7")
    found.principal, found.provider = of, None if of is None else of.provider
    for name, value in outcome.items():
        setattr(found, name, value)
    written = AuditLines(CONFIG, audit or Audit(Path("a")), HASH).line("write", found, 1_800_000_000.25)
    assert written.endswith(b"}\n") and written.count(b"\n") == 1
    assert all(0x20 <= byte < 0x7F for byte in written[:-1])
    told = json.loads(written)
    assert isinstance(told, dict)
    return told


def test_line_of_a_caller_has_all_that_is_known() -> None:
    told = line_of(principal(), Audit(Path("a"), claims=("email", "plan", "none")), route="/api", rule="r")
    assert told == {
        "time": "2027-01-15T08:00:00.250Z",
        "event": "write",
        "request_id": "r1",
        "client_ip": "192.0.2.7",
        "method": "POST",
        "path": "/api/x",
        "route": "/api",
        "provider": "jobs",
        "issuer": "https://issuer",
        "subject": "user-1",
        "kind": "agent",
        "actor": "agent-1",
        "credential": "token",
        "claims": {"email": "a@example.com"},
        "rule": "r",
        "configuration": "d1",
    }


def test_hash_is_that_of_the_log_and_hides_the_actor_too() -> None:
    told = line_of(principal(), Audit(Path("a"), is_hashed=True))
    assert (told["subject_hash"], told["actor_hash"]) == (HASH("user-1"), HASH("agent-1"))
    assert not {"subject", "actor"} & set(told)


def test_email_that_does_not_count_is_in_no_line() -> None:
    nobody = principal(email="boss@example.com")
    nobody.email = None
    assert "claims" not in line_of(nobody, Audit(Path("a"), claims=("email",)))


def test_path_is_the_canonical_one_and_one_without_a_reading_is_as_it_came() -> None:
    assert line_of(path="/%61pi/x")["path"] == "/api/x"
    assert line_of(path="/api/../x\x7f\x1b[31m\n")["path"] == "/api/../x\x7f\x1b[31m\n"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("x" * 300, "x" * 256),
        ("\u202egood\u2028\r\n\x00", "\u202egood\u2028\r\n\x00"),
        (["a", 1, {"b": [2]}], ["a", "1", '{"b":[2]}']),
        (["x"] * 99, ["x"] * 16),
        ({"deep": {"er": 1}}, {"deep": '{"er":1}'} ),
        (10**400, str(10**400)[:256]),
        (1.5, 1.5),
        (True, True),
    ],
)  # fmt: skip
def test_claim_is_bounded_and_says_what_it_is(value: Any, written: Any) -> None:
    told = line_of(principal(c=value), Audit(Path("a"), claims=("c",)))
    assert told["claims"]["c"] == (json.dumps(value, separators=(",", ":")) if isinstance(value, dict) else written)


def test_deep_claim_is_no_surprise() -> None:
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    assert line_of(principal(c=deep), Audit(Path("a"), claims=("c",)))["claims"]["c"] == ["(a value that is no JSON)"]


def test_two_long_subjects_stay_two() -> None:
    one, other = (principal() for _ in range(2))
    one.subject, other.subject = "x" * 5000 + "1", "x" * 5000 + "2"
    told = [line_of(one), line_of(other)]
    assert told[0]["subject"] == told[1]["subject"] == "x" * 256
    assert told[0]["subject_hash"] != told[1]["subject_hash"]


def test_token_that_stands_where_it_does_not_belong_is_not_written() -> None:
    token = mint({"sub": "somebody"})
    for path in (f"/api/{token}", f"/api/{'x' * 200}{token}", "/api/gwk_" + SECRET.decode()):
        written = json.dumps(line_of(principal(c=token), Audit(Path("a"), claims=("c",)), path=path))
        assert "(token)" in written and not leaks_in(written)
