"""Which fields of a request are set, and which go, where an engine sends it on in our place: in names, made once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from gateway.config.model import Config
from gateway.policy.fields import MASTRA_FIELD, REPLACED, TRACE, HeaderRules, Verdict, fold
from gateway.policy.memory import Remembered
from gateway.policy.upstreams import Upstream

_CREDENTIALS: Final = ("Authorization", "Cookie", "Sec-WebSocket-Protocol", MASTRA_FIELD)
# Every engine writes its own of these. Named for removal, `Upgrade` would end a WebSocket.
_ENGINES_OWN: Final = frozenset({"connection", "transfer-encoding", "upgrade", "content-length"})
# What begins as a pattern of our list does and is met in the wild: an engine that removes no beginnings removes these.
_USUAL: Final = (
    "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Server", "X-Forwarded-Ssl", "X-Forwarded-Scheme",
    "X-Forwarded-Protocol", "X-Forwarded-Prefix", "X-Forwarded-By", "X-Forwarded-Uri", "X-Forwarded-Url",
    "X-Forwarded-Path", "X-Forwarded-Method", "X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Groups",
    "X-Forwarded-Preferred-Username", "X-Forwarded-Access-Token", "X-Forwarded-Client-Cert",
    "X-Forwarded-Tls-Client-Cert", "X-Forwarded-Tls-Client-Cert-Info", "X-Forwarded-Client-Ip",
    "X-Forwarded-Original-Url", "X-Forwarded-Proto-Version", "Proxy-Authorization", "Proxy-Connection",
    "Proxy-Authenticate", "X-Clerk-Auth-Status", "X-Clerk-Auth-Reason", "X-Clerk-Auth-Message",
    "X-Clerk-Auth-Token", "X-Clerk-Auth-Signature", "X-Gateway-Peer", "X-Gateway-Target", "X-Gateway-Upstream",
    "X-Gateway-Remove", "X-Gateway-Status", "X-Gateway-Body",
)  # fmt: skip
_NAME: Final = re.compile(rb"\r\n([^:\r\n]+):[^\r]*")
_PLAIN: Final = frozenset({Verdict.KEEP, Verdict.DROP, Verdict.AUTHORIZATION})
_MAX_REMEMBERED, _MAX_REMEMBERED_BYTES = 512, 4096  # heads, by their names alone


class Seen:
    """What a head's names say, whatever its values are.

    `is_plain`: of a client's told fields it has `Authorization` at most, and it names no field away. `unnamed` have to
    go, and an engine does not remove them unless it is told their names. `removals` are what it was told, by what an
    answer has.
    """

    __slots__ = ("is_plain", "removals", "unnamed")

    def __init__(self, is_plain: bool, unnamed: tuple[str, ...]) -> None:
        self.is_plain, self.unnamed = is_plain, unnamed
        self.removals: dict[tuple[bytes, ...], bytes] = {}


class Told:
    """The names of one configuration. Compared in lower case; `told` and `stripped` have no name in common.

    `told`: an answer has these, or the request must not; `spelling` finds them by their lower case. `stripped` always
    go; `beginnings` are those of the names that go as well. `printed` are the names of the file that the engine's
    configuration was printed with, in lower case; None: those of this one. Of the others, `unprinted`, an engine knows
    nothing: neither does it take one away, nor set it.
    """

    def __init__(
        self,
        rules: HeaderRules,
        upstreams: Sequence[Upstream],
        trace: Sequence[str] = (),
        printed: frozenset[str] | None = None,
    ) -> None:
        own = [name for upstream in upstreams for name in upstream.own_names]
        self.told = _once((*_CREDENTIALS, *rules.token_names, *REPLACED, *own, *trace), ())
        patterns = rules.patterns
        whole = [name for name in patterns if not name.endswith("*") and fold(name) not in _ENGINES_OWN]
        usual = [name for name in _USUAL if any(fold(name).startswith(fold(p[:-1])) for p in patterns if p[-1] == "*")]
        self.stripped = _once((*whole, *usual), self.told)
        self.beginnings = _once([name[:-1] for name in patterns if name.endswith("*")], ())
        self.spelling = {name.lower(): name for name in self.told}
        self._verdict_of = rules.verdict_of
        of_file = [
            name.lower() for name in (*rules.token_names, *own, *trace, *rules.of_file) if not name.endswith("*")
        ]
        self.of_file = tuple(sorted(set(of_file)))
        self.unprinted = frozenset() if printed is None else frozenset(self.of_file) - printed
        removable = frozenset((*(name.lower() for name in self.stripped), *_ENGINES_OWN, *self.spelling))
        self._removable = removable - self.unprinted
        self._seen: Remembered[tuple[bytes, ...], Seen] = Remembered(_MAX_REMEMBERED)

    def must_be_named(self, name: str) -> bool:
        """True for a client's field that has to go and that an engine does not remove unless it is told its name."""
        return name.lower() not in self._removable

    def seen(self, raw: bytes) -> Seen:
        """Return what the names of a head's lines say; what they say is remembered."""
        names = tuple(_NAME.findall(raw))
        known = self._seen.known.get(names)
        if known is None:
            known = self._see([name.decode() for name in names])
            if len(raw) <= _MAX_REMEMBERED_BYTES:
                self._seen.keep(names, known)
        return known

    def removals(self, answered: frozenset[str], unnamed: Sequence[str]) -> str:
        """Return the names that have to go, for an engine whose answer has the names `answered`, in lower case."""
        set_by_it = answered - self.unprinted
        ours = (name for name in (*self.stripped, *self.told) if name.lower() not in set_by_it)
        return ", ".join((*ours, *unnamed))

    def _see(self, names: Sequence[str]) -> Seen:
        verdicts = [self._verdict_of(name) for name in names]
        is_plain = all(verdict in _PLAIN for verdict in verdicts) and not any(n.lower() == "connection" for n in names)
        gone = [name for name, verdict in zip(names, verdicts, strict=True) if verdict is Verdict.DROP]
        return Seen(is_plain, _once([name for name in gone if self.must_be_named(name)], ()))


def told_of(config: Config, printed: frozenset[str] | None = None) -> Told:
    """Return the names of a configuration, to an engine whose own was printed with these names of the file."""
    trace = TRACE if config.traces == "opentelemetry" else ()
    return Told(config.policy.header_rules, config.upstreams, trace, printed)


def _once(names: Sequence[str], but: Sequence[str]) -> tuple[str, ...]:
    known = {name.lower() for name in but}
    kept: list[str] = []
    for name in names:
        if name.lower() not in known:
            known.add(name.lower())
            kept.append(name)
    return tuple(kept)
