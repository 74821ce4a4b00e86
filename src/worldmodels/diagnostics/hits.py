"""How many of the hits that came M had seen coming, along recorded episodes.

A dream can be no truer than this: a hit that M does not see coming strikes in it by chance, wherever such hits have struck, and
C learns to be elsewhere, not to dodge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from worldmodels.data.latents import LatentStore
from worldmodels.diagnostics.statistics import entropy_explained
from worldmodels.models.world_model import WorldModel
from worldmodels.worlds.recorded import recorded_states

#: M need not know the very step: its chances are added up over so many steps before a hit and after it.
WINDOW_STEPS = 6
#: From which sum on a hit was seen coming.
FORESEEN = 0.5


@dataclass(frozen=True)
class Foresight:
    """What M made of the hits.

    Attributes:
        num_steps: steps looked at.
        num_hits: steps with a hit.
        expected_hits: the sum of M's chances; that of an M which is right on average is ``num_hits``.
        hit_recall: the share of hits around which M's chances, over `WINDOW_STEPS` steps to either side, add up to `FORESEEN`
            or more; None where there was no hit, or nothing else.
        entropy_explained: the share of the entropy of hits that M explains: 0 is knowing no more than how many there are, 1
            knowing each one's step; None where ``hit_recall`` is.
    """

    num_steps: int
    num_hits: int
    expected_hits: float
    hit_recall: float | None
    entropy_explained: float | None


@torch.no_grad()
def hits_foreseen(world_model: WorldModel, store: LatentStore, episodes: NDArray[np.int64], seed: int) -> Foresight:
    """Has M follow recorded episodes of a task with hits, and compares its chance of a hit with what came.

    Args:
        episodes: their numbers, int64 [E]; best those that M was not trained on.
        seed: of the draws of z.
    """
    rows: list[NDArray[np.int64]] = []
    logits: list[NDArray[np.float64]] = []
    for recorded in recorded_states(world_model, store, episodes, seed):
        rows.append(recorded.rows)
        logits.append(world_model.rnn.done_logit(recorded.after.hidden).cpu().double().numpy())
    row = np.concatenate(rows)
    in_order = np.argsort(row)  # episode by episode, step by step
    logit, hit = np.concatenate(logits)[in_order], store.damage[row[in_order]] > 0
    chance = 1 / (1 + np.exp(-logit))
    ends = np.cumsum(store.lengths[np.sort(episodes)])[:-1]
    window = np.ones(2 * WINDOW_STEPS + 1)
    around = np.concatenate([np.convolve(part, window)[WINDOW_STEPS:-WINDOW_STEPS] for part in np.split(chance, ends)])
    num_hits = int(hit.sum())
    hit_recall = float((around[hit] >= FORESEEN).mean()) if 0 < num_hits < len(hit) else None
    return Foresight(len(hit), num_hits, float(chance.sum()), hit_recall, entropy_explained(logit, hit))
