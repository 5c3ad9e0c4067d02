"""`movinas bench cost`: how many random genotypes are costed per second on one core."""

import statistics
import time
from dataclasses import dataclass

from launch import console
from launch.specs import find_variant
from search_spaces.cost_table import CostTable
from search_spaces.errors import UsageError
from search_spaces.movinet import find_space
from search_spaces.randomness import generator


@dataclass(frozen=True, kw_only=True)
class Options:
    """Speed of the cost model.

    Attributes:
        space: a2, nano, or a JSON file.
        variant: base, paper-stream, released-stream, or a JSON file.
        num: Genotypes per repeat.
        repeats: Of which the median is reported.
        json: Print one JSON document.
    """

    space: str = "a2"
    variant: str = "base"
    num: int = 200_000
    repeats: int = 5
    json: bool = False


def run(options: Options) -> int:
    """Measure and print."""
    if options.num < 1 or options.repeats < 1:
        raise UsageError(f"num and repeats must be at least 1, but got {options.num} and {options.repeats}")
    space, variant = find_space(options.space), find_variant(options.variant)
    indices_ND = space.sample_indices(generator(0, "bench cost"), options.num)
    rates = []
    table_s = []
    for _ in range(options.repeats):
        start = time.perf_counter()
        table = CostTable(space, variant, metric="macs", num_classes=600)
        built = time.perf_counter()
        table.costs(indices_ND)
        rates.append(options.num / (time.perf_counter() - built))
        table_s.append(built - start)
    document = {
        "space": space.name,
        "variant": options.variant,
        "num": options.num,
        "genotypes_per_s": statistics.median(rates),
        "genotypes_per_s_min": min(rates),
        "genotypes_per_s_max": max(rates),
        "table_s": statistics.median(table_s),
    }
    if options.json:
        console.show_json(document)
    else:
        console.show(
            f"space {space.name}, {options.variant}: {document['genotypes_per_s']:,.0f} genotypes per second "
            f"on one core (min {min(rates):,.0f}, max {max(rates):,.0f} of {options.repeats} repeats of "
            f"{options.num:,}); table built in {1000 * statistics.median(table_s):.0f} ms"
        )
    return 0
