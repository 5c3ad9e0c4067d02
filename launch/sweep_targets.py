"""`movinas sweep targets`: a family of searches over spaces, targets and seeds, on one Pareto front."""

from launch.family import REPEATED, SHORT, Options, defaults_of, run

__all__ = ["REPEATED", "SHORT", "Options", "defaults_of", "run"]
