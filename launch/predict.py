"""`movinas predict`: classes of videos, from the middle clip of each or from several."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from launch import console
from launch.clips import ClipConfig
from launch.compute import Amp, set_up
from launch.trained import likeliest, load_trained, predictions_of
from search_spaces.errors import UsageError, VideoError
from video.decode import probe
from video.manifest import VideoItem

POSITIONALS = ("run", "videos")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Classes of videos.

    Attributes:
        run: Run folder of a finished retraining, folder of a network, or an ensemble file that names its models.
        videos: Video files.
        top: How many classes to name, of each head.
        views: Clips per video, as positions x crops, averaged.
        clips: Reading of the videos.
        device: auto, cpu, cuda, ...
        threads: Of torch; 0 takes all cores.
        workers: Processes that read clips; -1 chooses, 0 reads in this one.
        amp: Autocast of the network.
        seed: Not needed here: a prediction draws nothing.
        json: Print one JSON document.
    """

    run: Path
    videos: tuple[str, ...]
    top: int = 3
    views: str = "1x1"
    clips: ClipConfig = field(default_factory=ClipConfig)
    device: str = "auto"
    threads: int = 0
    workers: int = -1
    amp: Amp = "off"
    seed: int = 0
    json: bool = False


def run(options: Options) -> int:
    """Print the likeliest classes of each video; exit 2 if one of them cannot be decoded."""
    if options.top < 1:
        raise UsageError(f"top must be at least 1, but got {options.top}")
    ensemble = load_trained(options.run)
    compute = set_up(options)
    problems = {name: problem for name in options.videos if (problem := _problem(Path(name))) is not None}
    items = [
        VideoItem(id=f"{number}", path=Path(name).resolve(), labels=(0,), split="test")
        for number, name in enumerate(options.videos)
    ]
    predictions = predictions_of(
        ensemble, items, replace(options.clips, cache_bytes=0), compute, views=options.views, batch_size=16
    )
    documents = []
    for name, chances_K, failed in zip(options.videos, predictions.probabilities_NK, predictions.failed_N, strict=True):
        classes = likeliest(chances_K, ensemble.label_space, top=0 if failed else options.top)
        documents.append({"video": name, "failed": bool(failed), "classes": classes})
        if failed:
            console.error(problems.get(name, f"{name}: must be a video that can be decoded, but some of it cannot"))
        elif not options.json:
            text = ", ".join(f"{entry['class']} {entry['probability']:.3f}" for entry in classes)
            console.show(f"{name}: {text}")
    if options.json:
        console.show_json(documents)
    return 2 if predictions.failed_N.any() else 0


def _problem(path: Path) -> str | None:
    try:
        probe(path)
    except VideoError as error:
        return str(error)
    return None
