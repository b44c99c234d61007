"""Why an upstream gives no connection, in words that say what to check."""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from typing import Final

from gateway.policy.upstreams import Upstream

_NUMBER: Final = re.compile(r"\[Errno (\d+)\]")
_NO_WAY: Final = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN})
_OUT_OF_DESCRIPTORS: Final = frozenset({errno.EMFILE, errno.ENFILE})


def why_unreachable(problem: OSError) -> str:
    """Return what is wrong, behind the upstream's name and address, and what to check."""
    match problem:
        case ssl.SSLCertVerificationError(verify_message=why):
            return f"its certificate is not accepted ({why}): check the name in `url`, and `ca_file`"
        case ssl.SSLError():
            return "no TLS there: check whether `url` should begin with http://"
        case socket.gaierror():
            return f"the name cannot be resolved ({problem.strerror}): check its spelling, and the DNS of this machine"
    number = problem.errno or _number_in(str(problem))
    if number == errno.ECONNREFUSED:
        return "the connection is refused: check that it runs, and listens on that port and address"
    why = os.strerror(number) if number else type(problem).__name__
    if number in _NO_WAY:
        return f"no way there ({why}): check the address, the network and its firewalls"
    if number in _OUT_OF_DESCRIPTORS:
        return f"no connection could be made ({why}): raise the limit of open files (`ulimit -n`) of the gateway"
    return f"no connection ({why}): check the address, and that it runs"


def no_connection_within(upstream: Upstream) -> str:
    """Return what is wrong where nothing came back in time, not even a refusal."""
    seconds = upstream.connect_timeout_seconds
    return f"no connection within {seconds:g} s (`connect_timeout`): check the address, the network and its firewalls"


def no_answer_within(upstream: Upstream) -> str:
    """Return what is wrong where a request was taken, and nothing came back in time."""
    seconds = upstream.response_timeout_seconds
    return f"no head of a response within {seconds:g} s: see what it waits for, or raise `response_timeout`"


def _number_in(text: str) -> int | None:
    # Several addresses failed: the loop tells them all in one text, without a number of its own.
    found = _NUMBER.search(text)
    return None if found is None else int(found[1])
