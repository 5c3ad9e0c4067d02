"""Random numbers that are a function of what they are for (design decision 9)."""

import hashlib

import numpy as np


def derive_seed(seed: int, *purpose: int | str) -> int:
    """A 63-bit seed from the run's seed and a purpose such as `("reward", step, shard)`."""
    text = "\x1f".join([str(seed), *(f"{'str' if isinstance(part, str) else 'int'}:{part}" for part in purpose)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: int | str) -> np.random.Generator:
    """A generator of its own for every (seed, purpose): same arguments, same numbers, on every machine."""
    return np.random.Generator(np.random.Philox(key=derive_seed(seed, *purpose)))
