"""Every answer that the gateway gives by itself, in one table.

Status, public code, log field, metric label, documentation row and test all come from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

_BAD_REQUEST = "Bad request"
_WHO = "Authentication required"
_INVALID = "Invalid or expired token"
_NO = "Access denied"
_MANY = "Too many requests"
_BAD_GATEWAY = "Bad gateway"
_UNAVAILABLE = "Service unavailable"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client gets: HTTP status, the `error` text that Mastra's clients know, and what it means."""

    status: int
    error: str
    meaning: str


class Reason(Enum):
    """Why the gateway answered itself. The public code is the name in lower case."""

    # 400: two parsers could read the request in two ways.
    TARGET_AMBIGUOUS = Answer(400, _BAD_REQUEST, "the request target has no single reading")
    REQUEST_MALFORMED = Answer(400, _BAD_REQUEST, "the request is not well-formed HTTP")
    QUESTION_MALFORMED = Answer(400, _BAD_REQUEST, "an engine's question is not whole, or nobody may ask from there")
    ENGINE_LIMITED = Answer(400, _BAD_REQUEST, "the engine that asks cannot send the request as it was judged")
    PLAIN_HTTP = Answer(
        400, "This port speaks HTTPS: use https:// in place of http://", "plain HTTP was spoken to the TLS port"
    )
    SEVERAL_CREDENTIALS = Answer(400, _BAD_REQUEST, "more than one credential in one request")
    BODY_MALFORMED = Answer(400, _BAD_REQUEST, "the body is not one JSON object with a single reading")

    LOGIN_INVALID = Answer(400, _BAD_REQUEST, "this login was not begun in this browser, or is over: begin it anew")

    LOGOUT_INVALID = Answer(400, _BAD_REQUEST, "no logout token of the issuer that counts")

    # 401: no token, or one that does not count. Never a 5xx: Mastra's client retries those.
    TOKEN_MISSING = Answer(401, _WHO, "no token where the route looks for one")
    TOKEN_MALFORMED = Answer(401, _INVALID, "the token is not a compact JWS of a JSON object")
    TOKEN_TOO_LARGE = Answer(401, _INVALID, "the token is longer than 16 KiB")
    TOKEN_UNSUPPORTED = Answer(401, _INVALID, "the token's header asks for something refused here")
    ALGORITHM_NOT_ALLOWED = Answer(401, _INVALID, "no provider of the route accepts the algorithm")
    ISSUER_MISMATCH = Answer(401, _INVALID, "no provider of the route has the token's issuer")
    AUDIENCE_MISMATCH = Answer(401, _INVALID, "the token is for another audience")
    AUTHORIZED_PARTY_MISMATCH = Answer(401, _INVALID, "the token was issued to another application")
    TOKEN_KIND_REFUSED = Answer(401, _INVALID, "a token of a kind the provider does not accept")
    SESSION_INVALID = Answer(401, _INVALID, "the session's cookie is none of this gateway's")
    SESSION_EXPIRED = Answer(401, _INVALID, "the session has ended: it is too old, was idle, or the issuer ended it")
    SESSION_PENDING = Answer(401, _INVALID, "the session has tasks left, so nobody is signed in yet")
    CLAIM_INVALID = Answer(401, _INVALID, "a required claim is missing or of the wrong type")
    TOKEN_EXPIRED = Answer(401, _INVALID, "the token has expired")
    TOKEN_REVOKED = Answer(401, _INVALID, "the token, its session or its caller was revoked")
    TOKEN_NOT_YET_VALID = Answer(401, _INVALID, "the token is not valid yet")
    KEY_UNKNOWN = Answer(401, _INVALID, "the issuer has no fitting key for the token")
    SIGNATURE_INVALID = Answer(401, _INVALID, "the signature does not verify")
    KEY_REFUSED = Answer(401, _INVALID, "no key of a machine that counts here")

    LOGIN_TOO_OLD = Answer(401, _WHO, "a more recent login, or one of another kind, is asked for here")
    LOGIN_REFUSED = Answer(401, _WHO, "the issuer did not log the person in")

    # 403: the caller is known, and may not.
    ACCESS_DENIED = Answer(403, _NO, "no rule of `allow` holds")
    DENIED_BY_RULE = Answer(403, _NO, "a rule of `deny` holds, or cannot be decided")
    INSUFFICIENT_SCOPE = Answer(403, _NO, "the token lacks a scope that a rule asks for")
    ORIGIN_REFUSED = Answer(403, _NO, "a cookie was sent by a page of another origin")
    IDENTITY_UNSAFE = Answer(403, _NO, "a claim cannot be passed on as a header without loss")
    NOT_OWNER = Answer(403, _NO, "what is asked for is another's, or cannot be told apart by owner")
    WEBSOCKET_REFUSED = Answer(403, _NO, "the route does not say `websocket: true`")

    BUDGET_UNCOUNTED = Answer(403, _NO, "the caller has nothing that the route's budget counts by")

    # 404, 405: no such door.
    NO_ROUTE = Answer(404, "Not found", "no route covers the path")
    METHOD_NOT_ALLOWED = Answer(405, "Method not allowed", "routes cover the path, none the method")

    # Too large or too slow, decided before the body is read.
    REQUEST_TIMEOUT = Answer(408, "Request timeout", "the client stopped sending in mid-request")
    # Never a status: said in the last event of a stream, and as a WebSocket's close code 4408.
    STREAM_TOO_LONG = Answer(408, "Stream too long", "the stream lasted for `streams.max`")
    BODY_TOO_LARGE = Answer(
        413, "Request body too large", "the body is over `limits.body_size`, or 4.5 MiB under `own`"
    )
    TARGET_TOO_LONG = Answer(
        414, "Request target too long", "the target is over `limits.header_size`, 128 segments or 1,024 escapes"
    )
    BODY_UNSUPPORTED = Answer(
        415, "Unsupported media type", "the body is compressed, or not JSON in UTF-8, under `own`"
    )
    BUDGET_EXCEEDED = Answer(
        429, _MANY, "a budget of the route has nothing left for this caller, or the address failed too often"
    )
    BUDGET_UNKNOWN = Answer(429, _MANY, "the shared store cannot be asked what is left of a budget")
    HEADERS_TOO_LARGE = Answer(431, "Request headers too large", "the head is over `limits.header_size`")

    # The other side.
    INTERNAL_ERROR = Answer(500, "Internal error", "a mistake in the gateway; the log has the trace")
    UPSTREAM_UNREACHABLE = Answer(502, _BAD_GATEWAY, "the upstream refused the connection")
    UPSTREAM_BROKEN = Answer(502, _BAD_GATEWAY, "the upstream broke off, or answered no valid HTTP")
    UPSTREAM_TIMEOUT = Answer(504, "Gateway timeout", "the upstream was too slow to answer")
    DECISION_UNAVAILABLE = Answer(503, _UNAVAILABLE, "the engine in front could not ask the gateway")
    LOGIN_UNAVAILABLE = Answer(503, _UNAVAILABLE, "the issuer cannot be asked about a login now")
    KEYS_UNAVAILABLE = Answer(503, _UNAVAILABLE, "the issuer's keys cannot be had now")
    OWNER_UNKNOWN = Answer(503, _UNAVAILABLE, "the upstream did not say to whom it belongs")
    BODIES_FULL = Answer(503, _UNAVAILABLE, "the bodies that are being read under `own` take all the memory they may")
    AUDIT_UNAVAILABLE = Answer(503, _UNAVAILABLE, "the audit cannot be written, and says `on_failure: refuse`")
    SHUTTING_DOWN = Answer(503, _UNAVAILABLE, "the gateway is stopping")

    __hash__ = object.__hash__  # an Enum hashes its name, in Python; there is one of each

    def __init__(self, answer: Answer) -> None:
        # Attributes, since an Enum's properties cost as much as the rest of a refusal's decision.
        self.code: str = self._name_.lower()  # the stable public code, as in the answer's body and the log
        self.status: int = answer.status  # the HTTP status
