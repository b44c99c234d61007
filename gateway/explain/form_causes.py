"""Well-known causes of a refused token that lie in how it was sent: not at all, in pieces, or another thing."""

from __future__ import annotations

import base64
import binascii
import json
import re

from gateway.explain.findings import Findings
from gateway.explain.step import shown
from gateway.policy.decision import Deny
from gateway.policy.fields import fold, is_free
from gateway.policy.providers import BEARER, token_sources
from gateway.policy.reasons import Reason
from gateway.policy.words import listed

_JWS = re.compile(r"[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{2,}\.[A-Za-z0-9_-]*")
_QUOTES = "\"'`\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}"
_PARTS = 3
# What a program writes that had no token when it built the request, in lower case, and what to look for.
_PLACEHOLDERS = {
    "undefined": "JavaScript writes it for what was never set: wait for the token (`await getToken()`) first.",
    "null": "Nobody is signed in yet, or the session has ended: ask for a token when somebody is.",
    "none": "Python writes it for what was never set: ask for a token before the call.",
    "nan": "A number was made of the token: send it as text.",
    "true": "A yes or no stands where the token belongs.",
    "false": "A yes or no stands where the token belongs.",
    "[object object]": "An object was put in its place: send its member that holds the token.",
    "[object promise]": "The token was not waited for: `await getToken()`.",
}
_UNFILLED = re.compile(
    r"(?:\$\{?\w+\}?|<[\w .-]+>|\{\{?[\w .-]+\}?\}|%\w+%|token|your[_-]?(?:\w+[_-]?)*token)", re.IGNORECASE
)
_GOOGLES_PHRASE = "SIGNATURE_REMOVED_BY_GOOGLE"
# The shortest signature of each algorithm, in characters of base64url; RSA from 2048 bits.
_SIGNATURE_LENGTHS = {
    "HS256": 43, "HS384": 64, "HS512": 86, "ES256": 86, "ES384": 128, "ES512": 176, "EdDSA": 86, "Ed25519": 86,
}  # fmt: skip
_RSA_SIGNATURE_LENGTH = 342
_BY_FORM = (Reason.TOKEN_MALFORMED, Reason.TOKEN_UNSUPPORTED, Reason.SIGNATURE_INVALID)


def _bearer_missing(deny: Deny, found: Findings) -> str | None:
    value = _authorization(found)
    if deny.reason is not Reason.TOKEN_MISSING or not _JWS.fullmatch(value) or not _reads_bearer(found):
        return None
    return "The header holds a token without `Bearer` before it: send `Authorization: Bearer TOKEN`."


def _reads_bearer(found: Findings) -> bool:
    return found.route is not None and BEARER in token_sources(found.route.providers)


def _nothing(deny: Deny, found: Findings) -> str | None:
    if deny.reason is not Reason.TOKEN_MALFORMED or _authorization(found).lower() != "bearer":
        return None
    return "The header says `Bearer` and holds nothing behind it: the client had no token when it built the request."


def _quoted(deny: Deny, found: Findings) -> str | None:
    token = sent_token(found)
    if not token or deny.reason.status not in (400, 401) or not (token[0] in _QUOTES or token[-1] in _QUOTES):
        return None
    return "The token was pasted with quotes around it: send it without them."


def _bearer_twice(deny: Deny, found: Findings) -> str | None:
    if not re.match(r"(?i)bearer +bearer\b", _authorization(found)):
        return None
    return "`Bearer` stands twice before the token: send it once."


def _placeholder(deny: Deny, found: Findings) -> str | None:
    token = sent_token(found).strip(_QUOTES)
    if deny.reason.status != 401 or not token:
        return None
    why = _PLACEHOLDERS.get(token.lower())
    if why is None and _UNFILLED.fullmatch(token):
        why = "It is a name that nobody has replaced by its value."
    if why is None:
        return None
    return f"The client sent the word {shown(token)} in place of a token. {why}"


def _other_place(deny: Deny, found: Findings) -> str | None:
    if deny.reason is not Reason.TOKEN_MISSING or found.route is None:
        return None
    head = found.head
    cookies = [piece.strip().partition("=") for line in head.headers.all("cookie") for piece in line.split(";")]
    name = next((name for name, _, value in cookies if _JWS.fullmatch(value.strip('"'))), None)
    if name is not None and not any(source.place == "cookie" for source in token_sources(found.route.providers)):
        way = f"token_from: [bearer, {{cookie: {shown(name)}}}]"
        return f"A token came in the cookie {shown(name)}, where the provider does not look: `{way}` on it."
    places = token_sources(found.route.providers)
    header = next((name for name, value in head.headers.lines if _is_token_of_header(name, value)), None)
    if header is not None and not any(source.name == header.lower() for source in places):
        return (
            f"A token came in the header {shown(header)}: `token_from: [{{header: {shown(header)}}}]` on the provider."
        )
    if places and all(source.place == "header" for source in places) and _JWS.fullmatch(sent_token(found)):
        names = listed([source.name for source in places])
        return (
            f"The token stands in Authorization, and the provider reads the header {names} alone: add `bearer` to it."
        )
    if re.match(r"(?i)basic\b", _authorization(found)):
        return "The request came with Basic credentials: no provider takes them; send `Authorization: Bearer TOKEN`."
    return None


def _is_token_of_header(name: str, value: str) -> bool:
    """True for a token in a header of its own, under a name that a provider can be told."""
    return (
        is_free(name) and fold(name) == name.lower() and _JWS.fullmatch(re.sub(r"(?i)^bearer +", "", value)) is not None
    )


def _cut(deny: Deny, found: Findings) -> str | None:
    """A part of a token, by what is missing of it."""
    token = sent_token(found)
    if deny.reason not in _BY_FORM or not token or _bearer_twice(deny, found) or _GOOGLES_PHRASE in token:
        return None
    if "..." in token or "\N{HORIZONTAL ELLIPSIS}" in token:
        return "The token is shortened (`...` stands in it): whatever showed it left a part out. Copy the whole token."
    pieces = token.split()
    if len(pieces) > 1 and _is_beginning(pieces[0]):
        return "A space or a line break stands in the token: it was cut while it was copied. Send it in one piece."
    parts = token.split(".")
    if len(parts) < _PARTS and _is_beginning(parts[0]):
        there = {1: "only a piece of its first part", 2: "two of its three parts"}[len(parts)]
        return f"The token is cut off: {there} came ({len(token)} characters). Copy it again, up to its end."
    if len(parts) == _PARTS and not object_in(parts[0]) and object_in(parts[1]):
        return "The beginning of the token is missing: a JWT begins with `eyJ`. Copy it again, from its start."
    if len(parts) == _PARTS and parts[2] and object_in(parts[0]):
        wanted = _SIGNATURE_LENGTHS.get(_algorithm_in(parts[0]), _RSA_SIGNATURE_LENGTH)
        if len(parts[2]) < wanted:
            return (
                f"The token is cut off near its end: its signature has {len(parts[2])} characters of at least "
                f"{wanted}. Copy it again, up to its end."
            )
    return None


def _signature_taken(deny: Deny, found: Findings) -> str | None:
    if not sent_token(found).endswith(_GOOGLES_PHRASE):
        return None
    return (
        "Cloud Run took the signature away: with its own check of callers (IAM) on, a service gets tokens without one. "
        "Let callers send theirs to Cloud Run in X-Serverless-Authorization, or switch IAM off for this service."
    )


def _opaque(deny: Deny, found: Findings) -> str | None:
    providers = found.route.providers if found.route is not None else ()
    token = found.credential.token if found.credential is not None else ""
    is_form = deny.reason in (Reason.TOKEN_MALFORMED, Reason.TOKEN_UNSUPPORTED)
    if not is_form or _is_jws(token) or not token or _placeholder(deny, found) or _cut(deny, found):
        return None
    if any(provider.kind == "auth0" for provider in providers):
        audiences = sorted({name for p in providers for name in p.audiences or ()})
        return (
            "Auth0 gives an opaque (or encrypted) token when no audience was asked for: ask for one with "
            f"`audience: {audiences[0] if audiences else 'THE API'}` (in @auth0/auth0-react: "
            "authorizationParams.audience)."
        )
    if len(token.split(".")) == 5:
        return "It is an encrypted token (five parts): have the issuer make signed ones."
    return "It is no JWT but an opaque token: ask the issuer for a JWT access token of this API."


def _unsigned(deny: Deny, found: Findings) -> str | None:
    token = found.credential.token if found.credential is not None else ""
    header = found.token.algorithm if found.token is not None else ""
    is_bare = _is_jws(token) and token.endswith(".")
    if deny.reason.status != 401 or not (is_bare or header.lower() == "none"):
        return None
    return "The token is not signed at all: such tokens never count."


def _authorization(found: Findings) -> str:
    return (found.head.headers.first("authorization") or "").strip(" \t")


def sent_token(found: Findings) -> str:
    """Return what came in the token's place: the credential that was found, else what Authorization holds."""
    if found.credential is not None:
        return found.credential.token
    return re.sub(r"(?i)^bearer( +|$)", "", _authorization(found))


def _is_jws(token: str) -> bool:
    return len(token.split(".")) == _PARTS


def _is_beginning(text: str) -> bool:
    """True for how every JWT begins: base64url of `{"`."""
    return text.startswith("eyJ")


def _algorithm_in(part: str) -> str:
    return str((object_in(part) or {}).get("alg", ""))


def object_in(part: str) -> dict[str, object] | None:
    """Return the JSON object in a part of a token, if it is one."""
    try:
        value = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return None
    return value if isinstance(value, dict) else None


CAUSES = (
    _nothing,
    _quoted,
    _bearer_twice,
    _placeholder,
    _bearer_missing,
    _other_place,
    _signature_taken,
    _cut,
    _opaque,
    _unsigned,
)
