"""YAML text to values that know their place: nothing is guessed, nothing secret is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.document import ConfigError, Fields, Items, Node, Source, Text
from gateway.config.parse import MAX_FILE_BYTES, decode, parse
from gateway.config.reading import Reading, Unreadable
from gateway.config.substitution import SubstitutionError, substitute
from tests.configuring import SECRET, file_with, full, mistakes, read


def tree(text: str, environment: dict[str, str] | None = None) -> Fields:
    reading = Reading(Source("f", text), environment or {}, Path())
    root = parse(text, reading)
    assert reading.is_clean
    return root


def at(root: Fields, *names: str) -> Node:
    node: Node = root
    for name in names:
        assert isinstance(node, Fields)
        found = node.get(name)
        assert found is not None
        node = found
    return node


def test_values_know_line_column_and_path() -> None:
    root = tree("a:\n  b: [x, {c: y}]\n")
    items = at(root, "a", "b")
    assert isinstance(items, Items)
    inner = items.members[1]
    assert isinstance(inner, Fields)
    place = at(inner, "c").place
    assert (place.line, place.column, place.path) == (2, 14, "a.b[1].c")


@pytest.mark.parametrize(
    "written", ["on", "yes", "12:30", "010", "1_000", "0x1F", "2026-01-01", "3.10", "true", ".inf", "=", "1e3"]
)
def test_scalars_stay_the_text_that_was_written(written: str) -> None:
    # YAML 1.1 would make True, 750, 8, 1000, 31, a date, 3.1 of these.
    node = at(tree(f"a: {written}"), "a")
    assert isinstance(node, Text)
    assert node.text == written


def test_byte_order_mark_moves_no_column() -> None:
    text = decode("f", b"\xef\xbb\xbfa: 1")
    assert at(tree(text), "a").place.column == 4


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"a: b\nc: \xff", "f:2:4: found the byte 0xff, expected UTF-8 text", id="not-utf8"),
        pytest.param("a: 1".encode("utf-16"), "f:1:1: found the byte 0xff, expected UTF-8 text", id="utf-16"),
        pytest.param(b"#" * (MAX_FILE_BYTES + 1), "f: found 1048577 bytes, expected at most 1 MiB", id="too-large"),
    ],
)
def test_bytes_that_are_no_text_are_refused(data: bytes, expected: str) -> None:
    with pytest.raises(ConfigError) as error:
        decode("f", data)
    assert error.value.problems[0].headline == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "1:1: the file is empty", id="empty"),
        pytest.param("# only a comment\n", "1:1: the file is empty", id="comment-only"),
        pytest.param("---\n...\n", "1:1: the file is empty", id="empty-document"),
        pytest.param("- a\n", "1:1: found a list, expected keys and values", id="list"),
        pytest.param("a\n", "1:1: found a single value, expected keys and values", id="scalar"),
        pytest.param("a:\n\tb: 1\n", "2:1: not valid YAML: found a tab", id="tab"),
        pytest.param("a: b: c\n", "1:5: not valid YAML: found a ':' where no key can stand", id="two-colons"),
        pytest.param("a: [x\nb: y\n", "2:2: not valid YAML: found no ',' or ']'", id="open-bracket"),
        pytest.param("a: 'x\n", "2:1: not valid YAML: found the end of the file inside a quoted text", id="open-quote"),
        pytest.param("a: {b: ${X}}\n", 'needs quotes: "${NAME}"', id="variable-in-braces"),
        pytest.param("a: @b\n", "1:4: not valid YAML: found a character that cannot begin a value", id="at-sign"),
        pytest.param('a: "\\q"\n', "1:6: not valid YAML: found a '\\' that escapes nothing", id="escape"),
        pytest.param('a: "\\UFFFFFFFF"\n', "not valid YAML: found a character", id="beyond-unicode"),
        pytest.param("a: \x01\n", "not valid YAML: found a character", id="control-character"),
        pytest.param('a: "\\ud800"\n', "1:4: a: found half a character", id="surrogate"),
        pytest.param("a: 1\n---\nb: 2\n", "2:1: found a second document", id="two-documents"),
        pytest.param("a: 1\nb: 2\na: 3\n", "3:1: a: duplicate key (the first is in line 1)", id="duplicate"),
        pytest.param("? [a]\n: b\n", "1:3: found no plain text as a key", id="list-as-key"),
        pytest.param("a: *:read\n", "needs quotes: '*:read'", id="star"),
        pytest.param("a: *x\n", "1:4: a: the alias '*x' names no anchor that stands before it", id="alias-of-nothing"),
        pytest.param(
            "a: &x [*x]\n", "a[0]: the alias '*x' names no anchor that stands before it", id="alias-of-itself"
        ),
        pytest.param("a: &x 1\nb: {*x : 1}\n", "2:5: b: found no plain text as a key", id="alias-as-key"),
        pytest.param("<<: {a: 1}\n", "1:1: <<: found a merge key", id="merge"),
        # PyYAML's own loaders make objects of these: CVE-2017-18342.
        pytest.param("a: !!python/object/apply:os.system [x]\n", "1:4: a: found a YAML tag", id="python-tag"),
        pytest.param("!!str a: 1\n", "1:1: a: found a YAML tag", id="tagged-key"),
        pytest.param("a: !!str 1\n", "1:4: a: found a YAML tag", id="str-tag"),
        pytest.param("a: " + "[" * 5000, "1:44: ", id="deep"),
        pytest.param("%YAML 1." + "9" * 5000 + "\n---\na: 1\n", "not valid YAML", id="version-without-end"),
    ],
)
def test_text_that_is_no_plain_yaml_is_refused_with_its_place(text: str, expected: str) -> None:
    found = mistakes(text)
    assert any(expected in line for line in found), found


def test_billion_laughs_are_refused_unexpanded() -> None:
    # Every alias ten times the one before: a gigabyte out of a kilobyte.
    lines = ["a0: &a0 lol"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    found = mistakes("\n".join(lines))
    assert any("aliases make more than 50000 values" in line for line in found), found


def test_aliases_that_go_deep_are_refused() -> None:
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 60)]
    assert any("40 levels" in line for line in mistakes("\n".join(lines)))


def test_alias_stands_for_what_its_anchor_names() -> None:
    config = read(
        file_with(
            routes="""
routes:
  /api: {provider: jobs, allow: &company {email_domain: [example.com]}}
  /more: {provider: jobs, allow: *company}
"""
        )
    )
    api, more = config.policy.routes
    assert api.allow == more.allow


def test_alias_of_a_secret_is_one_and_of_anything_else_is_none() -> None:
    shared = "providers: {jobs: {type: jwt, secret: &s 'S'}, more: {type: jwt, secret: *s, issuer: x}}".replace(
        "'S'", SECRET
    )
    assert len(read(file_with(providers=shared)).providers) == 2
    leaking = f"providers: {{jobs: {{type: jwt, issuer: &s '{SECRET}', secret: *s}}}}"
    assert any("a secret cannot be an alias" in line for line in mistakes(file_with(providers=leaking)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${A}", "1"),
        ("x${A}y${B}z", "x1y2z"),
        ("${NO:-fallback}", "fallback"),
        ("${EMPTY:-fallback}", "fallback"),
        ("${EMPTY}", ""),
        ("${NO:-}", ""),
        ("${NO:-http://mastra:4111}", "http://mastra:4111"),
        ("$$", "$"),
        ("$${A}", "${A}"),
        ("$$$${A}", "$${A}"),
        ("$A costs $5, ^x$", "$A costs $5, ^x$"),
        ("${TRICK}", "${A}: [x]\n$$"),
    ],
)
def test_variables_are_replaced_once(text: str, expected: str) -> None:
    environment = {"A": "1", "B": "2", "EMPTY": "", "TRICK": "${A}: [x]\n$$"}
    assert substitute(text, environment) == expected


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        ("${NO}", 0, "the environment variable NO is not set"),
        ("http://${NO}:80", 7, "the environment variable NO is not set"),
        ("x${", 1, "without its '}'"),
        ("x${A", 1, "without its '}'"),
        ("${}", 0, "names no variable"),
        ("${A-b}", 0, "names no variable"),
        ("process.env.AUTH0_DOMAIN", 0, "found TypeScript (process.env.AUTH0_DOMAIN), expected ${AUTH0_DOMAIN}"),
        ("process.env['A']!", 0, "expected ${A}"),
        ("import.meta.env.VITE_CLERK_PUBLISHABLE_KEY", 0, "expected ${VITE_CLERK_PUBLISHABLE_KEY}"),
        ("x ${process.env.A}", 2, "found TypeScript (${process.env.A}), expected ${A}"),
        ("${1A}", 0, "names no variable"),
        ("${ A }", 0, "names no variable"),
        ("${NO:-${A}}", 0, "inside another one"),
    ],
)
def test_reference_that_cannot_be_replaced_is_refused(text: str, offset: int, message: str) -> None:
    with pytest.raises(SubstitutionError) as error:
        substitute(text, {"A": "1"})
    assert message in str(error.value)
    assert error.value.offset == offset


def test_missing_variable_names_itself_and_its_place() -> None:
    found = mistakes(file_with(upstream='upstream: "http://${MASTRA_HOST}:4111"'))
    expected = "is not set, expected it there or in .env beside the file"
    assert found == [f"1:19: upstream: the environment variable MASTRA_HOST {expected}"]


def test_variable_cannot_change_the_structure() -> None:
    node = at(tree("a: ${X}\nb: 1", {"X": "1\nb: 2\n- {c: d}"}), "a")
    assert isinstance(node, Text)
    assert node.text == "1\nb: 2\n- {c: d}"


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("  jobs: {type: jwt, secret: HUSH-0123, alow: 1}", id="short-secret"),
        pytest.param('  jobs: {type: jwt, secret: "HUSH-0123", secret_file: x}', id="quoted"),
        pytest.param("  jobs: {type: jwt, secrets: [HUSH-0123, HUSH-4567]}", id="list"),
        pytest.param("  jobs: {type: jwt, secrets: {a: HUSH-0123}}", id="mapping"),
        pytest.param("  jobs: {type: jwt, secrets: HUSH-0123}", id="no-list"),
        pytest.param("  jobs: {type: jwt, secret: [HUSH-0123]}", id="list-for-one"),
        pytest.param("  jobs: {type: jwt, secrte: HUSH-0123}", id="misspelt"),
        pytest.param("  jobs: {type: jwt, password: HUSH-0123}", id="another-word"),
        pytest.param("  jobs: {type: jwt, secret: &x HUSH-0123}", id="anchored"),
        pytest.param("  jobs: {type: jwt, secret: !!str HUSH-0123}", id="tagged"),
        pytest.param("  jobs: {type: jwt, secret: '${NO:-HUSH-0123}', x: 1}", id="default"),
        pytest.param("  jobs: {type: jwt, secret: HUSH-0123, x: [}", id="no-yaml"),
        pytest.param("  jobs: {type: jwt, secret: [HUSH-0123, }]", id="no-yaml-list"),
        pytest.param("  jobs:\n    secret: |\n      HUSH-0123\n     x: y\n   z", id="no-yaml-block"),
        pytest.param('  jobs:\n    secret: "HUSH-0123\nHUSH-4567: @', id="no-yaml-open-quote"),
        pytest.param("  jobs:\n    type: jwt\n    secret: |\n      HUSH-0123\n", id="block"),
        pytest.param("  jobs: {type: jwt, secret: '${LEAK}'}", id="variable"),
        pytest.param("  jobs:\n    secret:\n      HUSH-0123: @", id="no-yaml-below"),
        pytest.param("  jobs: {type: auth0, domain: 'https://${LEAK}', audience: x}", id="in-a-suggestion"),
        pytest.param("  jobs: {type: oidc, issuer: '${LEAK}', audience: '${LEAK}', leeway: '${LEAK}'}", id="misplaced"),
        pytest.param("  jobs: {type: oidc, issuer: 'http://me:HUSH-1@idp', audience: x}", id="password-in-address"),
    ],
)
def test_secret_is_never_shown(line: str) -> None:
    shown = full(f"upstream: http://m\nproviders:\n{line}\nroutes: {{}}\n", {"LEAK": "HUSH-0123"})
    assert shown
    assert "HUSH" not in shown


def test_name_of_a_variable_is_shown_for_a_secret() -> None:
    shown = full(file_with(providers='providers: {jobs: {type: jwt, secret: "${SHORT}"}}'), {"SHORT": "abc"})
    assert 'secret: "${SHORT}"' in shown
    assert "abc" not in shown


def test_message_shows_the_line_with_a_caret_under_the_column() -> None:
    shown = full(file_with(routes="routes:\n  /api:\n    provider: jobs\n    alow: authenticated"))
    assert shown.splitlines()[:4] == [
        "gateway.yaml:6:5: routes./api.alow: unknown key (did you mean 'allow'?)",
        "  6 |     alow: authenticated",
        "    |     ^",
        "  expected one of allow, budget, deny, enforce, exact, login, mcp, optional, own, provider, public, streams, "
        "upstream, websocket",
    ]


def test_caret_stands_under_its_place_beside_a_masked_secret() -> None:
    shown = full(file_with(providers=f"providers: {{jobs: {{type: jwt, secret: {SECRET}, leway: 5s}}}}")).splitlines()
    assert shown[1].index("leway") == shown[2].index("^")


def test_control_characters_of_the_file_do_not_reach_the_terminal() -> None:
    shown = full(file_with(routes='routes: {"/a\\u001b[31m": {public: true}, "/b\u202e": {}}'))
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_long_line_is_cut_around_the_place() -> None:
    shown = full("upstream: [" + "x, " * 500 + "*y]").splitlines()
    line = next(number for number, text in enumerate(shown) if "alias" in text)
    assert len(shown[line + 1]) < 130
    assert shown[line + 1][shown[line + 2].index("^")] == "*"


def test_broken_file_ends_the_reading_with_one_message() -> None:
    with pytest.raises(Unreadable):
        tree("a: [")
