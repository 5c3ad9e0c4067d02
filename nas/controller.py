"""The controller's policy: one independent categorical distribution per decision (tunas.md 1.1).

Legend: K sampled architectures, D decisions, C choices of the decision with most of them; absent choices have the
logit -inf and the probability 0.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from search_spaces.space import Indices, SearchSpace

Floats = NDArray[np.float64]


def initial_logits(space: SearchSpace) -> Floats:
    """Logits (D, C) of the uniform policy: zeros."""
    counts = [len(decision.choices) for decision in space.decisions]
    logits_DC = np.full((len(counts), max(counts)), -np.inf)
    for row_C, count in zip(logits_DC, counts, strict=True):
        row_C[:count] = 0.0
    return logits_DC


def probabilities(logits_DC: Floats) -> Floats:
    """Softmax over the choices of each decision, (D, C)."""
    exp_DC = np.exp(logits_DC - logits_DC.max(axis=1, keepdims=True))
    return np.asarray(exp_DC / exp_DC.sum(axis=1, keepdims=True))


def sample(space: SearchSpace, logits_DC: Floats, rng: np.random.Generator, num: int) -> Indices:
    """`num` canonical genotypes drawn from the policy, (num, D)."""
    cumulative_DC = probabilities(logits_DC).cumsum(axis=1)
    cumulative_DC /= cumulative_DC[:, -1:]
    draws_KD = rng.random((num, len(logits_DC)))
    indices_KD = (draws_KD[:, :, None] >= cumulative_DC[None, :, :-1]).sum(axis=2, dtype=np.int8)
    return space.canonical(indices_KD)


def most_likely(space: SearchSpace, logits_DC: Floats) -> Indices:
    """The genotype of the likeliest choice of every decision, canonical, (D,)."""
    return np.asarray(space.canonical(logits_DC.argmax(axis=1).astype(np.int8)[None])[0])


def log_probability(space: SearchSpace, logits_DC: Floats, indices_KD: Indices) -> Floats:
    """Log-probability of genotypes, (K,); inactive decisions contribute nothing."""
    shifted_DC = logits_DC - logits_DC.max(axis=1, keepdims=True)
    log_DC = shifted_DC - np.log(np.exp(shifted_DC).sum(axis=1, keepdims=True))
    chosen_KD = log_DC[np.arange(len(logits_DC)), indices_KD]
    return np.asarray((chosen_KD * space.active(indices_KD)).sum(axis=1))


def log_probability_gradients(space: SearchSpace, logits_DC: Floats, indices_KD: Indices) -> Floats:
    """Gradient of each genotype's log-probability by the logits, (K, D, C); zero at inactive decisions."""
    one_hot_KDC = indices_KD[:, :, None] == np.arange(logits_DC.shape[1])
    gradients_KDC = one_hot_KDC - probabilities(logits_DC)
    return np.asarray(gradients_KDC * space.active(indices_KD)[:, :, None])


def entropy_gradients(space: SearchSpace, logits_DC: Floats, indices_KD: Indices) -> Floats:
    """Gradient by the logits of each genotype's entropy, nats summed over its active decisions, (K, D, C)."""
    chance_DC = probabilities(logits_DC)
    log_DC = np.log(np.maximum(chance_DC, 1e-300))
    entropy_D1 = -(chance_DC * log_DC).sum(axis=1, keepdims=True)
    gradient_DC = -chance_DC * (log_DC + entropy_D1)
    return np.asarray(gradient_DC * space.active(indices_KD)[:, :, None])


def activity(space: SearchSpace, logits_DC: Floats) -> Floats:
    """Probability under the policy that each decision counts, (D,)."""
    chance_DC = probabilities(logits_DC)
    columns = {decision.name: column for column, decision in enumerate(space.decisions)}
    result_D = np.ones(len(space.decisions))
    for column, decision in enumerate(space.decisions):
        if decision.layer is not None:
            prefix = decision.name.split(".", maxsplit=1)[0]
            depths = space.blocks[decision.block].depths
            deep_enough = [index for index, depth in enumerate(depths) if depth > decision.layer]
            result_D[column] = chance_DC[columns[f"{prefix}.depth"], deep_enough].sum()
    return result_D


def entropies(space: SearchSpace, logits_DC: Floats) -> Mapping[str, float]:
    """Normalised entropy H / log n per group of decisions, in [0, 1], weighted by how likely a decision counts."""
    chance_DC = probabilities(logits_DC)
    entropy_D = -(chance_DC * np.log(np.maximum(chance_DC, 1e-300))).sum(axis=1)
    weight_D = activity(space, logits_DC)
    sums: dict[str, tuple[float, float]] = {}
    for decision, entropy, weight in zip(space.decisions, entropy_D, weight_D, strict=True):
        if len(decision.choices) > 1:
            value, mass = sums.get(decision.group, (0.0, 0.0))
            share = float(entropy) / float(np.log(len(decision.choices)))
            sums[decision.group] = (value + float(weight) * share, mass + float(weight))
    return {group: value / mass if mass > 0 else 0.0 for group, (value, mass) in sums.items()}
