"""The settings of all stages together, and whose they are: a scale's and a recipe's."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Self, get_type_hints

from worldmodels.base.errors import UserError, nearest
from worldmodels.config.collect import CollectConfig
from worldmodels.config.controller import ControllerConfig
from worldmodels.config.encode import EncodeConfig
from worldmodels.config.evaluate import EvaluateConfig
from worldmodels.config.rnn import RNNConfig
from worldmodels.config.setting import Config
from worldmodels.config.vae import VAEConfig

#: The recipe where nobody asks for another.
BEST_RECIPE = "best"


def of_recipe(recipe: str) -> str:
    """Returns what the name of a folder ends in: nothing for the usual recipe."""
    return "" if recipe == BEST_RECIPE else f"-{recipe}"


@dataclass(frozen=True)
class Preset(Config):
    """One scale of a task: the settings of every stage."""

    collect: CollectConfig
    vae: VAEConfig
    encode: EncodeConfig
    rnn: RNNConfig
    controller: ControllerConfig
    evaluate: EvaluateConfig

    def with_sizes(self, latent_size: int, width: int, hidden_size: int, num_mixtures: int) -> Self:
        """Returns the same settings for a V and an M of these sizes."""
        rnn = dataclasses.replace(self.rnn, hidden_size=hidden_size, num_mixtures=num_mixtures)
        return dataclasses.replace(self, vae=dataclasses.replace(self.vae, latent_size=latent_size, width=width), rnn=rnn)

    def on(self, **place: str) -> Self:
        """Returns the same settings elsewhere: ``device``, ``backend``, ``address``, ``log``, in every stage that has them.

        Raises:
            UserError: they do not go together.
        """

        def placed(config: Any) -> Any:
            own = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
            groups = {name: placed(value) for name, value in own.items() if isinstance(value, Config)}
            return dataclasses.replace(config, **groups, **{name: place[name] for name in own if name in place})

        preset: Self = placed(self)
        preset.validate()
        return preset

    @classmethod
    def from_dict(cls, data: Any, where: str) -> Self:
        """Builds all stages' settings; every stage must be there. Raises `UserError`."""
        if not isinstance(data, dict):
            raise UserError(f"{where}: expected a table of stages, found {type(data).__name__}")
        hints = get_type_hints(cls)
        kinds = {f.name: hints[f.name] for f in dataclasses.fields(cls)}
        for key in data:
            if key not in kinds:
                raise UserError(f"{where}: unknown stage '{key}'{nearest(str(key), kinds)}")
        for key in kinds:
            if key not in data:
                raise UserError(f"{where}: the stage '{key}' is missing")
        return cls(**{key: kind.from_dict(data[key], f"{where}: {key}") for key, kind in kinds.items()})

    def to_dict(self) -> dict[str, Any]:
        """Returns all stages' settings as JSON-ready values."""
        return {f.name: getattr(self, f.name).to_dict() for f in dataclasses.fields(self)}
