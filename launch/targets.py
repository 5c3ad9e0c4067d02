"""Targets that run folders keep: with a copy of every latency table that they look up."""

from search_spaces.latency_table import table_document
from search_spaces.strict_json import digest, pretty
from search_spaces.target import Target


def kept_target(target: Target) -> tuple[str, dict[str, str]]:
    """The text by which a run finds its target again wherever its folder lies, and the files that it must hold for it.

    `parse_target(text, folder=run.path)` reads the text back.
    """
    if target.table is None:
        return target.text, {}
    document = table_document(target.table)
    name = f"tables/{digest(document)[:16]}.json"
    return f"{target.text.partition('@')[0]}@{name}", {name: pretty(document)}
