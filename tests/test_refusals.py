"""A command that is refused leaves nothing: no folder, no lock, no configuration, and no changed byte in a run."""

import shutil
from pathlib import Path

import pytest

from worldmodels.base.files import sha256_of
from worldmodels.cli import main
from worldmodels.runs.lock import RunLock


def tree(path):
    """Every folder, and every file with its content."""
    return {str(p.relative_to(path)): sha256_of(p) if p.is_file() else None for p in path.rglob("*")}


TOO_FEW = ["--num-episodes", "0"]
STAGES = ["train-vae", "encode", "train-rnn", "train-controller"]
#: In a folder with `run`, a finished run of the toy task, `half`, one that has its episodes only, `rounds`, and `file`.
REFUSED = [
    ["collect", "--run", ""],
    ["train-vae", "--run="],
    ["evaluate", ""],
    ["evaluate", "run", "--json", ""],
    ["table", "temperature", "--model", ""],
    ["reproduce", "toy", "--run", ""],
    *[[verb, "--run", "new"] for verb in STAGES],
    *[[verb, "--run", "new/deep", "--task", "toy", "--scale", "smoke"] for verb in STAGES],
    *[[verb, "--run", "half", "--task", "car-racing"] for verb in STAGES],
    *[[verb, "--run", "half", "--seed", "7"] for verb in STAGES],
    *[[verb, "--run", "run", "--previous", "half"] for verb in STAGES],
    *[[verb, "--run", "half"] for verb in STAGES[1:]],
    *[[verb, "--run", "half", "--device", "cuda"] for verb in STAGES],
    *[[verb, "--run", "half", "--json", "file/x.json"] for verb in STAGES],
    ["train-vae", "--run", "half", "--batch-size", "0"],
    ["train-vae", "--run", "half", "--held-out-fraction", "0.0001"],
    ["train-vae", "--run", "run", "--num-steps", "21"],
    ["train-vae", "--run", "half", "--batch-size", "5", "--device", "cuda"],
    ["train-vae", "--run", "half", "--from", "run", "--latent-size", "8"],
    ["train-vae", "--run", "half", "--from", "half"],
    ["train-vae", "--run", "half", "--from", "nothing"],
    ["train-vae", "--run", "half", "--num-steps", "0"],
    ["train-vae", "--run", "half", "--augment", "1.5"],
    ["encode", "--run", "half", "--augment-boxes", "-1"],
    ["encode", "--run", "half", "--mirror-episodes", "3"],
    ["train-rnn", "--run", "half", "--batch-size", "3"],
    ["train-controller", "--run", "new", "--task", "toy", "--population-size", "1"],
    ["train-controller", "--run", "run", "--ppo-iterations", "3"],
    *[["collect", "--task", "toy", "--scale", "smoke", "--run", "new/deep", *flags] for flags in (
        TOO_FEW, ["--seed", "-1"], ["--seed", "2147483648"], ["--previous", "file"], ["--previous", "nothing"],
        ["--previous", "run"],
        ["--previous", "half", "--seed", "5", "--policy", "agent"], ["--policy", "agent"], ["--start-anywhere"],
        ["--address", "here:1"], ["--json", "file/x.json"], ["--scale", "smol"], ["--task", "tyo"],
    )],
    ["collect", "--run", "file", "--task", "toy"],
    *[["reproduce", "toy", "--run", "new/deep", *flags] for flags in (
        ["--scale", "smol"], ["--seed", "-1"], ["--device", "cuda"], ["--address", "x:1"], ["--json", "file/x.json"],
    )],
    ["reproduce", "tyo"],
    ["reproduce", "toy", "--run", "run", "--seed", "3"],
    ["reproduce", "toy", "--run", "file/x"],
    *[["iterate", "toy", "--run", "new/deep", *flags] for flags in (
        ["--rounds", "0"], ["--rounds", "-2"], ["--rounds", "9999"], ["--seed", "-1"], ["--seed", "2147483646"],
        ["--scale", "smol"],
        ["--address", "x:1"], ["--json", "file/x.json"],
    )],
    ["iterate", "tyo"],
    ["iterate", "toy", "--run", "rounds", "--seed", "3"],
    *[["table", "ablation", "--model", "run", "--run", "new/deep", *flags] for flags in (
        ["--seed", "-1"], ["--scale", "smol"], ["--num-generations", "-1"], ["--ppo-iterations", "2"], ["--address", "x:1"],
        ["--json", "file/x.json"],
    )],
    ["table", "departures", "--model", "take-cover", "--run", "new/deep", "--seed", "2147483647"],
    ["table", "transfer", "--model", "run", "--run", "new"],
    ["table", "transfer", "--model", "run", "--run", "new", "--to", "tyo"],
    ["table", "transfer", "--model", "run", "--run", "new", "--to", "toy.walls", "--scale", "smol"],
    ["table", "ablatoin", "--model", "run", "--run", "new"],
    ["table", "ablation", "--model", "half", "--run", "new"],
    ["table", "ablation", "--model", "nothing", "--run", "new"],
    *[["evaluate", "run", "--json", "new/x.json", *flags] for flags in (
        ["--seed", "-1"], ["--episodes", "0"], ["--world", "dream", "--device", "cuda"], ["--address", "x:1"],
    )],
    ["evaluate", "half", "--json", "new/x.json"],
    ["evaluate", "file", "--json", "new/x.json"],
    ["fidelity", "half"],
    ["fidelity", "take-cover"],
    ["fidelity", "run", "--device", "cuda"],
    ["fidelity", "run", "--real-episodes", "1"],
    ["fidelity", "rounds/nothing"],
    ["plot", "planned"],
    ["plot", "nothing", "--out", "new"],
    ["plot", "toy", "--out", "new"],
    ["plot", "run", "--out", "file"],
    ["video", "run", "--out", "new/x.avi"],
    ["video", "half", "--out", "new/x.mp4"],
    ["video", "run", "--out", "new/x.mp4", "--seed", "-1"],
    ["video", "run", "--out", "new/x.mp4", "--seed", "2147483647"],
    ["video", "run", "--out", "new/x.mp4", "--world", "dream", "--device", "cuda"],
    ["video", "run", "--out", "file/x.mp4"],
    ["inspect", "nothing", "--json", "new/x.json"],
    ["inspect", "run", "--json", "file/x.json"],
    ["inspect", "file", "--json", "new/x.json"],
]  # fmt: skip


@pytest.fixture(scope="module")
def place(toy_run, tmp_path_factory):
    """The folder that the commands are refused in; none of them may change it."""
    path = tmp_path_factory.mktemp("place")
    stages = ["vae", "latents", "rnn", "controller", "model", "evaluation", "tensorboard", "plots"]
    shutil.copytree(toy_run, path / "run")
    shutil.copytree(toy_run, path / "half", ignore=shutil.ignore_patterns(*stages))
    shutil.copytree(toy_run, path / "encoded", ignore=shutil.ignore_patterns("controller", "model", "evaluation", "plots"))
    shutil.copytree(toy_run, path / "rounds" / "round-0")
    (path / "planned").mkdir()
    shutil.copy(toy_run / "config.json", path / "planned")
    (path / "file").write_text("mine")
    return path


@pytest.mark.parametrize("words", REFUSED, ids=" ".join)
def test_a_refused_command_leaves_nothing(place, words, monkeypatch, capsys):
    import torch

    if "cuda" in words and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    monkeypatch.chdir(place)
    before = tree(place)
    assert main(words) == 2
    err = capsys.readouterr().err
    assert err.startswith("worldmodels: ")
    assert err.count("\n") == 1
    assert tree(place) == before


@pytest.mark.parametrize(
    ("damaged", "words"),
    [
        ("half/episodes/DONE", ["train-vae", "--run", "half", "--batch-size", "9"]),
        ("half/episodes/shard-00000/frames.bin", ["train-vae", "--run", "half", "--batch-size", "9"]),
        ("encoded/latents/mu.npy", ["train-controller", "--run", "encoded", "--sigma", "0.3"]),
        ("encoded/vae/model.safetensors", ["train-controller", "--run", "encoded", "--sigma", "0.3"]),
    ],
)
def test_refused_for_damage_it_leaves_nothing(place, tmp_path, damaged, words, monkeypatch, capsys):
    shutil.copytree(place, tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")
    data = Path(damaged).read_bytes()
    Path(damaged).write_bytes(data[: len(data) // 2])
    before = tree(Path())
    assert main(words) in (2, 3)
    assert capsys.readouterr().err.startswith("worldmodels: ")
    assert tree(Path()) == before


def test_a_mistyped_run_names_the_nearest(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    assert main(["train-vae", "--run", "hlaf"]) == 2
    assert capsys.readouterr().err == (
        "worldmodels: hlaf: no run is here (no config.json); did you mean 'half'?; "
        "'worldmodels collect --run hlaf --task TASK' begins one\n"
    )
    assert main(["evaluate", "hlaf"]) == 2
    assert "did you mean 'half'?" in capsys.readouterr().err


def test_what_was_refused_does_not_decide_what_comes_after(tmp_path, capsys):
    """The folder is free for another task, and says what is made in it."""
    run = tmp_path / "run"
    assert main(["train-vae", "--run", str(run)]) == 2
    assert main(["collect", "--run", str(run), "--task", "toy", "--scale", "smoke", "--num-workers", "1", "--seed", "4"]) == 0
    assert f"{run}: a new run: task toy, scale smoke, seed 4\n" in capsys.readouterr().err
    assert not (run / ".lock").exists()


def test_the_lock_of_a_run_that_is_held_stays(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    with RunLock(Path("run")):
        assert main(["train-vae", "--run", "run"]) == 2
        assert "in use by process" in capsys.readouterr().err
        assert (place / "run" / ".lock").exists()
    assert not (place / "run" / ".lock").exists()


def test_bounds_are_printed_as_people_write_them(toy_run, capsys):
    for flag, value, bounds in (
        ("--seed", "-1", "between 0 and 1,073,741,823"),
        ("--seed", "1073741800", "between 0 and 1,073,741,724"),
        ("--episodes", "0", "between 1 and 10,000,000"),
        ("--temperature", "-1", "between 0.01 and 10"),
    ):
        assert main(["evaluate", str(toy_run), flag, value]) == 2
        assert bounds in capsys.readouterr().err
    assert main(["train-vae", "--run", str(toy_run), "--learning-rate", "0"]) == 2
    assert "between 1e-8 and 1" in capsys.readouterr().err
