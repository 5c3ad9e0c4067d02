"""What `movinas inspect` shows of a search: one screen, or the same as data."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rich.console import Group, RenderableType
from rich.text import Text

from launch import console, glyphs
from launch.look import Look, bad_video_lines, warning_lines
from results.architectures import Decoder, layer_rows, shown_network, with_costs
from results.decisions import PlaceChoices, place_choices
from results.history import HistoryReader, SearchHistory
from results.run_dir import RunDir, is_locked
from results.summary import Architecture, SearchSummary, summarise_history
from results.telemetry import TelemetryReader
from search_spaces.errors import MovinasError
from search_spaces.space import Candidate

BEST_SHOWN = 5


class SearchView:
    """A search, read further with every look at it; what is damaged is stepped over."""

    def __init__(self, run: RunDir) -> None:
        self._run = run
        self._journal = HistoryReader(run.journal_path, lenient=True)
        self._telemetry = TelemetryReader(run.telemetry_path)

    def look(self) -> Look:
        """What there is now.

        Raises:
            JournalError: There is no journal.
        """
        running = is_locked(self._run)  # first: a search that ends meanwhile then shows its result
        history = self._journal.read()
        summary = summarise_history(history, self._telemetry.read(), running=running)
        rows: list[Mapping[str, str | int]] = []
        places: list[PlaceChoices] = []
        if history.start is None:
            summary = replace(summary, argmax=None)
        else:
            try:
                decoder = Decoder.of(self._run, history.start)
                summary = with_costs(summary, history, decoder, folder=self._run.path)
                network = shown_network(decoder, history)
                if network is not None:
                    rows = layer_rows(network.spec, network.variant, num_classes=decoder.num_classes)
                    places = _certainties(history, network)
            except MovinasError as error:  # a space or variant that does not read: the rest is still worth seeing
                summary = replace(summary, warnings=[*summary.warnings, f"no network can be shown: {error}"])
        return Look(
            document={**summary.to_json(), "network": rows},
            screen=screen(self._run, summary, rows, places),
            ended=summary.status != "running",
            damages=summary.damages,
        )


def _certainties(history: SearchHistory, network: Candidate) -> list[PlaceChoices]:
    """How likely the latest policy holds each choice of the network that is shown."""
    if not history.policies or history.start is None:
        return []
    return place_choices(replace(history.policies[-1], argmax=network.genotype), history.start.decisions)


def screen(
    run: RunDir, summary: SearchSummary, rows: Sequence[Mapping[str, str | int]], places: Sequence[PlaceChoices]
) -> RenderableType:
    """The whole screen.

    Args:
        run: The search's folder.
        summary: Of it.
        rows: Of the network to draw; see `layer_rows`.
        places: How certain its decisions are.
    """
    parts: list[RenderableType] = [_header(run, summary), *warning_lines(summary.warnings), _courses(summary)]
    if rows:
        title = "Selected network" if summary.found is not None else "Most likely network so far"
        shown = summary.found or summary.argmax
        parts += [Text(f"{title}{_costs(summary, shown)}", style="bold"), _network(rows, places)]
        parts += _of_the_whole_network(rows, places)
    if summary.found is not None and summary.argmax is not None:
        parts.append(Text(f"raw argmax{_costs(summary, summary.argmax)}"))
    parts += _comparison(summary)
    parts += [*_time(summary), *bad_video_lines(summary.bad_videos)]
    return Group(*parts)


def _header(run: RunDir, summary: SearchSummary) -> RenderableType:
    total = summary.steps_total
    left = ""
    if summary.status == "running" and summary.seconds_left is not None:
        left = f", {console.duration(summary.seconds_left)} left"
    if summary.status == "stopped":
        left = f"; movinas resume {run.path} goes on with it"
    limits = "".join(f", at most {limit}" for limit in summary.limits)
    more = [f"seed {summary.seed}"] if summary.seed is not None else []
    more += [f"resumed {summary.num_resumes} times"] if summary.num_resumes else []
    lines: list[RenderableType] = [
        Text(f"{run.path}: search {summary.status}, step {summary.steps_done:,} of {_known(total)}{left}", style="bold")
    ]
    if total:
        lines.append(Text(glyphs.progress(summary.steps_done / total)))
    lines.append(
        Text(f"target {summary.target or '?'}{limits}, {', '.join([summary.strategy or 'strategy unknown', *more])}")
    )
    return Group(*lines)


def _courses(summary: SearchSummary) -> RenderableType:
    table = glyphs.table()
    for heading in ("", "now", "beside it", "course", "between"):
        table.add_column(heading, justify="right" if heading == "now" else "left", overflow="fold")
    random = summary.random_quality
    beside = {
        "reward": f"baseline {glyphs.number(summary.baseline)}" if summary.baseline is not None else "",
        "quality": "" if random is None else f"random {random:.3f}, best {glyphs.number(summary.random_quality_best)}",
        "cost_ratio": f"likeliest {summary.argmax.ratio:.3f}" if summary.argmax else "",
    }
    values = {"reward": summary.reward, "quality": summary.quality, "cost_ratio": summary.cost_ratio}
    for name, value in values.items():
        points = [point[1] for point in summary.trends.get(name, [])]
        course, extent = glyphs.course(points), glyphs.extent(points)
        table.add_row(name.replace("cost_ratio", "cost/target"), glyphs.number(value), beside[name], course, extent)
    for group, value in summary.entropy.items():
        course = glyphs.course([point[1] for point in summary.entropy_trends.get(group, [])], span=(0.0, 1.0))
        table.add_row(f"entropy of {group}", glyphs.number(value), "0 is decided", course, "0 to 1")
    return table


def _network(rows: Sequence[Mapping[str, str | int]], places: Sequence[PlaceChoices]) -> RenderableType:
    table = glyphs.table()
    for heading in ("part", "depth", "kernel", "width", "expansion", "SE", "stride"):
        table.add_column(heading, no_wrap=True)
    for heading in ("MACs", "", "state bytes"):
        table.add_column(heading, justify="left" if not heading else "right", no_wrap=True)
    by_name = {place.name: place for place in places}
    most = max(int(row["MACs"]) for row in rows)
    for row in rows:
        part = str(row["part"])
        block = part.rpartition(".")[0] if part.endswith(".layer1") else part  # a block's choices, at its first layer
        table.add_row(
            part,
            _sure(by_name.get(block), "depth"),
            _sure(by_name.get(part), "kernel", row["kernel"]),
            _sure(by_name.get(block), "width", row["width"]),
            _sure(by_name.get(part), "expansion", row["expansion"]),
            _sure(by_name.get(part), "se", row["SE"]),
            str(row["stride"]),
            f"{row['MACs']:,}",
            glyphs.bar(int(row["MACs"]) / most),
            f"{row['state bytes']:,}",
        )
    return table


def _of_the_whole_network(
    rows: Sequence[Mapping[str, str | int]], places: Sequence[PlaceChoices]
) -> list[RenderableType]:
    """Decisions that belong to no part, such as those on the clip."""
    parts = {str(row["part"]) for row in rows} | {str(row["part"]).partition(".")[0] for row in rows}
    texts = [
        f"{'.'.join(filter(None, (place.name, attribute)))} {_sure(place, attribute)}"
        for place in places
        if place.name not in parts
        for attribute in place.choices
    ]
    return [Text(", ".join(texts))] if texts else []


def _sure(place: PlaceChoices | None, attribute: str, value: str | int | None = None) -> str:
    """A value of the network, or the choice itself, with the probability of the choice behind it."""
    if place is None or attribute not in place.choices:
        return "" if value is None else str(value)
    shown = place.choices[attribute] if value is None else value
    chance = place.certainty.get(attribute)
    return str(shown) if chance is None else f"{shown} {glyphs.certainty(chance)}"


def _comparison(summary: SearchSummary) -> list[RenderableType]:
    if not summary.best or summary.found is None:
        return []
    chosen = summary.found.fingerprint
    shown = list(summary.best[:BEST_SHOWN])
    if chosen not in {each.fingerprint for each in shown}:
        shown.append(summary.found)
    table = glyphs.table()
    limits = [f"cost/({limit})" for limit in summary.limits]
    for heading in ("origin", "cost/target", *limits, "MACs", "state bytes", "held-out quality", "fingerprint", ""):
        numeric = heading not in ("origin", "fingerprint", "")
        table.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    for each in shown:
        table.add_row(
            each.origin or "",
            f"{each.ratio:.3f}",
            *(f"{ratio:.3f}" for ratio in each.limit_ratios),
            "" if each.macs is None else f"{each.macs:,}",
            "" if each.state_bytes is None else f"{each.state_bytes:,}",
            glyphs.number(each.quality),
            each.fingerprint[:16],
            "selected" if each.fingerprint == chosen else "",
        )
    lines: list[RenderableType] = [Text("Best of the final comparison", style="bold"), table]
    for what, mean, best in (
        ("random architectures of equal cost", summary.random_quality, summary.random_quality_best),
        (
            "random architectures at the target's cost, limits lifted",
            summary.unlimited_quality,
            summary.unlimited_quality_best,
        ),
    ):
        if mean is not None:
            lines.append(Text(f"{what}: mean quality {mean:.3f}, best {glyphs.number(best)}"))
    return lines


def _time(summary: SearchSummary) -> list[RenderableType]:
    if not summary.time_shares or summary.overhead_share is None:
        return []
    shares = sorted(summary.time_shares.items(), key=lambda pair: -pair[1])
    pace = "" if summary.seconds_per_step is None else f", {summary.seconds_per_step:.3g} s per step"
    memory = "" if summary.memory_share is None else f", memory {summary.memory_share:.0%}"
    return [
        Text(f"time    {glyphs.strip(shares)}"),
        Text(f"        all but forward and backward passes {summary.overhead_share:.1%}{pace}{memory}"),
    ]


def _costs(summary: SearchSummary, found: Architecture | None) -> str:
    if found is None:
        return ""
    pairs = zip(summary.limits, found.limit_ratios, strict=False)
    limits = "".join(f", cost/({limit}) {ratio:.3f}" for limit, ratio in pairs)
    macs = "" if found.macs is None else f", {found.macs:,} MACs"
    state = "" if found.state_bytes is None else f", {found.state_bytes:,} bytes of state"
    return f": cost/target {found.ratio:.3f}{limits}{macs}{state}, {found.fingerprint[:16]}"


def _known(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"
