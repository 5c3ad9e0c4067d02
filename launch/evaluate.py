"""`movinas evaluate`: accuracy of a retrained network, or of several together, on the videos of a manifest."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from launch import console
from launch.clips import ClipConfig, Tally, once, parse_views, videos_of
from launch.compute import Amp, Compute, set_up
from launch.retrain import Options as RetrainOptions
from launch.run_report import write_report
from launch.runs import model_folder, options_of, require_streams
from results.files import replace_file
from results.records import EmbeddingReport, TestReport
from results.run_dir import open_run
from retrain.embeddings import layer_names, measure
from retrain.ensemble import Ensemble, TrainedMember, load_ensemble, mean_logits
from retrain.evaluate import Predictions, clip_logits, predict, report_of
from retrain.model_file import ModelCard, is_model_folder, load_model
from retrain.recipe import EMBEDDING, Recipe
from search_spaces.errors import ManifestError
from search_spaces.spec import ClipGeometry
from search_spaces.strict_json import pretty
from video.clips import ClipBatch, View
from video.manifest import Split, VideoItem, load_manifest

POSITIONALS = ("run",)
EMBEDDED_VIDEOS = 256
"""Of which the embeddings of frames are measured."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Measure a retrained network, or an ensemble of them.

    Attributes:
        run: Run folder of a finished retraining, folder of a network, or an ensemble file that names its models.
        data: Manifest with the classes the network was trained on.
        split: Which of its videos.
        views: Clips per video, as positions x crops, averaged: 1x1 is the middle, 10x3 the usual multi-clip test.
        stream: Step through each clip frame by frame; every network must be one that streams.
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
    console.show_table(
        f"{options.split} split, {options.views} views{', frame by frame' if options.stream else ''}",
        ("top-1", "top-5", "videos", "failed"),
        [(f"{report.top1:.4f}", f"{report.top5:.4f}", report.num_videos, report.num_failed)],
    )
    console.show_table(
        "Per class", ("class", "top-1"), [(name, f"{top1:.3f}") for name, top1 in report.per_class.items()]
    )
    return 0


def evaluate(options: Options) -> TestReport:
    """The report, which also stays in the folder of a run."""
    ensemble = load_trained(options.run)
    if options.stream:
        for number, member in enumerate(ensemble.members):
            where = f"members[{number}]" if is_ensemble_file(options.run) else None
            require_streams(member.card, path=options.run, where=where)
    compute = set_up(options)
    manifest = load_manifest(options.data)
    if manifest.class_names != ensemble.class_names:
        raise ManifestError(
            f"a manifest must have the classes of the network, {', '.join(ensemble.class_names[:5])}, ..., "
            f"but has {', '.join(manifest.class_names[:5])}, ...",
            path=options.data,
        )
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
    report = report_of(predictions, class_names=ensemble.class_names, views=options.views)
    report = replace(report, stream=options.stream, embeddings=_embeddings(ensemble, items, options, compute))
    if not (is_ensemble_file(options.run) or is_model_folder(options.run)):
        folder = open_run(options.run, kind="retrain")
        replace_file(folder.test_path, pretty(asdict(report)).encode())
        write_report(folder)
    return report


def _embeddings(
    ensemble: Ensemble, items: Sequence[VideoItem], options: Options, compute: Compute
) -> EmbeddingReport | None:
    """Of the first videos; None of an ensemble, and where the network has no temporal head and was not smoothed."""
    recipe, member = Recipe(), ensemble.members[0]
    if not (is_ensemble_file(options.run) or is_model_folder(options.run)):
        recipe = options_of(open_run(options.run, kind="retrain"), RetrainOptions).recipe
    layer = recipe.grw_layers[0] if recipe.grw_weight else EMBEDDING
    if len(ensemble.members) > 1 or layer not in layer_names(member.card.arch, member.card.variant):
        return None
    clips = _clips(
        member, items[:EMBEDDED_VIDEOS], options.clips, (View(),), batch_size=options.batch_size, compute=compute
    )
    net = member.net.to(compute.device)
    return measure(net, clips, recipe, layer=layer, device=compute.device, amp_dtype=compute.amp_dtype)


def is_ensemble_file(trained: Path) -> bool:
    """Whether a path names an ensemble file, and not a folder."""
    return trained.suffix == ".json"


def load_trained(trained: Path) -> Ensemble:
    """The networks of an ensemble file, or the one of a folder or of a finished retraining.

    Raises:
        RunFolderError: Not such a folder.
        SpecError: Not such a file, or one that names no models or others than its members'.
        WeightsError: Weights are missing or damaged.
    """
    if is_ensemble_file(trained):
        return load_ensemble(trained)
    net, card = load_model(model_folder(trained))
    return Ensemble(members=(TrainedMember(net=net, card=card),))


def predictions_of(
    ensemble: Ensemble,
    items: Sequence[VideoItem],
    config: ClipConfig,
    compute: Compute,
    *,
    views: str,
    batch_size: int,
    stream: bool = False,
) -> Predictions:
    """What trained networks say of videos together; none of the videos is ever replaced.

    Raises:
        SpecError: A network that does not stream, where it has to go frame by frame.
        UsageError: Views that are not written as they must be.
    """
    wanted = parse_views(views)
    share = replace(compute, num_workers=-(-compute.num_workers // len(ensemble.members)))
    members = [
        clip_logits(
            member.net.to(compute.device),
            _clips(member, items, config, wanted, batch_size=batch_size, compute=share),
            device=compute.device,
            amp_dtype=compute.amp_dtype,
            frame_by_frame=stream,
        )
        for member in ensemble.members
    ]
    return predict(
        mean_logits(members), num_videos=len(items), num_classes=len(ensemble.class_names), num_views=len(wanted)
    )


def _clips(
    member: TrainedMember,
    items: Sequence[VideoItem],
    config: ClipConfig,
    wanted: Sequence[View],
    *,
    batch_size: int,
    compute: Compute,
) -> Iterator[ClipBatch]:
    """The clips of one member, scaled and cut as its card says."""
    clips = replace(config, short_side=member.card.short_side, max_bad_fraction=1.0)
    batches = once(
        clips.reader(items, clip_of(member.card), seed=0, training=False),
        batch_size=batch_size,
        compute=compute,
        tally=Tally(clips, num_videos=len(items)),
        wanted=[replace(view, offset_frames=member.offset_frames) for view in wanted],
    )
    return batches()


def clip_of(card: ModelCard) -> ClipGeometry:
    """The clips a network is tested on."""
    return ClipGeometry(num_frames=card.num_frames, resolution=card.resolution, rate_fps=card.rate_fps)
