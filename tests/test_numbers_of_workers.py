"""However many workers play and however many slots dream: the same bytes, also when the number changes on the way.

A matrix product of very few rows adds up in another order (`MIN_ROWS` of `precision.py`), so V and M never have so few; that is
what makes a dream, and an episode in the real environment, the same bits at any width.
"""

import json
import os
import shutil

import numpy as np
import pytest
import torch
from conftest import random_world_model
from kill_loop import result_of

from worldmodels.cli import main
from worldmodels.data.episodes import Episode, EpisodeStore, write_shard
from worldmodels.envs.registry import get_task
from worldmodels.models.sizes import own_parameters, own_sizes
from worldmodels.models.vae import VAE
from worldmodels.policies.controller import ControllerPolicy
from worldmodels.runtime.workers import available_cores
from worldmodels.stages.encode import encode_into
from worldmodels.worlds.dream_env import DreamEnv
from worldmodels.worlds.rollout import EpisodeJob


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to cores")
def test_only_the_cores_that_we_may_use_are_counted():
    """A share of a cluster's node must not start a worker for every core of the node."""
    ours = os.sched_getaffinity(0)
    assert available_cores() == len(ours)
    os.sched_setaffinity(0, {min(ours)})
    try:
        assert available_cores() == 1
    finally:
        os.sched_setaffinity(0, ours)


def test_a_collection_that_goes_on_with_other_workers(toy_run, toy_copy):
    for name in ("vae", "latents", "rnn", "controller", "model", "evaluation"):
        shutil.rmtree(toy_copy / name)
    shutil.rmtree(toy_copy / "episodes" / "shard-00001")
    (toy_copy / "episodes" / "DONE").unlink()
    assert main(["collect", "--run", str(toy_copy), "--num-workers", "1"]) == 0
    shutil.rmtree(toy_copy / "episodes")
    assert main(["collect", "--run", str(toy_copy), "--num-workers", "5"]) == 0
    found, expected = result_of(toy_copy), result_of(toy_run)
    assert {name: expected[name] for name in found} == found
    assert "episodes/shard-00002/frames.bin" in found


@pytest.mark.parametrize(("world", "flag"), [("real", "--num-workers"), ("dream", "--num-slots")])
def test_an_evaluation(toy_run, tmp_path, world, flag):
    results = []
    for number in (1, 2, 5):
        file = tmp_path / f"{number}.json"
        asked = ["--world", world, "--episodes", "9", flag, str(number), "--json", str(file)]
        assert main(["evaluate", str(toy_run), *asked]) == 0
        results.append(json.loads(file.read_text()))
    assert len({episode["return"] for episode in results[0]["episodes"]}) > 1
    assert results[0] == results[1] == results[2]


def test_an_evolution_that_goes_on_with_other_slots(toy_run, toy_copy):
    """Two generations with 8 slots, the third with 3, the last one with 1."""
    controller = toy_copy / "controller"
    for keep, slots in ((2, 3), (3, 1)):
        (controller / "DONE").unlink()
        for log in ("history.jsonl", "scores.jsonl"):
            rows = (controller / log).read_text().splitlines()
            kept = [row for row in rows if json.loads(row)["generation"] <= keep]
            (controller / log).write_text("".join(f"{row}\n" for row in kept))
        assert main(["train-controller", "--run", str(toy_copy), "--num-slots", str(slots)]) == 0
    assert result_of(toy_copy) == result_of(toy_run)


@pytest.mark.parametrize("task", ["toy", "take-cover", "car-racing"])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_dream_is_the_same_bits_at_any_width(task, precision):
    model = random_world_model(get_task(task))

    def dream(num_slots):
        world = DreamEnv(model, "zh", num_slots, 1.15, precision)
        seen = [world.reset(seed=[7 + slot % 3 for slot in range(num_slots)])[0][0]]
        for step in range(10):
            actions = np.full((num_slots, model.spec.action_size), np.sin(step), np.float32)
            seen.append(world.step(actions)[0][0])
        return np.stack(seen)

    wide = dream(64)
    for num_slots in (1, 2, 3, 5, 17):
        np.testing.assert_array_equal(dream(num_slots), wide)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("latent_size", [32, 64])
@pytest.mark.parametrize("many", [False, True])
def test_v_sees_the_same_bits_at_any_width(monkeypatch, precision, latent_size, many):
    monkeypatch.setattr("worldmodels.models.precision.compute_dtype", lambda device: precision)
    monkeypatch.setattr("worldmodels.models.vae.compute_dtype", lambda device: precision)
    vae = VAE(latent_size)
    frames = torch.randint(256, (64, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as whoever plays
    try:
        wide = torch.cat(vae.encode_frames(frames, many), 1)
        for width in (1, 2, 3, 5, 17, 32):
            parts = [torch.cat(vae.encode_frames(part, many), 1) for part in frames.split(width)]
            np.testing.assert_array_equal(torch.cat(parts), wide)
    finally:
        torch.set_num_threads(threads)


def test_encoding_writes_the_same_latents_on_any_number_of_threads(tmp_path):
    rng = np.random.default_rng(0)
    length = 150
    frames = rng.integers(0, 256, (length, 64, 64, 3), np.uint8)
    steps = np.zeros((length, 1), np.float32), np.zeros(length, np.float32), np.zeros(length, np.bool_)
    write_shard(tmp_path / "shard-00000", [Episode(0, frames, *steps, np.zeros(length, np.float32))])
    store, vae = EpisodeStore(tmp_path), VAE(32)
    before = torch.get_num_threads()

    def encode(num_threads):
        found = np.zeros((2, length - 7, 32), np.float16)
        torch.set_num_threads(num_threads)
        try:
            encode_into(vae, store, 7, 16, found[0], found[1], mirrored=True)
        finally:
            torch.set_num_threads(before)
        return found

    alone = encode(1)
    mirrored = torch.from_numpy(frames[7:, :, ::-1].copy())
    np.testing.assert_array_equal(alone, np.stack([part.half().numpy() for part in vae.encode_frames(mirrored, many=True)]))
    for num_threads in (2, 3):
        np.testing.assert_array_equal(encode(num_threads), alone)


@pytest.mark.parametrize("num_candidates", [1, 3])
def test_c_acts_the_same_bits_at_any_width(num_candidates):
    spec = get_task("take-cover")
    generator = torch.Generator().manual_seed(0)
    solutions = torch.randn(num_candidates, own_parameters(spec, "zch"), generator=generator)
    features = torch.randn(64, spec.latent_size + 2 * spec.hidden_size, generator=generator).numpy()

    def act(num_slots):
        policy = ControllerPolicy(spec, own_sizes(spec), "zch", solutions)
        policy.begin(np.ones(num_slots, np.bool_), [EpisodeJob(slot % num_candidates, 0) for slot in range(num_slots)])
        return policy.act(features[:num_slots])

    wide = act(64)
    for num_slots in (1, 2, 3, 5, 17, 31):
        np.testing.assert_array_equal(act(num_slots), wide[:num_slots])
