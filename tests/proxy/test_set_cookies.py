"""What a response may set: any cookie but those of the gateway's sessions, however a browser would be told of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.config.model import Cors
from gateway.http1.response import Responses
from gateway.policy.cookies import sets_one_of
from gateway.policy.session import sealed_names
from gateway.proxy.headers import is_response_line_forwarded
from gateway.proxy.heads import response_head
from gateway.proxy.runtime import Runtime
from tests.configuring import read
from tests.login.house import file_for
from tests.proxy.test_heads import read as read_request
from tests.proxy.test_heads import runtime_with

NAMES = frozenset(sealed_names("gateway"))
OURS = [
    "gateway=evil",
    "gateway=evil; Path=/api; Domain=example.com; Secure",
    "gateway=; Max-Age=0",
    "gateway",
    "gateway; Max-Age=0",
    " gateway =evil",
    "\tgateway\t= evil",
    "Gateway=evil",
    "GATEWAY.1=evil",
    "gateway.3=evil",
    "gateway-login.0=evil",
    "gateway-login.15=evil; Path=/",
    "=gateway=evil",
    " = gateway = evil",
    "=gateway",
    "gateway=a=b",
    'gateway="evil"',
]
OTHERS = [
    "theme=dark",
    "theme=gateway=1",
    "gateways=1",
    "xgateway=1",
    "gateway.4=1",
    "gateway-login.16=1",
    "a=b; gateway=evil",
    '"gateway"=1',
    "==gateway=1",
    "",
    "=",
    ";gateway=1",
]


@pytest.mark.parametrize("line", OURS)
def test_line_that_sets_a_cookie_of_ours_is_known(line: str) -> None:
    assert sets_one_of(line, NAMES)


@pytest.mark.parametrize("line", OTHERS)
def test_line_that_sets_another_is_let_be(line: str) -> None:
    assert not sets_one_of(line, NAMES)


@pytest.mark.parametrize("cors", [None, Cors(frozenset({"https://app.example.com"}))])
@pytest.mark.parametrize("said", [b"", b"Set-Cookie: gateway=next\r\n"])
@pytest.mark.parametrize("name", [b"Set-Cookie", b"set-cookie", b"SET-COOKIE"])
def test_such_lines_stop_and_all_others_pass(cors: Cors | None, said: bytes, name: bytes) -> None:
    config = replace(read(file_for("https://login.example.com", "http://127.0.0.1:9")), cors=cors)
    lines = b"".join(b"%b: %b\r\n" % (name, line.encode("latin-1")) for line in [*OURS, *OTHERS])
    arrived = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + lines + b"X-Last: 1\r\n"
    request = read_request(runtime_with(cors), ["Origin: https://app.example.com"])
    response = Responses(is_response_line_forwarded).read(arrived)
    assert response is not None
    written = response_head(Runtime(config, {}), request, response, "ours", said)
    set_lines = [line for line in written.split(b"\r\n") if line.lower().startswith(b"set-cookie:")]
    assert [line for line in set_lines if b"gateway=next" not in line] == [
        b"%b: %b" % (name, one.strip().encode()) for one in OTHERS
    ]
    assert set_lines.count(b"Set-Cookie: gateway=next") == (1 if said else 0)
    assert written.startswith(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n") and b"\r\nX-Last: 1\r\n" in written


def test_without_a_login_nothing_is_looked_at() -> None:
    runtime = runtime_with()
    response = Responses(is_response_line_forwarded).read(b"HTTP/1.1 200 OK\r\nSet-Cookie: gateway=1\r\n")
    assert response is not None
    assert runtime.sealed_cookies == frozenset()
    assert b"Set-Cookie: gateway=1" in response_head(runtime, read_request(runtime, []), response, "ours")
