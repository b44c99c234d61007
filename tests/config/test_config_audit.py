"""`audit:`, each mistake at its place, and the digest that says which file it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.config.model import Audit
from tests.configuring import BASE, SECRET, file_with, mistakes, read

KEY = "0" * 64


def _file(audit: str) -> str:
    return "\n".join([*BASE.values(), f"audit: {audit}"])


def test_what_it_becomes(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    short = read(_file(f"{{file: {file}}}"))
    assert short.audit == Audit(file)
    assert short.audit.where == "gateway.yaml:4:15: audit.file"
    said = f"{{file: {file}, subject: hash, claims: [org, /a/b], events: [write, deny], on_failure: refuse}}"
    assert read(_file(said)).audit == Audit(file, True, ("org", "/a/b"), ("deny", "write"), refuses=True)
    assert read(_file(said)).warnings == ()


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{subject: plain}", "'file' is missing"),
        ("{file: a, events: [denied]}", "found 'denied', expected deny, would_deny, write or read (did you"),
        ("{file: a, events: []}", "found an empty list"),
        ("{file: a, subject: none}", "expected plain or hash"),
        ("{file: a, on_failure: block}", "expected count or refuse"),
        ("{file: a, claims: [/a~2]}", "that is no JSON Pointer"),
        (f"{{file: a, claims: [{', '.join(f'c{n}' for n in range(17))}]}}", "found 17 claims, expected at most 16"),
        ("{file: a, claim: email}", "unknown key (did you mean 'claims'?)"),
    ],
)  # fmt: skip
def test_mistakes(written: str, said: str) -> None:
    (found,) = mistakes(_file(written))
    assert said in found


@pytest.mark.parametrize("kind", ["a symbolic link", "a directory", "a FIFO", "a device or socket"])
def test_what_is_no_regular_file_is_a_mistake(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "audit"
    match kind:
        case "a symbolic link":
            path.symlink_to(tmp_path / "elsewhere")
        case "a directory":
            path.mkdir()
        case "a FIFO":
            os.mkfifo(path)
        case _:
            path = Path("/dev/null")
    (found,) = mistakes(_file(f"{{file: {path}}}"))
    assert found == f"4:15: audit.file: found {kind}, expected a regular file, or none yet"


def test_folder_that_is_not_there_is_warned_of(tmp_path: Path) -> None:
    (warning,) = read(_file(f"{{file: {tmp_path / 'none' / 'a'}}}")).warnings
    assert "the folder of the audit file is not there" in warning


def test_claims_that_undo_the_hash_are_warned_of(tmp_path: Path) -> None:
    (warning,) = read(_file(f"{{file: {tmp_path / 'a'}, subject: hash, claims: [email]}}")).warnings
    assert "the claim email says it in the clear" in warning


BASIC = f"""
upstream: http://a:1
providers: {{jobs: {{type: jwt, secret: {SECRET}, audience: [a, b]}}}}
routes: {{/api: {{provider: jobs, allow: {{role: admin}}}}}}
"""
SAME = {
    "comments, spacing and order": f"""
# a comment
routes:
  "/api":
    allow: {{role: 'admin'}}
    provider: jobs
providers:
  jobs: {{audience: [a, b], secret: {SECRET}, type: jwt}}
upstream: "http://a:1"
""",
    "a variable": BASIC.replace("admin", "${ROLE}").replace("{role: $", "{role: '$").replace("E}", "E}'"),
    "tests": BASIC + "tests: [{request: GET /api, expect: token_missing}]\n",
    "another secret": BASIC.replace(SECRET, SECRET[::-1]),
}
OTHERS = {
    "another role": BASIC.replace("admin", "viewer"),
    "another path": BASIC.replace("/api", "/apis"),
    "a list in another order": BASIC.replace("[a, b]", "[b, a]"),
    "one key more": BASIC + "drain_delay: 1s\n",
}


@pytest.mark.parametrize("what", SAME)
def test_digest_is_of_what_the_file_means(what: str) -> None:
    assert read(SAME[what], {"ROLE": "admin"}).digest == read(BASIC).digest


@pytest.mark.parametrize("what", OTHERS)
def test_digest_of_another_meaning_is_another(what: str) -> None:
    assert read(OTHERS[what]).digest != read(BASIC).digest


def test_digest_is_the_same_in_every_process_and_version_of_python() -> None:
    assert read(BASIC).digest == "42dc94b02ca6f779b37e21620992528b"


def test_digest_knows_what_the_environment_says_and_what_stands_in_files_of_keys() -> None:
    auth0 = file_with(providers="providers: {jobs: {type: auth0}}")
    one, other = ({"AUTH0_DOMAIN": "t.auth0.com", "AUTH0_AUDIENCE": audience} for audience in ("a", "b"))
    assert read(auth0, one).digest == read(auth0, dict(one)).digest != read(auth0, other).digest
    keys = file_with(providers="providers: {jobs: {type: keys, keys_file: keys.yaml}}")
    first, renamed, spaced = (
        read(keys, {}, {"keys.yaml": text.encode()}).digest
        for text in (f"a: {{hash: '{KEY}'}}", f"b: {{hash: '{KEY}'}}", f"# who\na: {{hash: {KEY}}}\n")
    )
    assert first == spaced != renamed
