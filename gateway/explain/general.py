"""What to do about each code, in general: the last column of docs/reference/answers.md."""

from __future__ import annotations

from collections.abc import Collection

from gateway.policy.providers import Kind
from gateway.policy.reasons import Reason

ADVICE: dict[Reason, str] = {
    Reason.TARGET_AMBIGUOUS: (
        "Send the plain path: no `..`, `//`, `\\`, `%2e`, double encoding, a route's segments spelt as in "
        "the file, no closing slash where the route is `exact`. For ids with `%2F`: `encoded_slash: keep` on the "
        "upstream. A query that names an agent, a tool or a workflow is to name the one of the path."
    ),
    Reason.REQUEST_MALFORMED: (
        "Look for a proxy or client that sends `Content-Length` with `Transfer-Encoding`, two `Host` lines, "
        "bare line feeds or control characters."
    ),
    Reason.QUESTION_MALFORMED: (
        "Have the engine ask with each of its fields once, without a body, from an address in `decisions.from`. "
        "The log's `detail` says what was missing."
    ),
    Reason.ENGINE_LIMITED: (
        "Send the plain path and no token in the query; the log's `detail` names the header that the engine cannot "
        "remove. Engines differ: HAProxy and Envoy remove any, nginx and HAProxy send any target."
    ),
    Reason.PLAIN_HTTP: "Write https:// in the client's address of the gateway; `tls` in the file makes it so.",
    Reason.SEVERAL_CREDENTIALS: (
        "Send one token in one place, once: not in a header and the query, no two `Authorization` lines, "
        "no cookie of one name twice."
    ),
    Reason.BODY_MALFORMED: (
        "Send one JSON object in UTF-8, no key twice, no `NaN`; the log's `detail` says what was found. Bodies are "
        "read on Mastra's own routes, where `own` is set."
    ),
    Reason.LOGIN_INVALID: (
        "Open the page again. If it comes back: the page was opened at another address than "
        "`login.public_url`, or the browser keeps no cookies. The log's `detail` says what did not fit."
    ),
    Reason.LOGOUT_INVALID: (
        "Compare the client that the issuer tells of logouts with `login.client_id`; the log's `detail` says what did "
        "not fit."
    ),
    Reason.TOKEN_MISSING: "Send `Authorization: Bearer TOKEN`, or name the place in `token_from` of the provider.",
    Reason.TOKEN_MALFORMED: "Check for a cut or doubly encoded token, and for `Bearer` sent twice.",
    Reason.TOKEN_TOO_LARGE: "Put fewer claims into the token.",
    Reason.TOKEN_UNSUPPORTED: "Have the issuer make signed, not encrypted, tokens, without `crit`, `zip` or `b64`.",
    Reason.ALGORITHM_NOT_ALLOWED: "Compare the token's `alg` with `algorithms` of the provider.",
    Reason.ISSUER_MISMATCH: (
        "Compare `iss` letter by letter: the slash at the end, a custom domain, the wrong tenant or environment."
    ),
    Reason.AUDIENCE_MISMATCH: "Ask for a token of this API; an ID token is for the application, not for the API.",
    Reason.AUTHORIZED_PARTY_MISMATCH: "Add the client to `client` on the provider, if its tokens are meant to count.",
    Reason.TOKEN_KIND_REFUSED: (
        "Logout tokens, tokens bound to a key (`cnf`: DPoP, mTLS) and those that the gateway signed for an upstream "
        "are no callers' tokens."
    ),
    Reason.SESSION_INVALID: (
        "Log in again. If it happens to everybody: the session's secret, `client_id` or `required_claims` "
        "changed, or replicas have different secrets."
    ),
    Reason.SESSION_EXPIRED: (
        "Log in again; `login.session.max_age` and `idle` say how long it may be. Without a refresh token it "
        "ends with the issuer's token: ask for `offline_access`."
    ),
    Reason.LOGIN_REFUSED: ("The log's `detail` has the issuer's error; assign the person to the application there."),
    Reason.SESSION_PENDING: "Finish the Clerk session's tasks, such as choosing an organization.",
    Reason.CLAIM_INVALID: (
        "Look at `detail`: most often there is no `exp` (`expiry: optional` on a provider of type `jwt`) or no `sub`."
    ),
    Reason.TOKEN_EXPIRED: "Get a new token.",
    Reason.TOKEN_REVOKED: (
        "Log in again, or get another token. The log's `detail` says whether `revoked_file` did it, and in which line, "
        "or the end of the session at its issuer."
    ),
    Reason.TOKEN_NOT_YET_VALID: (
        "Set the clocks of issuer and gateway; `leeway` on the provider allows for some seconds."
    ),
    Reason.KEY_UNKNOWN: "Compare the token's `kid` with the issuer's key set; after a rotation sign in again.",
    Reason.SIGNATURE_INVALID: "The secret or key is another one, or the token was changed on the way.",
    Reason.KEY_REFUSED: (
        "Send a whole key (`gwk_` and 48 characters) whose hash is in `keys_file`; `detail` says if it was mistyped."
    ),
    Reason.ACCESS_DENIED: "Compare the token's claims with the route's `allow`.",
    Reason.DENIED_BY_RULE: (
        "A missing claim refuses here, too: give it to every token, or write `when: has(claims.NAME) && claims.NAME`."
    ),
    Reason.LOGIN_TOO_OLD: (
        "Log in anew, with `max_age` and `acr_values` of `WWW-Authenticate` (RFC 9470). A token without `auth_time` "
        "never counts as fresh: have the issuer put it in."
    ),
    Reason.INSUFFICIENT_SCOPE: "Ask the issuer for the scopes in `WWW-Authenticate`.",
    Reason.ORIGIN_REFUSED: "Call from the gateway's own origin or a listed one, or send the token in `Authorization`.",
    Reason.IDENTITY_UNSAFE: (
        "Find the claim with a line break or NUL in it at the issuer, or do not pass it on; see [headers](headers.md)."
    ),
    Reason.BUDGET_UNCOUNTED: (
        "The log's `detail` names the budget and what its callers are told apart by: have the issuer put that claim "
        "into the token (`organization_claim`, `client_claim` on the provider name it), count by another, or take "
        "the budget off the route. An address is unknown where a trusted proxy names none."
    ),
    Reason.BUDGET_EXCEEDED: (
        "Wait for `Retry-After`: `RateLimit` says what is left of each budget, the log's `detail` which one refused. "
        "Streams that are open count until they end. Where the budget is too small, raise it under `budgets`; a reload "
        "keeps what was counted."
    ),
    Reason.BUDGET_UNKNOWN: (
        "`/status` says why the store of `shared.url` cannot be asked, and it is tried again each second. With "
        "`if_down: local` each process counts for itself meanwhile."
    ),
    Reason.NOT_OWNER: (
        "The log's `detail` says whether it is another's or closed to all; `gateway check` prints what `own` does with "
        "each of Mastra's routes. Operators get a route with `own: false`."
    ),
    Reason.WEBSOCKET_REFUSED: "Add it, if WebSockets are meant to pass there.",
    Reason.NO_ROUTE: "Add a route; there is no default.",
    Reason.METHOD_NOT_ALLOWED: "See `Allow`, or add the method to the route's key. TRACE and CONNECT never pass.",
    Reason.REQUEST_TIMEOUT: (
        "Look at the client's network, or raise `limits.header_timeout`, `limits.body_idle_timeout` or"
        " `limits.body_timeout`."
    ),
    Reason.STREAM_TOO_LONG: "Open the stream anew, or raise it.",
    Reason.BODY_TOO_LARGE: "Send less, or raise it; 4.5 MiB is Mastra's own limit.",
    Reason.TARGET_TOO_LONG: "Put long parameters into a body.",
    Reason.BODY_UNSUPPORTED: (
        "Send `Content-Type: application/json` once, no charset but UTF-8, no `Content-Encoding`: Mastra itself reads "
        "nothing else there."
    ),
    Reason.HEADERS_TOO_LARGE: "Send fewer cookies or a smaller token, or raise it; Node itself takes 16 KiB.",
    Reason.INTERNAL_ERROR: "Report it with the log's trace.",
    Reason.UPSTREAM_UNREACHABLE: "Check that the upstream runs and that `url` is right as seen from the gateway.",
    Reason.UPSTREAM_BROKEN: "Look at the upstream's log of that time.",
    Reason.UPSTREAM_TIMEOUT: (
        "Raise `response_timeout`, or see what the agent waits for; Mastra itself gives up at 180 s."
    ),
    Reason.DECISION_UNAVAILABLE: (
        "Said by an engine whose configuration `gateway compile` printed: see whether the gateway runs, and whether "
        "the engine may reach `decisions.listen`."
    ),
    Reason.LOGIN_UNAVAILABLE: (
        "Check that the gateway reaches the issuer, and that `client_id` and the client's secret are right: "
        "the log's `detail` has its answer."
    ),
    Reason.KEYS_UNAVAILABLE: (
        "Check that the gateway reaches the issuer; `/status` on the admin port has the last error."
    ),
    Reason.OWNER_UNKNOWN: (
        "The log's `detail` has the upstream's answer: see that it may be asked with the caller's own credential, and "
        "is a Mastra that the gateway knows."
    ),
    Reason.BODIES_FULL: "Try again in a moment; if it comes often, run more replicas, or lower `limits.body_size`.",
    Reason.AUDIT_UNAVAILABLE: (
        "See why the audit file cannot be written: `/status` has the error, most often the disk is full. Requests pass "
        "again with the next line that is taken."
    ),
    Reason.SHUTTING_DOWN: "Try again: another instance, or this one in a moment.",
}


# What is true of tokens of one type only.
OF_TYPE: dict[Reason, dict[Kind, str]] = {
    Reason.TOKEN_MALFORMED: {"auth0": "Auth0 gives an opaque token when no `audience` was asked for."},
    Reason.ALGORITHM_NOT_ALLOWED: {"auth0": "An Auth0 API may be set to HS256: choose RS256."},
    Reason.AUTHORIZED_PARTY_MISMATCH: {
        "clerk": (
            "Clerk's tokens name a page: add its origin to `authorized_parties`; `azp: if_present` lets tokens without "
            "`azp` in."
        )
    },
    Reason.TOKEN_KIND_REFUSED: {"clerk": "Kinds besides sessions are named in `accept`: `[session, template]`."},
    Reason.TOKEN_EXPIRED: {"clerk": "Clerk's live for 60 s: ask for one before each call."},
    Reason.ACCESS_DENIED: {
        "auth0": "Access tokens of Auth0 carry no email unless an Action adds it.",
        "clerk": "Session tokens of Clerk carry no email unless you add it.",
    },
}


def general_advice(reason: Reason, kinds: Collection[Kind] | None = None) -> str:
    """Return what to do about a code, where the providers are of these types; None: of any, as the reference has it."""
    own = (words for kind, words in OF_TYPE.get(reason, {}).items() if kinds is None or kind in kinds)
    return " ".join((ADVICE[reason], *own))
