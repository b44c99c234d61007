"""The certificate of the public port: taken, taken anew while serving, and when it ends."""

from __future__ import annotations

import ssl

from gateway.config.model import Tls
from gateway.transport.plain_http import ServerContext


class CertificateError(Exception):
    """A certificate or its key that cannot be used."""


def server_context(tls: Tls | None) -> ssl.SSLContext | None:
    """Return what the public port shakes hands with; None without TLS. Raises `CertificateError`."""
    if tls is None:
        return None
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    load_certificate(context, tls)
    return context


def load_certificate(context: ssl.SSLContext, tls: Tls) -> None:
    """Have new connections get this certificate. Raises `CertificateError`, and nothing has changed then."""
    try:
        # First on the side: a certificate whose key does not fit would leave the live context without either.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.certificate_file, tls.key_file)
        context.load_cert_chain(tls.certificate_file, tls.key_file)
    except (OSError, ssl.SSLError) as problem:
        raise CertificateError(f"cannot use {tls.certificate_file} with {tls.key_file}: {problem}") from None


def end_of_certificate(tls: Tls | None) -> float | None:
    """Return the moment, in Unix seconds, at which the server's own certificate ends; None if nobody can tell."""
    if tls is None:
        return None
    from cryptography import x509  # here: only who serves TLS waits for it

    try:
        return x509.load_pem_x509_certificate(tls.certificate_file.read_bytes()).not_valid_after_utc.timestamp()
    except (OSError, ValueError):  # OpenSSL has taken it: whatever it is, it is no reason not to serve
        return None
