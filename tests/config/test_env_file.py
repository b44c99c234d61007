"""`.env` beside the file, what frameworks call its variables, and TypeScript where YAML belongs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.commands.main import run_command
from gateway.config.document import ConfigError
from gateway.config.env_file import SWITCH, read_lines
from gateway.config.file import load
from tests.configuring import ALL_TYPES, file_with, full, mistakes, read
from tests.terminal import GATEWAY, PROJECT, environment, seen_on_terminal

SECRET = "kJ4v9QzT2mX7bW1cR8yL5nP3sD6fG0hA-env"
KEY, OTHER_KEY = "pk_test_Y2xlcmsuZXhhbXBsZS5jb20k", "pk_live_Y2xlcmsueW91cmNvbXBhbnkuY29tJA"
FILE = file_with(providers="providers: {jobs: {type: jwt, secret: '${SECRET_OF_JOBS}'}}")
CLERK = file_with(providers="providers: {jobs: {type: clerk}}")


def folder_with(folder: Path, env: str | bytes, file: str = FILE) -> Path:
    (folder / "gateway.yaml").write_text(file)
    (folder / ".env").write_bytes(env if isinstance(env, bytes) else env.encode())
    return folder / "gateway.yaml"


def secret_of(path: Path, environment: dict[str, str]) -> str:
    material: bytes = load(path, environment).providers[0].secrets[0].material
    return material.decode()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("A=1", "1"),
        ("export A=1", "1"),
        ("  A = 1  ", "1"),
        ("A=one two # a comment", "one two"),
        ("A=one#two", "one#two"),
        ("A='one # two'", "one # two"),
        ("A='$B \\' ${C}'", "$B ' ${C}"),
        ('A="one\\ntwo"', "one\ntwo"),
        ('A="one\ntwo"', "one\ntwo"),
        ("A=$B${C}$$", "$B${C}$$"),
        ("A=", ""),
        ("A=a=b==", "a=b=="),
        ("A=1\nA=2", "2"),
        ("\ufeffA=1", "1"),
        ("# A=0\n\nA=1\n# A=2", "1"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_lines_are_read_as_everybody_does(line: str, expected: str, end: str) -> None:
    written = line.replace("\n", end) + end if end else line
    assert read_lines(".env", written.encode()) == ({"A": expected}, ())


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("A=1\njust words\nB=2", 2, "found a line that cannot be read, expected NAME=VALUE"),
        ("A=1\n\n\nNAME\nB=2", 4, "found a line that cannot be read, expected NAME=VALUE"),
        ("A=1\n=x\nB=2", 2, "found a line that cannot be read, expected NAME=VALUE"),
        ("A=1\nS='hunter2\nB=2", 2, "expected a closing '"),
        ("A=1\nS='hunter2' x\nB=2", 2, "expected nothing but a comment behind the closing '"),
        ("A=1\nS=hun\0ter2\nB=2", 2, "found a NUL"),
    ],
)
def test_line_that_is_none_is_named_by_its_place_and_shows_no_value(text: str, line: int, expected: str) -> None:
    variables, problems = read_lines("x/.env", text.encode())
    assert [(problem.file, problem.line) for problem in problems] == [("x/.env", line)]
    assert expected in problems[0].message and "hunter2" not in str(problems[0])
    assert variables["A"] == "1", "the other lines count"


@pytest.mark.parametrize("data", [b"A=1\nB=\xff", b"A=" + b"x" * 1024 * 1024], ids=["bytes", "size"])
def test_what_is_no_text_is_named(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as found:
        load(folder_with(tmp_path, data, file_with()), {})
    assert str(tmp_path / ".env") in str(found.value) and "expected" in str(found.value)


def test_real_environment_wins_and_a_switch_turns_it_off(tmp_path: Path) -> None:
    path = folder_with(tmp_path, f"SECRET_OF_JOBS={SECRET}")
    assert secret_of(path, {}) == SECRET
    assert secret_of(path, {"SECRET_OF_JOBS": SECRET[::-1]}) == SECRET[::-1]
    with pytest.raises(ConfigError, match="SECRET_OF_JOBS is not set"):
        load(path, {SWITCH: "off"})


def test_mistakes_of_both_files_come_in_one_run(tmp_path: Path) -> None:
    path = folder_with(tmp_path, f"SECRET_OF_JOBS={SECRET}\nwords", FILE.replace("upstream:", "upstraem:"))
    with pytest.raises(ConfigError) as found:
        load(path, {})
    lines = str(found.value).splitlines()
    assert lines[0].startswith(f"{tmp_path / '.env'}:2:1: found a line that cannot be read")
    assert any("unknown key (did you mean 'upstream'?)" in line for line in lines)
    assert lines[-1] == f"2 mistakes in {tmp_path / '.env'} and {path}"


def test_file_that_comes_later_is_waited_for_and_a_folder_of_that_name_is_none(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(file_with())
    assert tmp_path / ".env" in load(tmp_path / "gateway.yaml", {}).sources
    (tmp_path / ".env" / "bin").mkdir(parents=True)
    assert load(tmp_path / "gateway.yaml", {}).warnings == ()


@pytest.mark.parametrize(
    "arguments",
    [
        ["check"],
        ["test"],
        ["test", "cases.yaml"],
        ["test", "--against", "old/gateway.yaml"],
        ["token"],
        ["explain", "GET", "/api", "--claims", "{}", "--provider", "jobs"],
    ],
    ids=" ".join,
)
def test_every_command_reads_it(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    case = "\ntests: [{request: GET /api, claims: {}, expect: allow, headers: {X-A: '${OF_CASES}'}}]\n"
    folder_with(tmp_path, f"SECRET_OF_JOBS={SECRET}\nOF_CASES=1", FILE + case)
    (tmp_path / "cases.yaml").write_text(case)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "gateway.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    assert run_command(arguments) == 0, capsys.readouterr()
    assert run_command([*arguments, "--no-env-file"]) == 1
    captured = capsys.readouterr()
    assert "the environment variable SECRET_OF_JOBS is not set" in captured.out + captured.err
    assert SECRET not in captured.out + captured.err


def test_serve_reads_it_and_says_its_mistake(tmp_path: Path) -> None:
    folder_with(tmp_path, "words")
    status, seen = seen_on_terminal([*GATEWAY, "serve"], 120, tmp_path, environment())
    assert status == 1
    assert seen.startswith(".env:1:1: found a line that cannot be read, expected NAME=VALUE")


# --- names of frameworks ---


@pytest.mark.parametrize("prefix", ["NEXT_PUBLIC_", "VITE_", "PUBLIC_", "NUXT_PUBLIC_", "REACT_APP_", "EXPO_PUBLIC_"])
def test_key_of_the_page_is_found_under_the_name_of_its_framework(prefix: str) -> None:
    config = read(CLERK, {f"{prefix}CLERK_PUBLISHABLE_KEY": KEY})
    assert config.providers[0].issuers == frozenset({"https://clerk.example.com"})
    own = read(CLERK, {f"{prefix}CLERK_PUBLISHABLE_KEY": KEY, "CLERK_PUBLISHABLE_KEY": OTHER_KEY})
    assert own.providers[0].issuers == frozenset({"https://clerk.yourcompany.com"}), "its plain name counts first"


def test_two_different_keys_of_pages_are_a_mistake_that_names_them() -> None:
    found = mistakes(CLERK, {"VITE_CLERK_PUBLISHABLE_KEY": KEY, "NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY": OTHER_KEY})
    assert len(found) == 1 and KEY not in found[0]
    assert "NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY and VITE_CLERK_PUBLISHABLE_KEY hold different keys" in found[0]
    assert "publishable_key: ${NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY}" in found[0]


def test_wrong_key_of_the_page_is_named_by_its_variable() -> None:
    found = mistakes(CLERK, {"VITE_CLERK_PUBLISHABLE_KEY": "sk_test_abc"})
    assert "VITE_CLERK_PUBLISHABLE_KEY: found" in found[0] and "sk_test_abc" not in found[0]


@pytest.mark.parametrize(
    ("provider", "variables", "expected"),
    [
        ("type: clerk, publishable_key: '${CLERK_PUBLISHABLE_KEY}'", "NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY",
         "CLERK_PUBLISHABLE_KEY is not set (NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY is: write ${NEXT_PUBLIC_"),
        ("type: clerk, publishable_key: '${VITE_CLERK_PUBLISHABLE_KEY}'", "CLERK_PUBLISHABLE_KEY",
         "VITE_CLERK_PUBLISHABLE_KEY is not set (CLERK_PUBLISHABLE_KEY is: write ${CLERK_PUBLISHABLE_KEY})"),
        ("type: auth0, audience: a", "VITE_AUTH0_DOMAIN", "AUTH0_DOMAIN is not set (VITE_AUTH0_DOMAIN is: write"),
        ("type: auth0, domain: a.auth0.com", "REACT_APP_AUTH0_AUDIENCE", "(REACT_APP_AUTH0_AUDIENCE is: write"),
        ("type: jwt", "JWT_SECRET", "nor JWT_AUTH_SECRET is set (JWT_SECRET is: write ${JWT_SECRET})"),
        ("type: jwt", "HOME_OF_SECRETS", "nor JWT_AUTH_SECRET is set, expected"),
    ],
)  # fmt: skip
def test_missing_variable_says_which_other_holds_it(provider: str, variables: str, expected: str) -> None:
    found = mistakes(file_with(providers=f"providers: {{jobs: {{{provider}}}}}"), {variables: "hunter2"})
    assert expected in found[0] and "hunter2" not in found[0]


# --- Mastra's classes, and TypeScript ---


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("MastraAuthClerk", "clerk"),
        ("MastraJwtAuth", "jwt"),
        ("MastraAuthAuth0", "auth0"),
        ("mastrajwtauth", "jwt"),
        ("MastraAuthSupabase", "supabase"),
        ("MastraAuthWorkos", "workos"),
        ("MastraAuthBetterAuth", "better_auth"),
    ],
)
def test_names_of_mastras_classes_are_known_words(written: str, meant: str) -> None:
    found = mistakes(file_with(providers=f"providers: {{jobs: {{type: {written}}}}}"))
    assert found == [f"2:26: providers.jobs.type: found '{written}', expected {ALL_TYPES} (did you mean '{meant}'?)"]


PASTED = """\
import { Mastra } from '@mastra/core';
import { MastraAuthAuth0 } from '@mastra/auth-auth0';

export const mastra = new Mastra({
  server: {
    auth: new MastraAuthAuth0({
      domain: process.env.AUTH0_DOMAIN,
      clientSecret: "hunter2hunter2",
    }),
  },
});
"""


@pytest.mark.parametrize(
    ("text", "line", "kind"),
    [
        pytest.param(PASTED, 1, "auth0", id="a-whole-file"),
        pytest.param(PASTED.split("\n\n")[1], 1, "auth0", id="without-imports"),
        pytest.param(file_with() + "\n" + PASTED, 5, "auth0", id="below-a-good-file"),
        pytest.param(
            file_with(providers="providers:\n  staff: new MastraJwtAuth({ secret: 'hunter2hunter2' })"), 3, "jwt",
            id="as-a-value",
        ),
        pytest.param(
            file_with(providers="providers:\n  a:\n    new MastraAuthClerk({\n      secretKey: 'hunter2',\n    })"),
            4, "clerk", id="as-a-block",
        ),
    ],
)  # fmt: skip
def test_pasted_typescript_gets_one_line_that_helps(text: str, line: int, kind: str) -> None:
    said = full(text)
    assert said.count("mistake") == 1 and said.endswith("1 mistake in gateway.yaml")
    assert said.startswith(f"gateway.yaml:{line}:") and "found TypeScript" in said
    assert f"{{type: {kind}}}" in said and f"gateway init --type {kind}" in said
    assert "hunter2" not in said


def test_function_is_told_to_become_a_rule() -> None:
    function = "user => user.email?.endsWith('@a.com')"
    routes = f"routes:\n  /api:\n    provider: jobs\n    allow: {function}\n    authorizeUser: {function}"
    allow, key = mistakes(file_with(routes=routes))
    assert "routes./api.allow: found a function of TypeScript, expected authenticated, a rule such as" in allow
    assert "routes./api.authorizeUser: unknown key (a function becomes a rule, such as 'allow: {email_domain:" in key
    assert "docs/how-to/from-mastra-jwt-auth.md" in full(file_with(routes=routes))


@pytest.mark.parametrize("name", ["from-mastra-jwt-auth", "from-mastra-auth-auth0"])
def test_page_that_is_named_has_functions_and_their_rules(name: str) -> None:
    assert "Your `authorizeUser` as a rule" in (PROJECT / f"docs/how-to/{name}.md").read_text()


@pytest.mark.parametrize(
    ("sections", "hint"),
    [
        ({"providers": "providers: {jobs: auth0}"}, "(did you mean {type: auth0}?)"),
        ({"providers": "providers: {jobs: MastraJwtAuth}"}, "(did you mean {type: jwt}?)"),
        ({"upstream": "upstreams: {m: 'http://m:4111'}"}, "expected a mapping (did you mean {url: 'http://m:4111'}?)"),
        ({"upstream": "upstreams: {m: [a]}"}, "expected a mapping"),
        ({"tls": "tls: cert.pem"}, "expected a mapping"),
    ],
)  # fmt: skip
def test_value_of_the_one_key_is_told_where_it_belongs(sections: dict[str, str], hint: str) -> None:
    (said,) = [one for one in mistakes(file_with(**sections)) if "expected a" in one]
    assert said.endswith(hint)


def test_comment_about_typescript_is_none_and_a_good_file_stays_good() -> None:
    assert read("# export const auth = new MastraJwtAuth({})\n" + file_with()).warnings == ()
    said = mistakes("# import x from 'y'\n" + file_with(upstream="upstraem: http://a"))
    assert said and not any("TypeScript" in one for one in said)


def test_check_gives_the_one_line_as_json_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gateway.yaml").write_text(PASTED)
    assert run_command(["check", "--json"]) == 1
    assert len(json.loads(capsys.readouterr().out)["mistakes"]) == 1
