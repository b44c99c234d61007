"""For all claims and addresses: what differs in type or spelling passes no `deny`, and nobody becomes the proxy."""

from __future__ import annotations

import ipaddress
import unicodedata
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.policy.addresses import client_of, is_within
from gateway.policy.decision import Allow, decide
from gateway.policy.jwk import Key
from gateway.policy.key_lookup import Keys, NoKey
from gateway.policy.model import Headers, RequestHead
from gateway.policy.providers import KeySource
from tests.configuring import SECRET, read
from tests.minting import NOW, mint

PROPERTIES = settings(settings.get_profile("properties"), max_examples=250)

# fact -> (the rule, its claim, the value that it asks for)
RULES: dict[str, tuple[str, str, Any]] = {
    "flag": ("claim: {suspended: true}", "suspended", True),
    "no": ("claim: {active: false}", "active", False),
    "text": ("claim: {plan: free}", "plan", "free"),
    "number": ("claim: {level: 10}", "level", 10),
    "role": ("role: banned", "roles", "banned"),
    "group": ("group: banned", "groups", "banned"),
    "scope": ("scope: trial", "scope", "trial"),
    "permission": ("permission: trial", "permissions", "trial"),
    "domain": ("email_domain: mallory.com", "email", "m@mallory.com"),
    "email": ("email: m@mallory.com", "email", "m@mallory.com"),
    "subject": ("subject: mallory", "sub", "mallory"),
    "organization": ("organization: org_bad", "org_id", "org_bad"),
    "client": ("client: robot", "azp", "robot"),
}
ROUTES = "".join(
    f"\n  /deny/{fact}: {{provider: jobs, allow: authenticated, deny: {{{rule}}}}}"
    f"\n  /not/{fact}: {{provider: jobs, allow: {{not: {{{rule}}}}}}}"
    f"\n  /allow/{fact}: {{provider: jobs, allow: {{{rule}}}}}"
    for fact, (rule, _, _) in RULES.items()
)
POLICY = read(f"upstream: http://h:1\nproviders: {{jobs: {{type: jwt, secret: {SECRET}}}}}\nroutes:{ROUTES}\n").policy


class NoKeys(Keys):
    def find(self, source: KeySource, kid: str | None, algorithm: str, now: float) -> Key | NoKey:
        raise AssertionError("no route here takes tokens of a key server")


def passes(path: str, claims: dict[str, Any]) -> bool:
    token = mint({"sub": "u", "email": "u@example.com", "exp": NOW + 60, **claims}, SECRET.encode())
    lines = [("Host", "gw.test"), ("Authorization", f"Bearer {token}")]
    return isinstance(
        decide(POLICY, NoKeys(), RequestHead("GET", path, Headers(lines), "192.0.2.1", "http"), NOW), Allow
    )


def wide(text: str) -> str:
    """Return a text in Unicode's full-width letters, which look the same and are made the same by NFKC."""
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


@st.composite
def spelt(draw: st.DrawFn, text: str) -> str:
    """A text in another case, with white space around, or in full width; the same text too."""
    bits = draw(st.integers(0, 2 ** len(text) - 1))
    mixed = "".join(c.swapcase() if bits >> place & 1 else c for place, c in enumerate(text))
    space = st.sampled_from(["", "", " ", "\t", "\u00a0", "\n"])
    letters: str = draw(st.sampled_from([mixed, mixed, wide(mixed)]))
    return f"{draw(space)}{letters}{draw(space)}"


@st.composite
def unlike_in_form_only(draw: st.DrawFn, value: Any) -> Any:
    """A JSON value that somebody could write for another: of another type or spelling, in a list, in an object."""
    text = value if isinstance(value, str) else {True: "true", False: "false"}.get(value, str(value))
    forms: list[st.SearchStrategy[Any]] = [
        st.just(value),
        spelt(text),
        st.just({"value": value}),
        st.just({text: True}),
    ]
    if not isinstance(value, str):
        forms.append(st.sampled_from([int(value), float(value), str(int(value)), bool(value), None]))
    form = draw(st.one_of(forms))
    others = draw(st.lists(st.sampled_from([value, form]), max_size=2))
    return draw(st.sampled_from([form, [form], [form, *others], [[form]]]))


FACTS = st.sampled_from(sorted(RULES))


@settings(PROPERTIES, max_examples=600)
@given(st.data())
def test_what_differs_in_type_or_spelling_only_passes_neither_deny_nor_not(data: st.DataObject) -> None:
    fact = data.draw(FACTS)
    _, claim, value = RULES[fact]
    claims = {claim: data.draw(unlike_in_form_only(value))}
    assert not passes(f"/deny/{fact}", claims)
    assert not passes(f"/not/{fact}", claims)


JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-20, 20),
        st.floats(-20, 20),
        st.sampled_from(["", "free", "true", "10", "x y"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["a", "free"]), inner, max_size=2)
    ),
    max_leaves=5,
)


@PROPERTIES
@given(FACTS, JSON)
def test_no_claim_passes_a_rule_and_its_opposite(fact: str, value: Any) -> None:
    claims = {RULES[fact][1]: value}
    is_allowed = passes(f"/allow/{fact}", claims)
    assert not (is_allowed and passes(f"/deny/{fact}", claims))
    assert not (is_allowed and passes(f"/not/{fact}", claims))
    assert passes(f"/deny/{fact}", claims) == passes(f"/not/{fact}", claims)


@PROPERTIES
@given(st.sampled_from(["role", "group", "scope"]), st.data())
def test_another_name_of_a_fact_is_never_overlooked(fact: str, data: st.DataObject) -> None:
    names = {"role": ["roles", "role"], "group": ["groups", "group"], "scope": ["scope", "scp"]}[fact]
    bad = data.draw(unlike_in_form_only(RULES[fact][2]))
    innocent = data.draw(st.sampled_from(["viewer", ["viewer"], [], ["viewer", "editor"]]))
    first, second = data.draw(st.permutations(names))
    assert not passes(f"/deny/{fact}", {first: bad, second: innocent})
    assert not passes(f"/not/{fact}", {first: bad, second: innocent})


TRUSTED = tuple(map(ipaddress.ip_network, ("127.0.0.0/8", "10.0.0.0/8", "fd00::/8")))
PROXY = "10.0.0.1"
WRITTEN = st.one_of(
    st.sampled_from(
        ["10.0.0.9", "8.8.8.8", "unknown", "", " ", "fd00::1", "[fd00::1]:80", "8.8.8.8:1", "::ffff:8.8.8.8", "10.0.0"]
    ),
    st.sampled_from(
        ["::ffff:10.0.0.9", "10.0.0.9:1", "evil", "_x", '"10.0.0.9"', "for=10.0.0.9", "010.0.0.9", "2001:db8::1"]
    ),
    st.text(st.sampled_from('0123456789abcdef.:[]% \t"=-x'), max_size=12),
)
VALUES = st.lists(st.lists(WRITTEN, max_size=5).map(",".join), max_size=3)


@settings(PROPERTIES, max_examples=500)
@given(VALUES)
def test_the_client_is_never_the_proxy_unless_all_that_was_written_is(values: list[str]) -> None:
    client, _ = client_of(PROXY, values, TRUSTED)
    written = [piece.strip(" \t") for value in values for piece in value.split(",")]
    if values and is_within(client, TRUSTED) is not False and client != "unknown":
        # As strictly as can be: whole addresses, after port and brackets.
        assert all(is_within(piece, TRUSTED) for piece in written if piece)
        assert any(written)
    if values and not any(written):
        assert client == "unknown"


@settings(PROPERTIES, max_examples=300)
@given(
    VALUES,
    st.sampled_from(["198.51.100.7", "198.51.100.7:443", "[2001:db8::7]:1", "::ffff:198.51.100.7", "unknown", "what"]),
)
def test_what_a_stranger_wrote_before_changes_nothing(prefix: list[str], own: str) -> None:
    alone = client_of(PROXY, [own], TRUSTED)
    assert client_of(PROXY, [*prefix, own], TRUSTED) == alone
    if prefix:  # in one line with it, too
        assert client_of(PROXY, [*prefix[:-1], f"{prefix[-1]}, {own}"], TRUSTED) == alone
    assert not is_within(alone[0], TRUSTED)


def test_full_width_is_another_spelling() -> None:
    assert unicodedata.normalize("NFKC", wide("free")) == "free"
