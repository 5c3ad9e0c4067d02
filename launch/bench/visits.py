"""What a measurement has found so far, on disk, so that one that was killed goes on where it was."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from launch.bench.latency import Visit
from results.files import replace_file
from search_spaces.errors import DocumentError, LatencyTableError
from search_spaces.strict_json import canonical, loads


class Visits:
    """Visits of the networks of a cover in order, appended to a file of one JSON value per line.

    Args:
        path: The file; made where there is none.
        of: What is measured, on what, how: the first line, which that of an existing file must equal.

    Attributes:
        done: What the file holds; a line that a kill cut short does not count.

    Raises:
        LatencyTableError: The file is of another measurement, or cannot be read or written.
    """

    def __init__(self, path: Path, *, of: Mapping[str, object]) -> None:
        self._path, header = path, canonical(of)
        self.done: list[Visit] = []
        try:
            lines = path.read_text("utf-8").splitlines() if path.exists() else []
            if lines and lines[0] != header:
                raise LatencyTableError(
                    "must be what was found so far of the same measurement on the same device, but is of another; "
                    "delete it to start anew",
                    path=path,
                )
            self.done = list(_visits(lines[1:]))
            path.parent.mkdir(parents=True, exist_ok=True)
            kept = [header, *(canonical(asdict(visit)) for visit in self.done)]
            replace_file(path, "".join(f"{line}\n" for line in kept).encode())
        except (OSError, UnicodeDecodeError) as error:
            raise LatencyTableError(f"must be a file to read and write, but got {error}", path=path) from error

    def append(self, visit: Visit) -> None:
        """Add the next one; it is there when the process is killed."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{canonical(asdict(visit))}\n")
        self.done.append(visit)

    def remove(self) -> None:
        """Delete the file, when all that it holds is elsewhere."""
        self._path.unlink()


def _visits(lines: list[str]) -> Iterator[Visit]:
    for line in lines:
        try:
            match loads(line):
                case {"parts": [*parts], "rest": float(rest)} if all(type(part) is float for part in parts):
                    yield Visit(parts=tuple(parts), rest=rest)
                case _:
                    return
        except DocumentError:
            return
