"""A private authority for tests, and the certificate of a server by it."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.keyserver import private_key, private_pem

HOST = "login.corp.example"  # no resolver knows it


def private_authority(folder: Path, name: str = "root") -> dict[str, Path]:
    """Write an authority (`ca`), and `certificate` and `key` of a server of it: 127.0.0.1 and `HOST`."""
    root, leaf = private_key(name, "P-256"), private_key(f"{name}-leaf", "P-256")
    files = {part: folder / f"{name}-{part}.pem" for part in ("ca", "certificate", "key")}
    files["ca"].write_bytes(_certificate(name, name, root, root, names=None))
    files["certificate"].write_bytes(_certificate("leaf", name, leaf, root, names=[HOST]))
    files["key"].write_bytes(private_pem(leaf))
    return files


def _certificate(name: str, by_name: str, key: Any, by: Any, names: list[str] | None) -> bytes:
    now = datetime.datetime.now(datetime.UTC)
    begin, end = now - datetime.timedelta(days=1), now + datetime.timedelta(days=1)
    subject, issuer = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one)]) for one in (name, by_name))
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(begin).not_valid_after(end)
    made = made.add_extension(x509.BasicConstraints(names is None, None), critical=True)
    made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    made = made.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
    if names is not None:
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        alternatives = x509.SubjectAlternativeName([address, *map(x509.DNSName, names)])
        made = made.add_extension(alternatives, critical=False)
    assert isinstance(by, ec.EllipticCurvePrivateKey)
    return made.sign(by, SHA256()).public_bytes(Encoding.PEM)
