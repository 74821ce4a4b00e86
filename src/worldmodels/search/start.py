"""Where the search of C begins, and along what: written once into ``controller/``, and read from there ever after.

controller/
  start.safetensors       with from_model: the controller that the search begins at
  ppo.jsonl               with ppo_iterations: a row an iteration: hits (or reward, ends) a step, KL, what the critic explained
  ppo-I.safetensors       the controller after iteration I, at each quarter of the way
  ppo_state.safetensors   what is needed to go on
  components.safetensors  with num_components: the coordinates that CMA-ES searches in
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.agent.agent import Agent
from worldmodels.agent.load import load
from worldmodels.base.errors import BadFileError, UserError
from worldmodels.base.logs import MetricsLog
from worldmodels.base.tensors import load_metadata, load_tensors, save_tensors
from worldmodels.config import ControllerConfig, ESConfig
from worldmodels.data.latents import LatentStore
from worldmodels.envs.registry import get_task
from worldmodels.models.controller import num_parameters, sees_all, widened
from worldmodels.models.precision import pick_device
from worldmodels.models.sizes import run_sizes
from worldmodels.models.world_model import WorldModel
from worldmodels.runs.layout import BEST, COMPONENTS, PPO_LOG, PPO_STATE, START
from worldmodels.runs.run import Run
from worldmodels.runtime import interrupt
from worldmodels.runtime.progress import Progress
from worldmodels.search import dream_ppo as ppo
from worldmodels.search.cma_es import CMAES, MOST_COORDINATES
from worldmodels.search.components import principal_components, recorded_features
from worldmodels.search.openes import OpenES
from worldmodels.search.pepg import PEPG
from worldmodels.search.ses import SES
from worldmodels.search.simple_ga import SimpleGA
from worldmodels.search.strategy import Solution, Strategy
from worldmodels.training.beginning import differing
from worldmodels.training.optim import DenseAdam
from worldmodels.worlds.dream_rules import rules_of

#: The optimisers beside CMA-ES.
STRATEGIES: dict[str, Callable[[Solution, float, int, int, ESConfig], Strategy]] = {
    "openes": OpenES,
    "pepg": PEPG,
    "ses": SES,
    "simple-ga": SimpleGA,
}
#: Iterations between two checkpoints: what a kill can lose.
CHECKPOINT_ITERATIONS = 10


def prepare(config: ControllerConfig, run: Run, world_model: WorldModel, store: LatentStore | None) -> None:
    """Writes where the search begins and its coordinates, once: from then on they are the run's, whatever another processor
    would make of them. A killed preparation goes on at its last checkpoint.

    Args:
        store: the run's latents; None for a row of a table, whose V and M are another run's.
    """
    _check_size(config, run)
    path = run.stage_path("controller") / START
    if config.from_model and not path.exists():
        save_tensors(path, {"solution": _carried(config, run)})
    if config.ppo_iterations and not _ppo_path(run, config.ppo_iterations).exists():
        _improve(config, run, world_model, store)
    path = run.stage_path("controller") / COMPONENTS
    if config.num_components and not path.exists():
        assert store is not None  # a table's rows have no components
        seen = recorded_features(world_model, config.inputs, store, run.seed)
        basis = principal_components(world_model, config.inputs, seen, config.num_components)
        save_tensors(path, {"basis": torch.from_numpy(basis)})


def _check_size(config: ControllerConfig, run: Run) -> None:
    """Raises `UserError` where CMA-ES would need more memory than a machine should give it."""
    task = get_task(run.task)
    size = num_parameters(run_sizes(task, run.preset), config.inputs, task.controller_bias)
    if config.optimizer == "cma" and config.num_generations and not config.num_components and size > MOST_COORDINATES:
        raise UserError(
            f"C on {config.inputs} has {size:,} weights, and cma keeps a number for each pair of them: at most "
            f"{MOST_COORDINATES:,}; use --optimizer openes, or PPO alone with --num-generations 0"
        )


def model_to_begin_with(config: ControllerConfig, run: Run) -> Agent | None:
    """Returns the model whose C a search begins with; None where it begins at zeros or at the previous run's.

    Raises:
        UserError: there is no such model or it is not finished, or the run goes on from another.
        BadFileError: a part of it is damaged.
    """
    if not config.from_model:
        return None
    if run.previous is not None:
        raise UserError(
            f"{run.path}: goes on from {run.previous.path}, with whose C it begins; leave out --from, or begin a run without "
            f"--previous"
        )
    return load(config.from_model)


def _carried(config: ControllerConfig, run: Run) -> Tensor:
    """Returns the C of another model, float32 [parameters]; where this one sees more than that, the weights of the rest are 0.

    Raises:
        UserError: it does not fit; what differs is named.
    """
    agent = model_to_begin_with(config, run)
    assert agent is not None
    task = get_task(run.task)
    own, theirs = run_sizes(task, run.preset), agent.world_model.sizes
    pairs = {name: (getattr(own, name), getattr(theirs, name)) for name in ("latent_size", "hidden_size", "action_size")}
    pairs |= {"bias": (task.controller_bias, agent.task.controller_bias)}
    if not sees_all(config.inputs, agent.inputs):
        pairs |= {"inputs": (config.inputs, agent.inputs)}
    if differ := differing(pairs):
        mend = f"use --inputs {agent.inputs}, or " if set(differ) == {"inputs"} else ""
        raise UserError(
            f"C cannot begin with that of {config.from_model}: {', '.join(differ.values())}; {mend}leave out --from"
        )
    return widened(agent.needed_solution().float(), own, task.controller_bias, config.inputs, agent.inputs)


def kept_iterations(config: ControllerConfig) -> list[int]:
    """Returns the iterations after which the controller is kept by itself: a quarter, half, three quarters, all of the way."""
    return sorted({max(1, config.ppo_iterations * quarter // 4) for quarter in range(1, 5)}) if config.ppo_iterations else []


def _improve(config: ControllerConfig, run: Run, world_model: WorldModel, store: LatentStore | None) -> None:
    """Improves C in the dream, from the previous run's or from zeros, to the last iteration."""
    folder = run.stage_path("controller")
    seed, last = run.derive_seed("controller/ppo"), config.ppo_iterations
    dreamer = world_model.on(pick_device(config.device))
    data = run.preset.collect
    if store is not None:
        starts = ppo.recorded_starts(config.ppo, dreamer, store, data.num_episodes, seed)
    else:
        starts = ppo.dreamt_starts(config.ppo, dreamer, config.temperature, data.random, seed)
    solution = torch.from_numpy(start_after(config, run, 0)).float().to(starts.z.device)
    rules = rules_of(config)
    hits_count = ppo.hits_count(dreamer, rules)
    net = ppo.begin(config.ppo, starts, config.inputs, solution, seed, dreamer.spec, hits_count)
    adam = DenseAdam(net, config.ppo.learning_rate)
    done = _restore(folder / PPO_STATE, config, net, adam) if (folder / PPO_STATE).exists() else 0
    search = ppo.DreamPPO(config.ppo, dreamer, config.inputs, config.temperature, starts, last, seed, rules)
    log = MetricsLog(folder / PPO_LOG, "iteration", done)
    progress = Progress("train-controller, PPO", last, "iterations", done)
    with interrupt.deferred():
        while done < last and not interrupt.requested():
            found = search.improve(net, adam, done)
            done += 1
            if not net.is_finite():
                raise UserError(
                    f"train-controller: C is not finite after iteration {done} of PPO; look at the losses of M in "
                    f"{run.stage_path('rnn') / 'metrics.jsonl'}"
                )
            log.write(iteration=done, **found)
            progress.update(done, ", ".join(f"{found[name]:.5f} {name} a step" for name in ppo.CAME if name in found))
            if done in kept_iterations(config):
                save_tensors(_ppo_path(run, done), {"solution": net.solution()})
            if done % CHECKPOINT_ITERATIONS == 0 or interrupt.requested():
                save_tensors(folder / PPO_STATE, net.state_dict() | adam.moments(), {"iteration": str(done)})
    progress.finish(f"{last:,} iterations", run.stage_path("controller"))


def _restore(path: Path, config: ControllerConfig, net: ppo.ActorCritic, adam: DenseAdam) -> int:
    """Fills C, the critic and Adam's moments from a checkpoint; returns its iteration. Raises `BadFileError`."""
    state = load_tensors(path)
    try:
        done = int(load_metadata(path)["iteration"])
        net.load_state_dict({name: state[name] for name in net.state_dict()})
        adam.restore(state, done * ppo.steps_per_iteration(config.ppo))
    except (KeyError, ValueError, RuntimeError) as error:
        raise BadFileError(f"{path}: not the state of such a search ({error}); remove {path.parent} and begin again") from error
    return done


def begin_search(config: ControllerConfig, run: Run) -> Strategy:
    """Returns the search before its first generation: around where PPO has led, the previous run's controller, or zeros."""
    start = start_after(config, run, config.ppo_iterations)
    basis = None
    if config.num_components:
        path = run.stage_path("controller") / COMPONENTS
        basis = _read(path, "basis")
        if basis is None or basis.ndim != 2 or len(basis) != len(start):
            raise BadFileError(f"{path}: not a basis of {len(start):,} parameters; remove {path.parent} and begin again")
    if config.optimizer == "cma":
        return CMAES(start, config.sigma, config.population_size, run.seed, basis, config.cma_weight_decay)
    return STRATEGIES[config.optimizer](start, config.sigma, config.population_size, run.seed, config.es)


def _ppo_path(run: Run, iteration: int) -> Path:
    return run.stage_path("controller") / f"ppo-{iteration}.safetensors"


def start_after(config: ControllerConfig, run: Run, iteration: int) -> NDArray[np.float64]:
    """Returns the controller after an iteration of PPO, one of `kept_iterations`, float64 [parameters]; after none, the
    model's that it begins with, the previous run's or zeros."""
    task = get_task(run.task)
    size = num_parameters(run_sizes(task, run.preset), config.inputs, task.controller_bias)
    if iteration:
        path = _ppo_path(run, iteration)
        found = _read(path, "solution")
        if found is None or found.shape != (size,):
            raise BadFileError(f"{path}: not a controller of {size:,} parameters; remove {path.parent} and begin again")
        return found
    if config.from_model:
        path = run.stage_path("controller") / START
    elif run.previous is None:
        return np.zeros(size)
    else:
        path = run.previous.stage_path("controller") / BEST
    found = _read(path, "solution")
    if found is None or found.shape != (size,):
        raise UserError(f"{path}: not a controller of {size:,} parameters ({config.inputs}); keep its --inputs")
    return found


def _read(path: Path, name: str) -> NDArray[np.float64] | None:
    found = load_tensors(path).get(name)
    return None if found is None else found.double().numpy()
