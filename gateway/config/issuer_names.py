"""What a file may write as an issuer: the very text of the tokens' `iss`, or a template with claims in braces."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from gateway.config.addresses import split_url
from gateway.config.claim_names import check_claim_name
from gateway.config.readers import Mistake, Scalar
from gateway.policy.issuers import IssuerTemplate, Part

_BRACES: Final = re.compile(r"\{([^{}]*)\}")
_STAND_IN: Final = "x"
# Microsoft's hosts, in all clouds: there a first segment that is no tenant stands for many.
_ENTRA_HOST: Final = re.compile(
    r"(?:login\.(?:microsoftonline\.(?:com|us|de)|microsoft\.com|windows\.net|partner\.microsoftonline\.cn"
    r"|chinacloudapi\.cn)|sts\.windows\.net|sts\.chinacloudapi\.cn)\.?",
    re.IGNORECASE,
)
_MANY_TENANTS: Final = frozenset({"common", "organizations", "consumers"})


def _issuer(written: str) -> str | IssuerTemplate:
    if any(character < " " or character == "\x7f" for character in written):
        raise Mistake("with a control character")
    _refuse_many_tenants(written)
    if "{" not in written and "}" not in written:
        return written
    bare = _BRACES.sub(_STAND_IN, written)
    if "{" in bare or "}" in bare:
        raise Mistake("with a brace that has no other (braces name a claim, as in https://HOST/{tid}/v2.0)")
    parts = _parts(written)
    url = split_url(bare)
    if url.query or url.fragment or bare.endswith(("?", "#")):
        raise Mistake("with a query or fragment")
    return IssuerTemplate(written, parts)


def _parts(written: str) -> tuple[Part, ...]:
    # The names of claims may hold slashes themselves, so they are taken out first.
    names = _BRACES.findall(written)
    segments = _BRACES.sub("{}", written).split("/")
    for name in names:
        check_claim_name(name)
    if any("{}" in segment for segment in segments[:3]):  # scheme, nothing, host
        raise Mistake(
            "with a brace in its host (a token would choose whom to ask for keys; behind the host one may be)"
        )
    if any("{}" in segment and segment != "{}" for segment in segments):
        raise Mistake("with a brace that fills a part of a segment (it fills all between two slashes)")
    claims = iter(names)
    return tuple(Part(next(claims), True) if segment == "{}" else Part(segment) for segment in segments)


def _refuse_many_tenants(written: str) -> None:
    try:
        parts = urlsplit(written)
        is_entra = _ENTRA_HOST.fullmatch(parts.hostname or "") is not None
    except ValueError:
        return
    first = parts.path.strip("/").partition("/")[0].lower()
    if not is_entra:
        return
    rest = parts.path.lstrip("/")[len(first) :]
    way_out = f"{parts.scheme}://{parts.netloc}/{{tid}}{rest}"
    if first in _MANY_TENANTS:
        raise Mistake(
            f"which no token of Entra has as its issuer: theirs names the tenant (did you mean '{way_out}'? It takes "
            "every tenant; a tenant's own id in place of {tid} takes that one)"
        )
    if first in ("{tenantid}", "{tenant}", "{tenant_id}"):
        raise Mistake(f"with {first}, which is no claim of Entra's tokens (did you mean '{way_out}'?)")


ISSUER = Scalar("an issuer, exactly as in the tokens' iss, or a template such as https://HOST/{tid}/v2.0", _issuer)
