"""What Mastra's Studio asks about people, answered in the shapes of Mastra's own server.

Studio asks for the capabilities first, and is at its end with a 401: whose credential does not count is nobody there.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from gateway.policy.login import Login
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


def studio_answer(login: Login | None, question: OwnQuestion) -> OwnAnswer | None:
    """Return the answer to what Studio asks about people; None: it is about a login that the file has."""
    match question.name:
        case "capabilities":
            said: Any = _capabilities(login, question.principal)
        case "me":
            said = None if question.principal is None else _user(question.principal)
        case name if login is None and name in _NOT_CONFIGURED:
            return json_answer({"error": _NOT_CONFIGURED[name]}, status=404)
        case _:
            return None
    has_ended = login is not None and question.refused in _ENDED
    return json_answer(said, end_lines(login, question.head) if login is not None and has_ended else ())


def _capabilities(login: Login | None, principal: Principal | None) -> dict[str, Any]:
    """Return whether and how people log in, and who asks. Without a login Studio asks for a header itself."""
    way = None if login is None else {"type": "sso", "sso": _sso(login)}
    said: dict[str, Any] = {"enabled": True, "login": way}
    if principal is None:
        return said
    has_session = principal.session is not None
    can = {"user": True, "session": has_session, "sso": login is not None, "rbac": False, "acl": False}
    return {**said, "user": _user(principal), "capabilities": can, "access": None}


def _sso(login: Login) -> dict[str, str]:
    issuer = login.source.issuer or ""
    name = _NAMES.get(login.id_tokens.kind) or urlsplit(issuer).netloc
    return {"provider": "oidc", "text": f"Sign in with {name}", "url": f"{login.prefix}/auth/sso/login"}


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
