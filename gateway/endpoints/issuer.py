"""What is said to the issuer of a login: where a person is sent, a code for tokens, the next tokens, the end.

Authorization code flow with PKCE (OpenID Connect Core 1.0 section 3.1, RFC 7636, RFC 9700 section 2.1.1). An ID token
is judged by the functions that judge every token, with the client's id as audience.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from gateway.keys.asking import FetchError
from gateway.keys.fetch import Fetcher
from gateway.policy.claims import principal_of
from gateway.policy.denied import Denied
from gateway.policy.key_lookup import Keys, NoKey, without_key
from gateway.policy.login import Login
from gateway.policy.providers import KeySource, key_source_of
from gateway.policy.reasons import Reason
from gateway.policy.session import Session
from gateway.policy.token import Token, parse_token
from gateway.policy.verify import check_claims, check_signature, pick_provider

_log: Final = logging.getLogger("gateway.login")
_METADATA_SECONDS: Final = 600.0
_QUIET_SECONDS: Final = 5.0  # as long as a client is told to wait
_MAX_LIFETIME_SECONDS: Final = 30 * 86400.0
_DEFAULT_LIFETIME_SECONDS: Final = 300.0
_ADDRESS: Final = re.compile(r"[!\x23-\x3b\x3d\x3f-\x5b\x5d\x5f\x61-\x7a~]+")  # RFC 3986; it goes into a Location
# RFC 6749 section 5.2, OpenID Connect Core 1.0 section 3.1.2.6: who logged in may go on, or may not.
_ABOUT_THE_PERSON: Final = frozenset(
    {"invalid_grant", "access_denied", "interaction_required", "login_required", "consent_required"}
)
Fetch = Callable[[KeySource, str | None], Any]


@dataclass(frozen=True, slots=True)
class Metadata:
    """What of an issuer's metadata a login needs (OpenID Connect Discovery 1.0 section 3)."""

    authorization_endpoint: str
    token_endpoint: str
    end_session_endpoint: str | None
    revocation_endpoint: str | None  # RFC 7009
    takes_basic: bool  # the client's secret in Authorization; else in the form
    names_itself: bool  # in each response: RFC 9207


class Conversation:
    """Speaks with the issuer of a login. `clock` gives Unix seconds; `fetch_keys` tries to get a missing key."""

    def __init__(
        self, login: Login, fetcher: Fetcher, keys: Keys, fetch_keys: Fetch, clock: Callable[[], float] = time.time
    ) -> None:
        self.login = login
        self._fetcher, self._keys, self._fetch_keys, self._clock = fetcher, keys, fetch_keys, clock
        self._metadata: Metadata | None = None
        self._metadata_until = 0.0
        self._asking: asyncio.Task[None] | None = None
        self._failed, self._quiet_until = "", 0.0

    async def metadata(self) -> Metadata:
        """Return the issuer's metadata, at most ten minutes old; older ones while it is down. Raises `Denied`.

        Anybody can begin a login, so the issuer is asked once however many wait, and not again for a while where it
        gives no answer (CWE-770).
        """
        if self._metadata is not None and self._clock() < self._metadata_until:
            return self._metadata
        if self._asking is None and self._clock() >= self._quiet_until:
            self._asking = asyncio.get_running_loop().create_task(self._ask_for_metadata())
        if self._asking is not None:
            await asyncio.wait({self._asking})  # who leaves, leaves it and the others alone
        if self._metadata is None:
            raise Denied(Reason.LOGIN_UNAVAILABLE, f"the issuer's metadata: {self._failed}")
        return self._metadata

    async def _ask_for_metadata(self) -> None:
        source = self.login.source
        try:
            self._metadata = _read_metadata(await self._fetcher.metadata(source), source.issuer or "")
            self._metadata_until = self._clock() + _METADATA_SECONDS
        except FetchError as problem:
            self._failed, self._quiet_until = str(problem), self._clock() + _QUIET_SECONDS
        finally:
            self._asking = None

    async def address(self, state: str, nonce: str, verifier: str, asked: Mapping[str, str]) -> str:
        """Return where a person logs in; `asked` goes along. Raises `Denied` (LOGIN_UNAVAILABLE)."""
        login, metadata = self.login, await self.metadata()
        found: str = prepare_grant_uri(
            metadata.authorization_endpoint,
            client_id=login.client_id,
            response_type="code",
            redirect_uri=login.redirect_uri,
            scope=" ".join(login.scopes),
            state=state,
            nonce=nonce,
            code_challenge=create_s256_code_challenge(verifier),  # type: ignore[no-untyped-call]
            code_challenge_method="S256",
            **asked,
        )
        return found

    async def session_of(self, code: str, verifier: str, nonce: str, session_id: str) -> Session:
        """Return the session that a code is good for.

        Raises `Denied` (LOGIN_INVALID, LOGIN_UNAVAILABLE, or what is amiss with the ID token).
        """
        given = {"code": code, "redirect_uri": self.login.redirect_uri, "code_verifier": verifier}
        answer = await self._tokens("authorization_code", given, Reason.LOGIN_INVALID)
        text = answer.get("id_token")
        if not isinstance(text, str):
            raise Denied(Reason.LOGIN_INVALID, "the issuer gave no ID token (is `openid` among the scopes?)")
        token = await self._verified(text)
        said = token.claims.get("nonce")
        if not isinstance(said, str) or not hmac.compare_digest(said.encode(), nonce.encode()):
            # A token of another login, put into this one: OpenID Connect Core 1.0 section 3.1.3.7.
            raise Denied(Reason.LOGIN_INVALID, "the ID token's nonce is not that of this login")
        now = self._clock()
        if now >= float(token.claims["exp"]):  # within the leeway: a session that is over as it begins goes in circles
            raise Denied(Reason.TOKEN_EXPIRED, "the ID token has ended already: do the clocks differ?")
        return Session(
            id=session_id,
            provider=self.login.provider,
            id_token=text,
            claims=token.claims,
            begun_at=now,
            seen_at=now,
            good_until=_end_of(token, answer, now),
            refresh_token=_refresh_token(answer),
        )

    async def renewed(self, session: Session) -> Session:
        """Return a session with the issuer's next word.

        Raises `Denied`: SESSION_EXPIRED if the issuer ends it, LOGIN_UNAVAILABLE if it cannot be asked.
        """
        if session.refresh_token is None:
            raise Denied(Reason.SESSION_EXPIRED, "the issuer's token has ended, and there is no refresh token")
        given = {"refresh_token": session.refresh_token}
        answer = await self._tokens("refresh_token", given, Reason.SESSION_EXPIRED)
        text, token = answer.get("id_token"), None
        if isinstance(text, str):
            token = await self._verified(text)
            session = replace(session, id_token=text)
            before = (session.claims.get("iss"), session.claims.get("sub"))
            if (token.claims.get("iss"), token.claims.get("sub")) != before:
                # OpenID Connect Core 1.0 section 12.2.
                raise Denied(Reason.SESSION_EXPIRED, "the issuer's next ID token is of somebody else")
        now = self._clock()
        return replace(
            session,
            claims=token.claims if token is not None else session.claims,
            seen_at=now,
            good_until=_end_of(token, answer, now),
            refresh_token=_refresh_token(answer) or session.refresh_token,
        )

    async def revoke(self, session: Session) -> None:
        """Have the issuer forget a session's refresh token, where it can and answers: a cookie's copy outlives it."""
        try:
            end = (await self.metadata()).revocation_endpoint
            if end is None or session.refresh_token is None:
                return
            said = {"token": session.refresh_token, "token_type_hint": "refresh_token"}
            await self._post(end, said)
        except Denied:
            _log.info("a refresh token could not be revoked: the issuer does not answer")

    async def end_address(self, session: Session | None) -> str | None:
        """Return where a person ends the session at the issuer (OpenID Connect RP-Initiated Logout 1.0 section 2)."""
        try:
            end = (await self.metadata()).end_session_endpoint
        except Denied:
            return None
        if end is None:
            return None
        said = [("client_id", self.login.client_id), ("post_logout_redirect_uri", f"{self.login.public_url}/")]
        if session is not None:
            said.append(("id_token_hint", session.id_token))
        found: str = add_params_to_uri(end, said)
        return found

    async def _verified(self, text: str) -> Token:
        """Return an ID token that counts, whoever brought it. Raises `Denied`."""
        provider, now = self.login.id_tokens, self._clock()
        token = parse_token(text)
        pick_provider(token, (provider,))
        check_claims(token, provider, now)
        authorized = token.claims.get("azp")
        if authorized is not None and authorized != self.login.client_id:
            raise Denied(Reason.AUTHORIZED_PARTY_MISMATCH, "azp is another client's (OpenID Connect Core 3.1.3.7)")
        await self.check_signed(token)
        principal_of(token.claims, provider)  # or every request of the session would be refused
        return token

    async def check_signed(self, token: Token) -> None:
        """Return if the issuer made a token. Raises `Denied`."""
        provider, now = self.login.id_tokens, self._clock()
        source = key_source_of(provider, token.claims.get("iss"))
        assert source is not None  # noqa: S101  # a login's provider has public keys
        key = self._keys.find(source, token.kid, token.algorithm, now)
        if isinstance(key, NoKey):
            await self._fetch_keys(source, token.kid)
            key = self._keys.find(source, token.kid, token.algorithm, now)
        if isinstance(key, NoKey):
            raise without_key(key, provider)
        check_signature(token, key)

    async def _tokens(self, grant: str, given: Mapping[str, str], refused_as: Reason) -> dict[str, Any]:
        endpoint = (await self.metadata()).token_endpoint
        status, body = await self._post(endpoint, {"grant_type": grant, **given})
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        if status == 200 and isinstance(answer, dict):
            return answer
        said = f"the issuer's token endpoint answered {status} {_error_of(answer)}"
        # What is not about the person (our own secret is wrong, a page of a proxy's) ends nobody's session.
        is_refused = 400 <= status < 500 and isinstance(answer, dict) and answer.get("error") in _ABOUT_THE_PERSON
        raise Denied(refused_as if is_refused else Reason.LOGIN_UNAVAILABLE, said)

    async def _post(self, endpoint: str, given: Mapping[str, str]) -> tuple[int, bytes]:
        """Send a form as the client that we are. Raises `Denied` (LOGIN_UNAVAILABLE)."""
        login, metadata = self.login, await self.metadata()
        headers = {"Accept": "application/json"}
        fields = dict(given)
        if login.client_secret is not None and metadata.takes_basic:
            # RFC 6749 section 2.3.1: encoded as in a form before they are joined.
            pair = f"{quote_plus(login.client_id)}:{quote_plus(login.client_secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode('ascii')}"
        else:
            fields |= {"client_id": login.client_id}
            if login.client_secret is not None:
                fields["client_secret"] = login.client_secret
        try:
            return await self._fetcher.post(endpoint, login.source, urlencode(fields).encode(), headers)
        except FetchError as problem:
            raise Denied(Reason.LOGIN_UNAVAILABLE, f"the issuer's token endpoint: {problem}") from None


def _read_metadata(document: Mapping[str, Any], issuer: str) -> Metadata:
    """Return what a login needs of an issuer's metadata. Raises `FetchError`."""
    names = ("authorization_endpoint", "token_endpoint", "end_session_endpoint", "revocation_endpoint")
    authorize, token, end, revoke = (_address(document.get(name), issuer) for name in names)
    if authorize is None or token is None:
        missing = names[0] if authorize is None else names[1]
        raise FetchError(f"discovery's document has no `{missing}`, expected an address of the issuer's scheme")
    methods = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    return Metadata(
        authorization_endpoint=authorize,
        token_endpoint=token,
        end_session_endpoint=end,
        revocation_endpoint=revoke,
        takes_basic=not isinstance(methods, list) or "client_secret_basic" in methods,
        names_itself=document.get("authorization_response_iss_parameter_supported") is True,
    )


def _address(found: object, issuer: str) -> str | None:
    """Return an address that a browser may be sent to, or a secret; None for any other: http by an https issuer too."""
    schemes = ("https://",) if issuer.startswith("https://") else ("https://", "http://")
    is_one = isinstance(found, str) and found.startswith(schemes) and _ADDRESS.fullmatch(found) is not None
    return str(found) if is_one else None


def _end_of(token: Token | None, answer: Mapping[str, Any], now: float) -> float:
    """Return when the issuer's word ends: with the ID token, or where none came with the access token beside it."""
    if token is not None:
        return min(float(token.claims["exp"]), now + _MAX_LIFETIME_SECONDS)
    lifetime = answer.get("expires_in")
    if isinstance(lifetime, bool) or not isinstance(lifetime, (int, float)) or lifetime <= 0:
        return now + _DEFAULT_LIFETIME_SECONDS
    return now + min(float(lifetime), _MAX_LIFETIME_SECONDS)


def _refresh_token(answer: Mapping[str, Any]) -> str | None:
    found = answer.get("refresh_token")
    return found if isinstance(found, str) and found else None


def _error_of(answer: object) -> str:
    """Return an error's code for the log, and nothing else of what an issuer says (RFC 6749 section 5.2)."""
    code = answer.get("error") if isinstance(answer, dict) else None
    return ascii(code)[:64] if isinstance(code, str) else "without an error code"
