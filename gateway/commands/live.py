"""`gateway check --live`: whether the Studio that each upstream serves works through the gateway."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.commands.fetching import UnfetchedError, fetched_of_upstream
from gateway.commands.printing import counted, print_lines
from gateway.config.model import Config
from gateway.policy.upstreams import Upstream

_MAX_BYTES: Final = 1024 * 1024  # of a page
_SECONDS: Final = 5.0
_SAID: Final = re.compile(
    rb"\bMASTRA_(AUTO_DETECT_URL|SERVER_PROTOCOL|SERVER_HOST|SERVER_PORT)\s*=\s*'([^'\s<]{0,255})'"
)
_PARTS: Final = ("SERVER_PROTOCOL", "SERVER_HOST", "SERVER_PORT")
_WAY_OUT: Final = "set MASTRA_AUTO_DETECT_URL=true in Mastra's environment"


@dataclass(frozen=True, slots=True)
class Seen:
    """What an upstream's `GET /` showed.

    `studio`: `here` (its page calls where it was opened), `past` (it calls `points_to`), `none` (no page of Studio),
    None: it could not be asked. `is_mark`: somebody should look at it.
    """

    upstream: Upstream
    studio: str | None
    words: str
    points_to: str | None = None
    is_mark: bool = False


def look_at_upstreams(config: Config) -> list[Seen]:
    """Return what each upstream shows, asked one after the other."""
    own = config.policy.login.public_url if config.policy.login is not None else None
    return [_look_at(upstream, own) for upstream in config.upstreams]


def print_seen(seen: Sequence[Seen]) -> None:
    """Print it for people."""
    lines = [
        (f"{one.upstream.name} ({one.upstream.url}): {one.words}", "yellow" if one.is_mark else "") for one in seen
    ]
    marks = sum(one.is_mark for one in seen)
    print_lines([*lines, (f"{counted(len(seen), 'upstream')} asked, {counted(marks, 'mark')}", "")])


def report_of_seen(seen: Sequence[Seen]) -> list[dict[str, Any]]:
    """Return it as `--json` prints it."""
    return [
        {
            "upstream": one.upstream.name,
            "url": one.upstream.url,
            "studio": one.studio,
            "points_to": one.points_to,
            "mark": one.is_mark,
            "words": one.words,
        }
        for one in seen
    ]


def _look_at(upstream: Upstream, own: str | None) -> Seen:
    try:
        page = fetched_of_upstream(f"{upstream.url}/", upstream.constants, upstream.ca_file, _MAX_BYTES, _SECONDS)
    except UnfetchedError as problem:
        if problem.status is not None:
            return Seen(upstream, "none", f"no page at / (status {problem.status})")
        return Seen(upstream, None, f"cannot be asked ({problem.why})", is_mark=True)
    said = {name.decode(): value.decode("utf-8", "replace") for name, value in _SAID.findall(page)}
    detects = said.get("AUTO_DETECT_URL")
    if detects is None:
        return Seen(upstream, "none", "no page of Studio at /")
    hint = "" if upstream.studio is not None else "; 'studio: {allow: ...}' on the upstream lets it know who logged in"
    if detects == "true":
        return Seen(upstream, "here", f"Studio's page calls where it was opened{hint}")
    where = "{}://{}:{}".format(*(said.get(name, "?") for name in _PARTS))
    if own is not None and own in (where, where.removesuffix(":443").removesuffix(":80")):
        return Seen(upstream, "here", f"Studio's page calls {where}, the gateway's public address{hint}", where)
    words = f"Studio's page calls {where}, past the gateway unless that is the gateway's own address: {_WAY_OUT}"
    return Seen(upstream, "past", words, where, is_mark=True)
