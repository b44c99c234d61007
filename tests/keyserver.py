"""A key server for tests: an issuer with keys, its JWKS and discovery over a real socket, and every way to misbehave.

async with KeyServer() as issuer:
    token = issuer.mint(issuer.claims(email="alice@example.com"))
    issuer.rotate("rsa-2")
    issuer.status = 500
"""

from __future__ import annotations

import asyncio
import base64
import datetime
import functools
import hashlib
import json
import time
from collections import Counter
from types import TracebackType
from typing import Any

import jwt
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

from tests.secrecy import keep_secret

JWKS_PATH = "/.well-known/jwks.json"
DISCOVERY_PATH = "/.well-known/openid-configuration"
_CURVES: dict[str, type[ec.EllipticCurve]] = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1}
_DEFAULT_KIDS = {"RS": "rsa-1", "PS": "rsa-1", "ES": "ec-1", "Ed": "ed-1"}
_HASHES = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@functools.cache
def private_key(name: str, kind: str = "RSA") -> PrivateKey:
    """Return the private key of that name, the same one in the whole run. Kinds: RSA, RSA1024, P-256, ..., Ed25519."""
    if kind == "Ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind in _CURVES:
        return ec.generate_private_key(_CURVES[kind]())
    return rsa.generate_private_key(65537, int(kind.removeprefix("RSA") or 2048))


def to_jwk(key: PrivateKey, kid: str | None = None, **members: Any) -> dict[str, Any]:
    """Return the public JWK of a private key. `members` are added; one that is None is taken out."""
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        jwk = jwt.algorithms.RSAAlgorithm.to_jwk(public, as_dict=True)
    elif isinstance(public, ec.EllipticCurvePublicKey):
        jwk = jwt.algorithms.ECAlgorithm.to_jwk(public, as_dict=True)
    else:
        jwk = jwt.algorithms.OKPAlgorithm.to_jwk(public, as_dict=True)
    jwk.pop("key_ops", None)
    merged = {**jwk, "kid": kid, **members}
    return {name: value for name, value in merged.items() if value is not None}


def public_pem(key: PrivateKey) -> bytes:
    """Return the public half of a key as PEM."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def private_pem(key: PrivateKey) -> bytes:
    """Return a whole key as PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def certificate_pem(key: PrivateKey) -> bytes:
    """Return a certificate of a key, by itself and long over, as PEM."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stand-in.test")])
    end = datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(end - datetime.timedelta(days=1)).not_valid_after(end)
    return made.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else SHA256()).public_bytes(Encoding.PEM)


def sign_token(header: dict[str, Any], payload: bytes, alg: str, key: Any) -> str:
    """Return a compact JWS of anything at all, signed with `alg` whatever the header says. `none`: no signature."""
    signed = b".".join(_encode(part) for part in (json.dumps(header).encode(), payload))
    if alg == "none":
        signature = b""
    elif alg in _HASHES:
        signature = jwt.algorithms.HMACAlgorithm(_HASHES[alg]).sign(signed, key)
    else:
        signature = jwt.algorithms.get_default_algorithms()[alg].sign(signed, key)
    return keep_secret((signed + b"." + _encode(signature)).decode("ascii"))


class KeyServer:
    """An issuer on loopback, over plain HTTP. Its attributes say how it answers; they may change at any time.

    `keys` are the published ones by kid: rsa-1 (RS256), ec-1 (P-256) and ed-1. `gate`: while it is not set,
    answers wait. `counts` counts the requests by path, `arrivals` is set at each.
    """

    def __init__(self) -> None:
        self.keys: dict[str, PrivateKey] = {
            "rsa-1": private_key("rsa-1"),
            "ec-1": private_key("ec-1", "P-256"),
            "ed-1": private_key("ed-1", "Ed25519"),
        }
        self.extra_jwks: list[Any] = []  # published as they are, besides `keys`
        self.status = 200
        self.body: bytes | None = None  # in place of the JWKS
        self.headers: dict[str, str] = {}
        self.redirect_to: str | None = None
        self.discovery: dict[str, Any] | None = None  # in place of discovery's document
        self.cuts_short = False  # promises more bytes than it sends
        self.gate = asyncio.Event()
        self.gate.set()
        self.counts: Counter[str] = Counter()
        self.arrivals = asyncio.Event()
        self.requests: list[web.Request] = []
        self.port = 0
        self._runner: web.AppRunner | None = None

    @property
    def issuer(self) -> str:
        """The issuer, without a slash at its end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def jwks_uri(self) -> str:
        """Where the keys are."""
        return self.issuer + JWKS_PATH

    @property
    def fetches(self) -> int:
        """How often the keys were asked for."""
        return self.counts[JWKS_PATH]

    @property
    def document(self) -> bytes:
        """The JWKS as published now."""
        return json.dumps({"keys": [to_jwk(key, kid) for kid, key in self.keys.items()] + self.extra_jwks}).encode()

    async def start(self) -> None:
        """Listen; after `stop` on the same port again."""
        application = web.Application()
        application.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Be down: the port is closed, connections are refused."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> KeyServer:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.gate.set()
        await self.stop()

    def rotate(self, kid: str = "rsa-2", kind: str = "RSA", *, remove: str | None = None) -> None:
        """Publish one more key, and take `remove` away."""
        self.keys[kid] = private_key(kid, kind)
        if remove is not None:
            del self.keys[remove]

    def claims(self, **members: Any) -> dict[str, Any]:
        """Return the claims of a good token, with `members` added; one that is None is taken out."""
        now = int(time.time())
        merged = {"iss": self.issuer, "sub": "user-1", "iat": now - 10, "exp": now + 300, **members}
        return {name: value for name, value in merged.items() if value is not None}

    def mint(
        self,
        claims: dict[str, Any],
        alg: str = "RS256",
        kid: str | None = "",
        key: PrivateKey | bytes | None = None,
        header: dict[str, Any] | None = None,
    ) -> str:
        """Return a token of exactly these claims. `kid` defaults to this server's for `alg`; None: without.

        `key` signs in place of the one of `kid`; `header` is added to the header, last.
        """
        if kid == "":
            kid = _DEFAULT_KIDS.get(alg[:2])
        if key is None and alg != "none":
            key = self.keys[kid or _DEFAULT_KIDS[alg[:2]]]
        head = {"alg": alg, "typ": "JWT"} | ({} if kid is None else {"kid": kid}) | (header or {})
        return sign_token(head, json.dumps(claims).encode(), alg, key)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.counts[request.path] += 1
        self.requests.append(request)
        self.arrivals.set()
        await self.gate.wait()
        if self.redirect_to is not None:
            return web.Response(status=302, headers={"Location": self.redirect_to})
        if request.path.endswith(DISCOVERY_PATH):
            document = {"issuer": self.issuer, "jwks_uri": self.jwks_uri} if self.discovery is None else self.discovery
            return web.json_response(document, status=self.status)
        body = self.document if self.body is None else self.body
        if self.cuts_short:
            response = web.StreamResponse(headers={"Content-Length": str(len(body) + 1)})
            await response.prepare(request)
            await response.write(body)
            assert request.transport is not None
            request.transport.abort()
            return response
        headers = {"Content-Type": "application/json", **self.headers}
        return web.Response(status=self.status, body=body, headers=headers)


def _encode(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")
