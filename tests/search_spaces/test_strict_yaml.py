"""Configurations from outside."""

import pytest

from search_spaces.errors import UsageError
from search_spaces.strict_yaml import MAX_BYTES, check_yaml, read_yaml


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x [1]\nb: 2", r"^:1: a configuration must have no anchors or aliases, but got 'x'"),
        ("a: 1\nb: *x", r"^:2: a configuration must have no anchors or aliases, but got 'x'"),
        (
            "a: !!python/object/apply:os.system [id]",
            r"must have no tags, but got 'tag:yaml.org,2002:python/object/apply",
        ),
        ("a: !include x.yaml", r"must have no tags, but got '!include'"),
        ("a: 1\nb: {c: 1, c: 2}", r"^:2: a name must stand once, but got 'c' again"),
        ("? [a]\n: 1", r"a name must be text, but got a list or mapping"),
        ("config: other.yaml", r"must not name another one"),
        ("a: [.inf, 1]", r"a number must be finite, but got '.inf'"),
        ("a: -.NaN", r"a number must be finite, but got '-.NaN'"),
        ('a: "\\0"', r"must have no zero byte"),
        ("a: " + "[" * 17 + "]" * 17, r"must nest at most 16 deep"),
        ("[" * 100_000, r"must nest at most 16 deep"),
        ("a: [", r"must hold the options of its command, but is no YAML: "),
        (" " * (MAX_BYTES + 1), r"must have at most 262144 bytes, but got 262145"),
    ],
)
def test_what_is_more_than_options_is_refused(text, message):
    with pytest.raises(UsageError, match=message):
        check_yaml(text)


@pytest.mark.parametrize("text", ["", "a: 1", "a: '.inf'\nb: [x, {c: null}]\nd: {config: x}", "- 1\n- 1", "a: b\n"])
def test_options_are_left_alone(text):
    check_yaml(text)


def test_errors_of_a_file_name_it(tmp_path):
    path = tmp_path / "c.yaml"
    with pytest.raises(UsageError, match=r"c\.yaml: must be a readable file, but got No such file"):
        read_yaml(path)
    path.write_bytes(b"a: \xff")
    with pytest.raises(UsageError, match=r"c\.yaml: must be UTF-8, but byte 3 is not"):
        read_yaml(path)
    path.write_text("a: 1\na: 2")
    with pytest.raises(UsageError, match=r"c\.yaml:2: a name must stand once"):
        read_yaml(path)
    path.write_bytes(b"x" * (MAX_BYTES + 1))
    with pytest.raises(UsageError, match=r"c\.yaml: must be a readable file, but got more than 262144 bytes"):
        read_yaml(path)
