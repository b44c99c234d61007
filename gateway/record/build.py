"""How this copy was built: pure, or with shared objects beside the sources they were made of (mypyc).

`setup.py` reads this file by itself, where nothing is installed yet: it imports the standard library only.
"""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Literal

# What a request passes by. Left out is what is called seldom, and what cannot be: an Enum with a constructor of its own
# (`policy/reasons.py`) raises a TypeError when it is imported; a class with a base that is not compiled
# (`record/logs.py`) leaves weak references that nobody clears, and the collector crashes on them; what the stubs of
# aiohttp's parser say is not so (`http1/llhttp.py`), and compiled code believes them.
COMPILED = {
    "policy": (
        "addresses asked budgets cache callers claim_names claim_values claims clerk conditions cookies credentials "
        "decision denied emails expressions fields freshness guard issuers jwk key_lookup likeness machine_keys "
        "machines mastra_roles memory model onward organizations origins parameters paths providers resources routes "
        "rules seen session studio token upstreams verify words"
    ),
    "config": "model",
    "keys": "entry store",
    "record": "batches counters ids metrics outcome reachability sender subject",
    "http1": "arrivals body fields forms memory request response",
    "proxy": (
        "cors delivery dialects enquiry errand event_stream exchange frames headers heads holding host identity life "
        "living owned parting question refusal runtime silence states told tunnel turns unreachable upload verdict "
        "waiting wire"
    ),
    "transport": "asking client cork hangup limits listener pool room upstream",
    "server": "errands gateway",
}
ROOT = Path(__file__).parent.parent


def compiled_sources(root: Path = ROOT) -> list[Path]:
    """Return the modules that are compiled, where anything is."""
    return [root / package / f"{name}.py" for package, names in COMPILED.items() for name in names.split()]


def shared_object_of(source: Path) -> Path | None:
    """Return the shared object that Python takes in place of a source."""
    found = (source.with_name(source.stem + suffix) for suffix in EXTENSION_SUFFIXES)
    return next((path for path in found if path.exists()), None)


def build() -> Literal["compiled", "pure"]:
    """Return how this copy was built."""
    return "pure" if shared_object_of(ROOT / "proxy" / "exchange.py") is None else "compiled"


def outdated(root: Path = ROOT) -> list[Path]:
    """Return the sources of a checkout that are newer than their shared object, or have none beside the others.

    What is edited in the former has no effect. None where this is no checkout: an installer writes both in any order.
    """
    if not (root.parent / "pyproject.toml").exists():
        return []
    pairs = [(source, shared_object_of(source)) for source in compiled_sources(root)]
    has_some = any(shared is not None for _, shared in pairs)
    return [
        source for source, shared in pairs
        if (has_some if shared is None else source.stat().st_mtime > shared.stat().st_mtime)
    ]  # fmt: skip
