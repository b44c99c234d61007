"""Claims that the file names: one reader of names everywhere, and what it means that issuers call one fact by many."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.policy.claims import principal_of, told_claim
from gateway.policy.model import Principal
from gateway.policy.providers import Kind, Provider


def principal(kind: Kind = "oidc", settings: dict[str, Any] | None = None, **claims: Any) -> Principal:
    provider = Provider("p", kind, frozenset({"RS256"}), **(settings or {}))
    return principal_of({"sub": "u1", **claims}, provider)


@pytest.mark.parametrize(
    ("setting", "fact", "value", "expected"),
    [
        ("client_claims", "client", "c1", "c1"),
        ("organization_claim", "organization", "o1", "o1"),
        ("permissions_claim", "permissions", ["run"], ("run",)),
        ("permissions_claim", "permissions", "run read", ("run", "read")),
        ("scopes_claim", "scopes", "run read", ("run", "read")),
        ("scopes_claim", "scopes", ["run"], ("run",)),
        ("roles_claim", "roles", ["a"], ("a",)),
        ("groups_claim", "groups", ["a"], ("a",)),
    ],
)
@pytest.mark.parametrize("kind", ["jwt", "clerk", "auth0", "oidc"])
def test_fact_comes_from_the_claim_that_the_file_names(
    setting: str, fact: str, value: object, expected: object, kind: Kind
) -> None:
    usual: dict[str, Any] = {
        "azp": "x", "client_id": "x", "org_id": "x", "permissions": ["x"], "scope": "x", "roles": ["x"], "groups": ["x"]
    }  # fmt: skip
    ways: list[tuple[str, dict[str, Any]]] = [
        ("https://example.com/it", {"https://example.com/it": value}),
        ("/deep/0/it", {"deep": [{"it": value}]}),
        ("/it", {"it": value}),
        ("/a~1b/it", {"a/b": {"it": value}}),
        ("a.b", {"a.b": value, "a": {"b": "wrong"}}),
    ]
    for name, claims in ways:
        chosen = {setting: (name,) if setting == "client_claims" else name}
        assert getattr(principal(kind, chosen, **usual, **claims), fact) == expected, name
        # Its name stands for no other: what usually holds the fact is not looked at instead.
        assert getattr(principal(kind, chosen, **usual), fact) is None, name


@pytest.mark.parametrize("value", [7, True, {"a": 1}, ["a", 7], [["a"]], None])
@pytest.mark.parametrize(
    "setting", ["organization_claim", "permissions_claim", "scopes_claim", "roles_claim", "groups_claim"]
)
def test_chosen_claim_of_another_type_is_no_fact(setting: str, value: object) -> None:
    found = principal(settings={setting: "/it"}, it=value)
    assert getattr(found, setting.removesuffix("_claim")) is None


@pytest.mark.parametrize(
    ("claims", "client"),
    [
        ({"cid": "a"}, "a"),
        ({"appid": "a"}, "a"),
        ({"azp": "a", "client_id": "a", "cid": "a", "appid": "a"}, "a"),
        ({"azp": "a", "cid": "b"}, None),
        ({"client_id": "a", "appid": "b"}, None),
        ({"azp": "a", "cid": 7}, None),
        ({"azp": "a", "cid": ["a"]}, None),
        ({"azp": "a", "cid": None, "appid": ""}, "a"),
    ],
)
def test_client_is_what_all_its_names_say(claims: dict[str, Any], client: str | None) -> None:
    assert principal(**claims).client == client


@pytest.mark.parametrize(
    ("audience", "client"), [("a", "a"), (["a"], "a"), (["a", "b"], None), ([], None), ([7], None), (None, None)]
)
def test_one_audience_may_be_the_client(audience: object, client: str | None) -> None:
    assert principal(settings={"client_claims": ("aud",)}, aud=audience, azp="x").client == client


@pytest.mark.parametrize(
    ("claims", "permissions"),
    [
        ({"permissions": "run read"}, ("run", "read")),
        ({"permissions": "run"}, ("run",)),
        ({"permissions": ["run read"]}, ("run read",)),
        ({"permissions": ""}, ()),
        ({"permissions": 7}, None),
    ],
)
def test_permissions_in_one_text_are_parted_as_scopes_are(claims: dict[str, Any], permissions: object) -> None:
    assert principal(**claims).permissions == permissions


def test_permissions_of_clerk_are_merged_from_all_places() -> None:
    compact = {"id": "o", "per": "read", "fpm": "1"}
    both = principal("clerk", o=compact, fea="o:posts", org_permissions=["org:x"], permissions="y")
    assert both.permissions == ("org:posts:read", "org:x", "y")
    assert principal("clerk", o=compact, fea="o:posts", org_permissions=[7]).permissions is None
    assert principal("clerk", o={"id": "o"}, permissions=["y"]).permissions == ("y",)


@pytest.mark.parametrize(
    ("separator", "value", "roles"),
    [
        (None, "editor admin", ("editor admin",)),
        (" ", "editor admin", ("editor", "admin")),
        (" ", " editor  admin ", ("editor", "admin")),
        (" ", "editors", ("editors",)),
        (",", "editor, admin,", ("editor", "admin")),
        (",", "site editor,admin", ("site editor", "admin")),
        (" ", ["site editor", "admin"], ("site editor", "admin")),
        (" ", " ", ()),
        (" ", 7, None),
    ],
)
def test_roles_in_one_text_are_parted_where_the_file_says_by_what(
    separator: str | None, value: object, roles: object
) -> None:
    settings = {"roles_separator": separator}
    assert principal(settings=settings, roles=value).roles == roles
    assert principal(settings=settings | {"groups_claim": "/g"}, g=value).groups == roles


@pytest.mark.parametrize("name", ["emails", "/emails"])
def test_list_of_one_email_is_that_email(name: str) -> None:
    settings = {"email_claim": name}
    found = principal(settings=settings, emails=["ann@corp.example"])
    assert (found.email, told_claim(found, name)) == ("ann@corp.example", "ann@corp.example")
    for several in (["ann@corp.example", "ann@evil.example"], [], [["ann@corp.example"]], [7], {"0": "a@b.test"}):
        refused = principal(settings=settings, emails=several)
        assert (refused.email, told_claim(refused, name)) == (None, None)
        assert told_claim(refused, "/emails/0") is None, "nor by a way into the list"
    assert principal(settings={"email_claim": "/emails/0"}, emails=["a@b.test", "c@d.test"]).email == "a@b.test"


FLAGS: dict[str, list[str]] = {
    "email": ["email_verified", "emailVerified"],
    "mail": ["email_verified", "emailVerified", "mail_verified", "mailVerified"],
}


@pytest.mark.parametrize(("name", "flag"), [(name, flag) for name, flags in FLAGS.items() for flag in flags])
@pytest.mark.parametrize("value", [False, None, "true", "false", 1, [True], {}, "2026-01-01T00:00:00Z"])
def test_email_that_nobody_verified_does_not_count(name: str, flag: str, value: object) -> None:
    settings = {"email_claim": name}
    claims: dict[str, Any] = {name: "a@b.test"}
    assert principal(settings=settings, **(claims | {flag: True})).email == "a@b.test"
    assert principal(settings=settings, **(claims | {flag: value})).email is None
    for other in FLAGS[name]:
        both = {**claims, other: True, flag: value}
        assert principal(settings=settings, **both).email is None, f"{other} is true, {flag} is not"


def test_one_claim_may_be_named_to_say_whether_the_email_was_verified() -> None:
    settings = {"email_verified_claim": "/user/checked"}
    claims: dict[str, Any] = {"email": "a@b.test", "email_verified": False, "emailVerified": False}
    assert principal(settings=settings, **claims, user={"checked": True}).email == "a@b.test"
    assert principal(settings=settings, **claims, user={"checked": "true"}).email is None
    assert principal(settings=settings, **claims).email == "a@b.test"
    required = settings | {"requires_verified_email": True}
    assert principal(settings=required, **claims).email is None
    assert principal(settings=required, email="a@b.test", email_verified=True).email is None


def test_pointer_that_leads_nowhere_is_no_name() -> None:
    claims: dict[str, Any] = {"/a/b": "x", "/email": "a@b.test", "/org": "o"}
    found = principal(settings={"organization_claim": "/org", "email_claim": "/email", "roles_claim": "/a/b"}, **claims)
    assert (found.organization, found.email, found.roles, told_claim(found, "/a/b")) == (None, None, None, None)
