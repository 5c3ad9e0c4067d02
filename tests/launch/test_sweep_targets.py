"""`movinas sweep targets` and `sweep seeds`: members, fronts, targets that cannot be."""

import json
from pathlib import Path

import pytest
from made_tables import made_table
from program import SEARCH, call, call_json

from launch import family, search
from launch.cli import main
from launch.family import Options, member_tasks
from launch.runs import options_of
from results.history import read_history
from results.run_dir import open_run
from search_spaces.errors import UsageError
from search_spaces.latency_table import write_table
from search_spaces.movinet import find_space
from search_spaces.spec_json import read_spec
from search_spaces.target import parse_target
from video.manifest import load_manifest

SHORT = [option for option in SEARCH if not option.startswith("--search.steps")] + ["--search.steps=2"]
TARGETS = "--targets=[macs=12M/clip,nano:macs=20M/clip]"


@pytest.fixture(scope="module")
def folder(motion_manifest, tmp_path_factory):
    """A finished family of two targets."""
    out = tmp_path_factory.mktemp("family") / "family"
    arguments = [f"--data={motion_manifest}", f"--out={out}", "--spaces=[nano]", TARGETS, "--seeds=[1]"]
    assert main(["sweep", "targets", *arguments, *SHORT]) == 0
    return out


def options(**changes):
    return Options(**{"data": Path("d"), "out": Path("o"), "targets": ("macs=1M/clip",), "spaces": ("a0",), **changes})


def names(given):
    return [task.name for task in member_tasks(given, given.out)]


def test_a_family_is_spaces_times_targets_times_seeds():
    given = options(spaces=("a0", "phi:1.5"), targets=("macs=1M/clip", "a5:macs=2.5G/clip"), seeds=(0, 3))
    assert names(given) == [
        "a0_macs-1M-clip_seed0",
        "a0_macs-1M-clip_seed3",
        "phi-1.5_macs-1M-clip_seed0",
        "phi-1.5_macs-1M-clip_seed3",
        "a5_macs-2.5G-clip_seed0",
        "a5_macs-2.5G-clip_seed3",
    ]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"spaces": ()}, "a target must name its space, such as a0:macs=1M/clip"),
        ({"targets": ()}, "got no target or no seed"),
        ({"seeds": (1, 1)}, "each once, but got a0_macs-1M-clip_seed1 twice"),
    ],
)
def test_families_that_cannot_be(changes, text):
    with pytest.raises(UsageError, match=text):
        names(options(**changes))


def test_every_member_is_a_finished_search_and_all_are_on_one_front(capsys, folder):
    document = call_json(capsys, "inspect", folder)
    assert [member["name"] for member in document["members"]] == sorted(path.name for path in folder.glob("members/*"))
    assert not document["missing"]
    points = document["points"]
    for member in document["members"]:
        summary = call_json(capsys, "inspect", folder / "members" / member["name"])
        assert summary["status"] == "finished"
        assert summary["found"]["fingerprint"] == member["fingerprint"]
        assert summary["found"]["macs"] == member["macs"]
        assert read_spec(folder / "specs" / f"{member['fingerprint']}.json").provenance.seed == member["seed"]
        assert member["state_bytes"] > 0
    assert {point["member"] for point in points} == {member["name"] for member in document["members"]}
    for cost, mark in (("macs", "on_macs_front"), ("state_bytes", "on_state_front")):
        for point in points:
            beaten = any(
                other["quality"] >= point["quality"]
                and other[cost] <= point[cost]
                and (other["quality"], other[cost]) != (point["quality"], point[cost])
                for other in points
            )
            assert point[mark] != beaten
    front = json.loads((folder / "front.json").read_text())
    assert front["on_macs_front"] == sorted(
        (point for point in points if point["on_macs_front"]), key=lambda point: (point["macs"], point["member"])
    )


def test_a_member_is_the_search_that_the_same_options_make_alone(capsys, folder, motion_manifest, tmp_path):
    alone = [f"--data={motion_manifest}", f"--out={tmp_path / 'run'}", "--target=macs=20M/clip", "--seed=1"]
    assert call(capsys, "search", "--space=nano", *alone, *SHORT)[0] == 0
    member = folder / "members" / "nano_macs-20M-clip_seed1"
    assert (member / "journal.jsonl").read_bytes() == (tmp_path / "run" / "journal.jsonl").read_bytes()


def test_a_resumed_family_goes_on_with_its_members(capsys, folder):
    journal, front = folder / "journal.jsonl", (folder / "front.json").read_bytes()
    whole = journal.read_bytes()
    journal.write_bytes(whole.splitlines(keepends=True)[0])
    document = call_json(capsys, "inspect", folder)
    assert document["missing"] == ["nano_macs-20M-clip_seed1"]
    _, _, begun = call(capsys, "inspect", folder)[1].partition("Begun\n")
    assert begun.split()[0] == "nano_macs-20M-clip_seed1"  # how far those are that are not in the table yet
    assert call(capsys, "resume", folder)[0] == 0
    assert journal.read_bytes() == whole
    assert (folder / "front.json").read_bytes() == front


def test_the_report_shows_both_fronts(capsys, folder):
    (folder / "report.html").unlink()
    assert call(capsys, "report", folder)[0] == 0
    text = (folder / "report.html").read_text()
    assert '"figure-front-macs"' in text
    assert '"figure-front-state_bytes"' in text


def test_a_target_outside_its_space_is_exit_3_before_anything_is_made(capsys, motion_manifest, tmp_path):
    targets = "--targets=[macs=12M/clip,macs=9T/clip]"
    arguments = ["--spaces=[nano]", targets, f"--data={motion_manifest}", f"--out={tmp_path / 'family'}", *SHORT]
    code, _, err = call(capsys, "sweep", "targets", *arguments)
    assert code == 3
    assert err.splitlines()[-1].startswith("movinas: nano_macs-9T-clip_seed0: target must lie within space nano")
    assert not (tmp_path / "family").exists()


def test_the_plan_lists_the_members(capsys, motion_manifest, tmp_path):
    arguments = ["--spaces=[nano]", TARGETS, f"--data={motion_manifest}", f"--out={tmp_path / 'family'}", *SHORT]
    document = call_json(capsys, "sweep", "targets", *arguments, "--plan")
    assert document["searches"] == 2
    assert not (tmp_path / "family").exists()


def test_seeds_are_a_family_and_their_spread_is_told(capsys, motion_manifest, tmp_path):
    arguments = [f"--data={motion_manifest}", f"--out={tmp_path / 'seeds'}", "--target=macs=16M/clip", *SHORT]
    document = call_json(capsys, "sweep", "seeds", "--space=nano", "--seeds=2", "--seed=5", *arguments)
    assert [member["seed"] for member in document["members"]] == [5, 6]
    (spread,) = document["spread"]
    qualities = [member["quality"] for member in document["members"]]
    assert spread["num_seeds"] == 2
    assert spread["quality_std"] == pytest.approx(abs(qualities[0] - qualities[1]) / 2**0.5)


def test_members_keep_their_limits_and_the_tables_of_their_targets(capsys, motion_manifest, tmp_path, monkeypatch):
    names = load_manifest(motion_manifest).class_names
    table = made_table(find_space("nano"), lambda number: 1000 + number, num_classes=len(names))
    write_table(table, tmp_path / "table.json")
    monkeypatch.chdir(tmp_path)
    limits = ("latency=1ms/frame@table.json", "state=1MiB@fp32")
    given = [f"--data={motion_manifest}", "--space=nano", "--seeds=1", "--variant=paper-stream"]
    given += [f"--max={limit}" for limit in limits]
    assert main(["sweep", "seeds", *given, "--target=latency=18us/frame@table.json", "--out=family", *SHORT]) == 0
    (tmp_path / "table.json").unlink()
    monkeypatch.chdir("/")
    family_path = tmp_path / "family"
    (member,) = (family_path / "members").iterdir()
    start = read_history(member / "journal.jsonl").start
    assert start.target.startswith("latency=18us/frame@tables/")
    assert start.limits[1] == limits[1]
    spec = read_spec(next((member / "specs").glob("*.json")))
    result = read_history(member / "journal.jsonl").result
    seconds = table.latency_s(spec.arch, spec.variant, num_classes=len(names))
    assert result.found_ratio == pytest.approx(seconds / 18e-6)
    assert result.found_limit_ratios[0] == pytest.approx(seconds / 1e-3)
    assert main(["resume", str(family_path)]) == 0
    capsys.readouterr()
    assert call_json(capsys, "inspect", member)["argmax"]["ratio"] == pytest.approx(result.argmax_ratio)
    again = member_tasks(options_of(open_run(family_path, kind="family"), Options), family_path, kept=True)[0].options
    assert parse_target(again.target).table == parse_target(again.max[0]).table == table


def test_a_preset_sets_what_nobody_gave_for_every_member(motion_manifest):
    given = options(data=motion_manifest, preset="paper")
    assert dict(family.defaults_of(given)) == dict(search.defaults_of(member_tasks(given, given.out)[0].options)) != {}
