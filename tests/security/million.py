"""Decide a million requests, each with a token of its own; print the process's memory early and at the end, in MiB.

`python -m tests.security.million good|bad [NUMBER]`
"""

from __future__ import annotations

import hashlib
import hmac
import os
import sys

from gateway.policy.cache import VerifiedTokens
from gateway.policy.decision import Allow, Deny, decide
from gateway.policy.jwk import Key
from gateway.policy.key_lookup import Keys, NoKey
from gateway.policy.model import Headers, RequestHead
from gateway.policy.providers import KeySource
from gateway.policy.routes import Policy, Route
from gateway.policy.rules import Authenticated
from gateway.policy.upstreams import Upstream
from tests.minting import NOW, OTHER_SECRET, SECRET, b64
from tests.running import SHARED
from tests.security.meter import memory_mib

_HEAD = b64('{"alg":"HS256","typ":"JWT"}')
_ROUTE = Route(
    "/api", ("api",), Upstream("default", "http://127.0.0.1:1"), providers=(SHARED,), allow=(Authenticated(),)
)


class _NoKeys(Keys):
    def find(self, source: KeySource, kid: str | None, algorithm: str, now: float) -> Key | NoKey:
        return NoKey(fetch_may_help=False, is_outage=True)


def main(kind: str, count: int = 1_000_000) -> None:
    """Decide `count` requests; each must come out as its kind."""
    policy, keys = Policy([_ROUTE]), _NoKeys()
    policy.verified = VerifiedTokens(4 * 1024 * 1024)  # full within the first tenth
    signer = hmac.new(SECRET if kind == "good" else OTHER_SECRET, digestmod=hashlib.sha256)
    expected = Allow if kind == "good" else Deny
    early = 0.0
    for number in range(count):
        payload = b64(f'{{"sub":"user-{number}"}}')
        signed = f"{_HEAD}.{payload}"
        signature = signer.copy()
        signature.update(signed.encode())
        line = f"Bearer {signed}.{b64(signature.digest())}"
        head = RequestHead("GET", "/api/x", Headers([("Host", "a"), ("Authorization", line)]), "192.0.2.1", "https")
        for _ in range(2 if kind == "good" else 1):  # one that comes twice is kept
            decision = decide(policy, keys, head, NOW)
            assert isinstance(decision, expected), decision
        if number == count // 10:
            early = memory_mib(os.getpid())
    print(early, memory_mib(os.getpid()))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], *(int(number) for number in sys.argv[2:]))
