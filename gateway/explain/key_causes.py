"""Well-known causes of a refusal by the key: another algorithm, a key server that is gone."""

from __future__ import annotations

from collections.abc import Callable

from gateway.explain.findings import Findings
from gateway.explain.step import shown
from gateway.policy.decision import Deny
from gateway.policy.providers import ASYMMETRIC, SYMMETRIC, KeySource
from gateway.policy.reasons import Reason
from gateway.policy.words import listed


def _algorithm(deny: Deny, found: Findings) -> str | None:
    token = found.token
    if deny.reason is not Reason.ALGORITHM_NOT_ALLOWED or token is None or found.route is None:
        return None
    kinds = {provider.kind for provider in found.route.providers}
    if token.algorithm in SYMMETRIC and "jwt" not in kinds:
        where = "in Auth0: Applications, APIs, your API, Signing Algorithm, RS256" if "auth0" in kinds else "RS256"
        return (
            f"The token is signed with a shared secret ({shown(token.algorithm)}), the provider's tokens "
            "with keys of a "
            f"key server: have the issuer sign with those ({where}), or give the route a provider of type jwt."
        )
    if "oidc" in kinds and token.algorithm in ASYMMETRIC:
        return (
            f"The token is signed by {token.algorithm}, which the provider does not take: if its issuer signs by that, "
            f"write `algorithms: [{token.algorithm}]` on it."
        )
    if kinds != {"jwt"}:
        return None
    if token.algorithm in SYMMETRIC:
        taken = listed(sorted(name for provider in found.route.providers for name in provider.algorithms))
        return (
            f"The token is signed by {token.algorithm}, the route takes {taken}: have its issuer sign by that, or "
            f"write `algorithms: [{token.algorithm}]` on the provider."
        )
    if token.algorithm in ASYMMETRIC:
        return (
            "The token is signed with a key pair, the route takes tokens of a shared secret: another provider is due."
        )
    return None


def _unknown_key(deny: Deny, found: Findings) -> str | None:
    token, status = found.token, found.key_status
    if deny.reason is not Reason.KEY_UNKNOWN or token is None or status is None:
        return None
    if found.key_source is not None and found.key_source.tries_each:
        return f"No key in {status.label} is for {token.algorithm}: add the issuer's, or see whether `algorithms` fits."
    if token.kid is None:
        count = len(status.kids)
        return f"The token names no key (kid), and there are {count}: have the issuer name the one it signs with."
    if token.kid in status.kids:
        return (
            f"{status.label} knows the key {shown(token.kid)}, but not for {token.algorithm} (its alg, use or type "
            "says so): have the issuer sign by the algorithm of the key."
        )
    if token.kid in status.unusable:
        why = status.unusable[token.kid]
        return (
            f"{status.label} publishes the key {shown(token.kid)}, but it cannot be used: it is {why}. Have the issuer "
            "publish it as a key for signatures, whole (RFC 7517 section 4)."
        )
    return (
        f"The key {shown(token.kid)} is not among those of {status.label}: the token is of another tenant "
        "or instance, or "
        "was signed by a key that has been taken back. Sign in again."
    )


def _no_keys(deny: Deny, found: Findings) -> str | None:
    if deny.reason is not Reason.KEYS_UNAVAILABLE or found.key_status is None:
        return None
    status = found.key_status
    error = status.last_error or ""
    why = f" It says: {error}." if error else ""
    return f"The keys of {status.label} cannot be had.{why} {_way_out(error, found)}"


def _way_out(error: str, found: Findings) -> str:
    """Return what to do about a fetch that failed, by what its message says and by what the file has already."""
    source = found.key_source
    for words, is_tried, first, then in _WAYS_OUT:
        if words in error:
            return then if source is not None and is_tried(source) else first
    return "Check the address, DNS, and that this machine may reach it."


def _has_login(source: KeySource) -> bool:
    return source.proxy is not None and source.proxy.user is not None


def _has_credential(source: KeySource) -> bool:
    return bool(source.headers) or source.token_file is not None


def _never(source: KeySource) -> bool:
    return False


_CREDENTIAL = (
    "The key server wants a credential: `jwks.headers`, or `jwks.token_file`.",
    "The key server does not take the credential of `jwks`: see whether it has ended, or is meant for another server.",
)
# What a message of a failed fetch holds; whether the file has what helps; what to do if it has not, and if it has.
_WAYS_OUT: tuple[tuple[str, Callable[[KeySource], bool], str, str], ...] = (
    (
        "certificate was not accepted",
        lambda source: source.ca_file is not None,
        "If a private authority made its certificate, name that as `ca_file` on the provider.",
        "`ca_file` must hold the authority that made the certificate, and the certificate the name in the address.",
    ),
    ("X.509 certificates", _never, "Write the address of the JWKS as `jwks_uri`.", ""),
    (
        "redirect to",
        _never,
        "If that place is the issuer's, write it as `jwks_uri`; if not, ask who sends you there.",
        "",
    ),
    (
        "answered 407",
        _has_login,
        "Write the proxy's user and password into `jwks.proxy`, from variables.",
        "The proxy does not take the user and password of `jwks.proxy`.",
    ),
    ("the proxy", _never, "Check `jwks.proxy`, and whether the proxy lets this machine reach the key server.", ""),
    (
        "credentials go to",
        _never,
        "Write the address of the keys as `jwks_uri`, if the credential is meant for it.",
        "",
    ),
    ("found status 401", _has_credential, *_CREDENTIAL),
    ("found status 403", _has_credential, *_CREDENTIAL),
    ("token_file", _never, "Check that the file holds the token alone, and that the gateway may read it.", ""),
    (
        "{tenantid}",
        _never,
        "Entra's common endpoint stands for all tenants: write `issuer: https://login.microsoftonline.com/{tid}/v2.0` "
        "for tokens of every tenant, or the tenant's id in place of {tid} for one.",
        "",
    ),
    (
        "names another issuer",
        _never,
        "Write `issuer` exactly as the document has it, if the tokens have it so, too.",
        "",
    ),
)


def _stranger(deny: Deny, found: Findings) -> str | None:
    """Explain why an issuer of a template does not count."""
    token = found.token
    if deny.reason is not Reason.ISSUER_MISMATCH or token is None or found.route is None:
        return None
    issuer = token.claims.get("iss")
    templates = [template for provider in found.route.providers for template in provider.issuer_templates]
    if found.provider is not None and "max_issuers" in deny.detail:
        return (
            "As many issuers as `max_issuers` lets in have had a good token: raise it, if this one is a customer's, "
            "or give the provider one `jwks_uri` for all, where the issuers share their keys."
        )
    if found.provider is not None and "has no keys" in deny.detail:
        return f"There is no such issuer as {shown(issuer)}: its server says so. The token is of no tenant that exists."
    for template in templates:
        if isinstance(issuer, str) and template.may_be(issuer):
            return (
                f"The token is not of one issuer: {template.fault(issuer, token.claims)}. Each claim in the braces of "
                f"{template.text} must be in the token, as it is in iss."
            )
    return None


CAUSES = (_algorithm, _unknown_key, _no_keys, _stranger)
