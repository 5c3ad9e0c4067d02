"""`movinas report`: one file for a search and for a retraining."""

from program import call_json


def test_both_kinds_of_run_have_one(capsys, search_run, retrain_run):
    for run in (search_run, retrain_run):
        path = call_json(capsys, "report", run)["report"]
        assert path == str(run / "report.html")
        assert (run / "report.html").stat().st_size < 8e6
