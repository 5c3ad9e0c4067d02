"""The program called in this process, and a search of seconds."""

import json

from launch.cli import main

SEARCH = [
    "--threads=1",
    "--workers=0",
    "--proxy=frames=4,resolution=32",
    "--search.steps=8",
    "--search.checkpoint_every=3",
    "--search.selection.num_policy=3",
    "--search.selection.num_random=3",
    "--weights.batch_size=4",
    "--weights.reward_batch_size=4",
]
"""A search of nano that takes seconds."""
TARGET = "macs=16M/clip"


def call(capsys, *arguments):
    """Run the program in this process; exit code, stdout, stderr."""
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def call_json(capsys, *arguments):
    code, out, err = call(capsys, *arguments, "--json")
    assert code == 0, err
    return json.loads(out)
