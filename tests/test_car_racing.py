"""The fast CarRacing beside Gymnasium's own: the same game to the last bit, and nearly the same picture.

CAR_RACING_SEEDS and CAR_RACING_STEPS lengthen the comparison: 20 and 1000 are the full form (about two minutes).
"""

import os
import pickle
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.box2d.car_racing import PLAYFIELD, CarRacing
from gymnasium.utils.env_checker import check_env

import worldmodels as _registers  # noqa: F401
from benchmarks.car_racing.comparison import Pair, play_both
from worldmodels.base.errors import UserError
from worldmodels.envs.area_resize import area_resize
from worldmodels.envs.car_racing.env import CarRacingEnv

SEEDS = int(os.environ.get("CAR_RACING_SEEDS", "4"))
STEPS = int(os.environ.get("CAR_RACING_STEPS", "300"))
HELD = np.array([0.1, 0.5, 0], np.float32)


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    return [pair for seed in range(SEEDS) for pair in play_both(seed, STEPS, draw_every=5)]


def test_the_game_equals_the_official_one_bit_for_bit(pairs: list[Pair]) -> None:
    assert [(pair.seed, pair.step) for pair in pairs if not pair.same] == []


def test_the_pictures_are_alike(pairs: list[Pair]) -> None:
    assert np.mean([pair.mean_difference() for pair in pairs]) <= 0.7
    assert np.mean([pair.share_far_off() for pair in pairs]) <= 0.002


def test_the_observation_is_the_rows_averaged_down() -> None:
    env = CarRacingEnv()
    first, _ = env.reset(seed=3)
    kept = first.copy()
    second, *_ = env.step(HELD)
    assert np.array_equal(second, area_resize(env.state_rows(), 64))
    # An observation that was handed out is never drawn over.
    assert np.array_equal(first, kept)
    assert not np.array_equal(first, second)


def test_full_frame_is_the_official_picture() -> None:
    official, ours = CarRacing(), gym.make("worldmodels/CarRacing-v3", full_frame=True)
    theirs, _ = official.reset(seed=5)
    mine, _ = ours.reset(seed=5)
    assert np.array_equal(theirs, mine)
    for _ in range(3):
        theirs, mine = official.step(HELD)[0], ours.step(HELD)[0]
    assert np.array_equal(theirs, mine)
    assert mine in ours.observation_space


def test_gymnasium_accepts_it() -> None:
    env = gym.make("worldmodels/CarRacing-v3")
    assert env.action_space == CarRacing().action_space
    assert env.spec is not None
    assert env.spec.max_episode_steps == 1000
    check_env(env.unwrapped, skip_render_check=True)


def test_it_renders_the_official_picture() -> None:
    """Also after the first second's zoom, in a bend and off the road: what is out of sight is left out, nothing else is."""
    official, ours = CarRacing(render_mode="rgb_array"), CarRacingEnv(render_mode="rgb_array")
    official.reset(seed=1)
    ours.reset(seed=1)
    for step in range(120):
        action = np.array([0.3 if step > 60 else 0.0, 0.6, 0], np.float32)
        official.step(action)
        ours.step(action)
        if step % 20 == 0:
            picture = ours.render()
            assert picture.shape == (400, 600, 3)
            assert np.array_equal(picture, official.render()), step


def test_a_tile_that_was_touched_changes_colour() -> None:
    env = CarRacingEnv()
    env.reset(seed=0)
    before = env.state_rows()
    assert env._packed is not None
    lighter = env._packed.colors.copy()
    assert {tuple(color) for color in lighter} > {(102, 102, 102)}
    for tile in env.road:
        tile.color[:] = env.road_color
    after = env.state_rows()
    assert np.array_equal(env._packed.colors, np.full_like(lighter, 102))
    assert (after.astype(int) <= before).all()
    assert (after != before).any()


def test_beyond_the_playfield_it_is_black() -> None:
    env = CarRacingEnv()
    env.reset(seed=0)
    assert env._packed is not None
    bodies = np.zeros((5, 4))
    bodies[:, 0] = PLAYFIELD  # at the right-hand edge, looking along it
    picture = env._drawing.draw(env._packed, bodies, 16.2, small=False)
    assert (picture[:40, 50:] == 0).all()
    assert (picture[:40, :46, 1] > 150).all()


def test_another_start_on_the_same_track() -> None:
    plain, anywhere = CarRacingEnv(), CarRacingEnv(start_anywhere=True)
    plain.reset(seed=1)
    starts = set()
    for _ in range(3):
        anywhere.reset(seed=1 if not starts else None)
        starts.add(tuple(anywhere.car.hull.position))
        if len(starts) == 1:
            start = plain.track.index(anywhere.track[0])
            assert start > 0
            assert anywhere.track == plain.track[start:] + plain.track[:start]
            assert [tile.idx for tile in anywhere.road].index(0) == start
    assert len(starts) == 3


def test_a_copy_by_pickle_keeps_its_arguments() -> None:
    env = pickle.loads(pickle.dumps(CarRacingEnv(full_frame=True, lap_complete_percent=0.5, start_anywhere=True)))
    assert env.full_frame
    assert env.start_anywhere
    assert env.lap_complete_percent == 0.5


@pytest.mark.parametrize("arguments", [{"render_mode": "human"}, {"lap_complete_percent": 0}, {"lap_complete_percent": 1.5}])
def test_bad_arguments_are_refused_in_one_line(arguments: dict[str, object]) -> None:
    with pytest.raises(UserError) as error:
        CarRacingEnv(**arguments)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_importing_the_package_registers_it_and_loads_nothing_heavy() -> None:
    code = """
import sys, gymnasium, worldmodels
loaded = {"torch", "pygame", "Box2D"} & set(sys.modules)
assert not loaded, loaded
env = gymnasium.make("worldmodels/CarRacing-v3", disable_env_checker=True)
env.reset(seed=0)
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
