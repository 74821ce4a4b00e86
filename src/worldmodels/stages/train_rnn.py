"""Trains M on the latents: ``rnn/``."""

from __future__ import annotations

import dataclasses

import torch

from worldmodels.base.errors import UserError
from worldmodels.base.files import sha256_of
from worldmodels.config import RNNConfig
from worldmodels.data.run_data import open_latents, split_run
from worldmodels.envs.registry import get_task
from worldmodels.models.mdn_rnn import MDNRNN
from worldmodels.models.precision import pick_device
from worldmodels.models.sizes import run_sizes
from worldmodels.runs.layout import WEIGHTS
from worldmodels.runs.run import Run
from worldmodels.training.beginning import beginning
from worldmodels.training.loop import train
from worldmodels.training.rnn import RNNTrainee


def run(config: RNNConfig, run: Run) -> None:
    """Trains M into ``run``'s ``rnn/``, from random weights, the previous run's or another model's."""
    device = pick_device(config.device)
    encoded = run.require("encode")["outputs"]
    before = beginning(run, "rnn", config)
    inputs = encoded | (before.inputs if before else {})
    if not run.begin("rnn", config, inputs):
        return
    torch.manual_seed(run.derive_seed("rnn/weights"))
    spec = get_task(run.task)
    sizes = run_sizes(spec, dataclasses.replace(run.preset, rnn=config))
    model = MDNRNN(sizes).to(device)
    if before is not None:
        before.give("rnn", model, sizes)
    store = open_latents(run)
    if store.lengths.max() < 2:
        raise UserError(f"{run.stage_path('encode')}: every episode has a single step; M needs some of at least 2")
    split = split_run(run, store.num_episodes, config.held_out_fraction)
    trainee = RNNTrainee(model, store, split, config, run.seed, spec.mirrored_action)
    train(run, "rnn", config, trainee, config.max_grad_value)
    run.finish("rnn", {"rnn": sha256_of(run.stage_path("rnn") / WEIGHTS)})
