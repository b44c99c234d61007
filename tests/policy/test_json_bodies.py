"""What the head may say of a body that is read: one thing, to every reader."""

from __future__ import annotations

import pytest

from gateway.policy.denied import Denied
from gateway.policy.json_bodies import check_json_head, is_form
from gateway.policy.model import Headers
from gateway.policy.reasons import Reason

JSON = [
    "application/json",
    "application/json;charset=utf-8",
    "application/json; charset=UTF-8",
    'application/json ; Charset="utf-8"',
    "application/json;\tcharset=utf-8 ",
]
OTHERS = [
    "",
    "Application/JSON",
    "APPLICATION/JSON",
    "application/json;",
    "application/json, application/json",
    "application/json; charset=utf-16",
    "application/json; charset=latin1",
    "application/json; charset=utf8",
    "application/json; charset=utf-8; charset=utf-16",
    "application/json; charset*=utf-8''utf-8",
    "application/json; boundary=x",
    'application/json; x="multipart/form-data"; boundary=x',
    "application/json; multipart/form-data; boundary=x",
    "application/jsonx",
    "application/json-patch+json",
    "application/vnd.x+json",
    "application/x-ndjson",
    "text/json",
    "text/plain",
    "text/plain; application/json",
    'text/plain; x="application/json"',
    "multipart/form-data; boundary=x",
    "multipart/form-data; x=application/json; boundary=x",
    "Multipart/Form-Data; boundary=x",
    "application/x-www-form-urlencoded",
    "application/octet-stream",
    "application/json\N{NO-BREAK SPACE}",
    "\x0bapplication/json",
    "application\\/json",
    "*/*",
    "json",
]


def refused(*lines: tuple[str, str], has_body: bool = True) -> bool:
    try:
        check_json_head(Headers(list(lines)), has_body=has_body)
    except Denied as denied:
        assert denied.reason is Reason.BODY_UNSUPPORTED
        assert all(value not in denied.detail for _, value in lines if len(value) > 20)
        return True
    return False


@pytest.mark.parametrize("type_", JSON)
def test_json_in_utf_8_is_taken(type_: str) -> None:
    for has_body in (True, False):
        assert not refused(("Content-Type", type_), has_body=has_body)


@pytest.mark.parametrize("type_", OTHERS)
def test_any_other_type_is_refused_also_where_no_body_came(type_: str) -> None:
    # A body is put where there was none: it must be read as the JSON that it is.
    for has_body in (True, False):
        assert refused(("content-type", type_), has_body=has_body)


def test_a_body_has_a_type_and_one_only() -> None:
    assert not refused(has_body=False)
    assert refused(has_body=True)
    assert refused(("Content-Type", JSON[0]), ("Content-Type", JSON[0]))
    assert refused(("Content-Type", JSON[0]), ("content-type", "text/plain"), has_body=False)


@pytest.mark.parametrize("coding", ["gzip", "identity", "br", "", "x"])
def test_no_coding_is_taken(coding: str) -> None:
    for has_body in (True, False):
        assert refused(("Content-Type", JSON[0]), ("Content-Encoding", coding), has_body=has_body)


@pytest.mark.parametrize(
    "type_", ["multipart/form-data; boundary=----WebKitFormBoundaryx1", 'multipart/form-data;boundary="x"']
)
def test_form_is_known(type_: str) -> None:
    assert is_form(Headers([("Content-Type", type_)]))


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [("Content-Type", "multipart/form-data")],
        [("Content-Type", "Multipart/Form-Data; boundary=x")],
        [("Content-Type", "multipart/form-data; x=application/json; boundary=x")],
        [("Content-Type", "multipart/form-data; boundary=x; x=application/json")],
        [("Content-Type", "multipart/form-data; boundary=application/json")],
        [("Content-Type", "multipart/form-data; boundary=x, application/json")],
        [("Content-Type", "multipart/mixed; boundary=x")],
        [("Content-Type", "application/json")],
        [("Content-Type", "multipart/form-data; boundary=x"), ("Content-Type", "application/json")],
        [("Content-Type", "multipart/form-data; boundary=x"), ("Content-Encoding", "gzip")],
    ],
    ids=str,
)
def test_what_may_be_json_as_well_is_no_form(lines: list[tuple[str, str]]) -> None:
    assert not is_form(Headers(lines))
