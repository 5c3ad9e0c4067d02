"""`movinas space show`: a space, and where a target lies in it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from program import TARGET, call, call_json

from search_spaces.cost import cost
from search_spaces.movinet import PHIS
from search_spaces.published import published
from search_spaces.variant import Variant


def test_the_document_holds_what_it_promises(capsys):
    document = call_json(capsys, "space", "show", "nano", "--classes", 8, "--target", TARGET)
    assert {"name", "size_log10", "decisions", "macs", "target"} <= set(document)
    assert document["macs"]["min"] < document["macs"]["median"] < document["macs"]["max"]
    assert document["target"]["feasible"] is True
    assert 0 < document["target"]["percentile"] < 50


def test_a_streaming_variant_shows_the_bytes_of_its_state(capsys):
    base = call_json(capsys, "space", "show", "nano")
    document = call_json(
        capsys, "space", "show", "nano", "--variant", "released-stream", "--target", "state=100kB@fp16"
    )
    assert base["stream_state_bytes"]["variant"] == "paper-stream"
    assert "variant" not in document["stream_state_bytes"]
    for metric in ("macs", "params", "stream_state_bytes"):
        assert document[metric]["min"] < document[metric]["median"] < document[metric]["max"]
    assert document["params"]["max"] > base["params"]["max"]
    assert document["target"]["feasible"] is True


def test_a_variant_that_does_not_fit_is_refused(capsys, tmp_path):
    variant = tmp_path / "shift.json"
    variant.write_text('{"temporal_shift": true}')
    code, _, err = call(capsys, "space", "show", "nano", "--variant", variant)
    assert code == 2
    assert "kernels: must have no extent in time where the variant has a temporal shift, but got 5x1x1" in err


def test_the_text_says_where_a_target_lies(capsys):
    code, out, _ = call(capsys, "space", "show", "a2", "--target", "macs=12G/clip")
    assert code == 0
    assert "at percentile 5" in out
    assert "far from the middle: random architectures cost 1.57 times the target on average" in out
    assert "--search.start at-target" in out
    code, out, _ = call(capsys, "space", "show", "a2", "--target", "macs=18G/clip")
    assert code == 0
    assert "at percentile 4" in out
    assert "far" not in out


@pytest.mark.parametrize(("name", "target"), [("a2", "macs=1M/clip"), ("a0", "macs=12G/clip"), ("phi:1", "params=1M")])
def test_a_target_outside_the_space_is_shown_and_ends_with_3(capsys, name, target):
    code, out, err = call(capsys, "space", "show", name, "--target", target, "--samples=100")
    assert code == 3
    assert "OUTSIDE the space" in out
    assert f"target must lie within space {name}, whose {target.split('=')[0]} have min " in err
    assert err.endswith(f"in the target's unit, but got {target}\n")
    code, out, _ = call(capsys, "space", "show", name, "--target", target, "--json", "--samples=100")
    assert code == 3
    assert json.loads(out)["target"]["feasible"] is False


@pytest.mark.parametrize(
    ("name", "exact", "compared", "percentile"),
    [("a0", 56, 61, 9.2), ("a1", 65, 88, 24.0), ("a2", 93, 94, 4.7), ("a5", 134, 193, 0.7)],
)
def test_the_published_network_beside_its_space(capsys, name, exact, compared, percentile):
    document = call_json(capsys, "space", "show", name)
    found = document["published"]
    assert found["name"] == name.upper()
    assert found["member"] is False
    assert (found["exact"], found["compared"]) == (exact, compared)
    assert found["percentile"] == pytest.approx(percentile, abs=1.0)
    assert found["macs"] == cost(published(name.upper()), Variant()).macs
    assert found["nearest_ratio"] == pytest.approx(1, abs=0.1)
    assert document["growth"]["phi"] == PHIS[name]


def test_the_one_number_of_a2_that_its_space_lacks(capsys):
    code, out, _ = call(capsys, "space", "show", "a2", "--samples=100")
    assert code == 0
    assert "the space has 93 of its 94 numbers" in out
    rows = [line for line in out.splitlines() if "expansion" in line and "%" in line]
    assert len(rows) == 1  # 160 channels, of a base width of 96 that has 144 and 192
    assert [cell.strip() for cell in rows[0].strip("│").split("│")] == [
        "block4.layer2.expansion",
        "160",
        "144",
        "-10.0%",
    ]


def test_growth_is_that_of_the_means_and_not_of_the_coefficients(capsys):
    growth = call_json(capsys, "space", "show", "phi:0.5", "--samples=100")["growth"]
    assert growth["phi"] == 0.5
    assert growth["of_coefficients"] == pytest.approx(3.16, abs=0.005)
    ends = [call_json(capsys, "space", "show", name, "--samples=100")["macs"]["mean"] for name in ("phi:-2", "phi:3")]
    assert growth["mean_macs"] == pytest.approx((ends[1] / ends[0]) ** 0.2)
    ends = [call_json(capsys, "space", "show", name, "--samples=100")["macs"]["mean"] for name in ("a0", "a5")]
    assert growth["mean_macs_published_clips"] == pytest.approx((ends[1] / ends[0]) ** 0.2)
    for name in ("nano", "phi:0.5"):
        assert "published" not in call_json(capsys, "space", "show", name, "--samples=100")
    assert "growth" not in call_json(capsys, "space", "show", "nano", "--samples=100")


def test_a_decided_clip_is_part_of_the_space(capsys):
    choices = "--clip_choices=frames=4:8,rate_fps=4:8"
    document = call_json(capsys, "space", "show", "nano", choices, "--target=macs=12M/s", "--samples=1000")
    plain = call_json(capsys, "space", "show", "nano", "--samples=1000")
    assert document["decisions"] == plain["decisions"] + 3
    assert len(document["clips"]) == 4
    assert document["macs"]["max"] == plain["macs"]["max"]
    assert document["macs"]["min"] < plain["macs"]["min"]
    code, out, _ = call(capsys, "space", "show", "nano", choices, "--samples=100")
    assert code == 0
    assert "4 different clips" in out
    assert "clip.num_frames" in out


def test_samples_out_of_range_are_refused(capsys):
    code, _, err = call(capsys, "space", "show", "nano", "--samples=0")
    assert code == 2
    assert "samples must be in [1, 10000000], but got 0" in err


def test_an_answer_takes_less_than_three_seconds():
    """A process of its own, imports and all; the largest of the named spaces. Of the processor, which may be shared."""
    command = [sys.executable, "-m", "launch", "space", "show", "a5", "--target=macs=276G/clip"]
    before = os.times()
    subprocess.run(command, check=True, capture_output=True, cwd=Path(__file__).parents[2])
    after = os.times()
    assert after.children_user + after.children_system - before.children_user - before.children_system < 3
