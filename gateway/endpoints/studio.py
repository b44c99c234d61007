"""What Mastra's Studio asks about people, answered in the shapes of Mastra's own server.

Studio asks for the capabilities first, and is at its end with a 401: whose credential does not count is nobody there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from gateway.policy.denied import Denied
from gateway.policy.login import Login
from gateway.policy.mastra_access import MastraAccess
from gateway.policy.mastra_roles import mastra_roles_of, permission_patterns
from gateway.policy.model import Principal
from gateway.policy.reasons import Reason
from gateway.proxy.own import OwnAnswer, OwnQuestion, end_lines, json_answer

# What a Mastra without auth says, word for word.
_NOT_CONFIGURED: Final = {
    "login": "SSO not configured",
    "logout": "Logout not configured",
    "refresh": "Session refresh not configured",
}
_ENDED: Final = frozenset({Reason.SESSION_EXPIRED, Reason.SESSION_INVALID})
_NAMES: Final = {"auth0": "Auth0", "clerk": "Clerk"}
_MAX_CHARACTERS: Final = 2048  # of a name, or of a picture's address


def studio_answer(login: Login | None, access: MastraAccess, question: OwnQuestion) -> OwnAnswer | None:
    """Return the answer to what Studio asks about people; None: it is about a login that the file has.

    Raises `Denied` (TOKEN_MISSING, or why a credential did not count) for what is told to callers alone.
    """
    match question.name:
        case "capabilities":
            said: Any = _capabilities(login, access, question)
        case "me":
            said = None if question.principal is None else _me(question.principal, access, question)
        case "permission-patterns":
            if question.principal is None:
                raise Denied(question.refused or Reason.TOKEN_MISSING, "it is told to callers")
            said = {"patterns": permission_patterns()}
        case name if login is None and name in _NOT_CONFIGURED:
            return json_answer({"error": _NOT_CONFIGURED[name]}, status=404)
        case _:
            return None
    has_ended = login is not None and question.refused in _ENDED
    return json_answer(said, end_lines(login, question.head) if login is not None and has_ended else ())


def _capabilities(login: Login | None, access: MastraAccess, question: OwnQuestion) -> dict[str, Any]:
    """Return whether and how people log in, and who asks. Without a login Studio asks for a header itself."""
    way = None if login is None else {"type": "sso", "sso": _sso(login)}
    said: dict[str, Any] = {"enabled": True, "login": way}
    principal = question.principal
    if principal is None:
        return said
    has_session = principal.session is not None
    can = {"user": True, "session": has_session, "sso": login is not None, "rbac": True, "acl": False}
    return {**said, "user": _user(principal), "capabilities": can, "access": _access(principal, access, question)}


def _sso(login: Login) -> dict[str, str]:
    issuer = login.source.issuer or ""
    name = _NAMES.get(login.id_tokens.kind) or urlsplit(issuer).netloc
    return {"provider": "oidc", "text": f"Sign in with {name}", "url": f"{login.prefix}/auth/sso/login"}


def _me(principal: Principal, access: MastraAccess, question: OwnQuestion) -> dict[str, Any]:
    return {**_user(principal), **_access(principal, access, question)}


def _access(principal: Principal, access: MastraAccess, question: OwnQuestion) -> dict[str, Sequence[str]]:
    """Return what Studio shows somebody: it hides the rest, and the routes refuse it."""
    permissions = access.permissions(principal, question.head, question.now)
    return {"roles": mastra_roles_of(principal), "permissions": permissions}


def _user(principal: Principal) -> dict[str, str]:
    """Return who somebody is: an email as far as rules may read it, a name and a picture as OpenID Connect has them."""
    found = {"id": principal.subject, "email": principal.email, "name": _text(principal.claims.get("name"))}
    picture = _text(principal.claims.get("picture"))
    if picture is not None and picture.startswith("https://"):
        found["avatarUrl"] = picture
    return {name: value for name, value in found.items() if value is not None}


def _text(claim: object) -> str | None:
    """Return a claim that is a text (OpenID Connect Core 1.0 section 5.1), of a length that a page can show."""
    return claim if isinstance(claim, str) and 0 < len(claim) <= _MAX_CHARACTERS else None
