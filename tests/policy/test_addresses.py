"""Whose address a request comes from."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.addresses import MAX_HOPS, UNKNOWN, canonical_address, client_of, is_within, read_address

TRUSTED = (ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
PROXY = "10.0.0.1"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.9", "192.0.2.9"),
        ("192.0.2.9:443", "192.0.2.9"),  # Azure Application Gateway, IIS ARR
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:DB8::1]:443", "2001:db8::1"),
        ("2001:db8:0::1", "2001:db8::1"),
        ("::ffff:10.0.0.9", "10.0.0.9"),
        ("[::ffff:10.0.0.9]:1", "10.0.0.9"),
        ("fe80::1%eth0", "fe80::1"),
        ("192.0.2.9:\uff18\u0660", UNKNOWN),  # digits, but none of HTTP's
        ("[2001:db8::1]:\u0661", UNKNOWN),
        ("unknown", UNKNOWN),  # Squid
        ("", UNKNOWN),
        ("_hidden", UNKNOWN),  # RFC 7239 section 6.3
        ("10.0.0", UNKNOWN),
        ("010.0.0.1", UNKNOWN),
        ("10.0.0.1:", UNKNOWN),
        ("10.0.0.1:123456", UNKNOWN),
        ("[10.0.0.1", UNKNOWN),
        ("167772161", UNKNOWN),
        ("0x0a000001", UNKNOWN),
        ("10.0.0.1 ", UNKNOWN),
        ("for=10.0.0.1", UNKNOWN),
        ("localhost", UNKNOWN),
        ("10.0.0.9%", UNKNOWN),
        ("10.0.0.9%eth0", UNKNOWN),  # IPv4 has no zones
        ("\u0661\u0660.0.0.1", UNKNOWN),
    ],
)
def test_address_has_one_reading(text: str, address: str) -> None:
    assert canonical_address(text) == address
    assert (read_address(text) is None) is (address == UNKNOWN)
    assert is_within(text, [ip_network("0.0.0.0/0"), ip_network("::/0")]) is (None if address == UNKNOWN else True)


@pytest.mark.parametrize(
    ("peer", "values", "client", "chain"),
    [
        ("192.0.2.1", ["6.6.6.6"], "192.0.2.1", "192.0.2.1"),
        (PROXY, [], PROXY, PROXY),
        (PROXY, ["192.0.2.9"], "192.0.2.9", f"192.0.2.9, {PROXY}"),
        (PROXY, ["6.6.6.6, 192.0.2.9"], "192.0.2.9", f"192.0.2.9, {PROXY}"),
        (PROXY, ["6.6.6.6", "192.0.2.9"], "192.0.2.9", f"192.0.2.9, {PROXY}"),
        (PROXY, ["192.0.2.9, 10.0.0.7"], "192.0.2.9", f"192.0.2.9, 10.0.0.7, {PROXY}"),
        (PROXY, ["192.0.2.9,, 10.0.0.7, "], "192.0.2.9", f"192.0.2.9, 10.0.0.7, {PROXY}"),
        (PROXY, ["8.8.8.8, ::ffff:10.0.0.9"], "8.8.8.8", f"8.8.8.8, 10.0.0.9, {PROXY}"),
        (PROXY, ["8.8.8.8:443"], "8.8.8.8", f"8.8.8.8, {PROXY}"),
        (PROXY, ["[2001:db8::1]:443"], "2001:db8::1", f"2001:db8::1, {PROXY}"),
        ("::ffff:10.0.0.1", ["192.0.2.9"], "192.0.2.9", "192.0.2.9, ::ffff:10.0.0.1"),
        (PROXY, ["10.0.0.8, 10.0.0.7"], "10.0.0.8", f"10.0.0.8, 10.0.0.7, {PROXY}"),
        (PROXY, ["unknown"], UNKNOWN, f"unknown, {PROXY}"),
        (PROXY, ["6.6.6.6, unknown, 10.0.0.7"], UNKNOWN, f"unknown, 10.0.0.7, {PROXY}"),
        (PROXY, [""], UNKNOWN, f"unknown, {PROXY}"),
        (PROXY, [" , ,"], UNKNOWN, f"unknown, {PROXY}"),
        (PROXY, ["192.0.2.9; x"], UNKNOWN, f"unknown, {PROXY}"),
    ],
)
def test_client_is_the_first_that_is_no_trusted_proxys(peer: str, values: list[str], client: str, chain: str) -> None:
    assert client_of(peer, values, TRUSTED) == (client, chain)


def test_only_so_many_are_read_from_the_right() -> None:
    full = ", ".join(["6.6.6.6", *["10.0.0.7"] * (MAX_HOPS - 1)])
    assert client_of(PROXY, [full], TRUSTED)[0] == "6.6.6.6"
    client, chain = client_of(PROXY, ["6.6.6.6", full.replace("6.6.6.6", "10.0.0.7")], TRUSTED)
    assert (client, chain.count(",")) == (UNKNOWN, MAX_HOPS + 1)
    assert client_of(PROXY, ["1," * 15_000 + "192.0.2.9"], TRUSTED)[0] == "192.0.2.9"
    assert client_of(PROXY, ["," * 30_000], TRUSTED)[0] == UNKNOWN


ADDRESSES = st.sampled_from(
    [
        "192.0.2.9",
        "192.0.2.9:1",
        "[2001:db8::1]",
        "10.0.0.7",
        "::ffff:10.0.0.7",
        "unknown",
        "",
        " ",
        "1",
        "10.0.0.7:x",
        "a b",
    ]
)


@given(st.lists(st.lists(ADDRESSES | st.text(max_size=6), max_size=40).map(",".join), min_size=1, max_size=3))
def test_for_all_chains_the_client_is_never_the_proxy_that_told_it(values: list[str]) -> None:
    client, chain = client_of("10.9.9.9", values, TRUSTED)
    assert client != "10.9.9.9"
    assert chain.startswith(f"{client}, ") and chain.endswith(", 10.9.9.9")
    before = chain.split(", ")[1:]
    assert all(is_within(hop, TRUSTED) for hop in before), "nothing that a stranger wrote stands behind the client"
    # What a further stranger writes in front changes nothing, unless all that follows are proxies.
    if client != UNKNOWN and not is_within(client, TRUSTED):
        assert client_of("10.9.9.9", ["6.6.6.6, evil", *values], TRUSTED) == (client, chain)
