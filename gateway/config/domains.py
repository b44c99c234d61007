"""Readers of what email rules compare: whole domains and whole addresses."""

from __future__ import annotations

import idna

from gateway.config.addresses import host_of
from gateway.config.readers import Mistake, Scalar
from gateway.policy.emails import read_email


def _email_domain(written: str) -> str:
    if "@" in written:
        rest = written.rpartition("@")[2]
        raise Mistake(f"with an '@' (did you mean '{rest}'?)" if rest and "." in rest else "with an '@'")
    if "*" in written or written.startswith("."):
        bare = written.lstrip("*.")
        what = "with a wildcard" if "*" in written else "that begins with a dot"
        raise Mistake(f"{what} (did you mean '{bare}' with 'include_subdomains: true'?)" if bare else what)
    try:
        name = host_of(written)
    except Mistake:
        raise Mistake("which no domain can be") from None
    if name.endswith("."):
        raise Mistake(f"with a dot at its end (did you mean '{name[:-1]}'?)")
    if "." not in name:
        raise Mistake("of one label, which would be a whole top-level domain or nothing")
    if ":" in name or "_" in name or name.rpartition(".")[2].isdigit():
        raise Mistake("which no domain can be")
    try:
        idna.decode(name)
    except (idna.IDNAError, UnicodeError):
        raise Mistake("which no domain can be") from None
    return name


def _email(written: str) -> str:
    if read_email(written) == (None, None):
        raise Mistake("which no verified email is")
    return written


EMAIL_DOMAIN = Scalar("a whole domain such as yourcompany.com", _email_domain)
EMAIL = Scalar("an email such as alice@yourcompany.com, in ASCII", _email)
