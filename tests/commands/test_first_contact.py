"""The first minutes with the command line: init, help, completion, and what a wrong call gets."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.commands.answers import Unfit, domain_in, issuer_in, kind_in, upstream_in
from gateway.commands.main import _SUMMARIES, run_command
from tests.processes import status_of
from tests.programs import needs
from tests.terminal import COLOUR, GATEWAY, environment, seen_on_terminal

COMMANDS = [name for name, summary in _SUMMARIES.items() if summary]
FLAGS = {
    "jwt": [],
    "clerk": ["--issuer", "pk_test_Y2xlcmsuZXhhbXBsZS5jb20k"],
    "auth0": ["--issuer", "tenant.eu.auth0.com", "--audience", "https://api.example.com"],
    "oidc": ["--issuer", "https://login.example.com", "--audience", "mastra"],
    "google": ["--audience", "123-abc.apps.googleusercontent.com"],
    "entra": ["--issuer", "11111111-2222-4333-8444-555555555555", "--audience", "api://mastra"],
    "okta": ["--issuer", "yourcompany.okta.com", "--audience", "api://default"],
    "keycloak": ["--issuer", "http://localhost:8080/realms/corp", "--audience", "mastra"],
    "cognito": ["--issuer", "eu-west-1_Ab12Cd34E", "--audience", "4h57kq9example"],
    "supabase": ["--issuer", "https://abcdefghijklmnopqrst.supabase.co"],
    "firebase": ["--issuer", "your-project-1234"],
    "workos": ["--issuer", "client_01HXYZ"],
    "better_auth": ["--issuer", "http://localhost:3000"],
}
# Who writes nothing about whom they want lets everybody in who has an account there, and hears of it.
WARNED = {("google", False): "everybody with a Google account has a token of 'callers' that counts"}


TENANT = "11111111-2222-4333-8444-555555555555"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MASTRA_JWT_SECRET", raising=False)
    return tmp_path


@pytest.mark.parametrize("domain", [[], ["--email-domain", "yourcompany.com"]], ids=["anybody", "company"])
@pytest.mark.parametrize("kind", FLAGS)
def test_init_writes_a_file_that_passes_check_and_its_own_cases(
    kind: str, domain: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["init", "--type", kind, *FLAGS[kind], *domain]) == 0
    assert "gateway.yaml is written, and has no mistakes" in capsys.readouterr().out
    assert run_command(["check"]) == 0
    printed, expected = capsys.readouterr().out, WARNED.get((kind, bool(domain)))
    assert printed.count("warning:") == (expected is not None) and (expected or "") in printed
    assert run_command(["test", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["cases"]) == (4 if domain else 3)


@pytest.mark.parametrize("kind", FLAGS)
def test_lines_that_init_leaves_in_comments_are_good_ones(
    kind: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["init", "--type", kind, *FLAGS[kind], "--upstream", "http://mastra:4111"]) == 0
    text = (folder / "gateway.yaml").read_text()
    text, count = re.subn(r"^#(?=upstreams:|  mastra: |  /chat: |  GET )", "", text, flags=re.MULTILINE)
    assert count == 5
    (folder / "gateway.yaml").write_text(text.replace("upstream: http://mastra:4111\n", ""))
    capsys.readouterr()
    assert run_command(["check", "--json"]) == 0
    routes = {route["route"] for route in json.loads(capsys.readouterr().out)["routes"]}
    assert {"/chat", "GET /", "GET /refresh-events", "GET /api/auth/capabilities"} <= routes
    assert (folder / "gateway.yaml").read_text().count("#") > 6, "it explains itself"


def converse(folder: Path, typed: Sequence[str], columns: int = 120, **variables: str) -> tuple[int, str]:
    """Return the exit status of `gateway init` on a terminal and what was seen; a line is typed at each question."""
    waiting = [f"{line}\n" for line in typed]

    def answer(seen: str) -> str | None:
        return waiting.pop(0) if waiting and re.search(r"[\]?)] $", seen) else None

    status, seen = seen_on_terminal([*GATEWAY, "init"], columns, folder, variables, answer)
    assert not waiting, seen
    return status, COLOUR.sub("", seen)


def test_init_asks_four_questions_on_a_terminal(folder: Path) -> None:
    status, seen = converse(
        folder, ["http://mastra:4111", "nobody", "auth0", "t.eu.auth0.com https://api.example.com", "a.com"]
    )
    assert status == 0 and "Next:" in seen
    text = (folder / "gateway.yaml").read_text()
    for part in (
        "upstream: http://mastra:4111",
        "domain: t.eu.auth0.com",
        "audience: https://api.example.com",
        "a.com",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("typed", "reasons", "written"),
    [
        pytest.param(
            ["ftp://x", "http://mastra:4111/api", "localhost:4111", "clerc", "MastraAuthClerk", "sk_test_abcdefgh",
             "nonsense", "", '"pk_test_Y2xlcmsuZXhhbXBsZS5jb20k"', "ann@a.com", "@a.com"],
            ["with another scheme than http and https", "with a path or query", "(did you mean clerk?)",
             "found Clerk's secret key (sk_...)", "expected pk_live_... or pk_test_...", "found nothing",
             "(did you mean 'a.com'?)"],
            ["upstream: http://localhost:4111\n", "publishable_key: pk_test_Y2xlcmsuZXhhbXBsZS5jb20k\n",
             "email_domain: a.com}"],
            id="clerk",
        ),
        pytest.param(
            ["", "auth0", "https://corp.eu.auth0.com/", "", "https://api.example.com", ""],
            ["found nothing, expected what the issuer writes into `aud`"],
            ["domain: corp.eu.auth0.com\n", "audience: https://api.example.com\n", "callers: authenticated"],
            id="auth0-domain-as-an-address-audience-apart",
        ),
        pytest.param(
            ["4111", "oidc", "http://evil.example x", "login.example.com/.well-known/openid-configuration x", ""],
            ["expected https://..."],
            ["upstream: http://localhost:4111\n", "issuer: https://login.example.com\n", "audience: x\n"],
            id="oidc",
        ),
        pytest.param(
            ["", "google", "", "123-abc.apps.googleusercontent.com", "a.com"],
            ["found nothing, expected what the issuer writes into `aud`"],
            ["type: google\n", "audience: 123-abc.apps.googleusercontent.com\n"],
            id="google",
        ),
        pytest.param(
            ["", "keycloak", "http://localhost:8080", "http://localhost:8080/realms/corp mastra", ""],
            ["found no realm in it"],
            ["url: http://localhost:8080\n", "realm: corp\n", "audience: mastra\n"],
            id="keycloak",
        ),
        pytest.param(
            ["", "entra", "common api://mastra", "https://login.microsoftonline.com/"
             "11111111-2222-4333-8444-555555555555/v2.0 api://mastra", ""],
            ["which is the name of no tenant"],
            ["tenant: 11111111-2222-4333-8444-555555555555\n", "audience: api://mastra\n"],
            id="entra",
        ),
        pytest.param(
            ["", "jwt", "kJ4v9QzT2mX7bW1cR8yL5nP3sD6fG0hA", "NOT_SET_ANYWHERE", "$SHORT", "", ""],
            ["what looks like the secret itself", "NOT_SET_ANYWHERE is not set", "expected at least 32"],
            ["secret_file: mastra-jwt.secret\n"],
            id="jwt",
        ),
    ],
)  # fmt: skip
def test_bad_answer_is_asked_for_again_with_the_reason_and_nothing_is_lost(
    typed: list[str], reasons: list[str], written: list[str], folder: Path
) -> None:
    status, seen = converse(folder, typed, SHORT="short")
    assert status == 0
    at = 0
    for reason in reasons:
        assert reason in seen[at:], f"{reason!r} is not in\n{seen[at:]}"
        at = seen.index(reason, at)
    text = (folder / "gateway.yaml").read_text()
    for part in written:
        assert part in text, text
    assert run_command(["check"]) == 0


def test_question_is_wrapped_between_words_and_says_what_is_no_name(folder: Path) -> None:
    _, seen = converse(folder, ["http://mastra:4111", "jwt", "\x04"], columns=60)
    question = seen[seen.index("Who issues") : seen.index("The variable that holds")]
    assert max(map(len, question.split("\n"))) <= 60 + len("jwt")  # what was typed stands behind it
    assert "keycloak, cognito, supabase" in " ".join(question.split())
    assert "jwt: whoever has a secret that is shared" in " ".join(question.split())


def test_reason_is_wrapped_between_words(folder: Path) -> None:
    _, seen = converse(folder, ["http://mastra:4111/api", "", "clerk", "sk_test_abcdefgh", "\x04"], columns=60)
    told = [line for line in seen.split("\n") if line.startswith("  ")]
    assert len(told) > 5 and max(map(len, told)) <= 60
    assert " ".join(line.strip() for line in told).count("found ") == 2
    assert "which the gateway does not need: expected the publishable key" in " ".join(line.strip() for line in told)


def test_init_knows_the_variables_beside_the_file(folder: Path) -> None:
    (folder / ".env").write_text("NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY=pk_test_Y2xlcmsuZXhhbXBsZS5jb20k\n")
    status, seen = converse(folder, ["", "clerk", "", ""])
    assert status == 0 and "(pk_test_... or pk_live_...) [NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY]" in seen
    assert "publishable_key: ${NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY}\n" in (folder / "gateway.yaml").read_text()
    (folder / ".env").write_text("words\n")
    status, seen = converse(folder, [])
    assert status == 1


def test_answers_that_end_are_told(folder: Path) -> None:
    status, seen = converse(folder, ["", "clerk", "\x04"])
    assert status == 2 and "the answers ended" in seen and not (folder / "gateway.yaml").exists()


@pytest.mark.parametrize(
    ("answer", "upstream"),
    [
        ("localhost:4111", "http://localhost:4111"),
        ("127.0.0.1:4111/", "http://127.0.0.1:4111/"),
        ("mastra:4111", "http://mastra:4111"),
        (" 'http://mastra:4111' ", "http://mastra:4111"),
        ("MASTRA_URL=http://mastra:4111", "http://mastra:4111"),
        ("agents.example.com", "agents.example.com"),
        ("https://agents.example.com", "https://agents.example.com"),
    ],
)
def test_scheme_is_assumed_where_it_can_be_only_one(answer: str, upstream: str) -> None:
    assert upstream_in(answer) == upstream


@pytest.mark.parametrize(
    ("kind", "answer", "issuer"),
    [
        ("clerk", "NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY=pk_test_abc", "pk_test_abc"),
        ("clerk", "`pk_test_abc`,", "pk_test_abc"),
        ("clerk", "${CLERK_PUBLISHABLE_KEY}", "CLERK_PUBLISHABLE_KEY"),
        ("auth0", "https://corp.eu.auth0.com/authorize", "corp.eu.auth0.com"),
        ("auth0", "corp.eu.auth0.com/", "corp.eu.auth0.com"),
        ("oidc", "login.example.com/realms/x", "https://login.example.com/realms/x"),
        ("oidc", "localhost:8080/realms/x", "http://localhost:8080/realms/x"),
        ("oidc", "https://login.example.com/", "https://login.example.com/"),
        ("entra", f"https://login.microsoftonline.com/{TENANT}/v2.0", TENANT),
        ("entra", f"https://sts.windows.net/{TENANT}/", TENANT),
        ("entra", TENANT, TENANT),
        ("okta", "https://corp.okta.com/oauth2/default", "corp.okta.com/oauth2/default"),
        ("keycloak", "http://sso/realms/x/protocol/openid-connect/auth", "http://sso/realms/x"),
        ("keycloak", "http://sso/realms/x/.well-known/openid-configuration", "http://sso/realms/x"),
        ("cognito", "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Ab12Cd34E", "eu-west-1_Ab12Cd34E"),
        ("supabase", "https://abcd.supabase.co/rest/v1/", "https://abcd.supabase.co"),
        ("supabase", "abcd", "abcd"),
        ("firebase", "https://securetoken.google.com/p-1", "p-1"),
        ("workos", "https://api.workos.com/sso/jwks/client_1", "client_1"),
        ("workos", "WORKOS_CLIENT_ID=client_1", "client_1"),
        ("better_auth", "http://localhost:3000", "http://localhost:3000"),
        ("jwt", "$MASTRA_JWT_SECRET", "MASTRA_JWT_SECRET"),
        ("jwt", "/run/secrets/mastra-jwt-secret", "/run/secrets/mastra-jwt-secret"),
    ],
)
def test_what_tells_a_provider_is_cleaned(kind: str, answer: str, issuer: str) -> None:
    assert issuer_in(answer, kind) == issuer


@pytest.mark.parametrize(("kind", "answer"), [("clerk", "sk_live_abc"), ("jwt", "aGVsbG8gd29ybGQgaGVsbG8")])
def test_secret_in_an_answer_is_refused_and_not_repeated(kind: str, answer: str) -> None:
    with pytest.raises(Unfit) as refused:
        issuer_in(answer, kind)
    assert answer not in str(refused.value)


def test_words_of_people_are_understood() -> None:
    assert [kind_in(word) for word in ("Clerk", " MastraJwtAuth ", "'auth0'", "saml")] == [
        "clerk",
        "jwt",
        "auth0",
        "saml",
    ]
    assert [domain_in(word) for word in ("@a.com", "*@a.com", '"a.com"', "a.com")] == ["a.com"] * 4


def test_init_makes_a_secret_once_and_takes_a_variable(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["init", "--type", "jwt"]) == 0
    made = (folder / "mastra-jwt.secret").read_bytes()
    assert run_command(["init", "--type", "jwt", "--force"]) == 0
    assert (folder / "mastra-jwt.secret").read_bytes() == made
    assert made.decode() not in capsys.readouterr().out
    assert run_command(["token"]) == 0
    monkeypatch.setenv("MASTRA_JWT_SECRET", "kJ4v9QzT2mX7bW1cR8yL5nP3sD6fG0hA")
    assert run_command(["init", "--type", "jwt", "-c", "other.yaml"]) == 0
    assert "secret: ${MASTRA_JWT_SECRET}" in (folder / "other.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        ([], 2, "--type is missing, expected one of jwt, clerk, auth0, oidc"),
        (["--type", "saml"], 2, "invalid choice"),
        (["--type", "clerk"], 2, "--issuer is missing"),
        (["--type", "auth0", "--issuer", "a.auth0.com"], 2, "--audience is missing"),
        (["--type", "google"], 2, "--audience is missing, expected the OAuth client id"),
        (["--type", "firebase"], 2, "--issuer is missing, expected The project's id"),
        (["--type", "keycloak", "--issuer", "https://sso", "--audience", "x"], 2, "--issuer: found no realm in it"),
        (["--type", "entra", "--issuer", "consumers", "--audience", "x"], 2, "gives a file with a mistake"),
        (["--type", "clerk", "--issuer", "nonsense"], 2, "expected pk_live_... or pk_test_..."),
        (["--type", "clerk", "--issuer", "sk_test_abc"], 2, "--issuer: found Clerk's secret key"),
        (["--type", "oidc", "--issuer", "http://evil.example", "--audience", "x"], 2, "gives a file with a mistake"),
        (["--type", "oidc", "--issuer", "https://a\nroutes: {}", "--audience", "x"], 2, "gives a file with a mistake"),
        ([*("--type", "auth0"), *FLAGS["auth0"], "--email-domain", "a@b"], 2, "gives a file with a mistake"),
        (["--type", "jwt", "--upstream", "ftp://x"], 2, "gives a file with a mistake"),
        (["--type", "jwt", "-c", "there.yaml"], 1, "is there already; --force writes over it"),
        ([*("--type", "auth0"), *FLAGS["auth0"], "-c", "no/such/folder.yaml"], 1, "cannot be written"),
    ],
)
def test_init_that_cannot_is_told_in_one_line_and_writes_nothing(
    arguments: list[str], status: int, expected: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "there.yaml").write_text("mine")
    assert run_command(["init", *arguments]) == status
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and expected in captured.err
    assert not (folder / "gateway.yaml").exists() and (folder / "there.yaml").read_text() == "mine"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_what_is_wrong_with_a_call_in_one_line(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command([command, "--nonsense"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert captured.err.startswith(f"gateway {command}: ") and f"gateway {command} --help" in captured.err


def test_misspelt_option_is_told_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["check", "--jsn"]) == 2
    assert "unknown option --jsn (did you mean --json?)" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["check", "serve", "token"])
def test_file_without_its_option_is_told_how_to_name_it(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([command, "other.yaml"]) == 2
    said = f"gateway {command}: the file is named by -c (did you mean gateway {command} -c other.yaml?)\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_for_and_shows_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert "examples:\n  " in out or "to use it:" in out
    assert max(map(len, out.splitlines())) <= 130


def test_serve_without_a_file_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["serve"]) == 2
    said = capsys.readouterr().err
    for way in ("gateway init", "-c FILE", "gateway demo"):
        assert way in said


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "tcsh"])
def test_completion_knows_every_command_and_its_options(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["completion", shell]) == 0
    script = capsys.readouterr().out
    for command in COMMANDS:
        assert command in script
    for option in ("against", "claims", "log-format"):
        assert option in script


@needs("fish")
def test_fish_completes(tmp_path: Path, folder: Path) -> None:
    made = subprocess.run([*GATEWAY, "completion", "fish"], env=environment(), capture_output=True, check=True)
    (tmp_path / "s").write_bytes(made.stdout)
    (folder / "beside.yaml").write_text("")

    def completed(line: str) -> list[str]:
        ask = f"source {tmp_path / 's'}; complete -C '{line}'"
        done = subprocess.run(
            ["fish", "--no-config", "-c", ask], capture_output=True, text=True, check=True, cwd=folder
        )
        return [one.split("\t")[0] for one in done.stdout.splitlines()]

    assert completed("gateway exp") == ["explain"]
    assert "--claims" in completed("gateway explain --cl")
    assert completed("gateway init --type cl") == ["clerk"]
    assert completed("gateway check -c besi") == ["beside.yaml"]


def test_gateway_alone_says_what_it_can_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert lines[0] == "gateway: say which command"
    assert [line.split()[0] for line in lines[1:-1]] == COMMANDS
    assert all(_SUMMARIES[line.split()[0]] == line[14:] for line in lines[1:-1])
    assert max(map(len, lines)) <= 80 and "gateway COMMAND --help" in lines[-1]


def test_standin_says_where_it_listens_or_why_not() -> None:
    with subprocess.Popen(
        [*GATEWAY, "standin", "--port", "0"], env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = re.fullmatch(
            r"A stand-in for Mastra listens on http://127\.0\.0\.1:(\d+), without any guard\. Ctrl-C ends it\.\n",
            process.stdout.readline(),
        )
        assert said is not None and status_of(f"http://127.0.0.1:{said[1]}/health") == 200
        second = subprocess.run(
            [*GATEWAY, "standin", "--port", said[1]], env=environment(), capture_output=True, text=True, check=False
        )
        process.terminate()
    assert process.returncode == 0
    assert second.returncode == 1 and second.stderr.count("\n") == 1
    assert second.stderr.startswith(f"gateway standin: cannot listen on 127.0.0.1:{said[1]}: ")


def test_bash_completes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["completion", "bash"]) == 0
    (tmp_path / "script").write_text(capsys.readouterr().out)
    ask = 'source ./script; COMP_WORDS=(gateway exp); COMP_CWORD=1; COMP_LINE="gateway exp"; COMP_POINT=11; '
    ask += '_shtab_gateway gateway exp gateway; echo "${COMPREPLY[@]}"'
    result = subprocess.run(["bash", "--norc", "-c", ask], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert result.stdout.split() == ["explain"], result.stderr
