"""What the documents say is what the program does."""

import json
import re
from pathlib import Path

from launch.cli import VERBS
from search_spaces.space_json import read_space
from search_spaces.spec_json import json_schema

ROOT = Path(__file__).parents[2]


def test_the_published_schema_is_the_one_that_is_checked():
    assert json.loads((ROOT / "docs" / "spec.schema.json").read_text()) == json_schema()


def test_the_documented_space_file_is_one(tmp_path):
    text = (ROOT / "docs" / "data_flow.md").read_text()
    (tmp_path / "space.json").write_text(re.search(r"```json\n(.*?)```", text, re.DOTALL).group(1))
    assert read_space(tmp_path / "space.json").name == "mine"


def test_the_readme_names_only_verbs_that_exist():
    text = (ROOT / "README.md").read_text()
    for line in re.findall(r"^movinas (.*)$", text, re.MULTILINE):
        assert any(line.startswith(verb) for verb in VERBS), line
