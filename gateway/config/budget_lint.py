"""What budgets that are valid probably do not mean."""

from __future__ import annotations

from gateway.config import server
from gateway.config.budgets import BUDGETS, Budgets
from gateway.config.decisions import DECISIONS
from gateway.config.document import Fields
from gateway.config.reading import Reading
from gateway.config.records import Values
from gateway.config.shared import SHARED


def lint_budgets(values: Values, budgets: Budgets, reading: Reading) -> None:
    """Collect the warnings about the budgets of a file without mistakes."""
    node = values.get(BUDGETS) and values.node(BUDGETS)
    if not isinstance(node, Fields) or budgets.known is None:
        return
    workers = values.get(server.WORKERS, 1) or server.count_cores()
    if workers > 1 and SHARED not in values:
        said = f"each of the {workers} workers counts for itself, so up to {workers} times as much passes"
        reading.warn(values.key_place(BUDGETS), f"{said}: name a Redis in 'shared:', or have one worker")
    for entry in node.entries:
        name, one = entry.key.text, budgets.known.get(entry.key.text)
        if one is None or one.failures is not None:
            continue
        if name not in budgets.used:
            reading.warn(entry.key.place, f"no route uses the budget '{name}'")
        elif one.streams is not None and DECISIONS in values:
            said = f"the streams of '{name}' are not counted for engines that ask at 'decisions'"
            reading.warn(entry.key.place, f"{said}: they do not say when a stream ends")
