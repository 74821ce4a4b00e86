"""C, the linear controller: action = tanh(W · features + b) (paper, section 2.3).

Shapes: P population, N slots, F features, A action.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from worldmodels.envs.spec import EnvSpec, Floats
from worldmodels.rollout import EpisodeJob
from worldmodels.worlds import Mask


def num_parameters(spec: EnvSpec) -> int:
    """Returns the length of a solution: 1,088 for TakeCover (no bias, as in the original), 867 for CarRacing."""
    return spec.action_size * (spec.feature_size + int(spec.controller_bias))


def features(z: Tensor, hidden: Tensor, cell: Tensor, inputs: str) -> Tensor:
    """Joins what C sees: ``"zh"`` → [N, Z + H], ``"zch"`` → [N, Z + 2H], in that order."""
    parts = {"z": z, "h": hidden, "c": cell}
    return torch.cat([parts[name] for name in inputs], 1)


class ControllerPolicy:
    """Acts for all slots at once, each slot with the weights of its own candidate.

    Args:
        solutions: float [P, parameters]; a solution's first A values are the biases, if the task has them.
    """

    def __init__(self, spec: EnvSpec, solutions: Tensor) -> None:
        solutions = solutions.float()
        biases = spec.action_size if spec.controller_bias else 0
        self._bias = solutions[:, :biases] if biases else None  # [P, A]
        self._weight = solutions[:, biases:].reshape(len(solutions), spec.action_size, -1)  # [P, A, F]
        self._slot_weight: Tensor | None = None
        self._candidate = torch.zeros(0, dtype=torch.int64)

    def begin(self, mask: Mask, jobs: Sequence[EpisodeJob | None]) -> None:
        """Gives the slots of ``mask`` (bool [N]) the weights of their jobs' candidates."""
        if len(self._candidate) != len(mask):
            self._candidate = torch.zeros(len(mask), dtype=torch.int64)
        for slot, job in enumerate(jobs):
            if job is not None:
                self._candidate[slot] = job.candidate
        self._gather()

    def shrink(self, keep: Mask) -> None:
        """Drops the slots where ``keep`` (bool [N]) is false."""
        self._candidate = self._candidate[torch.from_numpy(keep)]
        self._gather()

    def _gather(self) -> None:
        self._slot_weight = self._weight[self._candidate] if len(self._weight) > 1 else None  # [N, A, F]

    def act(self, obs: Floats) -> Floats:
        """Features float32 [N, F] → actions float32 [N, A] in [-1, 1]."""
        x = torch.from_numpy(obs)
        # One candidate in all slots is a matrix product; several are a row of weights a slot.
        weight = self._slot_weight
        out = x @ self._weight[0].T if weight is None else (x[:, None] * weight).sum(2)
        if self._bias is not None:
            out = out + self._bias[self._candidate]
        return torch.tanh(out).numpy()
