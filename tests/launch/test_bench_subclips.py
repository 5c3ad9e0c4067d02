import pytest
from program import call, call_json


@pytest.mark.parametrize("mixed", [[], ["--mixed"]])
def test_what_a_step_keeps_follows_the_sub_clip(capsys, mixed):
    options = ["--space=nano", "--num=2", "--frames=16", *mixed]
    found = call_json(capsys, "bench", "subclips", *options, "--subclip_frames=8")
    assert found["ratio"] <= found["goal"] == 0.65
    quarter = call_json(capsys, "bench", "subclips", *options, "--subclip_frames=4")
    assert quarter["ratio"] < 0.75 * found["ratio"]
    for whole in found["architectures"]:
        assert whole["subclip_bytes"] > 0.45 * whole["whole_bytes"]


@pytest.mark.slow
def test_two_sub_clips_of_8_frames_keep_65_percent_of_one_of_16(capsys):
    """Paper, Table 7: 6.6 GB against 10.4 GB at the same batch."""
    assert call_json(capsys, "bench", "subclips", "--space=a0", "--num=3")["ratio"] <= 0.65


def test_what_does_not_stream_has_no_sub_clips(capsys):
    code, _, err = call(capsys, "bench", "subclips", "--variant=base")
    assert code == 2
    assert "sub-clips must be of a variant that streams, but got base" in err
