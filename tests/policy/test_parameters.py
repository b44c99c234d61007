"""Parameters of a query by name, in every spelling that some server reads as that name."""

from __future__ import annotations

import pytest

from gateway.policy.parameters import parameter_values, without_parameter

SPELLINGS = [
    "apiKey", "api%4Bey", "%61piKey", "%61%70%69%4b%65%79", "apiKe%79", "apiKey[]", "apiKey%5B%5D", "apiKey%5b0]",
    "apiKey[a][b]", "[apiKey]", "%5BapiKey%5D", "%5bapiKey]", "[apiKey][]",
]  # fmt: skip
OTHERS = [
    "apikey",
    "APIKEY",
    "xapiKey",
    "apiKeyx",
    "api+Key",
    "api Key",
    "apiKey%2F",
    "api%254Bey",
    "a[apiKey]",
    "apiKey.x",
]


@pytest.mark.parametrize("name", SPELLINGS)
def test_spelling_is_the_name(name: str) -> None:
    assert parameter_values(f"?{name}=v%2E1+x", "apiKey") == ["v.1 x"]
    assert parameter_values(f"?a=b&{name}&c", "apiKey") == [""]
    assert without_parameter(f"?{name}=v", "apiKey") == ""
    assert without_parameter(f"?a=1&{name}=v&b=2", "apiKey") == "?a=1&b=2"
    assert without_parameter(f"?{name}&a=%2f&&", "apiKey") == "?a=%2f&&"


@pytest.mark.parametrize("name", OTHERS)
def test_another_name_stays_byte_for_byte(name: str) -> None:
    query = f"?{name}=v&a=apiKey&b==apiKey=1"
    assert parameter_values(query, "apiKey") == []
    assert without_parameter(query, "apiKey") == query


def test_the_first_two_are_told_and_all_are_removed() -> None:
    query = "?apiKey=1&apiKey=2&apiKey=3&x"
    assert parameter_values(query, "apiKey") == ["1", "2"]
    assert without_parameter(query, "apiKey") == "?x"


@pytest.mark.parametrize("query", ["", "?", "?&", "?&&a", "?a=b"])
def test_query_without_it_stays_as_it_is(query: str) -> None:
    assert parameter_values(query, "apiKey") == []
    assert without_parameter(query, "apiKey") == query


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a b", "a+b"),
        ("a b", "a%20b"),
        ("a+b", "a%2Bb"),
        ("a+b", "a%2bb"),
        ("\u00fc", "%C3%BC"),
        ("\u00fc", "%c3%bc"),
        ("a.b", "a.b"),
    ],
)
def test_name_of_any_characters_is_found_as_it_is_encoded(name: str, written: str) -> None:
    assert parameter_values(f"?{written}=1", name) == ["1"]
    assert parameter_values("?axb=1", name) == []


def test_value_of_many_escapes_is_not_decoded() -> None:
    assert parameter_values("?k=" + "%41" * 64, "k") == ["A" * 64]
    assert parameter_values("?k=" + "%41" * 65, "k") == ["%41" * 65]
