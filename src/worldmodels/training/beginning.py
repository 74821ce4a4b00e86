"""What V and M begin with where it is not random: the weights of the run before, or of another model (``--from``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from torch import nn

from worldmodels.agent.load import load
from worldmodels.agent.target import is_model, target_path
from worldmodels.base.errors import UserError
from worldmodels.base.tensors import load_module
from worldmodels.config import GradientConfig
from worldmodels.envs.registry import get_task
from worldmodels.models.mdn_rnn import MDNRNN, RNNSizes
from worldmodels.models.sizes import run_sizes
from worldmodels.models.vae import VAE
from worldmodels.models.vae_file import load_vae
from worldmodels.runs.layout import CONFIG, WEIGHTS
from worldmodels.runs.run import Run

#: What errors call what a stage trains.
NAMES = {"vae": "V", "rnn": "M"}
#: The sizes that a stage's weights depend on.
SIZES = {
    "vae": ("latent_size", "width"),
    "rnn": (
        "latent_size", "action_size", "hidden_size", "num_mixtures", "restart_input", "done_head", "reward_head",
        "layer_norm", "hits", "drawn",
    ),
}  # fmt: skip
#: Those that a setting decides, and by which flag; the others are the task's.
FLAGS = {
    "latent_size": "--latent-size {}",
    "width": "--width {}",
    "hidden_size": "--hidden-size {}",
    "num_mixtures": "--num-mixtures {}",
}
#: The flags of those that are true or false.
SWITCHES = {
    "layer_norm": {False: "--no-layer-norm", True: "--layer-norm"},
    "hits": {False: "--end-target deaths", True: "--end-target hits"},
    "drawn": {False: "--dream-end compared", True: "--dream-end drawn"},
}


@dataclass(frozen=True)
class Beginning:
    """Weights that a stage begins with."""

    read: Callable[[], tuple[nn.Module, RNNSizes]]
    """Reads the model that has them; raises what `load_module` does."""
    inputs: dict[str, str]
    """Their hashes by name, for the stage's inputs."""
    owner: str
    """Whose they are, as errors say it."""
    otherwise: str
    """How to do without them."""

    def give(self, stage: str, model: nn.Module, sizes: RNNSizes) -> None:
        """Gives them to a model of these sizes.

        Raises:
            UserError: naming every size in which it differs from theirs.
            BadFileError: a file of theirs is damaged.
        """
        found, theirs = self.read()
        if facts := differences(stage, sizes, theirs):
            flags = [_flag(stage, name, getattr(theirs, name)) for name in facts]
            mend = f"use {' '.join(filter(None, flags))}, or {self.otherwise}" if all(flags) else self.otherwise
            raise UserError(f"{NAMES[stage]} cannot begin with that of {self.owner}: {', '.join(facts.values())}; {mend}")
        model.load_state_dict(found.state_dict())


def differences(stage: str, sizes: RNNSizes, theirs: RNNSizes) -> dict[str, str]:
    """Returns in which sizes a stage's model differs from another, in words, by their names."""
    return differing({name: (getattr(sizes, name), getattr(theirs, name)) for name in SIZES[stage]})


def differing(pairs: Mapping[str, tuple[object, object]]) -> dict[str, str]:
    """Returns in words, by their names, which pairs of what is here and what is there are not the same."""
    return {
        name: f"{name} is {_said(here)} here and {_said(there)} there" for name, (here, there) in pairs.items() if here != there
    }


def _said(size: object) -> str:
    return str(size).lower()


def _flag(stage: str, name: str, size: int | bool) -> str | None:
    """Returns the flag that makes a size what it is there; None if nothing that is still to be decided does."""
    if name in SWITCHES:
        return SWITCHES[name][bool(size)]
    if name == "latent_size" and stage == "rnn":
        return None
    return FLAGS[name].format(size) if name in FLAGS else None


def beginning(run: Run, stage: str, config: GradientConfig) -> Beginning | None:
    """Returns what a stage, ``vae`` or ``rnn``, begins with; None: random weights.

    Raises:
        UserError: there is no such model, or its training is not finished; both a previous run and another model are named; or
            nothing is, and nothing is to be trained.
        BadFileError: a part of it is damaged.
    """
    target = config.from_model
    if run.previous is not None and target:
        raise UserError(
            f"{run.path}: goes on from {run.previous.path}, with whose {NAMES[stage]} it begins; leave out --from, or begin a "
            f"run without --previous"
        )
    if run.previous is not None:
        owner, otherwise = f"{run.previous.path}, which this run goes on from", "begin a run without --previous"
        return Beginning(partial(_of_run, run.previous, stage), run.inherited(stage), owner, otherwise)
    if target:
        read, digest = _of_target(target, stage)
        return Beginning(read, {f"from/{stage}": digest}, target, "leave out --from")
    if not config.num_steps:
        raise UserError(f"num_steps is 0, and {NAMES[stage]} would keep random weights; name whose it has with --from MODEL")
    return None


def _of_target(target: str, stage: str) -> tuple[Callable[[], tuple[nn.Module, RNNSizes]], str]:
    """Returns what reads the V or M of what `worldmodels.load` takes, and the hash of its file; a run that is still being made
    must have finished it."""
    path = target_path(target)
    if (path / CONFIG).exists() and not is_model(path):
        run = Run.open(path)
        return partial(_of_run, run, stage), run.require(stage)["outputs"][stage]
    agent = load(target)
    found = agent.world_model.vae if stage == "vae" else agent.world_model.rnn
    return lambda: (found, agent.world_model.sizes), agent.sha256[stage]


def _of_run(run: Run, stage: str) -> tuple[nn.Module, RNNSizes]:
    """Reads the V or M of a run's finished stage, compared to the run's own record."""
    path = run.stage_path(stage) / WEIGHTS
    sizes = run_sizes(get_task(run.task), run.preset)
    if stage == "vae":
        vae = VAE(sizes.latent_size, sizes.width)
        load_vae(path, vae)
        model: nn.Module = vae
    else:
        model = MDNRNN(sizes)
        load_module(path, model)
    run.require_part(stage, stage, path)
    return model, sizes
