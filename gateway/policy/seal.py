"""A login as its cookie holds it: sealed by a secret of the gateway's, opened on each request, believed like a token.

The cookie is a JWE (RFC 7516; direct encryption, A256GCM), so nobody else can read, change or make one. In it stand the
ID token that the issuer gave, and the refresh token with which the server gets the next.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.policy.denied import Denied
from gateway.policy.memory import Remembered
from gateway.policy.reasons import Reason
from gateway.policy.session import Session
from gateway.policy.token import parse_token

_Key = Any  # of joserfc
_HEADER: Final = {"alg": "dir", "enc": "A256GCM"}
_VERSION: Final = 1
MAX_KNOWN: Final = 1024  # sessions, of some kilobytes each


class Seal:
    """Makes and opens session cookies of one secret (any bytes, at least 32). Times in seconds.

    A session ends `max_age_seconds` after it began, and `idle_seconds` after the last request. `purpose` is what the
    sessions are good for: their issuer and client, and what was asked of their tokens. What was sealed for one opens
    for no other, so a file that asks for more, or for another issuer, ends the sessions of the former.
    """

    def __init__(self, secret: bytes, max_age_seconds: float, idle_seconds: float, purpose: str) -> None:
        # A key of its own for each use (RFC 5869 section 3.2): what is sealed as one thing opens as no other.
        self._key = _derived(secret, f"mastra-gateway session {purpose}")
        self._begun_key = _derived(secret, f"mastra-gateway begun login {purpose}")
        self._mark_key = _bytes_of(secret, f"mastra-gateway ended sessions {purpose}")
        self.max_age_seconds, self.idle_seconds = max_age_seconds, idle_seconds
        self._known: Remembered[bytes, Session] = Remembered(MAX_KNOWN)  # by digests of cookies that opened

    def close(self, session: Session) -> str:
        """Return the text of the session's cookie."""
        said = {
            "v": _VERSION,
            "id": session.id,
            "provider": session.provider,
            "id_token": session.id_token,
            "begun": session.begun_at,
            "seen": session.seen_at,
            "until": session.good_until,
            "refresh": session.refresh_token,
        }
        return _sealed(said, self._key)

    def open(self, text: str, now: float) -> Session:
        """Return the session of a cookie. Raises `Denied` (SESSION_INVALID, SESSION_EXPIRED).

        That the issuer's word has ended is not looked at: see `Session.good_until`.
        """
        digest = sha256(text.encode()).digest()
        session = self._known.known.get(digest)
        if session is None:
            session = self._session(text)
            self._known.keep(digest, session)
        self.check_age(session, now)
        return session

    def _session(self, text: str) -> Session:
        said = _opened(text, self._key)
        if said is None or said.get("v") != _VERSION:
            raise Denied(Reason.SESSION_INVALID, "the session's cookie was not made with this secret, or is not whole")
        claims = parse_token(said["id_token"]).claims
        return Session(
            id=said["id"],
            provider=said["provider"],
            id_token=said["id_token"],
            claims=claims,
            begun_at=said["begun"],
            seen_at=said["seen"],
            good_until=said["until"],
            refresh_token=said["refresh"],
        )

    def check_age(self, session: Session, now: float) -> None:
        """Refuse a session that is too old, or that nobody used for too long. Raises `Denied` (SESSION_EXPIRED)."""
        if now >= session.begun_at + self.max_age_seconds:
            raise Denied(Reason.SESSION_EXPIRED, f"the session began {now - session.begun_at:.0f} s ago")
        if now >= session.seen_at + self.idle_seconds:
            raise Denied(Reason.SESSION_EXPIRED, f"the session was idle for {now - session.seen_at:.0f} s")

    def is_worn(self, session: Session, now: float) -> bool:
        """Return whether the cookie should say anew when its owner was seen: not with each request, but in time."""
        return now >= session.seen_at + min(self.idle_seconds / 4, 300.0)

    def close_begun(self, said: Mapping[str, Any]) -> str:
        """Return the text of the cookie of a login that was begun: what its end must fit."""
        return _sealed(dict(said), self._begun_key)

    def open_begun(self, text: str) -> Mapping[str, Any] | None:
        """Return what stands in the cookie of a begun login; None if it is none of ours."""
        return _opened(text, self._begun_key)

    def mark(self, text: str) -> bytes:
        """Return what stands for a text where nobody else is to know it; the same wherever the secret is."""
        return hmac.digest(self._mark_key, text.encode("utf-8", "surrogatepass"), "sha256")


def _bytes_of(secret: bytes, purpose: str) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=purpose.encode()).derive(secret)


def _derived(secret: bytes, purpose: str) -> _Key:
    from joserfc.jwk import OctKey  # here, since it takes a while to import: who has no login need not

    return OctKey.import_key(_bytes_of(secret, purpose))


def _sealed(said: Mapping[str, Any], key: _Key) -> str:
    from joserfc import jwe

    text: str = jwe.encrypt_compact(_HEADER, json.dumps(said, separators=(",", ":")).encode(), key)
    return text


def _opened(text: str, key: _Key) -> dict[str, Any] | None:
    """Return what a text of ours says; None for any other, whatever is wrong with it."""
    from joserfc import jwe
    from joserfc.errors import JoseError

    try:
        found = jwe.decrypt_compact(text, key, algorithms=["dir", "A256GCM"])
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    if found.protected != _HEADER or found.plaintext is None:  # no `zip`, no `crit`, nothing but ours
        return None
    said: dict[str, Any] = json.loads(found.plaintext)
    return said
