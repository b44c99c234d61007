"""Well-known causes by issuer, where no JWT was sent: opaque tokens, keys of a project, sealed sessions."""

from __future__ import annotations

import re

from gateway.explain.findings import Findings
from gateway.explain.form_causes import object_in, sent_token
from gateway.policy.decision import Deny
from gateway.policy.reasons import Reason

SIGNED_IN = "send the access token of who signed in (`session.access_token`)"
_BY_FORM = (Reason.TOKEN_MALFORMED, Reason.TOKEN_UNSUPPORTED)
# What is no JWT, by how it begins.
_OPAQUE = (
    (
        r"ya29\.",
        "It is an access token of Google, which only Google's own services can read: send the ID token (`credential` "
        "of the sign-in button, `id_token` of the token endpoint).",
    ),
    (r"sb_publishable_", f"It is the publishable key of a Supabase project, which is nobody: {SIGNED_IN}."),
    (
        r"sb_secret_",
        "It is a secret key of a Supabase project, which may do everything and belongs to no client: replace it "
        f"(Project Settings, API Keys), and {SIGNED_IN}.",
    ),
    (
        r"gh[opusr]_|github_pat_",
        "It is a token for GitHub's own API: in a workflow ask for an ID token (`permissions: {id-token: write}`, "
        "core.getIDToken(AUDIENCE)).",
    ),
    (
        r"Fe26\.2\*",
        "It is a sealed session cookie (wos-session of WorkOS, iron-session), which only the application can open: "
        "send the access token that is in it (AuthKit: `getAccessToken()`).",
    ),
)
_SESSION_OF_BETTER_AUTH = re.compile(r"[A-Za-z0-9]{32}(?:\.[A-Za-z0-9+/%=]+)?")


def _opaque(deny: Deny, found: Findings) -> str | None:
    token = sent_token(found)
    if deny.reason not in _BY_FORM:
        return None
    known = next((advice for pattern, advice in _OPAQUE if re.match(pattern, token)), None)
    if known is not None or found.route is None:
        return known
    is_better_auth = any(provider.email_verified_claim == "emailVerified" for provider in found.route.providers)
    if is_better_auth and _SESSION_OF_BETTER_AUTH.fullmatch(token):
        return (
            "It is the session token of better-auth, which is looked up in its database: send the token of the plugin "
            "jwt() (`GET /api/auth/token`, or the header set-auth-jwt)."
        )
    return None


def _encrypted(deny: Deny, found: Findings) -> str | None:
    parts = sent_token(found).split(".")
    header = object_in(parts[0]) or {}
    # One that names its issuer is of Auth0, which encrypts what nobody has asked an audience for.
    if deny.reason not in _BY_FORM or len(parts) != 5 or header.get("alg") != "dir" or "iss" in header:
        return None
    return (
        "It is encrypted for the application itself, as session cookies of Auth.js (NextAuth) are: have the "
        "application send the token of the issuer that people sign in with, or one that it signs."
    )


def _data_of_a_balancer(deny: Deny, found: Findings) -> str | None:
    signer = (object_in(sent_token(found).partition(".")[0]) or {}).get("signer")
    if deny.reason not in _BY_FORM or not str(signer).startswith("arn:aws:elasticloadbalancing"):
        return None
    return (
        "It is X-Amzn-Oidc-Data of a load balancer: padded base64, which no JWT is. Take the access token that comes "
        "beside it: `token_from: [{header: X-Amzn-Oidc-Accesstoken}]`."
    )


CAUSES = (_opaque, _encrypted, _data_of_a_balancer)
