"""Where the keys of a provider come from: files, one address, or the discovery of each issuer."""

from __future__ import annotations

from dataclasses import replace
from math import inf

from gateway.config import key_requests as requests
from gateway.config import provider_fields as fields
from gateway.config.issuers import Addresses, has_key_files, text_of_issuer
from gateway.config.key_files import KeyFile, key_set_of
from gateway.config.reading import Reading, Unreadable
from gateway.config.records import Values
from gateway.policy.providers import KeySource, Provider

_PLACES = (fields.JWKS_URI, fields.JWKS_FILE, fields.PUBLIC_KEY_FILES)
# What is said of fetching says nothing of files.
_OF_FETCHING = (requests.JWKS, fields.CA_FILE, fields.MAX_ISSUERS, fields.ALLOW_HTTP)
_MAX_TRIED = 16
_DEFAULT_MAX_ISSUERS = 100


def with_keys(provider: Provider, addresses: Addresses, values: Values, reading: Reading) -> Provider:
    """Return the provider with its issuers, and the places of their keys. Raises `Unreadable`."""
    provider = replace(provider, issuers=frozenset(addresses.exact), issuer_templates=addresses.templates)
    check_places(values, reading)
    if has_key_files(values):
        return replace(provider, key_source=_of_files(values, reading))
    asked = _asked(values, addresses, reading)
    if addresses.jwks_uri is not None or len(addresses.exact) == len(addresses.issuers) == 1:
        _refuse_max_issuers(values, reading)
        issuer = None if addresses.jwks_uri is not None else addresses.exact[0]
        return replace(provider, key_source=replace(asked, issuer=issuer, jwks_uri=addresses.jwks_uri))
    sources = [replace(asked, issuer=issuer) for issuer in addresses.exact]
    if addresses.templates:
        sources.append(replace(asked, max_issuers=values.get(fields.MAX_ISSUERS, _DEFAULT_MAX_ISSUERS)))
    else:
        _refuse_max_issuers(values, reading)
    return replace(provider, issuer_sources=tuple(sources))


def check_places(values: Values, reading: Reading) -> None:
    """Refuse keys in several places, and what is said of fetching where nothing is fetched."""
    places = [field for field in _PLACES if field in values]
    if len(places) > 1:
        names = f"{places[0].name} and {places[1].name}"
        reading.refuse_at(values.key_place(places[1]), f"found {names}, expected one place of the keys")
    useless = [field for field in _OF_FETCHING if field in values]
    if has_key_files(values) and useless:
        said = f"found {useless[0].name} beside keys in a file, of which nothing is fetched, expected one of them"
        reading.refuse_at(values.key_place(useless[0]), said)


def _of_files(values: Values, reading: Reading) -> KeySource:
    alone, several = values.get(fields.JWKS_FILE), values.get(fields.PUBLIC_KEY_FILES)
    files: tuple[KeyFile, ...] = (alone,) if alone is not None else several or ()
    if not files:
        raise Unreadable
    keys = key_set_of(files)
    if several is not None and len(keys.keys) > _MAX_TRIED:
        # Each may cost a verification of a token that is none.
        hint = "('jwks_file' takes as many as there are, each with its id)"
        found = f"found {len(keys.keys)} keys to be tried in turn, expected at most {_MAX_TRIED} {hint}"
        reading.refuse(values.node(fields.PUBLIC_KEY_FILES), found)
    names = tuple(file.path for file in files)
    return KeySource(None, None, ttl_seconds=inf, files=names, keys=keys, tries_each=several is not None)


def _asked(values: Values, addresses: Addresses, reading: Reading) -> KeySource:
    """Return how keys are asked for, without whom."""
    default = KeySource(None, None)
    jwks = values.get(requests.JWKS)
    if jwks is None:
        jwks = Values({}, {}, values.place, frozenset())
    if jwks.broken:
        raise Unreadable
    asked = [addresses.jwks_uri] if addresses.jwks_uri is not None else list(map(text_of_issuer, addresses.issuers))
    ca_file = values.get(fields.CA_FILE)
    if ca_file is not None and not any(address.lower().startswith("https:") for address in asked):
        reading.refuse_at(values.key_place(fields.CA_FILE), "found ca_file with an http address, expected https://...")
    headers = jwks.get(requests.REQUEST_HEADERS, ())
    token_file = jwks.get(requests.TOKEN_FILE)
    if token_file is not None and any(name.lower() == "authorization" for name, _ in headers):
        where = jwks.key_place(requests.TOKEN_FILE)
        reading.refuse_at(where, "found token_file and the header Authorization, expected one of them")
    return replace(
        default,
        allow_http=values.get(fields.ALLOW_HTTP, default.allow_http),
        ttl_seconds=jwks.get(requests.KEYS_TTL, default.ttl_seconds),
        stale_if_error_seconds=jwks.get(requests.STALE, default.stale_if_error_seconds),
        timeout_seconds=jwks.get(requests.TIMEOUT, default.timeout_seconds),
        cooldown_seconds=jwks.get(requests.COOLDOWN, default.cooldown_seconds),
        max_bytes=jwks.get(requests.MAX_SIZE, default.max_bytes),
        ca_file=str(ca_file.absolute()) if ca_file is not None else None,
        proxy=jwks.get(requests.PROXY),
        token_file=token_file,
        headers=headers,
    )


def _refuse_max_issuers(values: Values, reading: Reading) -> None:
    if fields.MAX_ISSUERS in values:
        hint = "expected 'issuer: https://HOST/{tid}/...' without 'jwks_uri', or no max_issuers"
        where = values.key_place(fields.MAX_ISSUERS)
        reading.refuse_at(where, f"found max_issuers, which is of templates whose keys are found by discovery, {hint}")
