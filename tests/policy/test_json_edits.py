"""Bodies read with one reading, or refused; changed in places, and nowhere else."""

from __future__ import annotations

import json
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.policy.denied import Denied
from gateway.policy.json_edits import MAX_DEPTH, MAX_EDITS, MAX_VALUES, Document, Drop, Edit, read_object, weigh
from gateway.policy.reasons import Reason
from tests.policy.json_texts import OBJECTS, TEXTS, VALUES, Path, Written, plain

MAX_BYTES = 4_718_592
MANY = 250_000


def refusal(body: bytes) -> Reason:
    with pytest.raises(Denied) as caught:
        read_object(body)
    assert "secret" not in caught.value.detail
    return caught.value.reason


@given(OBJECTS, st.data())
def test_what_is_read_is_what_was_written(value: dict[str, Any], data: st.DataObject) -> None:
    text = Written(value, data).text
    document = read_object(text.encode())
    assert document.value == plain(value)
    assert document.with_edits([]) == text.encode()
    assert repr(document) == f"Document({len(text.encode())} bytes)"


@given(OBJECTS, VALUES, st.data())
def test_an_edit_changes_its_place_and_not_a_byte_more(value: dict[str, Any], new: Any, data: st.DataObject) -> None:
    written = Written(value, data)
    paths = [path for path in written.spans if path]
    assume(paths)
    path = data.draw(st.sampled_from(paths))
    begin, end = written.spans[path]
    expected = written.text[:begin] + json.dumps(plain_numbers(new)) + written.text[end:]
    assert read_object(written.text.encode()).with_edits([Edit(path, plain_numbers(new))]) == expected.encode()


def plain_numbers(value: Any) -> Any:
    """Return a value without numbers that JSON has no text for."""
    return json.loads(json.dumps(plain(value)).replace("Infinity", "1"))


@given(OBJECTS, st.data())
def test_many_edits_are_as_if_each_was_made_in_the_value(value: dict[str, Any], data: st.DataObject) -> None:
    written = Written(value, data)
    expected = plain(value)
    edits: list[Edit | Drop] = []
    for path in sorted(written.spans, key=len, reverse=True):
        match data.draw(st.integers(0, 4)) if path and not any(path[: len(e.path)] == e.path for e in edits) else 4:
            case 0:
                edits.append(Edit(path, "new"))
            case 1:
                edits.append(Drop(path))
            case 2 if isinstance(inner := _at(expected, path), dict):
                name = data.draw(TEXTS)
                if name not in inner:
                    edits.append(Edit((*path, name), {"added": True}))
    document = read_object(written.text.encode())
    changed = document.with_edits(edits)
    assert read_object(changed).value == _edited(expected, edits)
    if all(isinstance(edit, Drop) for edit in edits):
        assert _is_within(changed.decode(), written.text)  # nothing is written anew


def _is_within(short: str, long: str) -> bool:
    signs = iter(long)
    return all(sign in signs for sign in short)


def _at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


def _edited(value: Any, edits: list[Edit | Drop], path: Path = ()) -> Any:
    """Return a value with edits, as a few lines of Python make them: what the text must say as well."""
    here = {edit.path[len(path)]: edit for edit in edits if edit.path[:-1] == path}
    if isinstance(value, list):
        return [
            edit.value if isinstance(edit := here.get(number), Edit) else _edited(inner, edits, (*path, number))
            for number, inner in enumerate(value)
            if not isinstance(here.get(number), Drop)
        ]
    if not isinstance(value, dict):
        return value
    kept = {
        name: _edited(inner, edits, (*path, name))
        for name, inner in value.items()
        if not isinstance(here.get(name), Drop)
    }
    return kept | {str(step): edit.value for step, edit in here.items() if isinstance(edit, Edit)}


@pytest.mark.parametrize(
    ("body", "edits", "expected"),
    [
        ("{}", [Edit(("a",), 1)], '{"a":1}'),
        (' { } ', [Edit(("a",), None)], ' {"a":null } '),
        ('{"b" : 1}', [Edit(("a",), "é\ud800")], '{"a":"\\u00e9\\ud800","b" : 1}'),
        ('{"a":1, "b":2 ,"c":3}', [Drop(("a",))], '{"b":2 ,"c":3}'),
        ('{"a":1, "b":2 ,"c":3}', [Drop(("b",))], '{"a":1, "c":3}'),
        ('{"a":1, "b":2 ,"c":3 }', [Drop(("c",))], '{"a":1, "b":2 }'),
        ('{"a":1, "b":2 ,"c":3 }', [Drop(("b",)), Drop(("c",))], '{"a":1 }'),
        ('{"a":1, "b":2 ,"c":3 }', [Drop(("a",)), Drop(("c",))], '{"b":2 }'),
        ('{ "a":1, "b":2 }', [Drop(("a",)), Drop(("b",))], "{  }"),
        ('{ "a":1 }', [Drop(("a",)), Edit(("b",), 2)], '{"b":2  }'),
        ('{ "a":1, "b":2 }', [Drop(("a",)), Edit(("c",), 2)], '{"c":2, "b":2 }'),
        ('{"a":[1, 2,3]}', [Drop(("a", 1))], '{"a":[1, 3]}'),
        ('{"a":[1, 2,3]}', [Edit(("a", 1), {"x": 1})], '{"a":[1, {"x": 1},3]}'),
        ('{"a":{"b":[{"c":1}]}}', [Edit(("a", "b", 0, "c"), 2), Edit(("d",), 3)], '{"d":3,"a":{"b":[{"c":2}]}}'),
        ('{"resource\\u0049d":"bob","x":1}', [Edit(("resourceId",), "ann")], '{"resource\\u0049d":"ann","x":1}'),
        ('{"a":1}', [Drop(("b",)), Drop(("a", "b")), Drop(("c", "d"))], '{"a":1}'),
        ('{"a":1}', [Edit(("a",), 2), Edit(("a",), 3)], '{"a":3}'),
        ('{"a":{"b":1}}', [Edit(("a", "b"), 2), Edit(("a",), 3)], '{"a":3}'),
        ('{"a":' + "9" * 6000 + ',"b":1e999}', [Drop(("b",))], '{"a":' + "9" * 6000 + "}"),
    ],
)  # fmt: skip
def test_edits_to_the_byte(body: str, edits: list[Edit | Drop], expected: str) -> None:
    assert read_object(body.encode()).with_edits(edits) == expected.encode()


@pytest.mark.parametrize(
    "path",
    [
        ("b", "c"),
        ("a", "c"),
        ("a", "b", "c"),
        ("l", 1),
        ("l", "0"),
        ("l", -1),
        ("l", 0, "x"),
        (0,),
        ("n", "x"),
        ("t", 0),
    ],
    ids=str,
)
def test_a_change_without_its_place_is_refused(path: Path) -> None:
    document = read_object(b'{"a":"text","l":[1],"n":null,"t":"text"}')
    with pytest.raises(Denied) as caught:
        document.with_edits([Edit(path, "x")])
    assert caught.value.reason is Reason.BODY_MALFORMED


def test_a_change_inside_of_another_is_a_mistake_of_ours() -> None:
    document = read_object(b'{"a":{"b":1}}')
    for first in (Edit(("a",), {}), Drop(("a",))):
        with pytest.raises(ValueError, match="inside of what another"):
            document.with_edits([first, Edit(("a", "b"), 1)])
    with pytest.raises(ValueError, match="never replaced"):
        document.with_edits([Edit((), {})])
    with pytest.raises(ValueError, match="JSON compliant"):
        document.with_edits([Edit(("a",), float("nan"))])


def test_so_many_changes_are_refused_that_they_would_hold_everybody_up() -> None:
    document = read_object(b'{"a":[' + b"1," * MAX_EDITS + b"1]}")
    edits = [Edit(("a", place), 2) for place in range(MAX_EDITS + 1)]
    assert document.with_edits(edits[:-1]).count(b"2") == MAX_EDITS
    with pytest.raises(Denied) as caught:
        document.with_edits(edits)
    assert caught.value.reason is Reason.BODY_TOO_LARGE


MALFORMED = {
    "empty": b"",
    "blank": b" \n",
    "list": b"[]",
    "string": b'"secret"',
    "number": b"1",
    "null": b"null",
    "cut short": b'{"secret":1',
    "cut in a string": b'{"a":"secret',
    "cut in an escape": b'{"a":"\\u12"}',
    "two documents": b"{}{}",
    "two lines": b"{}\n{}",
    "behind it": b"{} secret",
    "a comma behind it": b"{},",
    "NUL behind it": b"{}\x00",
    "comma at the end": b'{"a":1,}',
    "no quotes": b"{a:1}",
    "single quotes": b"{'a':1}",
    "comment": b"{}//",
    "comment inside": b'{/**/"a":1}',
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":Infinity}',
    "-Infinity": b'{"a":-Infinity}',
    "undefined": b'{"a":undefined}',
    "True": b'{"a":True}',
    "hex": b'{"a":0x1}',
    "leading zero": b'{"a":01}',
    "plus": b'{"a":+1}',
    "point first": b'{"a":.5}',
    "point last": b'{"a":5.}',
    "digits of another script": '{"a":\N{ARABIC-INDIC DIGIT ONE}}'.encode(),
    "space of another script": '{\N{NO-BREAK SPACE}"a":1}'.encode(),
    "form feed": b'{\x0c"a":1}',
    "line break in a string": b'{"a":"\n"}',
    "NUL in a string": b'{"a":"\x00"}',
    "escape that is none": b'{"a":"\\x41"}',
    "BOM": b'\xef\xbb\xbf{"a":1}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "UTF-16 without BOM": '{"a":1}'.encode("utf-16-le"),
    "UTF-32": '{"a":1}'.encode("utf-32"),
    "Latin-1": '{"a":"é"}'.encode("latin-1"),
    "overlong quote": b'{"a":"\xc0\xa2"}',
    "raw surrogate": b'{"a":"\xed\xa0\x80"}',
    "beyond Unicode": b'{"a":"\xf4\x90\x80\x80"}',
    "gzip": b"\x1f\x8b\x08\x00",
    "form": b"resourceId=bob",
    "doubled": b'{"a":1,"a":1}',
    "doubled deep": b'{"x":[[{"y":{"a":1,"b":2,"a":3}}]]}',
    "doubled by an escape": b'{"resourceId":"ann","resource\\u0049d":"bob"}',
    "doubled by two cases of an escape": b'{"\\u004a":1,"\\u004A":1}',
    "doubled by a short escape": b'{"\\/":1,"/":1}',
    "doubled by a pair": '{"\N{GRINNING FACE}":1,"\\ud83d\\ude00":1}'.encode(),
    "doubled by half a pair": b'{"\\ud83d":1,"\\uD83D":1}',
    "doubled empty": b'{"":1,"":2}',
    "__proto__": b'{"__proto__":{"resourceId":"bob"}}',
    "__proto__ by an escape": b'{"a":{"\\u005f_proto__":null}}',
    "too deep": b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}",
    "far too deep": b'{"a":' + b"[" * 99_999,
    "far too deep objects": b'{"a":' * 60_000,
    "too deep behind a string of quotes": b'{"b":"\\"\\\\","a":' + b"[" * 5000,
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_what_has_no_single_reading_is_refused(body: bytes) -> None:
    assert refusal(body) is Reason.BODY_MALFORMED


LONG = {
    "values": b'{"a":[' + b"1," * MANY + b"1]}",
    "lists": b'{"a":[' + b"[]," * MANY + b"1]}",
    "texts": b'{"a":[' + b'"",' * MANY + b"1]}",
    "names": b"{" + b",".join(b'"%x":1' % number for number in range(MANY // 2)) + b"}",
    "quotes": b'{"a":"' + b'"' * MAX_BYTES,
    "depth": b'{"a":' + b"[" * MAX_BYTES,
}  # fmt: skip


@pytest.mark.parametrize("body", LONG.values(), ids=LONG)
def test_what_would_hold_everybody_up_is_refused_before_it_is_parsed(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json.JSONDecoder, "decode", None)
    assert refusal(body) is Reason.BODY_TOO_LARGE


GOOD = {
    "depth": b'{"a":' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}",
    "many values": b'{"a":[' + b"1," * (MAX_VALUES - 5) + b"1]}",
    "commas and brackets in a text": b'{"a":"' + b",[{" * 1_000_000 + b'"}',
    "quotes in a text": b'{"a":"' + b'\\"' * 2_000_000 + b'"}',
    "backslashes in a text": b'{"a":"' + b"\\\\" * 2_000_000 + b'"}',
    "brackets behind a backslash": b'{"a":"\\\\","b":"[[","c":"\\\\\\"]]"}',
    "digits": b'{"a":' + b"9" * 4_000_000 + b"}",
    "file": b'{"a":"' + b"QUJD" * 1_150_000 + b'"}',
    "white space": b"{" + b" " * 4_000_000 + b"}" + b"\n" * 100,
    "constructor": b'{"constructor":{"prototype":1},"proto":1}',
    "half a pair": b'{"a":"\\ud800","\\udc00":1}',
    "names that differ by case": b'{"resourceId":1,"resourceid":2}',
}


@pytest.mark.parametrize("body", GOOD.values(), ids=GOOD)
def test_what_is_large_but_one_thing_passes(body: bytes) -> None:
    document = read_object(body)
    changed = document.with_edits([Edit(("owner",), "ann")])
    assert changed == b'{"owner":"ann"' + (b"," if document.value else b"") + body[1:]


HEAVY = {
    "values": b"1.5,",
    "lists": b"[],",
    "nested lists": b"[[]],",
    "objects": b"{},",
    "members": b'{"a":1},',
    "more members": b'{"ab":1,"cd":"ef"},',
    "texts": b'"ab",',
    "wide texts": '"\N{GRINNING FACE}",'.encode(),
    "escaped": b'"\\ud83d\\ude00",',
}


@pytest.mark.parametrize("piece", HEAVY.values(), ids=HEAVY)
@pytest.mark.parametrize(
    "tail", ["", "A" * 2_000_000, "\N{LATIN SMALL LETTER A WITH MACRON}" * 900_000, "\\u2603" * 300_000]
)
def test_what_is_read_of_a_body_takes_no_more_memory_than_it_weighs(piece: bytes, tail: str) -> None:
    count = MAX_VALUES // (piece.count(b",") + piece.count(b"[") + piece.count(b"{") + piece.count(b'"')) // 2
    body = b'{"a":[' + piece * count + b'1],"tail":"' + tail.encode() + b'\\ud83d\\ude00"}'
    tracemalloc.start()
    document = read_object(body)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert document.value["a"]
    assert held + len(body) < weigh(body)


def test_what_is_light_weighs_little() -> None:
    assert weigh(GOOD["file"]) < 2.1 * len(GOOD["file"])


@pytest.mark.parametrize("name", ["many values", "quotes in a text", "digits", "file", "white space"])
def test_reading_and_changing_cost_a_few_readings_by_python(name: str) -> None:
    # Of processor time, of this process alone: what else runs on the machine counts for neither.
    body = GOOD[name].replace(b"9" * 4_000_000, b"9" * 4000)  # the number of digits that Python's integers refuse

    def once() -> float:
        begin = time.process_time()
        assert isinstance(json.loads(b'{"x":' + body + b',"y":[' + b"1," * 100_000 + b"1]}"), dict)
        middle = time.process_time()
        document = read_object(body)
        assert isinstance(document, Document)
        document.with_edits([Edit(("owner",), "ann"), Edit((next(iter(document.value), "a"),), 1)])
        return (time.process_time() - middle) / max(middle - begin, 1e-3)

    assert min(once() for _ in range(5)) < 30
