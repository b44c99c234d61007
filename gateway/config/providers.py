"""`providers:` five types, and presets of the fourth, each read into the same record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

from gateway.config import provider_fields as fields
from gateway.config.document import Fields, Items, Node, Text, kind_of
from gateway.config.expansion import expand
from gateway.config.issuers import (
    Addresses,
    auth0_addresses,
    check_discovery,
    check_plain_http,
    clerk_addresses,
    has_key_files,
    oidc_addresses,
)
from gateway.config.key_sources import with_keys
from gateway.config.presets import PRESETS as PRESETS_OF_ISSUERS
from gateway.config.readers import Schema
from gateway.config.reading import Reading, Unreadable, attempt, attempt_each, nearest
from gateway.config.records import Values
from gateway.config.secrets import WAY_OUT, decoded_at
from gateway.config.typescript import CLASSES
from gateway.config.variables import set_instead
from gateway.policy.jwk import SAME_ALGORITHM, secret_key
from gateway.policy.providers import API_KEY, ASYMMETRIC, BEARER, PRESETS, SYMMETRIC, ClerkKind, Kind, Provider
from gateway.policy.secrets import check_secret
from gateway.policy.words import listed

_OF_ADDRESSES = {
    field.name
    for field in (fields.ISSUERS, fields.JWKS_URI, fields.JWKS_FILE, fields.PUBLIC_KEY_FILES, fields.DOMAIN,
                  fields.PUBLISHABLE_KEY)
}  # fmt: skip
_JWT_VARIABLES = ("MASTRA_JWT_SECRET", "JWT_AUTH_SECRET")
_ADDRESSES: dict[str, Callable[[Values, Reading], Addresses]] = {
    "clerk": clerk_addresses,
    "auth0": auth0_addresses,
    "oidc": oidc_addresses,
}


class ProviderReader:
    """One provider, still without its name."""

    def read(self, node: Node, reading: Reading) -> Provider:
        written = _type(node, reading)
        if written in PRESETS_OF_ISSUERS and isinstance(node, Fields):
            return self._read_preset(written, node, reading)
        kind = cast(Kind, written)
        return self._read(kind, fields.RECORDS[kind].read(node, reading), reading)

    def _read_preset(self, name: str, node: Fields, reading: Reading) -> Provider:
        """Return the provider of type oidc that a preset stands for."""
        expanded = attempt(expand, name, node, reading)
        if expanded is None:  # what else is wrong is told in the same run
            fields.RECORDS[name].read(node, reading)
            raise Unreadable
        whole, expansion = expanded
        reading.expansions.append(expansion)
        provider = self._read("oidc", fields.RECORDS[name].read(whole, reading), reading)
        return replace(provider, expected_claims=expansion.expected_claims)

    def _read(self, kind: Kind, values: Values, reading: Reading) -> Provider:
        if kind == "keys":
            return _with_machines(values, reading)
        provider = attempt(_common, kind, values, reading)
        if PRESETS[kind].family is SYMMETRIC:
            return _with_secrets(provider, values, reading)
        addresses = attempt(_addresses, kind, values, reading)
        if provider is None or addresses is None or values.broken:
            raise Unreadable
        return with_keys(provider, addresses, values, reading)

    def schema(self) -> Schema:
        kinds: list[Schema] = []
        for kind, record in fields.RECORDS.items():
            shape = record.schema()
            kinds.append({**shape, "properties": {**shape["properties"], "type": {"const": kind}}})
        return {"type": "object", "required": ["type"], "oneOf": kinds}


def _type(node: Node, reading: Reading) -> str:
    if not isinstance(node, Fields):
        word = node.text if isinstance(node, Text) else ""
        meant = CLASSES.get(word.lower(), word)
        hint = f" (did you mean {{type: {meant}}}?)" if meant in fields.TYPES else ""
        reading.refuse(node, f"found {kind_of(node)}, expected a provider: {{type: jwt}}, with its keys{hint}")
    kind = node.get("type")
    if kind is None:
        misspelt = next((entry.key for entry in node.entries if nearest(entry.key.text, ["type"])), None)
        if misspelt is not None:
            reading.refuse_at(misspelt.place, "unknown key (did you mean 'type'?)")
        reading.refuse_at(node.key_place, f"'type' is missing, expected {listed(fields.TYPES)}")
    return fields.TYPE.reader.read(kind, reading)


def _common(kind: Kind, values: Values, reading: Reading) -> Provider:
    """Return what all presets have. Independent mistakes each get their message."""
    algorithms = attempt(_algorithms, kind, values, reading)
    audiences = attempt(_audiences, kind, values, reading)
    sources = values.get(fields.TOKEN_FROM, (BEARER,))
    attempt(_check_pages, values, reading)
    parties = values.get(fields.AUTHORIZED_PARTIES)
    client_claim, clients = values.get(fields.CLIENT_CLAIM), values.get(fields.CLIENTS)
    accepted = values.get(fields.ACCEPT, ("session",))
    if fields.AZP in values and parties is None and fields.AUTHORIZED_PARTIES.name not in values.broken:
        reading.add(values.key_place(fields.AZP), "found azp without 'authorized_parties', expected both or none")
        raise Unreadable
    if algorithms is None or audiences is None:
        raise Unreadable
    return Provider(
        name="",
        kind=kind,
        algorithms=algorithms,
        audiences=audiences or None,
        leeway_seconds=values.get(fields.LEEWAY, 5.0),
        types=PRESETS[kind].types | ({"at+jwt"} if "oauth" in accepted else frozenset()),
        subject_claim=values.get(fields.SUBJECT_CLAIM, "sub"),
        email_claim=values.get(fields.EMAIL_CLAIM),
        email_verified_claim=values.get(fields.EMAIL_VERIFIED_CLAIM),
        requires_verified_email=values.get(fields.EMAIL_VERIFIED) == "required",
        client_claims=(client_claim,) if client_claim else (),
        organization_claim=values.get(fields.ORGANIZATION_CLAIM),
        roles_claim=values.get(fields.ROLES_CLAIM),
        groups_claim=values.get(fields.GROUPS_CLAIM),
        roles_separator=values.get(fields.ROLES_SEPARATOR),
        scopes_claim=values.get(fields.SCOPES_CLAIM),
        permissions_claim=values.get(fields.PERMISSIONS_CLAIM),
        mastra_role_claim=values.get(fields.MASTRA_ROLE_CLAIM),
        clients=frozenset(clients) if clients else None,
        max_lifetime_seconds=values.get(fields.MAX_LIFETIME),
        required_claims=values.get(fields.REQUIRED_CLAIMS, ()),
        token_sources=sources,
        authorized_parties=frozenset(parties) if parties else None,
        requires_authorized_party=values.get(fields.AZP) != "if_present",
        clerk_kinds=frozenset(cast(ClerkKind, word) for word in accepted),
        origins=frozenset({*(values.get(fields.PAGES) or ()), *(parties or ())}),
    )


def _algorithms(kind: Kind, values: Values, reading: Reading) -> frozenset[str]:
    preset = PRESETS[kind]
    given = values.get(fields.ALGORITHMS) or (preset.default_algorithm,)
    chosen = frozenset(SAME_ALGORITHM.get(name, name) for name in given)
    if fields.ALGORITHMS.name in values.broken:
        raise Unreadable
    if chosen & SYMMETRIC and chosen & ASYMMETRIC:
        # Key confusion: a public key taken for a shared secret (RFC 8725 section 3.1, CVE-2016-5431).
        names = f"{listed(sorted(chosen & SYMMETRIC), 'and')} beside {listed(sorted(chosen & ASYMMETRIC), 'and')}"
        reading.refuse(
            values.node(fields.ALGORITHMS),
            f"found {names}, expected one family: HS... for a secret, the others for public keys",
        )
    if not chosen <= preset.family:
        hint = (
            "expected HS256, HS384 or HS512 for a shared secret (public keys: 'type: oidc')"
            if preset.family is SYMMETRIC
            else "expected RS256, ES256, EdDSA or their kind for public keys (a shared secret: 'type: jwt')"
        )
        reading.refuse(values.node(fields.ALGORITHMS), f"found {listed(sorted(chosen), 'and')}, {hint}")
    return chosen


def _audiences(kind: Kind, values: Values, reading: Reading) -> frozenset[str]:
    """Return the audiences that count; empty for any, which an oidc provider must ask for by `none`."""
    if fields.AUDIENCES.name in values.broken:
        raise Unreadable
    chosen = values.get(fields.AUDIENCES)
    if chosen:
        return frozenset(chosen)
    if kind == "auth0":
        if chosen is not None:
            reading.refuse(values.node(fields.AUDIENCES), "found none, expected the API's identifier in Auth0")
        from_environment = reading.environment.get("AUTH0_AUDIENCE", "").strip()
        if from_environment:
            return frozenset({from_environment})
        instead = set_instead("AUTH0_AUDIENCE", reading.environment)
        where = f"'audience' is missing and AUTH0_AUDIENCE is not set{instead}"
        reading.refuse_at(values.place, f"{where}, expected the API's identifier in Auth0")
    if kind == "oidc" and chosen is None:
        reading.refuse_at(
            values.place,
            "'audience' is missing, expected what the tokens' aud must hold ('none': tokens for anybody count)",
        )
    return frozenset()


def _check_pages(values: Values, reading: Reading) -> None:
    sources = values.get(fields.TOKEN_FROM, (BEARER,))
    is_known = fields.TOKEN_FROM.name not in values.broken
    if fields.PAGES in values and is_known and all(source.place != "cookie" for source in sources):
        where = values.key_place(fields.PAGES)
        reading.refuse_at(where, "found origins without a cookie, expected 'token_from: [{cookie: NAME}]' as well")


def _with_secrets(provider: Provider | None, values: Values, reading: Reading) -> Provider:
    secrets = attempt(_secrets, values, reading)
    if provider is None or secrets is None or values.broken:
        raise Unreadable
    for secret in secrets:
        why = check_secret(secret, provider.algorithms)
        if why is not None:  # long enough for HS256, which is not written out: what asks for more is
            shown = listed(sorted(provider.algorithms), "and")
            reading.refuse(values.node(fields.ALGORITHMS), f"found {shown} beside a short secret: {why}", WAY_OUT)
    issuers = values.get(fields.ISSUERS)
    return replace(
        provider,
        secrets=tuple(secret_key(secret, provider.algorithms) for secret in secrets),
        issuers=frozenset(Addresses(issuers, None).exact) if issuers else None,
        issuer_templates=Addresses(issuers or (), None).templates,
        requires_expiry=values.get(fields.EXPIRY) != "optional",
    )


def _with_machines(values: Values, reading: Reading) -> Provider:
    """Return a provider whose tokens are keys of machines: of all that is said of tokens nothing is asked of them."""
    _check_pages(values, reading)
    if values.broken or fields.KEYS_FILE not in values:
        raise Unreadable
    return Provider(
        name="",
        kind="keys",
        algorithms=frozenset(),
        issuers=frozenset(),  # of no JWT
        token_sources=values.get(fields.TOKEN_FROM, (BEARER, API_KEY)),
        origins=frozenset(values.get(fields.PAGES) or []),
        machine_keys=values.need(fields.KEYS_FILE),
    )


def _secrets(values: Values, reading: Reading) -> tuple[bytes, ...]:
    names = (fields.SECRET_KEY, fields.SECRETS, fields.SECRET_FILE_KEY)
    encoding = values.get(fields.SECRET_ENCODING)
    if fields.SECRET_ENCODING.name in values.broken:
        raise Unreadable
    present = [field for field in names if field in values]
    if len(present) > 1:
        place = values.key_place(present[1])
        shown = listed((field.name for field in present), "and")
        reading.refuse_at(place, f"found {shown}, expected one of them ('secrets' holds several)")
    if present:
        alone = values.get(fields.SECRET_KEY) or values.get(fields.SECRET_FILE_KEY)
        node = values.node(present[0])
        nodes = node.members if isinstance(node, Items) else (node,)
        written = (alone,) if alone else values.need(fields.SECRETS)
        return attempt_each(_secret_at, tuple(zip(nodes, written, strict=True)), encoding, reading)
    if {field.name for field in names} & values.broken:
        raise Unreadable
    for variable in _JWT_VARIABLES:
        secret = reading.environment.get(variable, "").encode("utf-8", "surrogateescape")
        if secret:
            return (decoded_at(values.place, secret, encoding, reading, variable),)
    instead = set_instead("MASTRA_JWT_SECRET", reading.environment)
    where = f"no secret is given, and neither MASTRA_JWT_SECRET nor JWT_AUTH_SECRET is set{instead}"
    reading.refuse_at(values.place, f"{where}, expected 'secret', 'secrets' or 'secret_file'")


def _addresses(kind: str, values: Values, reading: Reading) -> Addresses:
    if _OF_ADDRESSES & values.broken:
        raise Unreadable
    addresses = _ADDRESSES[kind](values, reading)
    if has_key_files(values):
        return addresses  # issuers are names then, and nothing is fetched
    if not values.get(fields.ALLOW_HTTP) and fields.ALLOW_HTTP.name not in values.broken:
        check_plain_http(values, addresses, reading)
    check_discovery(values, addresses, reading)
    return addresses


def _secret_at(written: tuple[Node, bytes], encoding: str | None, reading: Reading) -> bytes:
    node, secret = written
    return decoded_at(node.place, secret, encoding, reading)
