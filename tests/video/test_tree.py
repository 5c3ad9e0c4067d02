"""Names in annotations mean one video below the folder, or none; never anything outside."""

import pytest

from search_spaces.errors import ManifestError
from video.annotations.tree import VideoTree, confined, walk_videos

HOSTILE = [
    "../x.mp4",
    "a/../../x.mp4",
    "a/../b.mp4",
    "..",
    "/etc/passwd",
    "/etc/../etc/passwd.mp4",
    "/",
    "//server/share/x.mp4",
    "",
    ".",
    "./",
    "./../x",
    "a/b/../../../x",
    "C:\\Windows\\x.mp4",
    "c:/x.mp4",
    "\\\\server\\share\\x.mp4",
    "/proc/self/environ",
    "/dev/stdin",
    "/dev/video0",
    "x" * 5000,
    "a/" * 3000,
]
HARMLESS = [
    "~/x.mp4",
    "$HOME/x.mp4",
    "%2e%2e/x.mp4",
    "..../x.mp4",
    "...",
    "-rf.mp4",
    "--help",
    "CON.mp4",
    "NUL",
    "con.mp4.",
    "\u202egpj.exe.mp4",
    "a\u2028b.mp4",
    "x.mp4;rm -rf .mp4",
    "`id`.mp4",
    "http://example.org/x.mp4",
    "concat:/etc/passwd.mp4",
    "x" * 300 + ".mp4",
    "a\nb.mp4",
    "[!a]*?.mp4",
    "file:///etc/passwd.mp4",
]
"""Names that lead below the folder, whatever they look like: there is no such file."""


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_leads_out_is_refused(tmp_path, name):
    with pytest.raises(ManifestError, match="a file name must lead below the folder of the videos"):
        VideoTree(tmp_path).find(name, split=None, labels=())


@pytest.mark.parametrize("name", HARMLESS)
def test_a_name_that_only_looks_so_is_below_the_folder(tmp_path, name):
    assert (tmp_path / confined(name, tmp_path)).is_relative_to(tmp_path)
    assert VideoTree(tmp_path).find(name, split=None, labels=()) is None


def test_an_absolute_path_within_the_folder(tmp_path):
    (tmp_path / "x.mp4").touch()
    assert VideoTree(tmp_path).find(str(tmp_path / "x.mp4"), split=None, labels=()) == tmp_path / "x.mp4"


def test_the_end_of_a_path_and_another_suffix(tmp_path):
    for name in ("deep/a/x.mp4", "deep/b/x.mkv", "deep/b/y.webm", "deep/.hidden/z.mp4", "deep/b/w.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    tree = VideoTree(tmp_path)
    assert tree.find("a/x.mp4", split=None, labels=()) == tmp_path / "deep/a/x.mp4"
    assert tree.find("x.mkv", split=None, labels=()) == tmp_path / "deep/b/x.mkv"
    assert tree.find("y.avi", split=None, labels=()) == tmp_path / "deep/b/y.webm"
    assert tree.find("b/y", split=None, labels=()) == tmp_path / "deep/b/y.webm"
    assert tree.find("p/a/x.mp4", split=None, labels=()) is None
    assert tree.find("z", split=None, labels=()) is None
    assert tree.find("w", split=None, labels=()) is None
    with pytest.raises(ManifestError, match="'x' must name one video, but both deep/a/x.mp4 and deep/b/x.mkv"):
        tree.find("x", split=None, labels=())


def test_links_of_the_owner_are_followed_once(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.mp4").touch()
    (tmp_path / "root" / "train").mkdir(parents=True)
    (tmp_path / "root" / "train" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "root")
    assert list(walk_videos(tmp_path / "root")) == [tmp_path / "root" / "train" / "link" / "x.mp4"]


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(ManifestError, match="none: must be a readable folder, but got No such file"):
        list(walk_videos(tmp_path / "none"))
