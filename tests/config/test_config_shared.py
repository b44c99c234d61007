"""`shared:`, each mistake at its place; and no password in any of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.model import Shared
from tests.configuring import BASE, SECRET, full, mistakes, read

CA = {"ca.pem": b"-----BEGIN CERTIFICATE-----\n"}


def _file(shared: str) -> str:
    return "\n".join([*BASE.values(), f"shared: {shared}"])


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("{url: 'redis://redis'}", Shared("redis")),
        ("{url: 'redis://redis:6380/3'}", Shared("redis", 6380, 3)),
        ("{url: '${URL}'}", Shared("10.0.0.7", 7000, 0, True, "gw", "p@/ss")),
        ("{url: 'rediss://[::1]/', ca_file: ca.pem}", Shared("::1", has_tls=True, ca_file=Path("ca.pem"))),
        (
            f"{{url: 'redis://redis', timeout: 20ms, if_down: refuse, secret: {SECRET}}}",
            Shared("redis", timeout_seconds=0.02, if_down="refuse", secret=SECRET.encode()),
        ),
    ],
    ids=["a host", "a port and a database", "a variable with a password", "TLS and IPv6", "all of it"],
)
def test_what_a_store_becomes(written: str, meant: Shared) -> None:
    config = read(_file(written), {"URL": "rediss://gw:p%40%2Fss@10.0.0.7:7000"}, CA)
    assert config.shared == meant


def test_it_is_shown_without_user_and_password() -> None:
    shared = read(_file("{url: 'rediss://gw:hunter22@[::1]:7000/2'}")).shared
    assert shared is not None
    assert shared.where == "rediss://[::1]:7000/2"
    assert "hunter22" not in repr(shared)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{if_down: local}", "'url' is missing"),
        ("{url: 'redis://h', if_down: block}", "found 'block', expected local or refuse (did you mean 'local'?)"),
        ("{url: 'redis://h', timeout: 6s}", "found '6s' which is more than 5s"),
        ("{url: 'redis://h', timout: 50ms}", "unknown key (did you mean 'timeout'?)"),
        ("{url: 'redis://h', ca_file: ca.pem}", "found 'ca_file' with an address of redis://, expected rediss://"),
        ("{url: 'redis://h', secret: short}", "openssl rand"),
        (f"{{url: 'redis://h', secret: {SECRET}, secret_file: ca.pem}}", "expected one of them"),
    ],
)  # fmt: skip
def test_mistakes_beside_the_address(written: str, said: str) -> None:
    try:
        read(_file(written), {}, {**CA, "ca.pem": CA["ca.pem"] + SECRET.encode()})
    except ValueError as error:
        assert said in str(error)
    else:
        raise AssertionError("it was read")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://:hunter22@h", "with another scheme than redis and rediss"),
        ("redis://:hunter22@h?ssl_cert_reqs=none", "with a query or fragment"),
        ("redis://:hunter22@h#x", "with a query or fragment"),
        ("redis://:hunt/er22@h", "written %2F for /, %40 for @"),
        ("redis://:hunter22@x@h", "with more than one @"),
        ("redis://:hunter22@h/main", "with something else than the number of a database"),
        ("redis://hunter22@h", "with a user and no password"),
        ("redis://:hunter22@h:0", "with a port that cannot be"),
        ("redis://:hunter22@", "without a host"),
        ("redis://:hunter22@h_-/", "with a host that is no name and no address"),
        ("redis://:hunter22@h x", "with a space"),
        ("hunter22", "with another scheme"),
    ],
)
def test_no_mistake_in_the_address_shows_it(url: str, said: str) -> None:
    for text, environment in ((f"{{url: '{url}'}}", {}), ("{url: '${URL}'}", {"URL": url})):
        [found] = mistakes(_file(text), environment)
        assert said in found
        printed = full(_file(text), environment)
        assert "hunter22" not in printed and "er22" not in printed
