"""Where a run came from, as sections of its report: command, configuration, versions, data, and what did not decode."""

from collections.abc import Mapping, Sequence

from results.config import manifest_digest
from results.files import read_regular
from results.page import Section, pairs
from results.run_dir import RunDir
from search_spaces import strict_json
from search_spaces.errors import DocumentError

_MAX_TEXT_BYTES = 1 << 18
_MAX_BAD_NAMED = 1000
_COMMANDS = {
    "search": "movinas search --config {config} --out ANOTHER",
    "retrain": "movinas retrain --config {config} {spec} --out ANOTHER",
}


def provenance_section(
    run: RunDir, *, facts: Mapping[str, object] | None = None, folded: Sequence[tuple[str, str]] = ()
) -> Section:
    """What made the run and would make it again; `facts` and `folded` are what its journal adds."""
    rows: dict[str, object] = {}
    if run.kind in _COMMANDS and run.config_path.exists():
        rows["command for another one"] = _COMMANDS[run.kind].format(config=run.config_path, spec=run.spec_path)
    rows |= dict(facts or {})
    if (digest := manifest_digest(run)) is not None:
        rows["SHA-256 of the manifest"] = digest
    return Section(
        heading="Provenance",
        table=pairs([*rows.items(), *_environment(run).items()]),
        folded=[*_configuration(run), *folded],
    )


def bad_video_sections(ids: Sequence[str]) -> list[Section]:
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


def _environment(run: RunDir) -> Mapping[str, object]:
    try:
        document = strict_json.load(run.env_path)
    except DocumentError:
        return {}
    return document if isinstance(document, dict) else {}


def _configuration(run: RunDir) -> list[tuple[str, str]]:
    try:
        text = read_regular(run.config_path, max_bytes=_MAX_TEXT_BYTES).decode("utf-8", "replace")
    except OSError:
        return []
    return [("Configuration", text)]
