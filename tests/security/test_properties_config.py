"""For all YAML texts: a configuration, or mistakes that each stand at a place of the text.

`tests/config/test_config.py` throws texts and damaged lines at the reader; here are whole trees of the wrong shape, in
every style that YAML can be written in, and every place is held against the text.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import gateway
from gateway.config.document import ConfigError
from gateway.config.file import load_text
from gateway.config.model import Config
from tests.configuring import BASE, SECRET, no_file
from tests.security.conftest import Report

PROPERTIES = settings(
    settings.get_profile("properties"), max_examples=400, suppress_health_check=[HealthCheck.too_slow]
)
ENVIRONMENT = {
    "MASTRA_JWT_SECRET": SECRET,
    "CLERK_PUBLISHABLE_KEY": "pk_test_Y2xlcmsuZXhhbXBsZS5jb20k",
    "AUTH0_DOMAIN": "tenant.eu.auth0.com",
    "AUTH0_AUDIENCE": "https://agents.example.com",
    "OIDC_ISSUER": "https://login.example.com",
    "OIDC_AUDIENCE": "mastra",
    "BROKEN": "\udcff",
    "NESTED": "${NESTED}",
    "TREE": "{a: [b]}",
}
EXAMPLES = sorted((Path(gateway.__file__).parent.parent / "config").glob("*.yaml"))
TREES = [yaml.safe_load(path.read_text("utf-8")) for path in EXAMPLES]


def names_of(tree: Any) -> set[str]:
    if isinstance(tree, dict):
        return set(tree) | {name for value in tree.values() for name in names_of(value)}
    if isinstance(tree, list):
        return {name for value in tree for name in names_of(value)}
    return {str(tree)}


FAMILIAR = st.sampled_from(sorted({name for tree in TREES for name in names_of(tree)}))
STRANGE = st.sampled_from(
    (
        *(
            "",
            "~",
            "null",
            "yes",
            "0",
            "-1",
            "1e999",
            "010",
            "9" * 5000,
            "5s",
            "1MiB",
            "=",
            "<<",
            "*a",
            "&a",
            "!!int",
            "#",
        ),
        *(
            "${",
            "${BROKEN}",
            "${NESTED}",
            "${TREE}",
            "${MISSING}",
            "${MISSING:-x}",
            "${:-}",
            "claims.x ==",
            "((((",
            "//",
        ),
        *("/", "/{", "/{x}", "GET /", "/%2e", "é", "\x00", "\x85", "\u2028", "\ud800", "\U0001f600", "a\nb", "\t"),
        *(
            "0.0.0.0:99999",
            "[::1]:1",
            "::/0",
            "127.0.0.1/33",
            "https://user@h",
            "http://[",
            "-----BEGIN ",
            "none",
            "any",
        ),
    )
)
SCALARS = st.one_of(FAMILIAR, STRANGE, st.text(max_size=5), st.integers(), st.floats(), st.booleans(), st.none())
WRONG = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(FAMILIAR, STRANGE), inner, max_size=3),
        inner.map(lambda shared: [shared, shared]),  # written as an anchor and its alias
    ),
    max_leaves=8,
)


@st.composite
def grafted(draw: st.DrawFn) -> Any:
    """A file that comes with the gateway, with a few of its branches replaced, dropped, doubled or added."""
    tree = draw(st.sampled_from(TREES))
    for _ in range(draw(st.integers(0, 3))):
        tree = graft(draw, tree)
    return tree


def graft(draw: st.DrawFn, tree: Any) -> Any:
    if isinstance(tree, dict) and tree and draw(st.integers(0, 4)):
        name = draw(st.sampled_from(sorted(tree)))
        match draw(st.sampled_from(["deeper", "deeper", "deeper", "drop", "rename", "add"])):
            case "deeper":
                return tree | {name: graft(draw, tree[name])}
            case "drop":
                return {key: value for key, value in tree.items() if key != name}
            case "rename":
                new = draw(st.one_of(FAMILIAR, STRANGE))
                return {new if key == name else key: value for key, value in tree.items()}
            case "add":
                return tree | {draw(st.one_of(FAMILIAR, STRANGE)): draw(WRONG)}
    if isinstance(tree, list) and tree and draw(st.booleans()):
        place = draw(st.integers(0, len(tree) - 1))
        return [*tree[:place], graft(draw, tree[place]), *tree[place + draw(st.integers(0, 1)) :]]
    return draw(WRONG)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """A tree in some style of YAML, perhaps with a piece put in where it hurts."""
    text = yaml.dump(
        draw(st.one_of(grafted(), grafted(), WRONG)),
        default_flow_style=draw(st.sampled_from([True, False, None])),
        default_style=draw(st.sampled_from([None, None, None, '"', "'", "|", ">"])),
        indent=draw(st.integers(2, 5)),
        width=draw(st.sampled_from([20, 80, 100_000])),
        allow_unicode=draw(st.booleans()),
        explicit_start=draw(st.booleans()),
        line_break=draw(st.sampled_from(["\n", "\r\n", "\r"])),
        sort_keys=False,
    )
    if draw(st.integers(0, 3)) == 0:
        place = draw(st.integers(0, len(text)))
        text = (
            text[:place]
            + draw(st.sampled_from(list("\t:-?[]{},&*!|>'\"%@`#\x00\x85\ufeff\u2028\ud800")))
            + text[place:]
        )
    return text


def mounted(path: Path) -> bytes:
    return SECRET.encode() if path == Path("/run/gateway/jwt") else no_file(path)


def check(text: str) -> int:
    """Return the number of mistakes of a text, once each has been found to stand at a place of the text."""
    try:
        config = load_text(text, "f", ENVIRONMENT, read_file=mounted)
    except ConfigError as error:
        assert error.problems
        lines = re.split("\r\n|[\n\r\x85\u2028\u2029]", text)
        for problem in error.problems:
            assert problem.message and "\n" not in problem.headline
            assert 1 <= problem.line <= len(lines) + 1, problem  # the end of a text may stand on a line of its own
            assert 1 <= problem.column <= max(map(len, lines)) + 2, problem
        return len(error.problems)
    assert isinstance(config, Config)
    return 0


def test_files_that_come_with_the_gateway_are_read() -> None:
    for path, tree in zip(EXAMPLES, TREES, strict=True):
        assert check(path.read_text("utf-8")) == check(yaml.dump(tree)) == 0


@pytest.mark.slow
def test_every_tree_is_a_configuration_or_mistakes_with_their_places(report: Report) -> None:
    seen: Counter[int] = Counter()

    @PROPERTIES
    @given(texts())
    @example("a: &a [*a]")
    @example("? {a: b}\n: c")
    @example("<<: {listen: 1}")
    @example("%YAML 9.9\n---\na: b")
    @example("a: !!python/object/apply:os.system [id]")
    @example("---\na: b\n---\nc: d\n")
    @example("[" * 2000)
    @example("- " * 2000)
    def holds(text: str) -> None:
        seen[check(text)] += 1

    holds()
    assert seen[0] > 5  # some pass: not everything is refused for one and the same mistake
    report(f"{seen.total()} YAML trees: {seen[0]} read, the others refused with {max(seen)} placed mistakes at most")


PUNCTUATION = st.text(st.sampled_from("ab1:-? \n\t[]{},&*!|>'\"%@`#$~.\r\x85\u2028\ufeff\U0001f600"), max_size=40)


@PROPERTIES
@given(PUNCTUATION, st.booleans())
def test_every_text_of_punctuation_has_its_mistakes_placed(text: str, is_appended: bool) -> None:
    check("\n".join([*BASE.values(), text]) if is_appended else text)
