"""`movinas bench inspect`: time of a look at a long search."""

from program import call, call_json


def test_a_short_one_on_its_way(capsys):
    document = call_json(capsys, "bench", "inspect", "--space=nano", "--steps=60", "--repeats=1", "--running")
    assert document["steps"] == 60
    assert 0 < document["read_cpu_s"] < document["cpu_s"]
    assert document["journal_bytes"] > 10_000
    code, _, err = call(capsys, "bench", "inspect", "--steps=0")
    assert (code, "steps and repeats must be at least 1, but got 0 and 5" in err) == (2, True)
