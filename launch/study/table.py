"""The ground truth as a file: every architecture of the micro space at its target, trained by itself, clip by clip."""

import base64
import gzip
import io
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from launch.study.common import Floats
from results.files import read_regular, replace_file
from search_spaces.errors import DocumentError
from search_spaces.spec_json import Choice
from search_spaces.strict_json import canonical, loads

SCHEMA = 1
KIND = "movinas.truth"
MAX_BYTES = 5 << 20
MAX_TEXT_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TruthTable:
    """What became of every architecture, from every seed, on every test clip.

    Attributes:
        fingerprints: Of the architectures, N of them; `genotypes` likewise.
        correct_NSC: Whether the network of architecture n trained from seed s was right about clip c, bool (N, S, C).
        macs_N: Multiply-adds of a clip.
        provenance: How the table came about.
    """

    fingerprints: tuple[str, ...]
    genotypes: tuple[Mapping[str, Choice], ...]
    correct_NSC: NDArray[np.bool_]
    macs_N: NDArray[np.int64]
    provenance: Mapping[str, Any]

    def accuracies(self) -> Floats:
        """Accuracy of every training, (N, S)."""
        return np.asarray(self.correct_NSC.mean(axis=2))

    def truth(self) -> Floats:
        """Mean accuracy over the seeds, (N,): the truth."""
        return np.asarray(self.accuracies().mean(axis=1))

    def number(self, fingerprint: str) -> int:
        """Which architecture it is.

        Raises:
            ValueError: None of the table.
        """
        return self.fingerprints.index(fingerprint)


def write_table(table: TruthTable, path: Path) -> None:
    """Write a table as compressed JSON; the same table gives the same bytes."""
    document = {
        "schema": SCHEMA,
        "kind": KIND,
        "provenance": table.provenance,
        "num_clips": table.correct_NSC.shape[2],
        "architectures": [
            {
                "fingerprint": fingerprint,
                "genotype": genotype,
                "macs": int(macs),
                "correct": [base64.b64encode(np.packbits(correct_C).tobytes()).decode() for correct_C in correct_SC],
            }
            for fingerprint, genotype, macs, correct_SC in zip(
                table.fingerprints, table.genotypes, table.macs_N, table.correct_NSC, strict=True
            )
        ],
    }
    replace_file(path, gzip.compress(canonical(document).encode(), mtime=0))


def read_table(path: Path) -> TruthTable:
    """Read what `write_table` wrote.

    Raises:
        DocumentError: No such file, or not such a table.
    """
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(read_regular(path, max_bytes=MAX_BYTES))) as file:
            text = file.read(MAX_TEXT_BYTES + 1)
        document = loads(text, max_bytes=MAX_TEXT_BYTES)
        if (document["schema"], document["kind"]) != (SCHEMA, KIND):
            raise ValueError(f"schema {document['schema']} of {document['kind']}")
        rows: Sequence[Mapping[str, Any]] = document["architectures"]
        return TruthTable(
            fingerprints=tuple(row["fingerprint"] for row in rows),
            genotypes=tuple(row["genotype"] for row in rows),
            correct_NSC=np.array([[_bits(text, document["num_clips"]) for text in row["correct"]] for row in rows]),
            macs_N=np.array([row["macs"] for row in rows]),
            provenance=document["provenance"],
        )
    except (OSError, EOFError, zlib.error, KeyError, TypeError, ValueError) as error:
        raise DocumentError(
            f"must be a table of ground truth, as movinas study truth makes it, but got {error}", path=path
        ) from error


def _bits(text: str, num_clips: int) -> NDArray[np.bool_]:
    packed = np.frombuffer(base64.b64decode(text, validate=True), dtype=np.uint8)
    return np.unpackbits(packed, count=num_clips).astype(np.bool_)
