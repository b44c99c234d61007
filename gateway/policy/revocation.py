"""What counts no more though its time is not over: tokens and keys by a list, sessions that were ended elsewhere.

Asked of every caller behind the token's own checks, so what is remembered of a token obeys at once. Nothing here is
asked while nothing is revoked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.policy.denied import Denied
from gateway.policy.ended_sessions import EndedSessions
from gateway.policy.model import Principal
from gateway.policy.reasons import Reason
from gateway.policy.session import Session

_NONE: Final[tuple[Revocation, ...]] = ()


@dataclass(frozen=True, slots=True)
class Revocation:
    """One entry of a list. Whatever it names must fit; `provider` None: any. `where` is its place in the file.

    `before` is Unix seconds: what was issued earlier. A token that does not say when it was issued may be older.
    """

    where: str
    provider: str | None = None
    subject: str | None = field(default=None, repr=False)
    session: str | None = field(default=None, repr=False)  # the claim `sid`
    token: str | None = field(default=None, repr=False)  # the claim `jti`
    before: float | None = None

    @property
    def said(self) -> tuple[object, ...]:
        """What it says, wherever it stands."""
        return self.provider, self.subject, self.session, self.token, self.before


class RevocationList:
    """The entries of a file, found by what they name. `keyed` are the providers whose tokens are keys of machines.

    A key was issued at no time that anybody knows: `before` alone takes none away, its line in the file does.
    """

    def __init__(self, entries: Iterable[Revocation] = (), keyed: frozenset[str] = frozenset()) -> None:
        self.entries = tuple(entries)
        self.keyed = keyed
        self._of_token: dict[str, tuple[Revocation, ...]] = {}
        self._of_session: dict[str, tuple[Revocation, ...]] = {}
        self._of_subject: dict[str, tuple[Revocation, ...]] = {}
        self._of_all: tuple[Revocation, ...] = ()
        for one in self.entries:  # by the rarest thing that it names
            if one.token is not None:
                self._of_token[one.token] = (*self._of_token.get(one.token, _NONE), one)
            elif one.session is not None:
                self._of_session[one.session] = (*self._of_session.get(one.session, _NONE), one)
            elif one.subject is not None:
                self._of_subject[one.subject] = (*self._of_subject.get(one.subject, _NONE), one)
            else:
                self._of_all = (*self._of_all, one)

    def and_those_of(self, other: RevocationList) -> RevocationList:
        """Return a list with the entries of both: this one, where the other has none that this has not."""
        known = {one.said for one in self.entries}
        more = [one for one in other.entries if one.said not in known]
        return RevocationList((*self.entries, *more), self.keyed) if more else self

    def find(
        self, provider: str, subject: str, claims: Mapping[str, Any], begun_at: float | None = None
    ) -> Revocation | None:
        """Return the entry that fits a caller; `begun_at` is when a session began, in Unix seconds: None: it is none.

        A `sub` fits the subject as well as the claim of that name, which a provider may read elsewhere.
        """
        names = {subject, _text(claims.get("sub"))} - {""}
        token, session = _text(claims.get("jti")), _text(claims.get("sid"))
        candidates = [
            *self._of_token.get(token, _NONE),
            *self._of_session.get(session, _NONE),
            *[one for name in names for one in self._of_subject.get(name, _NONE)],
            *self._of_all,
        ]
        for one in candidates:
            fits = (
                one.provider in (None, provider)
                and one.subject in (None, *names)
                and one.session in (None, session)
                and one.token in (None, token)
            )
            if fits and (one.before is None or self._is_older(one.before, provider, claims, begun_at)):
                return one
        return None

    def _is_older(self, before: float, provider: str, claims: Mapping[str, Any], begun_at: float | None) -> bool:
        if provider in self.keyed:
            return False
        # A session goes on with ever new tokens: it is as old as its login.
        issued_at = claims.get("iat") if begun_at is None else begun_at
        if isinstance(issued_at, bool) or not isinstance(issued_at, (int, float)):
            return True
        return issued_at < before


class Revoked:
    """All that is revoked at this moment."""

    def __init__(self, listed: RevocationList, ended: EndedSessions | None = None) -> None:
        self.listed, self.ended = listed, ended

    def check(self, principal: Principal) -> None:
        """Return if the caller still counts. Raises `Denied`, as `refusal` returns it."""
        refusal = self.refusal(principal)
        if refusal is not None:
            raise refusal

    def check_session(self, session: Session) -> None:
        """Return if a session still counts, before anybody is asked about it. Raises `Denied`."""
        refusal = self._refusal_of(session, _text(session.claims.get("sub")))
        if refusal is not None:
            raise refusal

    def refusal(self, principal: Principal) -> Denied | None:
        """Return the refusal of a caller who counts no more; None: he does.

        Of a session that was ended it is SESSION_EXPIRED, since another login helps; else TOKEN_REVOKED.
        """
        session = principal.session
        if session is not None:
            return self._refusal_of(session, principal.subject)
        return _by_list(self.listed.find(principal.provider, principal.subject, principal.claims), principal.provider)

    def _refusal_of(self, session: Session, subject: str) -> Denied | None:
        if self.ended is not None and self.ended.has(session):
            return _refusal(Reason.SESSION_EXPIRED, "the session was ended by a logout", session.provider)
        return _by_list(self.listed.find(session.provider, subject, session.claims, session.begun_at), session.provider)


def _by_list(found: Revocation | None, provider: str) -> Denied | None:
    return None if found is None else _refusal(Reason.TOKEN_REVOKED, f"revoked at {found.where}", provider)


def _refusal(reason: Reason, why: str, provider: str) -> Denied:
    refusal = Denied(reason, why)
    refusal.provider = provider
    return refusal


def _text(claim: object) -> str:
    """Return a claim as entries write it; empty where there is none: no entry is."""
    if isinstance(claim, str):
        return claim
    return str(claim) if isinstance(claim, int) and not isinstance(claim, bool) else ""
