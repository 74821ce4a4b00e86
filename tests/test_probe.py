"""What V and M know of the game's objects: the questions, their answers in the real game, and what a probe is worth."""

import dataclasses
import json

import numpy as np
import pytest
from conftest import random_world_model

from worldmodels.agent.agent import Agent
from worldmodels.cli import main
from worldmodels.config import ProbeConfig
from worldmodels.diagnostics.probe import Probes, measure, scored
from worldmodels.diagnostics.statistics import auc, entropy_explained
from worldmodels.diagnostics.watched import Moments
from worldmodels.envs.registry import get_task
from worldmodels.envs.take_cover.env import TakeCoverEnv
from worldmodels.envs.take_cover.fireballs import Fireballs, hit_when_standing, in_lanes, in_sectors, in_view


def test_entropy_explained_in_closed_form():
    truth = np.array([[True, False], [False, False], [True, True], [True, False]])
    rate = np.array([0.75, 0.25])
    assert entropy_explained(np.tile(np.log(rate / (1 - rate)), (4, 1)), truth) == pytest.approx(0)
    assert entropy_explained(np.where(truth, 40.0, -40.0), truth) == pytest.approx(1)
    # Chances of 0.8 for what is right: of two questions as rare as each other, -log 0.8 over their entropy.
    logits = np.where(truth, 1, -1) * np.log(0.8 / 0.2)
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert entropy_explained(logits, truth) == pytest.approx(1 + np.log(0.8) / entropy)
    # A question that is always answered alike is not open; a wrong chance for it still costs.
    assert entropy_explained(np.zeros(3), np.ones(3, bool)) is None
    both = np.stack([truth[:, 0], np.zeros(4, bool)], 1)
    assert entropy_explained(np.stack([logits[:, 0], np.zeros(4)], 1), both) == pytest.approx(
        1 - (np.log(2) - np.log(0.8)) / entropy
    )


def test_auc_counts_pairs():
    truth = np.array([True, False, True, False, True])
    assert auc(np.array([3.0, 1, 2, 0, 5]), truth) == 1
    assert auc(np.array([1.0, 1, 1, 1, 1]), truth) == 0.5
    assert auc(np.array([0.0, 1, 2, 3, 1]), truth) == pytest.approx((0 + 0 + 1 + 0 + 0.5 + 0) / 6)
    assert auc(np.array([1.0, 2]), np.array([True, True])) is None


def test_sectors_and_lanes():
    """Ahead, to the left, and the speed along both."""
    flying = np.array(
        [
            (100.0, 0.0, -10.0, 0.0),  # in the middle, here in 10 tics
            (100.0, -80.0, -10.0, 8.0),  # far to the right, and aimed at the player
            (200.0, 199.0, -10.0, 0.0),  # at the left edge, and missing by far
            (100.0, 120.0, -10.0, -12.0),  # beside the view
            (120.0, 5.0, 10.0, 0.0),  # flies away
        ]
    )
    assert in_view(flying).tolist() == [True, True, True, False, True]
    here = flying[in_view(flying)]
    assert np.flatnonzero(in_sectors(here, 20, 150)).tolist() == [0, 4]
    assert np.flatnonzero(in_sectors(here, 150, 300)).tolist() == [8]
    assert not in_sectors(here, 300, 450).any()
    assert np.flatnonzero(in_lanes(flying, 10, 20)).tolist() == [5]
    assert not in_lanes(flying, 0, 10).any()
    # A mirror changes left and right: the answers then stand in reverse.
    mirrored = here * [1, -1, 1, -1]
    for low, high in ((20, 150), (150, 300)):
        assert in_sectors(mirrored, low, high).tolist() == in_sectors(here, low, high)[::-1].tolist()


def test_standing_still_is_hit_or_not():
    def ball(ahead, aside):
        return np.array([(ahead, aside, -10.0, 0.0)])

    assert hit_when_standing(300, 0, 0, ball(222, 0))  # touches in the twentieth tic
    assert not hit_when_standing(300, 0, 0, ball(223, 0))
    assert not hit_when_standing(300, 0, 0, ball(150, 23))
    # At full speed the player slides out of its way, but not into a wall.
    assert not hit_when_standing(300, 7, 0, ball(150, 0))
    assert hit_when_standing(655, 7, 0, ball(150, 0))
    # The push of the tic before still acts: of the 8 units that it leads to, 5.8 are gone when the fireball is here.
    assert hit_when_standing(300, 0, 0, ball(150, -17))
    assert not hit_when_standing(300, 0, 1, ball(150, -17))


@pytest.fixture(scope="module")
def game():
    """Frames and fireballs of a held-out episode."""
    env = TakeCoverEnv(watched=True)
    frames, fireballs, answers = [env.reset(seed=3)[0]], [env._fireballs.flying], [env.answers()]
    for step in range(260):
        push = (0, 1, 0, -1)[step // 20 % 4]
        frame, _, terminated, _, _ = env.step(np.array([push], np.float32))
        if terminated:
            break
        frames.append(frame)
        fireballs.append(env._fireballs.flying)
        answers.append(env.answers())
    env.close()
    return frames, fireballs, answers


def test_a_fireball_is_on_the_frame_where_the_game_says(game):
    frames, fireballs, answers = game
    off = []
    for frame, flying, answer in zip(frames, fireballs, answers, strict=True):
        if len(flying) == 1 and in_view(flying)[0] and 70 < flying[0, 0] < 150:
            glow = frame.astype(float) @ [1, 1, -2]  # yellow
            column = np.nonzero(glow > 0.7 * glow.max())[1].mean()
            off.append(column - (31.5 - 32 * flying[0, 1] / flying[0, 0]))
            assert answer["in view at 20–150"].any()
    assert len(off) > 10
    assert max(np.abs(off)) < 1.5


def test_watching_changes_nothing(game):
    env = TakeCoverEnv()
    frames = [env.reset(seed=3)[0]]
    for step in range(len(game[0]) - 1):
        frames.append(env.step(np.array([(0, 1, 0, -1)[step // 20 % 4]], np.float32))[0])
    np.testing.assert_array_equal(frames, game[0])
    with pytest.raises(ValueError, match="watched"):
        env.answers()
    env.close()


def test_an_answer_needs_no_player():
    fireballs = Fireballs()
    fireballs.update([])
    assert [len(row) for row in fireballs.answers(0.0).values()] == [9] * 4 + [11] * 4 + [1]
    assert not any(row.any() for row in fireballs.answers(0.0).values())


def moments(features_of, num_moments=2_000):
    """Made-up moments of 10 episodes with three questions, two of them in a row."""
    rng = np.random.default_rng(0)
    answers = rng.random((num_moments, 3)) < [0.3, 0.1, 0.5]
    features = features_of(answers, rng).astype(np.float32)
    frames = np.zeros((num_moments, 64, 64, 3), np.uint8)
    episode = np.arange(num_moments) * 10 // num_moments
    return Moments(episode, frames, features, {"pair": 2, "single": 1}, answers, np.full(10, num_moments // 10))


def test_a_probe_reads_what_is_there_and_nothing_else():
    found = moments(lambda answers, rng: np.stack([answers[:, 0] ^ answers[:, 2], answers[:, 2], rng.random(len(answers))], 1))
    probes = Probes(found, False, 0, "cpu")
    assert set(found.episode[probes.held_out]) == {4, 9}
    rows = scored(
        probes, {"both": probes.of_features(found.features), "linear": probes.of_features(found.features, linear=True)}
    )
    pair, single = rows
    assert (pair["questions"], single["questions"]) == (2, 1)
    assert single["explained"]["both"] > 0.9
    assert single["auc"]["both"] == pytest.approx(1)
    # Of the pair the first needs both features together, and of the second nothing is there.
    assert pair["explained"]["both"] > 0.3
    assert abs(pair["explained"]["linear"]) < 0.1
    assert single["yes"] == pytest.approx(found.answers[probes.held_out, 2].mean())


def test_what_a_mirror_shows_is_learned_from_too():
    """One feature a question of the pair, which change places in a mirror; in training's moments the left one is never yes."""
    found = moments(lambda answers, rng: 1.0 * answers[:, :2])
    left = found.answers[:, 1] & (found.episode % 5 != 4)
    found = dataclasses.replace(found, answers=np.where(left[:, None], False, found.answers))
    found = dataclasses.replace(found, features=found.answers[:, :2].astype(np.float32))
    probes = Probes(found, True, 0, "cpu")
    alone, both = (probes.of_features(found.features, mirror) for mirror in (None, found.features[:, ::-1].copy()))
    [pair, _] = scored(probes, {"alone": alone, "both": both})
    assert pair["explained"]["both"] > 0.6
    assert pair["explained"]["alone"] < 0.4


def test_the_same_episodes_give_the_same_figures_to_the_byte():
    """Played by another agent, of which nothing is known, V's figures and the bound are the same; M's are not there."""
    spec = dataclasses.replace(get_task("take-cover"), max_episode_steps=60)
    agent = Agent(random_world_model(spec), "zch", None, 1.0)
    config = ProbeConfig(episodes=5, every_steps=5)
    found, again = measure(config, agent, None), measure(config, agent, agent)
    assert (found.pop("player"), again.pop("player")) == ("the random policy", "another agent")
    rows, rows_again = found.pop("rows"), again.pop("rows")
    assert found == again
    assert (found["moments"], found["held_out_moments"], found["returns"]["mean"]) == (60, 12, 60)
    assert [list(row["explained"]) for row in rows] == [["mu", "h", "z, c, h", "linear", "CNN"]] * 9
    for row, same in zip(rows, rows_again, strict=True):
        assert list(same["explained"]) == ["mu", "CNN"]
        assert json.dumps(same["explained"]) == json.dumps({name: row["explained"][name] for name in same["explained"]})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["car-racing"], "car-racing: its environment does not say where its objects are"),
        (["take-cover", "--player", "car-racing"], "player is an agent of car-racing; it must be one of take-cover"),
        (["take-cover", "--episodes", "4"], "episodes is 4"),
        (["take-cover", "--seed", "1073741800"], "seed is 1073741800"),
    ],
)
def test_a_senseless_question_is_refused(arguments, said, tmp_path, capsys):
    path = tmp_path / "probe.json"
    assert main(["probe", *arguments, "--json", str(path)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not path.exists()
