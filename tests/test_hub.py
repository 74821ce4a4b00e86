"""Agents on the Hugging Face Hub, with the real `huggingface_hub` and a Hub on this machine (tests/hub_server.py)."""

import contextlib
import importlib
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch
import yaml
from conftest import random_world_model
from hub_server import TOKEN, serving

import worldmodels as wm
from worldmodels.agent.files import PARTS, save_model
from worldmodels.base import files
from worldmodels.base.errors import UserError
from worldmodels.base.extras import how_to_install
from worldmodels.cli import main
from worldmodels.envs.registry import get_task
from worldmodels.models.controller import num_parameters
from worldmodels.runs import task_file
from worldmodels.runs.recorded import RecordedTask

SCORE = {"world": "real", "agent": "trained", "num_episodes": 20, "mean": 12.5, "std": 3.25, "temperature": None, "seed": 0}
SCORES = {
    "random": {**SCORE, "agent": "random", "mean": 4.0},
    "real": SCORE,
    "dream": {**SCORE, "world": "dream", "temperature": 1.0},
}


def random_agent(folder, task):
    world_model = random_world_model(get_task(task))
    solution = torch.zeros(num_parameters(world_model.sizes, "zh", world_model.spec.controller_bias))
    save_model(folder, world_model, "zh", solution, 0.7)


def error_line(said):
    """The last line, after the progress of a replay: nothing else is said, of the library above all."""
    *progress, last = said.splitlines()
    assert all(line.startswith("video: ") for line in progress), said
    return last


@contextlib.contextmanager
def library(**variables):
    """The library as a new process would have it: it reads its environment when it is imported."""
    kept = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "huggingface_hub"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        for name in kept:
            del sys.modules[name]
        try:
            yield importlib.import_module("huggingface_hub")
        finally:
            for name in [name for name in sys.modules if name.partition(".")[0] == "huggingface_hub"]:
                del sys.modules[name]
            sys.modules.update(kept)


@pytest.fixture(scope="module")
def agent_folder(tmp_path_factory):
    """A model's folder with scores beside it, as `worldmodels push` would get it."""
    folder = tmp_path_factory.mktemp("agent")
    random_agent(folder, "toy")
    files.write_json(folder / "evaluation.json", SCORES)
    (folder / "MODEL_CARD.md").write_text("# How it was made\n")
    (folder / "weights.pkl").write_bytes(b"cos\nsystem\n")
    return folder


@pytest.fixture(scope="module")
def hub(agent_folder, tmp_path_factory):
    """The server, with the agent pushed; its cache is the tests' own."""
    home = str(tmp_path_factory.mktemp("home"))
    with serving() as (server, url), library(HF_ENDPOINT=url, HF_HOME=home, HF_TOKEN=TOKEN, HF_HUB_OFFLINE="0"):
        assert main(["push", str(agent_folder), "me/toy-agent"]) == 0
        yield server


def test_what_is_pushed(hub, agent_folder):
    found = hub.files("me/toy-agent")
    parts = [f"{part}.safetensors" for part in PARTS]
    written = ["README.md", "evaluation.json", "results.json", "replay.mp4", ".eval_results/worldmodels.yaml"]
    assert sorted(found) == sorted([*parts, *written, "config.json", "MODEL_CARD.md"])
    assert all(found[name] == (agent_folder / name).read_bytes() for name in [*parts, "config.json", "MODEL_CARD.md"])
    results = {"mean_reward": 12.5, "std_reward": 3.25, "is_deterministic": False, "n_eval_episodes": 20}
    assert json.loads(found["results.json"]) == results
    assert found["replay.mp4"][4:8] == b"ftyp"

    from huggingface_hub import ModelCard, parse_eval_result_entries

    card = ModelCard(found["README.md"].decode())
    assert (card.data.library_name, card.data.pipeline_tag) == ("worldmodels", "reinforcement-learning")
    assert card.data.model_name == "toy-agent"
    assert [(each.dataset_type, each.metric_value) for each in card.data.eval_results] == [
        ("worldmodels-toy/MovingDot-v0", "12.50 +/- 3.25")
    ]
    assert 'wm.load("hf://me/toy-agent")' in card.text
    assert f"| agent, in its dream, τ 1 | `{get_task('toy').gym_id('Dream')}` | 12.5 ± 3.2 | 20 |" in card.text
    assert files.sha256_of(agent_folder / "rnn.safetensors") in card.text
    entry = parse_eval_result_entries(yaml.safe_load(found[".eval_results/worldmodels.yaml"]))[0]
    assert (entry.dataset_id, entry.task_id, entry.value) == ("worldmodels-toy/MovingDot-v0", "real", 12.5)


def test_what_is_loaded_is_what_was_pushed(hub, agent_folder):
    pushed, loaded = wm.load(agent_folder), wm.load("hf://me/toy-agent")
    assert (dict(loaded.sha256), loaded.temperature, loaded.inputs) == (dict(pushed.sha256), 0.7, "zh")
    assert loaded.card["evaluation"] == SCORES
    assert wm.load(Path("hf://me/toy-agent")).sha256 == pushed.sha256  # a path keeps one slash


def test_a_branch_and_what_an_earlier_agent_left(hub, agent_folder, tmp_path, capsys):
    folder = shutil.copytree(agent_folder, tmp_path / "agent")
    files.write_json(folder / "training.json", {"rounds": []})
    config = files.read_json(folder / "config.json")
    files.write_json(folder / "config.json", {**config, "temperature": 1.5})
    assert main(["push", str(folder), "me/toy-agent", "--revision", "warm", "--json", str(tmp_path / "done.json")]) == 0
    done = files.read_json(tmp_path / "done.json")
    assert done["target"] == "hf://me/toy-agent@warm"
    assert f'wm.load("{done["target"]}") loads it' in capsys.readouterr().out
    assert [wm.load(f"hf://me/toy-agent{at}").temperature for at in ("", "@warm", f"@{done['commit']}")] == [0.7, 1.5, 1.5]
    assert "training.json" in hub.files("me/toy-agent", "warm")
    assert main(["push", str(agent_folder), "me/toy-agent", "--revision", "warm"]) == 0
    assert "training.json" not in hub.files("me/toy-agent", "warm")


def test_a_runs_own_scores(hub, toy_run):
    assert main(["push", str(toy_run), "me/toy-run", "--private"]) == 0
    found = hub.files("me/toy-run")
    scores = files.read_json(toy_run / "evaluation" / "results.json")["evaluations"]
    results = json.loads(found["results.json"])
    assert (results["mean_reward"], results["n_eval_episodes"]) == (scores["real"]["mean"], scores["real"]["num_episodes"])
    assert results["eval_datetime"].endswith("+00:00")
    assert "me/toy-run" in hub.private
    assert wm.load("hf://me/toy-run").sha256 == wm.load(toy_run).sha256


def test_an_agent_without_scores_is_scored(hub, tmp_path):
    """Here of recordings alone, so that it is scored and filmed in its dream."""
    task = task_file.note(RecordedTask("drive", (-1.0,), (1.0,), False, 20, False))
    random_agent(tmp_path, task.name)
    assert main(["push", str(tmp_path), "me/unscored"]) == 0
    found = hub.files("me/unscored")
    score = json.loads(found["evaluation.json"])["dream"]
    assert (score["num_episodes"], score["sha256"]) == (10, dict(wm.load(tmp_path).sha256))
    assert json.loads(found["results.json"])["mean_reward"] == score["mean"]
    entry = yaml.safe_load(found[".eval_results/worldmodels.yaml"])[0]
    assert entry["dataset"] == {"id": f"worldmodels/Recorded-{task.name}-Dream-v0", "task_id": "dream"}
    assert wm.load("hf://me/unscored").task.name == task.name


def test_every_command_takes_it(hub, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    target = "hf://me/toy-agent"
    for verb, flags in {
        "evaluate": ["--world", "dream", "--episodes", "2", "--num-slots", "2"],
        "video": ["--world", "dream", "--steps", "2", "--out", "x.gif"],
        "inspect": ["--json", "facts.json"],
        "plot": [],
    }.items():
        assert main([verb, target, *flags]) == 0, capsys.readouterr().err
    assert files.read_json(tmp_path / "facts.json")["temperature"] == 0.7
    assert (tmp_path / "toy-agent-plots" / "traversals.png").exists()
    capsys.readouterr()
    assert main(["fidelity", target]) == 2
    assert capsys.readouterr().err.startswith(f"worldmodels: {target}: a model alone; ")


def test_a_part_that_was_changed_on_the_hub(hub, capsys):
    found = hub.files("me/toy-agent")
    damaged = found["controller.safetensors"][:-1] + b"\1"
    hub.create("me/changed", False)
    hub.commit("me/changed", "main", {**found, "controller.safetensors": damaged})
    assert main(["inspect", "hf://me/changed"]) == 3
    said = capsys.readouterr().err
    assert said.startswith("worldmodels: hf://me/changed: controller.safetensors has SHA-256 ")
    assert said.endswith("it was changed after it was pushed; do not use it\n")
    assert said.count("\n") == 1
    for name, content in {"config.json": b"[]", "rnn.safetensors": None}.items():
        hub.commit("me/changed", "main", {each: body for each, body in {**found, name: content}.items() if body is not None})
        assert main(["inspect", "hf://me/changed"]) == 3
        said = capsys.readouterr().err
        assert name in said
        assert said.count("\n") == 1


def test_a_file_that_was_damaged_in_the_cache(hub, capsys):
    hub.create("me/cached", False)
    hub.commit("me/cached", "main", hub.files("me/toy-agent"))
    from worldmodels.agent.hub import downloaded

    path = (downloaded("hf://me/cached") / "evaluation.json").resolve()
    path.write_bytes(path.read_bytes().replace(b"12.5", b"99.5"))
    assert main(["inspect", "hf://me/cached"]) == 3
    said = capsys.readouterr().err
    assert said == (
        f"worldmodels: hf://me/cached: evaluation.json is not what the Hub keeps: it is damaged; delete {path} and load it "
        f"again\n"
    )
    path.unlink()
    assert main(["inspect", "hf://me/cached"]) == 0


def test_a_pickle_is_not_even_loaded(hub):
    hub.create("me/pickled", False)
    hub.commit("me/pickled", "main", hub.files("me/toy-agent") | {"evil.pkl": b"cos\nsystem\n", "code/evil.py": b"1/0"})
    from worldmodels.agent.hub import downloaded

    folder = downloaded("hf://me/pickled")
    assert {path.name for path in folder.rglob("*")} == {
        *(f"{part}.safetensors" for part in PARTS),
        "config.json",
        "evaluation.json",
    }
    assert ("GET", f"/me/pickled/resolve/{folder.name}/evil.pkl") not in hub.requests


WRONG = {
    "hf://me": "'hf://me' is no address on the Hub: give hf://user/repo or hf://user/repo@revision",
    "hf://me/nobody": "hf://me/nobody: no such repository on the Hub, or a private one and no token that may read it; ",
    "hf://me/toy-agent@none": "hf://me/toy-agent@none: the repository has no such branch, tag or commit",
    "hf://me/a--b": "'me/a--b' is no repository's name: give user/repo, ",
    "hf://me/empty": "hf://me/empty: no model is there (no config.json); 'worldmodels push' writes one",
}


@pytest.mark.parametrize("target", WRONG)
def test_what_is_not_there(hub, capsys, target):
    if "me/empty" not in hub.repos:
        hub.create("me/empty", False)
    assert main(["inspect", target]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"worldmodels: {WRONG[target]}")
    assert said.count("\n") == 1


def test_without_a_token_or_with_a_wrong_one(hub, agent_folder, monkeypatch, capsys):
    for token, wanted in (
        ("", "push: no token of the Hub is here; 'hf auth login' keeps one"),
        ("hf_wrong", "me/mine: the Hub refuses the token (401)"),
    ):
        monkeypatch.setenv("HF_TOKEN", token)
        assert main(["push", str(agent_folder), "me/mine"]) == 2
        said = capsys.readouterr().err
        assert error_line(said).startswith(f"worldmodels: {wanted}")
    assert main(["push", str(agent_folder), "mine"]) == 2
    assert "'mine' is no repository's name" in capsys.readouterr().err
    assert "me/mine" not in hub.repos


def test_without_a_network(hub, agent_folder, capsys):
    wm.load("hf://me/toy-agent")
    home, url = os.environ["HF_HOME"], os.environ["HF_ENDPOINT"]
    for variables, code, wanted in (
        (
            {"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": url},
            2,
            ("is not in the cache here, or not whole, and HF_HUB_OFFLINE is set; unset it\n", "needs the network; unset it\n"),
        ),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, 4, ("refused); try again\n",) * 2),
    ):
        with library(HF_HOME=home, **variables):
            assert wm.load("hf://me/toy-agent").temperature == 0.7
            capsys.readouterr()
            assert main(["inspect", "hf://me/never"]) == code
            said = capsys.readouterr().err
            assert said.startswith("worldmodels: hf://me/never: ")
            assert said.endswith(wanted[0])
            assert said.count("\n") == 1
            assert main(["push", str(agent_folder), "me/never"]) == code
            said = capsys.readouterr().err
            assert error_line(said).startswith("worldmodels: me/never: ")
            assert said.endswith(wanted[1])


def test_without_the_library(agent_folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    line = f"the Hub needs huggingface_hub, which is not installed: {how_to_install('hub')}"
    with pytest.raises(UserError, match="is not installed: 'pip install") as caught:
        wm.load("hf://me/toy-agent")
    assert str(caught.value) == line
    assert main(["push", str(agent_folder), "me/toy-agent"]) == 2
    assert capsys.readouterr().err == f"worldmodels: {line}\n"


SENSELESS = {
    "a list": ([1], "not an agent's scores by name"),
    "a score that is a list": ({"real": [1]}, "'real' is [1]; expected a score"),
    "an empty score": ({"real": {}}, "'world' of 'real' is None; expected real or dream"),
    "no number of episodes": ({"real": {**SCORE, "num_episodes": None}}, "'num_episodes' of 'real' is None; expected a whole"),
    "a mean that is a word": ({"real": {**SCORE, "mean": "much"}}, "'mean' of 'real' is 'much'; expected a number"),
    "a mean that is null": ({"real": {**SCORE, "mean": None}}, "'mean' of 'real' is None; expected a number"),
    "a mean that is none": ({"real": {**SCORE, "mean": float("nan")}}, "'mean' of 'real' is nan; expected a number"),
    "a temperature that is a word": ({"dream": {**SCORE, "temperature": "hot"}}, "'temperature' of 'dream' is 'hot'; expected"),
}


@pytest.mark.parametrize("name", SENSELESS)
def test_scores_that_are_none_are_named_and_leave_no_repository(hub, agent_folder, tmp_path, capsys, name):
    folder = shutil.copytree(agent_folder, tmp_path / "agent")
    scores, wanted = SENSELESS[name]
    (folder / "evaluation.json").write_text(json.dumps(scores))
    assert main(["push", str(folder), "me/senseless"]) == 3
    said = capsys.readouterr().err
    assert said.startswith(f"worldmodels: {folder / 'evaluation.json'}: {wanted}")
    assert said.count("\n") == 1
    assert "me/senseless" not in hub.repos


@pytest.mark.parametrize("revision", ["", "a b", "a\nb"])
def test_a_branch_that_no_address_could_name_is_refused(hub, agent_folder, capsys, revision):
    assert main(["push", str(agent_folder), "me/branchless", "--revision", revision]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert "me/branchless" not in hub.repos


ANSWERS = {
    "a hotel's page": ((200, b"<html>log in</html>"), 4, "does not answer as the Hub does"),
    "no commit": ((200, {"id": "me/toy-agent"}), 4, "does not answer as the Hub does"),
    "a wrong token": (
        (401, {"error": "Invalid credentials"}),
        2,
        "the Hub refuses the token (401): give one that may read it",
    ),
    "forbidden": ((403, {"error": "Forbidden"}), 2, "the Hub forbids it to this token (403): it may not read this, or"),
    "too many requests": ((429, {"error": "Too many"}), 4, "the Hub has had too many requests from here (429); wait some min"),
    "a fault of the Hub": ((500, b"oops"), 4, "the Hub has a fault of its own (500); try again later"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_whatever_is_answered_is_one_line(hub, monkeypatch, capsys, name):
    answer, code, wanted = ANSWERS[name]
    monkeypatch.setattr(hub, "always", answer)
    assert main(["inspect", f"hf://me/{'-'.join(name.split()).replace(chr(39), '')}"]) == code
    said = capsys.readouterr().err
    assert wanted in said
    assert said.count("\n") == 1


def test_a_size_that_no_disk_holds(hub, monkeypatch, capsys, recwarn):
    hub.create("me/huge", False)
    hub.commit("me/huge", "main", hub.files("me/toy-agent"))
    monkeypatch.setattr(hub, "length", 10**15)
    assert main(["inspect", "hf://me/huge"]) == 4
    assert capsys.readouterr().err.count("\n") == 1
    assert not recwarn.list


def test_a_token_or_an_address_that_is_none(hub, monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", "hf_ünï")
    assert main(["inspect", "hf://me/toy-agent"]) == 4
    assert "the token has a letter that no token has" in capsys.readouterr().err
    home = os.environ["HF_HOME"]
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "huggingface_hub"}
    try:
        monkeypatch.setenv("HF_ENDPOINT", "http://[bad")
        assert main(["inspect", "hf://me/toy-agent"]) == 4
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "huggingface_hub"]:
            del sys.modules[name]
        sys.modules.update(kept)
    assert capsys.readouterr().err.startswith("worldmodels: the Hub: HF_ENDPOINT is 'http://[bad', which is no address")
    with library(HF_HOME="/dev/full", HF_TOKEN=TOKEN, HF_ENDPOINT=hub.url):
        assert main(["inspect", "hf://me/toy-agent"]) == 4
    said = capsys.readouterr().err
    assert said.startswith("worldmodels: hf://me/toy-agent: the Hub's cache /dev/full/hub cannot be written (Not a directory)")
    assert said.count("\n") == 1
    assert home == os.environ["HF_HOME"]


def test_what_a_terminal_would_obey_is_written_out(hub, capsys):
    found = hub.files("me/toy-agent")
    config = json.loads(found["config.json"]) | {"task": "a\x1b[31m\nworldmodels: b"}
    hub.create("me/rude", False)
    hub.commit("me/rude", "main", {**found, "config.json": json.dumps(config).encode()})
    for target in ("hf://me/rude", "hf://me/a\x1b[31m\u202e\nb"):
        assert main(["evaluate", target, "--world", "dream"]) == 2
        said = capsys.readouterr().err
        assert "\\x1b[31m" in said
        assert said.count("\n") == 1
        assert said.rstrip("\n").isprintable()


def test_a_cache_without_links_is_compared_to_the_hubs_hashes(hub, tmp_path, capsys):
    """As where links are switched off, or a disk has none; and one that lacks a part."""
    with library(HF_HOME=str(tmp_path), HF_HUB_DISABLE_SYMLINKS="1", HF_TOKEN=TOKEN, HF_ENDPOINT=hub.url):
        assert wm.load("hf://me/toy-agent").temperature == 0.7
        [folder] = tmp_path.glob("hub/models--me--toy-agent/snapshots/*")
        path = folder / "evaluation.json"
        assert not path.is_symlink()
        whole = path.read_bytes()
        path.write_bytes(whole.replace(b"12.5", b"99.5"))
        assert main(["inspect", "hf://me/toy-agent"]) == 3
        assert "evaluation.json is not what the Hub keeps" in capsys.readouterr().err
        path.write_bytes(whole)
        (folder / "task.json").write_text("{}")  # one that the Hub has not
        assert main(["inspect", "hf://me/toy-agent"]) == 3
        assert "task.json is not what the Hub keeps" in capsys.readouterr().err
        (folder / "task.json").unlink()
        (folder / "rnn.safetensors").unlink()
    with library(HF_HOME=str(tmp_path), HF_HUB_OFFLINE="1", HF_ENDPOINT=hub.url):
        assert main(["inspect", "hf://me/toy-agent"]) == 2
        assert "is not in the cache here, or not whole, and HF_HUB_OFFLINE is set" in capsys.readouterr().err
