"""`movinas evaluate`: accuracy of a retrained network on the videos of a manifest."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from launch import console
from launch.clips import ClipConfig, Tally, once, parse_views, videos_of
from launch.compute import Amp, Compute, set_up
from launch.report import write_report
from launch.runs import model_folder
from results.files import replace_file
from results.records import TestReport
from results.run_dir import open_run
from retrain.evaluate import Predictions, predict, report_of
from retrain.model_file import ModelCard, load_model
from search_spaces.errors import ManifestError
from search_spaces.spec import ClipGeometry
from search_spaces.strict_json import pretty
from supernet.video_net import VideoNet
from video.manifest import Split, VideoItem, load_manifest

POSITIONALS = ("run",)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Measure a retrained network.

    Attributes:
        run: Run folder of a finished retraining, or folder of a network.
        data: Manifest with the classes the network was trained on.
        split: Which of its videos.
        views: Clips per video, as positions x crops, averaged: 1x1 is the middle, 10x3 the usual multi-clip test.
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
    batch_size: int = 32
    clips: ClipConfig = field(default_factory=ClipConfig)
    device: str = "auto"
    threads: int = 0
    workers: int = -1
    amp: Amp = "off"
    seed: int = 0
    json: bool = False


def run(options: Options) -> int:
    """Measure, keep the result as test.json in the folder of a run, and print it."""
    report = evaluate(options)
    if options.json:
        console.show_json(asdict(report))
        return 0
    console.show_table(
        f"{options.split} split, {options.views} views",
        ("top-1", "top-5", "videos", "failed"),
        [(f"{report.top1:.4f}", f"{report.top5:.4f}", report.num_videos, report.num_failed)],
    )
    console.show_table(
        "Per class", ("class", "top-1"), [(name, f"{top1:.3f}") for name, top1 in report.per_class.items()]
    )
    return 0


def evaluate(options: Options) -> TestReport:
    """The report, which also stays in the folder of a run."""
    folder = model_folder(options.run)
    compute = set_up(options)
    net, card = load_model(folder)
    manifest = load_manifest(options.data)
    if manifest.class_names != card.class_names:
        raise ManifestError(
            f"a manifest must have the classes of the network, {', '.join(card.class_names[:5])}, ..., "
            f"but has {', '.join(manifest.class_names[:5])}, ...",
            path=options.data,
        )
    items = videos_of(manifest, options.split, path=options.data)
    predictions = predictions_of(
        net, card, items, options.clips, compute, views=options.views, batch_size=options.batch_size
    )
    report = report_of(predictions, class_names=card.class_names, views=options.views)
    if folder != options.run:
        run = open_run(options.run, kind="retrain")
        replace_file(run.test_path, pretty(asdict(report)).encode())
        write_report(run)
    return report


def predictions_of(
    net: VideoNet,
    card: ModelCard,
    items: Sequence[VideoItem],
    config: ClipConfig,
    compute: Compute,
    *,
    views: str,
    batch_size: int,
) -> Predictions:
    """What a trained network says of videos, scaled and cut as its card says; none of them is ever replaced.

    Raises:
        UsageError: Views that are not written as they must be.
    """
    wanted = parse_views(views)
    clips = replace(config, short_side=card.short_side, max_bad_fraction=1.0)
    batches = once(
        clips.reader(items, clip_of(card), seed=0, training=False),
        batch_size=batch_size,
        num_workers=compute.num_workers,
        tally=Tally(clips, num_videos=len(items)),
        wanted=wanted,
    )
    return predict(
        net.to(compute.device),
        batches(),
        num_videos=len(items),
        num_classes=len(card.class_names),
        num_views=len(wanted),
        device=compute.device,
        amp_dtype=compute.amp_dtype,
    )


def clip_of(card: ModelCard) -> ClipGeometry:
    """The clips a network is tested on."""
    return ClipGeometry(num_frames=card.num_frames, resolution=card.resolution, rate_fps=card.rate_fps)
