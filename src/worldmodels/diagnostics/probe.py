"""What V's mu, M's h and C's features know of the game's objects, which the game itself tells beside.

A small network is fitted to answer yes/no questions about the objects (`Task.watched_kwargs`) from what V or M makes of a
moment. The share of the answers' entropy that it explains in episodes that it has not seen is what is there to be read. The
bound is a small convolutional network on V's own frames. C is linear: what a linear probe reads of z, c, h is told beside.

Shapes: R moments, F features, Q questions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from worldmodels.agent.agent import Agent
from worldmodels.base.errors import UserError
from worldmodels.base.seeding import derive_seed
from worldmodels.base.types import Floats, Frame
from worldmodels.config import ProbeConfig
from worldmodels.diagnostics.statistics import auc, entropy_explained, summarise
from worldmodels.diagnostics.watched import Moments, watch
from worldmodels.envs.task import Task
from worldmodels.models.precision import autocast, pick_device
from worldmodels.models.vae import VAE
from worldmodels.policies.blind import BlindPolicy, blind_policies
from worldmodels.policies.controller import ControllerPolicy
from worldmodels.runtime.progress import Progress
from worldmodels.worlds.rollout import Policy

#: One episode in so many is held out.
HOLD_OUT_EVERY = 5
#: Frames that V encodes together, and moments that a probe answers together.
TOGETHER = 256
HIDDEN_UNITS, DROPOUT = 256, 0.2
WEIGHT_DECAY = 0.03
#: A feature further from its mean than so many standard deviations counts as that far.
FURTHEST = 10
#: A probe begins with how often each question is answered with yes; what never is counts as this often.
RAREST = 1e-4


@dataclass(frozen=True)
class Fit:
    """How a probe is fitted: AdamW, the learning rate rising to this and falling again."""

    epochs: int
    batch_size: int
    learning_rate: float


#: Of features, of features that mirrored frames add as many to, and of frames. With more epochs a probe learns by heart.
VECTOR_FIT, MIRRORED_FIT, FRAME_FIT = Fit(15, 256, 2e-3), Fit(30, 256, 2e-3), Fit(7, 128, 1.5e-3)


def hidden_layers(num_features: int, num_questions: int) -> nn.Module:
    """Returns a probe of features [R, F]: two hidden layers, logits [R, Q]."""
    first, second = (
        nn.Sequential(nn.Linear(size, HIDDEN_UNITS), nn.ReLU(), nn.Dropout(DROPOUT)) for size in (num_features, HIDDEN_UNITS)
    )
    return nn.Sequential(first, second, nn.Linear(HIDDEN_UNITS, num_questions))


def convolutions(num_questions: int) -> nn.Module:
    """Returns a probe of frames [R, 3, 64, 64]: three convolutions and a hidden layer, logits [R, Q]."""
    layers = nn.Sequential(
        *(nn.Conv2d(3, 32, 4, 2), nn.ReLU(), nn.Conv2d(32, 48, 3, 2, 1), nn.ReLU(), nn.Conv2d(48, 64, 3, 2, 1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(64 * 8 * 8, HIDDEN_UNITS), nn.ReLU(), nn.Dropout(DROPOUT)),
        nn.Linear(HIDDEN_UNITS, num_questions),
    )
    return layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


#: What a probe sees of some moments, int64 [B], and what a mirror shows of them where the flag is set.
Inputs = Callable[[NDArray[np.int64], bool], Tensor]


class Probes:
    """Fits probes to the moments of four fifths of the episodes, and has them answer for the others.

    Args:
        moments: what was seen.
        mirrored: whether frames in a mirror may be learned from as well.
        seed: of weights, order and dropout.
        device: where to fit.
    """

    def __init__(self, moments: Moments, mirrored: bool, seed: int, device: str) -> None:
        self.moments, self._seed, self._device = moments, seed, device
        held_out = moments.episode % HOLD_OUT_EVERY == HOLD_OUT_EVERY - 1
        self.training, self.held_out = np.flatnonzero(~held_out), np.flatnonzero(held_out)
        self.mirrored = mirrored
        self._answers = torch.from_numpy(moments.answers).float().to(device)
        rate = self._answers[torch.from_numpy(self.training)].mean(0)
        self._often = torch.logit(rate, RAREST)
        reverse: list[int] = []
        start = 0
        for size in moments.questions.values():
            reverse += range(start + size - 1, start - 1, -1)
            start += size
        self._in_mirror = self._answers[:, reverse]

    @property
    def num_questions(self) -> int:
        """Q."""
        return len(self._often)

    def of_features(self, features: Floats, in_mirror: Floats | None = None, linear: bool = False) -> NDArray[np.float64]:
        """Returns the logits of the held-out moments, float64 [R', Q], read from features float32 [R, F].

        Args:
            in_mirror: the features of the mirrored frames, where they are learned from as well.
            linear: the probe has no hidden layers.
        """
        mean, std = features[self.training].mean(0), features[self.training].std(0)
        known, mirrored = (
            torch.from_numpy(np.clip((part - mean) / (std + 1e-3), -FURTHEST, FURTHEST)).to(self._device)
            for part in (features, features[:0] if in_mirror is None else in_mirror)
        )
        make, fit = nn.Linear if linear else hidden_layers, VECTOR_FIT if in_mirror is None else MIRRORED_FIT

        def seen(rows: NDArray[np.int64], mirror: bool) -> Tensor:
            return (mirrored if mirror else known)[rows]

        return self._fitted(lambda: make(features.shape[1], self.num_questions), seen, fit, in_mirror is not None)

    def of_frames(self) -> NDArray[np.float64]:
        """Returns the logits of the held-out moments, float64 [R', Q], read from V's frames: the bound."""
        frames = self.moments.frames

        def seen(rows: NDArray[np.int64], mirror: bool) -> Tensor:
            found = torch.from_numpy(frames[rows]).to(self._device)
            found = (found.flip(2) if mirror else found).permute(0, 3, 1, 2)  # channels last in memory, as they are
            return found.float().div_(255).sub_(0.4).mul_(4)

        return self._fitted(lambda: convolutions(self.num_questions), seen, FRAME_FIT, self.mirrored)

    def _fitted(self, make: Callable[[], nn.Module], inputs: Inputs, fit: Fit, mirrored: bool) -> NDArray[np.float64]:
        rng = np.random.default_rng(self._seed)
        with torch.random.fork_rng():
            torch.manual_seed(self._seed)
            net = make().to(self._device)
            last = [layer for layer in net.modules() if isinstance(layer, nn.Linear)][-1]
            with torch.no_grad():
                last.bias.copy_(self._often)
            optimizer = torch.optim.AdamW(net.parameters(), fit.learning_rate, weight_decay=WEIGHT_DECAY)
            size = min(fit.batch_size, len(self.training))
            num_batches = len(self.training) // size
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimizer, fit.learning_rate, fit.epochs * num_batches, pct_start=0.15
            )
            for _ in range(fit.epochs):
                for batch in np.array_split(rng.permutation(self.training), num_batches):
                    mirror = mirrored and rng.random() < 0.5
                    with autocast(self._device):
                        logits = net(inputs(batch, mirror))
                    wanted = (self._in_mirror if mirror else self._answers)[batch]
                    loss = F.binary_cross_entropy_with_logits(logits.float(), wanted)
                    optimizer.zero_grad()
                    loss.backward()  # type: ignore[no-untyped-call]
                    optimizer.step()
                    schedule.step()
            net.eval()
            parts = np.array_split(self.held_out, -(-len(self.held_out) // TOGETHER))
            with torch.no_grad(), autocast(self._device):
                found = torch.cat([net(inputs(part, False)).float() for part in parts])
        return found.double().cpu().numpy()


def encoded(vae: VAE, frames: Frame) -> Floats:
    """Returns V's mu of frames uint8 [R, 64, 64, 3], float32 [R, Z]."""
    parts = np.array_split(frames, -(-len(frames) // TOGETHER))
    return torch.cat([vae.encode_frames(torch.from_numpy(part.copy()), many=True)[0] for part in parts]).numpy()


def of_vae(probes: Probes, vae: VAE) -> NDArray[np.float64]:
    """Returns the logits of the held-out moments, float64 [R', Q], read from V's mu."""
    frames = probes.moments.frames
    return probes.of_features(encoded(vae, frames), encoded(vae, frames[:, :, ::-1]) if probes.mirrored else None)


def scored(probes: Probes, logits: dict[str, NDArray[np.float64]]) -> list[dict[str, Any]]:
    """Returns a row of JSON values for each row of questions: how many they are, the share of a yes among the held-out answers,
    and for each probe the share of entropy explained and the mean AUC."""
    rows, start, truth = [], 0, probes.moments.answers[probes.held_out]
    for name, size in probes.moments.questions.items():
        own = slice(start, start + size)
        aucs = {
            probe: [
                found for column in range(start, start + size) if (found := auc(said[:, column], truth[:, column])) is not None
            ]
            for probe, said in logits.items()
        }
        rows.append(
            {
                "question": name,
                "questions": size,
                "yes": float(truth[:, own].mean()),
                "explained": {probe: entropy_explained(said[:, own], truth[:, own]) for probe, said in logits.items()},
                "auc": {probe: float(np.mean(found)) if found else None for probe, found in aucs.items()},
            }
        )
        start += size
    return rows


def check_watched(task: Task) -> None:
    """Raises `UserError` for a task whose environment does not tell where its objects are."""
    if not task.watched_kwargs:
        raise UserError(f"{task.name}: its environment does not say where its objects are, so that nothing can be probed")


def measure(config: ProbeConfig, agent: Agent, player: Agent | None) -> dict[str, Any]:
    """Plays, looks, fits the probes, and returns the result as JSON values.

    Args:
        agent: whose V, M and features are measured, as far as they are there.
        player: who plays, of the same task; None: the agent itself, or held random actions where it has no C.

    Raises:
        UserError: the task has no such objects, or the player is one of another task.
    """
    task = agent.task
    check_watched(task)
    plays = player or agent
    if plays.task.name != task.name:
        raise UserError(f"player is an agent of {plays.task.name}; it must be one of {task.name}")
    policy: Policy
    if plays.solution is None:
        random = blind_policies(task, next(iter(task.presets.values())).collect.random)["held random"]
        policy = BlindPolicy(random, task.action_size)
    else:
        policy = ControllerPolicy(task, plays.world_model.sizes, plays.inputs, plays.solution[None])
    moments = watch(config, task, plays.world_model, plays.inputs, policy)
    device = pick_device(config.device)
    probes = Probes(moments, bool(task.mirrored_action), derive_seed(config.seed, "probe"), device)
    known, hidden_size = moments.features, agent.world_model.sizes.hidden_size
    fits: dict[str, Callable[[], NDArray[np.float64]]] = {"mu": lambda: of_vae(probes, agent.vae)}
    if player is None and agent.can_dream:
        fits["h"] = lambda: probes.of_features(known[:, -hidden_size:])
        fits["z, c, h"] = lambda: probes.of_features(known)
        fits["linear"] = lambda: probes.of_features(known, linear=True)
    fits["CNN"] = probes.of_frames
    progress = Progress("fit", len(fits), "probes")
    logits: dict[str, NDArray[np.float64]] = {}
    for name, fitted in fits.items():
        logits[name] = fitted()
        progress.update(len(logits))
    progress.finish(f"{len(moments.episode):,} moments")
    return {
        "task": task.name,
        "player": "another agent" if player else "the agent" if agent.solution is not None else "the random policy",
        "returns": summarise(moments.lengths.astype(np.float64)),
        "moments": len(moments.episode),
        "held_out_moments": len(probes.held_out),
        "rows": scored(probes, logits),
    }
