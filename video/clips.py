"""Batches of clips, read by this process or by others: the door of the package for whoever trains and tests.

Letters: B clips, T frames, R pixels of height and width, 3 colours.
"""

import contextlib
import functools
import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing import resource_tracker, util
from multiprocessing.connection import Connection
from typing import Any, final

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from search_spaces.errors import MovinasError, TooManyBadVideosError, UsageError, VideoError
from video.keys import SampleKey, balanced_keys, in_batches, micro_batches, test_keys, training_keys
from video.manifest import VideoItem
from video.reader import Clip, ClipReader
from video.sampling import View, views

__all__ = [
    "BadVideos",
    "Clip",
    "ClipBatch",
    "ClipReader",
    "SampleKey",
    "VideoItem",
    "View",
    "balanced_keys",
    "in_batches",
    "micro_batches",
    "read_batch",
    "read_batches",
    "test_keys",
    "training_keys",
    "views",
]

_NAMES_SHOWN = 3
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClipBatch:
    """Clips that were read together; without those of videos that a test could not decode.

    Attributes:
        frames_BTHWC: uint8 [B, T, R, R, 3]; B may be 0.
        labels_B: Class numbers, int64 [B]; where a video may have several labels, all true ones, bool [B, K].
        indices: Number of the video asked for, per clip, B of them.
        num_substituted: Clips that show another video of the class than the one asked for.
        num_failed: Clips asked for and left out.
        bad_ids: Videos that could not be decoded, each once.
    """

    frames_BTHWC: torch.Tensor
    labels_B: torch.Tensor
    indices: tuple[int, ...]
    num_substituted: int = 0
    num_failed: int = 0
    bad_ids: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        size = len(self.indices)
        if self.frames_BTHWC.dtype != torch.uint8 or self.frames_BTHWC.ndim != 5 or len(self.frames_BTHWC) != size:
            raise UsageError(
                f"frames must be uint8 [{size}, T, H, W, 3], one clip per index, "
                f"but got {self.frames_BTHWC.dtype} {tuple(self.frames_BTHWC.shape)}"
            )
        one_each = self.labels_B.dtype == torch.int64 and self.labels_B.shape == (size,)
        if not one_each and not (self.labels_B.dtype == torch.bool and self.labels_B.shape[:-1] == (size,)):
            raise UsageError(
                f"labels must be int64 [{size}], one per index, or bool [{size}, K], "
                f"but got {self.labels_B.dtype} {tuple(self.labels_B.shape)}"
            )

    def pin_memory(self) -> "ClipBatch":
        """The same in page-locked memory, which a CUDA device reads without holding up this process."""
        return replace(self, frames_BTHWC=self.frames_BTHWC.pin_memory(), labels_B=self.labels_B.pin_memory())


@final
class BadVideos:
    """Counts the different videos that could not be decoded, and ends the run when they are too many.

    Args:
        num_videos: How many videos there are, at least 1.
        max_fraction: Which share of them may be bad, in [0, 1].
    """

    def __init__(self, *, num_videos: int, max_fraction: float) -> None:
        if num_videos < 1 or not 0.0 <= max_fraction <= 1.0:
            raise UsageError(
                "there must be at least one video, and a share in [0, 1] that may be bad, but got "
                f"num_videos={num_videos}, max_fraction={max_fraction}"
            )
        self._num_videos = num_videos
        self._max_fraction = max_fraction
        self._ids: set[str] = set()

    @property
    def ids(self) -> tuple[str, ...]:
        """The bad videos so far, sorted."""
        return tuple(sorted(self._ids))

    def add(self, batch: ClipBatch) -> None:
        """Count the bad videos of a batch.

        Raises:
            TooManyBadVideosError: The share is passed.
        """
        self.add_ids(batch.bad_ids)

    def add_ids(self, ids: Iterable[str]) -> None:
        """Count bad videos; errors as `add`."""
        self._ids.update(ids)
        if len(self._ids) > self._max_fraction * self._num_videos:
            names = ", ".join(self.ids[:_NAMES_SHOWN])
            more = ", ..." if len(self._ids) > _NAMES_SHOWN else ""
            raise TooManyBadVideosError(
                f"at most {self._max_fraction:.2%} of {self._num_videos} videos may be unreadable, "
                f"but got {len(self._ids)}: {names}{more}; `movinas data check` finds all"
            )


def read_batch(reader: ClipReader, keys: Sequence[SampleKey]) -> ClipBatch:
    """Read some clips, in order.

    Raises:
        UsageError: No keys, or one of no item.
        VideoError: In training, no video of a class can be decoded.
    """
    if not keys:
        raise UsageError("a batch must have at least one key, but got none")
    clips: list[Clip] = []
    indices: list[int] = []
    bad_ids: list[str] = []
    for key in keys:
        try:
            clip = reader.read(key)
        except VideoError:
            if reader.training:
                raise
            bad_ids.append(reader.items[key.index].id)
        else:
            clips.append(clip)
            indices.append(key.index)
            bad_ids += clip.bad_ids
    return ClipBatch(
        frames_BTHWC=_stack(clips, reader),
        labels_B=_labels(clips, reader.num_classes),
        indices=tuple(indices),
        num_substituted=sum(bool(clip.bad_ids) for clip in clips),
        num_failed=len(keys) - len(clips),
        bad_ids=tuple(dict.fromkeys(bad_ids)),
    )


def read_batches(
    reader: ClipReader,
    batches: Iterable[Sequence[SampleKey]],
    *,
    num_workers: int,
    num_ahead: int = 1,
    pinned: bool = False,
) -> Generator[ClipBatch, None, None]:
    """Read batches in order; how many processes help does not change them.

    Args:
        reader: Reads the clips; with workers, each has a copy.
        batches: Keys of each batch. It may be endless: it is read some batches ahead.
        num_workers: Processes that read; with 0 this one does. They end when the generator is closed or exhausted.
        num_ahead: Batches that workers read ahead, at least; two for each worker in any case.
        pinned: Hand the batches of workers over in page-locked memory; it needs a CUDA device.

    Raises:
        UsageError: A negative number of workers, or less than one batch ahead.
        MovinasError: What `read_batch` raises, wherever it ran.
        VideoError: A worker was killed.
    """
    if num_workers < 0 or num_ahead < 1:
        raise UsageError(
            "num_workers must be at least 0 and num_ahead at least 1, "
            f"but got num_workers={num_workers}, num_ahead={num_ahead}"
        )
    if num_workers == 0:
        return (read_batch(reader, keys) for keys in batches)
    return _read_elsewhere(reader, batches, num_workers=num_workers, num_ahead=num_ahead, pinned=pinned)


def _read_elsewhere(
    reader: ClipReader, batches: Iterable[Sequence[SampleKey]], *, num_workers: int, num_ahead: int, pinned: bool
) -> Generator[ClipBatch, None, None]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # imports torch once, not once per worker
    theirs, ours = context.Pipe(duplex=False)
    loader: DataLoader[ClipBatch | MovinasError] = DataLoader(
        _Batches(reader),
        batch_size=None,
        sampler=batches,  # without a batch size, any iterable of what the data set takes
        num_workers=num_workers,
        prefetch_factor=max(2, -(-num_ahead // num_workers)),
        pin_memory=pinned,
        collate_fn=_as_it_is,
        worker_init_fn=functools.partial(_start_worker, theirs),
        multiprocessing_context=context,
        generator=torch.Generator(),  # else it would draw from the global one
    )
    # Workers ignore the signal by which PyTorch, or a process of multiprocessing's that ends, would end them.
    release = util.Finalize(None, ours.close, exitpriority=0)
    try:
        # No name for the iterator: leaving the loop, by close() or an error, must drop it, which ends the workers.
        for result in _begun(loader):
            if isinstance(result, MovinasError):
                raise result
            yield result
    except (RuntimeError, EOFError, ConnectionError) as error:
        if isinstance(error, RuntimeError) and not str(error).startswith("DataLoader worker"):
            raise
        raise VideoError(
            "a process that reads videos must not die, but one did, for want of memory or by a damaged video "
            f"({type(error).__name__}: {error})"
        ) from error
    finally:
        release()
        theirs.close()


def _begun(loader: DataLoader[ClipBatch | MovinasError]) -> Iterator[ClipBatch | MovinasError]:
    """Start the workers, and the server that forks them, such that no signal to the whole group ends it."""
    resource_tracker.ensure_running()  # its start, by the server's, would let them through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        return iter(loader)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@final
class _Batches(Dataset[ClipBatch | MovinasError]):
    """A data set whose indices are the keys of a batch; our errors are answers, since PyTorch would rewrite them."""

    def __init__(self, reader: ClipReader) -> None:
        self._reader = reader

    def __getitem__(self, keys: Sequence[SampleKey]) -> ClipBatch | MovinasError:
        try:
            return read_batch(self._reader, keys)
        except MovinasError as error:
            return error


def _as_it_is(result: Any) -> Any:  # noqa: ANN401
    return result


def _start_worker(reading: Connection, _worker: int) -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # the process that reads may have a step to finish, and then ends this
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_reader, args=(reading,), daemon=True).start()


def _end_with_reader(reading: Connection) -> None:
    """End with the process that reads, which may be killed; PyTorch's workers look after the fork server alone."""
    with contextlib.suppress(EOFError, OSError):
        reading.recv()
    os._exit(1)


def _labels(clips: Sequence[Clip], num_classes: int | None) -> torch.Tensor:
    if num_classes is None:
        return torch.tensor([clip.labels[0] for clip in clips], dtype=torch.int64)
    labels_BK = torch.zeros(len(clips), num_classes, dtype=torch.bool)
    for labels_K, clip in zip(labels_BK, clips, strict=True):
        labels_K[list(clip.labels)] = True
    return labels_BK


def _stack(clips: Sequence[Clip], reader: ClipReader) -> torch.Tensor:
    """Clips of one length; that of a whole video is its own."""
    geometry = reader.geometry
    lengths = {len(clip.frames_THWC) for clip in clips} or {geometry.num_frames}
    if len(lengths) > 1:
        raise UsageError(f"clips of a batch must be equally long, but got {sorted(lengths)} frames")
    shape = (len(clips), *lengths, geometry.resolution, geometry.resolution, 3)
    frames_BTHWC = np.empty(shape, dtype=np.uint8)
    for frames_THWC, clip in zip(frames_BTHWC, clips, strict=True):
        frames_THWC[...] = clip.frames_THWC
    return torch.from_numpy(frames_BTHWC)
