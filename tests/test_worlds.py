"""One contract for all worlds: the real environments, the same behind V and M, and the dream."""

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from worldmodels.envs.registry import get_task
from worldmodels.models.controller import feature_size
from worldmodels.models.sizes import own_sizes
from worldmodels.worlds.dream_env import DreamEnv
from worldmodels.worlds.latent_env import LatentEnv
from worldmodels.worlds.pixel_envs import PixelEnvs

WORLDS = ["toy pixels", "toy latent", "toy dream", "doom pixels", "doom latent", "doom dream"]


def make(name, num_slots, models):
    task, kind = name.split()
    model = models[task]
    if kind == "dream":
        return DreamEnv(model, "zh", num_slots, 1.0)
    pixels = PixelEnvs([model.spec.make_env() for _ in range(num_slots)], 2)
    return pixels if kind == "pixels" else LatentEnv(pixels, model, "zh")


@pytest.fixture(scope="module")
def models(toy_world_model, doom_world_model):
    return {"toy": toy_world_model, "doom": doom_world_model}


@pytest.fixture(scope="module", params=WORLDS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def world(name, models):
    """A world of three slots; every test begins with a reset of its own."""
    world = make(name, 3, models)
    yield world
    world.close()


def actions_of(step, slots=(0, 1, 2)):
    """What slot i does at a step, whichever slots are left."""
    return np.array([[np.sin(step + slot)] for slot in slots], np.float32)


def check_shapes(world, obs, num_slots):
    assert world.num_envs == num_slots
    assert world.observation_space.shape == (num_slots, *world.single_observation_space.shape)
    assert world.action_space.shape == (num_slots, *world.single_action_space.shape)
    assert obs.shape == world.observation_space.shape
    assert obs.dtype == world.single_observation_space.dtype
    assert obs in world.observation_space


def test_spaces_types_and_shapes(world, name):
    assert world.metadata["autoreset_mode"] == AutoresetMode.DISABLED
    spec = get_task("toy" if name.startswith("toy") else "take-cover")
    pixels = name.endswith("pixels")
    assert world.single_observation_space.shape == ((64, 64, 3) if pixels else (feature_size(own_sizes(spec), "zh"),))
    assert world.single_action_space.shape == (spec.action_size,)
    obs, info = world.reset(seed=[1, 2, 3])
    check_shapes(world, obs, 3)
    assert info == {}
    obs, rewards, terminated, truncated, info = world.step(actions_of(0))
    check_shapes(world, obs, 3)
    assert rewards.shape == terminated.shape == truncated.shape == (3,)
    assert (rewards.dtype, terminated.dtype, truncated.dtype) == (np.float64, np.bool_, np.bool_)
    assert (rewards == 1).all()
    if pixels:
        assert info["damage"].tolist() == [0, 0, 0]


def test_a_mask_resets_its_slots_only(world):
    fresh, _ = world.reset(seed=[1, 2, 3])
    for t in range(3):
        before = world.step(actions_of(t))[0]
    mask = np.array([False, True, False])
    options = {"reset_mask": mask}
    after, _ = world.reset(seed=[None, 2, None], options=options)
    assert options == {"reset_mask": mask}
    assert options["reset_mask"] is mask
    np.testing.assert_array_equal(after[[0, 2]], before[[0, 2]])
    np.testing.assert_array_equal(after[1], fresh[1])
    if world.single_observation_space.dtype == np.float32:  # the game's first screens are all alike
        assert not np.array_equal(before[1], fresh[1])


def play(world, seeds, num_steps):
    obs = [world.reset(seed=seeds)[0]]
    for t in range(num_steps):
        obs.append(world.step(actions_of(t))[0])
    return np.stack(obs)


def test_same_seeds_same_trajectories(world):
    first = play(world, [5, 6, 5], 6)
    np.testing.assert_array_equal(play(world, [5, 6, 5], 6), first)
    other = play(world, [8, 6, 9], 6)
    np.testing.assert_allclose(other[:, 1], first[:, 1], rtol=1e-5, atol=1e-5)
    if world.single_observation_space.dtype == np.float32:
        assert not np.array_equal(first[:, 0], first[:, 1])
        assert not np.array_equal(other[:, 0], first[:, 0])


def test_one_seed_is_counted_up(world):
    first, _ = world.reset(seed=7)
    second, _ = world.reset(seed=[7, 8, 9])
    np.testing.assert_array_equal(first, second)


def test_shrink_keeps_the_right_slots(name, models):
    world = make(name, 3, models)
    whole = play(world, [1, 2, 3], 6)
    play(world, [1, 2, 3], 3)
    world.shrink(np.array([True, False, True]))
    for t in range(3, 6):
        obs = world.step(actions_of(t, (0, 2)))[0]
        check_shapes(world, obs, 2)
        np.testing.assert_allclose(obs, whole[t + 1][[0, 2]], rtol=1e-5, atol=1e-5)
    world.shrink(np.array([False, True]))
    check_shapes(world, world.reset(seed=[4])[0], 1)
    world.close()


def test_a_neighbours_reset_does_not_disturb(world):
    """What a slot sees after others were reset is what it would have seen had they not been."""
    whole = play(world, [1, 2, 3], 5)
    play(world, [1, 2, 3], 2)
    world.reset(seed=[None, 9, None], options={"reset_mask": np.array([False, True, False])})
    for t in range(2, 5):
        obs = world.step(actions_of(t))[0]
        np.testing.assert_allclose(obs[[0, 2]], whole[t + 1][[0, 2]], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"seed": [1, 2]}, ValueError),
        ({"options": {"reset_mask": np.ones(2, np.bool_)}}, ValueError),
        ({"options": {"reset_mask": np.ones((3, 1), np.bool_)}}, ValueError),
        ({"options": {"reset_mask": [True, True, True]}}, TypeError),
        ({"options": {"reset_mask": np.ones(3, np.int64)}}, TypeError),
    ],
)
def test_a_wrong_request_is_refused(toy_world_model, request_, error):
    for kind in ("pixels", "latent", "dream"):
        world = make(f"toy {kind}", 3, {"toy": toy_world_model})
        with pytest.raises(error, match=r"seeds|reset_mask"):
            world.reset(**request_)
        world.close()


def test_without_seeds_episodes_differ(world, name):
    if name == "doom pixels":
        pytest.skip("the game's first screens are all alike")
    world.np_random = np.random.default_rng(0)  # of a few first frames, chance gives two alike now and then
    obs, _ = world.reset()
    again, _ = world.reset()
    assert not np.array_equal(obs, again)
    assert not np.array_equal(obs[0], obs[1])


def test_only_slots_that_begin_draw_seeds(world):
    """In every world alike: one that begins without a seed gets the same, whatever plays on beside it."""
    for mask in ([True, True, True], [False, False, True]):
        world.np_random = np.random.default_rng(3)
        begun, seeds = world.reset_request(None, {"reset_mask": np.array(mask)})
        expected = iter(np.random.default_rng(3).integers(2**31, size=3).tolist())
        assert seeds == [next(expected) if begins else None for begins in mask]
        assert begun.tolist() == mask
        world.reset(options={"reset_mask": np.array(mask)})
        ahead = np.random.default_rng(3)
        ahead.integers(2**31, size=2 * sum(mask))
        assert world.np_random.integers(2**31) == ahead.integers(2**31)


def test_mu_is_seen_without_the_noise_that_z_is_drawn_with(toy_world_model):
    spec = toy_world_model.spec
    pixels = PixelEnvs([spec.make_env() for _ in range(2)])
    world = LatentEnv(pixels, toy_world_model, "muh")
    world.reset(seed=[1, 2])
    obs, *_ = world.step(actions_of(0, (0, 1)))
    mu, _ = toy_world_model.vae.encode_frames(torch.from_numpy(world.frames))
    np.testing.assert_array_equal(obs[:, : spec.latent_size], mu.numpy())
    assert not np.array_equal(obs[:, : spec.latent_size], world.z.numpy())
    world.shrink(np.array([False, True]))
    np.testing.assert_array_equal(world.features(), obs[1:])
    world.close()
