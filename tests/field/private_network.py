"""What stands between a gateway and its issuer in a private network: an authority of one's own, a proxy out."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.keyserver import private_key
from tests.security.rig import TIMEOUT_SECONDS, Listener

HOST = "login.corp.example"  # a name that nobody knows but the proxy


def private_authority(folder: Path, name: str = "authority") -> ssl.SSLContext:
    """Write `NAME.pem`, a private authority; return the context of a server with a certificate of its.

    The certificate is for localhost, 127.0.0.1 and `HOST`.
    """
    authority, server = private_key(name, "P-256"), private_key(f"{name}-server", "P-256")
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"Private {name}")])
    now = datetime.now(UTC)
    key_id = x509.SubjectKeyIdentifier.from_public_key(authority.public_key())
    names = [x509.DNSName("localhost"), x509.DNSName(HOST), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
         "decipher_only"), False,
    )  # fmt: skip
    signs = x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, **usage)

    def builder(subject: x509.Name, serial: int) -> x509.CertificateBuilder:
        made = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).serial_number(serial)
        return made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))

    root = builder(issuer, 1).public_key(authority.public_key()).add_extension(x509.BasicConstraints(True, None), True)
    root = root.add_extension(signs, True).add_extension(key_id, False)
    leaf = builder(x509.Name([]), 2).public_key(server.public_key())
    leaf = leaf.add_extension(x509.SubjectAlternativeName(names), True)
    leaf = leaf.add_extension(x509.BasicConstraints(False, None), True)
    leaf = leaf.add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id), False)
    (folder / f"{name}.pem").write_bytes(root.sign(authority, hashes.SHA256()).public_bytes(Encoding.PEM))
    pair = folder / f"{name}-server.pem"
    private = server.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pair.write_bytes(private + leaf.sign(authority, hashes.SHA256()).public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    return context


class EgressProxy(Listener):
    """The only way out: tunnels to `HOST`, by CONNECT (RFC 9110 section 9.3.6); `asked` are the targets."""

    def __init__(self, port: int) -> None:
        self.asked: list[str] = []
        self._target_port = port
        super().__init__(self._tunnel)

    def _tunnel(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (piece := client.recv(65536)):
                return
            head += piece
        method, target = head.decode("latin-1").split(" ")[:2]
        self.asked.append(f"{method} {target}")
        if method != "CONNECT" or target.rpartition(":")[0] != HOST:
            client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", self._target_port), TIMEOUT_SECONDS) as server:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            up = threading.Thread(target=_pump, args=(client, server), daemon=True)
            up.start()
            _pump(server, client)
            up.join(TIMEOUT_SECONDS)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
