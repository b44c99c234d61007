"""The file that `gateway init` writes: out of a few answers, and checked before anything is on disk."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.commands.answers import variable_in
from gateway.commands.preset_drafts import PRESET_DRAFTS, places_of
from gateway.config.document import ConfigError
from gateway.config.file import load_text
from gateway.config.model import Config
from gateway.config.variables import with_prefixes
from gateway.record.subject import keep_once

TYPES = ("jwt", "clerk", "auth0", "oidc", *PRESET_DRAFTS)
WITH_AUDIENCE = ("auth0", "oidc", *(kind for kind, one in PRESET_DRAFTS.items() if one.audience))
WITHOUT_ISSUER = tuple(kind for kind, one in PRESET_DRAFTS.items() if not one.which)  # there is but one
DEFAULT_UPSTREAM = "http://localhost:4111"
_VARIABLE = "MASTRA_JWT_SECRET"
_SECRET_FILE = "mastra-jwt.secret"  # noqa: S105  # a file's name
_SECRET_BYTES = 48
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~:/@+-]*")
_PROVIDERS = {
    "jwt": "  # Tokens signed with a shared secret, as for MastraJwtAuth. `gateway token` mints one to try.\n"
    "  callers:\n    type: jwt\n    {secret}\n",
    "clerk": "  # Session tokens of Clerk. The address of its keys is inside the publishable key.\n"
    "  callers:\n    type: clerk\n    publishable_key: {issuer}\n"
    "    # authorized_parties: [https://app.example.com]   # then only tokens of these pages count\n"
    "    # Session tokens carry no email unless it is added in Clerk's dashboard: Sessions, Customize session token.\n"
    "    email_claim: email\n",
    "auth0": "  # Access tokens of Auth0 for one API.\n"
    "  callers:\n    type: auth0\n    domain: {issuer}\n    audience: {audience}\n"
    "    # Access tokens carry no email unless an Action adds one, under a name like this:\n"
    "    email_claim: https://{domain}/email\n",
    "oidc": "  # Tokens of any issuer with OpenID Connect discovery.\n"
    "  callers:\n    type: oidc\n    issuer: {issuer}\n    audience: {audience}\n",
    **{kind: one.provider for kind, one in PRESET_DRAFTS.items()},
}
_FILE = """\
# The door in front of a Mastra server. `gateway check` reads this file, `gateway serve` runs it,
# `gateway test` asks the cases at its end. Every key: docs/reference/configuration.md

listen: 0.0.0.0:8080
admin: 127.0.0.1:9090          # health, metrics and the status page: open http://localhost:9090

upstream: {upstream}
# These lines in place of that one, where callers may have to do with their own threads, runs and traces alone (`own`:
# docs/how-to/ownership.md), and with Mastra's Studio (`studio`, and the lines below: docs/how-to/studio.md).
#upstreams:
#  mastra: {{url: {upstream}, own: {{by: subject}}, studio: {{allow: callers}}}}

providers:
{provider}
rules:
  # Who may pass. `gateway explain GET /api/agents --token TOKEN` says why somebody may not.
  callers: {rule}

routes:
  /api:                        # and everything below it
    provider: callers
    allow: callers
  GET /health: {{public: true}}  # no token: for load balancers
#  /chat: {{provider: callers, allow: callers}}   # chatRoute() of the AI SDK is not below /api
#  GET /: {{public: true}}                        # Studio's pages: without answers from /api they show nothing
#  GET /refresh-events: {{provider: callers, allow: callers}}   # counts the cookie of a login

# What must stay true, whoever changes the rules.
tests:
  - {{request: GET /health, expect: allow}}
  - {{request: GET /api/agents, expect: token_missing}}
{cases}"""


@dataclass(frozen=True, slots=True)
class Answers:
    """What the questions gave. `issuer` tells the provider: a key, a domain, an address, a variable or a file."""

    upstream: str
    kind: str
    issuer: str
    audience: str
    email_domain: str


class Desk:
    """Where the file comes to be: what it will be called, and the variables that it will see."""

    def __init__(self, file: Path, environment: Mapping[str, str]) -> None:
        self.file = file
        self._environment = environment

    def issuer_known(self, kind: str) -> str:
        """Return what tells a provider of a type, where that is known without asking; else nothing."""
        match kind:
            case "jwt":
                return _VARIABLE if self._environment.get(_VARIABLE) else _SECRET_FILE
            case "clerk":
                plain = "CLERK_PUBLISHABLE_KEY"
                names = (plain, *with_prefixes(plain, self._environment))
                return next((name for name in names if self._environment.get(name)), "")
            case _:
                variable = PRESET_DRAFTS[kind].variable if kind in PRESET_DRAFTS else ""
                return variable if self._environment.get(variable) else ""

    def text_of(self, answers: Answers) -> str:
        """Return the file's text."""
        is_variable = variable_in(answers.issuer) is not None
        domain = "example.com" if is_variable else answers.issuer.removeprefix("https://").rstrip("/")
        secret = f"secret: ${{{answers.issuer}}}" if is_variable else f"secret_file: {_scalar(answers.issuer)}"
        issuer = f"${{{answers.issuer}}}" if is_variable else _scalar(answers.issuer)
        places = places_of(answers.issuer, is_variable=is_variable, asks_email=bool(answers.email_domain))
        own = {name: _scalar(text) for name, text in places.items()}
        provider = _PROVIDERS[answers.kind].format(
            issuer=issuer, audience=_scalar(answers.audience), domain=domain, secret=secret, **own
        )
        rule = f"{{email_domain: {_scalar(answers.email_domain)}}}" if answers.email_domain else "authenticated"
        cases = _cases(answers, domain)
        if answers.kind == "oidc" and answers.email_domain:
            provider += "    # An email counts where the token says that its owner has confirmed it.\n"
            provider += "    email_verified: required\n"
        return _FILE.format(upstream=_scalar(answers.upstream), provider=provider, rule=rule, cases=cases)

    def load(self, answers: Answers) -> Config:
        """Return what the file would say. Raises `ConfigError`."""
        # The secret's file is made when all answers are there: until then, something stands for it.
        stand_in = secrets.token_urlsafe(_SECRET_BYTES).encode()
        return load_text(
            self.text_of(answers),
            str(self.file),
            self._environment,
            read_file=lambda path: path.read_bytes() if path.exists() else stand_in,
            folder=self.file.parent,
        )

    def why_not(self, answers: Answers) -> str:
        """Return the first mistake of the file that some answers would give; nothing if there is none."""
        try:
            self.load(answers)
        except ConfigError as problem:
            return problem.problems[0].message
        return ""

    def make_secret(self, answers: Answers) -> Path | None:
        """Return the secret's file, made unless it is there; None where none is needed. Raises `OSError`."""
        if answers.kind != "jwt" or variable_in(answers.issuer) is not None:
            return None
        path = self.file.parent / answers.issuer
        keep_once(path, secrets.token_urlsafe(_SECRET_BYTES).encode())
        return path


def _cases(answers: Answers, domain: str) -> str:
    if not answers.email_domain:
        return "  - {request: GET /api/agents, claims: {}, expect: allow}\n"
    claim = f"https://{domain}/email" if answers.kind == "auth0" else "email"
    return (
        f"  - {{request: GET /api/agents, claims: {{{claim}: ann@{answers.email_domain}}}, expect: allow}}\n"
        f"  - {{request: GET /api/agents, claims: {{{claim}: ann@evil.example}}, expect: access_denied}}\n"
    )


def _scalar(text: str) -> str:
    """Return a text as YAML may hold it: plain where it is harmless, else in quotes."""
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
