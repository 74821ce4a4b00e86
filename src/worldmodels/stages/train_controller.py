"""Finds C: ``controller/``, and then ``model/``, the three parts together.

controller/
  history.jsonl     one row a generation: time, mean, min, max, std, sigma, steps, and every candidate's fitness
  scores.jsonl      one row a scoring of the search's mean
  best.safetensors  the mean that scored best
  (and what `search_start` leaves)
"""

from __future__ import annotations

from worldmodels.agent.run_parts import load_world_model
from worldmodels.config import ControllerConfig
from worldmodels.data.run_data import open_latents
from worldmodels.models.precision import pick_device
from worldmodels.runs.layout import STARTED
from worldmodels.runs.run import Run
from worldmodels.search.dream_ppo import check_ppo
from worldmodels.search.evolve import evolve
from worldmodels.search.start import model_to_begin_with


def run(config: ControllerConfig, run: Run) -> None:
    """Evolves C in ``config.world`` and writes ``controller/`` and ``model/``."""
    pick_device(config.device)
    if not (run.stage_path("controller") / STARTED).exists():
        config.es.check_read(config.optimizer)
    if config.ppo_iterations:
        check_ppo(config)
    made_from = ("vae", "encode", "rnn")
    inputs = {name: digest for stage in made_from for name, digest in run.require(stage)["outputs"].items()}
    inputs |= run.inherited("controller")
    if (before := model_to_begin_with(config, run)) is not None:
        inputs["from/controller"] = before.sha256["controller"]
    if run.begin("controller", config, inputs):
        store = open_latents(run)
        evolve(config, run, load_world_model(run, store), store)
