from dataclasses import replace

import numpy as np
import optuna
import pytest

from launch.bench.made_search import make_search
from results.architectures import Decoder
from results.history import read_history
from results.optuna_study import OBJECTIVES, open_storage, write_study
from results.pareto import non_dominated
from search_spaces.errors import RunFolderError
from search_spaces.movinet import NANO


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_search(tmp_path_factory.mktemp("made") / "run", NANO, num_steps=60)


@pytest.fixture(autouse=True)
def _quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.mark.filterwarnings("ignore:PedAnova")  # which low values count is of no matter here
@pytest.mark.parametrize("name", ["study.log", "study.db"])
def test_a_study_of_three_objectives_with_front_and_importances(run, tmp_path, name):
    number = write_study(run, tmp_path / name, most=80)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    study = optuna.load_study(study_name="run", storage=open_storage(tmp_path / name))
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE", "MINIMIZE"]
    assert study.metric_names == list(OBJECTIVES)
    assert len(study.trials) == number == 80
    values = np.array([trial.values for trial in study.trials])
    front = {trial.number for trial in study.best_trials}
    assert front == set(np.flatnonzero(non_dominated(values * [1, -1, -1])).tolist())
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    importances = optuna.importance.get_param_importances(
        study, evaluator=evaluator, target=lambda trial: trial.values[0]
    )
    assert {"block2.depth", "head.width", "block2.layer1.kernel"} <= set(importances)


def test_trials_are_the_architectures_as_they_were_measured_last(run, tmp_path):
    write_study(run, tmp_path / "study.log", most=10_000)
    study = optuna.load_study(study_name="run", storage=open_storage(tmp_path / "study.log"))
    history = read_history(run.journal_path, architectures=True)
    decoder = Decoder.of(run, history.start)
    latest = {each.fingerprint: number for number, each in enumerate(history.architectures)}
    by_name = {trial.user_attrs["fingerprint"]: trial for trial in study.trials}
    assert len(by_name) == len(study.trials) == len(latest.keys() | {each.fingerprint for each in history.candidates})
    for candidate, trial in zip(history.candidates, study.trials[-25:], strict=True):
        network = decoder.network(candidate.genotype)
        assert trial.values == [candidate.quality, decoder.macs(network), decoder.state_bytes(network)]
        assert trial.params == candidate.genotype
        assert trial.user_attrs["measured in"] == f"final comparison, {candidate.origin}"
    for fingerprint, number in list(latest.items())[:20]:
        assert by_name[fingerprint].values[0] == history.trials["quality"][number]
        assert by_name[fingerprint].user_attrs["step"] == history.trials["step"][number]


def test_decisions_with_one_choice_are_no_parameters(tmp_path):
    run = make_search(tmp_path / "run", replace(NANO, se=(False,)), num_steps=10)
    write_study(run, tmp_path / "study.log", most=20)
    study = optuna.load_study(study_name="run", storage=open_storage(tmp_path / "study.log"))
    names = {name.rpartition(".")[2] for trial in study.trials for name in trial.params}
    assert names == {"depth", "width", "kernel", "expansion"}


def test_nothing_to_show_and_files_that_exist_are_refused(run, tmp_path):
    empty = make_search(tmp_path / "empty", NANO, num_steps=4, done=0)
    with pytest.raises(RunFolderError, match="must be a search that has measured an architecture"):
        write_study(empty, tmp_path / "study.log", most=5)
    (tmp_path / "there.log").write_text("mine")
    with pytest.raises(RunFolderError, match=r"there.log: must not exist yet, but it does"):
        write_study(run, tmp_path / "there.log", most=5)
    assert (tmp_path / "there.log").read_text() == "mine"
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="must be a file that can be written, but got"):
        write_study(run, tmp_path / "file" / "study.log", most=5)
