"""What people answer to `gateway init`, brought into the form that the file wants, or why it cannot be taken.

Only what has one meaning is put right: a scheme that is not there, an `@` before a domain, quotes around a key. What is
left is checked by writing the file with it.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from gateway.commands.preset_drafts import told_by
from gateway.config.addresses import likely_scheme
from gateway.config.typescript import CLASSES

_ASSIGNMENT = re.compile(r"(?:export\s+)?[A-Za-z_][A-Za-z0-9_]*=(?=\S)")
_VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?")
_DISCOVERY = "/.well-known/openid-configuration"
_MIN_SECRET = 20  # characters; no name of a variable or a file is that long without a dot, a slash or an underscore


class Unfit(ValueError):
    """Why an answer cannot be taken, and what is expected. The answer itself may be a secret, and is not in it."""


def bare(answer: str) -> str:
    """Return an answer without the space, the quotes and the `NAME=` that came along when it was copied."""
    text = answer.strip().rstrip(",;").strip()
    text = text[_end_of_assignment(text) :].strip()
    while len(text) > 1 and text[0] == text[-1] and text[0] in "\"'`":
        text = text[1:-1].strip()
    return text


def upstream_in(answer: str) -> str:
    """Return an address; `http://` is assumed for this machine, a port alone, and names without a dot."""
    text = bare(answer)
    if text.isascii() and text.isdigit():
        return f"http://localhost:{text}"
    if "://" in text or not text:
        return text
    return f"http://{text}" if likely_scheme(text) == "http" else text


def kind_in(answer: str) -> str:
    """Return the type of a provider, in lower case, also for the name of Mastra's class."""
    word = bare(answer).lower()
    return CLASSES.get(word, word)


def variable_in(answer: str) -> str | None:
    """Return the variable that an answer names, as `NAME`, `$NAME` or `${NAME}`; None where it names none."""
    text = bare(answer)
    found = _VARIABLE.fullmatch(text)
    if found is not None:
        return found[1]
    return text if text.isidentifier() and text.isupper() and text.isascii() else None


def issuer_in(answer: str, kind: str) -> str:
    """Return what tells a provider of a type: a key, a domain, an address, a variable or a file. Raises `Unfit`."""
    text = variable_in(answer) or bare(answer)
    match kind:
        case "clerk":
            return _clerk_key(text)
        case "auth0":
            return urlsplit(text).netloc if "://" in text else text.partition("/")[0]
        case "oidc":
            return _issuer(text)
        case "jwt":
            return _secret_place(text)
        case "keycloak" if text and "/realms/" not in text:
            raise Unfit("found no realm in it, expected its address, such as https://sso.yourcompany.com/realms/corp")
        case _:
            return told_by(text, kind)


def domain_in(answer: str) -> str:
    """Return the domain of emails, without an `@` before it."""
    return bare(answer).removeprefix("*").removeprefix("@")


def _end_of_assignment(text: str) -> int:
    found = _ASSIGNMENT.match(text)
    return found.end() if found is not None else 0


def _clerk_key(text: str) -> str:
    if text.startswith("sk_"):
        raise Unfit(
            "found Clerk's secret key (sk_...), which the gateway does not need: expected the publishable key"
            " (pk_test_... or pk_live_...), which stands beside it in the dashboard"
        )
    return text


def _issuer(text: str) -> str:
    text = text.removesuffix(_DISCOVERY)
    if "://" in text or not text:
        return text
    return f"{likely_scheme(text)}://{text}"


def _secret_place(text: str) -> str:
    if len(text) >= _MIN_SECRET and not re.search(r"[./_]", text):
        raise Unfit(
            "found what looks like the secret itself, which does not belong into the file: expected the name of the"
            " variable that holds it, or of a file for it"
        )
    return text
