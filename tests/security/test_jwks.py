"""Key servers that lie or break, and what becomes of tokens then.

`expect: unsure` of a case: the good key's tokens may pass or not, a forger's never.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.security.casebook import Case, cases
from tests.security.forge import jwk
from tests.security.issuers import Issuers, issuers
from tests.security.judge import Reached
from tests.security.rig import Keys, KeyServer
from tests.security.tally import Tally

CASES = cases("jwks")


def keys_of(spec: dict[str, Any], bait: str) -> Keys:
    """Return what the key server of a case answers."""
    members = [_member(entry, spec.get("of")) for entry in spec.get("keys", [])] * spec.get("copies", 1)
    body = spec["body"].encode("latin-1") if "body" in spec else None
    headers = dict(spec.get("headers", {}))
    if "redirect" in spec:
        headers["Location"] = spec["redirect"].replace("{bait}", bait).replace("{file}", "file:///dev/null")
    if "gzip" in spec:
        body = gzip.compress(json.dumps({"keys": members, "pad": "x" * spec["gzip"]}).encode(), 1)
    return Keys(members, spec.get("status", 200), body, headers)


def _member(entry: Any, of: str | None) -> Any:
    if isinstance(entry, str):
        return jwk(entry)
    if "raw" in entry:
        return entry["raw"]
    return jwk(entry.pop("of", of), **entry)


@pytest.fixture(scope="module")
def bait() -> Iterator[KeyServer]:
    """A server that only redirects name; it has a forger's keys."""
    server = KeyServer()
    server.paths["/jwks"] = Keys([jwk("evil", kid="rsa-1")])
    yield server
    server.close()


@pytest.fixture(scope="module")
def all_sets(tmp_path_factory: pytest.TempPathFactory, bait: KeyServer) -> Iterator[Issuers]:
    """One gateway with a provider for each case."""
    sets = {f"set{number}": keys_of(case.spec, bait.url) for number, case in enumerate(CASES)}
    with issuers(tmp_path_factory.mktemp("jwks"), sets, {"cooldown": "1s", "timeout": "5s"}) as made:
        yield made


@pytest.mark.parametrize(("number", "case"), list(enumerate(CASES)), ids=[case.id for case in CASES])
def test_case(all_sets: Issuers, bait: KeyServer, tally: Tally, number: int, case: Case) -> None:
    with tally.of(case):
        answer = all_sets.call(f"set{number}", {**case.spec["token"], **_only(case.spec, "alg")})
        seen = all_sets.upstream.take()
        assert all_sets.server.paths[f"/set{number}"].fetches, "the case's key server was never asked"
        if case.spec["expect"] == "pass":
            assert answer.status == 200, answer.raw
            return
        if seen or answer.status == 200:
            raise Reached(f"let in: {answer.raw[:200]!r}")
        assert answer.status in (401, 503), answer.raw
        assert bait.connections == 0, "a redirect was followed to another origin"


def _only(spec: dict[str, Any], name: str) -> dict[str, Any]:
    return {name: spec[name]} if name in spec else {}


def test_a_bad_key_set_stops_nobody_else(all_sets: Issuers) -> None:
    good = next(number for number, case in enumerate(CASES) if case.id == "jwks.ok[rsa1]")
    assert all_sets.call(f"set{good}").status == 200
    assert "Traceback" not in all_sets.log.read_text()
