"""Clerk's own library beside ours, with the same key: what passes here passes there, and where we are stricter."""

from __future__ import annotations

import base64
import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.keyserver import to_jwk
from tests.minting import mint, rsa_key
from tests.node.conftest import RunScript
from tests.processes import served

HOST, APP = "clerk.example.test", "https://app.example.com"
PUBLISHABLE = "pk_test_" + base64.b64encode(f"{HOST}$".encode()).decode()
SESSION_CATEGORY, TEMPLATE_CATEGORY = "cl_B7d4PD111AAA", "cl_B7d4PD222AAA"
FILE = f"""upstream: http://127.0.0.1:9
providers:
  people: {{type: clerk, publishable_key: {PUBLISHABLE}, jwks_file: jwks.json, authorized_parties: ["{APP}"]}}
  machines: {{type: clerk, publishable_key: {PUBLISHABLE}, jwks_file: jwks.json, accept: machine}}
routes:
  /people: {{provider: people, allow: authenticated}}
  /machines: {{provider: machines, allow: authenticated}}
"""


def session(header: dict[str, Any] | None = None, key: Any = None, **claims: Any) -> str:
    """Return a session token of version 2; a claim that is None is left out."""
    now = int(time.time())
    told = {
        "iss": f"https://{HOST}", "sub": "user_1", "sid": "sess_1", "azp": APP, "sts": "active", "v": 2, "fva": [1, -1],
        "iat": now, "nbf": now - 10, "exp": now + 60, **claims,
    }  # fmt: skip
    kept = {name: value for name, value in told.items() if value is not None}
    return mint(kept, key or rsa_key(), "RS256", kid="ins_1", header={"cat": SESSION_CATEGORY, **(header or {})})


def machine(**claims: Any) -> str:
    now = int(time.time())
    told = {"iss": f"https://{HOST}", "sub": "mch_1", "aud": ["mch_2"], "scopes": "mch_2", "iat": now, "exp": now + 60}
    return mint({**told, "jti": "mt_1", **claims}, rsa_key(), "RS256", kid="ins_1")


def cases() -> dict[str, tuple[str, str]]:
    """Return tokens by name, each with the route whose provider takes such."""
    past = int(time.time()) - 120
    return {
        "session": ("/people", session()),
        "session of an organization": ("/people", session(o={"id": "org_1", "slg": "a", "rol": "admin"})),
        "session without a category": ("/people", session({"cat": None})),
        "expired": ("/people", session(iat=past - 60, nbf=past - 60, exp=past)),
        "not yet valid": ("/people", session(nbf=int(time.time()) + 600)),
        "of another application": ("/people", session(azp="https://evil.example")),
        "of another key": ("/people", session(key=rsa_key("another"))),
        "changed on the way": ("/people", session()[:-6] + "AAAAAA"),
        "no algorithm": ("/people", session({"alg": "none"})),
        "pending": ("/people", session(sts="pending")),
        "machine": ("/machines", machine()),
        "machine, expired": ("/machines", machine(exp=past)),
        "made by a template": ("/people", session({"cat": TEMPLATE_CATEGORY})),
        "without azp": ("/people", session(azp=None)),
        # Where we say no and Clerk's library does not, on purpose: its key alone says which instance it is.
        "of another instance": ("/people", session(iss="https://clerk.other.test")),
    }


STRICTER = {"of another instance"}


def code_of(port: int, path: str, token: str) -> str:
    """Return the code of the gateway's answer; nothing listens behind it, so that of a good token is known."""
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {token}"})
    try:
        urllib.request.urlopen(asked, timeout=10)
    except urllib.error.HTTPError as answer:
        return str(json.loads(answer.read())["code"])
    raise AssertionError("nobody listens there")


def test_clerks_library_takes_what_the_gateway_takes(run_script: RunScript, tmp_path: Path) -> None:
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [to_jwk(rsa_key(), "ins_1")]}))
    pem = rsa_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    asked = cases()
    with served(FILE, tmp_path) as gateway:
        ours = {name: code_of(gateway.port, path, token) for name, (path, token) in asked.items()}
    tokens = {
        name: {"token": token, "accepts": "m2m_token" if path == "/machines" else "session_token"}
        for name, (path, token) in asked.items()
    }
    given = {"jwtKey": pem, "publishableKey": PUBLISHABLE, "authorizedParties": [APP], "tokens": tokens}
    theirs = run_script("clerk.mjs", given)
    passes = {name for name, code in ours.items() if code == "upstream_unreachable"}
    assert passes == {
        "session", "session of an organization", "session without a category", "machine",
    }, ours  # fmt: skip
    assert {name for name, verdict in theirs.items() if verdict["passes"]} == passes | STRICTER, theirs
    assert {theirs[name]["subject"] for name in passes} == {"user_1", "mch_1"}
    assert {name: ours[name] for name in STRICTER} == {"of another instance": "issuer_mismatch"}
