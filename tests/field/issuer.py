"""A stand-in for any issuer: its keys, the tokens that they sign, the documents that it publishes."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.keyserver import certificate_pem, private_key, to_jwk
from tests.minting import SECRET, b64, mint
from tests.security.rig import Keys, Listener
from tests.security.strict import Reader, Seen

LIFETIME_SECONDS = 600


@dataclass(frozen=True)
class Signer:
    """A signing key. Two of the same `name` are the same key, whatever their `kid`."""

    kid: str | None
    algorithm: str = "RS256"
    name: str = "field"

    @property
    def private(self) -> Any:
        """The private key, or the secret of HS256."""
        kinds = {"RS256": "RSA", "ES256": "P-256", "ES384": "P-384"}
        return SECRET if self.algorithm == "HS256" else private_key(self.name, kinds.get(self.algorithm, "Ed25519"))

    def jwk(self, **members: Any) -> dict[str, Any]:
        """Return the public key. `members` are added; one that is None is taken out."""
        return to_jwk(self.private, **{"kid": self.kid, **members})

    def token(self, claims: dict[str, Any], header: dict[str, Any] | None = None) -> str:
        """Return a token made now. A claim or a member of the header that is None is left out."""
        now = int(time.time())
        merged = {"iat": now - 5, "exp": now + LIFETIME_SECONDS, **claims}
        written = {name: value for name, value in merged.items() if value is not None}
        return mint(written, self.private, self.algorithm, kid=self.kid, header=header)

    def certificate(self) -> str:
        """Return a certificate of the key, by itself, as PEM."""
        return certificate_pem(self.private).decode()

    def x5c(self) -> dict[str, Any]:
        """Return the members of a JWK that hold its certificate (RFC 7517 sections 4.7 and 4.8)."""
        body = "".join(self.certificate().splitlines()[1:-1])
        thumbprint = hashlib.sha1(base64.b64decode(body)).digest()  # noqa: S324  # RFC 7517's own
        return {"x5t": b64(thumbprint), "x5c": [body]}


SHARED = Signer(None, "HS256")


class Issuer(Listener):
    """Serves documents by target, and 404 for the rest; keeps what it was asked.

    `wants` are targets with the `Authorization` without which the answer is 401. `tls` are the files of its
    certificate and key.
    """

    def __init__(self, tls: dict[str, Path] | None = None) -> None:
        self.documents: dict[str, Keys] = {}
        self.wants: dict[str, str] = {}
        self.asked: list[Seen] = []
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if tls else None
        if self._tls is not None and tls is not None:
            self._tls.load_cert_chain(tls["certificate"], tls["key"])
        super().__init__(self._serve_document)

    @property
    def url(self) -> str:
        """Where it listens."""
        return super().url if self._tls is None else f"https://127.0.0.1:{self.port}"

    def publish(self, target: str, *jwks: dict[str, Any], **members: Any) -> str:
        """Publish a key set; returns its address. `members` stand beside `keys`."""
        return self.answer(target, {"keys": list(jwks), **members})

    def announce(self, path: str, jwks_uri: str, **members: Any) -> str:
        """Publish what discovery asks for; returns the issuer."""
        issuer = self.url + path
        self.answer(f"{path}/.well-known/openid-configuration", {"issuer": issuer, "jwks_uri": jwks_uri, **members})
        return issuer

    def answer(self, target: str, document: Any, status: int = 200, **headers: str) -> str:
        """Publish any document as JSON; returns its address."""
        self.documents[target] = Keys(body=json.dumps(document).encode(), status=status, headers=headers)
        return self.url + target

    def asked_for(self, target: str) -> int:
        """Return how often a document was asked for."""
        return sum(request.target == target for request in self.asked)

    def _serve_document(self, connection: socket.socket) -> None:
        if self._tls is not None:
            connection = self._tls.wrap_socket(connection, server_side=True)
        with connection:
            request = Reader(lambda: connection.recv(65536)).request()
            if request is None:
                return
            self.asked.append(request)
            found = self.documents.get(request.target, Keys(status=404))
            wanted = self.wants.get(request.target)
            if wanted is not None and request.all("Authorization") != [wanted]:
                found = Keys(status=401)
            connection.sendall(found.answer())
