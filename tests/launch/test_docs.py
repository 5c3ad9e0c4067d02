"""What the documents say is what the program does."""

import dataclasses
import json
import re
import shlex
from pathlib import Path
from typing import get_args

import pytest

from launch import data_index, data_synth, family, retrain, search, space_show
from launch.cli import VERBS
from launch.options import parse
from search_spaces import ensemble_json, spec_json
from search_spaces.movinet import PHIS
from search_spaces.space_json import read_space
from video.annotations.formats import FormatName

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "json_schema"), [("spec", spec_json.json_schema), ("ensemble", ensemble_json.json_schema)]
)
def test_the_published_schemas_are_those_that_are_checked(name, json_schema):
    assert json.loads((ROOT / "docs" / f"{name}.schema.json").read_text()) == json_schema()


def test_the_documented_space_file_is_one(tmp_path):
    text = (ROOT / "docs" / "data_flow.md").read_text()
    (tmp_path / "space.json").write_text(re.search(r"```json\n(.*?)```", text, re.DOTALL).group(1))
    assert read_space(tmp_path / "space.json").name == "mine"


def test_the_readme_names_only_verbs_that_exist():
    text = (ROOT / "README.md").read_text()
    for line in re.findall(r"^movinas (.*)$", text, re.MULTILINE):
        assert any(line.startswith(verb) for verb in VERBS), line


def test_the_documented_percentiles_are_those_of_the_command():
    """`movinas space show a0 --samples 100000`, and so on to a5; what it computes, without its process."""
    text = (ROOT / "docs" / "scaling.md").read_text()
    rows = re.findall(
        r"^\| `(a\d)` \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) / ([\d.]+) / ([\d.]+) \|", text, re.MULTILINE
    )
    assert [row[0] for row in rows] == list(PHIS)
    for name, *numbers in rows:
        document = space_show.describe(space_show.Options(name=name, samples=100_000))
        macs, found = document["macs"], document["published"]
        giga = [found["macs"], macs["min"], macs["median"], macs["max"]]
        expected = [giga[0], 1e9 * found["percentile"], 1e9 * macs["mean"] / giga[0], *giga[1:]]
        for shown, value in zip(numbers, expected, strict=True):
            digits = len(shown.partition(".")[2])
            assert float(shown) == pytest.approx(value / 1e9, abs=0.51 * 10**-digits), name


def test_pictures_are_there_and_small():
    for document in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for name in re.findall(r"!\[.*?\]\((.*?)\)", document.read_text()):
            assert (document.parent / name).stat().st_size < 200_000, name


def option_names(options, prefix=""):
    for each in dataclasses.fields(options):
        yield prefix + each.name
        if dataclasses.is_dataclass(each.type):
            yield from option_names(each.type, f"{prefix}{each.name}.")


def test_the_page_for_your_own_videos_names_options_that_exist():
    text = (ROOT / "docs" / "your-videos.md").read_text()
    found = set(re.findall(r"--([a-z][a-z_.-]*[a-z])", text))
    modules = (search, retrain, data_index, data_synth, family, space_show)
    known = {name for module in modules for name in option_names(module.Options)} | {"width"}  # of scripts.pictures
    assert {name.replace("-", "_") for name in found} <= known
    assert len(found) > 20


def test_every_format_of_annotations_has_a_command():
    text = (ROOT / "docs" / "data.md").read_text()
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| .* \| `movinas data index (.*)` \|$", text, re.MULTILINE)
    assert [name for name, _ in rows] == list(get_args(FormatName))
    for _, command in rows:
        parse(data_index.Options, shlex.split(command), prog="movinas data index", positionals=data_index.POSITIONALS)
