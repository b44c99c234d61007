"""Why a shared secret is refused. Whoever guesses it, offline and from one token, is anybody he likes."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable

# As long as what the hash gives, or the key is the weaker of the two.
_MIN_SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
_BASE64, _BASE64URL = re.compile(rb"[A-Za-z0-9+/]+"), re.compile(rb"[A-Za-z0-9_-]+")
_TO_URL_ALPHABET = bytes.maketrans(b"+/", b"-_")
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
    "supersecretjwttokenwithatleast32characterslong",  # of every local Supabase: its command line has it
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
    return _of_everybody(secret)


def check_encoded_secret(written: bytes) -> str | None:
    """Return why a secret that is written in base64 must not sign tokens for how it is written, or None if it may."""
    if from_base64(written) is None:
        return (
            "found no base64 (RFC 4648, of either alphabet), expected a secret as `openssl rand -base64 48` prints it"
        )
    return _of_everybody(written)


def from_base64(written: bytes) -> bytes | None:
    """Return the bytes that base64 stands for, with or without padding, in either alphabet; None for what is none.

    Line ends within do not count, as `openssl` writes them. Of the last character no bit is left over: it was mistyped.
    """
    text = written.replace(b"\r\n", b"").replace(b"\n", b"")
    bare = text.rstrip(b"=")
    is_whole = len(text) in (len(bare), len(bare) + -len(bare) % 4)
    if not is_whole or not (_BASE64.fullmatch(bare) or _BASE64URL.fullmatch(bare)):
        return None
    try:
        decoded = base64.urlsafe_b64decode(bare.translate(_TO_URL_ALPHABET) + b"=" * (-len(bare) % 4))
    except binascii.Error:  # one character too many
        return None
    is_canonical = base64.urlsafe_b64encode(decoded).rstrip(b"=") == bare.translate(_TO_URL_ALPHABET)
    return decoded if is_canonical else None


def _of_everybody(secret: bytes) -> str | None:
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
