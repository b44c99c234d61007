"""Well-known causes of a signature that the shared secret does not verify: how it is written, or whose it is.

Each is tried, not guessed: the signature verifies with what is told, or it is not told.
"""

from __future__ import annotations

import base64

from gateway.explain.findings import Findings
from gateway.policy.decision import Deny
from gateway.policy.denied import Denied
from gateway.policy.jwk import secret_key
from gateway.policy.providers import Provider
from gateway.policy.reasons import Reason
from gateway.policy.secrets import check_secret, from_base64
from gateway.policy.verify import check_signature

# What everybody has who runs one of these on his own machine, and whose tokens these are.
_PUBLISHED = {
    b"super-secret-jwt-token-with-at-least-32-characters-long": "a local Supabase (`supabase start`)",
    b"your-super-secret-jwt-token-with-at-least-32-characters-long": "a Supabase of one's own, as it comes",
    b"your-256-bit-secret": "jwt.io, as it comes",
    b"a-string-secret-at-least-256-bits-long": "jwt.io, as it comes",
}


def _wrong_secret(deny: Deny, found: Findings) -> str | None:
    provider = found.provider
    if deny.reason is not Reason.SIGNATURE_INVALID or found.token is None or provider is None or not provider.secrets:
        return None
    for key in provider.secrets:
        advice = _other_reading(key.material, found, provider)
        if advice is not None:
            return advice
    for secret, whose in _PUBLISHED.items():
        if _verifies(found, provider, secret):
            return (
                f"The token is one of {whose}: it is signed with a secret that everybody knows, and never counts. "
                "Sign in where the file's secret is used."
            )
    return (
        "The token was signed with another secret than the file's: compare them, also a line end at the close of one."
    )


def _other_reading(secret: bytes, found: Findings, provider: Provider) -> str | None:
    """Return what to do where the issuer reads the secret in another way than the file says."""
    decoded, signer = from_base64(secret), "The signature verifies with the secret decoded from base64"
    if decoded is not None and _verifies(found, provider, decoded):
        why = check_secret(decoded, provider.algorithms)
        if why is not None:
            return f"{signer}, and these are too weak: {why}."
        return f"{signer}: write `secret_encoding: base64`."
    for text in _in_base64(secret):
        if _verifies(found, provider, text):
            return "The token was signed with the secret as it is written: leave `secret_encoding: base64` out."
    for how, other in (("without the space or line end around it", secret.strip()), ("and a line end", secret + b"\n")):
        if _verifies(found, provider, other):
            return f"The signature verifies with the secret {how}: write the secret in that form."
    return None


def _in_base64(secret: bytes) -> list[bytes]:
    padded = (base64.b64encode(secret), base64.urlsafe_b64encode(secret))
    return [*padded, *(text.rstrip(b"=") for text in padded)]


def _verifies(found: Findings, provider: Provider, secret: bytes) -> bool:
    if found.token is None or not secret or any(secret == key.material for key in provider.secrets):
        return False
    try:
        check_signature(found.token, secret_key(secret, provider.algorithms))
    except (Denied, ValueError):
        return False
    return True


CAUSES = (_wrong_secret,)
