"""What the YAML parser says, in words that help."""

from __future__ import annotations

import yaml

_QUOTE_REFERENCE = 'inside { } or [ ], a value with ${...} or {...} needs quotes: "${NAME}"'
# Parts of the parser's own messages, and what a writer can do about them. The first that fits counts.
_ADVICE = (
    ("character '\\t' that cannot start", "found a tab, expected spaces for indentation"),
    (
        "mapping values are not allowed here",
        "found a ':' where no key can stand (is the line indented as its neighbours are?"
        " A value that holds ': ' needs quotes)",
    ),
    ("could not find expected ':'", "found a line without ':', expected 'key: value'"),
    ("cannot start any token", "found a character that cannot begin a value (put the value in quotes)"),
    ("found unexpected end of stream", "found the end of the file inside a quoted text (is a closing quote missing?)"),
    ("found undefined tag handle", "found a YAML tag ('!'), expected a value without it"),
    ("expected escape sequence", "found a '\\' that escapes nothing (single quotes keep it as it is)"),
    ("found unknown escape character", "found a '\\' that escapes nothing (single quotes keep it as it is)"),
    ("but found '<block mapping start>'", "found a line that is indented more than those before it"),
    ("expected <block end>", "found a line that does not fit the indentation of those before it"),
    ("expected ',' or '}'", "found no ',' or '}' where one must stand"),
    ("expected ',' or ']'", "found no ',' or ']' where one must stand"),
    ("block sequence entries are not allowed", "found a '-' where no list can begin (put it on a line of its own)"),
    (
        "expected alphabetic or numeric character",
        "found a '*' or '&' with no name behind it (a text that begins so needs quotes: '*:read')",
    ),
    ("document start", "found text after the end of the document"),
)


def explain_syntax(problem: yaml.MarkedYAMLError, line: str) -> str:
    """Return what is wrong with a text that is no YAML. Nothing of the text itself is in it."""
    said = problem.problem or ""
    advice = next((words for part, words in _ADVICE if part in said), "found something that is no YAML")
    opened, found = problem.context_mark, problem.problem_mark
    is_elsewhere = opened is not None and found is not None and opened.line != found.line
    began = (
        f" (it began in line {opened.line + 1})" if opened and is_elsewhere and "flow" in str(problem.context) else ""
    )
    if "${" in line and ("expected ',' or" in said or "mapping values" in said):
        return f"not valid YAML: {advice}{began} ({_QUOTE_REFERENCE})"
    return f"not valid YAML: {advice}{began}"
