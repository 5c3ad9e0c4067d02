"""What the documents say is what the program does."""

import json
import re
from pathlib import Path

import pytest

from launch.cli import VERBS
from search_spaces import ensemble_json, spec_json
from search_spaces.space_json import read_space

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
