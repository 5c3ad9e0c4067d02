"""`movinas export`: the best architectures as files."""

from program import TARGET, call, call_json

from search_spaces.spec_json import read_spec


def test_export(capsys, search_run, tmp_path):
    documents = call_json(capsys, "export", search_run, "--top", 3, "--out", tmp_path / "specs")
    assert 1 <= len(documents) <= 3
    for document in documents:
        assert {"path", "fingerprint", "macs", "ratio", "quality"} <= set(document)
        spec_file = read_spec(tmp_path / "specs" / f"{document['fingerprint']}.json")
        assert spec_file.provenance.target == TARGET
    assert all(abs(document["ratio"] - 1) <= 0.03 for document in documents)
    assert call(capsys, "export", search_run, "--top", 2, "--out", tmp_path / "more")[0] == 0


def test_cost_of_what_was_exported_is_what_the_search_said(capsys, search_run, tmp_path):
    exported = call_json(capsys, "export", search_run, "--out", tmp_path)[0]
    costs = call_json(capsys, "cost", exported["path"], "--classes", 8, "--verify")[0]
    assert costs["macs"] == exported["macs"]
    assert costs["fingerprint"] == exported["fingerprint"]
