"""The questions of `gateway init`: each answer is checked as it comes, and asked for again with the reason."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable
from dataclasses import replace

from gateway.commands.answers import Unfit, bare, domain_in, issuer_in, kind_in, upstream_in
from gateway.commands.call import BadCall, nearest
from gateway.commands.draft import DEFAULT_UPSTREAM, TYPES, WITH_AUDIENCE, WITHOUT_ISSUER, Answers, Desk
from gateway.commands.preset_drafts import PRESET_DRAFTS
from gateway.commands.printing import print_lines
from gateway.policy.words import listed

WHICH = {
    "jwt": "The variable that holds the shared secret, or a file for it",
    "clerk": "Clerk's publishable key (pk_test_... or pk_live_...)",
    "auth0": "Auth0's domain and the API's audience (tenant.eu.auth0.com https://api.example.com)",
    "oidc": "The issuer's address and the audience of its tokens (https://login.example.com mastra)",
    **{kind: one.which for kind, one in PRESET_DRAFTS.items()},
}
_AUDIENCE = {
    "auth0": "The identifier of the API in Auth0 (https://api.example.com)",
    "oidc": "The audience of its tokens (mastra)",
    **{kind: one.audience for kind, one in PRESET_DRAFTS.items()},
}
_NOT_A_NAME = (
    "(jwt: whoever has a secret that is shared, as with MastraJwtAuth; oidc: any issuer that has no word here)"
)
_INDENT = "  "
_LATER = "asked-later"  # stands for an audience while the answers before it are checked


class Interview:
    """Asks, until every answer can be taken. What is still to be asked does not count against an answer."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        # Nothing in it depends on a variable or a file: what is wrong is the answer.
        self._answers = Answers(DEFAULT_UPSTREAM, "oidc", "https://login.example.com", "mastra", "")

    def ask(self, upstream: str | None) -> Answers:
        """Return the answers. `upstream` is where Mastra listens, if that was said already. Raises `BadCall`."""
        self._settle(f"Where does Mastra listen? [{DEFAULT_UPSTREAM}]", self._take_upstream, upstream)
        kind = _ask_kind()
        self._answers = replace(self._answers, kind=kind, issuer="", audience="")
        known = self._desk.issuer_known(kind)
        if kind in WITHOUT_ISSUER:
            self._answers = replace(self._answers, audience=_LATER)
        else:
            self._settle(f"{WHICH[kind]}{f' [{known}]' if known else ''}", self._take_issuer)
        if self._answers.audience == _LATER:
            self._settle(_AUDIENCE[kind], self._take_audience)
        self._settle("Whose emails may pass, by domain? [everybody with a good token]", self._take_domain)
        return self._answers

    def _settle(self, question: str, take: Callable[[str], Answers], given: str | None = None) -> None:
        """Ask until the answer can be taken. `given`: an answer that is there already."""
        while True:
            said = _question(question) if given is None else given
            given = None
            try:
                answers = take(said)
                why = self._desk.why_not(answers)
            except Unfit as problem:
                why = str(problem)
            if not why:
                self._answers = answers
                return
            _tell(why)

    def _take_upstream(self, said: str) -> Answers:
        return replace(self._answers, upstream=upstream_in(said) or DEFAULT_UPSTREAM)

    def _take_issuer(self, said: str) -> Answers:
        kind = self._answers.kind
        first, _, rest = said.strip().partition(" ") if kind in WITH_AUDIENCE else (said, "", "")
        issuer = issuer_in(first, kind) or self._desk.issuer_known(kind)
        if not issuer:
            raise Unfit("found nothing, and there is no default")
        return replace(self._answers, issuer=issuer, audience=bare(rest) or (_LATER if kind in WITH_AUDIENCE else ""))

    def _take_audience(self, said: str) -> Answers:
        if not bare(said):
            raise Unfit("found nothing, expected what the issuer writes into `aud` of the tokens of this API")
        return replace(self._answers, audience=bare(said))

    def _take_domain(self, said: str) -> Answers:
        return replace(self._answers, email_domain=domain_in(said))


def _ask_kind() -> str:
    while True:
        kind = kind_in(_question(f"Who issues the tokens: {', '.join(TYPES)}? {_NOT_A_NAME}"))
        if kind in TYPES:
            return kind
        _tell(f"found no type of provider, expected {listed(TYPES)}{nearest(kind, TYPES)}")


def _tell(why: str) -> None:
    print_lines((_INDENT + line, "yellow") for line in _wrapped(why, len(_INDENT)))


def _wrapped(words: str, taken: int) -> list[str]:
    """Return lines that leave `taken` columns free. Between words: the terminal would break them anywhere."""
    room = max(shutil.get_terminal_size().columns - taken, 20)
    return textwrap.wrap(words, room, break_long_words=False, break_on_hyphens=False)


def _question(words: str) -> str:
    *lines, last = _wrapped(words, 1)
    if lines:
        print_lines((line, "") for line in lines)
    try:
        return input(f"{last} ").strip()
    except EOFError:
        raise BadCall("the answers ended; gateway init --help shows the flags that say the same") from None
