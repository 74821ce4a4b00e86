"""``import worldmodels as wm``: one agent plays anybody's loop as it is scored; its verbs are the commands."""

import copy
import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

import worldmodels as wm
from worldmodels.agent.target import SHIPPED
from worldmodels.base.errors import BadFileError, UserError, WorldModelsError
from worldmodels.base.tensors import load_tensors, save_tensors
from worldmodels.cli import main
from worldmodels.runs.lock import RunLock

ROOT = Path(__file__).parent.parent


def returns(result):
    return [episode["return"] for episode in result["episodes"]]


def played(agent, env, seeds, **kwargs):
    """Returns of episodes that a loop of one's own plays one after the other in one environment."""
    state, found = agent.initial_state(seeds[0]), []
    for seed in seeds:
        frame, _ = env.reset(seed=seed)
        start, over, total = True, False, 0.0
        while not over:
            action, state = agent.predict(frame, state, start, **kwargs)
            frame, reward, terminated, truncated, _ = env.step(action)
            start, over, total = False, terminated or truncated, total + float(reward)
        found.append(total)
    return found


@pytest.fixture(scope="module")
def agent(toy_run):
    return wm.load(toy_run)


def test_a_loop_of_ones_own_scores_what_evaluate_says(agent, toy_run, tmp_path):
    scored = wm.evaluate(agent, episodes=5, seed=3)
    assert played(agent, agent.task.make_env(), range(3, 8)) == returns(scored)
    assert main(["evaluate", str(toy_run), "--episodes", "5", "--seed", "3", "--json", str(tmp_path / "x.json")]) == 0
    assert json.loads((tmp_path / "x.json").read_text()) == scored


def test_so_does_a_batch_of_environments_that_end_at_different_times(agent):
    scored = returns(wm.evaluate(agent, episodes=12))
    assert len(set(scored)) > 1
    envs = [agent.task.make_env() for _ in range(3)]
    frames = np.stack([env.reset(seed=seed)[0] for seed, env in enumerate(envs)])
    state, starts, seeds = agent.initial_state(range(3)), np.ones(3, bool), [0, 1, 2]
    totals, found = np.zeros(3), {}
    while set(range(12)) - found.keys():
        actions, state = agent.predict(frames, state, starts)
        starts = np.zeros(3, bool)
        for slot, env in enumerate(envs):
            frames[slot], reward, terminated, truncated, _ = env.step(actions[slot])
            totals[slot] += reward
            if terminated or truncated:
                found[seeds[slot]], totals[slot], starts[slot] = totals[slot], 0.0, True
                seeds[slot] += 3
                frames[slot] = env.reset(seed=seeds[slot])[0]
    assert [found[seed] for seed in range(12)] == scored


def test_a_shipped_agent_is_scored_so_by_the_command():
    agent = wm.load("take-cover")
    record = agent.card["evaluation"]["real"]
    seed = int(np.argsort(record["lengths"][:100])[0])
    scored = wm.evaluate(agent, episodes=1, seed=seed, num_workers=1)
    assert played(agent, agent.task.make_env(), [seed]) == returns(scored)


def test_z_is_drawn_unless_it_is_told_to_be_certain(agent):
    frame = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    first, other, again = (agent.predict(frame, agent.initial_state(seed))[0] for seed in (1, 2, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    certain = [agent.predict(frame, agent.initial_state(seed), deterministic=True)[0] for seed in (1, 2)]
    np.testing.assert_array_equal(*certain)


def test_a_copied_state_branches_off(agent):
    frame = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    _, state = agent.predict(frame)
    other = copy.deepcopy(state)
    np.testing.assert_array_equal(agent.predict(frame, state)[0], agent.predict(frame, other)[0])


def test_shapes_and_types(agent):
    size = agent.task.latent_size
    frames = np.zeros((3, 64, 64, 3), np.uint8)
    mu, logvar = agent.encode(frames)
    assert (mu.shape, mu.dtype, logvar.shape, logvar.dtype) == ((3, size), np.float32, (3, size), np.float32)
    assert (agent.decode(mu).shape, agent.decode(mu).dtype) == ((3, 64, 64, 3), np.uint8)
    actions, state = agent.predict(frames)
    assert (actions.shape, actions.dtype) == ((3, 1), np.float32)
    assert agent.predict(frames[0])[0].shape == (1,)
    for wrong in (frames[..., :1], frames.astype(np.float32), frames[None]):
        with pytest.raises(UserError, match="they must be uint8"):
            agent.encode(wrong)
        with pytest.raises(UserError, match="they must be uint8"):
            agent.predict(wrong)
    with pytest.raises(UserError, match=r"latents have shape \(3, 1\); they must be \[B, 4\]"):
        agent.decode(mu[:, :1])
    with pytest.raises(UserError, match="2 frames for a state of 3 slots"):
        agent.predict(frames[:2], state)
    with pytest.raises(UserError, match=r"episode_start has shape \(2,\) for 3 frames"):
        agent.predict(frames, state, [True, False])


def test_the_dream_is_a_vector_environment_at_the_agents_own_temperature(agent):
    dream = agent.dream(4)
    assert isinstance(dream, gym.vector.VectorEnv)
    assert (dream.temperature, agent.dream(1, 0.5).temperature) == (agent.temperature, 0.5)
    obs, _ = dream.reset(seed=0)
    assert obs.shape == (4, dream.single_observation_space.shape[0])
    assert dream.step(np.zeros((4, 1), np.float32))[1].shape == (4,)
    for wrong in (0, 1.5, "two"):
        with pytest.raises(UserError, match=f"num_envs is {wrong!r}; it must be a whole number, at least 1"):
            agent.dream(wrong)
    for wrong in (-1, 1.5, "x", ["x"], [0, -1]):
        with pytest.raises(UserError, match="it must be a whole number, at least 0"):
            agent.initial_state(wrong)


def test_an_agent_is_saved_and_loaded(agent, tmp_path):
    agent.save(tmp_path / "mine")
    again = wm.load(tmp_path / "mine")
    assert (again.sha256, again.temperature, again.inputs) == (agent.sha256, agent.temperature, agent.inputs)
    assert again.card["config"]["task"] == "toy"
    assert returns(wm.evaluate(again, episodes=2)) == returns(wm.evaluate(agent, episodes=2))


def test_a_card_is_read_when_it_is_asked_for(agent, tmp_path, monkeypatch):
    agent.save(tmp_path / "mine")
    (tmp_path / "mine/evaluation.json").write_text('{"real": 1}')
    (tmp_path / "mine/training.json").write_text("no JSON")
    monkeypatch.chdir(tmp_path)
    card = wm.load("mine").card
    monkeypatch.chdir("/")
    assert (list(card), card["evaluation"]) == (["config", "evaluation", "training"], {"real": 1})
    with pytest.raises(BadFileError, match=r"mine/training\.json: not readable"):
        card["training"]


def test_half_an_agent_says_what_is_missing(toy_copy):
    (toy_copy / "controller" / "DONE").unlink()
    (toy_copy / "controller" / "best.safetensors").unlink()
    with pytest.raises(UserError, match="controller: not finished"):
        wm.load(toy_copy)
    half = wm.load(toy_copy, finished=False)
    assert half.solution is None
    assert half.dream(2).num_envs == 2
    for use in (lambda: half.controller, lambda: half.predict(np.zeros((64, 64, 3), np.uint8)), lambda: half.save("x")):
        with pytest.raises(UserError, match="there is no C yet"):
            use()


class PlayedBy:
    """An agent behind the convention alone, with the noise of its own seed."""

    def __init__(self, agent):
        self.agent, self.calls = agent, []

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        self.calls.append((observation.shape, state is None, episode_start.tolist(), deterministic))
        return self.agent.predict(observation, state, episode_start, deterministic)


def test_anybodys_policy_is_scored(agent):
    mine = PlayedBy(agent)
    result = wm.evaluate(mine, task="toy", episodes=3)
    assert (result["agent"], result["world"], result["num_episodes"], result["sha256"]) == ("policy", "real", 3, None)
    assert [call for call in mine.calls if call[1]] == [((64, 64, 3), True, [True], True)] * 3
    assert len(mine.calls) == sum(episode["length"] for episode in result["episodes"])
    expected = [played(agent, agent.task.make_env(), [seed], deterministic=True)[0] for seed in range(3)]
    assert returns(result) == expected
    still = wm.evaluate(lambda frame: np.zeros(1, np.float32), task=agent.task, episodes=3)
    assert returns(still) != expected


def test_numbers_may_be_numpys(agent):
    assert wm.evaluate(agent, episodes=np.int64(2), seed=np.uint8(3)) == wm.evaluate(agent, episodes=2, seed=3)


def test_chance_plays_too(agent, toy_run):
    assert wm.evaluate(None, task="toy", episodes=4) == wm.evaluate(None, task=str(toy_run), episodes=4)
    assert wm.evaluate(None, task=agent, world="dream", episodes=2)["agent"] == "random"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda agent: wm.load("car-racin"), "did you mean 'car-racing'"),
        (lambda agent: wm.evaluate(agent, episodes=0), "episodes is 0"),
        (lambda agent: wm.evaluate(agent, episodes="3"), "'episodes' is '3'; expected int"),
        (lambda agent: wm.evaluate(agent, seed=1.5), "'seed' is 1.5; expected int"),
        (lambda agent: wm.evaluate(agent, world="moon"), "'world' is 'moon'; expected one of dream, real"),
        (lambda agent: wm.evaluate(agent, world="dream", device="tpu"), "'device' is 'tpu'; expected one of auto, cpu, cuda"),
        (lambda agent: wm.evaluate(agent, task="take-cover", episodes=1), "an agent of toy cannot play take-cover"),
        (lambda agent: wm.evaluate(lambda frame: 0), "name the task"),
        (lambda agent: wm.evaluate(None), "name the task"),
        (lambda agent: wm.evaluate(3, task="toy"), "a int is no policy"),
        (
            lambda agent: wm.evaluate(lambda frame: np.zeros(2), task="toy"),
            r"an action has the shape \(2,\); it must be \(1,\)",
        ),
        (lambda agent: wm.evaluate(lambda frame: [np.nan], task="toy"), "every number must be finite"),
        (lambda agent: wm.evaluate(lambda frame: [0.0], task="toy", world="dream"), "without V and M there is no dream"),
        (lambda agent: wm.collect("toi"), "did you mean 'toy'"),
        (lambda agent: wm.reproduce("toy", scale="smok"), "did you mean 'smoke'"),
        (lambda agent: wm.load(agent), "is no agent's name; give a task's, or a folder"),
        (lambda agent: wm.load(""), "is no agent's name; give a task's, or a folder"),
        (lambda agent: wm.load("x" * 5000), "cannot be looked for"),
        (lambda agent: agent.save(""), "'' is no folder's name"),
        (lambda agent: agent.save(__file__), "test_front_door.py: is a file; name a folder"),
        (lambda agent: agent.predict(np.zeros((64, 64, 3), np.uint8), (1, 2)), "the state is a tuple; give what the last call"),
        (
            lambda agent: agent.predict(np.zeros((64, 64, 3), np.uint8), wm.load("take-cover").initial_state()),
            "the state is another agent's; begin toy's with None",
        ),
        (lambda agent: agent.act(agent.dream(2).reset(seed=0)[0] * np.float32(np.nan)), "features: row 0 holds NaN"),
        (lambda agent: agent.decode(np.diag([0.0, np.inf, 0.0, 0.0])), "latents: row 1 holds NaN"),
        (lambda agent: agent.dream(temperature="1"), "temperature is '1'"),
        (lambda agent: agent.dream(2).reset(seed=-1), "a seed is -1; it must be a whole number, at least 0"),
        (lambda agent: agent.dream(2).reset(seed=[1, 2.5]), "a seed is 2.5; it must be a whole number"),
        (lambda agent: agent.dream(2).reset(seed="12"), "a seed is '12'; it must be a whole number"),
        (lambda agent: wm.collect("toy", run=SHIPPED / "take-cover"), "holds a model, not a run; use another folder"),
    ],
)
def test_a_wrong_call_is_one_line(agent, call, says):
    with pytest.raises(UserError, match=says) as caught:
        call(agent)
    assert "\n" not in str(caught.value)


def test_a_dream_that_has_not_begun_says_so(agent):
    with pytest.raises(gym.error.ResetNeeded, match=r"call reset\(\) before step\(\)"):
        agent.dream(2).step(np.zeros((2, 1), np.float32))


def test_a_task_that_workers_cannot_know_is_one_line(tmp_path):
    """They import the program anew, without what stands below the guard."""
    program = tmp_path / "program.py"
    program.write_text(
        "import dataclasses, worldmodels as wm\n"
        "if __name__ == '__main__':\n"
        "    wm.register(dataclasses.replace(wm.tasks()['car-racing'], name='mine'))\n"
        "    wm.evaluate(None, task='mine', episodes=4, fast=True, num_workers=2)\n"
    )
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=120, check=False)
    last = done.stderr.splitlines()[-1]
    assert "there is no task 'mine' in a worker process" in last
    assert "register tasks at its top" in last


@pytest.mark.parametrize("verb", [wm.collect, wm.reproduce])
def test_one_process_works_in_a_runs_folder(verb, tmp_path):
    with RunLock(tmp_path), pytest.raises(UserError, match="in use by process"):
        verb("toy", run=tmp_path)


def test_the_verbs_are_the_commands(toy_run, tmp_path):
    found = wm.collect("toy", run=tmp_path / "run")
    assert (tmp_path / "run" / "episodes" / "DONE").read_bytes() == (toy_run / "episodes" / "DONE").read_bytes()
    assert found["outputs"] == json.loads((toy_run / "episodes" / "DONE").read_text())["outputs"]


def test_every_public_name_has_an_example_that_works(tmp_path):
    script = tmp_path / "examples.py"
    script.write_text(
        """
import doctest, worldmodels as wm
if __name__ == "__main__":
    finder = doctest.DocTestFinder(recurse=False)
    for name in wm.__all__:
        tests = [test for test in finder.find(getattr(wm, name), name) if test.examples]
        assert tests, name + " has no example"
        for test in tests:
            assert not doctest.DocTestRunner().run(test).failed, name
"""
    )
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_names_are_listed_and_wrong_ones_refused():
    assert set(wm.__all__) <= set(dir(wm))
    with pytest.raises(AttributeError, match="has no attribute 'lode'"):
        wm.lode  # noqa: B018


def test_c_lies_on_the_disk_by_the_names_of_its_layers(agent, tmp_path):
    agent.save(tmp_path)
    assert {name: tuple(part.shape) for name, part in load_tensors(tmp_path / "controller.safetensors").items()} == {
        "weight": (1, agent.controller["weight"].shape[1]),
        "bias": (1,),
    }
    hidden = dataclasses.replace(agent, inputs="z+hidden", solution=torch.arange(40 * 5 + 41, dtype=torch.float32))
    hidden.save(tmp_path / "hidden")
    named = load_tensors(tmp_path / "hidden" / "controller.safetensors")
    assert {name: tuple(part.shape) for name, part in named.items()} == {
        "0.weight": (40, 4), "0.bias": (40,), "1.weight": (1, 40), "1.bias": (1,),
    }  # fmt: skip
    assert torch.equal(wm.load(tmp_path / "hidden").solution, hidden.solution)


def test_a_model_of_the_first_format_is_read(agent, tmp_path):
    """C's weights in one row: of each layer the biases, then the weights."""
    agent.save(tmp_path)
    save_tensors(tmp_path / "controller.safetensors", {"solution": agent.solution})
    config = json.loads((tmp_path / "config.json").read_text()) | {"format": 1}
    config["sha256"]["controller"] = hashlib.sha256((tmp_path / "controller.safetensors").read_bytes()).hexdigest()
    (tmp_path / "config.json").write_text(json.dumps(config))
    older = wm.load(tmp_path)
    assert all(torch.equal(older.controller[name], part) for name, part in agent.controller.items())
    assert returns(wm.evaluate(older, episodes=2)) == returns(wm.evaluate(agent, episodes=2))
    (tmp_path / "config.json").write_text(json.dumps(config | {"format": 3}))
    with pytest.raises(UserError, match="format 3; this version reads formats 1 and 2"):
        wm.load(tmp_path)


@pytest.mark.parametrize("change", [{"bias": torch.zeros(2)}, {"other": torch.zeros(1)}, {"bias": torch.tensor([torch.inf])}])
def test_weights_that_do_not_fit_are_named(agent, tmp_path, change):
    agent.save(tmp_path)
    save_tensors(tmp_path / "controller.safetensors", agent.controller | change)
    config = json.loads((tmp_path / "config.json").read_text())
    config["sha256"]["controller"] = hashlib.sha256((tmp_path / "controller.safetensors").read_bytes()).hexdigest()
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(WorldModelsError, match=r"controller.safetensors: ('bias' holds|holds .*has bias \[1\], weight)"):
        wm.load(tmp_path)


def test_numpy_alone_plays_the_shipped_driver():
    """Another program reads the folder and plays Gymnasium's own game, without this package."""
    player = Path(__file__).parent / "numpy_player.py"
    assert "worldmodels" not in player.read_text()
    seeds = ["0", "1", "2"] if os.environ.get("RELEASE_TESTS") else ["0"]
    command = [sys.executable, str(player), str(SHIPPED / "car-racing"), *seeds]
    env = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert np.mean([float(word) for word in done.stdout.split()]) > 880


def test_the_page_is_what_the_docstrings_say():
    check = [sys.executable, "-m", "tools.api_page", "--check"]
    done = subprocess.run(check, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_the_readme_says_of_python_works(tmp_path):
    section = (ROOT / "README.md").read_text().split("## Use it from Python")[1]
    code = section.split("```python\n")[1].split("```")[0]
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    dreamt, still = map(float, done.stdout.split())
    assert dreamt > 500 > 0 > still
