"""Recipes are data: the original's settings beside ours, and what they set: M's end head, how dreams end, V's frames."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from conftest import follow_the_action, random_world_model

import worldmodels as wm
from worldmodels.base.errors import BadFileError, UserError
from worldmodels.cli import main
from worldmodels.config import CollectConfig, Preset, RandomPolicyConfig, RNNConfig
from worldmodels.envs.check import field_faults
from worldmodels.envs.registry import get_task
from worldmodels.models.mdn_rnn import MDNRNN, RNNSizes
from worldmodels.models.sizes import run_sizes
from worldmodels.worlds.dream_env import DreamEnv

SCALES = ("smoke", "laptop", "paper")


@pytest.fixture(scope="module")
def walls(tmp_path_factory):
    """A finished run of the task with hits, whose M learns deaths."""
    path = tmp_path_factory.mktemp("recipe") / "run"
    assert main(["reproduce", "toy-walls", "--recipe", "original", "--run", str(path)]) == 0
    return path


@pytest.mark.parametrize("scale", SCALES)
def test_take_covers_original_is_the_papers(scale):
    task = get_task("take-cover")
    found = task.preset(scale, "original")
    assert (found.collect.policy, found.collect.random) == ("held", RandomPolicyConfig(hold="remainder"))
    assert (found.collect.max_short_steps, found.collect.max_episode_steps) == (100, 0)
    assert (found.vae.kl_tolerance, found.vae.quartic_weight, found.encode.mirror_episodes) == (0.5, 0, 0)
    assert (found.rnn.end_target, found.rnn.dream_end, found.rnn.done_weight) == ("deaths", "compared", 10)
    search = found.controller
    assert (search.optimizer, search.num_components, search.ppo_iterations, search.inputs) == ("cma", 0, 0, "zch")
    assert (search.population_size, search.episodes_per_candidate, search.sigma) == (64, 16, 0.1)
    assert (search.temperature, search.world, search.resolved_score_world) == (1.15, "dream", "dream")


def test_the_papers_numbers():
    doom = get_task("take-cover").preset("paper", "original")
    assert (doom.collect.num_episodes, doom.collect.frames, doom.controller.num_generations) == (10_000, "640x480", 1_800)
    assert (doom.rnn.sequence_length, doom.rnn.batch_size, doom.vae.batch_size) == (500, 100, 100)
    assert doom.rnn.num_steps == 24_400  # 400 epochs of 61 batches, as its own log has them
    assert doom.rnn.final_learning_rate == pytest.approx(1e-3 * 0.99999**24_400, rel=1e-3)
    assert (doom.controller.score_every_generations, doom.controller.score_episodes) == (25, 1024)
    car = get_task("car-racing").preset("paper", "original")
    assert (car.collect.num_episodes, car.collect.policy, car.controller.num_generations) == (10_000, "nets", 1_800)
    assert (car.controller.world, car.controller.episodes_per_candidate, car.controller.inputs) == ("real", 16, "zh")
    assert car.rnn.learning_rate == car.rnn.final_learning_rate == 1e-3


@pytest.mark.parametrize("scale", SCALES)
def test_car_racings_original_has_none_of_our_aids(scale):
    found = get_task("car-racing").preset(scale, "original")
    assert (found.collect.policy, found.collect.start_anywhere, found.collect.max_episode_steps) == ("nets", False, 0)
    assert found.collect.random.bias_scale == found.controller.patience_steps == 0


def test_best_is_what_was_there_before_and_its_fingerprints_are_too():
    for task in ("take-cover", "car-racing"):
        for scale in SCALES:
            assert get_task(task).preset(scale) == get_task(task).preset(scale, "best")
            fields = get_task(task).preset(scale).rnn.fingerprint_fields()
            assert not {"end_target", "dream_end"} & fields.keys()
    assert "frames" not in CollectConfig().fingerprint_fields()
    assert RNNConfig(end_target="deaths").fingerprint_fields()["end_target"] == "deaths"


@pytest.mark.parametrize("name", ["take-cover", "car-racing"])
def test_every_recipe_fits_its_task(name):
    task = get_task(name)
    assert list(task.recipes) == ["original"]
    assert list(task.recipes["original"]) == list(task.presets)
    assert not list(field_faults(task))


def test_a_wrong_recipe_is_named(tmp_path, capsys):
    assert main(["reproduce", "take-cover", "--recipe", "orginal", "--run", str(tmp_path / "run")]) == 2
    assert "did you mean 'original'?" in capsys.readouterr().err
    assert main(["reproduce", "toy", "--recipe", "original", "--run", str(tmp_path / "run")]) == 2
    assert "toy has no recipe 'original'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_run_remembers_its_recipe(walls, tmp_path, capsys):
    config = json.loads((walls / "config.json").read_text())
    assert config["recipe"] == "original"
    assert config["stages"]["rnn"]["end_target"] == "deaths"
    assert main(["reproduce", "toy-walls", "--run", str(walls)]) == 2
    assert "holds a run with recipe original, not best" in capsys.readouterr().err
    assert main(["train-rnn", "--run", str(walls)]) == 0  # a stage takes its run's
    copy = shutil.copytree(walls, tmp_path / "copy")
    (copy / "config.json").write_text(json.dumps(config | {"recipe": 3}))
    with pytest.raises(BadFileError, match="'recipe' must be text"):
        wm.load(copy)


def test_its_model_dreams_as_it_learned(walls):
    """Deaths end the dream of a task with hits at once, with no health left to lose first."""
    config = json.loads((walls / "model" / "config.json").read_text())
    assert (config["heads"]["hits"], config["dream_end"]) == (False, "compared")
    agent = wm.load(walls / "model")
    assert not agent.world_model.sizes.hits
    world = agent.dream(3)
    world.reset(seed=[1, 2, 3])
    assert "hit_chance" not in world.step(np.zeros((3, 1), np.float32))[-1]
    assert main(["evaluate", str(walls), "--world", "dream", "--episodes", "2"]) == 0


def test_ppo_learns_where_m_learns_deaths(walls, tmp_path):
    """What comes is then the reward, and it ends with M's chance of a death."""
    copy = shutil.copytree(walls, tmp_path / "copy")
    shutil.rmtree(copy / "controller")
    assert main(["train-controller", "--run", str(copy), "--ppo-iterations", "4", "--num-generations", "0"]) == 0
    rows = [json.loads(line) for line in (copy / "controller" / "ppo.jsonl").read_text().splitlines()]
    assert len(rows) == 4
    assert all(0 <= row["ends"] <= 1 and "hits" not in row for row in rows)


def test_a_table_has_the_recipes_settings(walls, tmp_path):
    path = tmp_path / "table"
    table = ["table", "ablation", "--model", str(walls), "--scale", "smoke", "--recipe", "original", "--num-generations", "1"]
    assert main([*table, "--run", str(path)]) == 0
    assert json.loads((path / "table.json").read_text())["recipe"] == "original"
    assert json.loads((path / "v-m" / "config.json").read_text())["recipe"] == "original"


@pytest.mark.parametrize(
    ("model", "asked", "said"),
    [
        (
            "take-cover",
            ["--recipe", "original"],
            "V and M of take-cover are of the recipe best; use --recipe best, or name a run",
        ),
        ("WALLS", [], "are of the recipe original; use --recipe original, or name a run of the recipe best with --model"),
        ("WALLS/model", [], "are of the recipe original; use --recipe original"),
        ("take-cover", ["--recipe", "orig"], "take-cover has no recipe 'orig'; did you mean 'original'?"),
    ],
)
def test_a_table_is_not_made_on_another_recipes_v_and_m(model, asked, said, walls, tmp_path, capsys):
    path = tmp_path / "table"
    model = model.replace("WALLS", str(walls))
    assert main(["table", "temperature", "--model", model, "--run", str(path), *asked]) == 2
    assert said in capsys.readouterr().err
    assert not path.exists()


def walled(hits, drawn, log_odds):
    """A dream of 200 slots of the walled task after the action 1: the done logit is ``log_odds``."""
    model = random_world_model(get_task("toy-walls"))
    rnn = MDNRNN(dataclasses.replace(model.sizes, hits=hits, drawn=drawn)).eval()
    model = dataclasses.replace(model, rnn=rnn)
    follow_the_action(model, log_odds, 0.0)
    return DreamEnv(model, "zh", 200, 1.0)


@pytest.mark.parametrize("hits", [False, True])
@pytest.mark.parametrize("drawn", [False, True])
def test_the_four_ways_to_end(hits, drawn):
    """Compared: all or nothing at logit 0. Drawn: its share. A death ends at once, a hit of 50 the second time."""
    for log_odds, share in ((0.4, 0.6 if drawn else 1.0), (-0.4, 0.4 if drawn else 0.0)):
        world = walled(hits, drawn, log_odds)
        world.reset(seed=list(range(200)))
        first = world.step(np.ones((200, 1), np.float32))[2]
        second = world.step(np.ones((200, 1), np.float32))[2]
        assert np.mean(second if hits else first) == pytest.approx(share**2 if hits else share, abs=0.09)
        assert not (hits and first.any())


def test_the_settings_decide_ms_heads():
    task = get_task("take-cover")

    def sizes(**settings):
        preset: Preset = task.preset("laptop")
        found = run_sizes(task, dataclasses.replace(preset, rnn=dataclasses.replace(preset.rnn, **settings)))
        return found.hits, found.drawn

    assert sizes() == (True, True)
    assert sizes(end_target="deaths") == (False, False)
    assert sizes(end_target="deaths", dream_end="drawn") == (False, True)
    assert sizes(dream_end="compared") == (True, False)
    car = get_task("car-racing")
    preset = car.preset("smoke")
    with pytest.raises(UserError, match="does not say what a hit costs; use deaths"):
        run_sizes(car, dataclasses.replace(preset, rnn=dataclasses.replace(preset.rnn, end_target="hits")))


def test_only_a_drawn_logit_is_free_of_the_weight():
    """With a chance of 1 in 2 the loss is smallest at the log-odds 0 of a drawn head, and at log 10 of a compared one."""
    logits = torch.linspace(-4, 4, 1601)
    done, valid = torch.tensor([0.0, 1.0]), torch.ones(2)
    for drawn, best in ((True, 0.0), (False, np.log(10))):
        model = MDNRNN(RNNSizes(1, 1, 1, 1, done_head=True, drawn=drawn))
        losses = [float(model._done_errors(logit.repeat(2), done, valid, 10.0)) for logit in logits]
        assert float(logits[int(np.argmin(losses))]) == pytest.approx(best, abs=0.01)


def test_an_older_model_says_nothing_of_how_it_dreams(toy_copy):
    file = toy_copy / "model" / "config.json"
    config = json.loads(file.read_text())
    assert config.pop("dream_end") == "compared"
    file.write_text(json.dumps(config))
    assert not wm.load(toy_copy / "model").world_model.sizes.drawn
    file.write_text(json.dumps(config | {"dream_end": "maybe"}))
    with pytest.raises(BadFileError, match="'dream_end' is 'maybe'"):
        wm.load(toy_copy / "model")
    file.write_text(json.dumps(config | {"frames": "640x480"}))
    with pytest.raises(UserError, match="toy has no frames '640x480'"):
        wm.load(toy_copy / "model")


def test_frames_belong_to_the_task_and_go_with_the_model(tmp_path, capsys):
    task = get_task("take-cover").seeing("640x480")
    assert task.env_settings() == {"resolution": "640x480"}
    assert task.seeing("640x480") is task
    run = ("--run", str(tmp_path / "run"), "--task", "take-cover", "--scale", "smoke")
    assert main(["collect", *run, "--frames", "640x48"]) == 2
    assert "did you mean '640x480'?" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    model = random_world_model(get_task("take-cover"))
    model = dataclasses.replace(model, spec=task)
    agent = wm.Agent(model, "z", torch.zeros(64), 1.15)
    agent.save(tmp_path / "model")
    assert json.loads((tmp_path / "model" / "config.json").read_text())["frames"] == "640x480"
    found = wm.load(tmp_path / "model")
    assert found.task == task
    env = found.task.make_env()
    env.reset(seed=0)
    assert env.unwrapped.render_mode is None
    assert env.unwrapped._screen.shape == (480, 640, 3)
    env.close()
