"""Two YAML parsers, one reading: what libyaml is asked to read, PyYAML's own parser reads alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.events import events_of

needs_libyaml = pytest.mark.skipif(not yaml.__with_libyaml__, reason="this PyYAML was built without libyaml")
EXAMPLES = sorted((Path(__file__).parents[2] / "config").rglob("*.yaml"))
PIECES = [
    *("a", "b: ", "x", "- ", "? ", ": ", ":", "{", "}", "[", "]", ", ", ",", "\n", "\n  ", "\n    ", "\r\n", " ", "?"),
    *("'", '"', "|", "|-\n  ", "|2\n   ", ">\n ", ">-\n   a\n   b\n\n     c\n", "#", " # c\n", "&a ", "*a", "!"),
    *("%YAML 1.2\n---\n", "---\n", "...\n", "\t", "\u00e9", "\U0001f600", "\u2028", "\x85", "\ufeff", "\r", "\\"),
    *("@", "`", "~", "-", "<<: ", "${A}", "http://x:1", "/t/{a}: ", "k: 'v w'\n", 'k: "v\n   w"\n', '"a\\u0041"'),
    *("{a}", "{a:}", "{a: b}", "[a: b]", "[a:b]", '{"k":v}', "a #b", "a# b", "it''s", "--- ", " ,", "::", '"\\ud800"'),
]

Seen = tuple[object, ...]


def seen(events: Iterator[yaml.Event]) -> list[Seen]:
    """Return what is asked of events, of those that end something only that they come; the last may be a mistake."""
    found: list[Seen] = []
    try:
        for event in events:
            found.append(_seen(event))
    except (yaml.YAMLError, ValueError) as problem:
        found.append((type(problem), str(problem)))
    return found


def _seen(event: yaml.Event) -> Seen:
    if not isinstance(event, yaml.NodeEvent):
        return (type(event),)
    start, end = event.start_mark, event.end_mark
    assert start is not None and end is not None
    place = start.line, start.column, *((end.line, end.column) if isinstance(event, yaml.ScalarEvent) else ())
    value, style = getattr(event, "value", None), getattr(event, "style", None) or None
    return type(event), place, event.anchor, getattr(event, "tag", None), value, style


@given(st.lists(st.sampled_from(PIECES), max_size=9).map("".join))
@settings(max_examples=1500)
def test_both_parsers_read_alike(text: str) -> None:
    assert seen(events_of(text)) == seen(yaml.parse(text, Loader=yaml.SafeLoader))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_both_parsers_read_the_examples_alike(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert seen(events_of(text)) == seen(yaml.parse(text, Loader=yaml.SafeLoader))


@needs_libyaml
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a: x\t\n", id="tab-behind-a-value"),
        pytest.param("{a: b?c}", id="question-mark-in-braces"),
        pytest.param("a: |# b\n  c\n", id="comment-behind-the-head-of-a-block"),
        pytest.param("a: !x! b\n", id="tag"),
        pytest.param("?", id="empty-key"),
        pytest.param("---\n\ufeff?[a", id="byte-order-mark-within"),
    ],
)
def test_what_the_two_read_in_two_ways_is_read_as_ever(text: str) -> None:
    assert seen(events_of(text)) == seen(yaml.parse(text, Loader=yaml.SafeLoader))
    assert seen(yaml.parse(text, Loader=yaml.CSafeLoader)) != seen(yaml.parse(text, Loader=yaml.SafeLoader))


@needs_libyaml
def test_everyday_file_is_read_by_libyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(yaml, "SafeLoader")
    assert len(list(events_of("routes:\n  /t/{a}: {allow: ['x', \"y\"]}  # \u00e9\r\n"))) == 17


@pytest.mark.parametrize("opening", ["[", "{a: ", "[a, ", "- "])
def test_brackets_without_end_are_not_read_to_the_end_by_libyaml(opening: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[yaml.Event] = []

    def parse(text: str, Loader: type[yaml.SafeLoader]) -> Iterator[yaml.Event]:
        for event in yaml_parse(text, Loader=Loader):
            read.append(event)
            yield event

    yaml_parse = yaml.parse
    monkeypatch.setattr(yaml, "parse", parse)
    events_of(opening * 1000)
    assert len(read) < 300
