"""The tasks. Importing this package tells Gymnasium their environments' names; each is imported when one is made.

``worldmodels/TakeCover-v1``, ``worldmodels/CarRacing-v3`` and the like are the real games, ``…Latent…`` the same as C sees
them, and ``…Dream-v0`` M's dreams of them. ``worldmodels/CarRacing-Colour-v0`` and the like are Gymnasium's own CarRacing with
another look, ``worldmodels/TakeCover-Walls-v0`` and the like TakeCover with one.
"""

import gymnasium as gym
from gymnasium.envs.registration import WrapperSpec

gym.register("worldmodels/TakeCover-v1", entry_point="worldmodels.envs.take_cover.env:TakeCoverEnv")
gym.register(
    "worldmodels/CarRacing-v3",
    entry_point="worldmodels.envs.car_racing.env:CarRacingEnv",
    max_episode_steps=1000,
    reward_threshold=900,
)
for _look in ("Colour", "Colour3", "Bars", "Blob", "Noise"):
    _wrapper = WrapperSpec(
        "VariedCarRacing", "worldmodels.envs.car_racing.variants:VariedCarRacing", {"variant": _look.lower()}
    )
    gym.register(
        f"worldmodels/CarRacing-{_look}-v0",
        entry_point="gymnasium.envs.box2d:CarRacing",
        max_episode_steps=1000,
        reward_threshold=900,
        additional_wrappers=(_wrapper,),
    )
for _look in ("Walls", "Floor", "Text"):
    _entry = "worldmodels.envs.take_cover.env:TakeCoverEnv"
    gym.register(f"worldmodels/TakeCover-{_look}-v0", entry_point=_entry, kwargs={"variant": _look.lower()})
for _name in ("HealthGathering", "HealthGatheringSupreme"):
    gym.register(f"worldmodels/{_name}-v0", entry_point=f"worldmodels.envs.health_gathering.env:{_name}Env")
for _name, _version, _task in (("TakeCover", 1, "take-cover"), ("CarRacing", 3, "car-racing")):
    _latent = "worldmodels.agent.gym_envs:SingleLatentEnv"
    gym.register(f"worldmodels/{_name}Latent-v{_version}", entry_point=_latent, kwargs={"task": _task})
    gym.register(
        f"worldmodels/{_name}Dream-v0", entry_point="worldmodels.agent.gym_envs:SingleDreamEnv", kwargs={"task": _task}
    )
