"""`movinas sweep targets`: a family of searches over spaces, targets and seeds, on one Pareto front."""

from launch.family import SHORT, Options, run

__all__ = ["SHORT", "Options", "run"]
