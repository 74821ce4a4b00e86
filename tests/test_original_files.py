"""The original's files as a model of ours: V, M and C against NumPy written from TensorFlow's rules, its frames against
Pillow's arithmetic.

V's weights are drawn here, in the format that the original writes; M's, C's and the beginnings are the published ones where
they are at hand, else drawn too.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import worldmodels as wm
from worldmodels.base.errors import BadFileError, UserError
from worldmodels.cli import main
from worldmodels.envs.original_frames import original_frame
from worldmodels.envs.registry import get_task
from worldmodels.models.mixture_nll import LOG_STD_RANGE
from worldmodels.models.stepper import MDNStepper
from worldmodels.plots.original_log import draw_original_log

PUBLISHED = Path(__file__).parents[1] / ".." / "shared" / "reference" / "original"
#: Z, A, H, the restart bit and the done logit, C's outputs and biases, and where a clone has the files.
DOOM = (64, 1, 512, 1, ("doomrnn", "tf_models", "tf_models", "tf_models"))
CAR = (32, 3, 256, 0, ("carracing", "vae", "rnn", "initial_z"))
TASKS = {"take-cover": DOOM, "car-racing": CAR}
K = 5


def whole(array):
    return np.round(array * 10_000).astype(int).tolist()


def vae_arrays(rng, latent):
    """TensorFlow's shapes, in the order of the variables' making."""
    convolutions = [(4, 4, 3, 32), (4, 4, 32, 64), (4, 4, 64, 128), (4, 4, 128, 256)]
    dense = [(1024, latent), (1024, latent), (latent, 1024)]
    deconvolutions = [(5, 5, 128, 1024), (5, 5, 64, 128), (6, 6, 32, 64), (6, 6, 3, 32)]
    arrays = []
    for shape in [*convolutions, *dense, *deconvolutions]:
        is_deconvolution = shape in deconvolutions
        fan_in = shape[-1] * 4 if is_deconvolution else np.prod(shape[:-1])
        arrays += [rng.normal(0, 1 / np.sqrt(fan_in), shape), rng.normal(0, 0.1, shape[2] if is_deconvolution else shape[-1])]
    return arrays


def rnn_arrays(rng, latent, action, hidden, restart):
    outputs = 3 * K * latent + restart
    lstm = [rng.normal(0, 0.05, (latent + action + restart + hidden, 4 * hidden)), rng.normal(0, 0.1, 4 * hidden)]
    output = [rng.normal(0, 0.1, (hidden, outputs)), rng.normal(0, 0.5, outputs)]
    return [*lstm, *output] if restart else [*output, *lstm]


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone of the original's repository: both tasks, with what else lies in its folders."""
    path, rng = tmp_path_factory.mktemp("clone"), np.random.default_rng(0)
    for latent, action, hidden, restart, (name, vae, rnn, initial) in TASKS.values():
        for folder in (vae, rnn, initial, "log"):
            (path / name / folder).mkdir(parents=True, exist_ok=True)
        features = latent + hidden * (2 if restart else 1)
        made = {
            f"{vae}/vae.json": [whole(array) for array in vae_arrays(rng, latent)],
            f"{rnn}/rnn.json": [whole(array) for array in rnn_arrays(rng, latent, action, hidden, restart)],
            f"{initial}/initial_z.json": [whole(rng.normal(size=(7, latent))), whole(rng.normal(-2, 1, (7, latent)))],
            f"log/{name}.cma.16.64.best.json": [rng.normal(size=action * (features + 1 - restart)).round(4).tolist(), 1.0],
            f"log/{name}.cma.16.64.hist.json": [[1, 57, 305.45, 144.62, 465.81, 84.82, 0.09859, 305.45, 465]],
            f"log/{name}.cma.16.64.json": [[0.5]],
        }
        for file, value in made.items():
            published = PUBLISHED / name / Path(file).name
            if published.exists():
                shutil.copy(published, path / name / file)
            else:
                (path / name / file).write_text(json.dumps(value))
    return path


@pytest.fixture(scope="module", params=TASKS)
def found(request, clone):
    """A task's agent as it is read, its folder's files, and its sizes."""
    name, *places = TASKS[request.param][4]
    files = [json.loads((clone / name / folder / file).read_text()) for folder, file in zip(places, FILES, strict=True)]
    best = json.loads((clone / name / "log" / f"{name}.cma.16.64.best.json").read_text())
    return wm.load(clone / name), *files, np.array(best[0]), TASKS[request.param][:4]


FILES = ("vae.json", "rnn.json", "initial_z.json")


def unwhole(arrays):
    return [np.array(array, np.float64) / 10_000 for array in arrays]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def convolved(x, kernel, bias):
    """tf.layers.conv2d, stride 2, no padding: [rows, columns, in] → [.., out], then relu."""
    size = kernel.shape[0]
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), (0, 1))[::2, ::2]  # [rows, columns, in, i, j]
    return np.maximum(np.einsum("yxcij,ijco->yxo", windows, kernel, optimize=True) + bias, 0)


def deconvolved(x, kernel, bias):
    """tf.layers.conv2d_transpose, stride 2, no padding; the kernel is [i, j, out, in]."""
    (rows, columns, _), size = x.shape, kernel.shape[0]
    out = np.zeros((2 * (rows - 1) + size, 2 * (columns - 1) + size, kernel.shape[2]))
    for y in range(rows):
        for column in range(columns):
            out[2 * y : 2 * y + size, 2 * column : 2 * column + size] += kernel @ x[y, column]
    return out + bias


def test_v_sees_and_draws_what_tensorflow_would(found):
    agent, vae, *_ = found
    arrays = unwhole(vae)
    frame = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    x = frame / 255
    for layer in range(4):
        x = convolved(x, *arrays[2 * layer : 2 * layer + 2])
    flat = x.reshape(-1)
    mu, logvar = (flat @ arrays[i] + arrays[i + 1] for i in (8, 10))
    with torch.no_grad():
        ours = agent.vae.encode(torch.from_numpy(frame / np.float32(255)).permute(2, 0, 1)[None])
    np.testing.assert_allclose(ours[0][0], mu, atol=1e-4)
    np.testing.assert_allclose(ours[1][0], logvar, atol=1e-4)

    y = (mu @ arrays[12] + arrays[13]).reshape(1, 1, 1024)
    for layer in range(7, 11):
        y = deconvolved(y, *arrays[2 * layer : 2 * layer + 2])
        y = np.maximum(y, 0) if layer < 10 else sigmoid(y)
    assert y.shape == (64, 64, 3)
    drawn = agent.decode(mu[None].astype(np.float32))[0] / 255
    np.testing.assert_allclose(drawn, y, atol=0.02)  # bfloat16, where the processor has it


def test_m_steps_and_draws_as_tensorflow_would(found):
    agent, _, rnn, *_, (latent, action, hidden_size, restart) = found
    arrays = unwhole(rnn)
    kernel, bias, weight_out, bias_out = arrays if restart else [*arrays[2:], *arrays[:2]]
    stepper, rng = MDNStepper(agent.rnn, torch.float32), np.random.default_rng(2)
    state, hidden, cell = agent.rnn.initial_state(3), np.zeros((3, hidden_size)), np.zeros((3, hidden_size))
    for step in range(12):
        z, act, begun = rng.normal(size=(3, latent)), rng.uniform(-1, 1, (3, action)), np.full(3, float(step == 0))
        inputs = np.concatenate([z, act, begun[:, None], hidden] if restart else [z, act, hidden], 1)
        i, j, f, o = np.split(inputs @ kernel + bias, 4, 1)
        cell = cell * sigmoid(f + 1.0) + sigmoid(i) * np.tanh(j)
        hidden = np.tanh(cell) * sigmoid(o)
        state = stepper.step(torch.from_numpy(z), torch.from_numpy(act), torch.from_numpy(begun), state)
    np.testing.assert_allclose(state.hidden, hidden, atol=5e-4)
    np.testing.assert_allclose(state.cell, cell, rtol=2e-3, atol=2e-3)

    output, temperature = hidden @ weight_out + bias_out, 1.25
    logits, mean, log_std = np.moveaxis(output[:, restart:].reshape(3, latent, 3, K), 2, 0)
    share = np.exp(logits / temperature - (logits / temperature).max(2, keepdims=True))
    ends = (share / share.sum(2, keepdims=True)).cumsum(2)
    uniform, normal = rng.random((3, latent)), rng.normal(size=(3, latent))
    picked = (uniform[..., None] >= ends[..., :-1]).sum(2)[..., None]
    drawn = np.take_along_axis(log_std, picked, 2)[..., 0]
    assert LOG_STD_RANGE[0] < drawn.min() < drawn.max() < LOG_STD_RANGE[1]  # our clip, which the original has not, is not met
    std = np.exp(drawn)
    expected = np.take_along_axis(mean, picked, 2)[..., 0] + std * normal * np.sqrt(temperature)
    z, done, reward = stepper.sample(
        state.hidden, torch.from_numpy(uniform).float(), torch.from_numpy(normal).float(), temperature
    )
    assert np.isclose(z.numpy(), expected, atol=1e-2).mean() > 0.97  # a number on a border may round to the next mixture
    assert reward is None
    if restart:
        np.testing.assert_allclose(done, output[:, 0], atol=2e-2)
    else:
        assert done is None


def test_c_acts_as_the_original(found):
    agent, *_, parameters, (latent, _, hidden, restart) = found
    seen = np.random.default_rng(3).normal(size=(20, latent + hidden * (1 + restart))).astype(np.float32) * 0.1
    if restart:
        expected = np.tanh(seen @ parameters.reshape(-1, 1))
    else:
        expected = np.tanh(seen @ parameters[3:].reshape(-1, 3) + parameters[:3])
        expected[:, 1] = (expected[:, 1] + 1) / 2
        expected[:, 2] = np.clip(expected[:, 2], 0, 1)
    np.testing.assert_allclose(agent.act(seen), expected, atol=1e-4)
    assert agent.inputs == ("zch" if restart else "zh")


def test_dreams_begin_where_the_original_did(found):
    agent, _, _, initial, *_ = found
    np.testing.assert_allclose(agent.world_model.initial.mu, unwhole(initial)[0], atol=1e-6)
    np.testing.assert_allclose(agent.world_model.initial.logvar, unwhole(initial)[1], atol=1e-6)
    world = agent.dream(4)
    seen, _ = world.reset(seed=[0, 1, 2, 3])
    for _ in range(5):
        seen, rewards, *_ = world.step(agent.act(seen))
    assert np.isfinite(seen).all()
    assert set(rewards) == {float(agent.task.name == "take-cover")}
    assert agent.temperature == {"take-cover": 1.25, "car-racing": 1.0}[agent.task.name]


def pillows_weights(source, target):
    """The bilinear weights along an axis, whole numbers of 2^-22, as Pillow's C code has them: [source, target]."""
    found, scale = np.zeros((source, target)), source / target
    support = max(scale, 1.0)
    for cell in range(target):
        center = (cell + 0.5) * scale
        first, last = max(int(center - support + 0.5), 0), min(int(center + support + 0.5), source)
        share = np.maximum(1 - np.abs((np.arange(first, last) - center + 0.5) / support), 0)
        found[first:last, cell] = np.floor(share / share.sum() * 2**22 + 0.5)
    return found


def shrunk(picture, axis, size):
    """Resizes along one axis and rounds, in whole numbers."""
    sums = np.tensordot(picture.astype(np.float64), pillows_weights(picture.shape[axis], size), (axis, 0))
    return np.moveaxis(np.floor((sums + 2**21) / 2**22).clip(0, 255).astype(np.uint8), -1, axis)


def originals_frame(picture):
    """The original's ``_process_frame``: SciPy's old `imresize` (its `bytescale`, then Pillow), and its inversion."""
    scaled = picture.astype(np.float64) / 255.0
    low, high = scaled.min(), scaled.max()
    stretched = ((scaled - low) * (255.0 / ((high - low) or 1)) + 0).clip(0, 255) + 0.5
    resized = shrunk(shrunk(stretched.astype(np.uint8), 1, 64), 0, 64)
    return (((1.0 - resized.astype(np.int64)) * 255).round().astype(np.int64) % 256).astype(np.uint8)


@pytest.mark.parametrize("shape", [(400, 640, 3), (84, 96, 3), (100, 160, 3), (50, 40, 3)])
def test_frames_are_the_originals_to_the_bit(shape):
    rng = np.random.default_rng(4)
    for picture in (
        rng.integers(0, 256, shape, np.uint8),
        rng.integers(40, 90, shape, np.uint8),  # little contrast: it is stretched
        np.full(shape, 77, np.uint8),
        (np.indices(shape).sum(0) % 256).astype(np.uint8),
    ):
        np.testing.assert_array_equal(original_frame(picture, 64), originals_frame(picture))


def test_the_tasks_make_them():
    doom = get_task("take-cover").seeing("original").make_env()
    frame, _ = doom.reset(seed=0)
    np.testing.assert_array_equal(frame, originals_frame(doom.unwrapped._screen[:400]))
    doom.close()
    car = get_task("car-racing").seeing("original")
    copy, official = car.make_env(), car.make_env(official=True)
    frame, _ = copy.reset(seed=0)
    np.testing.assert_array_equal(frame, originals_frame(copy.unwrapped.state_rows()))
    seen, _ = official.reset(seed=0)
    np.testing.assert_array_equal(seen, originals_frame(official.unwrapped.state[:84]))
    copy.close()
    official.close()


@pytest.mark.parametrize("task", TASKS)
def test_a_clone_becomes_a_model(task, clone, tmp_path, capsys):
    name = TASKS[task][4][0]
    out = tmp_path / "model"
    assert main(["import-original", str(clone / name), "--out", str(out)]) == 0
    assert f"task {task}" in capsys.readouterr().out
    read, written = wm.load(clone / name), wm.load(out)
    assert (written.task, written.inputs, written.temperature) == (read.task, read.inputs, read.temperature)
    assert written.task.frames_name == "original"
    torch.testing.assert_close(written.solution, read.solution)
    assert main(["import-original", str(clone / name), "--out", str(out)]) == 2
    assert "is there already" in capsys.readouterr().err
    video = ["video", str(out), "--out", str(tmp_path / "o.gif"), "--steps", "3", "--world", "dream"]
    assert main(video) == 0
    scored = main(["evaluate", str(out), "--world", "dream", "--episodes", "2"])
    assert scored == (0 if task == "take-cover" else 2)
    if scored:
        assert "does not predict the reward" in capsys.readouterr().err


def test_it_plays_the_real_game(clone):
    result = wm.evaluate(clone / "doomrnn", episodes=1, num_workers=1)
    assert result["env"]["settings"] == {"resolution": "640x480", "original_frames": True}
    assert result["mean"] > 0


def test_the_four_files_alone_are_enough(clone, tmp_path):
    for file in ("tf_models/vae.json", "tf_models/rnn.json", "tf_models/initial_z.json", "log/doomrnn.cma.16.64.best.json"):
        shutil.copy(clone / "doomrnn" / file, tmp_path / Path(file).name)
    (tmp_path / "doomrnn.cma.16.64.best.json").rename(tmp_path / "mine.json")
    agent = wm.load(tmp_path)
    assert agent.task.name == "take-cover"
    torch.testing.assert_close(agent.solution, wm.load(clone / "doomrnn").solution)
    (tmp_path / "other.json").write_text("[[1.0]]")
    with pytest.raises(UserError, match=r"2 controllers \(mine.json, other.json\)"):
        wm.load(tmp_path)


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def changed(change):
    def damage(path):
        value = json.loads(path.read_text())
        path.write_text(json.dumps(change(value)))

    return damage


def with_first(value):
    """Puts a value in the place of the first number of the last array."""

    def change(arrays):
        arrays[-1][0] = value
        return arrays

    return changed(change)


@pytest.mark.parametrize(
    ("file", "damage", "code", "said"),
    [
        ("tf_models/vae.json", cut, 3, "not readable as JSON"),
        ("tf_models/vae.json", changed(lambda arrays: arrays[:-2]), 3, "holds 20 arrays; the original's has 22"),
        ("tf_models/vae.json", changed(lambda arrays: [arrays[2], *arrays[1:]]), 3, r"array 0 has shape \(4, 4, 32, 64\)"),
        ("tf_models/vae.json", with_first(float("nan")), 3, "array 21 holds a value that is not finite"),
        ("tf_models/vae.json", with_first("one"), 3, "array 21 holds something else than numbers"),
        ("tf_models/vae.json", with_first([1]), 3, "array 21 is no array"),
        ("tf_models/vae.json", Path.unlink, 2, "no vae.json is here"),
        ("tf_models/rnn.json", changed(lambda arrays: arrays[:3]), 3, "its arrays have the shapes"),
        ("tf_models/rnn.json", changed(lambda _: {"a": 1}), 3, "holds a dict"),
        ("tf_models/initial_z.json", changed(lambda z: [z[0], z[1][:-1]]), 3, "variances of first frames"),
        ("tf_models/initial_z.json", changed(lambda z: [z[0], [[1, 2]]]), 3, "array 1 has shape"),
        ("log/doomrnn.cma.16.64.best.json", changed(lambda best: [best[0][:-1], 1]), 3, "1,088 or 576 or 64 parameters"),
        ("log/doomrnn.cma.16.64.best.json", changed(lambda _: []), 3, "no controller"),
        ("log/doomrnn.cma.16.64.best.json", changed(lambda _: [[float("inf")] * 1088]), 3, "not finite"),
        ("log/doomrnn.cma.16.64.best.json", changed(lambda _: [[1e300] * 1088]), 3, "holds a value beyond"),
        (
            "tf_models/initial_z.json",
            changed(lambda z: [[[10**12, *z[0][0][1:]], *z[0][1:]], z[1]]),
            3,
            "array 0 holds a value beyond",
        ),
    ],
)
def test_what_is_damaged_is_named_and_leaves_nothing(file, damage, code, said, clone, tmp_path, capsys):
    folder = tmp_path / "doomrnn"
    shutil.copytree(clone / "doomrnn", folder, copy_function=shutil.copy)
    damage(folder / file)
    before = sorted(tmp_path.iterdir())
    assert main(["import-original", str(folder), "--out", str(tmp_path / "model")]) == code
    error = capsys.readouterr().err.strip()
    assert len(error.splitlines()) == 1
    assert len(error) < 600
    with pytest.raises(BadFileError if code == 3 else UserError, match=said):
        wm.load(folder)
    assert sorted(tmp_path.iterdir()) == before


def test_a_clone_of_both_and_a_folder_of_neither_are_refused(clone, tmp_path, capsys):
    assert main(["import-original", str(clone), "--out", str(tmp_path / "model")]) == 2
    assert f"name {clone / 'doomrnn'} or {clone / 'carracing'}" in capsys.readouterr().err
    assert main(["import-original", str(tmp_path), "--out", str(tmp_path / "model")]) == 2
    assert "no rnn.json and no vae.json are here" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


def test_its_logs_are_curves(clone, tmp_path):
    assert main(["plot", str(clone / "doomrnn"), "--out", str(tmp_path / "both")]) == 0
    names = {path.name for path in (tmp_path / "both").iterdir()}
    drawn = {f"{name}.{kind}" for name in ("doomrnn.cma.16.64.hist", "traversals", "summary") for kind in ("png", "svg")}
    assert names == {*drawn, "report.html"}
    logs = tmp_path / "logs"
    logs.mkdir()
    rows = [[t, 60 * t, 300.0 + t, 100.0, 500.0, 80.0, 0.1, 300.0, 500] for t in range(1, 51)]
    (logs / "mine.hist.json").write_text(json.dumps(rows))
    best = [[25, 1500, "improvement", 1.0, "curr", 700.5, "prev", 1.0, "best", 700.5]]
    (logs / "mine.hist_best.json").write_text(json.dumps(best))
    figure = draw_original_log(logs / "mine.hist.json")
    population, scored = figure.axes[0].lines
    np.testing.assert_array_equal(population.get_ydata(), [row[2] for row in rows])
    assert (list(scored.get_xdata()), list(scored.get_ydata())) == ([25], [700.5])
    assert list(figure.axes[1].lines[1].get_xdata()) == [1500 / 3600]
    assert main(["plot", str(logs), "--out", str(tmp_path / "out")]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"mine.hist.png", "mine.hist.svg"}
    assert main(["plot", str(logs / "mine.hist.json")]) == 0
    assert {path.name for path in (logs / "plots").iterdir()} == {"mine.hist.png", "mine.hist.svg"}


@pytest.mark.parametrize(
    ("verb", "folder"), [(["inspect"], "."), (["inspect"], "doomrnn"), (["export", "web", "--out", "page"], "doomrnn")]
)
def test_a_command_that_takes_no_original_says_what_makes_a_model_of_it(verb, folder, clone, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*verb, str(clone / folder)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.endswith(f"'worldmodels import-original {clone / folder} --out MODEL' makes a model of them")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("part", ["vae.json", "rnn.json", "initial_z.json", "doomrnn.cma.16.64.[bj]*"])
def test_logs_are_drawn_where_a_part_of_the_model_is_missing(part, clone, tmp_path):
    """As in a clone without V, or at the root of one that has two tasks."""
    shutil.copytree(clone, tmp_path / "clone")
    for path in list((tmp_path / "clone" / "doomrnn").rglob(part)):
        path.unlink()
    for folder, drawn in (("clone", ("carracing", "doomrnn")), ("clone/doomrnn", ("doomrnn",))):
        out = tmp_path / f"{Path(folder).name}-out"
        assert main(["plot", str(tmp_path / folder), "--out", str(out)]) == 0
        expected = {f"{task}.cma.16.64.hist.{kind}" for task in drawn for kind in ("png", "svg")}
        assert {path.name for path in out.iterdir()} == expected


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the original's published files are not here")
@pytest.mark.parametrize("task", ["carracing", "doomrnn"])
def test_the_published_logs_are_curves(task, tmp_path):
    assert main(["plot", str(PUBLISHED / task), "--out", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {f"{task}.cma.16.64.hist.png", f"{task}.cma.16.64.hist.svg"}


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("x.hist.json", "[[1, 2", "not readable as JSON"),
        ("x.hist.json", "[]", "no rows"),
        ("x.hist.json", "{}", "no rows"),
        ("x.hist.json", "[[1, 2, 3]]", "row 0 is not one of 9 finite numbers"),
        ("x.hist.json", "[[1, 2, NaN, 4, 5, 6, 7, 8, 9]]", "row 0 is not one of 9 finite numbers"),
        ("x.hist_best.json", '[[25, 1500, "curr"]]', "row 0 is not one of 3 finite numbers"),
        ("x.hist_best.json", '"curr"', "holds a str"),
    ],
)
def test_damaged_logs_are_named_and_nothing_is_drawn(file, text, said, tmp_path, capsys):
    (tmp_path / "x.hist.json").write_text("[[1, 2, 3, 4, 5, 6, 7, 8, 9]]")
    (tmp_path / file).write_text(text)
    assert main(["plot", str(tmp_path), "--out", str(tmp_path / "out")]) == 3
    error = capsys.readouterr().err.strip()
    assert said in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()
