"""All well-known issuers on one loopback server: `https://HOST/PATH` of a document is `/HOST/PATH` here.

What they publish and what their tokens look like is data in the folder beside; keys are made here, one for each `kid`.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import functools
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tests.keyserver import PrivateKey, private_key, sign_token, to_jwk

DATA = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(Path(__file__).parent.glob("data/*"))
}
PUBLISHED: dict[str, Any] = {url: document for one in DATA.values() for url, document in one["published"].items()}
HOSTS = {urlsplit(url).netloc for url in PUBLISHED}
_ADDRESS = re.compile(r"https://([^/\"]+)(?=[/\"]|$)")
_MAKING = threading.Lock()
_KINDS = {"RS256": "RSA", "ES256": "P-256", "EdDSA": "Ed25519"}


def key_of(kid: str, kind: str = "RSA") -> PrivateKey:
    """Return the one key of an id: documents that are asked for at the same moment are made by several threads."""
    with _MAKING:
        return private_key(kid, kind)


class World:
    """The running server; what it was asked for is in `asked`: the paths, and what stood in Authorization."""

    def __init__(self, port: int) -> None:
        self.origin = f"http://127.0.0.1:{port}"
        self.asked: list[tuple[str, str | None]] = []

    def moved(self, text: str) -> str:
        """Return a text with every address of an issuer turned into the one that it has here."""
        return _ADDRESS.sub(lambda found: f"{self.origin}/{found[1]}" if found[1] in HOSTS else found[0], text)

    def document(self, path: str) -> bytes | None:
        """Return what is published at a path; None where nothing is."""
        published = PUBLISHED.get(f"https:/{path.partition('?')[0]}")
        if published is None:
            return None
        whole = (
            {**published, "keys": list(map(_with_material, published["keys"]))} if "keys" in published else published
        )
        return self.moved(json.dumps(whole)).encode()


@contextlib.contextmanager
def serving_world() -> Iterator[World]:
    """Serve all issuers for the length of a block."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            world.asked.append((self.path, self.headers["Authorization"]))
            body = world.document(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        world = World(server.server_port)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield world
        finally:
            server.shutdown()
            thread.join()


def token(issuer: str, name: str, claims: Mapping[str, Any] | None = None, **header: Any) -> str:
    """Return a token of an issuer as its data has it, good for ten minutes; changes to `...` take a member out."""
    shape = DATA[issuer]["tokens"][name]
    now = int(time.time())
    said = {**shape["claims"], "iat": now - 5, "exp": now + 600, **(claims or {})}
    head = {**shape["header"], **header}
    payload = {key: value for key, value in said.items() if value is not ...}
    algorithm = head["alg"]
    key = key_of(head["kid"], _KINDS[algorithm])
    return sign_token(
        {key: value for key, value in head.items() if value is not ...}, json.dumps(payload).encode(), algorithm, key
    )


def _with_material(member: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JWK with the public half of the key of its id, and a certificate where the issuer publishes one."""
    kind = member.get("crv") or "RSA"
    key = key_of(member["kid"], kind)
    made = {**member, **{name: value for name, value in to_jwk(key).items() if name not in member}}
    if "x5c" in member and isinstance(key, rsa.RSAPrivateKey):
        made["x5c"] = [_certificate(member["kid"])]
    return made


@functools.cache
def _certificate(kid: str) -> str:
    key = key_of(kid)
    assert isinstance(key, rsa.RSAPrivateKey)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer.example")])
    day = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, day, day + datetime.timedelta(days=3650))
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )
    return base64.b64encode(made).decode()
