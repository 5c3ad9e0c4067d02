import contextlib
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.errors import DocumentError
from search_spaces.strict_json import MAX_BYTES, MAX_DEPTH, canonical, check_quickly, load, loads, num_values, pretty

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 62), 1 << 62)
    | st.floats(allow_nan=False, allow_infinity=False)
    # JSON has surrogates, which are no text
    | st.text(st.characters(exclude_categories=("Cs",)), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200)
@given(VALUES)
def test_our_own_texts_read_back(value):
    assert loads(canonical(value)) == value
    assert loads(canonical(value).encode()) == value


@settings(max_examples=100)
@given(VALUES)
def test_the_canonical_text_is_the_same_for_every_order_and_layout(value):
    def reversed_fields(value):
        if isinstance(value, dict):
            return {name: reversed_fields(value[name]) for name in reversed(value)}
        return [reversed_fields(item) for item in value] if isinstance(value, list) else value

    text = canonical(value)
    assert text.isascii()
    assert canonical(reversed_fields(value)) == text
    assert canonical(json.loads(json.dumps(value, indent=3))) == text


def test_canonical_and_pretty_texts():
    value = {"b": [1, 2.5, True, None], "a": "é"}
    assert canonical(value) == '{"a":"\\u00e9","b":[1,2.5,true,null]}'
    assert pretty(value) == '{\n  "b": [\n    1,\n    2.5,\n    true,\n    null\n  ],\n  "a": "é"\n}\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"^a document must be JSON, but got Expecting value at line 1 column 1$"),
        ('{"a": 1,\n}', r"^a document must be JSON, but got .* at line \d column \d+$"),
        ("[1] x", r"^a document must be JSON, but got Extra data at line 1 column 5$"),
        (b'{"a": "\xff"}', r"^a document must be UTF-8, but byte 7 is not$"),
        ('"\udc80"', r"^a document must be UTF-8, but byte 1 is not$"),
        ('{"a": 1, "b": 2, "a": 1}', r"^a field must stand once, but got 'a' more than once$"),
        ('[{"x": {"b": 1, "a": 2, "b": 1, "a": 2}}]', r"^a field must stand once, but got 'a', 'b' more than once$"),
        ('{"a": NaN}', r"^a number must be finite, but got NaN$"),
        ("[-Infinity]", r"^a number must be finite, but got -Infinity$"),
        ("[1e999]", r"^a number must be finite, but got 1e999$"),
        ("[-1e999]", r"^a number must be finite, but got -1e999$"),
        ("[9223372036854775808]", r"^an integer must have at most 63 bits, but got 9223372036854775808$"),
        ("[-9223372036854775808]", r"^an integer must have at most 63 bits, but got -9223372036854775808$"),
        (f"[{'1' * 5000}]", r"^an integer must have at most 63 bits, but got 1{24}$"),
        ("[" * 33 + "]" * 33, r"^a document must nest at most 32 deep, but got more$"),
        ('{"a":' * 100000, r"^a document must nest at most 32 deep, but got more$"),
    ],
)
def test_what_is_no_document_is_refused(text, message):
    with pytest.raises(DocumentError, match=message):
        loads(text)


def test_limits_are_inclusive():
    assert loads("[" * MAX_DEPTH + "]" * MAX_DEPTH) is not None
    assert loads("9223372036854775807") == (1 << 63) - 1
    assert loads("1" + " " * 9, max_bytes=10) == 1
    with pytest.raises(DocumentError, match=r"^a document must have at most 10 bytes, but got 11$"):
        loads("1" + " " * 10, max_bytes=10)


@pytest.mark.parametrize("text", ['"[[[["', '"\\"[[["', '"\\\\"', '{"[": "]"}'])
def test_brackets_in_strings_are_no_nesting(text):
    assert loads(f"[{', '.join([text] * 50)}]") == [json.loads(text)] * 50


@settings(max_examples=300)
@given(st.binary(max_size=60) | st.text('[]{}",:\\0123456789.eE-truefalsn ', max_size=60))
def test_any_bytes_are_read_or_refused(data):
    try:
        value = loads(data)
    except DocumentError:
        return
    assert loads(canonical(value)) == value


def test_errors_of_a_file_name_it(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(DocumentError, match=r"a\.json: must be a readable file, but got No such file or directory$"):
        load(path)
    with pytest.raises(DocumentError, match=r"must be a readable file, but got Is a directory$"):
        load(tmp_path)
    path.write_text("[1,]")
    with pytest.raises(DocumentError, match=r"a\.json: a document must be JSON, but got .* at line 1 column") as caught:
        load(path)
    assert caught.value.path == path
    path.write_bytes(b"0" * (MAX_BYTES + 7))
    with pytest.raises(DocumentError, match=r"a\.json: a document must have at most 1048576 bytes, but got 1048577$"):
        load(path)
    path.write_text('{"a": [1]}')
    assert load(path) == {"a": [1]}


@pytest.mark.parametrize(
    "text",
    [
        "{" + ",".join(f'"{number}":1' for number in [*range(60_000), 0]) + "}",
        '"' + '\\"' * 500_000,
        '"' + "\\" * 1_000_001,
        '"[' * 400_000,
        "[" + "9" * 1_000_000 + "]",
        "[0." + "9" * 1_000_000 + "]",
        "[-" * 500_000,
    ],
    ids=["a name twice among many", "escapes", "backslashes", "quotes", "digits", "places", "depth"],
)
def test_no_text_takes_long(text):
    begin_s = time.process_time()
    with contextlib.suppress(DocumentError):
        loads(text)
    assert time.process_time() - begin_s < 1.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"a":{"b":1,"b":2}}', "a field must stand once, but got 'b' more than once"),
        (b'{"a":9223372036854775808}', "an integer must have at most 63 bits"),
        (b"[" * 33 + b"]" * 33, "must nest at most 32 deep"),
    ],
)
def test_the_quick_check_refuses_what_others_would_read(text, message):
    with pytest.raises(DocumentError, match=message):
        check_quickly(text)


@pytest.mark.parametrize("text", [b'{"a":9223372036854775807,"b":"99999999999999999999"}', b"no JSON", b"\xff", b""])
def test_the_quick_check_leaves_all_else_to_others(text):
    check_quickly(text)


def test_values_are_counted():
    assert num_values(1) == 1
    assert num_values({"a": [1, {"b": []}], "c": "x"}) == 6
