"""Readers of shared secrets and of mounted files. What a secret holds is in no message."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gateway.config.document import Node, Place
from gateway.config.readers import Schema, text_of
from gateway.config.reading import Reading
from gateway.policy.secrets import check_encoded_secret, check_secret, from_base64

WAY_OUT = "a good one: openssl rand -base64 48"


@dataclass(frozen=True, slots=True)
class _Secret:
    """A secret written in the file, or better: the name of a variable that holds it."""

    is_checked: bool = True

    def read(self, node: Node, reading: Reading) -> bytes:
        secret = text_of(node, reading, "a secret of at least 32 bytes").text.encode()
        if self.is_checked:
            check_at(node.place, secret, reading)
        return secret

    def schema(self) -> Schema:
        return {"type": "string"}


@dataclass(frozen=True, slots=True)
class _SecretFile:
    """A mounted secret. A line break at its end is none of it."""

    is_checked: bool = True

    def read(self, node: Node, reading: Reading) -> bytes:
        path = text_of(node, reading, "the path of a file")
        _, content = reading.mounted(path)
        secret = content.removesuffix(b"\n").removesuffix(b"\r")
        if self.is_checked:
            check_at(node.place, secret, reading)
        return secret

    def schema(self) -> Schema:
        return {"type": "string"}


@dataclass(frozen=True, slots=True)
class _PemFile:
    """The path of a readable file that holds what its label says."""

    label: bytes
    expected: str

    def read(self, node: Node, reading: Reading) -> Path:
        path, content = reading.mounted(text_of(node, reading, f"the path of {self.expected}"))
        if self.label not in content or b"-----BEGIN " not in content:
            reading.refuse(node, f"the file holds something else, expected {self.expected}")
        return path

    def schema(self) -> Schema:
        return {"type": "string"}


def check_at(place: Place, secret: bytes, reading: Reading, name: str = "") -> None:
    """Refuse a weak secret. `name` is that of the variable where the file did not name it."""
    why = check_secret(secret)
    if why is not None:
        reading.refuse_at(place, f"{name}: {why}" if name else why, WAY_OUT)


def decoded_at(place: Place, written: bytes, encoding: str | None, reading: Reading, name: str = "") -> bytes:
    """Return the bytes of a secret as `secret_encoding` says; refuse a weak one, and what is not encoded so."""
    if encoding != "base64":
        check_at(place, written, reading, name)
        return written
    why = check_encoded_secret(written)
    if why is not None:
        reading.refuse_at(place, f"{name}: {why}" if name else why, WAY_OUT)
    secret = from_base64(written) or b""
    check_at(place, secret, reading, f"{name}, decoded" if name else "decoded")
    return secret


SECRET = _Secret()
SECRET_FILE = _SecretFile()
# What they hold is checked by `decoded_at`, with what stands beside them.
ENCODED_SECRET = _Secret(is_checked=False)
ENCODED_SECRET_FILE = _SecretFile(is_checked=False)
CERTIFICATE_FILE = _PemFile(b"CERTIFICATE-----", "a PEM file with a certificate")
KEY_FILE = _PemFile(b"PRIVATE KEY-----", "a PEM file with a private key")
