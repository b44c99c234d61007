"""Whose address a request comes from: read in one way, by rules, logs, and the chain that goes on to the upstream."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

UNKNOWN: Final = "unknown"  # what Squid writes for an address that it does not tell
# Of a chain no more is read, whoever wrote it: each proxy adds one, and nobody has so many (CWE-400).
MAX_HOPS: Final = 32

_NETWORK_BITS: Final = 64  # of an IPv6 address: whoever has one has all behind it

Network = IPv4Network | IPv6Network

# Azure's Application Gateway and IIS add the port; others put IPv6 into brackets, with or without one.
_WITH_PORT: Final = re.compile(r"([0-9]+\.[0-9]+\.[0-9]+\.[0-9]+):[0-9]{1,5}")
_IN_BRACKETS: Final = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?")


def read_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return an address without port, brackets and zone, an IPv4-mapped one as IPv4; None for what is none."""
    found = _WITH_PORT.fullmatch(text) or _IN_BRACKETS.fullmatch(text)
    try:
        # A zone is of this machine only, and IPv4 has none (RFC 4007 section 11).
        address = ip_address(found[1] if found is not None else text.partition("%")[0] if ":" in text else text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def canonical_address(text: str) -> str:
    """Return an address as it is written everywhere; `unknown` for what is none."""
    address = read_address(text)
    return str(address) if address is not None else UNKNOWN


def network_of(text: str) -> str:
    """Return what counts as one address: of IPv6, the network that one subscriber is given; `unknown` for none."""
    address = read_address(text)
    if isinstance(address, IPv6Address):
        return f"{int(address) >> _NETWORK_BITS:x}/{_NETWORK_BITS}"
    return UNKNOWN if address is None else str(address)


def is_within(text: str, networks: Sequence[Network]) -> bool | None:
    """Return whether an address is in one of these networks; None for what is no address."""
    address = read_address(text)
    return None if address is None else any(address in network for network in networks)


def client_of(peer: str, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> tuple[str, str]:
    """Return the client's address, and the chain to send on, which begins with it.

    `peer` is who is connected; `forwarded_for` the values of `X-Forwarded-For`, in the order they came. Nobody's word
    counts but that of a trusted proxy: from the right, the first address that is none of theirs is the client's, and
    what stands before it is a stranger's. What cannot be read there is `unknown`, never the proxy: an `ip` rule that
    means the proxies must not let the world in (CVE-2026-76835 and its kind).
    """
    if not is_within(peer, trusted) or not forwarded_for:
        return peer, peer
    chain = [peer]
    for text in _from_the_right(forwarded_for):
        if len(chain) > MAX_HOPS:
            break
        address = read_address(text)
        if address is None:
            break
        chain.insert(0, str(address))
        if not any(address in network for network in trusted):
            return chain[0], ", ".join(chain)
    else:
        if len(chain) > 1:  # all of them are trusted proxies: the first one asks by itself
            return chain[0], ", ".join(chain)
    return UNKNOWN, ", ".join([UNKNOWN, *chain])


def _from_the_right(values: Sequence[str]) -> Iterator[str]:
    """Yield the members of a list of values from its end; empty ones do not count (RFC 9110 section 5.6.1)."""
    for value in reversed(values):
        for piece in reversed(value.rsplit(",", 2 * MAX_HOPS)):
            text = piece.strip(" \t")
            if text:
                yield text
