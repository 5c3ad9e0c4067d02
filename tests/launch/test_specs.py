"""Names on the command line."""

import dataclasses

import pytest

from launch.specs import check_classes, find_spec, find_spec_or_ensemble, find_variant, with_clip_choices
from search_spaces.clip_choices import ClipChoices
from search_spaces.ensemble import temporal_ensemble
from search_spaces.ensemble_json import make_ensemble_file, write_ensemble
from search_spaces.errors import SpaceError, SpecError, UsageError
from search_spaces.movinet import A2, NANO
from search_spaces.published import published, published_ensemble, released_stream
from search_spaces.spec_json import make_spec_file, write_spec
from search_spaces.variant import VARIANTS, Variant


def test_published_networks_and_files(tmp_path):
    assert find_spec("published:A3").arch == published("A3")
    path = write_spec(make_spec_file(published("A1"), Variant()), tmp_path)
    assert find_spec(str(path)).arch == published("A1")
    with pytest.raises(SpecError, match="a published network must be one of A0"):
        find_spec("published:a0")
    with pytest.raises(SpecError, match="must be a readable file"):
        find_spec(str(tmp_path / "no.json"))


def test_specs_and_ensembles(tmp_path):
    assert find_spec_or_ensemble("published:A3") == find_spec("published:A3")
    a6 = find_spec_or_ensemble("published:A6")
    assert a6.ensemble == published_ensemble("A6", Variant())
    path = write_ensemble(make_ensemble_file(a6.ensemble, models=("a", "b")), tmp_path)
    assert find_spec_or_ensemble(str(path)).models == ("a", "b")
    with pytest.raises(SpecError, match="kind: must be 'movinas.spec', but got 'movinas.ensemble'"):
        find_spec(str(path))
    with pytest.raises(SpecError, match="but got 'A6', the ensemble of A4 and A5"):
        find_spec("published:A6")
    with pytest.raises(SpecError, match="must be one of A0, A1, A2, A3, A4, A5, A6, but got 'A7'"):
        find_spec_or_ensemble("published:A7")


def test_specs_and_ensembles_in_another_variant(tmp_path):
    stream = VARIANTS["paper-stream"]
    assert find_spec_or_ensemble("published:A3", variant="paper-stream") == make_spec_file(published("A3"), stream)
    path = write_ensemble(make_ensemble_file(published_ensemble("A6", Variant()), models=("a", "b")), tmp_path)
    changed = find_spec_or_ensemble(str(path), variant="paper-stream")
    assert changed == make_ensemble_file(published_ensemble("A6", stream))
    assert changed.models is None


def test_a_published_stream_is_built_as_it_was_released():
    for name in ("A0", "A1", "A3"):
        assert find_variant("released-stream", arch=published(name)) == released_stream(name)
    other = dataclasses.replace(published("A3"), stem_width=24)
    assert find_variant("released-stream", arch=other) == VARIANTS["released-stream"]
    assert find_variant("released-stream") == VARIANTS["released-stream"]
    for member in temporal_ensemble(published("A4"), Variant()).members:
        assert find_variant("released-stream", arch=member.arch) == released_stream("A4")
    assert find_variant("paper-stream", arch=published("A3")) == VARIANTS["paper-stream"]
    assert find_spec_or_ensemble("published:A3", variant="released-stream").variant == released_stream("A3")
    members = find_spec_or_ensemble("published:A6", variant="released-stream").ensemble.members
    assert [member.variant for member in members] == [released_stream("A4"), released_stream("A5")]


def test_members_of_a_temporal_ensemble_are_built_as_released(tmp_path):
    half = make_ensemble_file(temporal_ensemble(published("A4"), Variant()))
    path = write_ensemble(half, tmp_path)
    members = find_spec_or_ensemble(str(path), variant="released-stream").ensemble.members
    assert [member.variant for member in members] == [released_stream("A4")] * 2


def test_variants_by_name_and_file(tmp_path):
    assert find_variant("base") == Variant()
    path = tmp_path / "v.json"
    path.write_text('{"gate": "hard_sigmoid"}')
    assert find_variant(str(path)) == Variant(gate="hard_sigmoid")
    for text, message in (
        ('{"gate": "soft"}', "gate: "),
        ('{"gates": "sigmoid"}', "gates: must be a known field"),
        ("[", "must be JSON"),
    ):
        path.write_text(text)
        with pytest.raises(SpecError, match=message):
            find_variant(str(path))
    with pytest.raises(SpecError, match="did you mean base"):
        find_variant("bas")


@pytest.mark.parametrize("classes", [0, -3, 10**7])
def test_numbers_of_classes(classes):
    with pytest.raises(UsageError, match="classes must be in"):
        check_classes(classes)


def test_a_clip_is_made_decisions():
    assert with_clip_choices(A2, None) is A2
    space = with_clip_choices(A2, "frames=25:50,resolution=172:224,rate_fps=2.5:5")
    assert space.clip_choices == ClipChoices(num_frames=(25, 50), resolutions=(172, 224), rates_fps=(2.5, 5.0))
    assert space.clip == A2.clip
    assert dataclasses.replace(space, clip_choices=None) == A2
    other = with_clip_choices(NANO, "resolution=32:64")
    assert [clip.resolution for clip in other.clips] == [32, 64]
    assert {(clip.num_frames, clip.rate_fps) for clip in other.clips} == {(8, 8.0)}
    assert other.clip == other.clips[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("frames", r"must be written as .*, but got 'frames': invalid literal"),
        ("frames=8:a", r"must be written as .*, but got 'frames=8:a': invalid literal"),
        ("", r"must be written as .*, but got '': '' must be one of frames, resolution, rate_fps, once each"),
        ("width=8", r"'width' must be one of frames, resolution, rate_fps, once each"),
        ("frames=8,frames=16", r"'frames' must be one of frames, resolution, rate_fps, once each"),
    ],
)
def test_what_makes_no_choices_of_a_clip_is_refused(text, message):
    with pytest.raises(UsageError, match=message):
        with_clip_choices(NANO, text)


def test_choices_that_no_clip_has_are_refused():
    with pytest.raises(SpaceError, match=r"^num_frames: every choice must be in \[1, 16384\], but got 0$"):
        with_clip_choices(NANO, "frames=0:8")
