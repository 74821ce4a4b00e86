"""How fast V and M learn, and how fast V encodes: through the stages' own code, with weights that were never trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.stages import bounds, original
from benchmarks.stages.plan import SCALE, Bench
from benchmarks.stages.timing import Row, Work, rate_beside
from worldmodels.data.episodes import EpisodeStore
from worldmodels.data.latents import ARRAYS, MIRRORED, LatentStore
from worldmodels.data.sampling import split_episodes
from worldmodels.envs.task import Task
from worldmodels.models.mdn_rnn import MDNRNN
from worldmodels.models.precision import compute_dtype, device_of
from worldmodels.models.sizes import own_sizes
from worldmodels.models.vae import VAE
from worldmodels.stages.encode import SPAN_FRAMES, encode_into
from worldmodels.training.loop import Trainee
from worldmodels.training.optim import DenseAdam
from worldmodels.training.rnn import RNNTrainee
from worldmodels.training.vae import VAETrainee

#: How the names of rows end whose work has two processes beside it that only compute; their baseline is the same alone.
BUSY = ", busy machine"


def _gradient_steps(trainee: Trainee, units: int, max_grad_value: float | None) -> Work:
    """Returns the work of one gradient step as `training.train` does it, reading the data included, less checkpoints, logs and
    validation."""
    optimizer = DenseAdam(trainee.model, 1e-4, compute_dtype(device_of(trainee.model)))
    generator = torch.Generator().manual_seed(0)
    steps = count()

    def work() -> float:
        optimizer.step(trainee.slices(next(steps), generator), 1e-4, max_grad_value)
        return float(units)

    return work


def _plain_gradient_steps(model: nn.Module, loss: Callable[[], Tensor], units: int, max_grad_value: float | None) -> Work:
    """Returns the work of one gradient step as one writes it first."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)

    def work() -> float:
        optimizer.zero_grad()
        loss().backward()  # type: ignore[no-untyped-call]
        if max_grad_value is not None:
            nn.utils.clip_grad_value_(model.parameters(), max_grad_value)
        optimizer.step()
        return float(units)

    return work


def _rows(row: Row, batch: str, work: Work, bench: Bench) -> list[Row]:
    """Returns a row of training, and that of the same beside two processes that only compute."""
    note = f"{batch}; two processes that only compute beside it; baseline: without them"
    busy = Row(row.task, row.name + BUSY, rate_beside(2, work, bench.seconds), row.unit, note, row.value)
    return [row, busy]


def measure_vae_training(bench: Bench) -> list[Row]:
    """Frames/s through V's gradient step, at the paper's batch size and at the measured scale's, if that is another."""
    paper, here = bench.spec.preset("paper").vae.batch_size, bench.preset.vae.batch_size
    rows = _vae_training(bench, "V training", paper)
    if here != paper:
        rows += _vae_training(bench, f"V training, batch {here}", here)
    return rows


def _vae_training(bench: Bench, name: str, batch_size: int) -> list[Row]:
    """Frames/s on collected frames; a batch is a slice of what the sampler holds in memory."""
    config, device = dataclasses.replace(bench.preset.vae, batch_size=batch_size), bench.device
    vae = VAE(bench.spec.latent_size).to(device)
    store = EpisodeStore(bench.folder / "run" / "episodes")
    split = split_episodes(len(store.lengths), config.held_out_fraction, 0)
    trainee = VAETrainee(vae, store, split, config, 0)
    work = _gradient_steps(trainee, batch_size, None)

    plain = original.PlainVAE(bench.spec.latent_size).to(device)
    x = (torch.from_numpy(store.frames(0, 100)).float() / 255).permute(0, 3, 1, 2).contiguous().to(device)
    other = _plain_gradient_steps(plain, lambda: plain.loss(x), len(x), None)
    operations = bounds.TRAINING * bounds.vae_operations(VAE(bench.spec.latent_size))
    value, baseline, bound = bench.measure(work, other, operations=operations)
    note = f"batch {batch_size}; baseline: float32, default memory format, batch 100, data in memory"
    row = Row(bench.spec.name, name, value, "frames/s", note, baseline, bound)
    return _rows(row, f"batch {batch_size}", work, bench)


def measure_encoding(bench: Bench) -> Row:
    """Frames/s from the disk to latents in memory."""
    device, batch_size = bench.device, bench.preset.encode.batch_size
    vae = VAE(bench.spec.latent_size).to(device).eval()
    store = EpisodeStore(bench.folder / "run" / "episodes")
    span = min(SPAN_FRAMES, store.num_frames)
    latents = np.zeros((2, span, bench.spec.latent_size), np.float16)
    start = 0

    def work() -> float:
        nonlocal start
        if start + span > store.num_frames:
            start = 0
        encode_into(vae, store, start, batch_size, latents[0], latents[1])
        start += span
        return float(span)

    plain = original.PlainVAE(bench.spec.latent_size).to(device)
    frames = store.frames(0, 32)

    @torch.no_grad()
    def one_by_one() -> float:
        for frame in frames:
            plain.encode((torch.from_numpy(frame.astype(np.float32)) / 255).permute(2, 0, 1)[None].to(device))
        return float(len(frames))

    value, baseline, bound = bench.measure(work, one_by_one, operations=bounds.encoder_operations(VAE(bench.spec.latent_size)))
    return Row(
        bench.spec.name,
        "encoding",
        value,
        "frames/s",
        f"batch {batch_size}, from disk; baseline: float32, frame by frame, from memory",
        baseline,
        bound,
    )


def _write_latents(folder: Path, spec: Task) -> LatentStore:
    """Writes made-up latents of many short episodes, enough for any batch: speed does not depend on what they say.

    Where episodes are padded to whole windows, they are as long as two of them: padding would count as work.
    """
    rng = np.random.default_rng(0)
    window = spec.preset(SCALE).rnn.sequence_length
    lengths = rng.integers(20, 140, 2000) if spec.restart_input else np.full(500, 2 * window)
    steps = int(lengths.sum())
    values: dict[str, Any] = {
        "mu": rng.standard_normal((steps, spec.latent_size), np.float32),
        "logvar": np.full((steps, spec.latent_size), -1.0),
        "action": rng.uniform(-1, 1, (steps, spec.action_size)),
        "reward": np.ones(steps),
        "terminated": np.isin(np.arange(steps), np.cumsum(lengths) - 1),
        "damage": np.zeros(steps),
        "lengths": lengths,
    }
    kinds = {**ARRAYS}
    if spec.preset(SCALE).encode.mirror_episodes:
        kinds |= MIRRORED
        values |= {"mirrored_mu": -values["mu"], "mirrored_logvar": values["logvar"]}
    folder.mkdir()
    for name, kind in kinds.items():
        np.save(folder / f"{name}.npy", values[name].astype(kind))
    return LatentStore(folder)


def measure_rnn_training(bench: Bench) -> list[Row]:
    """Time steps/s through M's gradient step, reading included."""
    config, device, spec = bench.preset.rnn, bench.device, bench.spec
    rnn = MDNRNN(own_sizes(spec)).to(device)
    latents = _write_latents(bench.folder / "latents", spec)
    split = split_episodes(latents.num_episodes, config.held_out_fraction, 0)
    trainee = RNNTrainee(rnn, latents, split, config, 0, spec.mirrored_action)
    units = trainee.steps_per_batch
    work = _gradient_steps(trainee, units, config.max_grad_value)

    plain = original.PlainRNN(spec).to(device)
    shape = (config.batch_size, config.sequence_length)
    inputs = torch.randn(*shape, plain.lstm.input_size, device=device)
    next_z = torch.randn(*shape, spec.latent_size, device=device)
    done = torch.zeros(shape, device=device)
    naive = _plain_gradient_steps(plain, lambda: plain.loss(inputs, next_z, done), units, config.max_grad_value)
    value, baseline, bound = bench.measure(work, naive, operations=bounds.TRAINING * bounds.rnn_operations(rnn))
    batch = f"batch {shape[0]} of {shape[1]}"
    note = f"{batch}; baseline: float32, nn.LSTM and torch.distributions, data in memory"
    return _rows(Row(spec.name, "M training", value, "time steps/s", note, baseline, bound), batch, work, bench)
