"""What must be true of a side before its figures count: right answers, and no for every bad token."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

from tests.bench.scenarios import Scenario
from tests.bench.setups import ORIGIN, PREFLIGHT_FIELDS, STRANGER, Place, path_of
from tests.bench.tokens import Tokens

_SECONDS = 20
_UPLOAD = bytes(range(ord("!"), ord("~"))) * 22  # of some 2 KB: it comes back in a head


class WrongAnswerError(Exception):
    """A side that answers something else than it must."""


@dataclass(frozen=True, slots=True)
class Response:
    """What came back."""

    status: int
    fields: dict[str, str]  # by their names in lower case
    body: bytes


@dataclass(frozen=True, slots=True)
class Asking:
    """Asks one side on a connection for each request."""

    place: Place

    def ask(
        self,
        method: str,
        path: str,
        token: str | None = None,
        fields: dict[str, str] | None = None,
        body: bytes | None = None,
        chunk_bytes: int = 0,
    ) -> Response:
        """Return the response of one request. Raises `OSError` and `HTTPException` where there is none."""
        connection = self._connection()
        try:
            sent = dict(fields or {}) | ({"Authorization": f"Bearer {token}"} if token is not None else {})
            if chunk_bytes and body is not None:
                pieces = _pieces_of(body, chunk_bytes)
                connection.request(method, path, pieces, sent | {"Transfer-Encoding": "chunked"}, encode_chunked=True)
            else:
                connection.request(method, path, body, sent)
            got = connection.getresponse()
            return Response(got.status, {name.lower(): value for name, value in got.getheaders()}, got.read())
        finally:
            connection.close()

    def is_up(self) -> bool:
        """Return whether the side answers at all."""
        try:
            return self.ask("GET", "/health").status == 200
        except (OSError, http.client.HTTPException):
            return False

    def _connection(self) -> http.client.HTTPConnection:
        if not self.place.setup.has_tls:
            return http.client.HTTPConnection("127.0.0.1", self.place.port, timeout=_SECONDS)
        trusted = ssl.create_default_context(cafile=self.place.folder / "gw.crt")
        trusted.minimum_version = ssl.TLSVersion.TLSv1_3
        return http.client.HTTPSConnection("localhost", self.place.port, timeout=_SECONDS, context=trusted)


def check(asking: Asking, scenario: Scenario, tokens: Tokens) -> None:
    """Return if the side does a scenario's work and refuses who must be refused. Raises `WrongAnswerError`."""
    setup, place = scenario.setup, asking.place
    fields = {"Origin": ORIGIN} if setup.has_cors else {}
    body = b"x" * 100 if scenario.method == "POST" or scenario.is_page else None
    method = "POST" if scenario.is_page else scenario.method
    path = path_of(setup, 0) if setup.routes > 1 else scenario.path
    for what, token in tokens.bad(has_secret=setup.has_secret).items():
        expected = (403,) if what == "foreign email" else (401, 403) if what == "wrong audience" else (401,)
        response = asking.ask(method, path, token, fields, body)
        _expect(response.status in expected, f"{what}: found status {response.status}, expected {expected[0]}")
        _expect(place.body.encode() not in response.body, f"{what}: found the upstream's body in a refusal")
    whole = (place.folder / "blob").read_bytes() if scenario.path == "/api/blob" else place.body.encode()
    good = tokens.good("one" if scenario.expected != 200 else scenario.tokens, setup.providers)
    for token in good:
        _expect_good(asking.ask(method, path, token, fields, body), whole, scenario)
    for number in {0, setup.routes // 2, setup.routes - 1} if setup.routes > 1 else ():
        _expect_good(asking.ask(method, path_of(setup, number), good[0]), whole, scenario)
    if setup.routes > 1:
        response = asking.ask(method, path_of(setup, setup.routes), good[0])
        _expect(response.status in (401, 403, 404), f"a path of no route: found status {response.status}")
    if setup.has_cors:
        _check_page(asking, path, good[0])
    if scenario.body_bytes and not setup.has_cors:
        came = asking.ask("POST", "/api/echo", good[0], body=_UPLOAD, chunk_bytes=scenario.chunk_bytes and 512)
        _expect(came.fields.get("x-came", "").encode() == _UPLOAD, "an upload did not arrive as it was sent")


def _expect_good(response: Response, body: bytes, scenario: Scenario) -> None:
    _expect(response.status == 200, f"a good token: found status {response.status}, expected 200")
    _expect(response.body == body, "a good token: found another body than the upstream's")
    if scenario.setup.has_https_upstream:
        version = response.fields.get("x-tls", "no TLS")
        _expect(version == "TLSv1.3", f"the upstream: found {version}, expected TLSv1.3")


def _check_page(asking: Asking, path: str, token: str) -> None:
    """Return if pages of the origin may ask, and those of strangers may not."""
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": ",".join(PREFLIGHT_FIELDS)}
    preflight = asking.ask("OPTIONS", path, fields={"Origin": ORIGIN} | asked)
    _expect(preflight.status in (200, 204), f"a preflight: found status {preflight.status}, expected 200 or 204")
    _expect(_allowed(preflight) == ORIGIN, "a preflight: found no word for its origin")
    methods = preflight.fields.get("access-control-allow-methods", "")
    _expect("POST" in methods, f"a preflight: found methods {methods!r}, expected POST among them")
    named = preflight.fields.get("access-control-allow-headers", "").lower()
    _expect(all(name in named for name in PREFLIGHT_FIELDS), f"a preflight: found headers {named!r}")
    _expect(_allowed(asking.ask("POST", path, token, {"Origin": ORIGIN}, b"{}")) == ORIGIN, "a page cannot read")
    stranger = asking.ask("OPTIONS", path, fields={"Origin": STRANGER} | asked)
    _expect(_allowed(stranger) is None, "a stranger's preflight: found a word for its origin")
    _expect(_allowed(asking.ask("POST", path, token, {"Origin": STRANGER}, b"{}")) is None, "a stranger can read")


def _allowed(response: Response) -> str | None:
    return response.fields.get("access-control-allow-origin")


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise WrongAnswerError(otherwise)


def _pieces_of(body: bytes, size: int) -> Iterator[bytes]:
    return (body[start : start + size] for start in range(0, len(body), size))
