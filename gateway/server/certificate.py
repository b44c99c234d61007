"""When a certificate ends."""

from __future__ import annotations

from pathlib import Path


def expires_at(certificate_file: Path) -> float:
    """Return the moment, in Unix seconds, at which the first certificate of a PEM file ends: the server's own.

    Raises OSError, or ValueError for what is no certificate.
    """
    from cryptography import x509  # here: only who serves TLS waits for it

    return x509.load_pem_x509_certificate(certificate_file.read_bytes()).not_valid_after_utc.timestamp()
