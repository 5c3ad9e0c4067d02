import pytest
import torch
from made_clips import batch_of

from supernet.inputs import network_input

CPU = torch.device("cpu")


def test_pixels_become_numbers_from_0_to_1_and_colours_come_first():
    batch = batch_of(0, size=2, num_frames=3, resolution=6)
    batch.frames_BTHWC[1, 2, 5, 4] = torch.tensor([0, 51, 255], dtype=torch.uint8)
    clips_BCTHW, labels_B = network_input(batch, CPU)
    assert clips_BCTHW.shape == (2, 3, 3, 6, 6)
    assert clips_BCTHW.dtype == torch.float32
    torch.testing.assert_close(clips_BCTHW[1, :, 2, 5, 4], torch.tensor([0.0, 0.2, 1.0]))
    torch.testing.assert_close(clips_BCTHW, batch.frames_BTHWC.movedim(4, 1) / 255)
    assert torch.equal(labels_B, batch.labels_B)


def test_clips_lie_channels_last_as_the_network_wants_them():
    clips_BCTHW, _ = network_input(batch_of(0, size=2), CPU)
    assert clips_BCTHW.is_contiguous(memory_format=torch.channels_last_3d)


def test_the_batch_stays_as_it_is():
    batch = batch_of(0, size=2)
    before = batch.frames_BTHWC.clone()
    network_input(batch, CPU)
    assert torch.equal(batch.frames_BTHWC, before)


def test_a_batch_without_clips_has_none():
    clips_BCTHW, labels_B = network_input(batch_of(0, size=0, num_frames=3, resolution=6), CPU)
    assert (clips_BCTHW.shape, labels_B.shape) == ((0, 3, 3, 6, 6), (0,))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("pinned", [False, True])
def test_bytes_travel_to_a_cuda_device_and_become_numbers_there(pinned):
    batch = batch_of(0, size=2)
    wanted_BCTHW, wanted_B = network_input(batch, CPU)
    torch.cuda.set_sync_debug_mode("error")
    try:
        clips_BCTHW, labels_B = network_input(batch.pin_memory() if pinned else batch, torch.device("cuda"))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(clips_BCTHW.cpu(), wanted_BCTHW)
    assert torch.equal(labels_B.cpu(), wanted_B)
