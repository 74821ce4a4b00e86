"""What a run is asked to do: one frozen dataclass per stage, each checked before any work starts.

The docstring under a field is its help text on the command line; `Bounds` say where a number must lie, here and in that help.
Fields marked ``RUNTIME`` change how fast a stage runs and never what it writes, so they stay out of its fingerprint.

A stage's settings may be grouped (`RandomPolicyConfig`, `PlaceConfig`, `DreamPPOConfig`). The groups are for the code: in
files, in fingerprints and on the command line a stage has one flat table of settings.
"""

from worldmodels.config.augment import AugmentConfig
from worldmodels.config.collect import OWN_FRAMES, CollectConfig, RandomPolicyConfig
from worldmodels.config.controller import ControllerConfig, ControllerInputs, Optimizer, Seeks
from worldmodels.config.dream_ppo import DreamPPOConfig
from worldmodels.config.encode import EncodeConfig
from worldmodels.config.evaluate import EvaluateConfig
from worldmodels.config.gradient import GradientConfig
from worldmodels.config.iterate import ROUNDS, STOP_AFTER, Explore, RoundsWorld, check_rounds
from worldmodels.config.measure import FidelityConfig, ProbeConfig
from worldmodels.config.preset import BEST_RECIPE, Preset, of_recipe
from worldmodels.config.reading import ReadConfig
from worldmodels.config.rnn import LARGEST_HIDDEN, MOST_MIXTURES, RNNConfig
from worldmodels.config.setting import Bounds, Config, bounds_of
from worldmodels.config.shared import (
    DROPOUTS,
    SEEDS,
    SHARES,
    TEMPERATURES,
    Backend,
    Device,
    LogKind,
    PlaceConfig,
    World,
    check_seed,
)
from worldmodels.config.strategies import ESConfig
from worldmodels.config.uncertainty import UncertaintyConfig
from worldmodels.config.vae import LARGEST_LATENT, WIDEST, VAEConfig
from worldmodels.config.watch import PlayConfig, Player, VideoConfig, WatchConfig

__all__ = [
    "BEST_RECIPE",
    "DROPOUTS",
    "LARGEST_HIDDEN",
    "LARGEST_LATENT",
    "MOST_MIXTURES",
    "OWN_FRAMES",
    "ROUNDS",
    "SEEDS",
    "SHARES",
    "STOP_AFTER",
    "TEMPERATURES",
    "WIDEST",
    "AugmentConfig",
    "Backend",
    "Bounds",
    "CollectConfig",
    "Config",
    "ControllerConfig",
    "ControllerInputs",
    "Device",
    "DreamPPOConfig",
    "ESConfig",
    "EncodeConfig",
    "EvaluateConfig",
    "Explore",
    "FidelityConfig",
    "GradientConfig",
    "LogKind",
    "Optimizer",
    "PlaceConfig",
    "PlayConfig",
    "Player",
    "Preset",
    "ProbeConfig",
    "RNNConfig",
    "RandomPolicyConfig",
    "ReadConfig",
    "RoundsWorld",
    "Seeks",
    "UncertaintyConfig",
    "VAEConfig",
    "VideoConfig",
    "WatchConfig",
    "World",
    "bounds_of",
    "check_rounds",
    "check_seed",
    "of_recipe",
]
