"""The file of keys: what a line says, and every mistake in it with its place there, showing nothing of a key."""

from __future__ import annotations

import pytest

from gateway.config.document import ConfigError
from gateway.policy.providers import API_KEY, BEARER
from tests.configuring import file_with, mistakes, read
from tests.machines import key_named, line_of

MAKE = "(`gateway key NAME` prints a new key, once, and its line)"
HASH = "0123456789abcdef" * 4


def text_with(provider: str = "type: keys, keys_file: keys.yaml") -> str:
    return file_with(
        providers=f"providers: {{workers: {{{provider}}}}}",
        routes="routes: {/api: {provider: workers, allow: authenticated}}",
    )


def keys_of(written: str) -> list[str]:
    return mistakes(text_with(), mounted={"keys.yaml": written.encode()})


def test_line_says_whose_key_it_is_and_until_when() -> None:
    written = line_of("nightly", "subject: batch", "roles: [a, b]", "groups: g", "scopes: [s]", "expires: 2099-01-01")
    (provider,) = read(text_with(), mounted={"keys.yaml": (written + line_of("worker")).encode()}).providers
    nightly, worker = provider.machine_keys
    assert (nightly.name, nightly.subject, nightly.roles, nightly.groups) == ("nightly", "batch", ("a", "b"), ("g",))
    assert (nightly.scopes, nightly.expires_at) == (("s",), 4070908800.0)
    assert (worker.subject, worker.roles, worker.expires_at) == ("worker", (), None)
    assert provider.token_sources == (BEARER, API_KEY) and provider.name == "workers"
    assert provider.machines[nightly.digest].principal.provider == "workers"


def test_file_is_watched() -> None:
    config = read(text_with(), mounted={"keys.yaml": line_of("worker").encode()})
    assert [path.name for path in config.sources] == ["keys.yaml"]


A_HASH = f"expected the SHA-256 of the key, 64 characters of hex {MAKE}"
IN_CLEAR = "in the clear, expected the SHA-256 of it"
A_LINE = "expected a line such as worker: {hash: ..., subject: worker}"
KEY = key_named("a")
MISTAKES = {
    "short": (f"a: {{hash: {HASH[:40]}}}", f"1:11: a.hash: found 40 characters, {A_HASH}"),
    "base64": ("a: {hash: MTIz+/=}", f"1:11: a.hash: found something else, {A_HASH}"),
    "clear": (f"a: {{hash: {KEY}}}", f"1:11: a.hash: found a key itself as its hash, {IN_CLEAR}"),
    "alone": (f"a: {KEY}", f"1:4: a: found a key itself in place of its line, {IN_CLEAR}"),
    "name": (f"{KEY}: {{hash: {HASH}}}", f"1:55: ***: found a key itself as the name of a line, {IN_CLEAR}"),
    "key": (
        f"a: {{key: {KEY}, hash: {HASH}}}",
        "1:5: a.key: unknown key (no file holds a key itself, only its `hash`)",
    ),
    "foreign": ("a: sk-live-1", f"1:4: a: found a single value, {A_LINE} {MAKE}"),
    "nothing": ("a:", f"1:1: a: found a single value, {A_LINE} {MAKE}"),
    "list": ("a: [1]", f"1:4: a: found a list, {A_LINE}"),
    "missing": ("a: {subject: x}", "1:1: a: 'hash' is missing, expected the SHA-256 of the key, in hex"),
    "email": (
        f"a: {{hash: {HASH}, email: a@b.c}}",
        "1:77: a.email: unknown key (a machine has no email that anybody verified)",
    ),
    "role": (f"a: {{hash: {HASH}, role: x}}", "1:77: a.role: unknown key (did you mean 'roles'?)"),
    "expires": (
        f"a: {{hash: {HASH}, expires: soon}}",
        "1:86: a.expires: found 'soon', expected a moment such as 2026-11-21T05:00:00Z, or Unix seconds",
    ),
    "hash-twice": (
        f"a: {{hash: {HASH}}}\nb: {{hash: {HASH.upper()}}}",
        "2:11: b.hash: found the key of 'a' once more, expected one name for each key",
    ),
    "name-twice": (
        f"a: {{hash: {HASH}}}\na: {{hash: {HASH[::-1]}}}",
        "2:1: a: duplicate key (the first is in line 1)",
    ),
    "no-mapping": (
        "- a",
        "1:1: found a list, expected keys and values: lines such as worker: {hash: ..., subject: worker}",
    ),
    "odd-name": (
        f"a b: {{hash: {HASH}}}",
        "1:1: a b: found a name that is not made of letters, digits, '_', '-' and '.' (at most 63)",
    ),
}


@pytest.mark.parametrize(("written", "expected"), MISTAKES.values(), ids=MISTAKES)
def test_mistake_says_its_place_in_that_file(written: str, expected: str) -> None:
    assert keys_of(written) == [f"keys.yaml:{expected}"]


def test_no_message_shows_a_key_or_what_may_be_one() -> None:
    written = (
        f"a: {{hash: sk-live-abcdef, email: a@b.c}}\nb: {{hash: {key_named('b')}, x: {key_named('c')}}}\nc: sk-live-x\n"
    )
    with pytest.raises(ConfigError) as problem:
        read(text_with(), mounted={"keys.yaml": written.encode()})
    text = str(problem.value)
    assert "sk-live" not in text and "gwk_" not in text.replace("gwk_ ", "")
    assert "mistakes in keys.yaml" in text


def test_mistakes_of_both_files_are_told_at_once() -> None:
    found = mistakes(text_with() + "listne: 1\n", mounted={"keys.yaml": b"a: 1"})
    assert [one.partition(": ")[0] for one in found] == ["4:1", "keys.yaml:1:4"]


@pytest.mark.parametrize("written", ["", "# all were taken back\n", "{}"])
def test_file_without_keys_is_good_since_taking_back_must_count(written: str) -> None:
    config = read(text_with(), mounted={"keys.yaml": written.encode()})
    assert config.providers[0].machine_keys == ()
    assert config.warnings == (
        f"gateway.yaml:2:46: providers.workers.keys_file: keys.yaml has no keys: nobody passes by one {MAKE}",
    )


def test_expired_key_is_a_warning() -> None:
    config = read(text_with(), mounted={"keys.yaml": line_of("old", "expires: 2020-01-01").encode()})
    assert [one for one in config.warnings if "old" in one] == [
        "keys.yaml:1:88: old.expires: the key 'old' has expired, and counts no more"
    ]


def test_file_that_is_not_there() -> None:
    assert mistakes(text_with()) == [
        "2:46: providers.workers.keys_file: the file cannot be read: No such file or directory"
    ]


def test_nothing_of_tokens_is_said_of_keys() -> None:
    found = mistakes(
        text_with("type: keys, keys_file: keys.yaml, audience: x"), mounted={"keys.yaml": line_of("a").encode()}
    )
    assert found == ["2:57: providers.workers.audience: unknown key (it belongs to type jwt, clerk, auth0, oidc)"]
    assert mistakes(text_with("type: keys")) == [
        "2:13: providers.workers: 'keys_file' is missing, expected a file with the keys of machines, by their hashes, "
        "read again when it changes"
    ]


def test_one_key_in_two_files_of_a_route_is_refused() -> None:
    text = file_with(
        providers="providers: {a: {type: keys, keys_file: k.yaml}, b: {type: keys, keys_file: k.yaml}}",
        routes="routes: {/api: {provider: [a, b], allow: authenticated}}",
    )
    assert mistakes(text, mounted={"k.yaml": line_of("worker").encode()}) == [
        "3:27: routes./api.provider: 'a' and 'b' both have the key worker, expected each key in one file "
        "('roles' of a key tell its rights)"
    ]


def test_nobody_logs_in_with_a_key() -> None:
    login = (
        "login: {provider: workers, client_id: x, public_url: https://a.example.com, "
        "session: {secret: wohYeequ8aish4ahQuoo4aiPh7aish2eeF0}}"
    )
    found = mistakes(text_with() + login, mounted={"keys.yaml": line_of("a").encode()})
    assert [one for one in found if "type keys" in one]
