"""`gateway init`: four questions, or as many flags, and a commented file that passes `gateway check`."""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.commands.call import BadCall, Command, Refusal, add_file_option
from gateway.commands.printing import print_lines
from gateway.config.document import ConfigError
from gateway.config.file import load_text
from gateway.server.subject import keep_once

TYPES = ("jwt", "clerk", "auth0", "oidc")
_UPSTREAM = "http://localhost:4111"
_VARIABLE = "MASTRA_JWT_SECRET"
_SECRET_FILE = "mastra-jwt.secret"  # noqa: S105  # a file's name
_SECRET_BYTES = 48
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~:/@+-]*")
_EXAMPLES = """\
examples:
  gateway init                                                          asks
  gateway init --type auth0 --issuer tenant.eu.auth0.com --audience https://api.example.com --email-domain example.com
  gateway init --type clerk --issuer pk_test_... --upstream http://mastra:4111
  gateway init --type jwt                                               a shared secret, as MastraJwtAuth has it
"""
_WHICH = {
    "jwt": "The variable that holds the shared secret, or a file for it [{default}]",
    "clerk": "Clerk's publishable key (pk_test_... or pk_live_...)",
    "auth0": "Auth0's domain and the API's audience (tenant.eu.auth0.com https://api.example.com)",
    "oidc": "The issuer's address and the audience of its tokens (https://login.example.com mastra)",
}
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
}
_FILE = """\
# The door in front of a Mastra server. `gateway check` reads this file, `gateway serve` runs it,
# `gateway test` asks the cases at its end. Every key: docs/reference/configuration.md

listen: 0.0.0.0:8080
admin: 127.0.0.1:9090          # health, metrics and the status page: open http://localhost:9090

upstream: {upstream}

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

# What must stay true, whoever changes the rules.
tests:
  - {{request: GET /health, expect: allow}}
  - {{request: GET /api/agents, expect: token_missing}}
{cases}"""


@dataclass(frozen=True, slots=True)
class _Answers:
    """What the questions gave. `issuer` tells the provider: a key, a domain, an address, a variable or a file."""

    upstream: str
    kind: str
    issuer: str
    audience: str
    email_domain: str


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_file_option(parser)
    parser.add_argument("--upstream", metavar="URL", help=f"where Mastra listens (default: {_UPSTREAM})")
    parser.add_argument("--type", choices=TYPES, help="who issues the tokens")
    parser.add_argument(
        "--issuer", metavar="WHICH", help="clerk: publishable key; auth0: domain; oidc: issuer; jwt: variable or file"
    )
    parser.add_argument("--audience", help="auth0, oidc: the audience of the tokens")
    parser.add_argument("--email-domain", metavar="DOMAIN", help="who may pass (default: every token that counts)")
    parser.add_argument("--force", action="store_true", help="write over a file that is there")


def _run(call: argparse.Namespace) -> int:
    """Write the file; return 0. Nothing is written that `gateway check` would refuse."""
    file: Path = call.file
    if file.exists() and not call.force:
        raise Refusal(f"{file} is there already; --force writes over it, -c FILE names another")
    answers = _ask(call) if call.type is None and sys.stdin.isatty() else _take(call)
    secret_file = _make_secret_file(answers, file.parent) if answers.kind == "jwt" else None
    text = _write(answers, os.environ)
    try:
        config = load_text(text, str(file), os.environ, folder=file.parent)
    except ConfigError as problem:
        raise BadCall(_in_one_line(problem)) from None
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as problem:
        raise Refusal(f"{file} cannot be written: {problem.strerror}") from None
    print_lines([(f"{file} is written, and has no mistakes: {len(config.policy.routes)} routes.", "green")])
    if secret_file is not None:
        print_lines([(f"{secret_file} holds the secret that whoever signs the tokens must share.", "")])
    option = "" if str(file) == "gateway.yaml" else f" -c {file}"
    steps = [f"gateway check{option}    who may do what, in words", f"gateway test{option}     the cases at its end"]
    print_lines([("Next:", "bold"), *((f"  {step}", "") for step in (*steps, f"gateway serve{option}"))])
    return 0


def _ask(call: argparse.Namespace) -> _Answers:
    upstream = call.upstream or _question(f"Where does Mastra listen? [{_UPSTREAM}]") or _UPSTREAM
    kind = ""
    while kind not in TYPES:
        kind = _question(f"Who issues the tokens: {', '.join(TYPES)}?").lower()
    default = _default_secret()
    issuer, _, audience = _question(_WHICH[kind].format(default=default)).partition(" ")
    domain = _question("Whose emails may pass, by domain? [everybody with a good token]")
    return _Answers(upstream, kind, issuer or (default if kind == "jwt" else ""), audience.strip(), domain)


def _question(words: str) -> str:
    try:
        return input(f"{words} ").strip()
    except EOFError:
        raise BadCall("the answers ended; gateway init --help shows the flags that say the same") from None


def _take(call: argparse.Namespace) -> _Answers:
    if call.type is None:
        raise BadCall(f"--type is missing, expected one of {', '.join(TYPES)} (on a terminal it asks)")
    issuer = call.issuer or (_default_secret() if call.type == "jwt" else "")
    return _Answers(call.upstream or _UPSTREAM, call.type, issuer, call.audience or "", call.email_domain or "")


def _default_secret() -> str:
    return _VARIABLE if os.environ.get(_VARIABLE) else _SECRET_FILE


def _make_secret_file(answers: _Answers, folder: Path) -> Path | None:
    """Return the secret's file, made unless it is there; None where a variable holds the secret."""
    if os.environ.get(answers.issuer) or (answers.issuer.isidentifier() and answers.issuer.isupper()):
        return None
    path = folder / answers.issuer
    try:
        keep_once(path, secrets.token_urlsafe(_SECRET_BYTES).encode())
    except OSError as problem:
        raise Refusal(f"{path} cannot be written: {problem.strerror}") from None
    return path


def _write(answers: _Answers, environment: Mapping[str, str]) -> str:
    if answers.kind != "jwt" and not answers.issuer:
        raise BadCall(f"--issuer is missing, expected {_WHICH[answers.kind]}")
    if answers.kind in ("auth0", "oidc") and not answers.audience:
        raise BadCall("--audience is missing, expected the audience that the issuer writes into the tokens of this API")
    in_variable = answers.issuer in environment or (answers.issuer.isidentifier() and answers.issuer.isupper())
    secret = f"secret: ${{{answers.issuer}}}" if in_variable else f"secret_file: {_scalar(answers.issuer)}"
    domain = answers.issuer.removeprefix("https://").rstrip("/")
    provider = _PROVIDERS[answers.kind].format(
        issuer=_scalar(answers.issuer), audience=_scalar(answers.audience), domain=domain, secret=secret
    )
    rule = f"{{email_domain: {_scalar(answers.email_domain)}}}" if answers.email_domain else "authenticated"
    return _FILE.format(upstream=_scalar(answers.upstream), provider=provider, rule=rule, cases=_cases(answers, domain))


def _cases(answers: _Answers, domain: str) -> str:
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


def _in_one_line(problem: ConfigError) -> str:
    first = problem.problems[0]
    return f"that gives a file with a mistake: {first.path}: {first.message}"


COMMAND = Command(
    "Ask four questions, and write a commented gateway.yaml that passes check.", _add_arguments, _run, _EXAMPLES
)
