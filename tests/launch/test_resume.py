"""`movinas resume`: finished runs stay as they are; tests/end_to_end kills others."""

from program import call


def test_resume_of_a_finished_run_changes_nothing_that_counts(capsys, search_run, retrain_run):
    for run in (search_run, retrain_run):
        before = (run / "journal.jsonl").read_bytes()
        assert call(capsys, "resume", run)[0] == 0
        assert (run / "journal.jsonl").read_bytes() == before
