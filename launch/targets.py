"""Targets that run folders keep: with a copy of every latency table that they look up."""

from pathlib import Path

from search_spaces.latency_table import table_document
from search_spaces.strict_json import digest, pretty
from search_spaces.target import Target


def kept_targets(*targets: Target) -> tuple[list[str], dict[str, str]]:
    """The texts by which a run finds its targets again wherever its folder lies, and the files it must hold for them.

    `parse_target(text, folder=run.path)` reads a text back.
    """
    texts, files = [], {}
    for target in targets:
        if target.table is None:
            texts.append(target.text)
            continue
        document = table_document(target.table)
        name = f"tables/{digest(document)[:16]}.json"
        files[name] = pretty(document)
        texts.append(f"{target.text.partition('@')[0]}@{name}")
    return texts, files


def rooted(text: str, folder: Path) -> str:
    """A text of `kept_targets` for whoever has another working directory than the folder that keeps the files."""
    head, _, table = text.partition("@")
    return f"{head}@{folder / table}" if head.startswith("latency=") else text
