"""The events of a YAML text: read by libyaml where it surely reads the same, by PyYAML's own parser everywhere else.

libyaml takes a twentieth of the time, but takes a few texts that the other refuses (tabs where blanks are meant), says
less well what is wrong, and is not in every build of PyYAML. So PyYAML's own reading stays the one that counts: a text
with anything that the two are known to read in two ways, and each that is no YAML to libyaml, is read by it alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

_MAX_DEPTH = 64  # the time that libyaml takes for brackets in brackets grows with the square of their depth
_COMMENT_BEHIND_HEAD = re.compile("[|>][-+0-9]*#")  # of a block: `|#`


def events_of(text: str) -> Iterator[yaml.Event]:
    """Return the events of a text. Raises what PyYAML's own parser raises, where it does, while they are read."""
    loader = yaml.CSafeLoader if _is_read_alike(text) else yaml.SafeLoader
    return yaml.parse(text, Loader=loader)


def _is_read_alike(text: str) -> bool:
    # Tabs, rarer ends of lines and marks of byte order are none that can be printed.
    is_plain = text.replace("\r\n", "").replace("\n", "").isprintable() and not _COMMENT_BEHIND_HEAD.search(text)
    if not is_plain or not yaml.__with_libyaml__:
        return False
    depth = 0
    try:
        # Read twice rather than kept: the events of a megabyte are many.
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _MAX_DEPTH or not _is_alike(event):
                return False
    except (yaml.YAMLError, ValueError):
        return False
    return True


def _is_alike(event: yaml.Event) -> bool:
    """Return whether both parsers give this event: tags, empty values (their place) and `?` in plain text differ."""
    match event:
        case yaml.ScalarEvent():
            is_plain = not event.style
            return event.tag is None and not (is_plain and (not event.value or "?" in event.value))
        case yaml.CollectionStartEvent():
            return event.tag is None
        case _:
            return True
