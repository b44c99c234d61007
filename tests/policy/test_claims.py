"""The many names of issuers come out under one set of names."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.policy.claims import principal_of, told_claim
from gateway.policy.denied import Denied
from gateway.policy.emails import email_claim, read_email
from gateway.policy.model import Principal
from gateway.policy.providers import Kind, Provider
from gateway.policy.reasons import Reason


def principal(kind: Kind = "oidc", settings: dict[str, Any] | None = None, **claims: Any) -> Principal:
    provider = Provider("p", kind, frozenset({"RS256"}), **(settings or {}))
    return principal_of({"sub": "u1", **claims}, provider)


@pytest.mark.parametrize(
    ("email", "domain"),
    [
        ("alice@example.com", "example.com"),
        ("Alice@EXAMPLE.COM", "example.com"),
        ("a.b+c_d!#$%&*=?^`|~/@x-y.example.com", "x-y.example.com"),
    ],
)
def test_email_that_can_be_compared(email: str, domain: str) -> None:
    assert read_email(email) == (email, domain)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("a@evil.com@example.com", id="two-ats"),  # CVE-2026-40574
        pytest.param("example.com", id="no-at"),
        pytest.param("@example.com", id="no-local-part"),
        pytest.param("a@", id="no-domain"),
        pytest.param("a b@example.com", id="space"),
        pytest.param('"a"@example.com', id="quotes"),
        pytest.param("a,b@example.com", id="comma"),
        pytest.param("a;b@example.com", id="semicolon"),
        pytest.param("<a@example.com>", id="angle-brackets"),
        pytest.param("(x)a@example.com", id="comment"),
        pytest.param("a\n@example.com", id="newline"),
        pytest.param("a\x00@example.com", id="nul"),
        pytest.param("a@exa mple.com", id="space-in-domain"),
        pytest.param("a@example.com\n", id="newline-last"),
        pytest.param("a@[127.0.0.1]", id="address-literal"),
        pytest.param("a@example.com.", id="closing-dot"),
        pytest.param("a@.example.com", id="opening-dot"),
        pytest.param("a@example..com", id="two-dots"),
        pytest.param("a@-example.com", id="label-begins-with-hyphen"),
        pytest.param("a@example-.com", id="label-ends-with-hyphen"),
        pytest.param("a@" + "x" * 64 + ".com", id="label-too-long"),
        pytest.param("a@" + "x." * 126 + "xx", id="domain-too-long"),
        pytest.param("a@ex\u0430mple.com", id="cyrillic"),
        pytest.param("\u00fc@example.com", id="unicode-local-part"),
        pytest.param(["alice@example.com"], id="list"),
        pytest.param({"alice@example.com": 1}, id="object"),
        pytest.param(None, id="null"),
        pytest.param(7, id="number"),
    ],
)
def test_email_that_no_rule_may_compare(value: object) -> None:
    assert read_email(value) == (None, None)


@pytest.mark.parametrize(
    ("verified", "counts"),
    [(True, True), (False, False), ("true", False), (1, False), (None, False), ([True], False)],
)
def test_email_verified_must_be_the_boolean_true_where_it_is(verified: object, counts: bool) -> None:
    found = principal(email="a@example.com", email_verified=verified)
    assert (found.email is not None) is counts
    assert (told_claim(found, "email") is not None) is counts, "an unverified address is no identity to pass on either"


def test_email_verified_can_be_demanded() -> None:
    demanded = {"requires_verified_email": True}
    assert principal(email="a@example.com").email_domain == "example.com"
    assert principal(settings=demanded, email="a@example.com").email is None
    assert principal(settings=demanded, email="a@example.com", email_verified=True).email == "a@example.com"


def test_email_claim_has_its_own_verified_flag() -> None:
    chosen = {"email_claim": "https://example.com/email"}
    claims: dict[str, Any] = {"https://example.com/email": "a@example.com", "email": "b@other.com"}
    assert principal(settings=chosen, **claims).email == "a@example.com"
    assert principal(settings=chosen, **claims | {"https://example.com/email_verified": False}).email is None
    assert principal(settings=chosen, **claims, email_verified=False).email is None
    assert principal(settings=chosen, email="b@other.com").email is None, "no falling back to another claim"


def test_auth0_namespaced_email_is_found_when_there_is_exactly_one() -> None:
    namespaced: dict[str, Any] = {"https://example.com/email": "a@example.com"}
    assert principal("auth0", **namespaced).email == "a@example.com"
    assert principal("auth0", email="b@example.com", **namespaced).email == "b@example.com"
    assert principal("auth0", **namespaced | {"https://x.test/email": "e@evil.test"}).email is None
    assert principal("oidc", **namespaced).email is None
    assert principal("auth0", **namespaced | {"https://example.com/email_verified": False}).email is None


@pytest.mark.parametrize(
    "value",
    [
        "\u00fc@example.com",
        "a@evil.com@example.com",
        "a@example.com.",
        ["a@b.test", "c@b.test"],
        [],
        [["a@b.test"]],
        "",
    ],
)
@pytest.mark.parametrize("name", ["email", "https://example.com/email", "/user/mail"])
def test_what_rules_cannot_compare_is_told_to_nobody(name: str, value: object) -> None:
    claims: dict[str, Any] = {"user": {"mail": value}, "https://example.com/email": value, "email": value}
    found = principal(settings={"email_claim": name}, **claims)
    assert (found.email, told_claim(found, name)) == (None, None)


def test_names_of_claims_are_literal_or_pointers() -> None:
    chosen = {"subject_claim": "/ids/0", "email_claim": "/user/mail", "roles_claim": "/realm~1access/roles"}
    claims: dict[str, Any] = {"realm/access": {"roles": ["x"]}, "/ids/0": "no"}
    found = principal(settings=chosen, ids=["u7"], user={"mail": "a@b.test"}, **claims)
    assert (found.subject, found.email, found.roles) == ("u7", "a@b.test", ("x",))
    assert told_claim(found, "/realm~1access/roles/0") == "x"
    assert told_claim(found, "missing") is None and told_claim(found, "/missing/x") is None


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({}, None),
        ({"scope": "read write  read"}, ("read", "write")),
        ({"scp": ["read", "write"]}, ("read", "write")),
        ({"scp": "read", "scope": ["write"]}, ("write", "read")),
        ({"scope": ""}, ()),
        ({"scope": 7}, None),
        ({"scope": ["read", 7]}, None),
    ],
)
def test_scopes_of_scope_and_scp(claims: dict[str, Any], scopes: tuple[str, ...] | None) -> None:
    assert principal(**claims).scopes == scopes


def test_roles_and_groups_by_their_usual_or_chosen_names() -> None:
    assert principal(roles=["a", "b"], groups=["g"]).roles == ("a", "b")
    assert principal(role="admin", group="g").roles == ("admin",)
    assert principal(group="g").groups == ("g",)
    assert principal(roles={"admin": True}).roles is None
    assert principal(roles="").roles is None
    chosen = {"roles_claim": "cognito:groups", "groups_claim": "teams"}
    claims: dict[str, Any] = {"cognito:groups": ["x"], "teams": ["t"], "roles": ["admin"]}
    found = principal(settings=chosen, **claims)
    assert (found.roles, found.groups) == (("x",), ("t",))


def test_auth0_namespaced_roles() -> None:
    one: dict[str, Any] = {"https://example.com/roles": ["admin"]}
    assert principal("auth0", **one).roles == ("admin",)
    assert principal("oidc", **one).roles is None
    two: dict[str, Any] = {"https://example.com/roles": ["a"], "https://x.test/roles": ["admin"]}
    assert principal("auth0", **two).roles is None


def test_auth0_permissions_organization_and_client() -> None:
    found = principal("auth0", permissions=["agents:run"], org_id="org_1", org_name="Acme", azp="app1")
    assert (found.permissions, found.organization, found.client) == (("agents:run",), "org_1", "app1")
    assert principal("auth0", client_id="app2").client == "app2"
    assert principal("auth0", azp=7).client is None


def test_clerk_version_1_and_2_come_out_alike() -> None:
    old = principal(
        "clerk",
        org_id="org_1",
        org_role="org:admin",
        org_permissions=["org:posts:read", "org:posts:manage"],
        azp="https://x",
    )
    new = principal("clerk", v=2, o={"id": "org_1", "rol": "admin", "per": "read,manage", "fpm": "3"}, fea="o:posts")
    for found in (old, new):
        assert found.organization == "org_1"
        assert found.roles == ("admin", "org:admin")
        assert found.permissions == ("org:posts:read", "org:posts:manage")
        assert found.client is None


@pytest.mark.parametrize(
    ("fea", "per", "fpm", "permissions"),
    [
        ("o:dashboard,o:teams", "manage,read", "3,2", ("org:dashboard:manage", "org:dashboard:read", "org:teams:read")),
        ("u:billing,o:teams", "manage,read", "1", ("org:teams:manage",)),
        ("uo:both,o:teams", "read", "1,0", ("org:both:read",)),
        ("o:a", "read", "x", ()),
        ("o:a", "read", "", ()),
        ("o:a,o:b", "read", "1", ("org:a:read",)),
        ("", "read", "1", ()),
        (None, "read", "1", None),
        ("o:a", None, "1", None),
        ("o:a", "read", 1, None),
        ("o:a", "read", "\u0661", ()),
        ("o:a", "read", "9" * 30, ()),
    ],
)
def test_clerk_permission_map(fea: object, per: object, fpm: object, permissions: tuple[str, ...] | None) -> None:
    assert principal("clerk", fea=fea, o={"id": "org_1", "per": per, "fpm": fpm}).permissions == permissions


def test_clerk_without_organization() -> None:
    found = principal("clerk")
    assert (found.organization, found.roles, found.permissions) == (None, None, None)
    assert principal("clerk", o="org_1", org_id="org_2").organization == "org_2"


def test_principal_repr_shows_no_claim() -> None:
    assert "a@example.com" not in repr(principal(email="a@example.com"))


def test_organization_of_another_type_is_none() -> None:
    for kind in ("oidc", "clerk"):
        assert principal(kind, org_id=7).organization is None
        assert principal(kind, org_id="").organization is None
        assert principal(kind, org_id=["o"]).organization is None
    assert principal("clerk", o={"id": 7, "rol": ["admin"]}).organization is None
    assert principal("clerk", o={"id": "o1", "rol": ["admin"]}).roles is None


def test_clerks_compact_claim_means_nothing_elsewhere() -> None:
    assert principal("oidc", o={"id": "o1", "rol": "admin"}).organization is None
    assert principal("oidc", o={"id": "o1", "rol": "admin"}).roles is None


def test_groups_stand_under_their_name() -> None:
    assert principal(groups=["a"]).groups == ("a",)
    assert principal(group="b").groups == ("b",)


@pytest.mark.parametrize(
    ("claims", "roles"),
    [
        ({"roles": ["a"], "role": "b"}, ("a", "b")),
        ({"roles": "a", "role": ["a", "b"]}, ("a", "b")),
        ({"roles": ["a"], "role": None}, ("a",)),
        ({"roles": ["a"], "role": ""}, ("a",)),
        ({"roles": ["a"], "role": 7}, None),
        ({"roles": ["a", 7], "role": "b"}, None),
        ({"roles": [], "role": []}, ()),
        ({"role": {"a": True}}, None),
    ],
)
def test_several_names_of_one_fact_are_merged(claims: dict[str, Any], roles: tuple[str, ...] | None) -> None:
    # `deny: {role: banned}` was passed by who had `roles` beside `role`.
    assert principal(**claims).roles == roles
    assert principal("clerk", **claims, o={"id": "o", "rol": "admin"}).roles == (
        None if roles is None and claims.get("roles") != [] else ("admin", "org:admin", *(roles or ()))
    )


@pytest.mark.parametrize(
    ("kind", "claims", "roles"),
    [
        ("auth0", {"roles": ["a"], "https://a.test/roles": ["b"]}, ("a", "b")),
        ("auth0", {"https://a.test/role": "b"}, ("b",)),
        ("auth0", {"roles": ["a"], "https://a.test/roles": ["b"], "https://b.test/roles": ["c"]}, None),
        ("oidc", {"roles": ["a"], "https://a.test/roles": ["b"]}, ("a",)),
        ("clerk", {"o": {"rol": ["banned"]}, "roles": ["a"]}, None),
        ("clerk", {"o": {"rol": "m"}, "org_role": "org:banned"}, ("m", "org:m", "banned", "org:banned")),
        ("clerk", {"o": {}, "roles": ["a"]}, ("a",)),
    ],
)
def test_roles_of_every_place_count(kind: Kind, claims: dict[str, Any], roles: tuple[str, ...] | None) -> None:
    assert principal(kind, **claims).roles == roles


def test_organizations_that_disagree_are_none() -> None:
    assert principal("clerk", o={"id": "a"}, org_id="b").organization is None
    assert principal("clerk", o={"id": "a"}, org_id="a").organization == "a"


def test_verified_flag_stands_beside_the_email_that_a_pointer_names() -> None:
    chosen = {"email_claim": "/user/email"}
    assert principal(settings=chosen, user={"email": "a@b.test"}).email == "a@b.test"
    assert principal(settings=chosen, user={"email": "a@b.test", "email_verified": True}).email == "a@b.test"
    assert principal(settings=chosen, user={"email": "a@b.test", "email_verified": False}).email is None


@pytest.mark.parametrize("name", ["email", "/email", "mail", "/user/mail", "user", "/user"])
def test_no_way_leads_to_an_email_that_is_told_to_nobody(name: str) -> None:
    at_top = principal(email="a@b.test.")
    inside = principal(settings={"email_claim": "/user/mail"}, user={"mail": "a@b.test."})
    assert told_claim(at_top, name) is told_claim(inside, name) is None
    readable = principal(settings={"email_claim": "/user/mail"}, user={"mail": "a@b.test"})
    assert told_claim(readable, "user") == {"mail": "a@b.test"}


@pytest.mark.parametrize(
    ("claims", "client"),
    [
        ({"azp": "a"}, "a"),
        ({"client_id": "a"}, "a"),
        ({"azp": "a", "client_id": "a"}, "a"),
        ({"azp": "a", "client_id": "b"}, None),
        ({"azp": "", "client_id": "b"}, "b"),
        ({}, None),
    ],
)
def test_two_names_of_a_client_that_disagree_name_none(claims: dict[str, Any], client: str | None) -> None:
    assert principal(**claims).client == client


def test_client_of_clerk_is_the_client_id_and_not_a_pages_origin() -> None:
    assert principal("clerk", azp="https://app.test", client_id="c1").client == "c1"
    assert principal("oidc", azp="a1").client == "a1"


def test_issuer_that_is_no_string_is_none() -> None:
    assert principal(iss=7).issuer is None


def test_namespaced_claims_are_urls() -> None:
    with_scheme: dict[str, Any] = {"http://a.test/email": "a@a.test"}
    without_scheme: dict[str, Any] = {"a.test/email": "a@a.test"}
    assert principal("auth0", **with_scheme).email == "a@a.test"
    assert principal("auth0", **without_scheme).email is None
    assert principal("auth0", email="a@a.test").email == "a@a.test"


def test_scopes_are_parted_by_spaces_only() -> None:
    assert principal(scope="a\tb c").scopes == ("a\tb", "c")


@pytest.mark.parametrize(
    ("grants", "expected"),
    [
        ("1,1", ("org:posts:read", "org:a:b:read")),
        ("x,1", ("org:a:b:read",)),  # one number that is none costs its own feature only
        ("9" * 18 + ",0", ("org:posts:read", "org:posts:manage")),
        ("9" * 19 + ",1", ("org:a:b:read",)),
    ],
)
def test_permissions_of_clerk_are_joined_feature_by_feature(grants: str, expected: tuple[str, ...]) -> None:
    found = principal("clerk", fea="o:posts,u:billing,o:a:b", o={"id": "o1", "per": "read,manage", "fpm": grants})
    assert found.permissions == expected


@pytest.mark.parametrize("expiry", [10**310, -(10**310)])
def test_moment_beyond_all_numbers_is_no_date(expiry: int) -> None:
    with pytest.raises(Denied) as refusal:
        principal(exp=expiry)
    assert (refusal.value.reason, refusal.value.detail) == (Reason.CLAIM_INVALID, "exp is no date")


@pytest.mark.parametrize("kind", ["auth0", "clerk"])
def test_email_stands_under_its_name_unless_another_is_named(kind: Kind) -> None:
    provider = Provider("p", kind, frozenset({"RS256"}))
    assert email_claim({}, provider) == email_claim({"email": "a@b.test"}, provider) == "email"
    named = {"https://x.test/email": "a@b.test"}
    assert email_claim(named, provider) == ("https://x.test/email" if kind == "auth0" else "email")
