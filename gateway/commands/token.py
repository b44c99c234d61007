"""`gateway token`: a test token for a provider of type jwt."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from gateway.commands.call import BadCall, Command, Refusal, add_file_option, environment_of, require_file, say
from gateway.commands.mint import mint_token
from gateway.commands.reading import read_file
from gateway.config.readers import Mistake, duration
from gateway.explain.issuer import complete_claims, put_claim
from gateway.policy.providers import Provider

_NEVER = "never"
_INSTEAD = {
    "clerk": "Clerk signs them: in a browser that is signed in, `await window.Clerk.session.getToken()`",
    "auth0": "Auth0 signs them: the page of the API in its dashboard has a tab Test",
    "oidc": "its issuer signs them",
    "keys": "its callers send keys: `gateway key NAME` makes one",
}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_file_option(parser)
    parser.add_argument("--provider", metavar="NAME", help="which provider; needed when several are of type jwt")
    parser.add_argument("--sub", default="test", help="the subject (default: test)")
    parser.add_argument("--email", help="the email, under the name that the provider reads it from")
    parser.add_argument("--claims", metavar="JSON", default="{}", help="further claims as an object; null removes one")
    parser.add_argument("--expires", metavar="TIME", default="1h", help="30s, 5m, 1h or never (default: 1h)")
    parser.add_argument("--json", action="store_true", help="print the token, its claims and its provider as JSON")


def _run(call: argparse.Namespace) -> int:
    """Print a token, and nothing else, so that `TOKEN=$(gateway token)` works."""
    _parse_claims(call.claims)
    lifetime_seconds = _parse_lifetime(call.expires)
    config = read_file(require_file(call.file), environment_of(call))
    provider = _choose_provider(config.providers, call.provider)
    now = int(time.time())
    claims = complete_claims(provider, _claims_given(provider, call, lifetime_seconds, now), now)
    if provider.requires_expiry and "exp" not in claims:
        say(f"gateway token: {provider.name} refuses tokens without exp; `expiry: optional` there would let it in")
    secret = provider.secrets[0]
    token = mint_token(claims, secret.material, min(provider.algorithms))
    print(json.dumps({"token": token, "provider": provider.name, "claims": claims}) if call.json else token)
    return 0


def _parse_claims(text: str) -> dict[str, Any]:
    try:
        claims = json.loads(text)
    except ValueError as problem:
        raise BadCall(f"--claims is no JSON: {problem}") from problem
    if not isinstance(claims, dict):
        raise BadCall('--claims is JSON, but no object; expected something like \'{"role": "admin"}\'')
    return claims


def _parse_lifetime(text: str) -> float | None:
    """Return seconds, or None for never."""
    if text == _NEVER:
        return None
    try:
        return duration().parse(text)
    except Mistake as mistake:
        raise BadCall(f"--expires {text}: found no time; expected {duration().expected}, or never") from mistake


def _choose_provider(providers: tuple[Provider, ...], name: str | None) -> Provider:
    fitting = [provider for provider in providers if provider.kind == "jwt"]
    if name is None:
        if len(fitting) > 1:
            raise BadCall(f"say which one with --provider: {', '.join(provider.name for provider in fitting)}")
        if not fitting:
            kinds = "; ".join(f"{provider.name} ({provider.kind}): {_INSTEAD[provider.kind]}" for provider in providers)
            raise Refusal(f"the file has no provider of type jwt, and only those sign with a secret of ours. {kinds}")
        return fitting[0]
    for provider in providers:
        if provider.name == name and provider.kind != "jwt":
            raise Refusal(
                f"{name} is of type {provider.kind}, whose tokens are not ours to sign. {_INSTEAD[provider.kind]}"
            )
        if provider.name == name:
            return provider
    raise BadCall(f"the file has no provider {name}; it has {', '.join(provider.name for provider in providers)}")


def _claims_given(
    provider: Provider, call: argparse.Namespace, lifetime_seconds: float | None, now: int
) -> dict[str, Any]:
    """Return what the call says about claims; null removes one. `now` is Unix seconds."""
    given: dict[str, Any] = {}
    put_claim(given, provider.subject_claim, call.sub)
    given["exp"] = now + round(lifetime_seconds) if lifetime_seconds is not None else None
    if call.email is not None:
        put_claim(given, provider.email_claim or "email", call.email)
    return given | _parse_claims(call.claims)


_EXAMPLES = """\
examples:
  gateway token --email ann@yourcompany.com
  curl -H "Authorization: Bearer $(gateway token --sub ann)" http://localhost:8080/api/agents
  gateway token --claims '{"roles": ["admin"]}' --expires 5m
"""
COMMAND = Command(
    "Mint a test token for a provider of type jwt, with the secret of the file. It prints the token and nothing else.",
    _add_arguments,
    _run,
    _EXAMPLES,
)
