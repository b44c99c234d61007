"""Where a provider's keys are, and what its issuers may be called: what is read, and each mistake in its words."""

from __future__ import annotations

import json
from math import inf
from typing import Any

import pytest

from gateway.policy.providers import KeySource, Provider, Proxy
from tests.configuring import file_with, full, mistakes, read
from tests.keyserver import certificate_pem, private_key, private_pem, public_pem, to_jwk

BASE = "type: oidc, issuer: https://jobs.corp.example, audience: mastra"
TEMPLATE = "https://login.microsoftonline.com/{tid}/v2.0"


def jwks(*members: dict[str, Any]) -> bytes:
    return json.dumps(
        {"keys": [to_jwk(private_key(f"k{n}"), f"k{n}", **more) for n, more in enumerate(members)]}
    ).encode()


MOUNTED = {
    "jwks.json": jwks({}, {}),
    "new.pem": public_pem(private_key("new", "P-256")),
    "old.pem": certificate_pem(private_key("old", "P-256")),
    "ca.crt": b"-----BEGIN CERTIFICATE-----",
    "token": b"abc",
}


def text_of(written: str) -> str:
    return file_with(
        providers=f"providers: {{p: {{{written}}}}}", routes="routes: {/api: {provider: p, allow: authenticated}}"
    )


def provider(written: str, mounted: dict[str, bytes] | None = None) -> Provider:
    return read(text_of(written), {}, MOUNTED | (mounted or {})).providers[0]


def told(written: str, mounted: dict[str, bytes] | None = None) -> list[str]:
    return mistakes(text_of(written), {}, MOUNTED | (mounted or {}))


def source_of(written: str) -> KeySource:
    source = provider(written).key_source
    assert source is not None
    return source


# Files.


def test_keys_in_a_jwks_file_are_read_with_the_configuration_and_watched_like_it() -> None:
    config = read(text_of(f"{BASE}, jwks_file: jwks.json"), {}, MOUNTED)
    source = config.providers[0].key_source
    assert source is not None and source.keys is not None
    assert source.keys.kids == {"k0", "k1"}
    assert (source.files, source.ttl_seconds) == (("jwks.json",), inf)
    assert not source.tries_each
    assert [path.name for path in config.sources] == ["jwks.json"]


def test_keys_in_pem_files_are_tried_in_the_order_of_the_file() -> None:
    source = source_of(f"{BASE}, algorithms: ES256, public_key_files: [new.pem, old.pem]")
    assert source.keys is not None and source.tries_each
    published = [private_key(name, "P-256").public_key() for name in ("new", "old")]
    assert [key.material for key in source.keys.keys] == published
    assert len(read(text_of(f"{BASE}, public_key_files: new.pem"), {}, MOUNTED).sources) == 1


@pytest.mark.parametrize("kind", ["clerk", "auth0"])
def test_every_type_with_public_keys_takes_them_from_files(kind: str) -> None:
    found = provider(f"type: {kind}, issuer: https://i.example, audience: x, jwks_file: jwks.json")
    assert found.key_source is not None and found.key_source.keys is not None
    assert found.issuers == frozenset({"https://i.example"})


def test_a_thousand_keys_with_certificates_are_read_and_one_more_is_not() -> None:
    # Key sets hold up to 1,000 keys; a file has no `max_size`.
    one = to_jwk(private_key("many", "P-256"), x5c=["A" * 2000])
    many = [{**one, "kid": f"k{number}"} for number in range(1001)]
    for count, said in ((1000, []), (1001, ["found 1001 keys, expected at most 1000"])):
        file = json.dumps({"keys": many[:count]}).encode()
        assert len(file) > 1024 * 1024
        found = told(f"{BASE}, jwks_file: jwks.json", {"jwks.json": file})
        assert [words for line in found for words in said if words in line] == said
        assert bool(found) == bool(said)


@pytest.mark.parametrize(
    ("key", "file", "said"),
    [
        ("jwks_file", b"", "jwks.json: found 0 bytes that are not UTF-8 JSON, expected a JWKS"),
        ("jwks_file", b"{}", "jwks.json: found a JSON object without a list `keys`"),
        ("jwks_file", b'{"keys": []}', "jwks.json: found no usable key among 0"),
        ("jwks_file", public_pem(private_key("new", "P-256")), "found PEM, expected a JWKS"),
        ("jwks_file", b'{"k1": "-----BEGIN CERTIFICATE-----..."}', "found PEM, expected a JWKS"),
        (
            "public_key_files",
            jwks({}),
            "found JSON, expected PEM: -----BEGIN PUBLIC KEY----- ('jwks_file' takes a JWKS)",
        ),
        ("public_key_files", b"x", "found no public key, expected PEM"),
        # A private key is a mistake with its place, whatever else is there.
        ("jwks_file", jwks({}, {"d": "AQAB"}), "jwks.json: keys[1].d: found a private key"),
        ("jwks_file", jwks({"p": "AQAB"}), "jwks.json: keys[0].p: found a private key"),
        ("jwks_file", jwks({"use": "enc", "d": "AQAB"}, {}), "jwks.json: keys[0].d: found a private key"),
        ("jwks_file", b'{"kty": "EC", "d": "AQAB"}', "jwks.json: d: found a private key"),
        ("jwks_file", jwks({}, {"kty": "oct", "k": "c2VjcmV0"}), "jwks.json: keys[1].k: found a shared secret"),
        ("public_key_files", private_pem(private_key("new", "P-256")), "jwks.json: line 1: found a private key"),
        ("public_key_files", jwks({"d": "AQAB"}), "jwks.json: keys[0].d: found a private key"),
    ],
)
def test_mistake_in_a_key_file_is_told_where_the_file_names_it(key: str, file: bytes, said: str) -> None:
    found = told(f"{BASE}, {key}: jwks.json", {"jwks.json": file})
    assert len(found) == 1 and said in found[0], found
    assert "AQAB" not in found[0]
    assert found[0].split(":")[0].isdecimal() and f"providers.p.{key}" in found[0]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("jwks_file: gone.json", "the file cannot be read: No such file"),
        ("jwks_uri: 'https://a/{tid}/k'", "with a brace: it is one address for every issuer"),
        ("jwks_file: jwks.json, jwks_uri: https://a/k", "found jwks_uri and jwks_file, expected one place of the keys"),
        ("jwks_file: jwks.json, public_key_files: new.pem", "expected one place of the keys"),
        ("jwks_file: jwks.json, ca_file: ca.crt", "found ca_file beside keys in a file, of which nothing is fetched"),
        ("public_key_files: new.pem, jwks: {ttl: 1m}", "found jwks beside keys in a file"),
        ("jwks_file: jwks.json, max_issuers: 3", "found max_issuers beside keys in a file"),
        ("public_key_files: []", "found an empty list"),
        ("ca_file: new.pem", "the file holds something else, expected a PEM file with a certificate"),
        ("jwks_uri: 'http://127.0.0.1/k', ca_file: ca.crt", "found ca_file with an http address"),
        ("max_issuers: 5", "found max_issuers, which is of templates"),
        ("max_issuers: 0", "expected a whole number from 1"),
    ],
)
def test_what_does_not_go_together_is_told(written: str, said: str) -> None:
    found = told(f"{BASE}, {written}")
    assert len(found) == 1 and said in found[0], found


def test_more_pem_keys_than_a_stranger_may_have_tried_are_refused() -> None:
    file = b"".join(public_pem(private_key(f"pem{number}", "P-256")) for number in range(17))
    (found,) = told(f"{BASE}, public_key_files: many.pem", {"many.pem": file})
    assert "found 17 keys to be tried in turn, expected at most 16 ('jwks_file'" in found


# How keys are asked for.


def test_private_authority_proxy_token_and_headers() -> None:
    source = source_of(
        f"{BASE}, ca_file: ca.crt, jwks: {{proxy: 'http://us%40er:p%3Ass@proxy.corp.example:3128', token_file: token, "
        "headers: {X-Api-Version: '2'}}"
    )
    assert source.ca_file is not None and source.ca_file.endswith("/ca.crt")
    assert source.proxy == Proxy("http://proxy.corp.example:3128", "us@er", "p:ss")
    assert source.token_file is not None and source.token_file.endswith("/token")
    assert source.headers == (("X-Api-Version", "2"),)
    assert "p:ss" not in repr(source) and "us@er" not in repr(source) and "'2'" not in repr(source)


def test_token_that_is_rotated_is_no_reason_to_read_the_file_again() -> None:
    config = read(text_of(f"{BASE}, ca_file: ca.crt, jwks: {{token_file: token}}"), {}, MOUNTED)
    assert [path.name for path in config.sources] == ["ca.crt"]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("proxy: proxy.corp.example:3128", "found something that is no address of a proxy"),
        ("proxy: 'socks5://proxy:1080'", "found a proxy with another scheme than http (socks5)"),
        ("proxy: 'https://user:hush@proxy:1080'", "found a proxy with another scheme than http (https)"),
        ("proxy: 'http://user:hush@proxy/path'", "found something that is no address of a proxy"),
        ("proxy: 'http://user:hush@'", "found something that is no address of a proxy"),
        ("proxy: 'http://user:hush@pro xy:3128'", "found an address with a space"),
        ("proxy: 'http://user:hush@proxy'", "found a proxy without a port"),
        ("proxy: 'http://:hush@proxy:1'", "found a password without a user"),
        ("token_file: gone", "the file cannot be read"),
        ("token_file: token, headers: {authorization: hush}", "found token_file and the header Authorization"),
        ("headers: {Host: hush}", "Host is the gateway's own to set"),
        ("headers: {Connection: hush}", "Connection is the gateway's own to set"),
        ("headers: {Content-Length: hush}", "Content-Length is the gateway's own to set"),
        ("headers: {X-A: hush, x-a: hush}", "found x-a twice"),
        ('headers: {X-A: "hush\\r\\nX-B: 1"}', "found a value with a character that no header has"),
        ("headers: {X-A: hüsh}", "found a value with a character that no header has"),
        ("headers: {X A: hush}", "with a character that no header name has"),
        ("headers: {}", "found an empty mapping, expected headers"),
        ("headers: hush", "expected headers"),
    ],
)
def test_mistake_in_how_keys_are_asked_for_is_told_without_the_secret(written: str, said: str) -> None:
    text = text_of(f"{BASE}, jwks: {{{written}}}")
    found = mistakes(text, {}, MOUNTED)
    assert len(found) == 1 and said in found[0], found
    printed = full(text)
    assert "hush" not in printed and "hüsh" not in printed


@pytest.mark.parametrize("break_it", ["jwks: {headers: {Authorization: Basic hush}, ttl: }}}}", "a: b: c"])
def test_credentials_are_not_shown_of_a_file_that_is_no_yaml(break_it: str) -> None:
    begin = "providers:\n  p:\n    jwks:\n      proxy: http://u:hush@proxy:3128\n      headers:\n"
    text = f"{begin}        Authorization: Basic hush\n{break_it}\n"
    assert "hush" not in full(text) and full(text)


# Issuers.


def test_each_issuer_of_a_list_has_its_own_discovery() -> None:
    found = provider("type: oidc, issuer: [https://a.example, https://b.example], audience: x, jwks: {ttl: 1m}")
    assert found.key_source is None
    assert [(one.issuer, one.jwks_uri, one.ttl_seconds) for one in found.issuer_sources] == [
        ("https://a.example", None, 60.0),
        ("https://b.example", None, 60.0),
    ]
    assert found.issuers == frozenset({"https://a.example", "https://b.example"})


def test_template_beside_an_exact_issuer() -> None:
    found = provider(f"type: oidc, issuer: ['https://a.example', '{TEMPLATE}'], audience: x, max_issuers: 7")
    assert found.issuers == frozenset({"https://a.example"})
    assert [template.text for template in found.issuer_templates] == [TEMPLATE]
    assert [(one.issuer, one.max_issuers) for one in found.issuer_sources] == [("https://a.example", 0), (None, 7)]


def test_template_with_one_address_of_keys_needs_no_discovery() -> None:
    found = provider(f"type: oidc, issuer: '{TEMPLATE}', audience: x, jwks_uri: 'https://login.example/keys'")
    assert found.key_source is not None and found.key_source.jwks_uri == "https://login.example/keys"
    assert not found.issuer_sources and found.issuers == frozenset()


@pytest.mark.parametrize(
    "name",
    ["accounts.google.com", "stytch.com/project-live-1", "http://adfs.corp.example/adfs/services/trust",
     "svc@project.iam.gserviceaccount.com", "urn:corp:idp", "https://i.example/?x#y"],
)  # fmt: skip
@pytest.mark.parametrize(
    "where", ["jwks_uri: 'https://k.example/keys'", "jwks_file: jwks.json", "public_key_files: new.pem"]
)
def test_issuer_is_a_name_of_any_form_where_the_keys_are_elsewhere(name: str, where: str) -> None:
    found = provider(f"type: oidc, issuer: '{name}', audience: x, {where}")
    assert found.issuers == frozenset({name})
    assert found.key_source is not None and not found.key_source.allow_http


def test_http_issuer_that_is_asked_for_keys_is_still_refused() -> None:
    for issuer in ("'http://adfs.corp.example/x'", "['https://a.example', 'http://adfs.corp.example/x']"):
        (found,) = told(f"type: oidc, issuer: {issuer}, audience: x")
        assert "found an http address that is not loopback" in found
    (found,) = told("type: oidc, issuer: 'http://idp.corp.example/{tid}', audience: x")
    assert "found an http address that is not loopback" in found


@pytest.mark.parametrize(
    ("issuer", "said"),
    [
        ("https://{tenant}.example/v2.0", "with a brace in its host"),
        ("https://{tenant}/v2.0", "with a brace in its host"),
        ("https://a.example:{port}/v2.0", "with a brace in its host"),
        ("https://u:{p}@a.example/v2.0", "with a brace in its host"),
        ("{scheme}://a.example/v2.0", "with a brace in its host"),
        ("{tid}", "with a brace in its host"),
        ("https://a.example/tenant-{tid}/v2.0", "with a brace that fills a part of a segment"),
        ("https://a.example/{tid}{x}/v2.0", "with a brace that fills a part of a segment"),
        ("https://a.example/v2.0?t={tid}", "with a brace that fills a part of a segment"),
        ("https://a.example/{tid}/v2.0?x", "with a query or fragment"),
        ("https://a.example/{tid}/v2.0#x", "with a query or fragment"),
        ("https://a.example/{tid/v2.0", "with a brace that has no other"),
        ("https://a.example/tid}/v2.0", "with a brace that has no other"),
        ("https://a.example/{{tid}}/v2.0", "with a brace that has no other"),
        ("https://a.example/{}/v2.0", "without a claim's name"),
        ("https://a.example/{ }/v2.0", "without a claim's name"),
        ("https://a.example/{/a~b}/v2.0", "that is no JSON Pointer"),
        ("ftp://a.example/{tid}", "with another scheme than http and https"),
        ("a.example/x/y/{tid}", "without a scheme"),
        ("https://u:p@a.example/{tid}", "with a user or password"),
    ],
)
@pytest.mark.parametrize("where", ["", ", jwks_uri: 'https://k.example/keys'"])
def test_template_that_could_lead_elsewhere_is_refused(issuer: str, said: str, where: str) -> None:
    # A token would choose whom to ask: SSRF, CWE-918.
    found = told(f"type: oidc, issuer: '{issuer}', audience: x{where}")
    assert len(found) == 1 and said in found[0], found


def test_claim_of_a_template_may_be_inside_another_and_have_a_long_name() -> None:
    found = provider("type: oidc, issuer: 'https://a.example/{/org/id}/x/{https://b.example/t}', audience: x")
    (template,) = found.issuer_templates
    claims = {"org": {"id": "o1"}, "https://b.example/t": "t1"}
    assert template.fault("https://a.example/o1/x/t1", claims) is None


@pytest.mark.parametrize("host", ["login.microsoftonline.com", "LOGIN.microsoftonline.us", "sts.windows.net"])
@pytest.mark.parametrize("word", ["common", "organizations", "consumers", "Common"])
def test_entras_words_for_many_tenants_are_refused_with_the_template_as_the_way_out(host: str, word: str) -> None:
    (found,) = told(f"type: oidc, issuer: 'https://{host}/{word}/v2.0', audience: x")
    assert f"did you mean 'https://{host}/{{tid}}/v2.0'?" in found
    (found,) = told(f"type: oidc, issuer: 'https://{host}/{word}/', audience: x, jwks_uri: 'https://k.example/keys'")
    assert f"did you mean 'https://{host}/{{tid}}/'?" in found


def test_entras_own_placeholder_is_no_claim() -> None:
    (found,) = told("type: oidc, issuer: 'https://login.microsoftonline.com/{tenantid}/v2.0', audience: x")
    assert "with {tenantid}, which is no claim of Entra's tokens" in found
    assert "(did you mean 'https://login.microsoftonline.com/{tid}/v2.0'?)" in found


def test_those_words_are_names_like_others_elsewhere() -> None:
    assert provider("type: oidc, issuer: 'https://idp.example/common/v2.0', audience: x").issuers


def test_shared_secret_may_have_a_template_too() -> None:
    found = provider("type: jwt, secret: wohYeequ8aish4ahQuoo4aiPh7aish2eeF0, issuer: 'https://a.example/{org}'")
    assert (found.issuers, [one.text for one in found.issuer_templates]) == (frozenset(), ["https://a.example/{org}"])


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        (TEMPLATE, TEMPLATE, True),
        (TEMPLATE, "https://login.microsoftonline.com/11111111-2222/v2.0", True),
        (TEMPLATE, "https://login.microsoftonline.com/{oid}/v2.0", True),
        (TEMPLATE, "https://login.microsoftonline.com/x/y/v2.0", False),
        (TEMPLATE, "https://login.microsoftonline.com/../v2.0", False),
        (TEMPLATE, "https://login.microsoftonline.com/{tid}/v1.0", False),
        (TEMPLATE, "https://login.microsoftonline.us/{tid}/v2.0", False),
        ("https://a.example/{x}/b", "https://a.example/b/{y}", True),
        ("https://a.example/{x}/b", "https://a.example/a/{y}/b", False),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_two_providers_that_could_take_one_token_are_refused(one: str, other: str, overlap: bool, turned: bool) -> None:
    first, second = (other, one) if turned else (one, other)
    where = "audience: x, jwks_uri: 'https://k.example/keys'"
    text = file_with(
        providers=f"""
            providers:
              a: {{type: oidc, issuer: '{first}', {where}}}
              b: {{type: oidc, issuer: '{second}', {where}}}
        """,
        routes="routes: {/api: {provider: [a, b], allow: authenticated}}",
    )
    found = mistakes(text)
    assert bool(found) == overlap
    assert not found or ("no token can tell 'a' and 'b' apart: both take issuers of the form" in found[0])
