"""Public keys in PEM: what counts, and what must not lie in such a file."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.policy.jwk import KeySetError, read_key_set
from gateway.policy.pem import read_pem_keys
from tests.keyserver import certificate_pem, private_key, private_pem, public_pem, to_jwk


@pytest.mark.parametrize(
    ("kind", "algorithm"),
    [("RSA", "RS256"), ("P-256", "ES256"), ("P-384", "ES384"), ("P-521", "ES512"), ("Ed25519", "EdDSA")],
)
def test_key_in_pem_is_the_one_of_a_jwks(kind: str, algorithm: str) -> None:
    private = private_key("pem", kind)
    (key,) = read_pem_keys(public_pem(private))
    published = read_key_set(b'{"keys": [%s]}' % json.dumps(to_jwk(private)).encode()).find(None, algorithm)
    assert published is not None
    assert (key.thumbprint, key.algorithms, key.kid) == (published.thumbprint, published.algorithms, key.thumbprint)


def test_several_keys_of_a_file_come_in_its_order_and_once() -> None:
    one, two = public_pem(private_key("one", "P-256")), public_pem(private_key("two", "P-256"))
    keys = read_pem_keys(b"# rotated in May\n" + two + b"\n" + one + two)
    assert [key.thumbprint for key in keys] == [read_pem_keys(two)[0].thumbprint, read_pem_keys(one)[0].thumbprint]


def test_key_in_the_older_form_of_rsa_is_read() -> None:
    public = private_key("pem").public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    older = public.public_bytes(Encoding.PEM, PublicFormat.PKCS1)
    assert read_pem_keys(older)[0].thumbprint == read_pem_keys(public_pem(private_key("pem")))[0].thumbprint


def test_of_a_certificate_the_key_counts() -> None:
    private = private_key("pem", "P-256")
    assert read_pem_keys(certificate_pem(private))[0].thumbprint == read_pem_keys(public_pem(private))[0].thumbprint


def test_private_key_is_refused_with_its_line_wherever_it_stands() -> None:
    private = private_key("pem", "P-256")
    with pytest.raises(KeySetError, match=r"^line \d+: found a private key, .* expected the public one") as caught:
        read_pem_keys(public_pem(private) + private_pem(private))
    lines_before = public_pem(private).count(b"\n")
    assert str(caught.value).startswith(f"line {lines_before + 1}:")


@pytest.mark.parametrize("label", ["RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "OPENSSH PRIVATE KEY"])
def test_private_key_of_every_form_is_refused(label: str) -> None:
    with pytest.raises(KeySetError, match="private key"):
        read_pem_keys(f"-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n".encode())


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"", "found no public key"),
        (b"ssh-rsa AAAA", "found no public key"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n", "found no public key"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "line 1: found a block that cannot be read"),
        (
            b"\n-----BEGIN CERTIFICATE-----\n\xff\n-----END CERTIFICATE-----",
            "line 2: found a block that cannot be read",
        ),
        (public_pem(private_key("small", "RSA1024")), "an RSA key of 1024 bits"),
        (
            ec.generate_private_key(ec.SECP256K1())
            .public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            "none of P-256, P-384, P-521",
        ),
    ],
    ids=range(7),
)
def test_what_cannot_verify_is_said(document: bytes, said: str) -> None:
    # A key of a file is held to what a key of a key server is held to: RFC 7518 section 3.3.
    with pytest.raises(KeySetError, match=said):
        read_pem_keys(document)
