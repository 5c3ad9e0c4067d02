"""`movinas search`: what a run leaves."""


def test_search_leaves_the_files_of_a_run(search_run):
    names = {path.name for path in search_run.iterdir()}
    assert {
        "config.yaml",
        "journal.jsonl",
        "telemetry.jsonl",
        "checkpoints",
        "specs",
        "report.html",
        "env.json",
    } <= names
