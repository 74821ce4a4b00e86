"""V, M and C that begin with another model's weights (``--from``): frozen, trained on, killed, refused where they do not
fit."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from worldmodels.agent.load import load
from worldmodels.base.errors import UserError
from worldmodels.base.files import sha256_of
from worldmodels.base.logs import MetricsLog
from worldmodels.base.tensors import load_tensors
from worldmodels.cli import main
from worldmodels.config import ControllerConfig, RNNConfig, VAEConfig
from worldmodels.envs.registry import get_task
from worldmodels.models.mdn_rnn import MDNRNN
from worldmodels.models.sizes import own_sizes
from worldmodels.runs.run import Run
from worldmodels.search.start import model_to_begin_with
from worldmodels.stages.pipeline import make_stage
from worldmodels.training import loop
from worldmodels.training.beginning import beginning

AFTER = {"collect": 0, "vae": 1, "encode": 2, "rnn": 3}
FOLDERS = ("episodes", "vae", "latents", "rnn", "controller", "model", "evaluation")


@pytest.fixture
def begun(toy_run, tmp_path):
    """Copies the finished toy run's first stages, up to one of them."""

    def copy(stage, name="run"):
        gone = (*FOLDERS[AFTER[stage] + 1 :], "plots", "tensorboard", "timings.jsonl", ".lock")
        return shutil.copytree(toy_run, tmp_path / name, ignore=shutil.ignore_patterns(*gone))

    return copy


def weights(path):
    return {name: tensor.numpy() for name, tensor in load_tensors(path / "model.safetensors").items()}


def last_row(path):
    return json.loads((path / "metrics.jsonl").read_text().splitlines()[-1])


def same(one, other):
    return all(np.array_equal(one[name], other[name]) for name in one | other)


def test_with_no_steps_they_are_carried_as_they_are_and_measured(begun, toy_run):
    path = begun("collect")
    for verb in ("train-vae", "train-rnn"):
        if verb == "train-rnn":
            assert main(["encode", "--run", str(path)]) == 0
        assert main([verb, "--run", str(path), "--from", str(toy_run), "--num-steps", "0"]) == 0
    for stage, loss in (("vae", "held_out_recon_loss"), ("rnn", "held_out_nll")):
        assert same(weights(path / stage), weights(toy_run / stage))
        assert last_row(path / stage)["step"] == 0
        assert last_row(path / stage)[loss] == last_row(toy_run / stage)[loss]
        started = json.loads((path / stage / "STARTED").read_text())
        assert started["inputs"][f"from/{stage}"] == sha256_of(toy_run / stage / "model.safetensors")
    assert (path / "latents" / "mu.npy").read_bytes() == (toy_run / "latents" / "mu.npy").read_bytes()
    assert main(["train-controller", "--run", str(path)]) == 0


@pytest.mark.parametrize(("stage", "before"), [("vae", "collect"), ("rnn", "encode")])
def test_trained_on_and_killed_it_ends_with_the_same_bytes(stage, before, begun, toy_run, monkeypatch):
    verb = f"train-{stage}"
    command = [verb, "--from", str(toy_run / "model"), "--num-steps", "8", "--batch-size", "4", "--run"]
    whole, path = begun(before, "whole"), begun(before)
    assert main([*command, str(whole)]) == 0
    assert not same(weights(whole / stage), weights(toy_run / stage))
    save = loop._save

    def killed(*args):
        save(*args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_save", killed)
        assert main([*command, str(path)]) == 130
    other = [verb, "--run", str(path), "--from", str(toy_run)]  # its weights are other bytes
    kept = {file: file.read_bytes() for file in path.rglob("*") if file.is_file() and file.name != ".lock"}
    if stage == "vae":
        assert main(other) == 2
        assert {file: file.read_bytes() for file in kept} == kept
    assert main([verb, "--run", str(path)]) == 0  # the run remembers whose they are
    assert (path / stage / "DONE").read_bytes() == (whole / stage / "DONE").read_bytes()
    assert (path / stage / "model.safetensors").read_bytes() == (whole / stage / "model.safetensors").read_bytes()


def test_a_resume_with_another_model_is_refused_and_the_same_weights_elsewhere_are_not(begun, toy_run, tmp_path, capsys):
    path = begun("collect")
    assert (
        main(["train-vae", "--run", str(path), "--from", str(toy_run / "model"), "--num-steps", "1", "--batch-size", "2"]) == 0
    )
    done = (path / "vae" / "DONE").read_bytes()
    capsys.readouterr()
    assert main(["train-vae", "--run", str(path), "--from", str(toy_run)]) == 2
    err = capsys.readouterr().err
    assert f"{path / 'vae'}: was made from other inputs (from/vae); remove the folder to make it anew" in err
    assert err.count("\n") == 1
    moved = shutil.copytree(toy_run / "model", tmp_path / "moved")
    assert main(["train-vae", "--run", str(path), "--from", str(moved)]) == 0
    settings = VAEConfig.from_dict(json.loads((path / "config.json").read_text())["stages"]["vae"] | {"from_model": ""}, "")
    with pytest.raises(UserError, match=r"other inputs \(from/vae\)"):
        make_stage("vae", path, "toy", "smoke", 0, settings=settings)
    assert (path / "vae" / "DONE").read_bytes() == done


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["train-vae", "--from", "RUN", "--latent-size", "8", "--width", "2"],
            "V cannot begin with that of RUN: latent_size is 8 here and 4 there, width is 2 here and 1 there; "
            "use --latent-size 4 --width 1, or leave out --from",
        ),
        (
            ["train-rnn", "--from", "RUN", "--hidden-size", "24", "--num-mixtures", "3", "--layer-norm"],
            "M cannot begin with that of RUN: hidden_size is 24 here and 8 there, num_mixtures is 3 here and 5 there, "
            "layer_norm is true here and false there; use --hidden-size 8 --num-mixtures 5 --no-layer-norm, or leave out",
        ),
        (
            ["train-rnn", "--from", "car-racing"],
            "latent_size is 4 here and 32 there, action_size is 1 here and 3 there, hidden_size is 8 here and 256 there, "
            "restart_input is true here and false there, reward_head is false here and true there; leave out --from",
        ),
        (
            ["train-vae", "--num-steps", "0"],
            "num_steps is 0, and V would keep random weights; name whose it has with --from MODEL",
        ),
        (
            ["train-rnn", "--num-steps", "0"],
            "num_steps is 0, and M would keep random weights; name whose it has with --from MODEL",
        ),
        (["train-vae", "--from", "take-cove"], "take-cove: no such folder and no such task; did you mean 'take-cover'?"),
        (["train-vae", "--from", "SELF"], "not finished; run 'worldmodels train-vae --run SELF' first"),
        (["train-vae", "--from", ""], "--from is empty"),
    ],
    ids=lambda value: "-".join(value[:3]) if isinstance(value, list) else "",
)
def test_what_does_not_fit_is_named_and_nothing_is_left(words, said, begun, toy_run, capsys):
    verb, *rest = words
    path = begun({"train-vae": "collect", "train-rnn": "encode", "train-controller": "rnn"}[verb])
    places = {"RUN": str(toy_run), "SELF": str(path)}
    before = sorted(path.rglob("*")), (path / "config.json").read_bytes()
    assert main([verb, "--run", str(path), *(places.get(word, word) for word in rest)]) == 2
    err = capsys.readouterr().err
    for name, place in places.items():
        said = said.replace(name, place)
    assert said in err
    assert err.count("\n") == 1
    after = sorted(file for file in path.rglob("*") if file.name != ".lock"), (path / "config.json").read_bytes()
    assert after == before


def test_a_run_that_goes_on_from_another_begins_with_that_ones(toy_run, tmp_path):
    spec = get_task("toy")
    run = Run.create(tmp_path / "next", "toy", "smoke", 1, spec.preset("smoke"), toy_run)
    for stage, name in (("vae", "V"), ("rnn", "M")):
        settings = getattr(run.preset, stage)
        with pytest.raises(
            UserError, match=f"with whose {name} it begins; leave out --from, or begin a run without --previous"
        ):
            beginning(run, stage, replace(settings, from_model=str(toy_run)))
        before = beginning(run, stage, replace(settings, num_steps=0))
        digest = sha256_of(toy_run / stage / "model.safetensors")
        assert before.inputs == {f"previous/{stage}": digest}
    model = MDNRNN(own_sizes(spec))
    before.give("rnn", model, own_sizes(spec))
    assert same({name: part.detach().numpy() for name, part in model.named_parameters()}, weights(toy_run / "rnn"))


def test_a_search_begins_at_another_models_c_and_scores_it_first(begun, toy_run, monkeypatch):
    whole, path, kept = begun("rnn", "whole"), begun("rnn"), begun("rnn", "kept")
    command = ["train-controller", "--from", str(toy_run), "--num-generations", "2", "--run"]
    assert main([*command, str(whole)]) == 0
    start = load_tensors(whole / "controller" / "start.safetensors")["solution"]
    assert torch.equal(start, load(toy_run).solution)
    assert [json.loads(line)["generation"] for line in (whole / "controller" / "scores.jsonl").open()] == [0, 2]
    write, rows = MetricsLog.write, []

    def killed(log, **row):
        write(log, **row)
        rows.append(row)
        if "fitness" in row:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MetricsLog, "write", killed)
        assert main([*command, str(path)]) == 130
    assert main(["train-controller", "--run", str(path)]) == 0
    for name in ("controller/best.safetensors", "controller/DONE", "model/controller.safetensors"):
        assert (path / name).read_bytes() == (whole / name).read_bytes()
    assert main(["train-controller", "--from", str(whole), "--run", str(path)]) == 2
    assert main(["train-controller", "--run", str(kept), "--from", str(toy_run), "--num-generations", "0"]) == 0
    assert torch.equal(load(kept).solution, start)


def test_a_search_begins_at_a_c_that_sees_less_and_not_at_one_that_sees_more(begun, toy_run, capsys):
    less, more = begun("rnn", "less"), begun("rnn", "more")
    command = ["train-controller", "--num-generations", "1", "--run"]
    assert main([*command, str(less), "--inputs", "z"]) == 0
    assert main([*command, str(more), "--from", str(less), "--inputs", "zh"]) == 0
    start, known = (
        load_tensors(path)["solution"] for path in (more / "controller/start.safetensors", less / "controller/best.safetensors")
    )
    assert torch.count_nonzero(start) == torch.count_nonzero(known) > 0
    capsys.readouterr()
    assert main(["train-controller", "--run", str(begun("rnn", "other")), "--from", str(toy_run), "--inputs", "z"]) == 2
    assert (
        f"C cannot begin with that of {toy_run}: inputs is z here and zh there; use --inputs zh, or leave out --from"
        in capsys.readouterr().err
    )


def test_the_next_round_begins_with_the_run_before_alone(toy_run, tmp_path):
    preset = Run.open(toy_run).preset
    carried = {stage: replace(getattr(preset, stage), from_model="toy") for stage in ("vae", "rnn", "controller")}
    run = Run.plan(tmp_path / "next", "toy", "smoke", 1, replace(preset, **carried), toy_run)
    assert not any(getattr(run.preset, stage).from_model for stage in carried)
    with pytest.raises(UserError, match="with whose C it begins; leave out --from"):
        model_to_begin_with(carried["controller"], run)


def test_whose_weights_is_known_by_their_hash_alone():
    for kind in (VAEConfig, RNNConfig, ControllerConfig):
        assert kind(from_model="take-cover").fingerprint_fields() == kind().fingerprint_fields()
