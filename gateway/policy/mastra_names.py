"""What a path of Mastra's names, an agent, a tool, a workflow, and what else in a request could take its place.

Mastra calls its handlers with the parts of the path, the query and the body laid over each other, the last one on
top: `POST /api/agents/open/generate?agentId=secret` has `secret` answer, and so has `"agentId"` in its body. Where
rules go by such a name, the one that was judged has to be the one that is served.

Source: @mastra/deployer, `server`: `handlerParams`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final

from gateway.policy.denied import Denied
from gateway.policy.enquiries import Sent
from gateway.policy.json_edits import Drop, read_object
from gateway.policy.mastra_routes import PREFIX, Row, row_of, rows
from gateway.policy.own_query import Query, folded
from gateway.policy.paths import Path, split_target
from gateway.policy.reasons import Reason

Names = Mapping[str, int]  # folded, and which segment of the path each stands for
NO_NAMES: Final[Names] = {}


def names_in(row: Row, prefix: Sequence[str] = PREFIX) -> Names:
    """Return the names of what a row's path stands for, and where in the whole path each is."""
    depth = len(prefix)
    return {folded(text): depth + at for at, text in enumerate(row.segments) if text.startswith(":")}


def named_row_of(method: str, segments: Sequence[str], prefix: Sequence[str]) -> Row | None:
    """Return the row of Mastra's route that takes a request and names something; None: nothing is named.

    It is nobody's: of a request to it only what the path names is seen to.
    """
    row = row_of(method, segments, prefix)
    return None if row is None else _nobodys().get((row.method, row.path))


def about_what_is_named(row: Row, prefix: Sequence[str], target: str, body: bytes | None) -> Sent:
    """Return what goes on of a request to such a row: nothing in it takes the place of what its path names.

    `target` is in canonical form; `body` None: there is none, or it is not read. Raises `Denied` (BODY_MALFORMED).
    """
    names = names_in(row, prefix)
    path, query_text = split_target(target)
    query = Query(query_text)
    query.without(names)
    document = read_object(body) if body is not None and body.strip() else None
    drops = [] if document is None else [Drop((name,)) for name in document.value if folded(name) in names]
    edited = None if document is None or not drops else document.with_edits(drops)
    return Sent(path.text + query.text, edited, "none")


def check_query(names: Names, path: Path, query: str) -> None:
    """Refuse a query that names another thing than the path does. Raises `Denied` (TARGET_AMBIGUOUS)."""
    asked = Query(query)
    for name in asked.names:
        at = names.get(name)
        if at is not None and asked.values(name) != [path.decoded(at)]:
            raise Denied(Reason.TARGET_AMBIGUOUS, f"the query says '{name}', which the path says otherwise")


@cache
def _nobodys() -> Mapping[tuple[str, str], Row]:
    return {
        (row.method, row.path): Row(
            row.method, row.path, row.permission, "none", tuple(one for one in row.carriers if one.kind == "upload")
        )
        for row in rows()
        if names_in(row)
    }
