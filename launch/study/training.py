"""Stand-alone trainings as units of a study: one architecture, trained from one seed and asked about the test clips."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from launch import members, retrain
from launch.compute import set_up
from launch.study.common import StudyOptions, checkpoints_of, origin_of_run, refuse_other_run
from launch.trained import load_trained, predictions_of
from retrain.ensemble import Ensemble
from retrain.evaluate import Predictions
from retrain.model_file import ModelCard
from retrain.recipe import Recipe
from search_spaces.space import Candidate
from search_spaces.spec_json import make_spec_file, write_spec
from video.manifest import load_manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One training.

    Attributes:
        name: Of its unit and of its folder.
        candidate: The architecture.
        seed: Of the training.
        manifest: Of its videos.
        recipe: As of `movinas retrain`.
        study: Options of the study.
        kept: Whether the trained network stays once there is a result, or the whole folder goes.
    """

    name: str
    candidate: Candidate
    seed: int
    manifest: Path
    recipe: Recipe
    study: StudyOptions
    kept: bool

    @property
    def options(self) -> retrain.Options:
        """Of the training; the spec is written when it begins."""
        study, specs = self.study, self.study.out / "specs"
        return retrain.Options(
            spec=str(specs / f"{self.candidate.fingerprint}.json"),
            data=self.manifest,
            out=study.out / "members" / self.name,
            recipe=self.recipe,
            clips=study.clips,
            seed=self.seed,
            threads=study.threads,
            workers=study.workers,
            device=study.device,
            amp=study.amp,
        )

    def origin(self) -> object:
        """See `common.Task`."""
        return [self.candidate.fingerprint, origin_of_run(self.options)]

    def leftovers(self) -> Iterable[Path]:
        """See `common.Task`."""
        folder = self.options.out
        if self.kept:
            return checkpoints_of(folder)
        return (folder,) if folder.exists() else ()


def trained_and_asked(task: Training) -> tuple[Ensemble, ModelCard, Predictions]:
    """The trained network, and what it says of the test clips."""
    options, study = task.options, task.study
    refuse_other_run(options)
    write_spec(make_spec_file(task.candidate.spec, task.candidate.variant), study.out / "specs")
    _, card = members.trained(options)
    ensemble, items = load_trained(options.out), load_manifest(task.manifest).of("test")
    compute = set_up(study)
    return (
        ensemble,
        card,
        predictions_of(ensemble, items, study.clips, compute, views="1x1", batch_size=task.recipe.batch_size),
    )
