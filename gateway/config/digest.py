"""Which configuration it is: a digest of what a file says, the same for whoever says the same in another spelling."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from gateway.config.document import Fields, Items, Node, Text, without_secrets
from gateway.policy.providers import Provider, issuers_of

_DOMAIN: Final = b"mastra-auth-gateway configuration 1\n"
# 128 bits: two files of one digest are not found by trying, also not by who writes both.
_HEX_DIGITS: Final = 32
_NEVER_JUDGES: Final = frozenset({"tests"})
_SECRET: Final = "a secret"  # noqa: S105  # what stands in its place


def digest_of(root: Fields, providers: Iterable[Provider], judged_by: Sequence[bytes]) -> str:
    """Return the digest of a file: of its values with their variables replaced, and of the files of keys that it names.

    Comments, spacing, quotes and the order of keys are nothing to it, and neither are `tests`. A secret is not in it:
    it is printed, and whoever reads it must not be able to try secrets out. `judged_by`: what such files say.
    """
    kept = [entry for entry in root.entries if entry.key.text not in _NEVER_JUDGES]
    digest = hashlib.sha256(_DOMAIN)
    parts = (canonical(Fields(root.place, root.key_place, tuple(kept))), *map(_resolved, providers), *sorted(judged_by))
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:_HEX_DIGITS]


def canonical(node: Node) -> bytes:
    """Return a value in the one spelling that all of the same meaning have."""
    return json.dumps(_plain(node), sort_keys=True, separators=(",", ":")).encode()


def _resolved(provider: Provider) -> bytes:
    """Return whose tokens count, as far as the environment may have said it under a name that is not in the file."""
    keys = [[source.issuer, source.jwks_uri] for source in provider.key_sources()]
    said = [provider.name, provider.kind, issuers_of(provider), sorted(provider.audiences or ()), keys]
    return json.dumps(said, separators=(",", ":")).encode()


def _plain(node: Node) -> Any:
    match node:
        case Fields():
            return {entry.key.text: _plain(entry.value) for entry in node.entries}
        case Items():
            return [_plain(member) for member in node.members]
        case Text():
            if node.is_nothing:
                return None
            return _SECRET if node.is_secret else without_secrets(node.text)
