"""Many mutated inputs, one after the other, and what was found."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import yaml

from tests.fuzz import pure, wire
from tests.fuzz.mutate import mutated
from tests.fuzz.wire import Finding
from tests.secrecy import leaks_in
from tests.security.bench import Bench

CORPUS = Path(__file__).with_name("corpus")
_WIRE_PER_ROUND, _PURE_PER_ROUND = 20, 40
_MAX_FINDINGS = 20
_CREDENTIAL = re.compile(r"(?i)(?:authorization|cookie|sec-websocket-protocol):")


@dataclass(frozen=True)
class Found:
    """An input that does what must not be done. `part` is `wire` or a function of `pure`."""

    part: str
    data: bytes
    why: str
    seed: int

    def text(self) -> str:
        """Return it as a person reads it."""
        return f"{self.part}: {self.why}\n  {self.data!r}\n  seed {self.seed}"

    def keep(self) -> None:
        """Write it to the corpus."""
        name = f"{self.part}-{hashlib.sha256(self.data).hexdigest()[:8]}.yaml"
        record = {"part": self.part, "why": self.why, "seed": self.seed, "data": self.data.decode("latin-1")}
        (CORPUS / name).write_text(yaml.safe_dump(record, allow_unicode=False))


def _puts_a_token_into_a_path(data: bytes) -> bool:
    """True if a token stands where no token is looked for: the log shows a path, whatever a client writes into it."""
    lines = (line for line in data.decode("latin-1").splitlines() if not _CREDENTIAL.match(line))
    return any(leaks_in(line.partition("?")[0]) for line in lines)


class Campaign:
    """Tries input until told to stop. The same seed tries the same input, but for the time that is in its tokens."""

    def __init__(self, bench: Bench, seed: int) -> None:
        self.findings: list[Found] = []
        self._bench, self._seed, self._random = bench, seed, Random(seed)
        self._requests = wire.seeds(bench)
        self._seeds = {name: pure.seeds(name, self._requests) for name in pure.CHECKS}
        self._tried: Counter[str] = Counter()

    def round(self) -> None:
        """Try some input of each kind."""
        for _ in range(_WIRE_PER_ROUND):
            data = mutated(self._random, self._random.choice(self._requests), self._requests)
            if _puts_a_token_into_a_path(data):
                continue
            cuts = [self._random.randint(0, len(data)) for _ in range(self._random.choice((0, 0, 1, 3)))]
            half_closes = self._random.random() < 0.5
            self._try("wire", data, partial(wire.check, self._bench, cuts=cuts, half_closes=half_closes))
        self._try("wire", b"", lambda _: wire.check_alive(self._bench))
        for name, seeds in self._seeds.items():
            for _ in range(_PURE_PER_ROUND if name != "file" else 2):
                data = mutated(self._random, self._random.choice(seeds), seeds)
                self._try(name, data, partial(pure.check, name))

    def summary(self) -> str:
        """Return what was tried."""
        tried = ", ".join(f"{name} {count}" for name, count in sorted(self._tried.items()))
        return f"{self._tried.total()} inputs tried ({tried}), {len(self.findings)} findings, seed {self._seed}"

    def _try(self, part: str, data: bytes, check: Callable[[bytes], None]) -> None:
        self._tried[part] += 1
        try:
            check(data)
        except Finding as why:
            if len(self.findings) < _MAX_FINDINGS:
                self.findings.append(Found(part, _smaller(data, check), str(why), self._seed))


def _smaller(data: bytes, check: Callable[[bytes], None]) -> bytes:
    """Return a smaller input that is still a finding: pieces are left out, ever smaller ones."""
    size = len(data) // 2
    while size:
        place = 0
        while place < len(data):
            shorter = data[:place] + data[place + size :]
            try:
                check(shorter)
                place += size
            except Finding:
                data = shorter
        size //= 2
    return data
