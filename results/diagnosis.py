"""What looks wrong with a search, in words for people: from its history and telemetry, while it runs or after."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from results.decisions import normalised_entropy
from results.history import SearchHistory, bad_videos

COLLAPSED = 0.05
"""Normalised entropy under which decisions count as settled, `NEVER_LEARNED` above which as untouched."""
NEVER_LEARNED = 0.95
EARLY = 0.5
"""Share of the steps before which no group of decisions should have settled."""
LATE = 0.9
"""Share of the steps after which the policy should have learned and its costs lie at the target."""
ABOVE_CHANCE = 0.1
"""Share of the way from chance to certainty that qualities must have come before a policy can learn from them."""
RECENT = 0.1
"""Share of the steps before a policy learns whose qualities count."""
TOLERANCE = 0.05
"""Of cost / target around 1: the band of the report."""
BAD_SHARE = 0.01
"""Of the videos; above it a run ends unless it is told otherwise (`--clips.max_bad_fraction`)."""
DATA_SHARE = 0.3
"""Of the time, spent waiting for clips."""
MEMORY_SHARE = 0.9
_NAMED = 4
_WITHOUT_POLICY = ("uniform", "random")


def warnings_of(history: SearchHistory, events: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line per finding, none where all is well."""
    found = [f"damaged: {damage}" for damage in history.damages[:_NAMED]]
    if len(history.damages) > _NAMED:
        found.append(f"damaged: {len(history.damages) - _NAMED} more lines of the journal")
    if history.start is None:
        return found
    found += (
        learned_from_noise(history)
        + _collapsed(history)
        + _never_learned(history)
        + _target_missed(history)
        + _no_gain(history)
    )
    return found + _bad_videos(history, events)


def share_done(history: SearchHistory) -> float:
    """Steps done over steps planned, in [0, 1]."""
    planned = history.start.steps if history.start else 0
    return min(1.0, history.num_steps / planned) if planned else 0.0


def never_learned(history: SearchHistory) -> list[str]:
    """Decisions of the likeliest network that its latest policy holds as undecided as at first, by name."""
    if not history.policies:
        return []
    policy = history.policies[-1]
    chances = ((name, policy.probabilities.get(name, ())) for name in policy.argmax)
    return sorted(name for name, chance in chances if len(chance) > 1 and normalised_entropy(chance) > NEVER_LEARNED)


def learned_from_noise(history: SearchHistory) -> list[str]:
    """Whether a policy began to learn from qualities that were hardly above chance; no more than one line."""
    columns, start = history.columns, history.start
    if start is None or start.strategy != "reinforce" or not history.num_steps:
        return []
    learning = np.flatnonzero(columns["learning_rate"] > 0)
    if not learning.size or not (first := int(learning[0])):
        return []
    recent = columns["quality"][first - max(1, round(RECENT * first)) : first]
    chance = 1 / len(start.class_names)
    if float(recent.mean()) >= chance + ABOVE_CHANCE * (1 - chance):
        return []
    return [
        f"learned from noise: the policy began to learn in step {first:,} of {start.steps:,}, when shared weights were "
        "hardly above chance; more --search.steps, or a larger --search.controller.delay_fraction, let them learn first"
    ]


def _collapsed(history: SearchHistory) -> list[str]:
    assert history.start is not None
    if history.start.strategy != "reinforce":  # populations come together by design
        return []
    found = []
    for group, values in history.entropy.items():
        low = np.flatnonzero(values < COLLAPSED)
        if low.size and (step := int(history.columns["step"][low[0]])) < EARLY * history.start.steps:
            found.append(
                f"entropy collapsed: {group} was settled at step {step:,} of {history.start.steps:,} already "
                f"(below {COLLAPSED}); a smaller --search.controller.learning_rate explores longer"
            )
    return found


def _never_learned(history: SearchHistory) -> list[str]:
    assert history.start is not None
    names = never_learned(history)
    if not names or history.start.strategy in _WITHOUT_POLICY or share_done(history) < LATE:
        return []
    assert history.last is not None
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    policy = history.policies[-1]
    total = sum(len(policy.probabilities.get(name, ())) > 1 for name in policy.argmax)
    return [
        f"never learned: {len(names)} of {total} decisions of the likeliest network are as "
        f"undecided as at first (entropy above {NEVER_LEARNED}): {', '.join(names[:_NAMED])}{more}"
    ]


def _target_missed(history: SearchHistory) -> list[str]:
    start, last, result = history.start, history.last, history.result
    assert start is not None
    if last is None or share_done(history) < LATE:
        return []
    found = []
    ratio = result.argmax_ratio if result else last.argmax_ratio
    if start.strategy not in _WITHOUT_POLICY and abs(ratio - 1.0) > TOLERANCE:
        found.append(
            f"target missed: the likeliest network costs {ratio:.3f} of {start.target}"
            + (", so that another one was selected" if result and abs(result.found_ratio - 1.0) <= TOLERANCE else "")
        )
    if result and abs(result.found_ratio - 1.0) > TOLERANCE:
        found.append(f"target missed: the selected network costs {result.found_ratio:.3f} of {start.target}")
    over = result.argmax_limit_ratios if result else last.argmax_limit_ratios
    for limit, share in zip(start.limits, over, strict=False):
        if share > 1.0 and start.strategy not in _WITHOUT_POLICY:
            found.append(f"limit exceeded: the likeliest network costs {share:.3f} of at most {limit}")
    return found


def _no_gain(history: SearchHistory) -> list[str]:
    result = history.result
    if result is None or result.found_quality > result.random_quality_mean:
        return []
    return [
        f"no gain: the selected network's quality, {result.found_quality:.3f}, is not above the mean of random ones of "
        f"equal cost, {result.random_quality_mean:.3f}"
    ]


def _bad_videos(history: SearchHistory, events: Sequence[Mapping[str, Any]]) -> list[str]:
    assert history.start is not None
    total = history.start.num_train_videos + history.start.num_heldout_videos
    number = len(bad_videos(events))
    if not total or number <= BAD_SHARE * total:
        return []
    return [f"bad videos: {number:,} of {total:,} could not be decoded; movinas data check says what is wrong"]


def machine_warnings(time_shares: Mapping[str, float], memory: float | None) -> list[str]:
    """What a run is short of on its machine.

    Args:
        time_shares: See `history.phase_shares`.
        memory: See `memory_share`.
    """
    found = []
    waiting = time_shares.get("data", 0.0)
    if waiting > DATA_SHARE:
        found.append(f"waiting for clips: {waiting:.0%} of the time; more --workers, or a cache, would help")
    if memory is not None and memory > MEMORY_SHARE:
        found.append(f"memory near the limit: {memory:.0%} of what there is was in use")
    return found


def memory_share(events: Sequence[Mapping[str, Any]]) -> float | None:
    """Largest share of the memory in use since the latest start or resume; None where nobody looked."""
    shares: list[float] = []
    for event in events:
        if event["kind"] in ("start", "resume"):
            shares = []
        used, limit = event.get("used_bytes"), event.get("limit_bytes")
        if event["kind"] == "memory" and isinstance(used, int | float) and isinstance(limit, int | float) and limit > 0:
            shares.append(used / limit)
    return max(shares, default=None)
