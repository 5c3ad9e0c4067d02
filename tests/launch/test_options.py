"""Options from arguments and files, and back."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from launch.options import from_yaml, parse, to_yaml
from search_spaces.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Inner:
    """Inner options.

    Attributes:
        rate: A rate.
    """

    rate: float = 0.5

    def __post_init__(self):
        if self.rate <= 0:
            raise UsageError(f"rate must be positive, but got {self.rate}")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Outer options.

    Attributes:
        files: Files.
        out: A folder.
        num: How many.
        inner: Nested.
        json: A flag.
    """

    files: tuple[str, ...]
    out: Path
    num: int = 3
    inner: Inner = field(default_factory=Inner)
    json: bool = False


def read(*arguments):
    return parse(Options, arguments, prog="movinas test", positionals=("files",), short={"num": "-n"})


def test_arguments_become_typed_values():
    options = read("a", "b", "--out", "folder", "-n", "7", "--inner.rate=0.25", "--json")
    assert options == Options(files=("a", "b"), out=Path("folder"), num=7, inner=Inner(rate=0.25), json=True)


def test_defaults_hold_where_nothing_is_given():
    assert read("a", "--out=x") == Options(files=("a",), out=Path("x"))


def test_a_positional_with_a_default_may_be_left_out():
    @dataclass(frozen=True, kw_only=True)
    class Several:
        """Options.

        Attributes:
            file: A file.
            more: More files.
        """

        file: str
        more: tuple[str, ...] = ()

    def read_several(*arguments):
        return parse(Several, arguments, prog="movinas test", positionals=("file", "more"))

    assert read_several("a") == Several(file="a")
    assert read_several("a", "b", "c") == Several(file="a", more=("b", "c"))


def test_a_file_gives_options_and_arguments_override_it(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("num: 9\ninner:\n  rate: 2.0\n")
    options = read("a", "--out=x", f"--config={config}", "--inner.rate=3")
    assert (options.num, options.inner.rate) == (9, 3.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "--out=x", "--nums=3"], "unrecognized arguments: --nums=3"),
        (["a", "--out=x", "--num=three"], "Expected a int. Got value: three"),
        (["a"], "must be given, but are missing: --out"),
        (["a", "--out=x", "--inner.rate=-1"], "rate must be positive, but got -1.0"),
        (["--out=x"], "must be given, but are missing: FILE"),
    ],
)
def test_what_is_wrong_is_one_line(arguments, message):
    with pytest.raises(UsageError) as caught:
        read(*arguments)
    assert "\n" not in str(caught.value)
    assert any(part in str(caught.value) for part in message.split("|"))


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Options that a run keeps."""

    spec: str
    out: Path
    limit: int | None = None
    rate: float = 1e-8
    bound: float | None = 5.0
    limits: tuple[str, ...] = ()
    inner: Inner = field(default_factory=Inner)
    json: bool = False


def read_kept(*arguments, defaults=None):
    given = ["--spec=a", "--out=b", *arguments]
    return parse(Kept, given, prog="movinas test", repeated=("limits",), defaults=defaults)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--limits=a=1@x", "--limits", "b=2"],
        ["--limits", "a=1@x", "--rate=1e-8", "--limits=b=2"],
        ["--limits=[a=1@x,b=2]"],
    ],
)
def test_a_flag_may_be_repeated(arguments):
    assert read_kept(*arguments).limits == ("a=1@x", "b=2")
    assert read_kept().limits == ()


def test_a_repeated_flag_without_a_value_is_refused():
    with pytest.raises(UsageError, match="limits"):
        read_kept("--limits")


def test_defaults_may_follow_from_what_was_given():
    """`inner.rate` follows from `limit`, and `rate` from that; what was given stays."""

    def defaults(kept):
        return {} if kept.limit is None else {"inner.rate": kept.limit / 2, "rate": kept.inner.rate + 1}

    assert read_kept(defaults=defaults) == read_kept()
    found = read_kept("--limit=6", defaults=defaults)
    assert (found.inner.rate, found.rate) == (3.0, 4.0)
    found = read_kept("--limit=6", "--inner.rate=7", defaults=defaults)
    assert (found.inner.rate, found.rate) == (7.0, 8.0)


def test_nothing_is_kept_as_nothing():
    """Not as the default."""
    kept = Kept(spec="a", out=Path("b"), bound=None, limits=("c=1", "d=2"))
    assert from_yaml(Kept, to_yaml(kept)) == kept


def test_yaml_round_trip():
    kept = Kept(spec="published:A0", out=Path("/x y/ü"), rate=1 / 3, inner=Inner(rate=7.25), json=True)
    assert from_yaml(Kept, to_yaml(kept)) == kept


@pytest.mark.parametrize(
    "text", ["spec: [", "spec: a\nout: b\nunknown: 1\n", "out: b\n", "- 1\n", "spec: a\nout: b\nlimit: x\n"]
)
def test_yaml_that_is_not_these_options(text):
    with pytest.raises(UsageError, match="a configuration must hold the options of its command"):
        from_yaml(Kept, text)


@pytest.mark.parametrize("flag", [["--config", "{}"], ["--config={}"], ["--conf={}"]])
def test_a_configuration_file_is_checked_before_it_is_read(tmp_path, flag):
    path = tmp_path / "c.yaml"
    path.write_text("rate: &a 1\n")
    with pytest.raises(UsageError, match=r"c\.yaml:1: a configuration must have no anchors"):
        parse(Options, [argument.format(path) for argument in flag], prog="movinas x")
