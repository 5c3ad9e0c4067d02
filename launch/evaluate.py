"""`movinas evaluate`: accuracy of a retrained network, or of several together, on the videos of a manifest."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from launch import console
from launch.clips import ClipConfig, videos_of
from launch.compute import Amp, Compute, set_up
from launch.evaluate_axes import AxisConfig, points_of
from launch.retrain import Options as RetrainOptions
from launch.run_report import write_report
from launch.runs import options_of
from launch.trained import clips_of, is_ensemble_file, load_trained, predictions_of, require_all_stream
from results.files import replace_file
from results.records import Axis, EmbeddingReport, TestReport
from results.run_dir import open_run
from retrain.embeddings import layer_names, measure
from retrain.ensemble import Ensemble
from retrain.evaluate import report_of
from retrain.model_file import is_model_folder
from retrain.recipe import EMBEDDING, Recipe
from search_spaces.errors import ManifestError
from search_spaces.strict_json import pretty
from video.clips import View
from video.label_space import LabelSpace
from video.manifest import Manifest, Split, VideoItem, load_manifest

POSITIONALS = ("run",)
EMBEDDED_VIDEOS = 256
"""Of which the embeddings of frames are measured."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Measure a retrained network, or an ensemble of them.

    Attributes:
        run: Run folder of a finished retraining, of an ensemble's training, folder of a network, or an ensemble file
            that names its models.
        data: Manifest with the classes the network was trained on.
        split: Which of its videos.
        views: Clips per video, as positions x crops, averaged: 1x1 is the middle, 10x3 the usual multi-clip test, whose
            clips overlap where the video is short; whole is one clip of all frames at the network's rate, tilesx1 as
            many clips as fit side by side.
        stream: Step through each clip frame by frame; every network must be one that streams.
        by: Also draw accuracy against something: frame is the number of the frame in the clip, frames how many frames
            a clip has, rate its frame rate.
        frames: With by frames, such as [8,16,32]; of an ensemble, of its first network. Without, a quarter to four
            times those of the clip.
        rates: With by rate, such as [2.5,5,10] per second, for clips of the same duration. Without, half to twice the
            network's.
        batch_size: Clips per batch.
        clips: Reading of the videos.
        device: auto, cpu, cuda, ...
        threads: Of torch; 0 takes all cores.
        workers: Processes that read clips; -1 chooses, 0 reads in this one.
        amp: Autocast of the network.
        seed: Not needed here: a test draws nothing.
        json: Print one JSON document.
    """

    run: Path
    data: Path
    split: Split = "test"
    views: str = "1x1"
    stream: bool = False
    by: Axis | None = None
    frames: tuple[int, ...] = ()
    rates: tuple[float, ...] = ()
    batch_size: int = 32
    clips: ClipConfig = field(default_factory=ClipConfig)
    device: str = "auto"
    threads: int = 0
    workers: int = -1
    amp: Amp = "off"
    seed: int = 0
    json: bool = False


def run(options: Options) -> int:
    """Measure, keep the result as test.json in the run folder if there is one, and print it."""
    report = evaluate(options)
    if options.json:
        console.show_json(asdict(report))
        return 0
    show_report(report, title=f"{options.split} split, {options.views} views{', frame by frame' * options.stream}")
    return 0


def evaluate(options: Options) -> TestReport:
    """The report, which also stays in the folder of a run."""
    ensemble = load_trained(options.run)
    if options.stream:
        require_all_stream(ensemble, path=options.run)
    axis = AxisConfig(by=options.by, frames=options.frames, rates=options.rates, views=options.views)
    axis.check(ensemble)
    compute = set_up(options)
    manifest, space = load_manifest(options.data), ensemble.label_space
    _check_classes(manifest, space, path=options.data)
    items = videos_of(manifest, options.split, path=options.data)
    predictions = predictions_of(
        ensemble,
        items,
        options.clips,
        compute,
        views=options.views,
        batch_size=options.batch_size,
        stream=options.stream,
    )
    report = replace(report_of(predictions, space=space, views=options.views), stream=options.stream)
    points = points_of(
        axis,
        ensemble,
        report,
        items=items,
        config=options.clips,
        compute=compute,
        batch_size=options.batch_size,
        stream=options.stream,
    )
    embeddings = _embeddings(ensemble, items, options, compute)
    report = replace(report, by=options.by, points=points, embeddings=embeddings)
    if not (is_ensemble_file(options.run) or is_model_folder(options.run)):
        folder = open_run(options.run)
        replace_file(folder.test_path, pretty(asdict(report)).encode())
        write_report(folder)
    return report


def _embeddings(
    ensemble: Ensemble, items: Sequence[VideoItem], options: Options, compute: Compute
) -> EmbeddingReport | None:
    """Of the first videos; None of an ensemble, and where the network has no temporal head and was not smoothed."""
    if len(ensemble.members) > 1:
        return None
    recipe, member = Recipe(), ensemble.members[0]
    if not (is_ensemble_file(options.run) or is_model_folder(options.run)):
        recipe = options_of(open_run(options.run, kind="retrain"), RetrainOptions).recipe
    layer = recipe.grw_layers[0] if recipe.grw_weight else EMBEDDING
    if layer not in layer_names(member.card.arch, member.card.variant):
        return None
    clips = clips_of(
        member, items[:EMBEDDED_VIDEOS], options.clips, (View(),), batch_size=options.batch_size, compute=compute
    )
    net = member.net.to(compute.device)
    return measure(net, clips, recipe, layer=layer, device=compute.device, amp_dtype=compute.amp_dtype)


def show_report(report: TestReport, *, title: str) -> None:
    """Print the figures, each with how many videos it is over."""
    counts = (report.num_videos, report.num_failed)
    figures = [("top-1", report.top1), ("top-5", report.top5)]
    if report.mean_average_precision is not None:
        figures.insert(0, ("mAP", report.mean_average_precision))
    names = (*(name for name, _ in figures), "videos", "failed")
    if report.heads:
        rows = [("action", report.top1, report.top5), *((h, r.top1, r.top5) for h, r in report.heads.items())]
        cells = [(head, f"{top1:.4f}", f"{top5:.4f}", *counts) for head, top1, top5 in rows]
        console.show_table(title, ("head", *names), cells)
    else:
        console.show_table(title, names, [(*(f"{value:.4f}" for _, value in figures), *counts)])
    figure = "top-1" if report.mean_average_precision is None else "average precision"
    console.show_table(
        "Per class",
        ("class", figure, "videos"),
        [(name, f"{value:.3f}", report.per_class_videos[name]) for name, value in report.per_class.items()],
    )
    if report.points:
        console.show_table(
            f"By {report.by}",
            ("frame", "frames", "fps", *names),
            [
                (
                    "" if point.frame is None else f"{point.frame} {point.kind.replace('_', ' ')}",
                    point.num_frames,
                    f"{point.rate_fps:g}",
                    *([] if point.mean_average_precision is None else [f"{point.mean_average_precision:.4f}"]),
                    f"{point.top1:.4f}",
                    f"{point.top5:.4f}",
                    point.num_videos,
                    point.num_failed,
                )
                for point in report.points
            ],
        )


def _check_classes(manifest: Manifest, space: LabelSpace, *, path: Path) -> None:
    found = manifest.label_space
    if found.class_names != space.class_names or found.heads != space.heads:
        raise ManifestError(
            f"a manifest must have the classes of the network, {', '.join(space.class_names[:5])}, ..., "
            f"but has {', '.join(found.class_names[:5])}, ...",
            path=path,
        )
    if found.multi_label and not space.multi_label:
        raise ManifestError("a manifest must have one label per video, as the network, but has several", path=path)
