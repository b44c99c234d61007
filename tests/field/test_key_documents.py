"""What stands in a key document: which key serves, which does not, and what is said of it."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.field.gateways import Field
from tests.field.issuer import Signer
from tests.minting import mint

KEY, OTHER, ENCRYPTION = Signer("k1"), Signer("k2", name="field-2"), Signer("e1", name="field-3")
STRANGER = Signer("k1", name="stranger")
CLAIMS = {"iss": "https://i.example", "aud": "c", "sub": "u"}
FILE = """
providers:
  p: {type: oidc, issuer: "https://i.example", audience: c, jwks_uri: "${ISSUER}/keys"}
routes:
  /api: {provider: p, allow: authenticated}
"""


async def test_token_without_key_id(field: Field) -> None:
    """ggicci/caddy-jwt#41, marcjazz/authkestra#341: the one key that fits is used, an encryption key does not fit."""
    token = KEY.token(CLAIMS, {"kid": None})
    field.issuer.publish("/keys", ENCRYPTION.jwk(use="enc", alg="RSA-OAEP"), KEY.jwk(use="sig"))
    async with field.serving(FILE) as gateway:
        await gateway.passes("/api/x", token)
        await gateway.refuses("/api/x", STRANGER.token(CLAIMS, {"kid": None}), "signature_invalid")
        await gateway.refuses("/api/x", ENCRYPTION.token(CLAIMS, {"kid": None}), "signature_invalid")
        await gateway.refuses("/api/x", ENCRYPTION.token(CLAIMS), "key_unknown")
        await gateway.refuses("/api/x", KEY.token(CLAIMS, {"kid": ""}), "key_unknown")
    field.issuer.publish("/keys", OTHER.jwk(use="sig"), KEY.jwk(use="sig"))
    async with field.serving(FILE) as gateway:
        await gateway.refuses("/api/x", token, "key_unknown")
        await gateway.passes("/api/x", KEY.token(CLAIMS))
    assert "names no key" in await field.advice(FILE, "/api/x", token, "key_unknown")


async def test_same_key_id_at_two_issuers(field: Field) -> None:
    """agentgateway/agentgateway#3609, apollographql/router#3017: each token is judged by its own issuer's keys."""
    a, b = Signer("shared"), Signer("shared", "ES256")
    field.issuer.publish("/a/jwks", a.jwk(use="sig", alg="RS256"))
    field.issuer.publish("/b/jwks", b.jwk(use="sig", alg="ES256"))
    text = """
providers:
  a:
    type: oidc
    issuer: https://auth.example/application/o/a/
    audience: ca
    jwks_uri: ${ISSUER}/a/jwks
  b:
    type: oidc
    issuer: https://auth.example/application/o/b/
    audience: cb
    jwks_uri: ${ISSUER}/b/jwks
    algorithms: [ES256]
routes:
  /api: {provider: [a, b], allow: authenticated}
"""
    of_a = {"iss": "https://auth.example/application/o/a/", "aud": "ca", "sub": "u"}
    of_b = {"iss": "https://auth.example/application/o/b/", "aud": "cb", "sub": "u"}
    async with field.serving(text) as gateway:
        await gateway.passes("/api/x", a.token(of_a))
        await gateway.passes("/api/x", b.token(of_b))
        await gateway.refuses("/api/x", a.token(of_b), "algorithm_not_allowed")
        await gateway.refuses("/api/x", b.token(of_a), "algorithm_not_allowed")
        await gateway.refuses("/api/x", Signer("shared", name="field-2").token(of_a), "signature_invalid")
        await gateway.refuses("/api/x", a.token({**of_a, "aud": "cb"}), "audience_mismatch")


async def test_key_set_of_standard_base64(field: Field) -> None:
    """micronaut-guides/micronaut-security-jwt#9: `n` in standard base64, padded, with a zero before it."""
    number = KEY.private.public_key().public_numbers().n
    n = base64.b64encode(number.to_bytes(257, "big")).decode()
    field.issuer.publish("/keys", KEY.jwk(use="sig", alg="RS256", n=n))
    async with field.serving(FILE) as gateway:
        await gateway.refuses("/api/x", KEY.token(CLAIMS), "keys_unavailable")
        troubles = await gateway.troubles()
        assert "`n` is not base64url" in troubles, troubles
    field.issuer.publish("/keys", KEY.jwk(use="sig", alg="RS256", n=n), OTHER.jwk(use="sig"))
    async with field.serving(FILE) as gateway:
        await gateway.passes("/api/x", OTHER.token(CLAIMS))
        await gateway.refuses("/api/x", KEY.token(CLAIMS), "key_unknown")
    advice = await field.advice(FILE, "/api/x", KEY.token(CLAIMS), "key_unknown")
    assert "k1" in advice and "`n` is not base64url" in advice, advice


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({}, id="neither-use-nor-alg"),
        pytest.param({"key_ops": ["verify"]}, id="key_ops"),
        pytest.param({"key_ops": ["sign", "verify"], "ext": True}, id="key_ops-of-both"),
        pytest.param({"use": "sig", "alg": "RS256", "nbf": 1493763266, "x5t#S256": "x"}, id="members-of-others"),
        pytest.param({"use": "sig", "status": "active", "created": "2026-01-01"}, id="unknown-members"),
    ],
)
async def test_key_that_serves(field: Field, members: dict[str, Any]) -> None:
    """Okta, Auth0, Hydra, Zitadel, WebCrypto: each leaves out or adds other members of a JWK (RFC 7517 section 4)."""
    field.issuer.publish("/keys", KEY.jwk(**members))
    async with field.serving(FILE) as gateway:
        await gateway.passes("/api/x", KEY.token(CLAIMS))
        await gateway.refuses("/api/x", STRANGER.token(CLAIMS), "signature_invalid")


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({"use": "enc"}, id="use-enc"),
        pytest.param({"key_ops": ["encrypt"]}, id="key_ops-encrypt"),
        pytest.param({"key_ops": []}, id="key_ops-empty"),
        pytest.param({"alg": "RS512"}, id="another-alg"),
        pytest.param({"alg": "RSA-OAEP"}, id="alg-of-encryption"),
        pytest.param({"n": None, "e": None, **KEY.x5c()}, id="x5c-alone"),
        pytest.param({"kty": "rsa"}, id="kty-in-lower-case"),
        pytest.param({"kid": 1}, id="kid-as-number"),
    ],
)
async def test_key_that_does_not_serve(field: Field, members: dict[str, Any]) -> None:
    """A key that is not for this, or not whole, verifies nothing; its neighbour does (RFC 7517 section 5)."""
    field.issuer.publish("/keys", KEY.jwk(**members), OTHER.jwk(use="sig"))
    async with field.serving(FILE) as gateway:
        await gateway.passes("/api/x", OTHER.token(CLAIMS))
        await gateway.refuses("/api/x", KEY.token(CLAIMS), "key_unknown")
    # It is among them: who reads that the issuer took it back looks in the wrong place.
    if isinstance(members.get("kid", ""), str):
        advice = await field.advice(FILE, "/api/x", KEY.token(CLAIMS), "key_unknown")
        assert "is not among" not in advice and any(name in advice for name in members), advice


async def test_key_of_a_certificate_alone_is_named(field: Field) -> None:
    """A key that is nothing but its x5c: the certificate is not read, and the member that lacks is named."""
    field.issuer.publish("/keys", KEY.jwk(n=None, e=None, **KEY.x5c()))
    async with field.serving(FILE) as gateway:
        await gateway.refuses("/api/x", KEY.token(CLAIMS), "keys_unavailable")
        assert "`n`" in await gateway.troubles()


async def test_oct_keys_of_a_set_never_serve(field: Field) -> None:
    """Issuers have published their HS256 keys: what everybody reads is no secret (RFC 8725 section 3.1)."""
    secret = b"published-to-everybody-so-no-secret-at-all"
    published = {"kty": "oct", "kid": "hs", "alg": "HS256", "k": base64.urlsafe_b64encode(secret).decode().rstrip("=")}
    field.issuer.publish("/keys", published, KEY.jwk(use="sig"))
    async with field.serving(FILE) as gateway:
        await gateway.passes("/api/x", KEY.token(CLAIMS))
        forged = mint({**CLAIMS, "exp": 2**31}, secret, "HS256", kid="hs")
        await gateway.refuses("/api/x", forged, "algorithm_not_allowed")
        relabelled = mint({**CLAIMS, "exp": 2**31}, secret, "HS256", kid="hs", header={"alg": "RS256"})
        await gateway.refuses("/api/x", relabelled, "key_unknown")


async def test_one_key_id_twice_in_a_set(field: Field) -> None:
    """An issuer that rotates without another kid: which of the two signed, nobody can say (RFC 7517 section 4.5)."""
    field.issuer.publish("/keys", KEY.jwk(use="sig"), STRANGER.jwk(use="sig"), OTHER.jwk(use="sig"))
    async with field.serving(FILE) as gateway:
        await gateway.passes("/api/x", OTHER.token(CLAIMS))
        found = {(await gateway.ask("/api/x", signer.token(CLAIMS))).status for signer in (KEY, STRANGER)}
        assert found <= {200, 401}
        never = Signer("k1", name="field-3").token(CLAIMS)
        field.upstream.take()
        assert (await gateway.ask("/api/x", never)).status == 401 and field.upstream.take() == []
    # The same key twice leaves no doubt.
    field.issuer.publish("/keys", KEY.jwk(use="sig"), KEY.jwk(use="sig"))
    async with field.serving(FILE) as gateway:
        await gateway.passes("/api/x", KEY.token(CLAIMS))


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"keys": []}, id="empty"),
        pytest.param({"keys": {}}, id="keys-as-object"),
        pytest.param([], id="list"),
        pytest.param({"jwks": {"keys": []}}, id="wrapped"),
        pytest.param(KEY.jwk(use="sig"), id="one-key-alone"),
        pytest.param({"issuer": "https://i.example", "jwks_uri": "https://i.example/keys"}, id="discovery-document"),
        pytest.param({"error": "not found"}, id="error"),
    ],
)
async def test_document_that_is_no_key_set(field: Field, document: Any) -> None:
    """What stands at an address of keys by mistake: an outage with its reason, never a 401."""
    field.issuer.answer("/keys", document)
    async with field.serving(FILE) as gateway:
        answer = await gateway.refuses("/api/x", KEY.token(CLAIMS), "keys_unavailable")
        assert answer.header("Retry-After")
        assert (await gateway.ready())[0] == 503
        assert "expected" in await gateway.troubles()


def pem_of(signer: Signer) -> str:
    """Return the public key as PEM."""
    public = signer.private.public_key()
    return str(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


FILES = """
providers:
  p: {type: oidc, issuer: "https://i.example", audience: c, public_key_files: [FILES]}
routes:
  /api: {provider: p, allow: authenticated}
"""


async def test_public_keys_in_files(field: Field) -> None:
    """envoyproxy/gateway#7425's kind: two PEM files while keys rotate, no `kid` in tokens."""
    for signer in (KEY, OTHER):
        (field.folder / f"{signer.kid}.pem").write_text(pem_of(signer))
    async with field.serving(FILES.replace("FILES", "'${FOLDER}/k1.pem', '${FOLDER}/k2.pem'")) as gateway:
        for signer in (KEY, OTHER):
            await gateway.passes("/api/x", signer.token(CLAIMS, {"kid": None}))
        # A PEM key has no name, so that a token's says nothing.
        await gateway.passes("/api/x", KEY.token(CLAIMS, {"kid": "whatever"}))
        await gateway.refuses("/api/x", STRANGER.token(CLAIMS, {"kid": None}), "signature_invalid")
        confused = mint({**CLAIMS, "exp": 2**31}, pem_of(KEY).encode(), "HS256")
        await gateway.refuses("/api/x", confused, "algorithm_not_allowed")


@pytest.mark.parametrize("form", ["PKCS1", "certificate", "CRLF", "BOM", "text around it"])
async def test_public_key_in_a_file_of_another_form(field: Field, form: str) -> None:
    """How people get PEM: openssl's older form, a certificate (`x5c`), an editor on Windows, `openssl x509 -text`."""
    plain = pem_of(KEY)
    pkcs1 = KEY.private.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1)
    files = {
        "PKCS1": pkcs1,
        "certificate": KEY.certificate().encode(),
        "CRLF": plain.replace("\n", "\r\n").encode(),
        "BOM": b"\xef\xbb\xbf" + plain.encode(),
        "text around it": f"Public key of the jobs:\n{plain}\n# end\n".encode(),
    }
    (field.folder / "key.pem").write_bytes(files[form])
    async with field.serving(FILES.replace("FILES", "'${FOLDER}/key.pem'")) as gateway:
        await gateway.passes("/api/x", KEY.token(CLAIMS, {"kid": None}))
        await gateway.refuses("/api/x", STRANGER.token(CLAIMS, {"kid": None}), "signature_invalid")


async def test_two_public_keys_in_one_file(field: Field) -> None:
    """A file of two keys, as `cat` makes it: both count, or the file is refused; never one of them."""
    (field.folder / "both.pem").write_text(pem_of(KEY) + pem_of(OTHER))
    text = FILES.replace("FILES", "'${FOLDER}/both.pem'")
    status, said = field.check(text)
    if status == 1:
        assert "public_key_files" in said and "both.pem" in said, said
        return
    async with field.serving(text) as gateway:
        for signer in (KEY, OTHER):
            await gateway.passes("/api/x", signer.token(CLAIMS, {"kid": None}))
        await gateway.refuses("/api/x", STRANGER.token(CLAIMS, {"kid": None}), "signature_invalid")
