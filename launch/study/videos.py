"""Videos of studies: manifests in their folders, made once."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from launch import console, data_index, data_synth
from launch.study.common import StudyOptions, kept, writing
from video.synthetic import Cue


def manifest_in(options: StudyOptions, name: str, make: Callable[[Path], object]) -> Path:
    """A manifest in the study's folder, made where it is missing."""
    path = options.out / f"{name}.jsonl"
    if not path.exists():
        with writing(options):
            if not path.exists():  # nor has whoever held the folder made it
                make(path)
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionVideos:
    """Generated videos of a study; numbers as of `data synth` and `data index`."""

    videos_per_class: int
    size: int
    num_frames: int
    rate_fps: int
    split: str
    seed: int
    cue: Cue = "motion"
    shuffled: bool = False

    def manifest(self, options: StudyOptions, name: str) -> Path:
        """Their manifest in the study's folder; what is missing is made.

        Raises:
            UsageError: There are videos of that name that were generated otherwise.
        """
        folder, made_as = options.out / "videos" / name, f"{name}.videos.json"
        older = folder.exists() or (options.out / f"{name}.jsonl").exists()
        if (options.out / made_as).exists() or not older:
            kept(options, made_as, asdict(self))

        def make(path: Path) -> None:
            if not folder.exists():
                self._generate(folder)
            data_index.index(data_index.Options(source=folder, out=path, split=self.split, seed=self.seed))

        return manifest_in(options, name, make)

    def _generate(self, folder: Path) -> None:
        console.log(f"generate {self.videos_per_class} videos of each class in {folder}")
        data_synth.synthesise(
            data_synth.Options(
                out=folder,
                videos_per_class=self.videos_per_class,
                cue=self.cue,
                shuffled=self.shuffled,
                size=self.size,
                num_frames=self.num_frames,
                rate_fps=self.rate_fps,
                seed=self.seed,
            )
        )
