"""V, M and the dream's beginnings from the stages of a run, compared to the run's own records."""

from __future__ import annotations

import numpy as np

from worldmodels.base.errors import UserError
from worldmodels.base.tensors import load_module
from worldmodels.data.latents import LatentStore
from worldmodels.envs.registry import get_task
from worldmodels.models.mdn_rnn import MDNRNN
from worldmodels.models.sizes import run_sizes
from worldmodels.models.vae import VAE
from worldmodels.models.vae_file import load_vae
from worldmodels.models.world_model import InitialLatents, WorldModel, load_initial_latents
from worldmodels.runs.layout import INITIAL_LATENTS, WEIGHTS
from worldmodels.runs.run import Run


def load_world_model(run: Run, store: LatentStore) -> WorldModel:
    """Reads V, M and the initial latents of a run whose latents are opened."""
    spec = get_task(run.task).seeing(run.preset.collect.frames)
    sizes = run_sizes(spec, run.preset)
    vae, rnn = VAE(sizes.latent_size, sizes.width), MDNRNN(sizes)
    load_vae(run.stage_path("vae") / WEIGHTS, vae)
    run.require_part("vae", "vae", run.stage_path("vae") / WEIGHTS)
    load_module(run.stage_path("rnn") / WEIGHTS, rnn)
    run.require_part("rnn", "rnn", run.stage_path("rnn") / WEIGHTS)
    initial = open_initial_latents(run, store)
    return WorldModel(spec, vae.eval(), rnn.eval(), initial)


def open_initial_latents(run: Run, store: LatentStore) -> InitialLatents:
    """Opens where dreams begin, compared to the run's opened latents. Raises `BadFileError` or `UserError`."""
    path = run.stage_path("encode") / INITIAL_LATENTS
    initial = load_initial_latents(path, run_sizes(get_task(run.task), run.preset).latent_size)
    first = store.offsets[:-1]
    for name, found, made in (("mu", initial.mu, store.mu), ("logvar", initial.logvar, store.logvar)):
        if not np.array_equal(found.numpy(), made[first].astype(np.float32)):
            raise UserError(f"{path}: '{name}' is not that of the episodes' first frames: it is damaged or another run's")
    return initial
