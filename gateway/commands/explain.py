"""`gateway explain`: why a request gets its answer, step by step, and what to do about it."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from gateway.commands.asking import (
    parse_headers,
    parse_method,
    parse_moment,
    parse_target,
    read_claims,
    read_object,
    read_token,
)
from gateway.commands.call import BadCall, Command, add_file_option, environment_of, require_file
from gateway.commands.printing import Line, print_lines, progress
from gateway.commands.reading import read_file
from gateway.config.model import Config
from gateway.explain.explain import allowed, explain, with_note_of_scheme
from gateway.explain.issuer import StandInIssuer, complete_claims
from gateway.explain.request import Asked, NoProviderError, client_step, head_for, provider_for, route_of, token_in
from gateway.explain.spent import Counted
from gateway.explain.step import Explanation, Step, Verdict
from gateway.explain.walk import source_asked
from gateway.keys.fetch import Fetcher
from gateway.keys.store import KeyStore
from gateway.policy.key_lookup import Keys
from gateway.policy.model import RequestHead
from gateway.policy.reasons import Reason
from gateway.server.ledger import Ledger

_MARKS: dict[Verdict, str] = {"yes": "yes", "no": "NO", "unknown": "?", "note": "", "skipped": "-"}
_STYLES: dict[Verdict, str] = {"yes": "green", "no": "bold red", "unknown": "yellow", "note": "dim", "skipped": "dim"}
_NAME_WIDTH = 10
_EXAMPLES = """\
examples:
  gateway explain GET /api/agents --token "$TOKEN"          why is this token refused?
  xclip -o | gateway explain GET /api/agents --token -       the same, without the token in the shell's history
  gateway explain POST /api/memory --claims claims.json     without a token: what would these claims get? (offline)
  gateway explain POST /api/memory --provider staff --claims '{"email": "ann@yourcompany.com"}'
  gateway explain GET /api/agents --token - --at 2026-11-21T05:00:00Z
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "gateway explain METHOD PATH [options]"
    parser.add_argument("method", metavar="METHOD", help="GET, POST, ...")
    parser.add_argument("path", metavar="PATH", nargs="?", help="the path with its query, or the whole address")
    add_file_option(parser)
    parser.add_argument("--token", metavar="TOKEN", help="the token; - reads it from standard input")
    parser.add_argument("--claims", metavar="FILE", help="in place of a token: a JSON file, - or the JSON itself")
    parser.add_argument("--provider", metavar="NAME", help="whose claims; iss, aud, exp and their kind are filled in")
    parser.add_argument("--header", metavar="LINE", action="append", default=[], help="'Name: value', repeatable")
    parser.add_argument("--body", metavar="FILE", help="where `own` reads it: a JSON file, - or the JSON itself")
    parser.add_argument(
        "--ip",
        metavar="ADDRESS",
        default="127.0.0.1",
        help="who is connected: the client, or a proxy (default: 127.0.0.1)",
    )
    parser.add_argument("--at", metavar="TIME", help="decide as at this moment, 2026-11-21T05:00:00Z (default: now)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _run(call: argparse.Namespace) -> int:
    """Print the explanation; return 0 if the request would pass, else 1."""
    if call.token is not None and call.claims is not None:
        raise BadCall("--token and --claims were given; expected one of them")
    if call.provider is not None and call.claims is None:
        raise BadCall("--provider says whose claims they are; expected --claims beside it")
    if call.path is None:
        what = "a path without a method" if "/" in call.method else "a method without a path"
        raise BadCall(f"found {what}, expected both: gateway explain GET /api/agents")
    scheme, host, target = parse_target(call.path)
    asked = Asked(parse_method(call.method), target, tuple(parse_headers(call.header)), call.ip, scheme, host)
    now = parse_moment(call.at, time.time())
    pasted = read_token(call.token) if call.token is not None else None
    claims = read_claims(call.claims) if call.claims is not None else None
    body = b"" if call.body is None else json.dumps(read_object(call.body, "--body", "that of a request")).encode()
    config = read_file(require_file(call.file), environment_of(call))
    if claims is None:
        explanation = _explain_token(config, asked, pasted, now, body)
    else:
        explanation = _explain_claims(config, asked, claims, call.provider, now, body)
    if (client := client_step(asked, config)) is not None:
        explanation = replace(explanation, steps=(client, *explanation.steps))
    if call.json:
        print(json.dumps(explanation.as_json(), indent=2))
    else:
        print_lines(_lines(explanation))
    return 0 if explanation.decision == "allow" else 1


def _explain_token(config: Config, asked: Asked, pasted: str | None, now: float, body: bytes) -> Explanation:
    token, has_scheme = token_in(pasted) if pasted is not None else (None, False)
    explanation = asyncio.run(_explain_with_keys(config, head_for(asked, config, token), now, body))
    if not has_scheme:
        return explanation
    as_pasted = head_for(asked, config, pasted)  # falls by its form: no key is asked for
    return with_note_of_scheme(explanation, config.policy, StandInIssuer(), as_pasted, now)


async def _explain_with_keys(config: Config, head: RequestHead, now: float, body: bytes) -> Explanation:
    """Explain with the keys of the provider's key server, asked for if the token gets as far as a provider."""
    logging.getLogger("gateway.keys").addHandler(logging.NullHandler())  # the explanation says what the log would
    fetcher = Fetcher()
    keys = KeyStore(fetcher.fetch)
    try:
        asked = source_asked(config.policy, head, now, keys)
        if asked is not None:
            with progress("asking the key server"):
                await keys.fetch(*asked)
        counted = await _left(config, keys, head, now)
        return explain(config.policy, keys, head, now, keys.status_of, body, counted)
    finally:
        await keys.close()
        await fetcher.close()


def _explain_claims(
    config: Config, asked: Asked, claims: dict[str, Any], provider_name: str | None, now: float, body: bytes
) -> Explanation:
    issuer = StandInIssuer()
    try:
        provider = provider_for(claims, route_of(config, asked.method, asked.target), provider_name, config)
    except NoProviderError as problem:
        raise BadCall(str(problem)) from None
    completed = complete_claims(provider, claims, now)
    taken = claims if provider_name is None else completed
    head = head_for(asked, config, issuer.token(taken, provider))
    counted = None if config.shared is None else asyncio.run(_left(config, issuer, head, now))
    explanation = explain(config.policy, issuer, head, now, issuer.status_of, body, counted)
    filled_in = [name for name in completed if name not in taken]
    if explanation.code != Reason.CLAIM_INVALID.code or not filled_in:
        return explanation
    note = f"The claims were taken for all of the token. `--provider {provider.name}` fills in: {', '.join(filled_in)}."
    return replace(explanation, advice=(note, *explanation.advice))


async def _left(config: Config, keys: Keys, head: RequestHead, now: float) -> Counted | None:
    """Return what is left of the caller's budgets, where a store is shared that can be asked."""
    allow = None if config.shared is None else allowed(config.policy, keys, head, now)
    if allow is None or not allow.route.budgets:
        return None
    logging.getLogger("gateway.stores").addHandler(logging.NullHandler())  # the explanation says it
    ledger = Ledger(config)
    try:
        with progress("asking the shared store"):
            return await ledger.left_in_store(allow, head.client_ip)
    finally:
        await ledger.close()


def _lines(explanation: Explanation) -> Iterator[Line]:
    yield explanation.request, "bold"
    yield "", ""
    for step in explanation.steps:
        if step.verdict not in ("note", "skipped"):
            yield from _step_lines(step, 0)
    skipped = [step.name for step in explanation.steps if step.verdict == "skipped"]
    if skipped:
        yield f"-   not asked any more: {', '.join(skipped)}", _STYLES["skipped"]
    for found in dict.fromkeys(step.found for step in explanation.steps if step.verdict == "note"):
        yield f"    {', '.join(s.name for s in explanation.steps if s.found == found)}: {found}", _STYLES["note"]
    yield "", ""
    yield explanation.outcome, "bold green" if explanation.decision == "allow" else "bold red"
    if explanation.body is not None:
        yield f"The client gets: {explanation.body}", ""
    if explanation.challenge is not None:
        yield f"WWW-Authenticate: {explanation.challenge}", ""
    if explanation.advice:
        yield "", ""
        yield "What to do:", "bold"
        for advice in explanation.advice:
            yield f"  * {advice}", ""


def _step_lines(step: Step, depth: int) -> Iterator[Line]:
    indent = "      " * depth
    expected = f"   (expected: {step.expected})" if step.expected else ""
    found = step.found or ("not asked any more" if step.verdict == "skipped" else "")
    yield (
        f"{indent}{_MARKS[step.verdict]:<4}{step.name:<{_NAME_WIDTH}}  {found}{expected}".rstrip(),
        _STYLES[step.verdict],
    )
    for part in step.parts:
        yield from _step_lines(part, depth + 1)


COMMAND = Command(
    "Say why a request gets its answer: each step of the decision with what was found and expected, and what to do.",
    _add_arguments,
    _run,
    _EXAMPLES,
)
