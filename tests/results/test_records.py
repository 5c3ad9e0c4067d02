"""Records check what only a bug of ours could break."""

import pytest

from results.records import Measurement


@pytest.mark.parametrize(("quality", "num_clips"), [(-0.1, 4), (1.1, 4), (float("nan"), 4), (0.5, 0)])
def test_a_measurement_is_a_share_of_some_clips(quality, num_clips):
    with pytest.raises(ValueError, match=r"quality must be in \[0, 1\] over at least one clip"):
        Measurement(quality=quality, num_clips=num_clips)
