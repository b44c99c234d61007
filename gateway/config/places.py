"""Where the keys of a file stand, for whoever finds a mistake in what the file means to somebody else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from gateway.config.document import ConfigError, Fields, Items, Node, Place, Source
from gateway.config.env_file import surroundings_of
from gateway.config.parse import decode, parse
from gateway.config.reading import Reading, attempt

Keys = Sequence[str | int]  # ("providers", "people", "token_from", 1)


class Places:
    """Mistakes found in a `Config` after it was read, each at its key: the file is read once more for the places.

    Raises `OSError` where the file is gone meanwhile, `ConfigError` where it is too large or no text.
    """

    def __init__(self, file: Path, environment: Mapping[str, str]) -> None:
        text = decode(str(file), file.read_bytes())
        self._reading = Reading(Source(str(file), text), surroundings_of(file, environment).variables, file.parent)
        self._root = attempt(parse, text, self._reading)

    def refuse(self, keys: Keys, message: str, note: str = "") -> None:
        """Collect a mistake. It stands at the key, or as near to it as the file goes; at its beginning if nowhere."""
        self._reading.add(self._place_of(keys), message, note)

    def error(self) -> ConfigError | None:
        """Return every mistake in the order of the file, or None."""
        return None if self._reading.is_clean else self._reading.error()

    def has(self, keys: Keys) -> bool:
        """True if the file has this key."""
        return len(self._way(keys)) == len(keys)

    def _place_of(self, keys: Keys) -> Place:
        way = self._way(keys)
        if not way:
            return Place(1, 1, "")
        node = way[-1]
        path = node.key_place.path or node.place.path
        at = node.place if isinstance(keys[len(way) - 1], int) else node.key_place
        return Place(at.line, at.column, path)

    def _way(self, keys: Keys) -> list[Node]:
        """Return the values on the way to a key, as far as there are any."""
        found: list[Node] = []
        node: Node | None = self._root
        for key in keys:
            if isinstance(node, Fields) and isinstance(key, str):
                node = node.get(key)
            elif isinstance(node, Items) and isinstance(key, int) and key < len(node.members):
                node = node.members[key]
            else:
                break
            if node is None:
                break
            found.append(node)
        return found
