"""Processes that search together: what they find is what one process finds, whoever runs an architecture."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_clips import NUM_CLASSES, Stream, batch_of
from made_nets import randomise
from made_spaces import TINY, TINY_CONVS
from program import SEARCH, TARGET, call, call_json

from launch.rank_job import dismiss, follow
from launch.ranks import run_ranks
from launch.search import Options
from launch.search_options import check_division
from nas.evolution import PopulationConfig
from nas.loop import SearchConfig, run_search
from nas.problem import Problem
from nas.select import SelectionConfig
from results.checkpoint import load_newest
from results.journal import read_journal
from results.records import CandidateRecord, StartRecord, StepRecord
from results.run_dir import create_run, open_run
from results.stopwatch import Stopwatch
from search_spaces.errors import RanksDifferError, UsageError
from search_spaces.randomness import generator
from search_spaces.target import parse_target
from search_spaces.variant import Variant
from supernet.distributed import ALONE, Ranks
from supernet.evaluator import OPTIMIZER, WEIGHTS, SupernetEvaluator, WeightConfig
from supernet.supernet import Supernet
from supernet.tensors import from_bytes

STEPS = 6
CONFIG = SearchConfig(
    steps=STEPS,
    architectures_per_step=4,
    checkpoint_every=3,
    selection=SelectionConfig(num_policy=2, num_random=2),
    population=PopulationConfig(size=6, tournament=3),
)
WEIGHTS_OF = {
    "adamw": WeightConfig(batch_size=4, reward_batch_size=6, quality="probability", learning_rate=3e-3),
    "rmsprop": WeightConfig(
        batch_size=4, reward_batch_size=6, quality="probability", optimizer="rmsprop", learning_rate=0.05
    ),
}
CASES = {
    "reinforce": (TINY, "macs=4M/clip", "reinforce", "adamw"),
    "clips-and-forms": (TINY_CONVS, "macs=700k/clip", "evolution", "rmsprop"),
}
"""In the second space every architecture has a clip and a form of convolution of its own."""


def search_small(folder: Path, case: str, ranks: Ranks) -> tuple[list[list[int]], str]:
    """A search on clips made in memory; where this rank opened its streams, and what its weights and moments are."""
    torch.set_num_threads(1)
    space, target, strategy, optimizer = CASES[case]
    problem = Problem(space=space, variant=Variant(), target=parse_target(target), num_classes=NUM_CLASSES, seed=3)
    weights = WEIGHTS_OF[optimizer]
    supernet = Supernet(space, Variant(), num_classes=NUM_CLASSES, seed=1)
    randomise(supernet)
    train, reward = (Every(ranks.size, size=size) for size in (weights.batch_size, weights.reward_clips))
    evaluator = SupernetEvaluator(
        supernet,
        weights,
        num_steps=STEPS,
        train_batches=train,
        reward_batches=reward,
        compare_batches=lambda clip: (batch_of(n, size=6, num_frames=clip.num_frames, seed=9) for n in range(2)),
        stopwatch=Stopwatch(),
        ranks=ranks,
    )
    start = StartRecord(
        space=space.name,
        space_hash=space.hash,
        target=target,
        target_cost=problem.target.value,
        steps=STEPS,
        seed=3,
        decisions={decision.name: decision.choices for decision in space.decisions},
        class_names=("red", "green", "blue"),
        num_train_videos=8,
        num_heldout_videos=4,
    )
    run = create_run(folder / case, kind="search", files={}) if ranks.is_first else None
    records = run_search(
        problem,
        replace(CONFIG, strategy=strategy),
        evaluator,
        start=start,
        run=run,
        checkpoint=None,
        stopwatch=Stopwatch(),
    )
    assert len(list(records)) > STEPS
    state = evaluator.state()
    return [train.opened, reward.opened], hashlib.sha256(state[WEIGHTS] + state[OPTIMIZER]).hexdigest()


class Every(Stream):
    """Every `stride`-th batch of a stream, as a rank reads it."""

    def __init__(self, stride, *, size):
        super().__init__(size=size)
        self._stride, self._batch_size = stride, size

    def __call__(self, position, clip=None):
        self.opened.append(position)
        return (
            batch_of(n, size=self._batch_size, num_frames=clip.num_frames) for n in range(position, 10**6, self._stride)
        )


def search_on_ranks(folder: Path, ranks: Ranks) -> None:
    """What the processes of the tests below do."""
    found = {case: search_small(folder, case, ranks) for case in CASES}
    (folder / f"found{ranks.rank}.json").write_text(json.dumps(found))
    weights = [torch.nn.Parameter(torch.ones(2)) for _ in range(4)]
    for number in ([0, 1], [1, 2])[ranks.rank]:
        weights[number].grad = torch.full((2,), float(10 ** (number + ranks.rank)))
    ranks.add_gradients(weights)
    gradients = [None if weight.grad is None else weight.grad.tolist() for weight in weights]
    (folder / f"gradients{ranks.rank}.json").write_text(json.dumps(gradients))
    (folder / f"differ{ranks.rank}.json").write_text(json.dumps(differ(ranks)))
    if ranks.is_first:
        dismiss(ranks)
    else:
        follow(ranks)


def differ(ranks: Ranks) -> str:
    """What ranks say that drew different architectures."""
    rng = generator(ranks.rank, "differ")
    candidates = [TINY.decode(TINY.sample(rng), Variant()) for _ in range(2)]
    evaluator = SupernetEvaluator(
        Supernet(TINY, Variant(), num_classes=NUM_CLASSES),
        WEIGHTS_OF["adamw"],
        num_steps=1,
        train_batches=Stream(size=4),
        reward_batches=Stream(size=4),
        compare_batches=lambda _: iter(()),
        stopwatch=Stopwatch(),
        ranks=ranks,
    )
    try:
        evaluator.measure(0, candidates)
    except RanksDifferError as error:
        return str(error)
    return ""


@pytest.fixture(scope="module")
def on_two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    run_ranks(search_on_ranks, folder, size=2)
    return folder


def drawn(records):
    """Every architecture of a search, in order: of its steps and of its comparison."""
    steps = [trial.fingerprint for record in records if isinstance(record, StepRecord) for trial in record.trials]
    return steps + [record.fingerprint for record in records if isinstance(record, CandidateRecord)]


def numbers(records):
    """Every loss, quality and reward, and what was measured at the end."""
    found = []
    for record in records:
        if isinstance(record, StepRecord):
            found += [record.train_loss, record.baseline]
            found += [value for trial in record.trials for value in (trial.quality, trial.reward)]
        elif isinstance(record, CandidateRecord):
            found.append(record.quality)
    return found


@pytest.mark.parametrize("case", CASES)
def test_two_ranks_search_as_one_with_as_many_shards(on_two, tmp_path, case):
    """The same architectures on the same clips: equal choices; weights, losses and rewards within rounding."""
    search_small(tmp_path, case, ALONE)
    runs = [open_run(folder / case) for folder in (on_two, tmp_path)]
    found, expected = (read_journal(run.journal_path) for run in runs)
    assert drawn(found) == drawn(expected)
    np.testing.assert_allclose(numbers(found), numbers(expected), rtol=1e-3, atol=1e-5)
    checkpoints = [load_newest(run.checkpoints_path) for run in runs]
    assert checkpoints[0].num_records == checkpoints[1].num_records
    for name in (WEIGHTS, OPTIMIZER):
        tensors, others = (from_bytes(checkpoint.blobs[name]) for checkpoint in checkpoints)
        assert tensors.keys() == others.keys()  # weights that nothing ran have no moments on any rank
        for key, tensor in others.items():
            if key.endswith(("project.shift", "skip.shift")) and CASES[case][-1] == "adamw":
                continue  # the next norm takes them out: of gradients that are all rounding AdamW makes whole steps
            torch.testing.assert_close(tensors[key], tensor, rtol=1e-3, atol=2e-4, msg=f"{name} {key}")


def test_a_rank_reads_its_own_clips_alone_and_in_order(on_two):
    """A stream is opened once, at the first architecture of the rank, as long as clips are of one kind."""
    for rank in range(2):
        found = json.loads((on_two / f"found{rank}.json").read_text())
        assert found["reinforce"][0] == [[rank], [rank]]
        assert all(position % 2 == rank for positions in found["clips-and-forms"][0] for position in positions)


def test_every_rank_ends_with_the_same_bytes(on_two):
    first, second = (json.loads((on_two / f"found{rank}.json").read_text()) for rank in range(2))
    for case in CASES:
        assert first[case][1] == second[case][1]


def test_a_weight_that_a_rank_did_not_run_counts_as_zero_there(on_two):
    """And one that no rank ran has no gradient, as on one rank: its moments stay."""
    for rank in range(2):
        found = json.loads((on_two / f"gradients{rank}.json").read_text())
        assert found == [[1.0, 1.0], [10.0 + 100.0] * 2, [1000.0, 1000.0], None]


def test_ranks_that_draw_different_architectures_say_so(on_two):
    for rank in range(2):
        message = json.loads((on_two / f"differ{rank}.json").read_text())
        assert f"all ranks must draw the same architectures, but rank {1 - rank} drew" in message
        assert f"where rank {rank} drew" in message


def options(**changes):
    return replace(Options(space="nano", data=Path("d"), target=TARGET, out=Path("o")), **changes)


def test_every_rank_must_have_as_many_architectures():
    for ranks, per_step in ((1, 1), (2, 2), (2, 4), (3, 3)):
        check_division(options(ranks=ranks, search=SearchConfig(architectures_per_step=per_step)))
    with pytest.raises(UsageError, match=r"architectures_per_step must be a multiple of ranks, .* but got 2 for 3"):
        check_division(options(ranks=3))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--ranks=3"], "search.architectures_per_step must be a multiple of ranks, of which each runs as many, but"),
        (["--ranks=0"], "ranks must be at least 1, but got 0"),
        (["--gpus=1"], "gpus and ray_address must go with --executor ray, but got inline"),
        (["--executor=ray", "--max_failures=-1"], "gpus must be 0 or 1 and max_failures at least 0, but got 0 and -1"),
    ],
)
def test_options_that_do_not_go_together_leave_no_folder(capsys, motion_manifest, tmp_path, more, message):
    arguments = ["--space=nano", f"--data={motion_manifest}", f"--target={TARGET}", f"--out={tmp_path / 'run'}"]
    code, _, err = call(capsys, "search", *arguments, *SEARCH, *more)
    assert code == 2
    assert message in err
    assert not (tmp_path / "run").exists()


def test_the_run_tells_of_its_ranks(search_run):
    assert json.loads((search_run / "env.json").read_text())["ranks"] == 1


def test_a_finished_search_is_not_searched_again_on_ranks(capsys, search_run, tmp_path):
    assert call_json(capsys, "resume", search_run, "--ranks=2")["num_random"] == 3
    code, _, err = call(capsys, "resume", search_run, "--ranks=0")
    assert code == 2
    assert "ranks must be at least 1, and not be given under torchrun, but got 0" in err
    code, _, err = call(capsys, "resume", search_run, "--parallel=2")
    assert "executor and parallel must go with a sweep" in err
    code, _, err = call(capsys, "resume", search_run, "--ranks=2", "--ray-address=10.0.0.1:6379")
    assert (code, "ray_address must not be given with ranks of this machine" in err) == (2, True)


def test_an_unfinished_search_goes_on_at_another_address_if_it_was_begun_on_ray(capsys, search_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(search_run, run)
    lines = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (run / "journal.jsonl").write_bytes(b"".join(lines[:-1]))
    code, _, err = call(capsys, "resume", run, "--ray-address=127.0.0.1:1")
    assert (code, "ray_address must go with a sweep or with a run begun with --executor ray" in err) == (2, True)
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("executor: inline", "executor: ray"))
    code, _, err = call(capsys, "resume", run, "--ray-address=127.0.0.1:1")
    assert (code, "127.0.0.1:1: a Ray cluster must answer at ray_address" in err) == (2, True)
    assert run.exists()
