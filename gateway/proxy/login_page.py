"""The page that a person sees whose login led to nothing: what happened, what to do, and what to tell who can help."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from html import escape
from typing import Final

from gateway.policy.login import Login
from gateway.policy.reasons import Reason
from gateway.proxy.own import OwnAnswer, login_address
from gateway.proxy.refusal import refusal_lines

_STYLE: Final = (
    ":root{color-scheme:light dark}"
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:38rem;margin:3rem auto;padding:0 1rem;overflow-wrap:anywhere}"
    "h1{font-size:1.4rem}small{opacity:.75}"
)
_DIGEST: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode("ascii")
_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ASK: Final = "If it happens again, tell whoever runs this service the two words at the end of this page."
_HAPPENED: Final[Mapping[Reason, str]] = {
    Reason.LOGIN_INVALID: "This login was not begun in this browser, or it is over.",
    Reason.LOGIN_REFUSED: "Where you log in, you were not let through, or your login is not enough for this page.",
    Reason.LOGIN_UNAVAILABLE: "Where you log in cannot be reached now.",
}
# What a person can do about it; of any other reason only who runs the gateway can.
_ADVICE: Final[Mapping[Reason, str]] = {
    Reason.LOGIN_INVALID: f"Log in again, and finish within ten minutes in the same browser. {_ASK}",
    Reason.LOGIN_REFUSED: "Log in again, or with another account. If you should be let in, ask whoever gives access.",
    Reason.LOGIN_UNAVAILABLE: f"Wait a moment, then log in again. {_ASK}",
    Reason.KEYS_UNAVAILABLE: f"Wait a moment, then log in again. {_ASK}",
}


def failed_login_page(login: Login, reason: Reason, page: str, request_id: str) -> OwnAnswer:
    """Return the page of a login that ended with `reason`; a link begins it anew, for the path `page`.

    It names nothing that the issuer or the address said: who made somebody open it could have written that.
    """
    advice = _ADVICE.get(reason, f"Log in again. {_ASK}")
    meaning = reason.value.meaning
    happened = _HAPPENED.get(reason, f"{meaning[:1].upper()}{meaning[1:]}.")
    again = escape(login_address(login, page))
    body = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Not logged in</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>You are not logged in</h1><p>{escape(happened)}</p><p>{escape(advice)}</p>"
        f'<p><a href="{again}">Log in again</a></p>'
        f"<p><small>{escape(reason.code)} {escape(request_id)}</small></p></main></body></html>\n"
    )
    lines = [line for line in refusal_lines(reason) if line[0] != "Content-Type"]
    own = (
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Security-Policy", _POLICY),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),  # the address holds what the issuer sent
    )
    return OwnAnswer(reason.status, (*own, *lines), body.encode())
