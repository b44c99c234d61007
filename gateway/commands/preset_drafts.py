"""What `gateway init` asks about the well-known issuers, and the provider that it writes for each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True, slots=True)
class PresetDraft:
    """One preset. `which` is what tells it, `--issuer`, and `audience` the second answer; empty: not asked."""

    which: str
    audience: str
    provider: str
    variable: str = ""  # that tells it as well, where it is set


PRESET_DRAFTS: Mapping[str, PresetDraft] = {
    "google": PresetDraft(
        "",
        "The OAuth client id of your application (123-abc.apps.googleusercontent.com)",
        "  # ID tokens of Google for one OAuth client.\n"
        "  callers:\n    type: google\n    audience: {audience}\n"
        "    # hosted_domain: yourcompany.com   # then only people of this Google Workspace count\n",
    ),
    "entra": PresetDraft(
        "The tenant's id, from Entra's overview (11111111-2222-4333-8444-555555555555)",
        "The client id of the API's app registration, or its Application ID URI (api://...)",
        "  # Access tokens of Entra ID for one API, of version 1 or 2.\n"
        "  callers:\n    type: entra\n    tenant: {issuer}\n    audience: {audience}\n"
        "    # An email counts if xms_edov says so: add the optional claims email and xms_edov to the app\n"
        "    # registration (Token configuration).\n"
        "    email_claim: email\n",
    ),
    "okta": PresetDraft(
        "Okta's domain (yourcompany.okta.com), or the issuer of the authorization server",
        "The audience of the authorization server (api://default)",
        "  # Access tokens of one authorization server of Okta.\n"
        "  callers:\n    type: okta\n    domain: {host}\n    authorization_server: {server}\n    audience: {audience}\n"
        "    # Access tokens carry no email unless the server has a claim for it. Where logins are emails that only\n"
        "    # administrators give, `sub` is one.\n"
        "    email_claim: email\n",
    ),
    "keycloak": PresetDraft(
        "The realm's address (https://sso.yourcompany.com/realms/corp)",
        "What an audience mapper of the client writes into the tokens (mastra)",
        "  # Access tokens of one realm of Keycloak.\n"
        "  callers:\n    type: keycloak\n    url: {url}\n    realm: {realm}\n    audience: {audience}\n",
    ),
    "cognito": PresetDraft(
        "The user pool's id (eu-west-1_Ab12Cd34E)",
        "The id of the app client whose tokens count",
        "  # Tokens of one app client of a user pool.\n"
        "  callers:\n    type: cognito\n    user_pool: {issuer}\n    client: {audience}\n"
        "    token_use: {token_use}   # access or id; only ID tokens carry the email\n",
    ),
    "supabase": PresetDraft(
        "The project's id, or its address (https://abcdefghijklmnopqrst.supabase.co)",
        "",
        "  # Access tokens of people who signed in to a Supabase project.\n"
        "  callers:\n    type: supabase\n    {project}: {issuer}\n",
        "SUPABASE_URL",
    ),
    "firebase": PresetDraft(
        "The project's id (your-project-1234)",
        "",
        "  # ID tokens of Firebase Authentication.\n  callers:\n    type: firebase\n    project: {issuer}\n",
    ),
    "workos": PresetDraft(
        "The client id of the environment (client_...)",
        "",
        "  # Access tokens of AuthKit.\n  callers:\n    type: workos\n    client_id: {issuer}\n"
        '    # They carry no email unless a JWT template adds it: {{"email": "{{{{user.email}}}}"}}\n'
        "    email_claim: email\n",
        "WORKOS_CLIENT_ID",
    ),
    "better_auth": PresetDraft(
        "The baseURL of better-auth, which has the plugin jwt() (http://localhost:3000)",
        "",
        "  # Tokens of better-auth's plugin jwt(), from /api/auth/token.\n"
        "  callers:\n    type: better_auth\n    url: {issuer}\n",
        "BETTER_AUTH_URL",
    ),
}


def told_by(answer: str, kind: str) -> str:
    """Return what tells a preset, taken out of an address where somebody pasted one."""
    parts = urlsplit(answer) if "://" in answer else None
    segments = [segment for segment in parts.path.split("/") if segment] if parts is not None else []
    match kind:
        case "entra":
            found = _GUID.search(answer)
            return found[0] if found is not None else answer
        case "okta" if parts is not None:
            return f"{parts.netloc}{parts.path}".rstrip("/")
        case "keycloak":
            return answer.partition("/protocol/")[0].partition("/.well-known/")[0].rstrip("/")
        case "cognito" | "firebase" if segments:
            return segments[0]
        case "supabase" if parts is not None:
            return f"{parts.scheme}://{parts.netloc}"
        case "workos" if segments:
            return segments[-1]
    return answer


def places_of(issuer: str, *, is_variable: bool, asks_email: bool) -> dict[str, str]:
    """Return what else a provider's text has places for, out of the answer that tells it."""
    url, _, realm = issuer.partition("/realms/")
    host, _, rest = issuer.partition("/")
    server = rest.removeprefix("oauth2/").partition("/")[0]
    return {
        "url": url,
        "realm": realm,
        "host": host,
        "server": server or "default",
        "token_use": "id" if asks_email else "access",
        "project": "url" if is_variable or "://" in issuer else "project",
    }
