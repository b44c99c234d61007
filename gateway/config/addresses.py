"""Readers of addresses: URLs, hosts and ports, networks, header names, files."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import idna

from gateway.config.model import Address
from gateway.config.readers import Mistake, Scalar

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 section 5.6.2
DEFAULT_PORTS = {"http": 80, "https": 443}


def is_loopback(host: str) -> bool:
    """True for 127.0.0.0/8, ::1 and `localhost`."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_same_place(one: Address | Path, other: Address | Path | None) -> bool:
    """True if two listeners cannot both be had: the same port, on the same host or on all of them."""
    if not isinstance(one, Address) or not isinstance(other, Address) or one.port == 0 or one.port != other.port:
        return False
    wildcards = {"0.0.0.0", "::"}  # noqa: S104  # compared, not listened on
    return one.host == other.host or bool(wildcards & {one.host, other.host})


def host_of(text: str) -> str:
    """Return a host in lower case, a Unicode name in IDNA. Raises `Mistake`."""
    if "%" in text:
        raise Mistake("with a '%' in the host")
    try:
        return ip_address(text).compressed
    except ValueError:
        pass
    try:
        name = text.lower() if text.isascii() else idna.encode(text, uts46=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError):
        raise Mistake("with a host that no domain can have") from None
    if not _HOST_NAME.fullmatch(name) or len(name) > 253 or re.fullmatch(r"[0-9.]+", name):
        raise Mistake("with a host that is no name and no address")
    return name


def split_url(text: str) -> SplitResult:
    """Return the parts of an http or https address with a good host and port. Raises `Mistake`."""
    if re.search(r"[\x00-\x20\x7f\\]", text):
        raise Mistake("with a space, backslash or control character")
    if "://" not in text:
        meant = f"without a scheme (did you mean '{likely_scheme(text)}://{text}'?)"
        raise Mistake(meant if _HOST_NAME.match(text) else "")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise Mistake("with a host or port that cannot be") from None
    if parts.scheme not in DEFAULT_PORTS:
        raise Mistake("with another scheme than http and https")
    if "@" in parts.netloc:
        raise Mistake("with a user or password (they would end in logs)")
    if not parts.hostname or port == 0 or parts.netloc.endswith(":"):
        raise Mistake("without a host" if not parts.hostname else "with a port that cannot be")
    host_of(parts.hostname)
    return parts


def likely_scheme(text: str) -> str:
    """Return the scheme of an address that was written without one: plain for this machine and names of a container."""
    host = text.partition("/")[0].partition(":")[0]
    return "http" if is_loopback(host) or "." not in host else "https"


def origin_of(parts: SplitResult) -> str:
    """Return `scheme://host[:port]`, the way a browser writes an origin."""
    host = host_of(parts.hostname or "")
    shown = f"[{host}]" if ":" in host else host
    port = parts.port
    suffix = "" if port is None or port == DEFAULT_PORTS.get(parts.scheme) else f":{port}"
    return f"{parts.scheme}://{shown}{suffix}"


def _upstream_url(text: str) -> str:
    parts = split_url(text)
    if parts.path not in ("", "/") or parts.query or parts.fragment or text.endswith(("?", "#")):
        raise Mistake("with a path or query (the path of a request is passed on as it came)")
    return origin_of(parts)


def _key_url(text: str) -> str:
    split_url(text)
    if "{" in text or "}" in text:
        raise Mistake("with a brace: it is one address for every issuer ('issuer' alone finds each one's by discovery)")
    return text


def _address(text: str) -> Address:
    found = re.fullmatch(r"(\[[^\[\]]*\]|[^\[\]:]*):([0-9]{1,5})", text)
    if found is None:
        if re.fullmatch(r"[0-9]{1,5}", text):
            raise Mistake(f"(did you mean ':{text}'?)")
        if text.count(":") > 1 and "[" not in text:
            raise Mistake("(an IPv6 address stands in [ ])")
        raise Mistake
    host, port = found[1], int(found[2])
    if port > 65535:
        raise Mistake("with a port over 65535")
    if host.startswith("["):
        if ":" not in host:
            raise Mistake("with something else than an IPv6 address in [ ]")
        return Address(host_of(host[1:-1]), port)
    return Address(host_of(host) if host else "0.0.0.0", port)  # noqa: S104  # `:8080` asks for it


_MAPPED = IPv6Network("::ffff:0:0/96")


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(text)
    except ValueError:
        pass
    else:
        if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
            # Addresses are read so: a rule about the mapped form would meet none.
            return IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
        return network
    try:
        raise Mistake(f"with bits set beyond its length (did you mean '{ip_network(text, strict=False)}'?)")
    except Mistake:
        raise
    except ValueError:
        raise Mistake from None


def _header_name(text: str) -> str:
    if not _HEADER_NAME.fullmatch(text):
        raise Mistake("with a character that no header name has")
    return text


UPSTREAM_URL = Scalar("an address such as http://mastra:4111, without a path", _upstream_url)
KEY_URL = Scalar("an address such as https://login.example.com/keys.json", _key_url)
ADDRESS = Scalar("host:port, such as 0.0.0.0:8080, [::1]:8080 or :8080", _address)
NETWORK = Scalar("a network such as 10.0.0.0/8, or an address", _network)
HEADER_NAME = Scalar("a header's name such as X-Auth-Email", _header_name)
