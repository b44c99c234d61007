"""`gateway key`: a new key for a machine, shown once, and the line that `keys_file` has of it."""

from __future__ import annotations

import argparse
import json
import re
import secrets
import sys
import time

from gateway.commands.call import BadCall, Command, say
from gateway.config.lists import check_name
from gateway.config.readers import Mistake, moment
from gateway.policy.machine_keys import RANDOM_BYTES, digest_of, new_key

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9._/@+-]*")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off"})


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="what the key is called: in the file, in rules (client:), in logs")
    parser.add_argument("--subject", help="whom it speaks for (default: its name)")
    parser.add_argument("--role", action="append", default=[], metavar="ROLE", help="a role of it; may come again")
    parser.add_argument("--group", action="append", default=[], metavar="GROUP", help="a group of it; may come again")
    parser.add_argument("--scope", action="append", default=[], metavar="SCOPE", help="a scope of it; may come again")
    parser.add_argument("--expires", metavar="WHEN", help="a day or moment, such as 2027-01-01 (default: never)")
    parser.add_argument("--json", action="store_true", help="print the key, its name and its line as JSON")


def _run(call: argparse.Namespace) -> int:
    """Print the key and its line, one each, so that `gateway key NAME | head -n 1` is the key."""
    try:
        check_name(call.name)
    except Mistake as mistake:
        raise BadCall(f"NAME: {mistake}") from mistake
    _check_expiry(call.expires)
    key = new_key(secrets.token_bytes(RANDOM_BYTES))
    line = f"{_scalar(call.name)}: {{{', '.join(_members(call, key))}}}"
    if call.json:
        print(json.dumps({"key": key, "name": call.name, "line": line}))
        return 0
    if sys.stdout.isatty():
        say("The key, shown this once: give it to the machine, in Authorization: Bearer KEY or X-Api-Key: KEY.")
        say("Below it the line for the file that keys_file names; it counts as soon as the file is saved.")
    print(key)
    print(line)
    return 0


def _members(call: argparse.Namespace, key: str) -> list[str]:
    members = [f"hash: {digest_of(key).hex()}", f"subject: {_scalar(call.subject or call.name)}"]
    for name, values in (("roles", call.role), ("groups", call.group), ("scopes", call.scope)):
        if values:
            members.append(f"{name}: [{', '.join(map(_scalar, values))}]")
    return members + ([f"expires: {_scalar(call.expires)}"] if call.expires else [])


def _check_expiry(written: str | None) -> None:
    if written is None:
        return
    try:
        at = moment().parse(written)
    except Mistake as mistake:
        raise BadCall(f"--expires {written}: found no moment; expected a day such as 2027-01-01") from mistake
    if at <= time.time():
        raise BadCall(f"--expires {written}: it has passed; expected a moment to come")


def _scalar(text: str) -> str:
    """Return a text as YAML may hold it within braces: plain where it is harmless, else in quotes."""
    is_plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return text if is_plain or re.fullmatch(r"\d{4}-\d\d-\d\d", text) else json.dumps(text, ensure_ascii=False)


_EXAMPLES = """\
examples:
  gateway key nightly --role operator --expires 2027-01-01
  gateway key worker --subject mastra-worker
  printf %s "$KEY" | sha256sum             the hash of a key that is there already
"""
COMMAND = Command(
    "Make a key for a machine. It prints the key, which is kept nowhere, and the line for the file of keys.",
    _add_arguments,
    _run,
    _EXAMPLES,
)
