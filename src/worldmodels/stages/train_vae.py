"""Trains V on the collected frames: ``vae/``."""

from __future__ import annotations

import dataclasses

import torch

from worldmodels.base.files import sha256_of
from worldmodels.config import VAEConfig
from worldmodels.data.run_data import open_episodes, split_run
from worldmodels.envs.registry import get_task
from worldmodels.models.precision import pick_device
from worldmodels.models.sizes import run_sizes
from worldmodels.models.vae import VAE
from worldmodels.runs.layout import WEIGHTS
from worldmodels.runs.run import Run
from worldmodels.training.beginning import beginning
from worldmodels.training.loop import train
from worldmodels.training.vae import VAETrainee


def run(config: VAEConfig, run: Run) -> None:
    """Trains V into ``run``'s ``vae/``, from random weights, the previous run's or another model's."""
    device = pick_device(config.device)
    collected = run.require("collect")["outputs"]
    before = beginning(run, "vae", config)
    inputs = collected | (before.inputs if before else {})
    if not run.begin("vae", config, inputs):
        return
    folder = run.stage_path("vae")
    torch.manual_seed(run.derive_seed("vae/weights"))
    sizes = run_sizes(get_task(run.task), dataclasses.replace(run.preset, vae=config))
    model = VAE(sizes.latent_size, sizes.width).to(device)
    if before is not None:
        before.give("vae", model, sizes)
    store = open_episodes(run)
    split = split_run(run, len(store.lengths), config.held_out_fraction)
    trainee = VAETrainee(model, store, split, config, run.seed)
    train(run, "vae", config, trainee)
    run.finish("vae", {"vae": sha256_of(folder / WEIGHTS)})
