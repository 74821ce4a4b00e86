"""Settings: JSON in and out, with every key, type and range checked by name."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldmodels.base.errors import UserError, nearest
from worldmodels.base.seeding import FIRST_TRAINING_SEED
from worldmodels.cli import main
from worldmodels.cli.arguments import IterateArgs, ReproduceArgs, RunArgs, TableArgs
from worldmodels.config import (
    CollectConfig,
    Config,
    ControllerConfig,
    DreamPPOConfig,
    EncodeConfig,
    EvaluateConfig,
    FidelityConfig,
    Preset,
    RandomPolicyConfig,
    RNNConfig,
    VAEConfig,
    VideoConfig,
    bounds_of,
)
from worldmodels.envs.registry import get_task
from worldmodels.runs.run import STAGES, VERBS, Run

KINDS = [CollectConfig, VAEConfig, EncodeConfig, RNNConfig, ControllerConfig, EvaluateConfig]
#: What finished runs held before settings were grouped, made by that code.
OLDER = Path(__file__).parent / "data" / "flat_settings"


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_are_valid_and_survive_json(kind):
    kind().validate()
    assert kind.from_dict(json.loads(json.dumps(kind().to_dict())), "here") == kind()


@given(
    st.builds(
        ControllerConfig,
        num_generations=st.integers(1, 10**6),
        sigma=st.floats(1e-6, 100),
        temperature=st.floats(0.01, 10),
        world=st.sampled_from(["dream", "real"]),
    )
)
def test_any_setting_survives_json(config):
    assert ControllerConfig.from_dict(json.loads(json.dumps(config.to_dict())), "here") == config


def test_a_preset_survives_json():
    preset = get_task("take-cover").preset("laptop")
    assert Preset.from_dict(json.loads(json.dumps(preset.to_dict())), "here") == preset


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_key_gets_the_nearest_match(kind):
    name = dataclasses.fields(kind)[0].name
    with pytest.raises(UserError, match=f"config.json: unknown setting '{name}x'; did you mean '{name}'"):
        kind.from_dict({f"{name}x": 1}, "config.json")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrong", [None, "many", [1], {"a": 1}, True, 1.5])
def test_a_wrong_type_is_named(kind, wrong):
    for name, hint in kind.kinds().items():
        if type(wrong) is hint:
            continue
        with pytest.raises(UserError, match=f"here: '{name}' is .*expected"):
            kind.from_dict({name: wrong}, "here")


@pytest.mark.parametrize("wrong", [[], None, "text", 3])
def test_no_table_no_settings(wrong):
    for kind in (*KINDS, Preset):
        with pytest.raises(UserError, match="expected a table"):
            kind.from_dict(wrong, "here")


def test_a_preset_names_stages():
    whole = get_task("toy").preset("smoke").to_dict()
    with pytest.raises(UserError, match="unknown stage 'colect'; did you mean 'collect'"):
        Preset.from_dict({**whole, "colect": {}}, "here")
    del whole["rnn"]
    with pytest.raises(UserError, match="the stage 'rnn' is missing"):
        Preset.from_dict(whole, "here")


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (CollectConfig, "num_episodes", 1),
        (CollectConfig, "max_hold_steps", 0),
        (CollectConfig, "min_action_scale", 2.0),
        (CollectConfig, "num_workers", -1),
        (VAEConfig, "num_steps", -1),
        (VAEConfig, "augment", 1.5),
        (VAEConfig, "batch_size", 10**9),
        (RNNConfig, "num_slices", 0),
        (VAEConfig, "learning_rate", 0.0),
        (VAEConfig, "learning_rate", float("nan")),
        (VAEConfig, "kl_tolerance", -0.5),
        (VAEConfig, "quartic_weight", -1.0),
        (EncodeConfig, "batch_size", 0),
        (RNNConfig, "sequence_length", 0),
        (RNNConfig, "max_grad_value", float("inf")),
        (RNNConfig, "held_out_fraction", 0.0),
        (ControllerConfig, "population_size", 1),
        (ControllerConfig, "temperature", 0.0),
        (ControllerConfig, "temperature", -1.0),
        (ControllerConfig, "num_slots", 0),
        (ControllerConfig, "num_generations", 0),
        (ControllerConfig, "ppo_gamma", 1.5),
        (ControllerConfig, "ppo_hit_cost", float("nan")),
        (EvaluateConfig, "temperature", 10.5),
        (FidelityConfig, "temperature", 0.001),
        (VideoConfig, "grid", 0),
        (EvaluateConfig, "episodes", 0),
        (EvaluateConfig, "seed", -1),
        (EvaluateConfig, "seed", FIRST_TRAINING_SEED),
    ],
)
def test_a_value_out_of_range_is_named_with_the_range(kind, name, value):
    with pytest.raises(UserError, match=f"^{name} is .*; it must lie between .* and "):
        kind.from_dict({name: value}, "here")


def test_an_absurd_whole_number_is_out_of_range_too():
    with pytest.raises(UserError, match="num_episodes"):
        CollectConfig.from_dict({"num_episodes": 10**400}, "here")


def test_held_out_seeds_stay_below_the_training_seeds():
    EvaluateConfig(episodes=100, seed=FIRST_TRAINING_SEED - 100).validate()
    with pytest.raises(UserError, match="seed"):
        EvaluateConfig(episodes=100, seed=FIRST_TRAINING_SEED - 99).validate()


def test_runtime_settings_stay_out_of_the_fingerprint():
    assert CollectConfig(num_workers=3).fingerprint_fields() == CollectConfig().fingerprint_fields()
    assert CollectConfig(num_episodes=3).fingerprint_fields() != CollectConfig().fingerprint_fields()
    assert "num_slots" not in ControllerConfig().fingerprint_fields()


def test_nearest_lists_what_is_known_when_nothing_is_near():
    assert nearest("smke", ["smoke", "paper"]) == "; did you mean 'smoke'?"
    assert nearest("zzz", ["smoke", "paper"]) == "; known: paper, smoke"


def test_no_file_of_a_run_remembers_the_place():
    placed = get_task("toy").preset("smoke").on(backend="ray", address="host:6379")
    assert placed.collect.place.backend == placed.controller.place.backend == placed.evaluate.place.backend == "ray"
    assert placed.to_dict() == get_task("toy").preset("smoke").to_dict()
    assert placed.collect.fingerprint_fields() == get_task("toy").preset("smoke").collect.fingerprint_fields()
    with pytest.raises(UserError, match="backend is local"):
        placed.on(backend="local")


def every_config(kind=Config):
    for inner in kind.__subclasses__():
        yield inner
        yield from every_config(inner)


@pytest.mark.parametrize("kind", [*every_config(), RunArgs, ReproduceArgs, IterateArgs, TableArgs])
def test_every_number_has_bounds_and_its_default_lies_in_them(kind):
    bounds, hints = bounds_of(kind), get_type_hints(kind)
    for f in dataclasses.fields(kind):
        assert (f.name in bounds) == (hints[f.name] in (int, float, int | None)), f.name
        if f.name in bounds and f.default is not None:
            bounds[f.name].check(f.name, f.default)


@pytest.mark.parametrize(
    ("verb", "said"),
    [
        ("collect", ["max-hold-steps STEPS", "1 to 10,000."]),
        ("train-vae", ["1e-8 to 1.", "1 to 65,536."]),
        ("encode", ["0 to 10,000,000."]),
        ("train-rnn", ["1 to 100,000,000."]),
        ("train-controller", ["--ppo-gamma X", "Default 0.993; 0 to 1.", "0.01 to 10."]),
        ("evaluate", ["Default 0; 0.01 to 10, or 0.", "0 to 1,073,741,823."]),
        ("fidelity", ["2 to 1,000,000."]),
        ("table", ["0 to 1,000,000."]),
        ("iterate", ["Default 3; 1 to 1,000."]),
        ("reproduce", ["0 to 2,147,483,647."]),
        ("video", ["Default 1; 1 to 64."]),
        ("watch", ["0.01 to 10, or 0."]),
    ],
)
def test_help_says_where_a_number_must_lie(verb, said, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    target = ["--run", "new", "--scale", "paper"] if verb in VERBS.values() else []
    assert main([verb, *target, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for part in said:
        assert part in shown


@pytest.mark.parametrize("task", ["toy", "toy-walls"])
def test_a_run_from_before_the_groups_opens_with_its_fingerprints(task):
    run = Run.open(OLDER / task)
    for stage, folder in STAGES.items():
        started = json.loads((OLDER / task / folder / "STARTED").read_text())
        config = getattr(run.preset, stage)
        assert config.fingerprint_fields() == started["config"]
        assert run.stage_fingerprint(stage, config, started["inputs"]) == started["fingerprint"]
        run.refuse_other_settings(stage, config)
        assert run.require(stage)["fingerprint"] == started["fingerprint"]


def test_an_older_runs_names_are_read(tmp_path):
    path = Path(shutil.copytree(OLDER / "toy", tmp_path / "run"))
    config = json.loads((path / "config.json").read_text())
    stages = config["stages"]
    stages["collect"] |= {"min_spread": 0.25, "max_hold_steps": 7}
    (path / "config.json").write_text(json.dumps(config))
    found = Run.open(path).preset.collect
    assert found.random == RandomPolicyConfig(max_hold_steps=7, min_action_scale=0.25)
    assert found.fingerprint_fields()["min_spread"] == 0.25
    assert "min_action_scale" not in found.fingerprint_fields()
    stages["collect"]["min_action_scale"] = 0.5
    (path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="'min_action_scale' is there twice"):
        Run.open(path)


def test_a_setting_that_has_gone_is_refused_where_it_was_used(tmp_path):
    path = Path(shutil.copytree(OLDER / "toy", tmp_path / "run"))
    config = json.loads((path / "config.json").read_text())
    config["stages"]["controller"]["memory"] = "untrained"
    (path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"'memory' is 'untrained', which has gone; .* use another --run"):
        Run.open(path)


def test_a_renamed_setting_is_refused_by_todays_name():
    run = Run.open(OLDER / "toy")
    other = dataclasses.replace(run.preset.collect, random=RandomPolicyConfig(min_action_scale=0.5))
    with pytest.raises(UserError, match=r"min_action_scale 1\.0 → 0\.5"):
        run.refuse_other_settings("collect", other)


def test_ppos_settings_at_their_defaults_change_no_fingerprint():
    assert not [name for name in ControllerConfig().fingerprint_fields() if name.startswith("ppo_")]
    other = ControllerConfig(ppo=DreamPPOConfig(gamma=0.9))
    assert other.fingerprint_fields() == {**ControllerConfig().fingerprint_fields(), "ppo_gamma": 0.9}
    assert ControllerConfig.from_dict(other.to_dict(), "here") == other


def test_a_seed_that_may_be_left_out_has_bounds():
    VideoConfig().validate()
    with pytest.raises(UserError, match="seed is -1; it must lie between 0 and "):
        VideoConfig(seed=-1).validate()
