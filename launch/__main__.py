"""`python -m launch` is `movinas`."""

from launch.cli import entry

entry()
