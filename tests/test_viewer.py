"""Watching and playing, without a display: the session, the video, and the window on SDL's dummy driver."""

import os

import imageio.v3 as iio
import imageio_ffmpeg
import numpy as np
import pygame
import pytest
import torch
from conftest import run_cli

from worldmodels.agent.load import load
from worldmodels.base.errors import UserError
from worldmodels.cli import main
from worldmodels.config import PlayConfig, VideoConfig
from worldmodels.diagnostics.dreams import Dream, look, most_eventful
from worldmodels.envs.task import PlaySettings
from worldmodels.viewer.session import Session
from worldmodels.viewer.video import record


@pytest.fixture
def session(toy_run):
    made = Session(load(toy_run, finished=False), PlayConfig(player="agent", seed=5))
    yield made
    made.close()


def play(session, steps):
    for _ in range(steps):
        session.step()
        if session.episode.over:
            session.restart(session.episode.seed + 1)


def test_the_agent_plays_the_episodes_that_are_scored(toy_run, session):
    """What one watches is what `evaluate` counts."""
    from worldmodels.config import EvaluateConfig
    from worldmodels.stages.evaluate import evaluate

    result = evaluate(EvaluateConfig(episodes=1, seed=5), load(toy_run))
    while not session.episode.over:
        session.step()
    assert session.episode.score == result["episodes"][0]["return"]


def test_stepping_into_the_dream_goes_on_from_the_same_latent(session):
    session.step()
    session.step()
    before = session.picture().reconstruction
    session.switch_world()
    assert session.world == "dream"
    assert session.episode.steps == 2
    np.testing.assert_array_equal(session.picture().screen, before)
    session.step()
    session.switch_world()
    assert session.world == "real"
    assert session.episode.steps == 2  # reality waited


def test_from_an_episode_that_is_over_a_new_dream_begins(session):
    while not session.episode.over:
        session.step()
    session.switch_world()
    assert (session.world, session.episode.steps, session.episode.over) == ("dream", 0, False)
    session.step()
    assert session.episode.steps == 1
    session.switch_world()
    assert (session.world, session.episode.steps, session.episode.over) == ("real", 0, False)


def test_the_dream_beside_reality_is_put_back_every_second(session):
    session.step()
    assert (session.picture().dream != session.picture().reconstruction).any()
    session.restart()
    np.testing.assert_array_equal(session.picture().dream, session.picture().reconstruction)


def test_rewinding_takes_steps_back(session):
    session.switch_world()
    session.step()
    frame, episode = session.picture().screen, session.episode
    steps = episode.steps
    session.step()
    session.rewind()
    np.testing.assert_array_equal(session.picture().screen, frame)
    assert session.episode.steps == steps
    for _ in range(3):
        session.rewind()  # past the beginning nothing happens
    assert session.episode.steps == steps - 1


def test_the_temperature_stays_within_bounds(session):
    for _ in range(100):
        session.change_temperature(1)
    assert session.temperature == pytest.approx(10)
    for _ in range(100):
        session.change_temperature(-1)
    assert session.temperature == pytest.approx(0.01)


def test_a_persons_keys_act(toy_run, monkeypatch):
    agent = load(toy_run, finished=False)
    monkeypatch.setitem(agent.task.__dict__, "play", PlaySettings({"left": (-1.0,), "right": (1.0,)}, key_ramp=0.4))
    session = Session(agent, PlayConfig())
    try:
        seen = []
        for keys in ({"left"}, {"left"}, {"left"}, set(), {"right"}, {"x"}):
            session.step(dict.fromkeys(keys, 1.0))
            seen.append(round(float(session.action[0]), 3))
        assert seen == [-0.4, -0.8, -1.0, -0.6, -0.2, 0.0]
    finally:
        session.close()


@pytest.mark.parametrize("missing", [("controller", "model"), ("controller", "model", "rnn")])
def test_a_half_trained_run_is_shown(toy_copy, missing):
    import shutil

    for name in missing:
        shutil.rmtree(toy_copy / name)
    session = Session(load(toy_copy, finished=False), PlayConfig(player="agent"))
    try:
        play(session, 5)
        assert "no C yet" in session.who
        assert session.picture().reconstruction is not None
        if "rnn" in missing:
            assert session.picture().dream is None
            with pytest.raises(UserError, match="train-rnn"):
                session.switch_world()
        else:
            session.switch_world()
            play(session, 3)
    finally:
        session.close()


def test_nothing_to_see_with(toy_copy, capsys):
    import shutil

    for name in ("controller", "model", "rnn", "vae"):
        shutil.rmtree(toy_copy / name)
    assert main(["video", str(toy_copy), "--out", str(toy_copy / "v.mp4")]) == 2
    assert "train-vae" in capsys.readouterr().err


@pytest.mark.parametrize(("ending", "world"), [("mp4", "real"), ("mp4", "dream"), ("gif", "real")])
def test_a_video_moves(toy_run, tmp_path, ending, world):
    out = tmp_path / f"video.{ending}"
    assert main(["video", str(toy_run), "--world", world, "--steps", "30", "--out", str(out)]) == 0
    frames = iio.imread(out)
    assert len(frames) == (31 if ending == "mp4" else 16)
    panel = frames[:, 60:-90, 10:300].astype(int)
    assert np.abs(np.diff(panel, axis=0)).max(axis=(1, 2, 3)).mean() > 30
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_a_video_shows_another_look(toy_run, tmp_path):
    films = []
    for variant in ("plain", "walls"):
        out = tmp_path / f"{variant}.mp4"
        assert main(["video", str(toy_run), "--variant", variant, "--steps", "30", "--out", str(out)]) == 0
        films.append(iio.imread(out).astype(int))
    assert np.abs(films[0] - films[1]).max() > 60


def test_a_grid_shows_an_episode_a_tile(toy_run, tmp_path):
    out = tmp_path / "grid.mp4"
    assert main(["video", str(toy_run), "--grid", "3", "--steps", "5", "--out", str(out)]) == 0
    frame = iio.imread(out)[-1].astype(int)
    assert frame.shape == (2 * 278 + 8, 2 * 256 + 8, 3)
    first, second = frame[22:278, :256], frame[22:278, 264:]
    assert np.abs(first - second).max() > 30
    assert frame[:, 258:262].min() > 200  # a gap
    assert frame[290:, 268:].min() > 200  # the fourth is empty


def test_a_dream_is_filmed_where_it_moves_most(toy_run, tmp_path):
    agent = load(toy_run)
    dreams = look(agent, agent.temperature)
    chosen = most_eventful(agent, agent.temperature)
    assert chosen.motion == max(dream.motion for dream in dreams) > min(dream.motion for dream in dreams)
    films = []
    for seed in ([], ["--seed", str(chosen.seed)]):
        out = tmp_path / f"{len(films)}.mp4"
        assert main(["video", str(toy_run), "--world", "dream", "--steps", "12", "--out", str(out), *seed]) == 0
        films.append(out.read_bytes())
    assert films[0] == films[1]


def test_a_film_opens_where_a_dream_begins_to_move():
    frames = np.zeros((30, 64, 64, 3), np.uint8)
    frames[20:] = np.arange(10, dtype=np.uint8)[:, None, None, None] * 20
    dream = Dream(7, frames)
    assert 11 <= dream.liveliest(10) <= 20
    assert dream.motion == pytest.approx(9 * 20)
    assert Dream(7, frames[:5]).liveliest(10) == 0
    assert Dream(7, frames[:1]).motion == 0


def test_another_ending_is_refused(toy_run, tmp_path, capsys):
    assert main(["video", str(toy_run), "--out", str(tmp_path / "video.avi")]) == 2
    assert ".mp4 or .gif" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("driver", ["x11", None])
def test_without_a_display_the_mend_is_named(toy_run, capsys, monkeypatch, driver):
    """Also where something else in the process has opened an invisible one."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    pygame.display.init()
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    if driver is not None:
        monkeypatch.setenv("SDL_VIDEODRIVER", driver)
    assert main(["watch", str(toy_run)]) == 4
    err = capsys.readouterr().err
    assert "worldmodels video" in err
    assert len(err.splitlines()) == 1


def test_without_a_display_a_mistyped_name_is_said_first(capsys, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    assert main(["watch", "tak-cover"]) == 2
    assert "did you mean 'take-cover'?" in capsys.readouterr().err


@pytest.mark.parametrize("named", [{"DISPLAY": ":987"}, {"DISPLAY": "localhost:987.0"}, {"WAYLAND_DISPLAY": "wayland-987"}])
def test_a_display_that_does_not_answer_is_none(toy_run, tmp_path, named):
    """As after ssh, or in an old tmux: SDL alone would go on without a window that anybody sees."""
    without = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")}
    found = run_cli("play", toy_run, cwd=tmp_path, env={**without, "XDG_RUNTIME_DIR": str(tmp_path), **named})
    assert found.returncode == 4
    [line] = found.stderr.splitlines()
    [(name, value)] = named.items()
    assert f"no display answers at {name}={value}" in line
    assert "'worldmodels video TARGET --out FILE.mp4' makes a video" in line


def test_a_video_is_made_on_one_thread(toy_run, tmp_path, monkeypatch):
    """One frame at a time gains nothing from threads that wait for each other at every layer."""
    agent = load(toy_run, finished=False)
    seen = set()

    def squash(outputs):
        seen.add(torch.get_num_threads())
        return outputs

    monkeypatch.setitem(agent.task.__dict__, "squash", squash)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        record(agent, VideoConfig(steps=3), tmp_path / "video.mp4")
        assert (seen, torch.get_num_threads()) == ({1}, 2)
    finally:
        torch.set_num_threads(threads)


def test_after_the_last_seed_comes_the_first(toy_run):
    session = Session(load(toy_run, finished=False), PlayConfig(seed=2**31 - 1))
    try:
        session.restart(session.episode.seed + 1)
        assert session.episode.seed == 0
    finally:
        session.close()


def encoder_program(tmp_path, script):
    """A program in the encoder's place: a shell script, in which $ENCODER is the real one."""
    program = tmp_path / "ffmpeg"
    program.write_text(f"#!/bin/sh\nENCODER='{imageio_ffmpeg.get_ffmpeg_exe()}'\n{script}\n")
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("cat > /dev/null; exit 3", "it ended with 3"),
        ("cat > /dev/null; kill -9 $$", "it ended with -9"),
        ("echo 'no such thing' >&2; exit 1", "no such thing"),
        ('ulimit -f 8; exec "$ENCODER" "$@"', "the video encoder failed"),
    ],
)
def test_an_encoder_that_fails_leaves_no_video(toy_run, tmp_path, monkeypatch, capsys, script, said):
    """Also one that fails when it has taken every frame."""
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", encoder_program(tmp_path, script))
    out = tmp_path / "video.mp4"
    out.write_bytes(b"an older one")
    assert main(["video", str(toy_run), "--steps", "40", "--out", str(out)]) == 4
    err = capsys.readouterr().err.splitlines()[-1]
    assert f"worldmodels: {out}: the video encoder failed (" in err
    assert said in err
    assert out.read_bytes() == b"an older one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ffmpeg", "video.mp4"]


@pytest.mark.parametrize("folder", ["http:", "50%d"])
def test_the_encoder_takes_a_path_for_a_path(toy_run, tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    assert main(["video", str(toy_run), "--steps", "3", "--out", f"{folder}/video.mp4"]) == 0
    assert len(iio.imread(tmp_path / folder / "video.mp4")) == 4
