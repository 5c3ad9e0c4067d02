"""Mixup and cutmix: shares by hand, the same on every frame, targets to match."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.randomness import generator
from video.mixing import mixed


def indicators(size, *, num_frames=3, height=8, width=12):
    """Clip b is 1 in channel b and 0 elsewhere, and so tells what it is made of."""
    clips_BCTHW = torch.eye(size)[:, :, None, None, None].expand(-1, -1, num_frames, height, width)
    return clips_BCTHW.contiguous(), torch.eye(size)


@given(
    mixup=st.sampled_from([0.0, 0.2, 1.0]),
    cutmix=st.sampled_from([0.0, 1.0, 3.0]),
    size=st.integers(1, 7),
    seed=st.integers(0, 500),
)
def test_targets_are_the_shares_of_pixels_and_all_frames_are_mixed_alike(mixup, cutmix, size, seed):
    if not (mixup or cutmix):
        return
    clips_BCTHW, targets_BK = indicators(size)
    before = clips_BCTHW.clone()
    found, shares = mixed(clips_BCTHW, targets_BK, generator(seed), mixup=mixup, cutmix=cutmix)
    torch.testing.assert_close(found.mean(dim=(2, 3, 4)), shares, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(size))
    assert torch.equal(found, found[:, :, :1].expand_as(found))
    assert torch.equal(clips_BCTHW, before)
    again, others = mixed(clips_BCTHW, targets_BK, generator(seed), mixup=mixup, cutmix=cutmix)
    assert torch.equal(again, found)
    assert torch.equal(others, shares)


def test_mixup_blends_and_cutmix_pastes_rectangles():
    clips_BCTHW, targets_BK = indicators(6)
    blended, _ = mixed(clips_BCTHW, targets_BK, generator(1), mixup=1.0, cutmix=0.0)
    assert torch.equal(blended, blended[..., :1, :1].expand_as(blended))
    assert ((blended > 0.01) & (blended < 0.99)).any()
    pasted, shares = mixed(clips_BCTHW, targets_BK, generator(1), mixup=0.0, cutmix=1.0)
    assert set(pasted.unique().tolist()) == {0.0, 1.0}
    rectangle = pasted[0].amax(dim=1)  # (C, H, W)
    partner = max((channel for channel in range(6) if channel), key=lambda channel: rectangle[channel].sum())
    rows, columns = (rectangle[partner].amax(dim=dim).bool() for dim in (1, 0))
    assert torch.equal(rectangle[partner].bool(), rows[:, None] & columns)
    assert float(shares[0, partner]) == pytest.approx(int(rows.sum()) * int(columns.sum()) / 96)


def test_with_both_each_clip_is_mixed_in_one_way():
    clips_BCTHW, targets_BK = indicators(64, num_frames=1)
    found, _ = mixed(clips_BCTHW, targets_BK, generator(2), mixup=1.0, cutmix=1.0)
    whole_B = (found == found[..., :1, :1]).flatten(1).all(dim=1)
    hard_B = ((found == 0) | (found == 1)).flatten(1).all(dim=1)
    assert (whole_B | hard_B).all()
    assert 15 < int(whole_B.sum()) < 50
    assert 15 < int(hard_B.sum()) < 50


def test_shares_follow_the_beta_distribution():
    clips_BCTHW, targets_BK = indicators(64, num_frames=1, height=1, width=1)
    draws = generator(3)
    shares_N = torch.cat(
        [mixed(clips_BCTHW, targets_BK, draws, mixup=0.2, cutmix=0.0)[1].diagonal() for _ in range(40)]
    )
    assert float(shares_N.mean()) == pytest.approx(0.5, abs=0.05)
    assert float(((shares_N < 0.05) | (shares_N > 0.95)).float().mean()) > 0.45  # 0.2 is near either end
