"""The registry: our tasks, other people's, and what happens to a misspelt one."""

import dataclasses
import subprocess
import sys

import gymnasium as gym
import pytest

import worldmodels  # noqa: F401 (it registers the environments)
from worldmodels.base.errors import UserError
from worldmodels.envs.task import get_task, register, tasks


def test_ids_are_registered_by_the_import():
    assert {"worldmodels/TakeCover-v1", "worldmodels/TakeCoverDream-v0"} <= set(gym.registry)


def test_the_import_needs_no_torch():
    script = "import sys, worldmodels, worldmodels.envs.task, worldmodels.cli.commands; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_an_installed_packages_task_is_found():
    """In a process that has imported nothing of it: the entry point alone announces the toy."""
    script = (
        "import sys; from worldmodels.envs.task import get_task; assert 'worldmodels_toy' not in sys.modules; "
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
