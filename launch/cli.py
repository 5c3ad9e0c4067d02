"""The command `movinas`: a verb, its options, an exit code.

0 done; 2 wrong usage or bad input, one clear line on stderr; 3 a target that cannot be met; 130 interrupted, resumable:
SIGINT and SIGTERM let a run finish its step and save, a second one ends it at once.
Whoever reads the result may stop reading: the program then ends with 0.
"""

import argparse
import difflib
import importlib
import logging
import sys
from collections.abc import Sequence

from launch import console
from launch.options import parse
from results import interruption
from search_spaces.errors import MovinasError, RankLostError, UsageError

INTERRUPTED = 130

VERBS: dict[str, tuple[str, str]] = {
    "demo": ("launch.demo", "the whole path on generated videos: search, export, retrain, evaluate, report"),
    "space show": ("launch.space_show", "decisions, size and costs of a search space; where a target lies in it"),
    "space sample": ("launch.space_sample", "random architectures of a space, as spec files"),
    "cost": ("launch.cost", "MACs, parameters and memory of specs, by arithmetic"),
    "data synth": ("launch.data_synth", "generated videos whose class is their motion, or their colour"),
    "data index": ("launch.data_index", "a manifest from annotations of many formats, or a folder per class"),
    "data check": ("launch.data_check", "decode every video of a manifest and list those that fail"),
    "search": ("launch.search", "search a space for a network at a cost target"),
    "sweep scaling": ("launch.sweep_scaling", "coefficients that scale a space best, by training architectures"),
    "sweep targets": ("launch.sweep_targets", "searches for several targets, spaces and seeds, on one Pareto front"),
    "sweep seeds": ("launch.sweep_seeds", "the same search from several seeds, and the spread of its results"),
    "resume": ("launch.resume", "go on with a search, a retraining or a sweep that was interrupted"),
    "inspect": ("launch.inspect", "where runs stand, and the network a search favours, layer by layer"),
    "report": ("launch.report", "one offline HTML file about a run, or about several side by side"),
    "audit": ("launch.audit", "how far a search's shared weights rank networks as training them one by one does"),
    "export": ("launch.export", "the best architectures of a search, as spec files; runs for other viewers"),
    "ensemble": ("launch.ensemble", "several networks that answer together, as an ensemble file"),
    "ensemble train": ("launch.ensemble_train", "train all networks of an ensemble"),
    "retrain": ("launch.retrain", "train the network of a spec"),
    "evaluate": ("launch.evaluate", "accuracy of a retrained network or an ensemble on a manifest"),
    "predict": ("launch.predict", "classes of videos"),
    "stream": ("launch.stream", "classes of a video, camera or network stream, frame by frame"),
    "deploy": ("launch.deploy", "a trained network as an ONNX, torch.export or safetensors file, checked"),
    "import-weights": ("launch.import_weights", "a published network, from the state dict of the public PyTorch port"),
    "study truth": ("launch.study.truth", "every architecture of a micro space trained by itself: a ground truth"),
    "study planted": ("launch.study.planted", "whether a search finds a cause that was put there, and nothing else"),
    "study compute": ("launch.study.compute", "searches against the ground truth, at equal compute"),
    "study mechanisms": ("launch.study.mechanisms", "searches with one mechanism knocked out at a time"),
    "study retrained": (
        "launch.study.retrained",
        "what was found against random architectures of equal cost, retrained",
    ),
    "bench cost": ("launch.bench.cost", "genotypes costed per second"),
    "bench ops": (
        "launch.bench.ops",
        "time of depthwise convolutions, backend by backend, and the table of the fastest",
    ),
    "bench table": (
        "launch.bench.table",
        "times of every part of a space's networks here, and how well their sums predict whole ones",
    ),
    "bench model": ("launch.bench.model", "time of frames, clips and training steps, beside a plain PyTorch MoViNet"),
    "bench deploy": ("launch.bench.deploy", "deployed files beside PyTorch: size, difference, time of a frame"),
    "bench stream": ("launch.bench.stream", "how far streams are from their clips, and the memory of long ones"),
    "bench supernet": ("launch.bench.supernet", "a supernet step beside the training step of the sampled network"),
    "bench subclips": ("launch.bench.subclips", "what a supernet step keeps, on whole clips and on sub-clips"),
    "bench search": ("launch.bench.search", "where a step of a search spends its time"),
    "bench inspect": ("launch.bench.inspect", "time of a look at a long search"),
    "bench decode": ("launch.bench.decode", "processor time per clip, beside FFmpeg's own decoder"),
    "bench memory": ("launch.bench.memory", "peak memory against the number of frames"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    interruption.listen(console.tell_saving)
    try:
        return _run(arguments)
    except (MovinasError, KeyboardInterrupt) as error:
        others_ended = isinstance(error, RankLostError) and interruption.told()  # by the same signal
        if isinstance(error, MovinasError) and not others_ended:
            console.error(str(error))
            return error.exit_code
        console.error("interrupted; a run goes on with: movinas resume RUN")
        return INTERRUPTED
    except BrokenPipeError:  # whoever read has seen enough
        return 0
    finally:
        console.flush()


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        console.show(_overview())
        return 0 if arguments else 2
    verb = " ".join(arguments[:2]) if " ".join(arguments[:2]) in VERBS else arguments[0]
    if verb not in VERBS:
        return _unknown(arguments)
    module = importlib.import_module(VERBS[verb][0])
    try:
        options = parse(
            module.Options,
            arguments[len(verb.split()) :],
            prog=f"movinas {verb}",
            positionals=getattr(module, "POSITIONALS", ()),
            short=getattr(module, "SHORT", {}),
            repeated=getattr(module, "REPEATED", ()),
            defaults=getattr(module, "defaults_of", None),
        )
    except SystemExit as stop:  # --help and --print_config end this way
        return int(stop.code or 0)
    except argparse.ArgumentError as error:
        raise UsageError(str(error)) from error
    code = module.run(options)
    assert isinstance(code, int)
    return code


def _unknown(arguments: list[str]) -> int:
    group = [verb for verb in VERBS if verb.startswith(f"{arguments[0]} ")]
    if group:
        raise UsageError(f"movinas {arguments[0]} must be followed by one of {', '.join(v.split()[1] for v in group)}")
    close = difflib.get_close_matches(arguments[0], VERBS, n=1)
    hint = f"; did you mean {close[0]}?" if close else " (see movinas --help)"
    raise UsageError(f"the first argument must be a verb of movinas, but got {arguments[0]!r}{hint}")


def _overview() -> str:
    width = max(map(len, VERBS))
    lines = [f"  {verb:{width}}  {text}" for verb, (_, text) in VERBS.items()]
    return "\n".join(["usage: movinas VERB [options]", "", *lines, "", "movinas VERB --help tells a verb's options."])


def entry() -> None:
    """The console script."""
    sys.exit(main())
