"""The program, killed by its own hand in the middle of something: `killed_at.py POINT NUMBER ARGUMENTS...`.

Each point is a call that the program makes, replaced by one that at its NUMBER-th time does half of it and then dies.
"""

import os
import signal
import sys

import launch.retrain_rank
import results.checkpoint
import results.files
import retrain.fit
import retrain.model_file
from launch.cli import main
from results.journal import Journal
from supernet.optim import WeightAverage


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def counted(number, whole, half):
    """`whole`, but `half` and death at the `number`-th call."""
    calls = [0]

    def call(*arguments, **named):
        calls[0] += 1
        if calls[0] == number:
            half(*arguments, **named)
            die()
        return whole(*arguments, **named)

    return call


def half_of_a_blob(path, data):
    path.write_bytes(data[: len(data) // 2])


def half_of_the_average(average, net):
    for tensor in list(average.tensors.values())[: len(average.tensors) // 2]:
        tensor.zero_()


def nothing(*_, **__):
    pass


def set_trap(point, number):
    match point:
        case "saving":  # a blob of a checkpoint
            results.files.write_file = counted(number, results.files.write_file, half_of_a_blob)
        case "publishing":  # a checkpoint written, but not yet under its name
            results.checkpoint._publish = counted(number, results.checkpoint._publish, nothing)
        case "pruning":  # old checkpoints beside the new one
            results.checkpoint._prune = counted(number, results.checkpoint._prune, nothing)
        case "journaling":
            Journal.append = counted(number, Journal.append, nothing)
        case "averaging":  # in the middle of a step of the moving average
            WeightAverage.update = counted(number, WeightAverage.update, half_of_the_average)
        case "swapping":  # averaged weights in the network, statistics not yet its own
            retrain.fit.calibrate = counted(number, retrain.fit.calibrate, nothing)
        case "evaluating":
            launch.retrain_rank.predict = counted(number, launch.retrain_rank.predict, nothing)
        case "replacing":  # the best network so far: the old one gone, the new one not yet there
            retrain.model_file.remove_folder = counted(
                number, retrain.model_file.remove_folder, retrain.model_file.remove_folder
            )
        case _:
            raise ValueError(point)


if __name__ == "__main__":
    set_trap(sys.argv[1], int(sys.argv[2]))
    sys.exit(main(sys.argv[3:]))
