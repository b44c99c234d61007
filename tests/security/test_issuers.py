"""Issuers of many tenants, keys in files, and documents that lead elsewhere: who is believed, and who is asked.

The operator's credential for the key server is a header; it must reach the key server and nobody else.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.keyserver import public_pem
from tests.processes import gateway_process
from tests.security.casebook import Case, cases, parameters
from tests.security.forge import AUDIENCE, ISSUER, jwk, key_named, token_for
from tests.security.judge import Reached, judge_refusal
from tests.security.rig import Answer, Listener, Upstream, exchange
from tests.security.strict import Reader
from tests.security.tally import Tally

CASES = cases("issuers")
CREDENTIAL = "kS8-credential-of-the-key-server"
LOGIN = "https://login.example.test"


class Documents(Listener):
    """Answers a path with a document, or leads elsewhere; what it has not is a 404. Keeps which paths were asked."""

    def __init__(self) -> None:
        self.documents: dict[str, Any] = {}
        self.redirects: dict[str, str] = {}
        self.asked: list[str] = []
        self.credentials: list[str] = []  # that came with a request
        self._lock = threading.Lock()
        super().__init__(self._serve_document)

    def _serve_document(self, connection: Any) -> None:
        request = Reader(lambda: connection.recv(65536)).request()
        if request is None:
            return
        with self._lock:
            self.asked.append(request.target)
            self.credentials += request.all("X-Key-Server")
        lines = ["HTTP/1.1 404 Said"]
        body = b"{}"
        if request.target in self.redirects:
            lines = ["HTTP/1.1 302 Said", f"Location: {self.redirects[request.target]}"]
        elif request.target in self.documents:
            lines, body = ["HTTP/1.1 200 Said"], json.dumps(self.documents[request.target]).encode()
        head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "Connection: close", "", ""])
        connection.sendall(head.encode("latin-1", "replace") + body)


class Peers:
    """A gateway with every route of the cases, the key server behind it, and the bait."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.upstream, self.idp, self.bait = Upstream(), Documents(), Documents()
        for one in (self.upstream, self.idp, self.bait):
            stack.callback(one.close)
        for tenant, key in (("ann", "rsa1"), ("bob", "rsa2")):
            own = f"{self.idp.url}/{tenant}"
            path = f"/{tenant}/v2.0/.well-known/openid-configuration"
            self.idp.documents[path] = {"issuer": f"{own}/v2.0", "jwks_uri": f"{own}/keys"}
            self.idp.documents[f"/{tenant}/keys"] = {"keys": [jwk(key, kid="k")]}
        self.idp.documents["/shared"] = {"keys": [jwk("rsa1")]}
        forged = {"keys": [jwk("evil", kid="rsa-1")]}
        self.bait.documents.update({f"/case{number}/keys": forged for number in range(len(CASES))})
        self.bait.documents["/keys"] = forged
        (folder / "jwks.json").write_text(json.dumps({"keys": [jwk("rsa1")]}))
        for name, key in (("one", "rsa1"), ("two", "ec1")):
            (folder / f"{name}.pem").write_bytes(public_pem(key_named(key)))
        providers = self._providers(folder)
        for number, case in enumerate(CASES):
            if "at" not in case.spec:
                providers[f"own{number}"] = {"issuer": f"{self.idp.url}/own{number}"}
                self._publish(number, case.spec)
        base = {
            "type": "oidc",
            "audience": AUDIENCE,
            "algorithms": ["RS256", "ES256"],
            "jwks": {"headers": {"X-Key-Server": CREDENTIAL}, "cooldown": "100ms"},
        }
        configuration = {
            "upstream": self.upstream.url,
            "providers": {
                name: {key: value for key, value in {**base, **own}.items() if value is not None}
                for name, own in providers.items()
            },
            "routes": {f"/{name}": {"provider": name, "allow": "authenticated"} for name in providers},
        }
        text = "".join(f"{key}: {json.dumps(value)}\n" for key, value in configuration.items())
        url, self.log = stack.enter_context(gateway_process(text, folder))
        self.port = urlsplit(url).port or 0

    def _providers(self, folder: Path) -> dict[str, dict[str, Any]]:
        idp = self.idp.url
        return {
            "tenants": {"issuer": f"{idp}/{{tid}}/v2.0", "max_issuers": 50},
            "shared": {"issuer": f"{LOGIN}/{{tid}}/v2.0", "jwks_uri": f"{idp}/shared"},
            "list": {"issuer": [f"{idp}/ann/v2.0", f"{idp}/bob/v2.0"]},
            "file": {"issuer": ISSUER, "jwks_file": str(folder / "jwks.json"), "jwks": None},
            "pem": {
                "issuer": ISSUER,
                "public_key_files": [str(folder / f"{name}.pem") for name in ("one", "two")],
                "jwks": None,
            },
        }

    def _publish(self, number: int, spec: dict[str, Any]) -> None:
        own = f"/own{number}"
        names = self.names(number)
        self.idp.documents[f"{own}/.well-known/openid-configuration"] = _filled(spec["metadata"], names)
        self.idp.documents[f"{own}/keys"] = {"keys": [jwk("rsa1")]}
        for where, to in spec.get("redirect", {}).items():
            path = {"metadata": ".well-known/openid-configuration"}.get(where, where)
            self.idp.redirects[f"{own}/{path}"] = _filled(to, names)

    def names(self, number: int) -> dict[str, str]:
        """Return what the names in braces of a case stand for."""
        at = CASES[number].spec.get("at")
        return {
            "{idp}": self.idp.url,
            "{bait}": f"{self.bait.url}/case{number}",
            "{own}": f"{self.idp.url}/own{number}",
            "{base}": LOGIN if at == "shared" else self.idp.url,
            "{idp_port}": str(self.idp.port),
            "{bait_host}": f"127.0.0.1:{self.bait.port}",
        }

    def call(self, number: int) -> Answer:
        """Send the request of a case."""
        spec = CASES[number].spec
        token = _filled(spec["token"], self.names(number))
        if "at" not in spec:
            token["claims"] = {"iss": f"{self.idp.url}/own{number}", **token.get("claims", {})}
        if spec["kid"] == "<absent>":
            token["header"] = {**token.get("header", {}), "kid": "<absent>"}
        else:
            token["kid"] = spec["kid"]
        text = token_for(token, time.time())
        target = f"/{spec.get('at', f'own{number}')}"
        return exchange(
            self.port, f"GET {target} HTTP/1.1\r\nHost: gw.test\r\nAuthorization: Bearer {text}\r\n\r\n".encode()
        )


def _filled(value: Any, names: dict[str, str]) -> Any:
    match value:
        case str():
            for name, text in names.items():
                value = value.replace(name, text)
            return value
        case list():
            return [_filled(member, names) for member in value]
        case dict():
            return {_filled(key, names): _filled(member, names) for key, member in value.items()}
        case _:
            return value


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peers]:
    with ExitStack() as stack:
        yield Peers(stack, tmp_path_factory.mktemp("issuers"))


NUMBERS = {case.id: number for number, case in enumerate(CASES)}
# Every address that the file stands for: the tenants that tokens may name, and what each case has of its own.
TENANTS = ("ann", "bob", "nobody", "eve", "mallory")


def is_expected(path: str) -> bool:
    """Return whether the file stands for a path of the key server."""
    begins = ("/shared", "/own", *(f"/{name}/" for name in TENANTS))
    inserted = tuple(f"/.well-known/oauth-authorization-server/{name}/v2.0" for name in TENANTS)
    return path.startswith(begins) or path.startswith((*inserted, "/.well-known/oauth-authorization-server/own"))


@pytest.mark.parametrize("case", parameters(CASES))
def test_case(peers: Peers, tally: Tally, case: Case) -> None:
    with tally.of(case):
        answer = peers.call(NUMBERS[case.id])
        seen = peers.upstream.take()
        strange = [path for path in peers.idp.asked if not is_expected(path)]
        if strange or CREDENTIAL in peers.bait.credentials:
            raise Reached(f"asked for {strange[:3]}, {len(peers.bait.credentials)} credentials at the bait")
        if case.spec["expect"] == "pass":
            assert answer.status == 200, answer.raw
            return
        led = [path for path in peers.bait.asked if path.startswith(f"/case{NUMBERS[case.id]}/") or path == "/keys"]
        if case.spec["expect"] == "unsent":
            assert led, "the case's document was never followed"
            return
        if led:
            raise Reached("the bait was asked")
        if seen or answer.status == 200:
            raise Reached(f"let in: {answer.raw[:200]!r}")
        judge_refusal(answer)
        assert answer.status in ((401,) if case.spec["expect"] == 401 else (401, 503)), answer.raw
        if "at" not in case.spec:
            assert f"/own{NUMBERS[case.id]}/.well-known/openid-configuration" in peers.idp.asked


def test_who_must_have_the_credential_has_it_and_no_log_does(peers: Peers) -> None:
    control = next(case for case in CASES if case.id == "issuers.ok.shared[ann]")
    assert peers.call(NUMBERS[control.id]).status == 200
    assert CREDENTIAL in peers.idp.credentials
    logged = peers.log.read_text()
    assert CREDENTIAL not in logged and "Traceback" not in logged
