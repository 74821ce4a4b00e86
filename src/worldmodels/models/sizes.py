"""The sizes of V and M: those that a task suggests, those of a run, and those that a model's own config.json names."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from worldmodels.base.errors import BadFileError, UserError
from worldmodels.config import LARGEST_HIDDEN, LARGEST_LATENT, MOST_MIXTURES, WIDEST, ControllerInputs, Preset
from worldmodels.envs.task import Task
from worldmodels.models.controller import num_parameters
from worldmodels.models.mdn_rnn import RNNSizes

#: What config.json calls M's heads, and the fields of `RNNSizes` that say whether they are there.
HEADS = {"done": "done_head", "hits": "hits", "reward": "reward_head"}
#: What config.json calls what M's done head does in the dream, and the field of `RNNSizes` for each.
DREAM_ENDS = {"compared": False, "drawn": True}


def own_sizes(task: Task) -> RNNSizes:
    """Returns the sizes of a task's model where a run asks for no others."""
    return RNNSizes(
        task.latent_size,
        task.action_size,
        task.hidden_size,
        task.num_mixtures,
        task.restart_input,
        task.done_head,
        bool(task.hit_damages),
        bool(task.hit_damages),
        task.reward_head,
    )


def own_parameters(task: Task, inputs: ControllerInputs) -> int:
    """Returns how many parameters a C has that sees ``inputs`` of such a model."""
    return num_parameters(own_sizes(task), inputs, task.controller_bias)


def run_sizes(task: Task, preset: Preset) -> RNNSizes:
    """Returns the sizes of a run's model. Runs older than these settings have 0 in their place: the task's own.

    Raises:
        UserError: M is to learn what the task has not.
    """
    own, vae, rnn = own_sizes(task), preset.vae, preset.rnn
    hits = own.hits if rnn.end_target == "own" else rnn.end_target == "hits"
    if hits and not task.hit_damages:
        raise UserError(f"end_target is hits, and {task.name} does not say what a hit costs; use deaths")
    return dataclasses.replace(
        own,
        latent_size=vae.latent_size or own.latent_size,
        hidden_size=rnn.hidden_size or own.hidden_size,
        num_mixtures=rnn.num_mixtures or own.num_mixtures,
        hits=hits,
        drawn=hits if rnn.dream_end == "own" else DREAM_ENDS[rnn.dream_end],
        layer_norm=rnn.layer_norm,
        width=vae.width,
    )


def sizes_to_json(sizes: RNNSizes) -> dict[str, Any]:
    """Returns what a model's config.json says of its sizes."""
    return {
        "latent_size": sizes.latent_size,
        "hidden_size": sizes.hidden_size,
        "num_mixtures": sizes.num_mixtures,
        "restart_input": sizes.restart_input,
        "heads": {name: getattr(sizes, field) for name, field in HEADS.items()},
        "dream_end": "drawn" if sizes.drawn else "compared",
        "layer_norm": sizes.layer_norm,
        # Where it is not named, as in older models, it is the paper's.
        **({"width": sizes.width} if sizes.width != 1 else {}),
    }


def sizes_from_json(config: dict[str, Any], task: Task, file: Path) -> RNNSizes:
    """Returns the sizes that a model's config.json names. Older ones name the latent's and the hidden size alone; all else was
    the task's then.

    Raises:
        BadFileError: what stands there is no size.
        UserError: M does not predict what the task's dream needs.
    """
    own = sizes_to_json(own_sizes(task))
    found = {**own, "latent_size": None, "hidden_size": None} | {name: config[name] for name in own if name in config}
    found["width"] = config.get("width", 1)
    dream_end = found.pop("dream_end")
    largest_of = {"latent_size": LARGEST_LATENT, "width": WIDEST, "hidden_size": LARGEST_HIDDEN, "num_mixtures": MOST_MIXTURES}
    for name, largest in largest_of.items():
        if type(found[name]) is not int or not 1 <= found[name] <= largest:
            raise BadFileError(f"{file}: '{name}' is {found[name]!r}; expected a whole number from 1 to {largest:,}")
    heads = found.pop("heads")
    if not isinstance(heads, dict) or set(heads) != set(HEADS) or not all(type(there) is bool for there in heads.values()):
        raise BadFileError(f"{file}: 'heads' is {heads!r}; expected true or false for each of {', '.join(HEADS)}")
    for name in ("restart_input", "layer_norm"):
        if type(found[name]) is not bool:
            raise BadFileError(f"{file}: '{name}' is {found[name]!r}; expected true or false")
    if dream_end not in DREAM_ENDS:
        raise BadFileError(f"{file}: 'dream_end' is {dream_end!r}; expected one of {', '.join(DREAM_ENDS)}")
    if heads["hits"] and not task.hit_damages:
        raise UserError(f"{file}: its M is not one of {task.name}, whose dream needs an M that predicts no hits")
    there = {HEADS[name]: there for name, there in heads.items()}
    return RNNSizes(action_size=task.action_size, **found, **there, drawn=DREAM_ENDS[dream_end])
