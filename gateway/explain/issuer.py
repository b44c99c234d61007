"""Tokens made of given claims, to try rules out without a real one: signed by an issuer of our own that stands in.

The decision then runs as it always does, signature included; only the key is ours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.api_jws import PyJWS

from gateway.policy.claim_names import has_claim, read_claim, steps_of
from gateway.policy.emails import email_claim, verified_names
from gateway.policy.issuers import IssuerTemplate
from gateway.policy.jwk import Key
from gateway.policy.key_lookup import Keys
from gateway.policy.origins import example_of
from gateway.policy.providers import KeySource, Provider

_KID = "stand-in"
_LIFETIME_SECONDS = 3600
_RSA_BITS = 2048
_CURVES: dict[str, ec.EllipticCurve] = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


class StandInIssuer(Keys):
    """Signs for every provider, and is the key store that knows its keys. Keys are made once each, when first asked."""

    def __init__(self) -> None:
        self._private: dict[str, Any] = {}
        self._public: dict[str, Key] = {}

    def token(self, claims: Mapping[str, Any], provider: Provider) -> str:
        """Return a token with exactly these claims that the provider's signature check accepts."""
        algorithm = "RS256" if "RS256" in provider.algorithms else min(provider.algorithms)
        key = provider.secrets[0].material if provider.secrets else self._key(algorithm)
        payload = json.dumps(claims).encode("utf-8", "surrogatepass")
        headers = {} if provider.secrets else {"kid": _KID, **_header_of(provider)}
        return PyJWS().encode(payload, key, algorithm, headers=headers)

    def find(self, source: KeySource, kid: str | None, algorithm: str, now: float) -> Key:
        """Return the public key of the algorithm."""
        self._key(algorithm)
        return self._public[algorithm]

    def each(self, source: KeySource, algorithm: str) -> tuple[Key, ...]:
        """Return the same key, of a source whose keys are tried in turn."""
        return (self.find(source, None, algorithm, 0.0),)

    def status_of(self, source: KeySource) -> None:
        """There is no key server whose state could be told."""

    def _key(self, algorithm: str) -> Any:
        if algorithm not in self._private:
            private = self._private[algorithm] = _make_key(algorithm)
            self._public[algorithm] = Key(_KID, frozenset({algorithm}), private.public_key(), algorithm)
        return self._private[algorithm]


def complete_claims(provider: Provider, given: Mapping[str, Any], now: float) -> dict[str, Any]:
    """Return claims with what every token of the provider has, where it is not given; null removes one.

    `now` is Unix seconds: `iat` is then, `exp` an hour later.
    """
    claims: dict[str, Any] = {}
    put_claim(claims, provider.subject_claim, "test")
    if provider.clerk_kinds == {"machine"}:
        claims["sub"] = f"{provider.preset.machine_prefix}test"
    if provider.issuers:
        claims["iss"] = min(provider.issuers)
    elif provider.issuer_templates:
        claims |= _of_template(provider.issuer_templates[0], given)
    if provider.audiences:
        claims["aud"] = min(provider.audiences)
    if provider.authorized_parties and provider.requires_authorized_party:
        claims["azp"] = example_of(provider.authorized_parties)
    if provider.clients:
        put_claim(claims, provider.client_claims[0], min(provider.clients))
    for name, texts in provider.expected_claims:
        put_claim(claims, name, min(texts))
    lifetime = min(_LIFETIME_SECONDS, provider.max_lifetime_seconds or _LIFETIME_SECONDS)
    claims |= {"iat": int(now), "exp": int(now) + int(lifetime)}
    email_name = email_claim(given, provider)
    if provider.requires_verified_email and has_claim(given, email_name):
        put_claim(claims, verified_names(email_name, provider)[0], True)
    for name in provider.required_claims:
        if not has_claim({**claims, **given}, name):
            put_claim(claims, name, "test")
    for name, value in given.items():
        there = claims.get(name)
        claims[name] = {**there, **value} if isinstance(there, dict) and isinstance(value, dict) else value
    return {name: value for name, value in claims.items() if value is not None}


def _of_template(template: IssuerTemplate, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claims that fill a template, and the issuer that they make."""
    filling: dict[str, str] = {}
    for name in (part.text for part in template.parts if part.is_claim):
        value = read_claim(given, name)
        # A claim inside another is for the writer to give: it cannot be added beside the others.
        if value is None and not name.startswith("/"):
            value = "test"
        if not isinstance(value, str):
            return {}
        filling[name] = value
    top = {name: value for name, value in filling.items() if not name.startswith("/")}
    return {**top, "iss": template.filled(filling)}


def put_claim(claims: dict[str, Any], name: str, value: object) -> None:
    """Set a claim by its name, literal or a JSON Pointer, beside what is there already."""
    first, *way = steps_of(name)
    for step in reversed(way):
        value = [value] if step == "0" else {step: value}
    there = claims.get(first)
    claims[first] = {**there, **value} if isinstance(there, dict) and isinstance(value, dict) else value


def _header_of(provider: Provider) -> dict[str, str]:
    """Return what the header of a token says that only counts where the provider takes no sessions."""
    if provider.kind != "clerk" or "session" in provider.clerk_kinds or provider.clerk_kinds == {"machine"}:
        return {}
    if "oauth" in provider.clerk_kinds:
        return {"typ": "at+jwt"}
    return {"cat": next(name for name, kind in provider.preset.categories.items() if kind == "template")}


def _make_key(algorithm: str) -> Any:
    if algorithm in _CURVES:
        return ec.generate_private_key(_CURVES[algorithm])
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, _RSA_BITS)
