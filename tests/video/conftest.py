from collections.abc import Callable
from pathlib import Path

import pytest
from datasets import DataSet
from encoded_videos import RECIPES, write_recipe


@pytest.fixture(scope="session")
def recipe_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The file of a recipe, written once; tests that damage it copy it first."""
    folder = tmp_path_factory.mktemp("recipes")

    def get(name: str) -> Path:
        path = folder / f"{name}{RECIPES[name].suffix}"
        return path if path.exists() else write_recipe(path, RECIPES[name])

    return get


@pytest.fixture(scope="session")
def real_clips() -> list[Path]:
    """A few clips of people, if this machine has them."""
    data = Path(__file__).parents[3] / "shared" / "data"
    clips = [*sorted((data / "grid-s1-command").glob("*/*.mp4"))[::80], *sorted((data / "asl").glob("*.mkv"))[:2]]
    if not clips:
        pytest.skip("no real clips beside this repository (../shared/data)")
    return clips


@pytest.fixture
def data_set(tmp_path: Path, recipe_file: Callable[[str], Path]) -> DataSet:
    """An empty folder for annotations and videos."""
    return DataSet(tmp_path / "data", recipe_file)
