"""Augmented frames: what each change does, where its draws come from, and that V and M learn from them as exactly as ever."""

import json
import shutil
from itertools import pairwise

import numpy as np
import pytest

from worldmodels.cli import main
from worldmodels.config import AugmentConfig, EncodeConfig, VAEConfig
from worldmodels.data.augment import AugmentedEpisodes, augment, draw_looks
from worldmodels.data.run_data import open_episodes
from worldmodels.runs.run import Run
from worldmodels.stages import encode
from worldmodels.training import loop

OFF = {"colour": 0.0, "noise": 0.0, "boxes": 0}
SIDE = 64


def some_frames(num, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (num, SIDE, SIDE, 3), np.uint8)


def made(frames, looks, noise=lambda row: row):
    return augment(frames, looks, np.arange(len(frames)), noise)


def test_colours_are_an_affine_map_of_each_pixel():
    frames, looks = some_frames(6), draw_looks(1.0, AugmentConfig(**{**OFF, "colour": 0.3}), 6, 5)
    expected = np.einsum("nij,nrcj->nrci", looks.mix.astype(float), frames.astype(float)) + looks.shift[:, None, None]
    np.testing.assert_allclose(made(frames, looks), np.rint(np.clip(expected, 0, 255)), atol=1)
    assert (np.abs(looks.mix - np.eye(3)) <= 0.3 + 1e-6).all()
    assert (np.abs(looks.shift) <= 0.3 * 255).all()
    assert len(np.unique(looks.mix)) == 6 * 9


def test_road_and_field_can_move_apart():
    """Two colours that are equal in two channels may each become another one in these, too."""
    frames = np.full((40, SIDE, SIDE, 3), 102, np.uint8)
    frames[:, 32:, :, 1] = 204
    seen = made(frames, draw_looks(1.0, AugmentConfig(**{**OFF, "colour": 0.2}), 40, 1)).astype(int)
    apart = seen[:, 40, 0] - seen[:, 0, 0]
    assert (np.abs(apart[:, 0]) > 5).mean() > 0.4


def test_noise_moves_each_number_by_no_more_than_its_amplitude():
    config = AugmentConfig(**{**OFF, "noise": 0.2})
    frames, looks = np.full((50, SIDE, SIDE, 3), 128, np.uint8), draw_looks(1.0, config, 50, 2)
    moved = made(frames, looks).astype(int) - 128
    assert (np.abs(moved).max((1, 2, 3)) <= np.rint(looks.noise)).all()
    assert (looks.noise <= 0.2 * 255).all()
    np.testing.assert_allclose(moved.std((1, 2, 3)), looks.noise / np.sqrt(3), rtol=0.05, atol=0.35)
    assert abs(moved.mean()) < 0.1
    assert not np.array_equal(made(frames, looks), made(frames, looks, lambda row: row + 1))


def test_boxes_are_filled_and_no_larger_than_they_may_be():
    config = AugmentConfig(**{**OFF, "boxes": 3, "box_area": 0.1})
    frames, looks = some_frames(200), draw_looks(1.0, config, 200, 3)
    seen = made(frames, looks)
    counts = np.zeros(4, int)
    for number in range(200):
        expected = frames[number].copy()
        sizes = []
        for (top, left, bottom, right), fill in zip(looks.boxes[number], looks.fills[number], strict=True):
            assert 0 <= top <= bottom <= SIDE
            assert 0 <= left <= right <= SIDE
            expected[top:bottom, left:right] = fill
            sizes.append((bottom - top, right - left))
        np.testing.assert_array_equal(seen[number], expected)
        # Rounded edges add half a pixel on each side at most.
        assert all((height - 1) * (width - 1) <= 0.1 * SIDE**2 for height, width in sizes if height and width)
        counts[sum(height + width > 0 for height, width in sizes)] += 1
    assert (counts > 25).all()
    heights, widths = (looks.boxes[..., end] - looks.boxes[..., end - 2] for end in (2, 3))
    assert (looks.fills == 0).all(2).mean() == pytest.approx(0.25 + 0.25 / 8, abs=0.05)  # black, and of full colours an eighth
    assert np.isin(looks.fills, (0, 255)).all(2).mean() == pytest.approx(0.5, abs=0.06)
    assert heights.max() > 55
    assert widths.max() > 55


def test_nothing_is_drawn_where_all_is_off_and_the_share_is_kept():
    frames = some_frames(5)
    np.testing.assert_array_equal(made(frames, draw_looks(1.0, AugmentConfig(**OFF), 5, 0)), frames)
    np.testing.assert_array_equal(made(frames, draw_looks(0.0, AugmentConfig(), 5, 0)), frames)
    assert abs(draw_looks(0.3, AugmentConfig(), 4000, 0).augmented.mean() - 0.3) < 0.03


def test_a_part_of_a_batch_is_augmented_as_in_the_whole():
    frames, looks = some_frames(9), draw_looks(0.7, AugmentConfig(), 9, 4)
    before, whole = frames.copy(), made(frames, looks)
    part = augment(frames[3:7], looks, np.arange(3, 7), lambda row: row + 3)
    np.testing.assert_array_equal(part, whole[3:7])
    np.testing.assert_array_equal(frames, before)
    assert not np.array_equal(whole, frames)


def test_off_it_is_in_no_fingerprint():
    for config in (VAEConfig(), EncodeConfig()):
        assert not [name for name in config.fingerprint_fields() if "augment" in name]
    on = VAEConfig(augment=0.5, looks=AugmentConfig(boxes=3))
    assert on.fingerprint_fields() == VAEConfig().fingerprint_fields() | {"augment": 0.5, "augment_boxes": 3}


@pytest.fixture
def collected(toy_run, tmp_path):
    def copy(name, *kept):
        path = tmp_path / name
        gone = {"vae", "latents", "rnn", "controller", "model", "evaluation", "plots", "tensorboard"} - set(kept)
        return shutil.copytree(toy_run, path, ignore=shutil.ignore_patterns(*gone, ".lock"))

    return copy


def bytes_of(path):
    return (path / "vae" / "model.safetensors").read_bytes()


@pytest.mark.parametrize("target", ["plain", "seen"])
def test_v_trained_on_augmented_frames_and_killed_ends_with_the_same_bytes(target, collected, toy_run, monkeypatch):
    short = ["--num-steps", "15", "--batch-size", "6"]
    command = ["train-vae", *short, "--augment", "0.6", "--augment-target", target, "--augment-boxes", "3", "--run"]
    whole, path = collected("whole"), collected("run")
    assert main([*command, str(whole)]) == 0
    assert bytes_of(whole) != bytes_of(toy_run)
    save, calls = loop._save, []

    def killed(*args):
        save(*args)
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_save", killed)
        assert main([*command, str(path)]) == 130
    assert main(["train-vae", "--run", str(path)]) == 0
    assert bytes_of(path) == bytes_of(whole)
    assert main(["train-vae", "--run", str(path), "--augment", "0.5"]) == 2


def test_what_v_is_to_make_of_a_frame_is_the_plain_one_or_the_seen_one(collected):
    """Frames that are all covered: of these V cannot learn what is plain, but what it sees it can."""
    covered = ["--augment", "1", "--augment-colour", "0", "--augment-noise", "0"]
    covered += ["--augment-boxes", "30", "--augment-box-area", "1", "--num-steps", "10", "--batch-size", "8"]
    losses = {}
    for target in ("plain", "seen"):
        path = collected(target)
        assert main(["train-vae", "--run", str(path), *covered, "--augment-target", target]) == 0
        rows = [json.loads(line) for line in (path / "vae" / "metrics.jsonl").read_text().splitlines()]
        losses[target] = rows[-1]
    assert losses["seen"]["recon_loss"] > 2 * losses["plain"]["recon_loss"]
    assert losses["plain"]["held_out_recon_loss"] < losses["seen"]["held_out_recon_loss"]


def test_an_episode_has_one_look_and_is_the_same_in_every_piece(toy_run):
    store = open_episodes(Run.open(toy_run))
    episodes = AugmentedEpisodes(store, 0.5, AugmentConfig(**{**OFF, "colour": 0.3}), 7)
    whole = episodes.frames(0, store.num_frames)
    pieces = [episodes.frames(start, min(start + 37, store.num_frames)) for start in range(0, store.num_frames, 37)]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)
    changed = []
    for first, last in pairwise(store.offsets):
        background = whole[first:last, 0, 0]  # black in every plain frame
        assert (background == background[0]).all()
        plain = store.frames(first, last)
        changed.append(not np.array_equal(whole[first:last], plain))
    assert 0 < sum(changed) < len(changed)


def test_m_reads_the_latents_of_augmented_episodes_and_a_kill_changes_nothing(collected, toy_run, monkeypatch):
    whole, path = collected("whole", "vae"), collected("run", "vae")
    command = ["encode", "--augment", "0.5", "--run"]
    monkeypatch.setattr(encode, "SPAN_FRAMES", 64)
    assert main([*command, str(whole)]) == 0
    write, left = encode.files.write_json, 2

    def killed(file, value):
        nonlocal left
        left -= file.name == "position.json"
        if left < 0:
            raise KeyboardInterrupt
        write(file, value)

    with monkeypatch.context() as patch:
        patch.setattr(encode.files, "write_json", killed)
        assert main([*command, str(path)]) == 130
    assert main([*command, str(path)]) == 0
    for name in ("mu", "logvar"):
        assert (path / "latents" / f"{name}.npy").read_bytes() == (whole / "latents" / f"{name}.npy").read_bytes()
    plain, seen = (np.load(folder / "latents" / "mu.npy") for folder in (toy_run, whole))
    offsets = np.concatenate([[0], np.cumsum(np.load(whole / "latents" / "lengths.npy"))])
    alike = [np.array_equal(plain[a:b], seen[a:b]) for a, b in pairwise(offsets)]
    assert 0 < sum(alike) < len(alike)
    assert main(["train-rnn", "--run", str(path)]) == 0
