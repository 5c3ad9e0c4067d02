"""`movinas data synth`: generated videos in a folder per class."""

from dataclasses import dataclass
from pathlib import Path

from launch import console
from video.synthetic import Cue, write_motion_videos

POSITIONALS = ("out",)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Labelled H.264 videos: moving textures, 8 classes, or rotating airplanes, 3 classes.

    Attributes:
        out: Folder to make.
        videos_per_class: How many of each class.
        cue: What tells the class: the motion, which no single frame shows, the colour, which every frame shows, or of
            airplanes the axis they turn about: yaw, pitch or roll, which the first frame does not show.
        shuffled: Put the frames of each video in an order of their own, so that nothing moves any more.
        size: Height and width, pixels.
        num_frames: Frames per video.
        rate_fps: Frames per second.
        seed: Same seed, same bytes.
        json: Print one JSON document.
    """

    out: Path
    videos_per_class: int = 64
    cue: Cue = "motion"
    shuffled: bool = False
    size: int = 64
    num_frames: int = 24
    rate_fps: int = 16
    seed: int = 0
    json: bool = False


def run(options: Options) -> int:
    """Write the videos and name the classes."""
    paths = synthesise(options)
    classes = sorted({path.parent.name for path in paths})
    if options.json:
        console.show_json({"out": str(options.out), "num_videos": len(paths), "class_names": classes})
    else:
        console.show(f"{len(paths)} videos of {len(classes)} classes in {options.out}: {', '.join(classes)}")
        console.log(f"next: movinas data index {options.out} manifest.jsonl")
    return 0


def synthesise(options: Options) -> tuple[Path, ...]:
    """The files written, by class and number."""
    return write_motion_videos(
        options.out,
        videos_per_class=options.videos_per_class,
        seed=options.seed,
        size=options.size,
        num_frames=options.num_frames,
        rate_fps=options.rate_fps,
        cue=options.cue,
        shuffled=options.shuffled,
    )
