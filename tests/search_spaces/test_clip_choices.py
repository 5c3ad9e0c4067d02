import dataclasses

import numpy as np
import pytest
from made_spaces import TINY, TINY_CLIPS, every_genotype

from search_spaces.clip_choices import ClipChoices
from search_spaces.errors import SpaceError
from search_spaces.movinet import A2
from search_spaces.published import published
from search_spaces.space import population
from search_spaces.spec import ClipGeometry
from search_spaces.variant import Variant

CHOICES = ClipChoices(num_frames=(2, 4), resolutions=(24, 30), rates_fps=(2, 4.0))


def test_every_combination_is_a_clip_in_order():
    sizes = [(clip.num_frames, clip.resolution, clip.rate_fps) for clip in CHOICES.clips()]
    assert sizes == [(t, r, f) for t in (2, 4) for r in (24, 30) for f in (2.0, 4.0)]
    assert all(isinstance(rate, float) for rate in CHOICES.rates_fps)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_frames": ()}, r"^num_frames: must be at least one choice, and each once, but got \(\)$"),
        ({"rates_fps": (5, 5.0)}, r"^rates_fps: must be at least one choice, and each once, but got \(5\.0, 5\.0\)$"),
        ({"resolutions": (24, 7)}, r"^resolution: every choice must be in \[8, 4096\], but got 7$"),
        ({"rates_fps": (0.0,)}, r"^rate_fps: every choice must be in \(0, 1000\], but got 0\.0$"),
        ({"num_frames": tuple(range(1, 18))}, r"^there must be at most 64 combinations .*, but got 68$"),
    ],
)
def test_what_no_clip_has_is_refused(change, message):
    with pytest.raises(SpaceError, match=message):
        dataclasses.replace(CHOICES, **change)


def test_the_clip_of_a_space_must_be_one_of_its_choices():
    other = ClipGeometry(num_frames=3, resolution=24, rate_fps=2.0)
    with pytest.raises(SpaceError, match=r"^clip: must be one of its clip_choices, but got ClipGeometry"):
        dataclasses.replace(TINY_CLIPS, clip=other)


def test_the_choices_are_the_last_decisions_and_part_of_the_hash():
    assert [decision.name for decision in TINY_CLIPS.decisions[-4:]] == [
        "head.width",
        "clip.num_frames",
        "clip.resolution",
        "clip.rate_fps",
    ]
    one = ClipChoices(num_frames=(4,), resolutions=(30,), rates_fps=(4.0,))
    assert dataclasses.replace(TINY, clip_choices=None).hash == TINY.hash
    assert dataclasses.replace(TINY, clip_choices=one).hash != TINY.hash


def test_a_genotype_decides_the_clip_of_its_spec():
    genotypes = list(every_genotype(TINY_CLIPS))
    assert TINY_CLIPS.size == len(genotypes) == 8 * dataclasses.replace(TINY_CLIPS, clip_choices=None).size
    rows_ND = population(TINY_CLIPS, genotypes)
    for genotype, number in zip(genotypes, TINY_CLIPS.clip_numbers(rows_ND), strict=True):
        clip = TINY_CLIPS.decode(genotype, Variant()).spec.clip
        assert clip == TINY_CLIPS.clips[number]
        assert clip.num_frames == genotype["clip.num_frames"]
        assert (clip.resolution, clip.rate_fps) == (genotype["clip.resolution"], genotype["clip.rate_fps"])


def test_every_clip_is_drawn_as_often():
    rows_ND = TINY_CLIPS.sample_indices(np.random.default_rng(0), 8000)
    counts = np.bincount(TINY_CLIPS.clip_numbers(rows_ND), minlength=8)
    assert len(counts) == 8
    assert (abs(counts - 1000) < 150).all()


def test_a_spec_at_another_clip_is_no_member():
    candidate = TINY_CLIPS.decode(TINY_CLIPS.sample(np.random.default_rng(1)), Variant())
    assert TINY_CLIPS.contains(candidate.spec)
    other = dataclasses.replace(candidate.spec.clip, resolution=28)
    assert not TINY_CLIPS.contains(dataclasses.replace(candidate.spec, clip=other))
    assert not A2.contains(published("A0"))
