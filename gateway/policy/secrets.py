"""Why a shared secret is refused. Whoever guesses it, offline and from one token, is anybody he likes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

# As long as what the hash gives, or the key is the weaker of the two.
_MIN_SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
_KEY_FILE = re.compile(rb"-----BEGIN |^\s*(?:ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-\S+) ")
# What documentation and templates put where a secret belongs, without case and punctuation. Not guessed at by
# likeness: a refused secret must be one that everybody can look up, or honest ones would be refused, too.
_PLACEHOLDERS = (
    "your256bitsecret",
    "your384bitsecret",
    "your512bitsecret",
    "astringsecretatleast256bitslong",
    "avalidstringsecretthatisatleast512bitslongwhichisverylong",
    "yoursupersecretjwttokenwithatleast32characterslong",
    "changethistoalongrandomstring",
    "pleasechangemeinproduction",
    "yoursecretkeyhere",
    "yoursecretkey",
    "yoursecret",
    "yourjwtsecret",
    "changethis",
    "changeit",
    "changeme",
    "replaceme",
    "supersecret",
    "password",
    "secret",
)
_PLACEHOLDER = re.compile(rf"(?:{'|'.join(f'(?:{text})+' for text in _PLACEHOLDERS)})")


def check_secret(secret: bytes, algorithms: Iterable[str] = ("HS256",)) -> str | None:
    """Return why a secret must not sign tokens, or None if it may. The text never holds any of the secret.

    Source: RFC 7518 section 3.2 (at least 256 bits, for HS384 and HS512 more), RFC 8725 sections 3.1 and 3.5.
    """
    if _KEY_FILE.search(secret) or _is_jwk(secret):
        # Everybody knows a public key, and so could sign with it: CVE-2016-5431, CVE-2022-29217.
        return "found a key or certificate (PEM, SSH or JWK), expected a shared secret of random bytes"
    least = max(_MIN_SECRET_BYTES[algorithm] for algorithm in algorithms)
    if len(secret) < least:
        return f"found {len(secret)} bytes, expected at least {least} (RFC 7518 section 3.2)"
    if len(set(secret)) == 1:
        return "found one character repeated, expected random bytes"
    if _PLACEHOLDER.fullmatch(re.sub(rb"[^a-z0-9]", b"", secret.lower()).decode("ascii")):
        return "found a well-known placeholder, expected random bytes"
    return None


def _is_jwk(secret: bytes) -> bool:
    if not secret.lstrip().startswith(b"{"):
        return False
    try:
        members = json.loads(secret)
    except (ValueError, RecursionError):
        return False
    return isinstance(members, dict) and ("kty" in members or "keys" in members)
