"""Why an upstream gives no connection: each cause with what to check, never an exception's own text."""

from __future__ import annotations

import errno
import os
import socket
import ssl

import pytest

from gateway.proxy.unreachable import no_answer_within, no_connection_within, why_unreachable
from tests.running import upstream_at


def _untrusted() -> ssl.SSLCertVerificationError:
    problem = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED]")
    problem.verify_message = "self-signed certificate"
    return problem


SEVERAL = (
    "Multiple exceptions: [Errno 111] Connect call failed ('::1', 9), [Errno 111] Connect call failed ('127.0.0.1', 9)"
)


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        pytest.param(ConnectionRefusedError(errno.ECONNREFUSED, "x"), "refused: check that it runs", id="refused"),
        pytest.param(OSError(SEVERAL), "refused: check that it runs", id="refused-at-several-addresses"),
        pytest.param(
            socket.gaierror(-2, "Name or service not known"), "cannot be resolved (Name or serv", id="no-name"
        ),
        pytest.param(OSError(errno.EHOSTUNREACH, "x"), "no way there (No route to host)", id="no-way"),
        pytest.param(OSError(errno.EMFILE, "x"), "(`ulimit -n`)", id="too-many-files"),
        pytest.param(_untrusted(), "not accepted (self-signed certificate): check", id="certificate"),
        pytest.param(ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]"), "no TLS there", id="no-tls"),
        pytest.param(OSError(errno.EPIPE, "x"), f"no connection ({os.strerror(errno.EPIPE)})", id="another"),
        pytest.param(OSError("odd"), "no connection (OSError)", id="without-a-number"),
    ],
)
def test_cause_is_told_with_what_to_check(problem: OSError, words: str) -> None:
    told = why_unreachable(problem)
    assert words in told and "Errno" not in told and len(told) < 150


def test_times_are_told_with_the_setting_that_changes_them() -> None:
    upstream = upstream_at("http://x", connect_timeout_seconds=1.5, response_timeout_seconds=190.0)
    assert "no connection within 1.5 s (`connect_timeout`)" in no_connection_within(upstream)
    assert "within 190 s" in no_answer_within(upstream) and "`response_timeout`" in no_answer_within(upstream)
