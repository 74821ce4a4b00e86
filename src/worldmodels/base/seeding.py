"""The seed of every draw: a pure function of (seed, stage, index)."""

from __future__ import annotations

import hashlib

#: Seeds below this number are for evaluation; everything that trains draws seeds from it upwards.
FIRST_TRAINING_SEED = 2**30


def derive_seed(seed: int, stage: str, *index: int) -> int:
    """Returns the seed of one draw: a pure function of (run's seed, stage, index).

    The result lies in [2^30, 2^31): a valid seed for every library here, and never one of the held-out seeds.
    """
    text = "/".join([str(seed), stage, *map(str, index)])
    number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
    return FIRST_TRAINING_SEED + number % FIRST_TRAINING_SEED
