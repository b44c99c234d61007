"""`gateway init`: four questions, or as many flags, and a commented file that passes `gateway check`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gateway.commands.answers import Unfit, bare, domain_in, issuer_in, upstream_in
from gateway.commands.call import BadCall, Command, Refusal, add_file_option, environment_of
from gateway.commands.draft import DEFAULT_UPSTREAM, TYPES, WITH_AUDIENCE, WITHOUT_ISSUER, Answers, Desk
from gateway.commands.interview import WHICH, Interview
from gateway.commands.preset_drafts import PRESET_DRAFTS
from gateway.commands.printing import print_lines
from gateway.config.document import ConfigError
from gateway.config.env_file import variables_beside

_EXAMPLES = """\
examples:
  gateway init                                                          asks
  gateway init --type auth0 --issuer tenant.eu.auth0.com --audience https://api.example.com --email-domain example.com
  gateway init --type clerk --issuer pk_test_... --upstream http://mastra:4111
  gateway init --type entra --issuer TENANT-ID --audience api://mastra
  gateway init --type jwt                                               a shared secret, as MastraJwtAuth has it
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_file_option(parser)
    parser.add_argument("--upstream", metavar="URL", help=f"where Mastra listens (default: {DEFAULT_UPSTREAM})")
    parser.add_argument("--type", choices=TYPES, help="who issues the tokens")
    parser.add_argument(
        "--issuer",
        metavar="WHICH",
        help="clerk: publishable key; auth0, okta: domain; oidc: issuer; jwt: variable or file; entra: tenant; "
        "keycloak: the realm's address; cognito: user pool; supabase, better_auth: address; firebase: project; "
        "workos: client id",
    )
    parser.add_argument(
        "--audience", help="auth0, oidc, entra, okta, keycloak: the audience of the tokens; google, cognito: client id"
    )
    parser.add_argument("--email-domain", metavar="DOMAIN", help="who may pass (default: every token that counts)")
    parser.add_argument("--force", action="store_true", help="write over a file that is there")


def _run(call: argparse.Namespace) -> int:
    """Write the file; return 0. Nothing is written that `gateway check` would refuse."""
    file: Path = call.file
    if file.exists() and not call.force:
        raise Refusal(f"{file} is there already; --force writes over it, -c FILE names another")
    try:
        desk = Desk(file, variables_beside(file, environment_of(call)))
    except ConfigError as problem:
        raise Refusal(f"the variables beside {file} cannot be read", problem.lines()) from None
    is_asked = call.type is None and sys.stdin.isatty()
    answers = Interview(desk).ask(call.upstream) if is_asked else _take(call, desk)
    try:
        config = desk.load(answers)
    except ConfigError as problem:
        first = problem.problems[0]
        raise BadCall(f"that gives a file with a mistake: {first.path}: {first.message}") from None
    try:
        secret_file = desk.make_secret(answers)
        file.write_text(desk.text_of(answers), encoding="utf-8")
    except OSError as problem:
        raise Refusal(f"{problem.filename or file} cannot be written: {problem.strerror}") from None
    print_lines([(f"{file} is written, and has no mistakes: {len(config.policy.routes)} routes.", "green")])
    if secret_file is not None:
        print_lines([(f"{secret_file} holds the secret that whoever signs the tokens must share.", "")])
    option = "" if str(file) == "gateway.yaml" else f" -c {file}"
    steps = [f"gateway check{option}    who may do what, in words", f"gateway test{option}     the cases at its end"]
    print_lines([("Next:", "bold"), *((f"  {step}", "") for step in (*steps, f"gateway serve{option}"))])
    return 0


def _take(call: argparse.Namespace, desk: Desk) -> Answers:
    """Return what the flags say. Raises `BadCall`."""
    if call.type is None:
        raise BadCall(f"--type is missing, expected one of {', '.join(TYPES)} (on a terminal it asks)")
    try:
        issuer = issuer_in(call.issuer or desk.issuer_known(call.type), call.type)
    except Unfit as problem:
        raise BadCall(f"--issuer: {problem}") from None
    if not issuer and call.type not in WITHOUT_ISSUER:
        raise BadCall(f"--issuer is missing, expected {WHICH[call.type]}")
    audience = bare(call.audience or "")
    if call.type in WITH_AUDIENCE and not audience:
        asked = PRESET_DRAFTS[call.type].audience if call.type in PRESET_DRAFTS else ""
        expected = asked or "the audience that the issuer writes into the tokens of this API"
        raise BadCall(f"--audience is missing, expected {expected[:1].lower()}{expected[1:]}")
    upstream = upstream_in(call.upstream or DEFAULT_UPSTREAM)
    return Answers(upstream, call.type, issuer, audience, domain_in(call.email_domain or ""))


COMMAND = Command(
    "Ask four questions, and write a commented gateway.yaml that passes check.", _add_arguments, _run, _EXAMPLES
)
