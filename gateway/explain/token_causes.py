"""Well-known causes of a refused token: how it was sent, who issued it, for whom, and when."""

from __future__ import annotations

import re
from typing import Any

from gateway.explain.step import shown
from gateway.explain.token import moment_of, span
from gateway.explain.walk import Findings
from gateway.policy.decision import Deny
from gateway.policy.providers import token_sources
from gateway.policy.reasons import Reason
from gateway.policy.words import listed

_JWS = re.compile(r"[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{2,}\.[A-Za-z0-9_-]*")
_QUOTES = "\"'`\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}"
_ID_TOKEN_CLAIMS = ("nonce", "at_hash", "c_hash")  # OpenID Connect Core 1.0 section 2: in ID tokens only
_CLERK_LIFETIME_SECONDS = 120.0
_MANY_SECONDS = 300.0
_MAX_LIFETIME_SECONDS = 10 * 365 * 86400.0  # longer ones are told as no number that helps


def _bearer_missing(deny: Deny, found: Findings) -> str | None:
    value = _authorization(found)
    if deny.reason is not Reason.TOKEN_MISSING or not _JWS.fullmatch(value):
        return None
    return "The header holds a token without `Bearer` before it: send `Authorization: Bearer TOKEN`."


def _quoted(deny: Deny, found: Findings) -> str | None:
    value = _authorization(found)
    token = re.sub(r"(?i)^bearer +", "", value)
    if not token or deny.reason.status not in (400, 401) or not (token[0] in _QUOTES or token[-1] in _QUOTES):
        return None
    return "The token was pasted with quotes around it: send it without them."


def _bearer_twice(deny: Deny, found: Findings) -> str | None:
    if not re.match(r"(?i)bearer +bearer\b", _authorization(found)):
        return None
    return "`Bearer` stands twice before the token: send it once."


def _placeholder(deny: Deny, found: Findings) -> str | None:
    token = re.sub(r"(?i)^bearer *", "", _authorization(found))
    if token.lower() not in ("undefined", "null", "none", "[object object]", "$token", "token", "<token>"):
        return None
    return f"The client sent the word {shown(token)} in place of a token: it had none when it built the request."


def _other_place(deny: Deny, found: Findings) -> str | None:
    if deny.reason is not Reason.TOKEN_MISSING or found.route is None:
        return None
    head = found.head
    cookies = [piece.strip().partition("=") for line in head.headers.all("cookie") for piece in line.split(";")]
    name = next((name for name, _, value in cookies if _JWS.fullmatch(value.strip('"'))), None)
    if name is not None and not any(source.place == "cookie" for source in token_sources(found.route.providers)):
        way = f"token_from: [bearer, {{cookie: {shown(name)}}}]"
        return f"A token came in the cookie {shown(name)}, where the provider does not look: `{way}` on it."
    if re.match(r"(?i)basic\b", _authorization(found)):
        return "The request came with Basic credentials: no provider takes them; send `Authorization: Bearer TOKEN`."
    return None


def _opaque(deny: Deny, found: Findings) -> str | None:
    providers = found.route.providers if found.route is not None else ()
    token = found.credential.token if found.credential is not None else ""
    if deny.reason not in (Reason.TOKEN_MALFORMED, Reason.TOKEN_UNSUPPORTED) or _is_jws(token) or not token:
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


def _id_token(deny: Deny, found: Findings) -> str | None:
    claims = _claims(found)
    is_id_token = any(name in claims for name in _ID_TOKEN_CLAIMS) and "scope" not in claims
    if deny.reason is not Reason.AUDIENCE_MISMATCH or not is_id_token:
        return None
    return (
        "It is an ID token: it tells the application who signed in and is no key to an API. Send the access token "
        "(in the browser: getAccessTokenSilently(), not getIdTokenClaims())."
    )


def _audience(deny: Deny, found: Findings) -> str | None:
    provider = found.provider
    if deny.reason is not Reason.AUDIENCE_MISMATCH or provider is None or _id_token(deny, found):
        return None
    expected = listed(sorted(provider.audiences or ()))
    if "aud" not in _claims(found):
        way = "`audience: none` on the provider, if its tokens never have one" if provider.kind == "oidc" else ""
        way = f", or write {way}" if way else ""
        return f"The token names no audience: ask the issuer for one of {expected}{way}."
    return f"The token is for {shown(_claims(found)['aud'])}: ask for one of {expected}, or change `audience`."


def _issuer(deny: Deny, found: Findings) -> str | None:
    if found.route is None or found.token is None:
        return None
    issuer, algorithm = _claims(found).get("iss"), found.token.algorithm
    # Beside a provider that asks for no issuer, a token of a wrong one falls by its algorithm.
    fitting = [p for p in found.route.providers if algorithm in p.algorithms and p.issuers]
    is_meant = deny.reason is Reason.ALGORITHM_NOT_ALLOWED and fitting
    if not is_meant and deny.reason is not Reason.ISSUER_MISMATCH:
        return None
    expected = sorted({name for provider in found.route.providers for name in provider.issuers or ()})
    if not isinstance(issuer, str):
        return f"The token names no issuer (iss): it must be one of {listed(expected)}."
    near = [name for name in expected if name.rstrip("/") == issuer.rstrip("/")]
    if near:
        which = "has a closing slash and the file has none" if issuer.endswith("/") else "has no closing slash"
        return f"The token's issuer {which}: write the issuer exactly as the token has it, {shown(issuer)}."
    if "clerk.accounts.dev" in issuer or any("clerk.accounts.dev" in name for name in expected):
        return (
            f"The token is of another Clerk instance ({shown(issuer)}): development and production have keys of their "
            f"own; expected is {listed(expected)}."
        )
    return (
        f"The token is of {shown(issuer)}, the route's providers of {listed(expected)}: another tenant or environment."
    )


def _expired(deny: Deny, found: Findings) -> str | None:
    if deny.reason is not Reason.TOKEN_EXPIRED or found.provider is None:
        return None
    claims = _claims(found)
    expiry, issued = _number(claims, "exp"), _number(claims, "iat")
    if expiry is None:
        return None
    lifetime = None if issued is None else expiry - issued
    is_plausible = lifetime is not None and 0 <= lifetime <= _MAX_LIFETIME_SECONDS
    lived = f" It was good for {lifetime:.0f} s." if is_plausible else ""
    said = f"The token expired {span(expiry - found.now)}.{lived}"
    if found.provider.kind == "clerk" and (lifetime is None or lifetime <= _CLERK_LIFETIME_SECONDS):
        return f"{said} Clerk's session tokens live 60 s: call getToken() before each request, never keep one."
    late = found.now - expiry
    if lifetime is not None and late < _MANY_SECONDS:
        clocks = f"the gateway's clock says {moment_of(found.now)}; compare it with the issuer's (or raise `leeway`)"
        return f"{said} Get a new one; if it was new, the clocks differ: {clocks}."
    return f"{said} Get a new one."


def _not_yet(deny: Deny, found: Findings) -> str | None:
    if deny.reason is not Reason.TOKEN_NOT_YET_VALID:
        return None
    return (
        f"The clocks differ: the gateway's says {moment_of(found.now)}. Set it by NTP, or raise `leeway` on "
        "the provider."
    )


def _no_expiry(deny: Deny, found: Findings) -> str | None:
    is_asked = found.provider is not None and found.provider.requires_expiry
    if deny.reason is not Reason.CLAIM_INVALID or not is_asked or "exp" in _claims(found):
        return None
    return "The token never ends (no exp), as those of jwt.io: `expiry: optional` on the provider lets such tokens in."


def _no_subject(deny: Deny, found: Findings) -> str | None:
    name = found.provider.subject_claim if found.provider is not None else ""
    if deny.reason is not Reason.CLAIM_INVALID or not name or name in _claims(found):
        return None
    return f"The token names nobody: have the issuer add {name}, or name the claim that does with `subject_claim`."


def _authorized_party(deny: Deny, found: Findings) -> str | None:
    if deny.reason is not Reason.AUTHORIZED_PARTY_MISMATCH:
        return None
    party = _claims(found).get("azp")
    if party is None:
        return (
            "The token has no azp (it was not made for a page): `azp: if_present` on the provider lets such tokens in."
        )
    return f"The page {shown(party)} got the token: add it to `authorized_parties`, letter by letter, without a path."


def _template(deny: Deny, found: Findings) -> str | None:
    category = found.token.header.get("cat") if found.token is not None else None
    if deny.reason is not Reason.TOKEN_KIND_REFUSED or category != "cl_B7d4PD222AAA":
        return None
    return "It is a token of a Clerk JWT template (getToken({template})): `accept: [session, template]` lets those in."


def _authorization(found: Findings) -> str:
    return (found.head.headers.first("authorization") or "").strip(" \t")


def _claims(found: Findings) -> Any:
    return found.token.claims if found.token is not None else {}


def _number(claims: Any, name: str) -> float | None:
    value = claims.get(name)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _is_jws(token: str) -> bool:
    return len(token.split(".")) == 3


CAUSES = (
    _quoted,
    _bearer_twice,
    _placeholder,
    _bearer_missing,
    _other_place,
    _opaque,
    _unsigned,
    _id_token,
    _audience,
    _issuer,
    _expired,
    _not_yet,
    _no_expiry,
    _no_subject,
    _authorized_party,
    _template,
)
