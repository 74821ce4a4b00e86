"""The registry: our tasks, other people's, and what happens to a misspelt one."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import worldmodels  # noqa: F401 (it registers the environments)
from worldmodels.base.errors import UserError
from worldmodels.cli import main
from worldmodels.envs.check import check_task
from worldmodels.envs.registry import get_task, register, tasks


def test_ids_are_registered_by_the_import():
    assert {"worldmodels/TakeCover-v1", "worldmodels/TakeCoverDream-v0"} <= set(gym.registry)


def test_the_import_needs_no_torch():
    script = "import sys, worldmodels, worldmodels.envs.registry, worldmodels.cli.commands; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_an_installed_packages_task_is_found():
    """In a process that has imported nothing of it: the entry point alone announces the toy."""
    script = (
        "import sys; from worldmodels.envs.registry import get_task; assert 'worldmodels_toy' not in sys.modules; "
        "print(get_task('toy').env_id)"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "worldmodels-toy/MovingDot-v0"


def test_all_tasks_are_listed():
    assert {"take-cover", "toy"} <= set(tasks())


@pytest.mark.parametrize(
    ("word", "match"), [("takecover", "did you mean 'take-cover'"), ("tyo", "did you mean 'toy'"), ("xxxx", "known: .*toy")]
)
def test_a_misspelt_task_gets_the_nearest_match(word, match):
    with pytest.raises(UserError, match=match):
        get_task(word)


def test_a_misspelt_scale_gets_the_nearest_match():
    with pytest.raises(UserError, match="did you mean 'laptop'"):
        get_task("take-cover").preset("labtop")


def test_a_third_partys_task_is_25_lines(tmp_path):
    """A name, an environment, how long an episode is and what C's outputs mean: everything else has a default that works."""
    source = Path(__file__).parent / "plugin" / "worldmodels_pendulum.py"
    assert len(source.read_text().splitlines()) <= 25
    check_task(get_task("pendulum"))
    run = ("--run", str(tmp_path / "run"))
    settings = {
        "collect": ["--task", "pendulum", "--scale", "smoke", "--num-episodes", "4", "--max-episode-steps", "20"],
        "train-vae": ["--num-steps", "3", "--batch-size", "8"],
        "encode": [],
        "train-rnn": ["--num-steps", "3", "--sequence-length", "10"],
        "train-controller": ["--num-generations", "1", "--population-size", "4", "--episodes-per-candidate", "1"],
    }
    settings["train-controller"] += ["--world", "dream", "--score-episodes", "2"]
    for verb, flags in settings.items():
        assert main([verb, *run, *flags]) == 0, verb
    dream = gym.make("worldmodels/PendulumDream-v0", model=tmp_path / "run")
    game = gym.make("worldmodels/PendulumLatent-v1", model=tmp_path / "run")
    for env in (dream, game):
        assert env.observation_space.shape == (32 + 256,)
        assert env.action_space == gym.spaces.Box(-2, 2, (1,))
        env.reset(seed=0)
        env.step(np.ones(1, np.float32))
        env.close()


@pytest.mark.parametrize(
    ("task", "latent"), [("take-cover", "worldmodels/TakeCoverLatent-v1"), ("car-racing", "worldmodels/CarRacingLatent-v3")]
)
def test_gymnasium_ids_are_made_of_the_name(task, latent):
    spec = get_task(task)
    assert spec.gym_id("Latent") == latent
    assert spec.gym_id("Dream") in gym.registry
    assert gym.registry[latent].kwargs == {"task": task}


def test_a_name_is_taken_once():
    spec = get_task("toy")
    register(spec)
    with pytest.raises(UserError, match="registered twice"):
        register(dataclasses.replace(spec, latent_size=5))
    assert get_task("toy") is spec


def test_take_covers_presets_are_valid():
    for preset in get_task("take-cover").presets.values():
        preset.validate()
    assert list(get_task("take-cover").presets) == ["smoke", "laptop", "paper"]
