"""Origins as a file writes them: whole, or with one `*` where nobody else can put a page."""

from __future__ import annotations

import re
from functools import lru_cache

from publicsuffixlist import PublicSuffixList

from gateway.config.addresses import DEFAULT_PORTS, origin_of, split_url
from gateway.config.readers import Mistake, Scalar

STAR = "*"
_PLACEHOLDER = "0star0"  # in the star's place while the rest is read
_SHAPE = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#@\s\\]+)(/?)", re.IGNORECASE)
_LOCAL = "localhost"  # nobody registers names below it: RFC 6761 section 6.3


def _origin(text: str) -> str:
    if text == "null":
        raise Mistake("which every sandboxed page has")
    found = _SHAPE.fullmatch(text)
    if found is None:
        raise Mistake("with a '*' alone" if text == STAR else "")
    if found[3]:
        raise Mistake(f"(did you mean '{text[:-1]}'? Origins have no closing '/')")
    is_web = found[1].lower() in DEFAULT_PORTS
    if STAR in text:
        return _pattern(text, is_web=is_web)
    return _whole(text) if is_web else text  # capacitor://localhost, chrome-extension://...


def _whole(text: str) -> str:
    scheme, _, rest = text.partition("://")
    return origin_of(split_url(f"{scheme.lower()}://{rest}"))


def _pattern(text: str, *, is_web: bool) -> str:
    """Return a pattern in its one form. Raises `Mistake` where its `*` could be somebody else's page."""
    if text.count(STAR) > 1:
        raise Mistake("with more than one '*'")
    if not is_web:
        raise Mistake("with a '*', and a scheme whose hosts nobody registers")
    read = _whole(text.replace(STAR, _PLACEHOLDER))
    host = _host_of(read)
    labels = host.split(".")
    label = next((one for one in labels if _PLACEHOLDER in one), "")
    if read.count(_PLACEHOLDER) != 1 or not label or label.startswith("xn--"):
        raise Mistake("with a '*' that stands in no label of plain ASCII")
    if labels[-1] == "":
        raise Mistake("with a dot at the end of its host")
    behind = len(labels) - 1 - labels.index(label)
    registry, shared = _suffix(host, with_private=False), _suffix(host, with_private=True)
    if labels[-1] == _LOCAL and behind:
        return read.replace(_PLACEHOLDER, STAR)
    if behind <= _count(registry):
        raise Mistake("with a '*' in the name that is registered: anybody could have such a page")
    prefix, _, suffix = label.partition(_PLACEHOLDER)
    is_spelt_out = re.search(r"\w", prefix) is not None and re.search(r"\w", suffix) is not None
    if behind < _count(shared) or (behind == _count(shared) and not is_spelt_out):
        where = shared.replace(_PLACEHOLDER, STAR)
        way_out = "(write out how your own names there begin and end: https://app-*-corp.vercel.app)"
        raise Mistake(f"with a '*' for whole names under {where}, where anybody can have one {way_out}")
    return read.replace(_PLACEHOLDER, STAR)


def shared_suffix(origin: str) -> str | None:
    """Return the suffix under which anybody can have a name that a pattern stands for; None if there is no such."""
    if STAR not in origin or origin == STAR:
        return None
    host = _host_of(origin.replace(STAR, _PLACEHOLDER))
    labels, suffix = host.split("."), _suffix(host, with_private=True)
    is_free = labels[-1] != _LOCAL and _PLACEHOLDER in labels[len(labels) - 1 - _count(suffix)]
    return suffix if is_free else None


def _host_of(origin: str) -> str:
    return origin.partition("://")[2].partition(":")[0]


def _count(suffix: str) -> int:
    return suffix.count(".") + 1


def _suffix(host: str, *, with_private: bool) -> str:
    """Return what names are registered under: `com`, `co.uk`, and with what hosts of pages give away `vercel.app`."""
    return _list(with_private=with_private).publicsuffix(host) or host


@lru_cache
def _list(*, with_private: bool) -> PublicSuffixList:
    # 80 ms: only where a file has a pattern.
    return PublicSuffixList(only_icann=not with_private)


ORIGIN = Scalar("an origin such as https://app.example.com, or with one '*' in a label", _origin)
