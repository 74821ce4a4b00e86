"""Where the search of C begins, and along what: written once into ``controller/``, and read from there ever after.

controller/
  lookahead-R.safetensors  with lookahead_rounds: the controller that round R has led to
  components.safetensors   with num_components: the coordinates that CMA-ES searches in
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from worldmodels.checkpoint import load_tensors, save_tensors
from worldmodels.config import ControllerConfig
from worldmodels.envs.spec import get_task
from worldmodels.errors import BadFileError, UserError
from worldmodels.evolution.cma_es import CMAES
from worldmodels.evolution.components import principal_components, recorded_features
from worldmodels.evolution.lookahead import Lookahead, check_lookahead, look_ahead_round
from worldmodels.models.controller import num_parameters
from worldmodels.models.precision import pick_device
from worldmodels.models.world_model import WorldModel
from worldmodels.run import Run
from worldmodels.stages.encode import open_latents

BEST = "best.safetensors"
COMPONENTS = "components.safetensors"


def prepare(config: ControllerConfig, run: Run, world_model: WorldModel) -> None:
    """Writes where the search begins and its coordinates, once: from then on they are the run's, whatever another processor
    would make of them. A killed preparation goes on with the round of looking ahead that it was in."""
    if config.lookahead_rounds:
        _look_ahead(config, run, world_model)
    path = run.stage_path("controller") / COMPONENTS
    if config.num_components and not path.exists():
        seen = recorded_features(world_model, config.inputs, open_latents(run), run.seed)
        basis = principal_components(world_model.spec, config.inputs, seen, config.num_components)
        save_tensors(path, {"basis": torch.from_numpy(basis)})


def _look_ahead(config: ControllerConfig, run: Run, world_model: WorldModel) -> None:
    check_lookahead(world_model.spec, config.inputs, config.lookahead_rounds)
    device = pick_device(config.device)
    dreamer, store = world_model.on(device), open_latents(run)
    for index in range(config.lookahead_rounds):
        path = _round(run, index + 1)
        if path.exists():
            continue
        solution = torch.from_numpy(start_after(config, run, index)).float().to(device)
        look = Lookahead(dreamer, config.inputs, solution, config.temperature, store, run.preset.collect.num_episodes)
        seed = run.derive_seed("controller/lookahead", index)
        found = look_ahead_round(look, config.lookahead_states, seed, f"{index + 1}/{config.lookahead_rounds}")
        save_tensors(path, {"solution": found})


def begin_search(config: ControllerConfig, run: Run) -> CMAES:
    """Returns the search before its first generation: around where looking ahead has led, the previous run's controller, or
    zeros."""
    start = start_after(config, run, config.lookahead_rounds)
    basis = None
    if config.num_components:
        path = run.stage_path("controller") / COMPONENTS
        basis = _read(path, "basis")
        if basis is None or basis.ndim != 2 or len(basis) != len(start):
            raise BadFileError(f"{path}: not a basis of {len(start):,} parameters; remove {path.parent} and begin again")
    return CMAES(start, config.sigma, config.population_size, run.seed, basis)


def _round(run: Run, number: int) -> Path:
    return run.stage_path("controller") / f"lookahead-{number}.safetensors"


def start_after(config: ControllerConfig, run: Run, num_rounds: int) -> NDArray[np.float64]:
    """Returns the controller after some rounds of looking ahead, float64 [parameters]; after none, the previous run's or
    zeros."""
    size = num_parameters(get_task(run.task), config.inputs)
    if num_rounds:
        path = _round(run, num_rounds)
        found = _read(path, "solution")
        if found is None or found.shape != (size,):
            raise BadFileError(f"{path}: not a controller of {size:,} parameters; remove {path.parent} and begin again")
        return found
    if run.previous is None:
        return np.zeros(size)
    path = run.previous.stage_path("controller") / BEST
    found = _read(path, "solution")
    if found is None or found.shape != (size,):
        raise UserError(f"{path}: not a controller of {size:,} parameters ({config.inputs}); keep its --inputs")
    return found


def _read(path: Path, name: str) -> NDArray[np.float64] | None:
    found = load_tensors(path).get(name)
    return None if found is None else found.double().numpy()
