"""C acting for all slots of a world at once.

Shapes: P population, N slots, F features, A action, I and O a layer's inputs and outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from worldmodels.base.types import Floats, Mask
from worldmodels.config import ControllerInputs
from worldmodels.envs.task import Task
from worldmodels.models.controller import layer, layer_sizes
from worldmodels.models.mdn_rnn import RNNSizes
from worldmodels.worlds.rollout import EpisodeJob


class ControllerPolicy:
    """Acts for all slots at once, each slot with the weights of its own candidate.

    Args:
        sizes: of V and M; they and ``inputs``, what C sees, decide the shapes of its weights.
        solutions: float [P, parameters], on the device where C acts; of each layer first the O biases, if the task has them,
            then the weights [O, I].
    """

    def __init__(self, task: Task, sizes: RNNSizes, inputs: ControllerInputs, solutions: Tensor) -> None:
        solutions = solutions.float()
        self._squash = task.squash
        self._layers: list[tuple[Tensor | None, Tensor]] = []  # [P, O] or None, and [P, O, I]
        start = 0
        for size_in, size_out in layer_sizes(sizes, inputs):
            bias = None
            if task.controller_bias:
                bias = solutions[:, start : start + size_out]
                start += size_out
            weight = solutions[:, start : start + size_out * size_in].reshape(-1, size_out, size_in).contiguous()
            start += size_out * size_in
            self._layers.append((bias, weight))
        self._num_candidates = len(solutions)
        self._candidate = torch.zeros(0, dtype=torch.int64, device=solutions.device)

    def begin(self, mask: Mask, jobs: Sequence[EpisodeJob | None]) -> None:
        """Gives the slots of ``mask`` (bool [N]) the weights of their jobs' candidates."""
        if len(self._candidate) != len(mask):
            self._candidate = self._candidate.new_zeros(len(mask))
        slots = [(slot, job.candidate) for slot, job in enumerate(jobs) if job is not None]
        if slots:
            where, whose = torch.tensor(slots, device=self._candidate.device).unbind(1)
            if not 0 <= int(whose.min()) <= int(whose.max()) < self._num_candidates:
                raise ValueError(f"candidates {int(whose.min())} to {int(whose.max())} of {self._num_candidates}")
            self._candidate[where] = whose

    def shrink(self, keep: Mask) -> None:
        """Drops the slots where ``keep`` (bool [N]) is false."""
        self._candidate = self._candidate[torch.from_numpy(keep).to(self._candidate.device)]

    def act(self, obs: Floats | Tensor) -> Floats:
        """Features float32 [N, F] → the environment's actions, float32 [N, A]."""
        x = torch.as_tensor(obs, device=self._candidate.device)
        for bias, weight in self._layers:
            x = layer(x, weight, bias, self._candidate)
        return self._squash(x.cpu().numpy())
