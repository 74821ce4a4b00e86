"""Dreams of which a part of M is left out: one mask an episode, as in training; and what M does not know, by such masks."""

import dataclasses
import json
import math
import shutil
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from conftest import random_world_model

import worldmodels as wm
from worldmodels.base.errors import UserError
from worldmodels.cli import main
from worldmodels.config import ControllerConfig, EvaluateConfig, UncertaintyConfig
from worldmodels.envs.registry import get_task
from worldmodels.models.mdn_rnn import MDNRNN, Kept, RNNSizes
from worldmodels.models.stepper import Masks, MDNStepper
from worldmodels.models.uncertainty import Uncertainty, draw_mask
from worldmodels.worlds.dream_env import DreamEnv
from worldmodels.worlds.dream_rules import DreamRules
from worldmodels.worlds.dropout import EpisodeMasks

SIZES = RNNSizes(4, 2, 24, 3, restart_input=True, done_head=True)
HALF = DreamRules(dropout=0.5)


def kept_of(masks, num_steps, num_others):
    """The same masks in every step, as training has them: action and restart are kept."""
    inputs = torch.cat([masks.z, torch.ones(len(masks.z), num_others)], 1)
    return Kept(*(part[:, None].expand(-1, num_steps, -1) for part in (inputs, masks.candidate)))


@pytest.mark.parametrize("layer_norm", [False, True])
def test_a_masked_step_is_trainings(layer_norm):
    torch.manual_seed(0)
    model = MDNRNN(dataclasses.replace(SIZES, layer_norm=layer_norm)).eval()
    z, action, restart = torch.randn(5, 12, 4), torch.randn(5, 12, 2), torch.zeros(5, 12)
    masks = Masks(*((torch.rand(5, size) >= 0.4) / 0.6 for size in (4, 24)))
    with torch.no_grad():
        expected, _ = model(model.inputs(z, action, restart), model.initial_state(5), kept_of(masks, 12, 3))
        plain, _ = model(model.inputs(z, action, restart), model.initial_state(5))
    stepper, state = MDNStepper(model, torch.float32), model.initial_state(5)
    for step in range(12):
        state = stepper.step(z[:, step], action[:, step], restart[:, step], state, masks)
        torch.testing.assert_close(state.hidden, expected[:, step], rtol=1e-4, atol=1e-5)
    assert (state.hidden - plain[:, -1]).abs().max() > 0.01


def test_a_mask_leaves_out_its_share_and_scales_the_rest():
    mask = draw_mask(np.random.default_rng(0), RNNSizes(64, 1, 40_000), 0.3)
    assert mask.shape == (40_064,)
    assert set(np.unique(mask)) == {np.float32(0), np.float32(1) / np.float32(0.7)}
    assert mask.mean() == pytest.approx(1, abs=0.02)


def hidden_by_training(model, seen, actions, seed):
    """M's hidden states along a dreamt episode, by training's forward pass with the mask of its seed in all steps."""
    masks = EpisodeMasks(1, model.sizes, 0.5)
    masks.begin(np.array([True]), [seed])
    restart = torch.zeros(1, len(actions))
    restart[:, 0] = 1
    inputs = model.rnn.inputs(seen[None, :-1], actions[None], restart)
    with torch.no_grad():
        return model.rnn(inputs, model.rnn.initial_state(1), kept_of(masks.now, len(actions), 2))[0][0]


def test_a_mask_stays_for_an_episode_and_the_next_one_has_another(toy_world_model):
    dream = DreamEnv(toy_world_model, "zh", 2, 1.0, torch.float32, rules=HALF)
    dream.reset(seed=[3, 4])
    actions = torch.sin(torch.arange(15.0))[:, None]

    def follow(slot, seed, num_steps):
        seen, hidden = [dream.z[slot]], []
        for step in range(num_steps):
            features = dream.step(np.tile(actions[step].numpy(), (2, 1)))[0]
            seen.append(dream.z[slot])
            hidden.append(features[slot, 4:])
        expected = hidden_by_training(toy_world_model, torch.stack(seen), actions[:num_steps], seed)
        np.testing.assert_allclose(np.stack(hidden), expected, rtol=1e-4, atol=1e-5)
        return expected

    follow(0, 3, 15)
    # Slot 1 begins anew; slot 0 goes on with what it had.
    state = dream.world_state()
    dream.reset(seed=[None, 5], options={"reset_mask": np.array([False, True])})
    assert torch.equal(dream.z[0], state.z[0])
    first = follow(1, 5, 10)
    dream.reset(seed=[8, 3])
    assert not np.allclose(follow(1, 3, 10), first)


def test_what_goes_on_elsewhere_or_is_dropped():
    masks = EpisodeMasks(4, SIZES, 0.5)
    masks.begin(np.ones(4, np.bool_), [7, 7, 8, 9])
    begun = masks.now.candidate.clone()
    assert torch.equal(begun[0], begun[1])
    assert not torch.equal(begun[1], begun[2])
    masks.go_on(np.array([True, False, False, False]))
    assert not torch.equal(masks.now.candidate[0], begun[0])
    assert torch.equal(masks.now.candidate[1:], begun[1:])
    masks.shrink(np.array([True, False, False, True]))
    assert torch.equal(masks.now.candidate[1], begun[3])
    masks.begin(np.array([True, False]), [7, None])
    assert torch.equal(masks.now.candidate[0], begun[0])


@pytest.mark.parametrize(("task", "precision"), [("toy", torch.float32), ("take-cover", torch.bfloat16)])
def test_the_same_bits_at_any_width(task, precision):
    model = random_world_model(get_task(task))

    def dream(num_slots):
        rules = DreamRules(0.3, pessimism=2.0)
        world = DreamEnv(model, "zh", num_slots, 1.15, precision, rules=rules)
        seen = [world.reset(seed=[7 + slot % 3 for slot in range(num_slots)])[0][0]]
        for step in range(6):
            actions = np.full((num_slots, model.spec.action_size), np.sin(step), np.float32)
            features, reward, *_ = world.step(actions)
            seen.append(np.append(features[0], reward[0]).astype(np.float32)[: len(seen[0])])
            rewards.setdefault(num_slots, []).append(reward[0])
        return np.stack(seen)

    rewards = {}
    wide = dream(33)
    for num_slots in (1, 2, 5):
        np.testing.assert_array_equal(dream(num_slots), wide)
        assert rewards[num_slots] == rewards[33]


def test_uncertainty_is_the_variance_of_the_predictions():
    torch.manual_seed(0)
    model, config = MDNRNN(SIZES).eval(), UncertaintyConfig(masks=4, dropout=0.3)
    z, action, restart = torch.randn(6, 4), torch.randn(6, 2), torch.zeros(6)
    state = type(model.initial_state(1))(torch.randn(6, 24) / 2, torch.randn(6, 24))
    uncertainty = Uncertainty(MDNStepper(model, torch.float32), config.masks, config.dropout)
    means = []
    for index in range(4):
        rng = np.random.default_rng(wm.base.seeding.derive_seed(0, "uncertainty", index))
        mask = torch.from_numpy(draw_mask(rng, SIZES, 0.3)).expand(6, -1)
        with torch.no_grad():
            hidden, _ = model(model.inputs(z, action, restart)[:, None], state, kept_of(Masks(mask[:, :4], mask[:, 4:]), 1, 3))
            _, mixtures = model.outputs(hidden[:, 0])
        logit, mean, _ = mixtures.view(6, 3, 3, 4).unbind(1)
        means.append((logit.softmax(1) * mean).sum(1).numpy())
    expected = np.var(means, 0).mean(1)
    np.testing.assert_allclose(uncertainty.of(z, action, restart, state), expected, rtol=1e-4)
    assert expected.min() > 1e-5


def test_surprise_is_the_loss_of_training():
    torch.manual_seed(0)
    model = MDNRNN(SIZES).eval()
    hidden, z = torch.randn(7, 24), torch.randn(7, 4)
    with torch.no_grad():
        mixtures = model.outputs(hidden)[1]
        expected = [
            wm.models.mixture_nll.MixtureNLL.apply(mixtures[i : i + 1], z[i : i + 1], torch.ones(1), 3) / 4 for i in range(7)
        ]
    found = MDNStepper(model, torch.float32).surprise(hidden, z)
    torch.testing.assert_close(found, torch.stack(expected).view(7), rtol=1e-4, atol=1e-5)


def test_what_a_step_is_worth(toy_world_model):
    """A pessimistic dream is the plain one but for its rewards; so is one in which C explores."""
    actions, told = np.zeros((3, 1), np.float32), {}
    kinds = {
        "plain": DreamRules(measured=True),
        "pessimistic": DreamRules(pessimism=5.0),
        "curious": DreamRules(seeks="uncertainty"),
        "by loss": DreamRules(seeks="loss"),
    }
    for name, rules in kinds.items():
        dream = DreamEnv(toy_world_model, "zh", 3, 1.0, torch.float32, rules=rules)
        dream.reset(seed=[1, 2, 3])
        told[name] = [(obs, reward, info) for obs, reward, _, _, info in (dream.step(actions) for _ in range(4))]
    for plain, pessimistic, curious, by_loss in zip(*told.values(), strict=True):
        for other in (pessimistic, curious, by_loss):
            np.testing.assert_array_equal(other[0], plain[0])
        u = plain[2]["uncertainty"].numpy().astype(np.float64)
        assert u.min() > 0
        np.testing.assert_array_equal(plain[1], np.ones(3))
        np.testing.assert_allclose(pessimistic[1], 1 - 5 * u, rtol=1e-6)
        np.testing.assert_array_equal(curious[1], u)
        np.testing.assert_array_equal(by_loss[1], by_loss[2]["loss"].numpy().astype(np.float64))
        assert not np.allclose(by_loss[1], u)


def test_off_it_is_what_it_was(toy_world_model):
    for config in (ControllerConfig(), EvaluateConfig()):
        assert not {"dream_dropout", "pessimism", "seeks", "uncertainty_masks"} & set(config.fingerprint_fields())
    plain, off = (DreamEnv(toy_world_model, "zh", 3, 1.0, **rules) for rules in ({}, {"rules": DreamRules()}))
    np.testing.assert_array_equal(plain.reset(seed=[1, 2, 3])[0], off.reset(seed=[1, 2, 3])[0])
    for _ in range(3):
        np.testing.assert_array_equal(*(dream.step(np.zeros((3, 1), np.float32))[0] for dream in (plain, off)))


def result_of(run):
    scores = [json.loads(row) for row in (run / "controller" / "scores.jsonl").read_text().splitlines()]
    return (run / "controller" / "best.safetensors").read_bytes(), [(row["generation"], row["mean"]) for row in scores]


def cut(run, keep):
    """Puts a search back to where it was after some generations."""
    (run / "controller" / "DONE").unlink()
    for log in ("history.jsonl", "scores.jsonl"):
        rows = (run / "controller" / log).read_text().splitlines()
        kept = [row for row in rows if json.loads(row)["generation"] <= keep]
        (run / "controller" / log).write_text("".join(f"{row}\n" for row in kept))


def search(run, *words):
    assert main(["train-controller", "--run", str(run), *words]) == 0


def test_a_search_goes_on_with_other_slots(toy_copy, tmp_path):
    plain = result_of(toy_copy)
    shutil.rmtree(toy_copy / "controller")
    search(toy_copy, "--dream-dropout", "0.3", "--pessimism", "0.5")
    whole = result_of(toy_copy)
    assert whole != plain
    cut(toy_copy, 2)
    search(toy_copy, "--num-slots", "3")
    assert result_of(toy_copy) == whole


@pytest.mark.parametrize("asked", [["--dream-dropout", "0.4"], ["--pessimism", "1"], ["--uncertainty-masks", "3"]])
def test_a_search_with_other_settings_is_refused(toy_copy, asked, capsys):
    assert main(["train-controller", "--run", str(toy_copy), *asked]) == 2
    said = capsys.readouterr().err
    assert "was made with other settings" in said
    assert asked[0][2:].replace("-", "_") in said


def dreamt(target, path, *args):
    assert main(["evaluate", str(target), "--world", "dream", "--episodes", "6", "--json", str(path), *args]) == 0
    return json.loads(path.read_text())


def test_an_evaluation_says_what_was_left_out(toy_run, tmp_path, capsys):
    found = dreamt(toy_run, tmp_path / "a.json", "--dream-dropout", "0.3", "--num-slots", "5")
    assert "toy, dream at τ 1.15, dropout 0.3, trained: " in capsys.readouterr().out
    assert found == dreamt(toy_run, tmp_path / "b.json", "--dream-dropout", "0.3", "--num-slots", "1")
    plain = dreamt(toy_run, tmp_path / "c.json")
    assert found["dream_dropout"] == 0.3
    assert "dream_dropout" not in plain
    assert found["episodes"] != plain["episodes"]
    assert wm.evaluate(wm.load(toy_run), world="dream", episodes=6, dream_dropout=0.3)["episodes"] == found["episodes"]


def test_an_agents_dream_and_its_gymnasium_id(toy_run):
    agent, action = wm.load(toy_run), np.zeros(1, np.float32)
    env = gym.make("worldmodels-toy/MovingDotDream-v0", model=toy_run, dropout=0.5)
    env.reset(seed=3)
    found = np.stack([env.step(action)[0] for _ in range(5)])
    seen = {}
    for dropout in (0.0, 0.5):
        dream = agent.dream(1, dropout=dropout)
        dream.reset(seed=[3])
        seen[dropout] = np.stack([dream.step(action[None])[0][0] for _ in range(5)])
    np.testing.assert_array_equal(found, seen[0.5])
    assert not np.array_equal(found, seen[0.0])


@pytest.mark.parametrize("dropout", [-0.1, 0.95, math.nan])
def test_a_senseless_dropout_is_refused(toy_run, dropout):
    with pytest.raises(UserError, match=r"dropout is .*; it must lie between 0 and 0\.9"):
        wm.load(toy_run).dream(dropout=dropout)


def test_a_video_shows_the_dream_that_is_asked_for(toy_run, tmp_path):
    def shown(name: str, *flags: str) -> bytes:
        asked = ["--world", "dream", "--seed", "3", "--steps", "30", "--out", str(tmp_path / name), *flags]
        assert main(["video", str(toy_run), *asked]) == 0
        return (tmp_path / name).read_bytes()

    whole, part = shown("whole.gif"), shown("part.gif", "--dream-dropout", "0.5")
    assert part != whole
    assert part == shown("again.gif", "--dream-dropout", "0.5")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["evaluate", "RUN", "--dream-dropout", "0.1"],
            "is 0.1 and world is 'real'; it is a setting of the dream",
        ),
        (
            ["evaluate", "RUN", "--world", "dream", "--dream-dropout", "1"],
            "is 1.0; it must lie between 0 and 0.9",
        ),
        (
            ["train-controller", "--run", "RUN", "--world", "real", "--pessimism", "2"],
            "pessimism is 2.0, and the world is real; it is a setting of the dream",
        ),
        (
            ["train-controller", "--run", "RUN", "--seeks", "loss", "--pessimism", "2"],
            "pessimism is 2, and C seeks loss; only the game's reward is reduced",
        ),
        (
            ["train-controller", "--run", "RUN", "--seeks", "loss", "--score-world", "real"],
            "C seeks loss, which the dream alone rewards; let world be dream and score_world same",
        ),
    ],
)
def test_what_means_nothing_is_one_line(words, said, toy_run, capsys):
    assert main([str(toy_run) if word == "RUN" else word for word in words]) == 2
    assert capsys.readouterr().err.strip().endswith(said)


def test_fidelity_says_how_unsure_m_is(toy_copy, capsys):
    asked = ["--real-episodes", "2", "--dream-episodes", "3", "--num-workers", "1", "--uncertainty-masks", "3"]
    assert main(["fidelity", str(toy_copy), *asked]) == 0
    found = json.loads((toy_copy / "evaluation" / "fidelity.json").read_text())["uncertainty"]
    assert found["uncertainty_masks"] == 3
    for world in ("recorded", "dream"):
        assert 0 < found[world]["mean"] <= found[world]["p90"] * 2
        assert found[world]["num_steps"] > 20
    said = f"M's uncertainty is {found['recorded']['mean']:.3g} along held-out episodes and {found['dream']['mean']:.3g} in C's"
    assert said in capsys.readouterr().out
    shutil.rmtree(Path(toy_copy) / "evaluation")
