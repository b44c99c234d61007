"""The gateway's own responses: status, headers and body, all from the table of reasons. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from gateway.policy.denied import StepUp
from gateway.policy.onward import Line
from gateway.policy.reasons import Reason
from gateway.policy.resources import Resource

REALM: Final = "mastra-gateway"
RETRY_SECONDS: Final = 5


def refusal_body(reason: Reason, request_id: str | None = None) -> bytes:
    """Return the JSON body: what Mastra's clients read (`error`), the stable code, and the id to ask about, if any."""
    body = {"error": reason.value.error, "code": reason.code}
    if request_id is not None:
        body["request_id"] = request_id
    return json.dumps(body, separators=(",", ":")).encode()


def refusal_lines(
    reason: Reason,
    *,
    had_token: bool = False,
    missing_scopes: Sequence[str] = (),
    allowed_methods: Sequence[str] = (),
    resource: Resource | None = None,
    step_up: StepUp | None = None,
) -> list[Line]:
    """Return the headers of a refusal, without length, request id and CORS, which every response gets."""
    lines: list[Line] = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
    challenge = _challenge(reason, had_token=had_token, missing_scopes=missing_scopes, resource=resource)
    if step_up is not None and challenge is not None:
        challenge += _step_up(step_up)
    if challenge is not None:
        lines.append(("WWW-Authenticate", challenge))
    if reason is Reason.METHOD_NOT_ALLOWED:
        lines.append(("Allow", ", ".join(allowed_methods)))
    if reason.status in (429, 503) and reason is not Reason.BUDGET_EXCEEDED:  # which knows better when
        lines.append(("Retry-After", str(RETRY_SECONDS)))
    return lines


def _challenge(
    reason: Reason, *, had_token: bool, missing_scopes: Sequence[str], resource: Resource | None
) -> str | None:
    """Return `WWW-Authenticate` as RFC 6750 section 3 has it: no error where no token was sent.

    Of a `resource` each names its document (RFC 9728 section 5.1), and a 401 the scopes that would be enough.
    """
    base = f'Bearer realm="{REALM}"'
    if resource is not None:
        base += f', resource_metadata="{resource.metadata_url}"'
    if reason.status == 401:
        if resource is not None and resource.challenge:
            base += f', scope="{_quotable(resource.challenge)}"'
        error = "insufficient_user_authentication" if reason is Reason.LOGIN_TOO_OLD else "invalid_token"
        return f'{base}, error="{error}", error_description="{reason.value.meaning}"' if had_token else base
    if reason is Reason.SEVERAL_CREDENTIALS:
        return f'{base}, error="invalid_request", error_description="{reason.value.meaning}"'
    if reason is Reason.INSUFFICIENT_SCOPE:
        return f'{base}, error="insufficient_scope", scope="{_quotable(missing_scopes)}"'
    return None


def _step_up(wanted: StepUp) -> str:
    """Return the parameters of RFC 9470 section 3."""
    age = f', max_age="{wanted.max_age_seconds}"' if wanted.max_age_seconds is not None else ""
    return age + (f', acr_values="{_quotable(wanted.acr_values)}"' if wanted.acr_values else "")


def _quotable(scopes: Sequence[str]) -> str:
    # RFC 6750 section 3: scope tokens have no quotes and no backslashes; the file is not ours to trust blindly.
    return " ".join("".join(c for c in scope if "!" <= c <= "~" and c not in '"\\') for scope in scopes)
