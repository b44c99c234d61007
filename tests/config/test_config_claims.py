"""What the file says of claims: which one holds a fact, what a provider asks for, how a secret is written."""

from __future__ import annotations

import base64

import pytest

from gateway.policy.claim_names import claim_at
from gateway.policy.rules import Claim
from tests.config.test_config_providers import provider, told
from tests.configuring import file_with, mistakes, only_route, read
from tests.secrecy import keep_secret

OIDC = "type: oidc, issuer: https://idp.example.com, audience: x"
RAW = bytes(range(1, 49))
STANDARD = keep_secret(base64.b64encode(b"\xfb\xff" * 24).decode())
URL = keep_secret(base64.urlsafe_b64encode(b"\xfb\xff" * 24).decode())
NAMES = ["plan", "https://example.com/plan", "/app/plan", "/a~1b/0", "a.b"]
KEYS = [
    "subject_claim", "email_claim", "email_verified_claim", "client_claim", "organization_claim", "roles_claim",
    "groups_claim", "scopes_claim", "permissions_claim",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_key_that_names_a_claim_reads_names_alike(name: str) -> None:
    found = provider(
        "{" + OIDC + ", required_claims: " + f"'{name}'" + "".join(f", {key}: '{name}'" for key in KEYS) + "}"
    )
    read_names = [getattr(found, key) for key in KEYS if key != "client_claim"]
    assert read_names == [name] * (len(KEYS) - 1)
    assert found.client_claims == found.required_claims == (name,)


@pytest.mark.parametrize("name", ["/a~", "/a~2b", "/~", "''", "' '"])
@pytest.mark.parametrize("key", [*KEYS, "required_claims"])
def test_name_that_is_none_is_a_mistake_with_its_place(key: str, name: str) -> None:
    (mistake,) = told(f"{{{OIDC}, {key}: {name}}}")
    assert f"providers.p.{key}: found" in mistake
    assert ("JSON Pointer of RFC 6901" in mistake) is name.startswith("/")


@pytest.mark.parametrize("name", ["/a~", "/a~2b"])
def test_pointer_that_is_none_is_a_mistake_wherever_a_claim_is_named(name: str) -> None:
    identity = f"authorization: sign, secret: {'0123456789abcdefGHIJKLMNOPqrstuvwxyz'}"
    for upstream, rule in [
        (f"{{headers: {{X-A: 'claim:{name}'}}}}", "authenticated"),
        (f"{{{identity}, claims: ['{name}']}}", "authenticated"),
        ("{}", f"{{claim: {{'{name}': x}}}}"),
    ]:
        text = file_with(
            upstreams=f"upstreams: {{m: {{url: http://x, identity: {upstream}}}}}",
            routes=f"routes: {{/api: {{provider: jobs, allow: {rule}}}}}",
        )
        assert any("JSON Pointer of RFC 6901" in line for line in mistakes(text)), (upstream, rule)


def test_conditions_of_a_provider() -> None:
    found = provider(f"{{{OIDC}, client: [web, job], max_lifetime: 1h, required_claims: [email, /a/b]}}")
    assert (found.clients, found.max_lifetime_seconds) == (frozenset({"web", "job"}), 3600.0)
    assert found.required_claims == ("email", "/a/b")
    plain = provider(f"{{{OIDC}}}")
    assert (plain.clients, plain.max_lifetime_seconds, plain.required_claims, plain.has_conditions) == (
        None, None, (), False,
    )  # fmt: skip
    assert plain.client_claims == ("azp", "client_id", "cid", "appid")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("client: []", "found an empty list"),
        ("client: ''", "found an empty value"),
        ("client: [a, a]", "found 'a' twice"),
        ("max_lifetime: 0s", "which is no time at all"),
        ("max_lifetime: 3600", "without a unit"),
        ("required_claims: []", "found an empty list"),
        ("required_claims: {a: b}", "expected"),
        ("roles_separator: ''", "expected one character"),
        ("roles_separator: ', '", "expected one character"),
        ("roles_separator: x", "expected one character"),
        ("roles_separator: [a]", "expected one character"),
        ('roles_separator: "\\n"', "expected one character"),
        ("algorithms: [Ed448]", "expected an algorithm"),
        ("algorithms: [ed25519]", "did you mean 'Ed25519'?"),
        ("algorithms: [Ed25519, HS256]", "found HS256 beside EdDSA"),
        ("secret_encoding: base64", "it belongs to type jwt"),
        ("accept: [session, oauth]", "it belongs to type clerk"),
    ],
)
def test_condition_that_cannot_be_read(written: str, expected: str) -> None:
    found = told(f"{{{OIDC}, {written}}}")
    assert len(found) == 1 and expected in found[0], found


@pytest.mark.parametrize("separator", [" ", ",", ";", "|", "/"])
def test_separator_is_one_character(separator: str) -> None:
    assert provider(f"{{{OIDC}, roles_separator: '{separator}'}}").roles_separator == separator


@pytest.mark.parametrize("written", ["Ed25519", "EdDSA", "[Ed25519, EdDSA]", "[EdDSA, Ed25519]"])
def test_ed25519_and_eddsa_are_one_algorithm(written: str) -> None:
    assert provider(f"{{{OIDC}, algorithms: {written}}}").algorithms == {"EdDSA"}


def test_kinds_of_clerk() -> None:
    clerk = "type: clerk, issuer: https://clerk.example.com"
    found = provider(f"{{{clerk}, accept: [session, template, oauth, machine]}}")
    assert found.clerk_kinds == frozenset({"session", "template", "oauth", "machine"})
    assert found.types == {"jwt", "at+jwt"}
    plain = provider(f"{{{clerk}, accept: machine}}")
    assert plain.clerk_kinds == frozenset({"machine"})
    assert plain.types == {"jwt"}
    assert provider(f"{{{clerk}}}").clerk_kinds == {"session"}


@pytest.mark.parametrize(
    ("written", "secret"),
    [
        (STANDARD, b"\xfb\xff" * 24),
        (STANDARD.rstrip("="), b"\xfb\xff" * 24),
        (URL, b"\xfb\xff" * 24),
        (base64.b64encode(RAW[:32]).decode(), RAW[:32]),
        (base64.b64encode(RAW[:32]).decode().rstrip("="), RAW[:32]),
        (base64.b64encode(RAW[:33] + b"\0").decode(), RAW[:33] + b"\0"),
    ],
)
def test_secret_in_base64_is_its_bytes(written: str, secret: bytes) -> None:
    given = "type: jwt, secret_encoding: base64"
    assert provider(f'{{{given}, secret: "{written}"}}').secrets[0].material == secret
    assert provider(f'{{{given}, secrets: ["{written}"]}}').secrets[0].material == secret
    assert provider(f'{{{given}, secret: "${{S}}"}}', {"S": written}).secrets[0].material == secret
    assert provider(f"{{{given}}}", {"MASTRA_JWT_SECRET": written}).secrets[0].material == secret
    # As `openssl rand -base64 96` writes it, in lines.
    lines = "\n".join(written[i : i + 20] for i in range(0, len(written), 20)) + "\n"
    for mounted in (lines, lines.replace("\n", "\r\n")):
        found = provider(f"{{{given}, secret_file: s}}", mounted={"s": mounted.encode()})
        assert found.secrets[0].material == secret
    as_text = provider(f'{{type: jwt, secret: "{written}", secret_encoding: text}}')
    assert as_text.secrets[0].material == written.encode()


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param(STANDARD[:-1] + "!", "found no base64", id="another-character"),
        pytest.param(STANDARD[:30] + " " + STANDARD[30:], "found no base64", id="space"),
        pytest.param("+" + "A1b2" * 11 + "-9_", "found no base64", id="both-alphabets"),
        pytest.param(base64.b64encode(RAW[:34]).decode()[:-1], "found no base64", id="half-its-padding"),
        pytest.param(STANDARD + "=", "found no base64", id="padding-too-much"),
        pytest.param("=" + STANDARD, "found no base64", id="padding-first"),
        pytest.param("A1b2" * 11 + "A", "found no base64", id="one-character-over"),
        pytest.param("A1b2" * 11 + "AB==", "found no base64", id="bits-left-over"),
        pytest.param("\u00fc" + STANDARD, "found no base64", id="not-ascii"),
        pytest.param("=" * 36, "found no base64", id="padding-alone"),
        pytest.param(base64.b64encode(RAW[:31]).decode(), "decoded: found 31 bytes, expected at least 32", id="short"),
        pytest.param("A" * 64, "decoded: found one character repeated", id="zeros"),
        pytest.param(base64.b64encode(b"changeme" * 5).decode(), "decoded: found a well-known", id="placeholder-in"),
        pytest.param("supersecret" * 4, "found a well-known placeholder", id="placeholder-as-it-is"),
        pytest.param(
            base64.b64encode(b"-----BEGIN PUBLIC KEY-----\nMIIB").decode(), "decoded: found a key", id="public-key"
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("way", ["file", "list", "mounted", "environment"])
def test_secret_that_is_no_good_base64_is_a_mistake(written: str, expected: str, way: str) -> None:
    given = "type: jwt, secret_encoding: base64"
    found = {
        "file": lambda: told(f'{{{given}, secret: "{written}"}}'),
        "list": lambda: told(f'{{{given}, secrets: ["{STANDARD}", "{written}"]}}'),
        "mounted": lambda: told(f"{{{given}, secret_file: s}}", mounted={"s": written.encode()}),
        "environment": lambda: told(f"{{{given}}}", {"MASTRA_JWT_SECRET": written}),
    }[way]()
    assert len(found) == 1 and expected in found[0]
    assert written not in found[0] and written[:12] not in found[0]
    assert way != "list" or "secrets[1]" in found[0]


def test_length_for_longer_hashes_counts_decoded_bytes() -> None:
    text = base64.b64encode(RAW).decode()  # 64 characters, 48 bytes
    given = f'type: jwt, secret_encoding: base64, secret: "{text}"'
    assert provider(f"{{{given}, algorithms: HS384}}").secrets
    (mistake,) = told(f"{{{given}, algorithms: HS512}}")
    assert "found 48 bytes, expected at least 64" in mistake


def test_every_weak_secret_of_a_list_is_told() -> None:
    found = told("{type: jwt, secrets: [short, also-short]}")
    assert len(found) == 2 and "secrets[0]" in found[0] and "secrets[1]" in found[1]


@pytest.mark.parametrize("secret", ["super-secret-jwt-token-with-at-least-32-characters-long"])
def test_secret_of_every_local_supabase_is_a_placeholder(secret: str) -> None:
    (mistake,) = told(f"{{type: jwt, secret: {secret}}}")
    assert "found a well-known placeholder" in mistake


def warnings(provider: str, rule: str) -> tuple[str, ...]:
    return read(
        f"upstream: http://x\nproviders:\n  them: {{{provider}}}\nroutes:\n  /api: {{provider: them, allow: {rule}}}\n"
    ).warnings


@pytest.mark.parametrize("rule", ["{email_domain: a.test}", "{email: x@a.test}", "{when: user.email != ''}"])
def test_email_that_nobody_need_have_verified_is_warned_about(rule: str) -> None:
    (warning,) = warnings(OIDC, rule)
    assert warning.startswith("gateway.yaml:3:3: providers.them: the rules of '/api' go by an email")
    assert "expected 'email_verified: required'" in warning
    for said in ("required", "if_present"):
        assert warnings(f"{OIDC}, email_verified: {said}", rule) == (), "who has written it has thought of it"
    assert warnings(OIDC, "{role: x}") == ()
    secret = "0123456789abcdefGHIJKLMNOPqrstuvwxyz"
    assert warnings(f"type: jwt, secret: {secret}", rule) == ()


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("{claim: {name: plan, equals: free}}", "'name' and 'equals'; a claim's name stands before the colon (did you "
         "mean {'plan': 'free'}?)"),
        ("{claim: {claim: plan, value: free}}", "'claim' and 'value'"),
        ("{claim: {name: plan, in: [free, paid]}}", "(did you mean {'plan': [...]}?)"),
        ("{not: {claim: {Name: plan, Equals: free}}}", "'Name' and 'Equals'"),
        ("{any: [{claim: {equals: free, name: plan}}, {role: x}]}", "'name' and 'equals'"),
    ],
)  # fmt: skip
def test_claim_and_value_written_as_a_pair_are_warned_about(rule: str, said: str) -> None:
    (warning,) = warnings(OIDC, rule)
    assert said in warning and "this asks for two claims" in warning


@pytest.mark.parametrize(
    "rule",
    [
        "{claim: {name: Ann}}",
        "{claim: {name: Ann, plan: free}}",
        "{claim: {plan: free, value: 3}}",
        "{claim: {name: Ann, value: 3, plan: free}}",
        "{claim: {equals: x}}",
        "{claim: {name: [Ann, Bob], value: 3}}",
    ],
)
def test_claims_that_are_called_so_are_not(rule: str) -> None:
    assert warnings(OIDC, rule) == ()


def test_pair_is_still_read_as_it_is_written() -> None:
    (rule,) = only_route("{claim: {name: plan}}").allow
    assert isinstance(rule, Claim) and claim_at({"name": "plan"}, rule.steps) == (True, "plan")
