"""The report of a search, from the run's folder alone, at any time of the run."""

from pathlib import Path

from results import cost_figures, policy_figures, search_figures
from results.architectures import Decoder, layer_rows, shown_network
from results.audit import audit_path
from results.audit_figures import audit_sections
from results.cost_axes import cost_axes, decoder_of
from results.decisions import PlaceChoices
from results.figures import ema_window
from results.history import SearchHistory, read_history
from results.network_drawing import drawing
from results.page import Cell, Page, Section, percent, quantity, table_of, told_damage, write_page
from results.provenance import bad_video_sections, provenance_section
from results.run_dir import RunDir, is_locked
from results.summary import SearchSummary, summarise_history
from results.telemetry import read_telemetry
from results.timing_report import timing_sections

_MAX_CLASSES_NAMED = 100


def write_search_report(run: RunDir) -> Path:
    """Write `report.html` of a search that has ended, is running or has just begun, and the numbers behind it.

    Raises:
        JournalError: The journal is missing; or it is damaged, and the report was made of the rest.
        RunFolderError: The report cannot be written.
    """
    running = is_locked(run)
    history, events = read_history(run.journal_path, lenient=True), read_telemetry(run.telemetry_path)
    summary = summarise_history(history, events, running=running)
    decoder = decoder_of(run, history.start)
    sections = [*_curve_sections(history), *_policy_sections(history)]
    sections += _network_sections(history, summary, decoder)
    sections += _comparison_sections(history, decoder) + audit_sections(audit_path(run.path))
    sections += _training_sections(history) + timing_sections(events) + bad_video_sections(summary.bad_videos)
    sections.append(_provenance(run, history))
    title = f"Search {run.path.resolve().name}"
    facts = _search_facts(history, summary)
    page = Page(title=title, status=_progress(summary), facts=facts, sections=sections, warnings=summary.warnings)
    return told_damage(write_page(run.report_path, page), summary.damages)


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
            for limit, ratio in zip(summary.limits, shown.limit_ratios, strict=False)  # a damaged start has none
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
    window = ema_window(history.num_steps)
    note = (
        f"Mean over the architectures sampled in a step, and its moving average over about {window} steps. "
        "The band is within 5 % of the target."
    )
    sampled = "Of what was sampled in the first, the third and the last fifth of the steps so far."
    return [
        Section(heading="Reward, quality and cost", note=note, figures=[search_figures.curves(history)]),
        Section(heading="Sampled costs", note=sampled, figures=[search_figures.sampled_costs(history)]),
    ]


def _policy_sections(history: SearchHistory) -> list[Section]:
    sections = []
    if history.entropy:
        note = "1 is undecided, 0 is decided: mean over the decisions of a group, entropy / log(number of choices)."
        figure = search_figures.entropies(history)
        sections.append(Section(heading="How undecided the policy is", note=note, figures=[figure]))
    if history.start is None or not history.policies:
        return sections
    note = (
        "The stronger the colour, the less decided. At the end a dot marks what is settled, for good if it came early; "
        "a cross what has not been learned, for the reward does not depend on it, or not yet."
    )
    figure = policy_figures.entropy_map(history)
    sections.append(Section(heading="Entropy of every decision", note=note, figures=[figure]))
    shown = policy_figures.snapshots(history)
    sections.append(
        Section(
            heading="Probability of every choice",
            note="The stronger the colour, the likelier; a dot marks the choice of the likeliest network. "
            "Layers beyond its depth have none. Move the slider to see earlier policies.",
            figures=policy_figures.policy_maps(shown, history.start.decisions),
            slider=[f"step {policy.step:,}" for policy in shown],
        )
    )
    return sections


def _network_sections(history: SearchHistory, summary: SearchSummary, decoder: Decoder | None) -> list[Section]:
    sections = []
    shown = shown_network(decoder, history) if decoder else None
    if decoder is not None and shown is not None:
        note = (
            f"{'What the search found' if history.result else 'The likeliest one so far'}. A layer's outer box is its "
            "expansion, the inner one its output, both with their channels; filled are kernels with extent in time. "
            "Below, shares of the multiply-adds."
        )
        picture = drawing(shown.spec, shown.variant, num_classes=decoder.num_classes)
        rows = layer_rows(shown.spec, shown.variant, num_classes=decoder.num_classes)
        sections = [Section(heading="The network, layer by layer", note=note, drawing=picture, table=table_of(rows))]
    if summary.layers and not (sections and history.result):
        note = "The likeliest choices of the latest policy, with their probabilities."
        choices = [_place_row(place) for place in summary.layers]
        sections.append(Section(heading="The network, choice by choice", note=note, table=table_of(choices)))
    return sections


def _place_row(place: PlaceChoices) -> dict[str, Cell]:
    row: dict[str, Cell] = {"part": place.name}
    for attribute, choice in place.choices.items():
        text = ("yes" if choice else "no") if isinstance(choice, bool) else str(choice)
        certainty = place.certainty.get(attribute)
        row[attribute] = text if certainty is None else f"{text} ({100 * certainty:.0f} %)"
    return row


def _comparison_sections(history: SearchHistory, decoder: Decoder | None) -> list[Section]:
    if not history.candidates:
        return []
    axes = cost_axes(history, decoder)
    note = "Architectures measured at the end with the trained supernet, on more held-out clips."
    if any(axis.published for axis in axes):
        note += " Published networks are lines at their cost: their accuracy is that of other videos."
    figures = [cost_figures.comparison(history, axis) for axis in axes]
    return [Section(heading="Final comparison", note=note, figures=figures)]


def _training_sections(history: SearchHistory) -> list[Section]:
    if not history.num_steps:
        return []
    note = "Cross-entropy of the weight steps, of networks as they were sampled; op and filter warm-up widen them."
    return [Section(heading="Training of the shared weights", note=note, figures=[search_figures.training(history)])]


def _provenance(run: RunDir, history: SearchHistory) -> Section:
    start = history.start
    if start is None:
        return provenance_section(run)
    facts = {
        "space": f"{start.space} ({start.space_hash[:16]})",
        "seed": start.seed,
        "weights from": start.init,
        "decisions": len(start.decisions),
        "training videos": start.num_train_videos,
        "held-out videos": start.num_heldout_videos,
        "classes": len(start.class_names),
    }
    names = list(start.class_names[:_MAX_CLASSES_NAMED])
    rest = len(start.class_names) - len(names)
    classes = "\n".join(names + ([f"and {rest} more"] if rest else []))
    return provenance_section(run, facts=facts, folded=[("Classes", classes)])


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
