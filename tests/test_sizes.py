"""V and M of other sizes than the task's own: settings of their stages, and what a model's own config.json is built by."""

import json
import shutil

import gymnasium as gym
import numpy as np
import pytest

from worldmodels.agent.load import load_model
from worldmodels.base.errors import BadFileError, UserError
from worldmodels.cli import main
from worldmodels.config import Preset
from worldmodels.envs.registry import get_task
from worldmodels.models.sizes import own_sizes, run_sizes
from worldmodels.runs.run import Run

V_SIZE, M_SIZES = ("--latent-size", "8", "--width", "2"), ("--hidden-size", "24", "--num-mixtures", "3")


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A finished run of the toy task whose V and M are larger than the task's own."""
    path = tmp_path_factory.mktemp("sizes") / "large"
    run = ("--run", str(path))
    assert main(["collect", *run, "--task", "toy", "--scale", "smoke"]) == 0
    assert main(["train-vae", *run, *V_SIZE]) == 0
    assert main(["encode", *run]) == 0
    assert main(["train-rnn", *run, *M_SIZES]) == 0
    assert main(["train-controller", *run]) == 0
    return path


def stages_of(path):
    return json.loads((path / "config.json").read_text())["stages"]


def test_a_new_run_says_its_sizes_in_numbers(toy_run):
    stages = stages_of(toy_run)
    assert stages["vae"]["latent_size"] == 4
    assert (stages["rnn"]["hidden_size"], stages["rnn"]["num_mixtures"]) == (8, 5)


def test_the_model_says_how_it_is_built(large):
    stages, config = stages_of(large), json.loads((large / "model" / "config.json").read_text())
    assert (stages["vae"]["latent_size"], stages["vae"]["width"], config["width"]) == (8, 2, 2)
    assert {name: config[name] for name in ("latent_size", "hidden_size", "num_mixtures", "restart_input", "heads")} == {
        "latent_size": 8, "hidden_size": 24, "num_mixtures": 3, "restart_input": True,
        "heads": {"done": True, "hits": False, "reward": False},
    }  # fmt: skip
    model = load_model(large / "model")
    assert model.world_model.vae.encoder[3].weight.shape == (512, 256, 4, 4)
    assert model.world_model.rnn.weight_hh.shape == (96, 24)
    assert model.world_model.rnn.weight_out.shape == (1 + 3 * 3 * 8, 24)
    assert model.solution.shape == (8 + 24 + 1,)
    assert np.load(large / "latents" / "mu.npy").shape[1] == 8


@pytest.mark.parametrize(
    "command",
    [
        ("evaluate", "RUN", "--episodes", "3"),
        ("evaluate", "RUN", "--world", "dream", "--episodes", "5"),
        ("evaluate", "MODEL", "--episodes", "6", "--num-workers", "2"),
        ("fidelity", "RUN", "--real-episodes", "4", "--dream-episodes", "4", "--num-workers", "1"),
        ("inspect", "RUN"),
        ("plot", "RUN", "--out", "OUT"),
        ("video", "RUN", "--out", "OUT.gif", "--steps", "6"),
        ("video", "MODEL", "--out", "OUT.gif", "--steps", "6", "--world", "dream"),
        ("table", "ablation", "--model", "RUN", "--scale", "smoke", "--num-generations", "1", "--run", "OUT"),
        ("reproduce", "toy", "--run", "RUN"),
    ],
    ids=lambda command: "-".join(command[:2]),
)
def test_every_command_takes_its_sizes_from_the_model(command, large, tmp_path):
    copy = shutil.copytree(large, tmp_path / "copy")
    places = {"RUN": str(copy), "MODEL": str(copy / "model"), "OUT": str(tmp_path / "out"), "OUT.gif": str(tmp_path / "o.gif")}
    assert main([places.get(word, word) for word in command]) == 0


def test_a_half_trained_run_is_shown(large, tmp_path):
    copy = shutil.copytree(large, tmp_path / "copy")
    (copy / "controller" / "DONE").unlink()
    assert main(["video", str(copy), "--out", str(tmp_path / "o.gif"), "--steps", "3", "--world", "dream"]) == 0


def test_the_real_world_and_ppo_train_c_on_them(tmp_path):
    """PPO in the dream of an M that learns hits, then CMA-ES in the real environment, by workers."""
    run = ("--run", str(tmp_path / "run"))
    assert main(["collect", *run, "--task", "toy-walls", "--scale", "smoke"]) == 0
    assert main(["train-vae", *run, *V_SIZE]) == 0
    assert main(["encode", *run]) == 0
    assert main(["train-rnn", *run, *M_SIZES]) == 0
    assert main(["train-controller", *run, "--world", "real", "--num-workers", "2", "--score-episodes", "4"]) == 0
    assert load_model(tmp_path / "run" / "model").solution.shape == (8 + 24,)


def test_gymnasium_sees_the_models_features(large):
    env = gym.make("worldmodels-toy/MovingDotDream-v0", model=large)
    assert env.observation_space.shape == (8 + 24,)
    env.reset(seed=0)
    env.step(np.zeros(1, np.float32))
    env.close()


def test_the_next_round_has_the_sizes_of_the_one_before(large, tmp_path, capsys):
    run = ("--run", str(tmp_path / "next"))
    start = ("--task", "toy", "--scale", "smoke", "--seed", "1", "--previous", str(large), "--policy", "agent")
    assert main(["collect", *run, *start]) == 0
    stages = stages_of(tmp_path / "next")
    assert (stages["vae"]["latent_size"], stages["rnn"]["hidden_size"], stages["rnn"]["num_mixtures"]) == (8, 24, 3)
    assert stages["vae"]["width"] == 2
    capsys.readouterr()
    assert main(["train-vae", *run, "--width", "1"]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "width is 1 here and 2 there" in error
    assert "use --width 2" in error
    assert main(["train-vae", *run, "--latent-size", "4"]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "latent_size is 4 here and 8 there" in error
    assert "use --latent-size 8" in error
    assert not (tmp_path / "next" / "vae").exists()
    assert main(["train-vae", *run]) == 0
    assert main(["encode", *run]) == 0
    assert main(["train-rnn", *run, "--hidden-size", "12"]) == 2
    assert "use --hidden-size 24" in capsys.readouterr().err
    assert main(["train-rnn", *run]) == 0
    assert main(["train-controller", *run]) == 0


def test_a_trained_part_keeps_its_size(large, tmp_path, capsys):
    copy = shutil.copytree(large, tmp_path / "copy")
    assert main(["train-vae", "--run", str(copy), "--latent-size", "4"]) == 2
    assert "latent_size" in capsys.readouterr().err


def test_an_older_run_has_the_tasks_own_sizes_and_its_fingerprints(toy_copy):
    """Its config.json knows no sizes; what it has begun goes on, and what it has not begins with the task's."""
    config = json.loads((toy_copy / "config.json").read_text())
    for stage, name in (("vae", "latent_size"), ("rnn", "hidden_size"), ("rnn", "num_mixtures")):
        del config["stages"][stage][name]
    (toy_copy / "config.json").write_text(json.dumps(config))
    run = Run.open(toy_copy)
    assert not {"latent_size", "hidden_size", "num_mixtures"} & {
        *run.preset.vae.fingerprint_fields(),
        *run.preset.rnn.fingerprint_fields(),
    }
    assert run_sizes(get_task("toy"), run.preset) == own_sizes(get_task("toy"))
    assert main(["evaluate", str(toy_copy), "--world", "dream", "--episodes", "2"]) == 0


def test_an_older_model_names_two_sizes_only(large, toy_copy):
    file = toy_copy / "model" / "config.json"
    config = json.loads(file.read_text())
    for name in ("num_mixtures", "restart_input", "heads"):
        del config[name]
    file.write_text(json.dumps(config))
    assert load_model(toy_copy / "model").world_model.sizes == own_sizes(get_task("toy"))


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        ({"latent_size": None}, BadFileError, "'latent_size' is None"),
        ({"hidden_size": 0}, BadFileError, "'hidden_size' is 0"),
        ({"hidden_size": True}, BadFileError, "'hidden_size' is True"),
        ({"num_mixtures": 10**9}, BadFileError, "'num_mixtures' is 1000000000"),
        ({"restart_input": "yes"}, BadFileError, "'restart_input' is 'yes'"),
        ({"heads": {"done": True}}, BadFileError, "'heads' is"),
        ({"heads": {"done": True, "hits": True, "reward": False}}, UserError, "predicts no hits"),
        ({"width": 0}, BadFileError, "'width' is 0"),
        ({"width": "2"}, BadFileError, "'width' is '2'"),
        ({"width": 3}, UserError, "vae.safetensors: 'opening' has shape"),
        ({"latent_size": 9}, UserError, "vae.safetensors: 'opening' has shape"),
    ],
)
def test_what_is_no_size_is_refused(change, kind, said, large, tmp_path):
    copy = shutil.copytree(large / "model", tmp_path / "model")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(kind, match=said):
        load_model(copy)


def test_sizes_have_bounds(tmp_path, capsys):
    assert main(["collect", "--run", str(tmp_path / "run"), "--task", "toy", "--scale", "smoke"]) == 0
    assert main(["train-vae", "--run", str(tmp_path / "run"), "--latent-size", "1000000"]) == 2
    assert "latent_size" in capsys.readouterr().err


def test_a_scale_may_name_sizes_of_its_own():
    task = get_task("toy")
    asked = task.presets["smoke"].with_sizes(6, 1, 0, 2)
    assert isinstance(asked, Preset)
    sizes = run_sizes(task, asked)
    assert (sizes.latent_size, sizes.hidden_size, sizes.num_mixtures) == (6, 8, 2)
