"""When the certificate of the public port ends."""

from __future__ import annotations

from gateway.config.model import Tls


def end_of_certificate(tls: Tls | None) -> float | None:
    """Return the moment, in Unix seconds, at which the server's own certificate ends; None if nobody can tell."""
    if tls is None:
        return None
    from cryptography import x509  # here: only who serves TLS waits for it

    try:
        return x509.load_pem_x509_certificate(tls.certificate_file.read_bytes()).not_valid_after_utc.timestamp()
    except (OSError, ValueError):  # OpenSSL has taken it: whatever it is, it is no reason not to serve
        return None
