"""Whose things a caller may touch at an upstream: what the file says, who the owner is, and which paths are covered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from gateway.policy.claim_names import read_claim
from gateway.policy.denied import Denied
from gateway.policy.mastra_names import named_row_of
from gateway.policy.mastra_routes import PREFIX, Carrier, Row, row_of
from gateway.policy.model import Principal
from gateway.policy.paths import Path, is_under
from gateway.policy.reasons import Reason

By = Literal["subject", "organization", "claim", "nobody"]
Like = Literal["generate", "network", "workflow", "none", "close"]
_MAX_LENGTH: Final = 512  # characters of an owner
ANY: Final = "*"  # a segment `{name}` of a path that the file names

# What a route is treated as that a team added itself, by the word that the file says.
LIKE: Final[dict[str, Row]] = {
    "generate": Row("ALL", "", (), "pin", (Carrier("body", "", "chat"),)),
    "network": Row("ALL", "", (), "look_up", (Carrier("body", "", "network"),)),
    "workflow": Row("ALL", "", (), "look_up", (Carrier("body", "", "workflow"),)),
    "none": Row("ALL", "", (), "none"),
    "close": Row("ALL", "", (), "close"),
}
# Outside the prefix: what the AI SDK's guides name, and what Mastra itself serves there.
_KNOWN: Final[tuple[tuple[tuple[str, ...], str], ...]] = (
    (("chat",), "generate"),
    (("chat", ANY), "generate"),
    (("browser", ANY, "stream"), "close"),
    (("__refresh",), "close"),
    (("__restart-active-workflow-runs",), "close"),
)


@dataclass(frozen=True, slots=True)
class Ownership:
    """What an upstream's things belong to. `prefix` is where Mastra's routes are.

    `like` are paths that a team added itself, with what each is treated as; a segment `*` is any one. With `apart`
    the same subject of two issuers is two people. From that follow `by_provider`: several of them speak here, so which
    one is a part of the owner; and `by_issuer`: the providers whose issuer is, since they have several.

    By `nobody` nothing has an owner: all that counts is that a request is about what its path names
    (`mastra_names`).
    """

    by: By = "subject"
    claim: str = ""
    prefix: tuple[str, ...] = PREFIX
    like: tuple[tuple[tuple[str, ...], Like], ...] = ()
    apart: bool = True
    by_provider: bool = False
    by_issuer: frozenset[str] = frozenset()

    @property
    def has_owners(self) -> bool:
        """False: only what a path names is seen to."""
        return self.by != "nobody"


def owner_of(ownership: Ownership, principal: Principal | None) -> str | None:
    """Return what a caller's things belong to; None: nobody is known to ask, so nothing is theirs.

    Raises `Denied` (NOT_OWNER) for a caller whose token does not say it, or not in a way that can be compared.
    """
    if principal is None:
        return None
    match ownership.by:
        case "nobody":
            return None
        case "subject":
            found: object = principal.subject
        case "organization":
            found = principal.organization
        case "claim":
            found = read_claim(principal.claims, ownership.claim)
    if not isinstance(found, str) or not _is_readable(found):
        raise Denied(Reason.NOT_OWNER, f"the token names no {ownership.claim or ownership.by} to whom things belong")
    if not ownership.by_provider:
        return found
    # The provider's name has no colon and the issuer no space, so nobody's subject can be written as another's.
    if principal.provider not in ownership.by_issuer:
        return f"{principal.provider}:{found}"
    if principal.issuer is None or " " in principal.issuer or not _is_readable(principal.issuer):
        raise Denied(Reason.NOT_OWNER, "the token's issuer is a part of the owner here, and cannot be read as one")
    return f"{principal.provider}:{principal.issuer} {found}"


def _is_readable(text: str) -> bool:
    # What cannot be printed is compared in one way here, and perhaps in another by a database.
    return bool(text.strip()) and len(text) <= _MAX_LENGTH and text.isprintable() and text == text.strip()


def row_in(ownership: Ownership, method: str, path: Path) -> Row | None:
    """Return the row of Mastra's table, or of the file's own, that takes a request; None: nobody's that is known.

    Below Mastra's prefix what the table does not know is closed: the next Mastra has more. So is what only a laxer
    router takes for a path that is known. Raises `Denied` (NOT_OWNER).
    """
    if not ownership.has_owners:
        return named_row_of(method, path.segments, ownership.prefix)
    named = _named(ownership, path.segments)
    if named is not None:
        # A preflight: Mastra answers it ahead of its routes.
        return LIKE["none"] if method == "OPTIONS" else named
    below = is_under(path.segments, ownership.prefix)
    if below is False:
        return None
    depth = len(ownership.prefix)
    if below and len(path.segments) == depth:
        return LIKE["none"]  # a page, or nothing
    if below and method == "OPTIONS" and _is_known(path.segments, ownership.prefix):
        return LIKE["none"]
    row = row_of(method, path.segments, ownership.prefix) if below else None
    if row is not None:
        return row
    if below and method in ("GET", "HEAD") and path.segments[depth:] == ("openapi.json",):
        return LIKE["none"]
    raise Denied(Reason.NOT_OWNER, "no route of Mastra's that the table knows, so nobody can say whose it is")


def _named(ownership: Ownership, segments: Sequence[str]) -> Row | None:
    """Return the row of a path that the file names, or that is known outside the prefix. Raises `Denied`."""
    for pattern, like in (*ownership.like, *_KNOWN):
        if len(pattern) != len(segments):
            continue
        fixed = [(one, text) for one, text in zip(segments, pattern, strict=True) if text != ANY]
        if all(one == text for one, text in fixed):
            return LIKE[like]
        if all(is_under((one,), (text,)) is not False for one, text in fixed):
            raise Denied(Reason.NOT_OWNER, "the path is spelt almost like one whose things have owners")
    return None


def is_named(ownership: Ownership, segments: Sequence[object]) -> bool:
    """Return whether the file, or what is known of Mastra, says what a route of these segments is."""
    return any(
        len(pattern) == len(segments) and all(text in (one, ANY) for one, text in zip(segments, pattern, strict=True))
        for pattern, _ in (*ownership.like, *_KNOWN)
    )


def _is_known(segments: Sequence[str], prefix: Sequence[str]) -> bool:
    return any(row_of(one, segments, prefix) for one in ("GET", "POST", "PUT", "PATCH", "DELETE"))
