"""Atari's Pong and Boxing as tasks, by ``ale-py`` with the games in its wheel (the extra ``atari``).
Importing this module registers them where that is installed.

They are ALE's own environments of version 5 as they are: 4 frames a step, with sticky actions (an action is ignored with a
chance of 1/4), the game's score as reward, the whole game as an episode, cut after ``max_episode_steps``.
"""

from __future__ import annotations

import dataclasses
from importlib.util import find_spec

from worldmodels.base.extras import how_to_install
from worldmodels.config import DreamPPOConfig, Preset, RandomPolicyConfig
from worldmodels.envs import plugins, presets
from worldmodels.envs.registry import register
from worldmodels.envs.task import DataSettings, PlaySettings, Task


def _improved(scale: Preset, ppo: DreamPPOConfig, ppo_iterations: int, num_episodes: int) -> Preset:
    """Returns a usual scale in which C learns in the dream, and whose random actions are held for a moment."""
    collect = dataclasses.replace(
        scale.collect, num_episodes=num_episodes, random=RandomPolicyConfig(max_hold_steps=8), max_short_steps=0
    )
    controller = dataclasses.replace(
        scale.controller,
        world="dream",
        score_world="real",
        num_generations=0,
        num_components=0,
        ppo_iterations=ppo_iterations,
        ppo=ppo,
    )
    # A ball is a pixel or two: see take-cover.
    return dataclasses.replace(
        scale, collect=collect, vae=dataclasses.replace(scale.vae, quartic_weight=25.0, kl_tolerance=2.0), controller=controller
    )


_SMALL = DreamPPOConfig(block_slots=128, num_choices=32, hold_steps=2, num_components=128, batch_size=2048)
_PRESETS = {
    "smoke": _improved(presets.SMOKE, _SMALL, 10, 12),
    "laptop": _improved(presets.LAPTOP, DreamPPOConfig(block_slots=256, hold_steps=2, num_components=256), 60, 200),
}


def _options(num: int, **keys: int) -> dict[str, tuple[float, ...]]:
    """Returns what keys choose among ``num`` options, one-hot."""
    return {key: tuple(float(index == option) for index in range(num)) for key, option in keys.items()}


#: What the options are, in ALE's order.
_PONG = ("nothing", "fire", "up", "down", "up, fire", "down, fire")
_ALL = (
    *("nothing", "punch", "up", "right", "left", "down", "up right", "up left", "down right", "down left"),
    *(f"{way}, punch" for way in ("up", "right", "left", "down", "up right", "up left", "down right", "down left")),
)
#: The task's name, its game, its limit of steps, what the options are, and what the keys choose; the first action is none.
_GAMES = (
    ("pong", "Pong", "return the ball; a point is 1, the first of 21 wins", 4_000, _PONG, {"up": 2, "down": 3, "space": 1}),
    (
        "boxing",
        "Boxing",
        "hit and do not be hit for two minutes; a hit is 1 or 2 points",
        1_800,
        _ALL,
        {"space": 1, "up": 2, "right": 3, "left": 4, "down": 5},
    ),
)

if find_spec("ale_py") is None:
    plugins.absent([name for name, *_ in _GAMES], f"ale-py is not installed; {how_to_install('atari')}")
else:
    for _name, _game, _what, _steps, _names, _keys in _GAMES:
        register(
            Task(
                name=_name,
                summary=f"Atari's {_game}: {_what}",
                env_id=f"ale_py:ALE/{_game}-v5",
                max_episode_steps=_steps,
                restart_input=True,
                # An episode's end is the score's, which no picture says well.
                done_head=False,
                latent_size=64,
                data=DataSettings(fixed_actions=_options(len(_names), nothing=0)),
                play=PlaySettings(keys=_options(len(_names), **_keys), names=_names, render_fps=15),
                presets=_PRESETS,
            )
        )
