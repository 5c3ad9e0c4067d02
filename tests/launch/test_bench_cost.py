"""`movinas bench cost`: genotypes costed per second."""

from program import call, call_json


def test_the_cost_model_is_as_fast_as_promised(capsys):
    document = call_json(capsys, "bench", "cost", "--num", 50_000, "--repeats", 5)
    assert document["genotypes_per_s_max"] > 300_000


def test_another_variant_is_costed(capsys, tmp_path):
    document = call_json(capsys, "bench", "cost", "--num", 10, "--repeats", 1, "--variant", "released-stream")
    assert document["variant"] == "released-stream"
    (tmp_path / "variant.json").write_text('{"temporal_shift": true}')
    code, _, err = call(capsys, "bench", "cost", "--num", 10, "--variant", tmp_path / "variant.json")
    assert code == 2
    assert "must have no extent in time" in err


def test_the_text_and_numbers_that_are_none(capsys):
    code, out, _ = call(capsys, "bench", "cost", "--num", 2000, "--repeats", 1)
    assert code == 0
    assert "genotypes per second on one core" in out
    code, _, err = call(capsys, "bench", "cost", "--num", 0)
    assert code == 2
    assert "num and repeats must be at least 1, but got 0 and 5" in err
