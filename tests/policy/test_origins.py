"""Which origins count: those that are listed whole, and those that a pattern stands for."""

from __future__ import annotations

import pytest

from gateway.policy.origins import Origins, example_of

APP = "https://app.example.com"
PREVIEW = "https://app-*-corp.vercel.app"
ORIGINS = Origins(
    {APP, PREVIEW, "https://*.tenants.example.com:8443", "http://eu.t*.example.net", "http://*.localhost:3000"}
)


@pytest.mark.parametrize(
    "origin",
    [
        APP,
        "https://app-git-fix-1-corp.vercel.app",
        "https://app-1-corp.vercel.app",
        "https://app---corp.vercel.app",
        "https://app-corp-corp.vercel.app",
        "https://a.tenants.example.com:8443",
        "https://xn--mnchen-3ya.tenants.example.com:8443",
        "http://eu.t1.example.net",
        "http://a-b.localhost:3000",
        f"https://app-{'x' * 54}-corp.vercel.app",
    ],
)
def test_a_star_stands_for_letters_digits_and_hyphens_of_one_label(origin: str) -> None:
    assert origin in ORIGINS


@pytest.mark.parametrize(
    "origin",
    [
        # Another tenant, another name, another suffix: koala73/worldmonitor#8178.
        "https://app-evil.vercel.app",
        "https://evil-corp.vercel.app",
        "https://app-corp.vercel.app",  # one hyphen cannot be both
        "https://app--corp.vercel.app",  # nothing in the star's place
        "https://app-x-corp.vercel.app.evil.com",
        "https://app-x-corp.vercel.appx",
        "https://app-x-corp.vercelXapp",
        "https://xapp-x-corp.vercel.app",
        "https://evil.com/app-x-corp.vercel.app",
        "https://evil.com#app-x-corp.vercel.app",
        # A dot, or what some parser takes for one, in the star's place.
        "https://app-x.evil.com-corp.vercel.app",
        "https://app-x.evil-corp.vercel.app",
        "https://app-.-corp.vercel.app",
        "https://app-x\u3002evil-corp.vercel.app",
        "https://app-x%2eevil-corp.vercel.app",
        "https://app-x/-corp.vercel.app",
        "https://app-x\\-corp.vercel.app",
        "https://app-x@evil-corp.vercel.app",
        "https://app-x:1-corp.vercel.app",
        "https://app-x?-corp.vercel.app",
        "https://app-x_y-corp.vercel.app",
        "https://app-*-corp.vercel.app",
        # Not as a browser writes it.
        "https://app-X-corp.vercel.app",
        "https://App-x-corp.vercel.app",
        "HTTPS://app-x-corp.vercel.app",
        "https://app-\u00e9-corp.vercel.app",
        "https://app-\u0661-corp.vercel.app",  # a digit, to some
        "https://app-\u212a-corp.vercel.app",  # a Kelvin sign is a small `k`, to some
        "https://app-x-corp.vercel.app.",
        "https://app-x-corp.vercel.app/",
        "https://app-x-corp.vercel.app:443",
        "https://app-x-corp.vercel.app:8443",
        "https://user@app-x-corp.vercel.app",
        "https://user:pass@app-x-corp.vercel.app",
        "http://app-x-corp.vercel.app",
        " https://app-x-corp.vercel.app",
        "https://app-x-corp.vercel.app\n",
        "https://app-x-corp.vercel.app https://evil.com",
        "app-x-corp.vercel.app",
        f"https://app-{'x' * 55}-corp.vercel.app",
        # A label neither begins nor ends with a hyphen; a port is part of an origin.
        "https://-a.tenants.example.com:8443",
        "https://a-.tenants.example.com:8443",
        "https://a.b.tenants.example.com:8443",
        "https://tenants.example.com:8443",
        "https://.tenants.example.com:8443",
        "https://a.tenants.example.com",
        "http://us.t1.example.net",
        "http://t1.example.net",
        "http://x.eu.t1.example.net",
        "http://localhost:3000",
        "null",
        "*",
        "",
    ],
)
def test_nothing_else_counts(origin: str) -> None:
    assert origin not in ORIGINS
    assert not ORIGINS.lists(origin)


def test_a_whole_origin_is_listed_in_any_case_and_counts_letter_by_letter() -> None:
    assert ORIGINS.lists("HTTPS://APP.example.com") and "HTTPS://APP.example.com" not in ORIGINS
    assert not ORIGINS.lists("https://app-x-corp.vercel.app"), "a pattern lists nothing"


def test_without_patterns_there_is_nothing_to_search() -> None:
    assert Origins({APP})._pattern is None
    assert "*" not in Origins({"*"}), "whoever takes it for any origin asks for it first"


def test_a_long_origin_costs_no_more_than_its_length() -> None:
    assert f"https://app-{'-corp' * 6000}.vercel.app" not in ORIGINS


def test_an_example_counts() -> None:
    for written in ({APP}, {PREVIEW}, {PREVIEW, APP}):
        assert example_of(written) in Origins(written)
