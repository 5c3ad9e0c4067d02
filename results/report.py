"""The reports of a search and of a retraining, from the run's folder alone, at any time of the run."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError

from results import figures, retrain_figures
from results.audit import audit_path
from results.audit_figures import audit_sections
from results.decisions import PlaceChoices
from results.files import read_regular
from results.history import SearchHistory, read_history
from results.journal import iter_journal
from results.page import Cell, Page, Section, Table, pairs, percent, quantity, table_of, write_page
from results.records import EpochRecord, TestReport, TrainedRecord
from results.run_dir import RunDir, is_locked
from results.summary import RetrainSummary, SearchSummary, summarise_history, summarise_retrain
from results.telemetry import read_telemetry
from search_spaces import strict_json
from search_spaces.errors import DocumentError

_MAX_TEXT_BYTES = 1 << 18
_MAX_TEST_BYTES = 1 << 26
_MAX_CLASSES_NAMED = 100
_MAX_BAD_NAMED = 1000
_TESTS = TypeAdapter(tuple[TestReport], config=ConfigDict(strict=True, extra="forbid", allow_inf_nan=False))


def write_search_report(run: RunDir, *, layers: Sequence[Mapping[str, Cell]] = ()) -> Path:
    """Write `report.html` of a search that has ended, is running or has just begun.

    Args:
        run: The search's folder.
        layers: The network found, one row of columns per layer (such as kernel, width, expansion, stride, SE, MACs);
            without them the choices of the latest policy stand there.

    Raises:
        JournalError: The journal is missing or damaged.
        RunFolderError: The report cannot be written.
    """
    running = is_locked(run)
    history, events = read_history(run.journal_path), read_telemetry(run.telemetry_path)
    summary = summarise_history(history, events, running=running)
    sections = [*_curve_sections(history), *_policy_sections(history)]
    sections += _network_sections(summary, layers)
    sections += _comparison_sections(history) + audit_sections(audit_path(run.path))
    sections += _time_sections(summary) + _bad_video_sections(summary.bad_videos)
    sections.append(_provenance(run, history))
    title = f"Search {run.path.resolve().name}"
    page = Page(title=title, status=_progress(summary), facts=_search_facts(history, summary), sections=sections)
    return write_page(run.report_path, page)


def write_retrain_report(run: RunDir) -> Path:
    """Write `report.html` of a retraining: curves, and the confusion of `test.json` where there is one.

    Raises:
        JournalError: The journal is missing or damaged.
        DocumentError: `test.json` is malformed.
        RunFolderError: The report cannot be written.
    """
    summary = summarise_retrain(run)
    epochs = [record for record in iter_journal(run.journal_path) if isinstance(record, EpochRecord)]
    test = _read_test(run.test_path)
    sections = []
    if epochs:
        note = "Training accuracy is on augmented clips; validation accuracy is of the averaged weights."
        sections.append(Section(heading="Loss and accuracy", note=note, figures=[retrain_figures.epoch_curves(epochs)]))
    if test is not None:
        sections += _test_sections(test)
        sections += _embedding_sections(test)
    sections += _bad_video_sections(summary.bad_videos)
    sections.append(Section(heading="Provenance", table=_environment(run), folded=_configuration(run)))
    title = f"Retraining {run.path.resolve().name}"
    page = Page(title=title, status=summary.status, facts=_retrain_facts(summary, test), sections=sections)
    return write_page(run.report_path, page)


def write_ensemble_report(run: RunDir) -> Path:
    """Write `report.html` of the training of an ensemble: its members, and its test where there is one.

    Raises:
        JournalError: The journal is missing or damaged.
        DocumentError: `test.json` is malformed.
        RunFolderError: The report cannot be written.
    """
    trained = [record for record in iter_journal(run.journal_path) if isinstance(record, TrainedRecord)]
    test = _read_test(run.test_path)
    rows: list[dict[str, Cell]] = [
        {
            "member": record.name,
            "spec": record.fingerprint[:12],
            "seed": record.seed,
            "offset": record.offset_frames,
            f"validation {record.metric}": percent(record.val_top1),
        }
        for record in trained
    ]
    sections = [Section(heading="Members", note="Each measured by itself.", table=table_of(rows))] if rows else []
    sections += [] if test is None else _test_sections(test)
    sections.append(Section(heading="Provenance", table=_environment(run), folded=_configuration(run)))
    facts = [("Members trained", f"{len(trained)}")] + ([] if test is None else _test_facts(test))
    title, status = f"Ensemble {run.path.resolve().name}", "running" if is_locked(run) else "at rest"
    return write_page(run.report_path, Page(title=title, status=status, facts=facts, sections=sections))


def _test_sections(test: TestReport) -> list[Section]:
    """Confusion, of each head or of all classes, or average precision per class; and accuracy along an axis."""
    over = f"Over {test.num_videos:,} videos, {test.num_failed:,} failed."
    sections = []
    note = f"Share of each true class that was given each predicted class. {over}"
    if test.confusion:
        sections.append(Section(heading="Test", note=note, figures=[retrain_figures.confusion(test)]))
    for number, (head, report) in enumerate(test.heads.items()):
        figure = retrain_figures.confusion(report, name=f"confusion{number}")
        heading = f"Test: {head}, top-1 {percent(report.top1)}, top-5 {percent(report.top5)}"
        sections.append(Section(heading=heading, note=note, figures=[figure]))
    if test.mean_average_precision is not None:
        rows: list[dict[str, Cell]] = [
            {"class": name, "average precision": value, "videos": test.per_class_videos.get(name)}
            for name, value in test.per_class.items()
        ]
        sections.append(Section(heading="Test: average precision", note=over, table=table_of(rows)))
    if test.points:
        note = f"{over} Each point names its own."
        figure = retrain_figures.accuracy_points(test)
        sections.append(Section(heading=f"Accuracy by {test.by}", note=note, figures=[figure]))
    return sections


def _embedding_sections(test: TestReport) -> list[Section]:
    found = test.embeddings
    if found is None:
        return []
    note = (
        f"Of {found.layer}, on the axes that show {percent(found.explained)} of its variance; each clip begins at the "
        f"hollow mark. Over {found.num_windows:,} windows of {found.window} frames: acceleration / velocity "
        f"{found.acceleration_ratio:.3f}; negative log-likelihood of the true order {found.order_nll:.3f} nats, and "
        f"{found.scaled_order_nll:.3f} at a mean velocity term of 1; it is the most likely one in "
        f"{percent(found.order_accuracy)} of them."
    )
    figure = retrain_figures.trajectories(found, test.class_names)
    return [Section(heading="How the embeddings of frames move", note=note, figures=[figure])]


def _progress(summary: SearchSummary) -> str:
    total = f" of {summary.steps_total:,}" if summary.steps_total else ""
    left = ""
    if summary.status == "running" and summary.seconds_left is not None:
        left = f", about {_duration(summary.seconds_left)} left"
    return f"{summary.status}, {summary.steps_done:,}{total} steps{left}"


def _search_facts(history: SearchHistory, summary: SearchSummary) -> list[tuple[str, str]]:
    shown = summary.found or summary.argmax
    facts = [("Target", summary.target or "–")]
    if summary.strategy not in (None, "reinforce"):
        facts.append(("Strategy", str(summary.strategy)))
    if shown is not None:
        facts += [
            ("Found" if summary.found else "Most likely so far", shown.fingerprint[:12]),
            ("Its cost", quantity(shown.cost)),
            ("Cost / target", f"{shown.ratio:.3f} ({100 * (shown.ratio - 1):+.1f} %)"),
        ]
        facts += [
            (f"Cost / limit {limit}", f"{ratio:.3f}")
            for limit, ratio in zip(summary.limits, shown.limit_ratios, strict=True)
        ]
    if summary.found is None:
        facts.append(("Quality, mean of recent steps", percent(summary.quality)))
    else:
        facts.append(("Quality of the found", percent(summary.found.quality)))
    if result := history.result:
        ratios = [f"{ratio:.3f}" for ratio in (result.argmax_ratio, *result.argmax_limit_ratios)]
        facts.append(("Raw argmax, cost / target" + " and limits" * bool(summary.limits), ", ".join(ratios)))
        random = f"{percent(result.random_quality_mean)} mean, {percent(result.random_quality_best)} best"
        facts.append((f"Quality of {result.num_random} random ones", random))
        if result.unlimited_quality_mean is not None and result.unlimited_quality_best is not None:
            lifted = f"{percent(result.unlimited_quality_mean)} mean, {percent(result.unlimited_quality_best)} best"
            price = 100 * (result.unlimited_quality_mean - result.random_quality_mean)
            facts.append(("Random ones, limits lifted", f"{lifted}; the limits cost {price:.1f} points of the mean"))
    return facts


def _curve_sections(history: SearchHistory) -> list[Section]:
    if not history.num_steps:
        return [Section(heading="Reward, quality and cost", note="No step has been recorded yet.")]
    window = figures.ema_window(history.num_steps)
    note = (
        f"Mean over the architectures sampled in a step, and its moving average over about {window} steps. "
        "The band is within 5 % of the target."
    )
    sections = [Section(heading="Reward, quality and cost", note=note, figures=[figures.curves(history)])]
    if history.entropy:
        note = "1 is undecided, 0 is decided: mean over the decisions of a group, entropy / log(number of choices)."
        sections.append(Section(heading="How undecided the policy is", note=note, figures=[figures.entropies(history)]))
    return sections


def _policy_sections(history: SearchHistory) -> list[Section]:
    if history.start is None or not history.policies:
        return []
    shown = figures.snapshots(history)
    return [
        Section(
            heading="Probability of every choice",
            note="The stronger the colour, the likelier; a dot marks the choice of the likeliest network. "
            "Layers beyond its depth have none. Move the slider to see earlier policies.",
            figures=figures.policy_maps(shown, history.start.decisions),
            slider=[f"step {policy.step:,}" for policy in shown],
        )
    ]


def _network_sections(summary: SearchSummary, layers: Sequence[Mapping[str, Cell]]) -> list[Section]:
    if layers:
        return [Section(heading="The network, layer by layer", table=table_of(layers))]
    if not summary.layers:
        return []
    note = "The likeliest choices of the latest policy, with their probabilities."
    rows = [_place_row(place) for place in summary.layers]
    return [Section(heading="The network, choice by choice", note=note, table=table_of(rows))]


def _place_row(place: PlaceChoices) -> dict[str, Cell]:
    row: dict[str, Cell] = {"part": place.name}
    for attribute, choice in place.choices.items():
        text = ("yes" if choice else "no") if isinstance(choice, bool) else str(choice)
        certainty = place.certainty.get(attribute)
        row[attribute] = text if certainty is None else f"{text} ({100 * certainty:.0f} %)"
    return row


def _comparison_sections(history: SearchHistory) -> list[Section]:
    if not history.candidates:
        return []
    note = "Architectures measured at the end with the trained supernet, on more held-out clips."
    return [Section(heading="Final comparison", note=note, figures=[figures.comparison(history)])]


def _time_sections(summary: SearchSummary) -> list[Section]:
    if not summary.time_shares or summary.overhead_share is None:
        return []
    note = f"{percent(summary.overhead_share)} of the time is spent elsewhere than in training and measuring."
    return [Section(heading="Where the time goes", note=note, figures=[figures.time_shares(summary.time_shares)])]


def _bad_video_sections(ids: Sequence[str]) -> list[Section]:
    """The videos that could not be decoded, if there are any."""
    if not ids:
        return []
    note = (
        f"{len(ids):,} videos could not be decoded. In training each was replaced by another of its class, in a test "
        "by none. `movinas data check` says what is wrong with them."
    )
    names = list(ids[:_MAX_BAD_NAMED])
    rest = len(ids) - len(names)
    listed = "\n".join(names + ([f"and {rest:,} more"] if rest else []))
    return [Section(heading="Unreadable videos", note=note, folded=[("Their names", listed)])]


def _provenance(run: RunDir, history: SearchHistory) -> Section:
    table = _environment(run)
    folded = _configuration(run)
    if start := history.start:
        facts = {
            "space": f"{start.space} ({start.space_hash[:16]})",
            "seed": start.seed,
            "decisions": len(start.decisions),
            "training videos": start.num_train_videos,
            "held-out videos": start.num_heldout_videos,
            "classes": len(start.class_names),
        }
        table = pairs([*facts.items(), *((row[0], row[1]) for row in table.rows)])
        names = list(start.class_names[:_MAX_CLASSES_NAMED])
        rest = len(start.class_names) - len(names)
        folded.append(("Classes", "\n".join(names + ([f"and {rest} more"] if rest else []))))
    return Section(heading="Provenance", table=table, folded=folded)


def _environment(run: RunDir) -> Table:
    try:
        document = strict_json.load(run.env_path)
    except DocumentError:
        document = {}
    return pairs(document.items() if isinstance(document, dict) else ())


def _configuration(run: RunDir) -> list[tuple[str, str]]:
    try:
        text = read_regular(run.config_path, max_bytes=_MAX_TEXT_BYTES).decode("utf-8", "replace")
    except OSError:
        return []
    return [("Configuration", text)]


def _retrain_facts(summary: RetrainSummary, test: TestReport | None) -> list[tuple[str, str]]:
    facts = [
        ("Epochs", f"{summary.epochs:,}"),
        ("Loss", "–" if summary.loss is None else f"{summary.loss:.4g}"),
        (f"Validation {summary.metric}", percent(summary.top1)),
        ("Best", "–" if summary.best_top1 is None else f"{percent(summary.best_top1)} in epoch {summary.best_epoch}"),
    ]
    return facts + ([] if test is None else _test_facts(test))


def _test_facts(test: TestReport) -> list[tuple[str, str]]:
    facts = []
    if test.mean_average_precision is not None:
        facts.append(("Test mAP", percent(test.mean_average_precision)))
    of = "action " if test.heads else ""
    facts.append((f"Test {of}top-1, top-5", f"{percent(test.top1)}, {percent(test.top5)}"))
    failed = f", {test.num_failed:,} unreadable" if test.num_failed else ""
    stepped = ", frame by frame" if test.stream else ""
    facts.append(("Test videos", f"{test.num_videos:,}{failed} ({test.views} views{stepped})"))
    return facts


def _read_test(path: Path) -> TestReport | None:
    if not path.exists():
        return None
    document = strict_json.load(path, max_bytes=_MAX_TEST_BYTES)
    try:
        (test,) = _TESTS.validate_json(strict_json.canonical([document]))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        raise DocumentError(f"must be a test report, but got: {first['msg']}", path=path, where=where) from error
    return test


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
