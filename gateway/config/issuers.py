"""Where tokens of a provider come from: its issuers, and the address of its keys."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import urlsplit

from gateway.config.addresses import host_of, is_loopback, origin_of, split_url
from gateway.config.document import Place
from gateway.config.provider_fields import DOMAIN, ISSUERS, JWKS_FILE, JWKS_URI, PUBLIC_KEY_FILES, PUBLISHABLE_KEY
from gateway.config.readers import Mistake
from gateway.config.reading import Reading
from gateway.config.records import Field, Values
from gateway.config.variables import set_instead, with_prefixes
from gateway.policy.issuers import IssuerTemplate
from gateway.policy.words import listed

_KEYS_PATH = "/.well-known/jwks.json"
# The Backend API: one address for all instances, and it asks for the secret key.
_CLERK_API = frozenset({"api.clerk.com", "api.clerk.dev"})


@dataclass(frozen=True, slots=True)
class Addresses:
    """The issuers of a provider's tokens, and where their keys are; `jwks_uri` None: by discovery, or in files."""

    issuers: tuple[str | IssuerTemplate, ...]
    jwks_uri: str | None

    @property
    def exact(self) -> tuple[str, ...]:
        """The issuers that are written out."""
        return tuple(issuer for issuer in self.issuers if isinstance(issuer, str))

    @property
    def templates(self) -> tuple[IssuerTemplate, ...]:
        """The issuers that hold claims."""
        return tuple(issuer for issuer in self.issuers if isinstance(issuer, IssuerTemplate))


@dataclass(frozen=True, slots=True)
class Given:
    """A value, the place to blame for it, and the variable it came from, if the file did not name it."""

    value: str
    place: Place
    variable: str = ""


def given(values: Values, field: Field[str], variable: str, reading: Reading) -> Given | None:
    """Return what the file says, else what the environment says under Mastra's own name."""
    value = values.get(field)
    if value is not None:
        return Given(value, values.node(field).place)
    if field.name in values.broken:
        return None
    from_environment = reading.environment.get(variable, "").strip()
    return Given(from_environment, values.place, variable) if from_environment else None


def auth0_addresses(values: Values, reading: Reading) -> Addresses:
    """Return `https://DOMAIN/` and its keys; a given `issuer` or `jwks_uri` counts instead."""
    issuers, jwks_uri = values.get(ISSUERS), values.get(JWKS_URI)
    found = given(values, DOMAIN, "AUTH0_DOMAIN", reading)
    domain = _parsed(found, DOMAIN, reading) if found else None
    if domain is None and not (issuers and (jwks_uri or has_key_files(values))):
        reading.refuse_at(
            values.place,
            f"'domain' is missing and AUTH0_DOMAIN is not set{set_instead('AUTH0_DOMAIN', reading.environment)},"
            " expected one of them, such as tenant.eu.auth0.com",
        )
    return Addresses(issuers or (f"https://{domain}/",), jwks_uri or f"https://{domain}{_KEYS_PATH}")


def oidc_addresses(values: Values, reading: Reading) -> Addresses:
    """Return the given issuers; without `jwks_uri` the discovery document of each names its keys."""
    issuers, jwks_uri = values.get(ISSUERS), values.get(JWKS_URI)
    if not issuers:
        reading.refuse_at(values.place, "'issuer' is missing, expected the issuer exactly as in the tokens' iss")
    return Addresses(issuers, jwks_uri)


def has_key_files(values: Values) -> bool:
    """Return whether the keys are in files."""
    return JWKS_FILE in values or PUBLIC_KEY_FILES in values


def clerk_addresses(values: Values, reading: Reading) -> Addresses:
    """Return the instance's address as issuer, from the publishable key or the address of the keys."""
    issuers = values.get(ISSUERS)
    key = given(values, PUBLISHABLE_KEY, "CLERK_PUBLISHABLE_KEY", reading) or _key_of_the_page(values, reading)
    # What the file says about the keys counts before the environment; an issuer alone says nothing about them.
    asks_environment = PUBLISHABLE_KEY not in values
    uri = given(values, JWKS_URI, "CLERK_JWKS_URI" if asks_environment else "", reading)
    if uri is not None and uri.variable:
        uri = Given(_parsed(uri, JWKS_URI, reading), uri.place, uri.variable)
    host = _instance(key, reading) if key else None
    uri_parts = urlsplit(uri.value) if uri else None
    is_api = uri_parts is not None and uri_parts.hostname in _CLERK_API
    from_uri = origin_of(uri_parts) if uri_parts is not None and not is_api else None
    from_key = f"https://{host}" if host else None
    named = from_key if key and not key.variable else from_uri or from_key
    if issuers is None and named is None:
        _refuse_clerk(values, reading, uri)
    known: tuple[str | IssuerTemplate, ...] = issuers or ((named,) if named else ())
    where = from_key or next((issuer for issuer in known if isinstance(issuer, str)), None)
    if uri is None and where is None:
        return Addresses(known, None)
    return Addresses(known, uri.value if uri else f"{str(where).rstrip('/')}{_KEYS_PATH}")


def check_plain_http(values: Values, addresses: Addresses, reading: Reading) -> None:
    """Refuse addresses on which anybody in between could put keys of their own.

    An issuer is one where its keys are found by it. Beside `jwks_uri` or a file it is a name only, as ADFS's is.
    """
    all_of_them: list[tuple[Field[Any], str]] = []
    if addresses.jwks_uri is not None:
        all_of_them.append((JWKS_URI, addresses.jwks_uri))
        if JWKS_URI not in values:  # it was made of an issuer
            all_of_them += [(ISSUERS, issuer) for issuer in addresses.exact]
    else:
        all_of_them += [(ISSUERS, text_of_issuer(issuer)) for issuer in addresses.issuers]
    for field, address in all_of_them:
        if not address.lower().startswith("http:"):
            continue
        if not is_loopback(_host(address)):
            place = values.node(field).place if field in values else values.place
            hint = "expected https://... ('allow_http: true' on the provider permits it in a private network)"
            reading.refuse_at(place, f"found an http address that is not loopback, {hint}")


def check_discovery(values: Values, addresses: Addresses, reading: Reading) -> None:
    """Refuse issuers whose discovery document has no address."""
    if addresses.jwks_uri is not None:
        return
    for issuer in addresses.exact:
        try:
            parts = split_url(issuer)
            if parts.query or parts.fragment:
                raise Mistake("with a query or fragment")
        except Mistake as mistake:
            said = f" {mistake.unquoted}" if mistake.unquoted else ""
            hint = "expected an address such as https://login.example.com (or 'jwks_uri' as well)"
            reading.refuse(values.node(ISSUERS), f"found an issuer{said}, {hint}")


def text_of_issuer(issuer: str | IssuerTemplate) -> str:
    """Return an issuer as the file has it."""
    return issuer if isinstance(issuer, str) else issuer.text


def _host(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _parsed(found: Given, field: Field[str], reading: Reading) -> str:
    """Return a value as its field reads it: what the environment gave was not read yet."""
    if not found.variable:
        return found.value
    parse = field.reader.parse  # type: ignore[attr-defined]  # both fields are scalars
    try:
        value: str = parse(found.value)
    except Mistake as mistake:
        said = f" {mistake.unquoted}" if mistake.unquoted else ""
        expected = field.reader.expected  # type: ignore[attr-defined]
        reading.refuse_at(found.place, f"{found.variable}: found a value{said}, expected {expected}")
    return value


def _instance(key: Given, reading: Reading) -> str:
    """Return the host inside a publishable key: `pk_test_` or `pk_live_`, then base64 of `host$`."""
    kind, _, encoded = key.value.partition("_")[2].partition("_")
    try:
        decoded = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True).decode("ascii")
        if not key.value.startswith("pk_") or kind not in ("test", "live") or not decoded.endswith("$"):
            raise ValueError
        return host_of(decoded[:-1])
    except (ValueError, binascii.Error):
        name = f"{key.variable}: " if key.variable else ""
        if key.value.startswith("sk_"):
            hint = "expected the publishable key (pk_live_... or pk_test_...) that stands beside it in the dashboard"
            reading.refuse_at(
                key.place, f"{name}found no publishable key but Clerk's secret one, which is not needed, {hint}"
            )
        reading.refuse_at(
            key.place,
            f"{name}found no publishable key, expected pk_live_... or pk_test_... from Clerk's dashboard, whole",
        )


def _key_of_the_page(values: Values, reading: Reading) -> Given | None:
    """Return the publishable key under the name that a front-end framework gives it; it is no secret."""
    if PUBLISHABLE_KEY in values or PUBLISHABLE_KEY.name in values.broken or JWKS_URI in values:
        return None
    names = with_prefixes("CLERK_PUBLISHABLE_KEY", reading.environment)
    if len({reading.environment[name].strip() for name in names}) > 1:
        where = f"{listed(names, 'and')} hold different keys"
        reading.refuse_at(values.place, f"{where}, expected 'publishable_key: ${{{names[0]}}}', or another of them")
    return Given(reading.environment[names[0]].strip(), values.place, names[0]) if names else None


def _refuse_clerk(values: Values, reading: Reading, uri: Given | None) -> NoReturn:
    if uri is not None:
        hint = "expected 'publishable_key' (then 'jwks_uri' is not needed) or 'issuer' as well"
        reading.refuse_at(
            uri.place, f"found the address of Clerk's Backend API, which does not tell the instance, {hint}"
        )
    reading.refuse_at(
        values.place,
        "the instance is unknown, expected 'publishable_key' or 'jwks_uri'"
        " (or one of the variables CLERK_PUBLISHABLE_KEY and CLERK_JWKS_URI)",
    )
