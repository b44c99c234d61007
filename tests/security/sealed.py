"""Cookies of a login for the cases: good ones, and those that others would make."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.config.file import load_text
from gateway.policy.login import Login
from gateway.policy.seal import Seal
from gateway.policy.session import Session
from gateway.policy.token import parse_token
from tests.secrecy import keep_secret
from tests.security.forge import token_for

STATE = "a-state-of-forty-three-characters-or-so-12345"


class Sealed:
    """Makes the cookies of one configuration. `issuer` is that of its provider."""

    def __init__(self, file: Path, environment: Mapping[str, str], issuer: str) -> None:
        config = load_text(file.read_text(), "gateway.yaml", environment)
        assert config.policy.login is not None
        self.login: Login = config.policy.login
        self._issuer = issuer
        seal = self.login.seal
        self._other = Seal(b"another secret of the same length, not ours", seal.max_age_seconds, seal.idle_seconds, "")

    def cookies(self, now: float) -> dict[str, str]:
        """Return texts of cookies by their names in the cases. `now` is Unix seconds."""
        seal, good = self.login.seal, self._session(now)
        session = seal.close(good)
        evil = self._session(now, sub="evil", email="evil@example.com")
        header, rest = session.split(".", 1)
        made = {
            "session": session,
            "session-forged": self._other.close(evil),
            "session-cut": session[:-1],
            "session-of-two": session.rpartition(".")[0] + "." + seal.close(evil).rpartition(".")[2],
            "session-old": seal.close(self._session(now - 50_000)),
            "session-idle": seal.close(self._session(now - 4_000)),
            "session-over": seal.close(self._session(now, lifetime=-1.0)),
            "session-nobody": seal.close(self._session(now, sub="")),
            "session-none": _header({"alg": "none"}) + "." + rest,
            "session-zip": _header({"alg": "dir", "enc": "A256GCM", "zip": "DEF"}) + "." + rest,
            "session-pbes": _header({"alg": "PBES2-HS256+A128KW", "enc": "A256GCM", "p2c": 2**31 - 1}) + "." + rest,
            "session-again": header + "." + session,
            "begun": seal.close_begun({"state": STATE, "nonce": "n", "verifier": "v" * 43, "to": "/", "at": now}),
            "begun-old": seal.close_begun({"state": STATE, "nonce": "n", "verifier": "v", "to": "/", "at": now - 601}),
            "begun-forged": self._other.close_begun(
                {"state": STATE, "nonce": "n", "verifier": "v", "to": "https://evil.test/", "at": now}
            ),
            "state": STATE,
            "id-token": good.id_token,
        }
        for text in made.values():
            keep_secret(text)
        return made

    def _session(self, begun_at: float, lifetime: float = 3000.0, **claims: Any) -> Session:
        said = {"iss": self._issuer, "aud": "gw", "exp": int(begun_at + lifetime), **claims}
        token = token_for({"claims": said}, begun_at)
        return Session("s", "people", token, parse_token(token).claims, begun_at, begun_at, begun_at + lifetime, None)


def _header(said: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(said).encode()).rstrip(b"=").decode()
